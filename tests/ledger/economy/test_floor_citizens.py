"""Who becomes a citizen: attestations, corrections, conflicts, expiry, one person once, and the bound of an epoch."""

import sys

import pytest
from builders.floor import FloorChain, person

from ledger.accounts import F_FLOOR_ADDRESS
from ledger.addresses import NXT_ASSET, address_of, pool_address
from ledger.economy.floor.attestation import CITIZEN_ATTEST, CitizenAttest, live_statements
from ledger.economy.floor.queries import attestation_view, citizen_view, citizens
from ledger.economy.floor.records import (
    STATEMENTS_PREFIX,
    Statement,
    read_person,
    read_statements,
    write_statements,
)
from ledger.economy.floor.registration import CitizenRegister
from ledger.errors import PayloadInvalid
from ledger.governed.parameters import ATTESTATIONS_NEEDED, REGISTRATIONS_PER_EPOCH
from ledger.governed.registrars import MAX_REGISTRARS, add_registrar, remove_registrar
from ledger.state import Overlay


def test_attested_person_registers_at_its_address() -> None:
    chain = FloorChain()
    assert chain.attest(0, 0, chain.address(0)) == ""
    assert chain.result() == (1,)
    assert chain.register(chain.accounts[0], 0) == ""
    assert chain.result() == (1,)
    view = chain.citizen(0)
    assert (view.citizen.person, view.citizen.registered_epoch, view.left_units) == (person(0), 0, 0)
    assert read_person(chain.reader, person(0)) == chain.address(0)
    assert [address for address, _ in citizens(chain.store())] == [chain.address(0)]
    assert chain.floor_faults() == []


def test_statements_are_gone_once_the_person_is_a_citizen() -> None:
    chain = FloorChain()
    chain.admit(0)
    assert not any(key.startswith(STATEMENTS_PREFIX) for key in chain.state)
    view = attestation_view(chain.reader, person(0), 0, chain.staking)
    assert (view.address, view.statements) == (chain.address(0), ())
    assert not view.ready_for(chain.address(0))


def test_only_registrars_attest() -> None:
    chain = FloorChain()
    payload = CitizenAttest(person(0), chain.address(0))
    assert chain.send(chain.accounts[1], "citizen_attest", payload) == "NotRegistrar"


@pytest.mark.parametrize("subject", [F_FLOOR_ADDRESS, pool_address(NXT_ASSET, b"t" * 20)])
def test_nobody_is_a_citizen_at_a_reserved_address(subject: bytes) -> None:
    with pytest.raises(PayloadInvalid, match="expected a person's address"):
        CITIZEN_ATTEST.check_payload(CitizenAttest(person(0), subject), FloorChain().rules)


def test_nobody_registers_without_an_attestation() -> None:
    chain = FloorChain()
    assert chain.register(chain.accounts[0], 0) == "NotAttested"


def test_nobody_registers_with_somebody_elses_attestation() -> None:
    chain = FloorChain()
    chain.attest(0, 0, chain.address(0))
    assert chain.register(chain.accounts[1], 0) == "NotAttested"


def test_one_person_registers_once_for_ever() -> None:
    chain = FloorChain()
    chain.admit(0)
    assert chain.attest(1, 0, chain.address(1)) == "PersonRegistered"
    assert chain.register(chain.accounts[1], 0) == "PersonRegistered"


def test_one_address_is_one_citizen_for_ever() -> None:
    chain = FloorChain()
    chain.attest(0, 1, chain.address(0))
    chain.admit(0)
    assert chain.register(chain.accounts[0], 1) == "AlreadyCitizen"
    assert chain.attest(1, 2, chain.address(0)) == "AlreadyCitizen"


def test_registration_needs_as_many_registrars_as_governance_says() -> None:
    chain = FloorChain(parameters=[(ATTESTATIONS_NEEDED.number, 2)])
    chain.attest(0, 0, chain.address(0))
    chain.attest(0, 0, chain.address(0))
    assert chain.register(chain.accounts[0], 0) == "NotAttested"
    assert chain.attest(1, 0, chain.address(0)) == ""
    assert chain.result() == (2,)
    assert chain.register(chain.accounts[0], 0) == ""


def test_registrar_cannot_contradict_another() -> None:
    chain = FloorChain()
    chain.attest(0, 0, chain.address(0))
    assert chain.attest(1, 0, chain.address(1)) == "AttestationConflict"
    assert chain.register(chain.accounts[0], 0) == ""


