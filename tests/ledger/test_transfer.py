"""`transfer_atomic` and the kind `transfer`: all of a step or nothing of it."""

from decimal import Decimal
from typing import Any

import pytest

from ledger.accounts import ADDRESS_OF_SYSTEM_ACCOUNT, FEES_ADDRESS, Account, encode_account
from ledger.amounts import MAX_SUPPLY_UNITS
from ledger.registry import Rejected
from ledger.state import MappingState, Overlay, account_key
from ledger.transfer import NativeTokenSystem, TokenTransaction, move_units

ALICE, BOB = b"A" * 20, b"B" * 20
TREASURY = ADDRESS_OF_SYSTEM_ACCOUNT["TREASURY"]
VALIDATOR_POOL = ADDRESS_OF_SYSTEM_ACCOUNT["VALIDATOR_POOL"]
STATE = {
    account_key(ALICE): encode_account(Account(1_000, 3)),
    account_key(TREASURY): encode_account(Account(500, 0)),
    account_key(FEES_ADDRESS): encode_account(Account(0, 0)),
}


class CountingState:
    """A state that counts what is asked of it."""

    def __init__(self) -> None:
        self.reads = 0

    def get(self, key: bytes) -> bytes | None:
        self.reads += 1
        return STATE.get(key)


class FailingOverlay(Overlay):
    """An overlay whose n-th use of an account fails."""

    def __init__(self, failing_use: int) -> None:
        super().__init__(MappingState(STATE))
        self.uses_left = failing_use

    def _use(self) -> None:
        if self.uses_left == 0:
            self.uses_left = -1
            raise MemoryError("injected")
        self.uses_left -= 1

    def debit(self, address: bytes, units: int, nonces: int = 0) -> Account | None:
        self._use()
        after = super().debit(address, units, nonces)
        self._use()
        return after

    def credit(self, address: bytes, units: int) -> None:
        self._use()
        super().credit(address, units)
        self._use()


def test_transfer_moves_amount_fee_and_nonce_and_says_what_it_did() -> None:
    overlay = Overlay(MappingState(STATE))
    done, transaction, message = NativeTokenSystem(overlay).transfer_atomic(ALICE, BOB, 600, 10, "rent")
    assert done
    assert message == "applied"
    assert transaction == TokenTransaction(ALICE, BOB, 600, 10, 3, "rent")
    assert overlay.account(ALICE) == Account(390, 4)
    assert overlay.account(BOB) == Account(600, 0)
    assert overlay.account(FEES_ADDRESS) == Account(10, 0)
    assert overlay.balance_drift() == 0


def test_L26_transfer_of_everything_is_allowed_and_of_one_unit_more_is_not() -> None:
    overlay = Overlay(MappingState(STATE))
    done, _, message = NativeTokenSystem(overlay).transfer_atomic(ALICE, BOB, 991, 10, "")
    assert not done
    assert message == "balance 1000 units, 1001 needed"
    assert overlay.changes() == {}
    assert NativeTokenSystem(overlay).transfer_atomic(ALICE, BOB, 990, 10, "")[0]
    assert overlay.account(ALICE) == Account(0, 4)


def test_L26_transfer_to_oneself_moves_nothing_but_nonce_and_fee() -> None:
    overlay = Overlay(MappingState(STATE))
    assert NativeTokenSystem(overlay).transfer_atomic(ALICE, ALICE, 900, 10, "")[0]
    assert overlay.account(ALICE) == Account(990, 4)
    assert overlay.balance_drift() == 0


def test_L26_transfer_to_oneself_still_needs_the_balance() -> None:
    overlay = Overlay(MappingState(STATE))
    assert not NativeTokenSystem(overlay).transfer_atomic(ALICE, ALICE, 1_001, 0, "")[0]
    with pytest.raises(Rejected):
        move_units(overlay, ALICE, ALICE, 1_001)
    assert overlay.changes() == {}


BAD_ARGUMENTS: list[dict[str, Any]] = [
    *({"amount": amount} for amount in (0, -1, MAX_SUPPLY_UNITS + 1, 2**63, 10**400, -(10**400))),
    *(
        {"amount": amount}
        for amount in (True, 1.0, float("nan"), float("inf"), "1", None, Decimal(1), [1], b"1")
    ),
    *({"fee": fee} for fee in (-1, MAX_SUPPLY_UNITS + 1, False, True, 0.0, None, "0", 10**400)),
    *({"from_address": address} for address in (b"", b"A" * 19, "A" * 20, None, bytearray(20), 20)),
    *({"to_address": address} for address in (b"", b"B" * 21, "B" * 20, None, bytearray(20), 20)),
    *({"reason": reason} for reason in (None, 1, b"rent", "r" * 257)),
    {"to_address": TREASURY},
    {"to_address": FEES_ADDRESS},
]


@pytest.mark.parametrize("bad", BAD_ARGUMENTS, ids=lambda bad: str(bad)[:40])
def test_L26_bad_argument_changes_nothing_and_raises_nothing(bad: dict[str, Any]) -> None:
    overlay = Overlay(MappingState(STATE))
    arguments: dict[str, Any] = {
        "from_address": ALICE,
        "to_address": BOB,
        "amount": 1,
        "fee": 0,
        "reason": "",
    } | bad
    done, transaction, message = NativeTokenSystem(overlay).transfer_atomic(**arguments)
    assert done is False
    assert transaction is None
    assert message
    assert overlay.changes() == {}
    assert overlay.checkpoint() == 0


def test_system_accounts_may_pay_each_other() -> None:
    overlay = Overlay(MappingState(STATE))
    assert NativeTokenSystem(overlay).transfer_atomic(TREASURY, VALIDATOR_POOL, 500, 0, "rewards")[0]
    assert overlay.account(VALIDATOR_POOL).balance == 500


def uses_of_a_whole_transfer() -> int:
    overlay = FailingOverlay(10**6)
    assert NativeTokenSystem(overlay).transfer_atomic(ALICE, BOB, 600, 10, "")[0]
    return 10**6 - overlay.uses_left


@pytest.mark.parametrize("step", range(uses_of_a_whole_transfer()))
def test_L25_failure_at_any_step_rolls_everything_back(step: int) -> None:
    overlay = FailingOverlay(10**6)
    overlay.set_account(BOB, Account(7, 7))
    overlay.uses_left = step
    before = overlay.changes()
    with pytest.raises(MemoryError):
        NativeTokenSystem(overlay).transfer_atomic(ALICE, BOB, 600, 10, "")
    assert overlay.changes() == before
    assert overlay.uses_left == -1


def test_transfer_reads_three_accounts_however_many_there_are_and_however_much_happened() -> None:
    state = CountingState()
    overlay = Overlay(state)
    system = NativeTokenSystem(overlay)
    writes = []
    for _ in range(50):
        before = overlay.checkpoint()
        assert system.transfer_atomic(ALICE, BOB, 1, 1, "")[0]
        writes.append(overlay.checkpoint() - before)
    assert state.reads == 3
    assert len(set(writes)) == 1


def test_transfer_inside_an_outer_step_is_undone_with_it() -> None:
    overlay = Overlay(MappingState(STATE))
    mark = overlay.checkpoint()
    NativeTokenSystem(overlay).transfer_atomic(ALICE, BOB, 600, 10, "")
    overlay.rollback(mark)
    assert overlay.changes() == {}
