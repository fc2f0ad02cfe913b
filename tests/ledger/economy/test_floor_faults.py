"""A fault at any write of the floor's kinds and of its step leaves the state; what they touch is paid for."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from builders.failing_overlay import fail_at_every_write
from builders.floor import NXT, FloorChain, person
from builders.ledger import merged_block

from ledger.accounts import F_FLOOR_ADDRESS, FEES_ADDRESS
from ledger.economy.floor.accrual import accrue_floor
from ledger.economy.floor.attestation import CitizenAttest
from ledger.economy.floor.queries import audit_floor
from ledger.economy.floor.records import (
    FLOOR_KEY,
    citizen_key,
    note_floor_income,
    person_key,
    read_citizen,
    read_floor,
    read_person,
    write_citizen,
    write_floor,
)
from ledger.economy.floor.registration import CitizenRegister
from ledger.economy.floor.spending import FloorClaim, FloorSpend
from ledger.epoch_steps import EpochChange
from ledger.errors import Malformed
from ledger.execution import execute_mergeset
from ledger.issuance import FLOWS_KEY
from ledger.state import MappingState, Overlay, account_key, fee_credit_key


def ready() -> FloorChain:
    """A chain on which every kind applies."""
    chain = FloorChain()
    chain.admit(0)
    chain.fund(3_000 * NXT)
    chain.go_to(30)
    chain.attest(0, 1, chain.address(1))
    chain.attest(1, 1, chain.address(1))
    chain.fund(100 * NXT)
    return chain


CHAIN = ready()
STATE = dict(CHAIN.state)
NEW_MERCHANT = b"m" * 20
ACTIONS: dict[str, tuple[Any, Any]] = {
    "citizen_attest": (CHAIN.registrars[2], CitizenAttest(person(2), CHAIN.address(2))),
    "citizen_register": (CHAIN.accounts[1], CitizenRegister(person(1))),
    "floor_claim": (CHAIN.accounts[0], FloorClaim(5 * NXT)),
    "floor_spend": (CHAIN.accounts[0], FloorSpend(0, NEW_MERCHANT, 5 * NXT)),
}
WRITES = {"citizen_attest": 1, "citizen_register": 4, "floor_claim": 5, "floor_spend": 5}


@pytest.mark.parametrize("kind", list(ACTIONS))
def test_L25_fault_at_any_write_of_a_floor_kind_leaves_the_root(kind: str) -> None:
    key, payload = ACTIONS[kind]
    transaction = CHAIN.signed(key, kind, payload)
    registered = CHAIN.registry.named(kind)
    assert registered is not None
    writes = fail_at_every_write(
        STATE, lambda overlay: registered.apply(overlay, transaction, transaction.payload, CHAIN.context())
    )
    assert writes == WRITES[kind]


def test_L25_fault_at_any_write_of_the_accrual_leaves_the_root() -> None:
    change = EpochChange(replace(CHAIN.context(), epoch=31), 30, {})
    assert fail_at_every_write(STATE, lambda overlay: accrue_floor(overlay, change)) == 1


def test_L25_fault_while_income_is_noted_leaves_the_root() -> None:
    assert fail_at_every_write(STATE, lambda overlay: note_floor_income(overlay, 5)) == 1


def test_income_of_nothing_writes_nothing() -> None:
    overlay = Overlay(MappingState(STATE))
    note_floor_income(overlay, 0)
    assert overlay.changes() == {}


@pytest.mark.parametrize("kind", list(ACTIONS))
def test_floor_kind_touches_as_many_records_as_it_pays_for(kind: str) -> None:
    key, payload = ACTIONS[kind]
    transaction = CHAIN.signed(key, kind, payload)
    outcome = execute_mergeset(
        MappingState(STATE), [merged_block([transaction], epoch=CHAIN.epoch)], CHAIN.context(), CHAIN.registry
    )
    assert outcome.receipts[0].reason == ""
    registered = CHAIN.registry.named(kind)
    assert registered is not None
    assert len(outcome.receipts[0].result) == len(registered.result_names) == 1
    of_the_fee = {account_key(transaction.sender), account_key(FEES_ADDRESS), fee_credit_key(0)}
    if kind in ("citizen_attest", "citizen_register"):
        of_the_fee.add(FLOWS_KEY)
    assert len(set(outcome.changes) - of_the_fee) == registered.touches(transaction.payload)


def test_rejected_purchase_leaves_fee_and_nonce_only() -> None:
    transaction = CHAIN.signed(CHAIN.accounts[0], "floor_spend", FloorSpend(0, NEW_MERCHANT, 300 * NXT))
    outcome = execute_mergeset(
        MappingState(STATE), [merged_block([transaction], epoch=CHAIN.epoch)], CHAIN.context(), CHAIN.registry
    )
    assert outcome.receipts[0].reason == "AllowanceExceeded"
    assert set(outcome.changes) == {
        account_key(transaction.sender),
        account_key(FEES_ADDRESS),
        fee_credit_key(0),
        FLOWS_KEY,
    }


# the audit ------------------------------------------------------------------------------------------------------------


def audited(**floor_changes: int) -> list[str]:
    """What the audit says of the state when the floor's record is changed."""
    chain = ready()
    overlay = Overlay(chain.reader)
    write_floor(overlay, msgspec.structs.replace(read_floor(overlay), **floor_changes))
    chain.apply(overlay.changes())
    return audit_floor(chain.store(), chain.system("F_FLOOR"))[1]