def test_registrar_corrects_itself_before_the_registration() -> None:
    chain = FloorChain()
    chain.attest(0, 0, chain.address(0))
    assert chain.attest(0, 0, chain.address(1)) == ""
    assert chain.register(chain.accounts[0], 0) == "NotAttested"
    assert chain.register(chain.accounts[1], 0) == ""


def test_two_registrars_correct_themselves_one_after_the_other() -> None:
    chain = FloorChain()
    chain.attest(0, 0, chain.address(0))
    chain.attest(1, 0, chain.address(0))
    assert chain.attest(0, 0, chain.address(1)) == ""
    assert chain.result() == (1,)
    assert chain.register(chain.accounts[0], 0) == "AttestationConflict", "they disagree meanwhile"
    assert chain.register(chain.accounts[1], 0) == "AttestationConflict"
    assert chain.attest(2, 0, chain.address(1)) == "AttestationConflict"
    assert chain.attest(1, 0, chain.address(1)) == ""
    assert chain.result() == (2,)
    assert chain.register(chain.accounts[1], 0) == ""


def test_attestation_counts_for_a_month_of_epochs() -> None:
    chain = FloorChain(month_epochs=30)
    chain.attest(0, 0, chain.address(0))
    chain.attest(0, 1, chain.address(1))
    chain.go_to(29)
    assert chain.register(chain.accounts[0], 0) == ""
    chain.go_to(30)
    assert chain.register(chain.accounts[1], 1) == "NotAttested"


def test_expired_statement_contradicts_nobody_and_goes() -> None:
    chain = FloorChain()
    chain.attest(0, 0, chain.address(0))
    chain.go_to(30)
    assert chain.attest(1, 0, chain.address(1)) == ""
    [only] = read_statements(chain.reader, person(0))
    assert only.subject == chain.address(1)


def test_statement_of_a_registrar_who_was_voted_out_does_not_count() -> None:
    chain = FloorChain()
    chain.attest(0, 0, chain.address(0))
    overlay = Overlay(chain.reader)
    removed = chain.accounts[5]
    assert remove_registrar(overlay, chain.address(5))
    chain.apply(overlay.changes())
    assert chain.register(chain.accounts[0], 0) == "NotAttested"
    assert chain.send(removed, "citizen_attest", CitizenAttest(person(0), chain.address(0))) == "NotRegistrar"
    assert chain.attest(1, 0, chain.address(1)) == "", "its word contradicts nobody"


def test_sybil_burst_is_bounded_by_the_epoch() -> None:
    chain = FloorChain(parameters=[(REGISTRATIONS_PER_EPOCH.number, 2)])
    for number in range(4):
        chain.attest(0, number, chain.address(number))
    reasons = [chain.register(chain.accounts[number], number) for number in range(4)]
    assert reasons == ["", "", "RegistrationsFull", "RegistrationsFull"]
    chain.go_to(1)
    assert [chain.register(chain.accounts[number], number) for number in (2, 3)] == ["", ""]
    assert chain.floor.population == 4
    assert chain.floor_faults() == []


def test_parallel_registrations_of_one_person_apply_once() -> None:
    chain = FloorChain()
    chain.attest(0, 0, chain.address(0))
    chain.attest(0, 1, chain.address(0))
    one = chain.signed(chain.accounts[0], "citizen_register", CitizenRegister(person(0)))
    other = chain.signed(
        chain.accounts[0], "citizen_register", CitizenRegister(person(1)), nonce=one.body.nonce + 1
    )
    assert chain.run(one, other) == ["", "AlreadyCitizen"]
    assert chain.floor.population == 1
    assert citizen_view(chain.reader, chain.address(1)) is None


def test_judging_as_many_statements_as_can_be_takes_few_steps() -> None:
    """A registration that is rejected costs this too, and anybody may send one."""
    chain = FloorChain()
    overlay = Overlay(chain.reader)
    for registrar in chain.registrars:
        remove_registrar(overlay, address_of(registrar.public_key))
    known = [number.to_bytes(20, "big") for number in range(MAX_REGISTRARS)]
    assert all(add_registrar(overlay, one) for one in known)
    write_statements(overlay, person(0), tuple(Statement(one, b"s" * 20, 0) for one in known))
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    sys.setprofile(count)
    try:
        live = live_statements(overlay, person(0), 1, chain.staking)
    finally:
        sys.setprofile(None)
    assert len(live) == MAX_REGISTRARS
    assert calls < 100
