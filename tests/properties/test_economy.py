"""Random sequences of all kinds, epochs and reorganisations against what must always hold (ledger.md).

NEXUS_ECONOMY_OPERATIONS sets the number of operations (default 5,000); `make fuzz` runs the same machine for longer
(tests/fuzz/test_fuzz_economy.py).
"""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from builders.economy_invariants import named_reasons
from msgspec.structs import replace as replace_fields
from properties.economy_machine import run_machine
from properties.economy_walk import REGISTRY, EconomyWalk, wander

from ledger.economy.floor import spending
from ledger.errors import LedgerError
from ledger.exchange import liquidity, math, swapping
from ledger.exchange.kinds import SWAP, Swap
from ledger.governance import closing
from ledger.registry import Rejected
from ledger.rules import BlockContext
from ledger.staking import delegation_kinds
from ledger.state import Overlay
from ledger.tokens import kinds as token_kinds
from ledger.tokens.records import TokenInfo
from ledger.transactions import SignedTransaction

OPERATIONS = int(os.environ.get("NEXUS_ECONOMY_OPERATIONS", "5000"))
WALKERS = 2
"""Of hypothesis, each with its part of the operations."""
LEAST_KINDS = 25
"""That each of them applies, of more than 30."""

LONG_WALKS = 4
LONG_WALK = 500
LEAST_REASONS = 45
"""Named reasons that the long walks meet, of about 70."""


@pytest.mark.timeout(900)  # shrinking may take five minutes
@pytest.mark.parametrize("walker", range(WALKERS))
def test_random_operations_of_all_kinds_keep_every_invariant(walker: int) -> None:
    done, seen = run_machine(walker, OPERATIONS // WALKERS)
    assert done >= OPERATIONS // WALKERS
    assert len({kind for kind, reason in seen if not reason}) >= LEAST_KINDS


def test_long_walks_apply_every_kind_and_meet_most_reasons() -> None:
    seen: Counter[tuple[str, str]] = Counter()
    for seed in range(LONG_WALKS):
        walk = wander(seed, LONG_WALK)
        walk.finish()
        seen += walk.seen
    assert {kind.name for kind in REGISTRY.kinds()} == {kind for kind, reason in seen if not reason}
    met = {reason for _, reason in seen}
    assert len(met & named_reasons()) >= LEAST_REASONS, sorted(named_reasons() - met)


def test_L26_the_same_walk_gives_the_same_bytes_in_processes_with_other_hash_seeds() -> None:
    code = "from properties.economy_walk import wander; print(wander(7, 150).chain.fingerprint().hex())"
    prints = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for hash_seed in ("0", "1", "4242")
    }
    assert prints == {wander(7, 150).chain.fingerprint().hex()}


# planted bugs ---------------------------------------------------------------------------------------------------------


def _rounded_up(amount_in: int, reserve_in: int, reserve_out: int, fee_bp: int) -> int:
    kept = amount_in * (math.FEE_DENOMINATOR - fee_bp)
    return -(-kept * reserve_out // (reserve_in * math.FEE_DENOMINATOR + kept))


def swap_rounds_for_the_trader(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(swapping, "amount_out", _rounded_up)
    patch.setattr(swapping, "check_trade", lambda *_: None)


def swap_rounds_for_the_trader_and_the_exchange_says_so(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(swapping, "amount_out", _rounded_up)


def liquidity_is_paid_out_rounded_up(patch: pytest.MonkeyPatch) -> None:
    def removed_amounts(removed: int, first: int, second: int, shares: int) -> tuple[int, int]:
        return -(-removed * first // shares), -(-removed * second // shares)

    patch.setattr(liquidity, "removed_amounts", removed_amounts)


def floor_forgets_to_count_what_it_issues(patch: pytest.MonkeyPatch) -> None:
    def issue_units(overlay: Overlay, reserve: bytes, recipient: bytes, units: int) -> None:
        overlay.debit(reserve, units)
        overlay.credit(recipient, units)

    patch.setattr(spending, "issue_units", issue_units)


def floor_forgets_what_it_owes(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(spending, "write_floor", lambda *_: None)


def burned_tokens_stay_in_the_supply(patch: pytest.MonkeyPatch) -> None:
    def write_token(overlay: Overlay, token: bytes, info: TokenInfo) -> None:
        real(overlay, token, replace_fields(info, supply=info.supply + info.burned, burned=0))

    real = token_kinds.write_token
    patch.setattr(token_kinds, "write_token", write_token)


def deposits_stay_after_the_close(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(closing, "_settle_deposit", lambda *_: None)


def stake_is_counted_twice(patch: pytest.MonkeyPatch) -> None:
    real = delegation_kinds.move_units

    def move_units(overlay: Overlay, sender: bytes, recipient: bytes, units: int) -> None:
        real(overlay, sender, recipient, units)
        overlay.credit(recipient, 1)

    patch.setattr(delegation_kinds, "move_units", move_units)


def a_swap_is_rejected_without_a_named_reason(patch: pytest.MonkeyPatch) -> None:
    kind = REGISTRY.kind(SWAP.number)

    def apply(overlay: Overlay, transaction: SignedTransaction, payload: Swap, context: BlockContext) -> Any:
        try:
            return SWAP.apply(overlay, transaction, payload, context)
        except Rejected as rejected:
            raise Rejected(f"Slippage {rejected}") from rejected

    patch.setattr(REGISTRY, "_by_number", {**REGISTRY._by_number, kind.number: replace(kind, apply=apply)})


def what_failed_is_not_rolled_back(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Overlay, "rollback", lambda *_: None)


PLANTED = {
    what_failed_is_not_rolled_back: "a transaction that failed wrote",
    swap_rounds_for_the_trader: "k fell",
    swap_rounds_for_the_trader_and_the_exchange_says_so: "no named reason",
    liquidity_is_paid_out_rounded_up: "k fell",
    floor_forgets_to_count_what_it_issues: "circulate",
    floor_forgets_what_it_owes: "citizens are owed",
    burned_tokens_stay_in_the_supply: "tokens are not conserved",
    deposits_stay_after_the_close: "deposits and open proposals",
    stake_is_counted_twice: "conservation broken",
    a_swap_is_rejected_without_a_named_reason: "no named reason",
}
"""What is broken, and what the walk says of it."""


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_found(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    walk = EconomyWalk()
    plant(monkeypatch)
    with pytest.raises((AssertionError, LedgerError), match=PLANTED[plant]):
        wander(1, 2_000, walk)