def test_audit_accounts_for_what_is_owed_held_back_and_awaited() -> None:
    floor = CHAIN.floor
    accounted, faults = audit_floor(CHAIN.store(), CHAIN.system("F_FLOOR"))
    assert faults == []
    assert accounted == floor.owed_units + floor.held_back_units + 100 * NXT


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"owed_units": 1}, "citizens are owed"),
        ({"population": 2}, "the floor counts 2 citizens; there are 1, and 1 persons"),
        ({"paid_total": bytes(15) + b"\x01"}, "citizens were paid 0 units, the floor counts 1"),
        ({"held_back_units": 10_000 * NXT}, "F_FLOOR holds"),
    ],
)
def test_audit_names_what_the_floor_counts_wrongly(changed: dict[str, Any], said: str) -> None:
    [fault] = audited(**changed)
    assert said in fault


def test_audit_finds_a_citizen_that_saw_more_than_was_paid() -> None:
    chain = ready()
    overlay = Overlay(chain.reader)
    citizen = read_citizen(overlay, chain.address(0))
    assert citizen is not None
    seen = (citizen.seen[0] + 10**15, *citizen.seen[1:])
    write_citizen(overlay, chain.address(0), msgspec.structs.replace(citizen, seen=seen))
    chain.apply(overlay.changes())
    faults = audit_floor(chain.store(), chain.system("F_FLOOR"))[1]
    assert "has seen more than was ever paid" in faults[0]


def test_audit_finds_a_citizen_whose_person_is_another() -> None:
    chain = ready()
    overlay = Overlay(chain.reader)
    citizen = read_citizen(overlay, chain.address(0))
    assert citizen is not None
    write_citizen(overlay, chain.address(0), msgspec.structs.replace(citizen, person=person(9)))
    chain.apply(overlay.changes())
    assert "registered elsewhere" in audit_floor(chain.store(), chain.system("F_FLOOR"))[1][0]


def test_audit_survives_damaged_records() -> None:
    for key in (FLOOR_KEY, citizen_key(CHAIN.address(0))):
        chain = ready()
        chain.apply({key: b"\xc1"})
        assert "damaged" in audit_floor(chain.store(), chain.system("F_FLOOR"))[1][0]


def test_damaged_person_is_refused() -> None:
    with pytest.raises(Malformed, match="3 bytes, expected 20"):
        read_person(MappingState({person_key(person(0)): b"abc"}), person(0))


def test_F_FLOOR_is_the_only_account_that_pays() -> None:
    for kind in ("floor_claim", "floor_spend"):
        key, payload = ACTIONS[kind]
        transaction = CHAIN.signed(key, kind, payload)
        overlay = Overlay(MappingState(STATE))
        before = overlay.account(F_FLOOR_ADDRESS).balance
        registered = CHAIN.registry.named(kind)
        assert registered is not None
        assert registered.apply(overlay, transaction, transaction.payload, CHAIN.context()) == (5 * NXT,)
        assert before - overlay.account(F_FLOOR_ADDRESS).balance == 5 * NXT
        assert overlay.balance_drift() == 0
