"""A fault at any step of any kind, of a slash and of the epoch transition leaves the state as it was."""

from dataclasses import replace
from typing import Any

import pytest
from builders.failing_overlay import fail_at_every_write
from builders.ledger import merged_block
from builders.staking import NXT, StakingChain

from ledger.accounts import FEES_ADDRESS
from ledger.epoch_transition import begin_epoch
from ledger.execution import execute_mergeset
from ledger.issuance import FLOWS_KEY
from ledger.onion import onion_layer
from ledger.registry import Rejected
from ledger.staking.delegation_kinds import Delegate, Undelegate, Withdraw
from ledger.staking.slashing import slash
from ledger.staking.validator_kinds import CommissionSet, OnionRenew, Unjail, ValidatorExit
from ledger.state import MappingState, Overlay, account_key, fee_credit_key


def ready() -> StakingChain:
    """A chain on which every kind applies: a delegation, a matured unbonding, rewards, and a jail that is over."""
    chain = StakingChain(30)
    for key in chain.owners[:3]:
        chain.give(key, 2_000 * NXT)
    chain.send(chain.accounts[0], "delegate", Delegate(0, 1_000 * NXT))
    chain.send(chain.accounts[0], "undelegate", Undelegate(0, 100 * NXT))
    overlay = Overlay(chain.reader)
    slash(overlay, 1, b"o" * 32, 0, b"r" * 20, chain.context())
    chain.apply(overlay.changes())
    chain.send(chain.owners[1], "delegate", Delegate(1, 200 * NXT))
    chain.run(proposers=(0,), carrier_reveals=True)
    chain.go_to(20)
    return chain


CHAIN = ready()
STATE = dict(CHAIN.state)
ACTIONS: dict[str, tuple[Any, Any]] = {
    "validator_register": (CHAIN.accounts[1], CHAIN.registration(0, CHAIN.accounts[1])),
    "delegate": (CHAIN.accounts[0], Delegate(0, 50 * NXT)),
    "undelegate": (CHAIN.accounts[0], Undelegate(0, 50 * NXT)),
    "withdraw": (CHAIN.accounts[0], Withdraw(0)),
    "commission_set": (CHAIN.owners[0], CommissionSet(0, 10_000)),
    "onion_renew": (CHAIN.owners[0], OnionRenew(0, onion_layer(bytes(32), 3), 3)),
    "key_rotate": (CHAIN.owners[0], CHAIN.rotation(0, 0)),
    "validator_exit": (CHAIN.owners[0], ValidatorExit(0)),
    "unjail": (CHAIN.owners[1], Unjail(1)),
}


@pytest.mark.parametrize("kind", list(ACTIONS))
def test_L25_fault_at_any_step_of_a_kind_leaves_the_root(kind: str) -> None:
    key, payload = ACTIONS[kind]
    transaction = CHAIN.signed(key, kind, payload)
    registered = CHAIN.registry.named(kind)
    assert registered is not None
    steps = fail_at_every_write(
        STATE, lambda overlay: registered.apply(overlay, transaction, transaction.payload, CHAIN.context())
    )
    assert steps >= 1


def test_L25_fault_at_any_step_of_a_slash_leaves_the_root() -> None:
    steps = fail_at_every_write(
        STATE, lambda overlay: slash(overlay, 0, b"q" * 32, 20, b"r" * 20, CHAIN.context())
    )
    assert steps >= 5


def test_L25_fault_at_any_step_of_the_transition_leaves_the_root() -> None:
    context = replace(CHAIN.context(), epoch=21)
    assert fail_at_every_write(STATE, lambda overlay: begin_epoch(overlay, context)) >= 3


@pytest.mark.parametrize("kind", list(ACTIONS))
def test_kind_touches_no_more_records_than_it_pays_for(kind: str) -> None:
    key, payload = ACTIONS[kind]
    transaction = CHAIN.signed(key, kind, payload)
    outcome = execute_mergeset(
        CHAIN.reader,
        [_carrier(transaction)],
        CHAIN.context(),
        CHAIN.registry,
    )
    assert outcome.receipts[0].reason == ""
    of_the_fee = {account_key(transaction.sender), account_key(FEES_ADDRESS), fee_credit_key(0), FLOWS_KEY}
    registered = CHAIN.registry.named(kind)
    assert registered is not None
    assert len(set(outcome.changes) - of_the_fee) <= registered.touches(transaction.payload)


@pytest.mark.parametrize("kind", list(ACTIONS))
def test_L24_apply_judges_the_state_again_whatever_was_found_before(kind: str) -> None:
    """Everything is valid where it was simulated; where it is applied, another transaction was quicker."""
    key, payload = ACTIONS[kind]
    transaction = CHAIN.signed(key, kind, payload)
    assert _reasons(STATE, transaction) == [""]
    overlay = Overlay(MappingState(STATE))
    if kind == "validator_register":
        overlay.debit(transaction.sender, 4_900 * NXT)
        overlay.credit(b"t" * 20, 4_900 * NXT)
    else:
        _make_impossible(overlay, kind)
    after = {**STATE, **overlay.changes()}
    [reason] = _reasons({key: value for key, value in after.items() if value is not None}, transaction)
    assert reason != ""


def _make_impossible(overlay: Overlay, kind: str) -> None:
    """What somebody else does in between."""
    sender, payload = ACTIONS[kind]
    quicker = kind
    if kind == "undelegate":
        payload = Undelegate(0, 0)
    elif kind != "withdraw":
        quicker, payload, sender = (
            "validator_exit",
            ValidatorExit(payload.validator),
            CHAIN.owners[payload.validator],
        )
    registered = CHAIN.registry.named(quicker)
    assert registered is not None
    registered.apply(overlay, CHAIN.signed(sender, quicker, payload), payload, CHAIN.context())


def _carrier(transaction: Any) -> Any:
    return merged_block([transaction], epoch=CHAIN.epoch)


def _reasons(state: dict[bytes, bytes], transaction: Any) -> list[str]:
    outcome = execute_mergeset(MappingState(state), [_carrier(transaction)], CHAIN.context(), CHAIN.registry)
    return [receipt.reason for receipt in outcome.receipts]


def test_L25_rejection_leaves_fee_and_nonce_only() -> None:
    transaction = CHAIN.signed(CHAIN.accounts[0], "undelegate", Undelegate(0, 4_000 * NXT))
    outcome = execute_mergeset(CHAIN.reader, [_carrier(transaction)], CHAIN.context(), CHAIN.registry)
    assert outcome.receipts[0].reason == "InsufficientStake"
    assert set(outcome.changes) == {
        account_key(transaction.sender),
        account_key(FEES_ADDRESS),
        fee_credit_key(0),
        FLOWS_KEY,
    }
    registered = CHAIN.registry.named("undelegate")
    assert registered is not None
    with pytest.raises(Rejected, match="worth 90000000000 units, 400000000000 asked for"):
        registered.apply(Overlay(CHAIN.reader), transaction, transaction.payload, CHAIN.context())
