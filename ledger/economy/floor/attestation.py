"""The kind `citizen_attest`: a registrar says that an address is one person's. Rules: README, Citizens.

A registrar has one word on a person. It counts while the registrar is one and for a month of epochs. Registrars that
contradict each other stop the person's registration until one corrects itself, is voted out, or the month is over.
"""

from typing import Final

from ledger.accounts import is_reserved_address, reserved_name
from ledger.economy.floor.records import (
    Statement,
    read_citizen,
    read_person,
    read_statements,
    write_statements,
)
from ledger.encoding import Address20, Codec, Hash32, Record
from ledger.errors import PayloadInvalid
from ledger.governed.registrars import read_registrars
from ledger.registry import Kind, Rejected, spends_nothing
from ledger.rules import BlockContext, ChainRules
from ledger.staking_rules import StakingRules
from ledger.state import Overlay, StateReader
from ledger.transactions import SignedTransaction

NOT_REGISTRAR: Final = "NotRegistrar"
PERSON_REGISTERED: Final = "PersonRegistered"
ALREADY_CITIZEN: Final = "AlreadyCitizen"
ATTESTATION_CONFLICT: Final = "AttestationConflict"


class CitizenAttest(Record, frozen=True):
    """Payload of kind 40; the sender is a registrar."""

    person: Hash32
    """Blinded commitment to who it is, the same with every registrar."""
    subject: Address20
    """The address that the person will be a citizen at."""


def live_statements(
    reader: StateReader, person: bytes, epoch: int, staking: StakingRules
) -> tuple[Statement, ...]:
    """What counts in `epoch` of what was said about a person, ascending by registrar."""
    statements = read_statements(reader, person)
    if not statements:
        return ()
    registrars, oldest = frozenset(read_registrars(reader)), epoch - staking.month_epochs
    return tuple([one for one in statements if one.registrar in registrars and oldest < one.epoch])


def require_new_citizen(reader: StateReader, person: bytes, address: bytes) -> None:
    """Errors: `Rejected` PersonRegistered, AlreadyCitizen."""
    taken = read_person(reader, person)
    if taken is not None:
        raise Rejected(
            PERSON_REGISTERED, f"person {person.hex()} is the citizen at {taken.hex()}, once and for ever"
        )
    if read_citizen(reader, address) is not None:
        raise Rejected(
            ALREADY_CITIZEN, f"{address.hex()} is another person's; a person needs its own address"
        )


def check_citizen_attest(payload: CitizenAttest, _: ChainRules) -> None:
    """What no state can make valid. Errors: `PayloadInvalid`."""
    if is_reserved_address(payload.subject):
        raise PayloadInvalid(
            "citizen_attest", f"subject is {reserved_name(payload.subject)}, expected a person's address"
        )


def apply_citizen_attest(
    overlay: Overlay, transaction: SignedTransaction, payload: CitizenAttest, context: BlockContext
) -> tuple[int, ...]:
    """Put the sender's word on the person, instead of an earlier one; (how many say the same now,).

    Errors: `Rejected` NotRegistrar, PersonRegistered, AlreadyCitizen, AttestationConflict.
    """
    registrar, person, subject = transaction.sender, payload.person, payload.subject
    if registrar not in read_registrars(overlay):
        raise Rejected(NOT_REGISTRAR, f"{registrar.hex()} is no registrar; votes name them")
    require_new_citizen(overlay, person, subject)
    live = live_statements(overlay, person, context.epoch, context.staking)
    others = [one for one in live if one.registrar != registrar]
    contradicted = [one for one in others if one.subject != subject]
    if contradicted and len(others) == len(live):
        one = contradicted[0]
        raise Rejected(
            ATTESTATION_CONFLICT,
            f"registrar {one.registrar.hex()} has said {one.subject.hex()} of this person, not {subject.hex()}; "
            "it must correct itself first",
        )
    statements = sorted(
        [*others, Statement(registrar, subject, context.epoch)], key=lambda one: one.registrar
    )
    write_statements(overlay, person, tuple(statements))
    return (len(statements) - len(contradicted),)


CITIZEN_ATTEST: Final = Kind(
    number=40,
    name="citizen_attest",
    payload_codec=Codec(CitizenAttest, "citizen_attest payload", 64),
    check_payload=check_citizen_attest,
    apply=apply_citizen_attest,
    spends=spends_nothing,
    result_names=("attestations",),
)
