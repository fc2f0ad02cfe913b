"""What the state holds about the floor and its citizens, and under which keys. Bytes: README.

Every citizen is entitled to the same, so one running sum per category says what has been paid to each since ever; a
citizen's record holds how far it has been settled. So an epoch costs one record, whatever the number of citizens.
"""

from typing import Annotated, Final

import msgspec

from ledger.amounts import MAX_SUPPLY_UNITS, PPM
from ledger.economy.floor.categories import CATEGORY_COUNT, NOTHING
from ledger.encoding import Address20, Codec, Count, Hash32, Record
from ledger.errors import Malformed
from ledger.governed.registrars import MAX_REGISTRARS
from ledger.state import Overlay, StateReader

Units = Annotated[int, msgspec.Meta(ge=0, le=MAX_SUPPLY_UNITS)]
Ppm = Annotated[int, msgspec.Meta(ge=0, le=PPM)]
Total = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
"""A sum since ever, u128 big-endian."""
ByCategory = Annotated[tuple[Count, ...], msgspec.Meta(min_length=CATEGORY_COUNT, max_length=CATEGORY_COUNT)]
"""Units, in the order of the categories."""


# records --------------------------------------------------------------------------------------------------------------


class FloorState(Record, frozen=True):
    """The floor as a whole."""

    epoch: Count
    """That the last transition began."""
    population: Count
    """Citizens."""
    registrations: Count
    """Of the running epoch."""
    owed_units: Units
    """Of F_FLOOR's balance: what has been paid to citizens' allowances and is not claimed or spent yet."""
    held_back_units: Units
    """Of F_FLOOR's balance: income that the debt backing has not released yet."""
    income_units: Units
    """Moved into F_FLOOR since the last transition."""
    accumulators: ByCategory
    """Units per citizen since ever."""
    paid_total: Total
    """Units that have left F_FLOOR since ever."""
    entitlement_units: Count
    """Of one citizen, for the epochs that the last transition closed."""
    payment_units: Count
    """What it got of it."""
    release_ppm: Ppm
    """Part of the income that the last transition released."""
    stability_ppm: Ppm
    """F_FLOOR's balance over a month's requirement at the last transition, at most all of it."""

    @property
    def paid_units(self) -> int:
        """Units that have left F_FLOOR since ever."""
        return int.from_bytes(self.paid_total, "big")


EMPTY_FLOOR: Final = FloorState(
    epoch=0,
    population=0,
    registrations=0,
    owed_units=0,
    held_back_units=0,
    income_units=0,
    accumulators=NOTHING,
    paid_total=bytes(16),
    entitlement_units=0,
    payment_units=0,
    release_ppm=PPM,
    stability_ppm=PPM,
)
"""What a state without a floor reads as."""


class Citizen(Record, frozen=True):
    """One person, at the one address that is its own for ever."""

    person: Hash32
    """Blinded commitment to who it is; only the registrars know more."""
    registered_epoch: Count
    seen: ByCategory
    """The accumulators up to which `left` is settled."""
    left: ByCategory
    """Allowances that are neither claimed nor spent."""
    claimed_units: Count
    """Paid to the citizen itself since ever."""
    spent_units: Count
    """Paid to others since ever."""


class Statement(Record, frozen=True):
    """One registrar's word on a person."""

    registrar: Address20
    subject: Address20
    """The person's address."""
    epoch: Count
    """When it was given."""


Statements = Annotated[tuple[Statement, ...], msgspec.Meta(max_length=MAX_REGISTRARS)]

FLOOR_CODEC: Final = Codec(FloorState, "floor state", 256)
CITIZEN_CODEC: Final = Codec(Citizen, "citizen", 256)
STATEMENTS_CODEC: Final[Codec[tuple[Statement, ...]]] = Codec(
    Statements,
    "statements on a person",
    64 * MAX_REGISTRARS,
)

# keys -----------------------------------------------------------------------------------------------------------------

FLOOR_KEY: Final = b"cf"
CITIZEN_PREFIX: Final = b"cc"
PERSON_PREFIX: Final = b"cp"
STATEMENTS_PREFIX: Final = b"ca"


def citizen_key(address: bytes) -> bytes:
    """State key of the citizen at a 20-byte address. Never deleted."""
    return CITIZEN_PREFIX + address


def person_key(person: bytes) -> bytes:
    """State key that says which address a person (32 bytes) has registered. Never deleted: one person, one address."""
    return PERSON_PREFIX + person


def statements_key(person: bytes) -> bytes:
    """State key of what registrars say about a person (32 bytes) that has not registered yet."""
    return STATEMENTS_PREFIX + person


# reading and writing --------------------------------------------------------------------------------------------------


def read_floor(reader: StateReader) -> FloorState:
    """The floor; empty when nothing has happened yet. Errors: `CodecError` for a damaged state."""
    raw = reader.get(FLOOR_KEY)
    return EMPTY_FLOOR if raw is None else FLOOR_CODEC.decode(raw)


def write_floor(overlay: Overlay, floor: FloorState) -> None:
    """Put the floor."""
    overlay.put(FLOOR_KEY, FLOOR_CODEC.encode(floor))


def read_citizen(reader: StateReader, address: bytes) -> Citizen | None:
    """The citizen at a 20-byte address, or None."""
    raw = reader.get(citizen_key(address))
    return None if raw is None else CITIZEN_CODEC.decode(raw)


def write_citizen(overlay: Overlay, address: bytes, citizen: Citizen) -> None:
    """Put a citizen."""
    overlay.put(citizen_key(address), CITIZEN_CODEC.encode(citizen))


def read_person(reader: StateReader, person: bytes) -> bytes | None:
    """The address (20 bytes) that a person has registered, or None. Errors: `Malformed` for a damaged state."""
    address = reader.get(person_key(person))
    if address is not None and len(address) != 20:
        raise Malformed("person", f"{len(address)} bytes, expected 20")
    return address


def read_statements(reader: StateReader, person: bytes) -> tuple[Statement, ...]:
    """What registrars have said about a person, ascending by registrar; some of it may count no more."""
    raw = reader.get(statements_key(person))
    return () if raw is None else STATEMENTS_CODEC.decode(raw)


def write_statements(overlay: Overlay, person: bytes, statements: tuple[Statement, ...]) -> None:
    """Put what registrars say about a person."""
    overlay.put(statements_key(person), STATEMENTS_CODEC.encode(statements))


def note_floor_income(overlay: Overlay, units: int) -> None:
    """Note `units` (>= 0) that were moved into F_FLOOR: the next accrual releases a part of them or all.

    Whoever moves units into F_FLOOR calls this in the same journal.
    """
    if units:
        floor = read_floor(overlay)
        write_floor(overlay, msgspec.structs.replace(floor, income_units=floor.income_units + units))
