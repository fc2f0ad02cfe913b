"""The kind `citizen_register`: an attested person becomes a citizen, once and for ever. Rules: README, Citizens."""

from typing import Final

import msgspec

from ledger.economy.floor.attestation import ATTESTATION_CONFLICT, live_statements, require_new_citizen
from ledger.economy.floor.categories import NOTHING
from ledger.economy.floor.records import (
    Citizen,
    person_key,
    read_floor,
    statements_key,
    write_citizen,
    write_floor,
)
from ledger.encoding import Codec, Hash32, Record
from ledger.governed.parameters import ATTESTATIONS_NEEDED, REGISTRATIONS_PER_EPOCH, read_parameter
from ledger.registry import Kind, Rejected, spends_nothing
from ledger.rules import BlockContext, ChainRules
from ledger.state import Overlay
from ledger.transactions import SignedTransaction

NOT_ATTESTED: Final = "NotAttested"
REGISTRATIONS_FULL: Final = "RegistrationsFull"


class CitizenRegister(Record, frozen=True):
    """Payload of kind 41; the sender is the address that was attested."""

    person: Hash32
    """As the registrars have it."""


def check_citizen_register(_: CitizenRegister, __: ChainRules) -> None:
    """Every well-formed payload may be valid."""


def apply_citizen_register(
    overlay: Overlay, transaction: SignedTransaction, payload: CitizenRegister, context: BlockContext
) -> tuple[int, ...]:
    """Make the sender a citizen, who is paid from the next transition on; (citizens now,).

    Errors: `Rejected` PersonRegistered, AlreadyCitizen, NotAttested, AttestationConflict, RegistrationsFull.
    """
    address, person = transaction.sender, payload.person
    require_new_citizen(overlay, person, address)
    live = live_statements(overlay, person, context.epoch, context.staking)
    agreeing = [one for one in live if one.subject == address]
    needed = read_parameter(overlay, ATTESTATIONS_NEEDED)
    if len(agreeing) < needed:
        raise Rejected(
            NOT_ATTESTED, f"{len(agreeing)} registrars attest this person at the address, {needed} needed"
        )
    if len(agreeing) < len(live):
        raise Rejected(
            ATTESTATION_CONFLICT,
            f"{len(live) - len(agreeing)} of {len(live)} registrars attest this person at another address; "
            "they must agree first",
        )
    floor = read_floor(overlay)
    most = read_parameter(overlay, REGISTRATIONS_PER_EPOCH)
    if floor.registrations >= most:
        raise Rejected(
            REGISTRATIONS_FULL,
            f"{floor.registrations} registrations in this epoch, at most {most}; try in the next",
        )
    overlay.put(person_key(person), address)
    overlay.delete(statements_key(person))
    write_citizen(
        overlay,
        address,
        Citizen(
            person=person,
            registered_epoch=context.epoch,
            seen=floor.accumulators,
            left=NOTHING,
            claimed_units=0,
            spent_units=0,
        ),
    )
    write_floor(
        overlay,
        msgspec.structs.replace(
            floor, population=floor.population + 1, registrations=floor.registrations + 1
        ),
    )
    return (floor.population + 1,)


def _four_records(_: CitizenRegister) -> int:
    """Person, statements, citizen, floor."""
    return 4


CITIZEN_REGISTER: Final = Kind(
    number=41,
    name="citizen_register",
    payload_codec=Codec(CitizenRegister, "citizen_register payload", 64),
    check_payload=check_citizen_register,
    apply=apply_citizen_register,
    spends=spends_nothing,
    touches=_four_records,
    result_names=("population",),
)
