"""What people ask about the floor, read from a state; for RPC, the console and the audit. Writes nothing."""

from collections.abc import Iterator
from dataclasses import dataclass

from ledger.amounts import MAX_SUPPLY_UNITS
from ledger.economy.debt_backing import DebtBacking, debt_backing, governed_credit_units_per_day
from ledger.economy.floor.accrual import required_units_per_day, stability_ppm
from ledger.economy.floor.allowances import claimable_units, settled
from ledger.economy.floor.attestation import live_statements
from ledger.economy.floor.categories import CATEGORY_COUNT, monthly_basket
from ledger.economy.floor.need import crisis_need, floor_balance
from ledger.economy.floor.records import (
    CITIZEN_CODEC,
    CITIZEN_PREFIX,
    PERSON_PREFIX,
    Citizen,
    FloorState,
    Statement,
    read_citizen,
    read_floor,
    read_person,
)
from ledger.errors import CodecError
from ledger.governed.parameters import (
    ATTESTATIONS_NEEDED,
    FLOOR_CASH_PPM,
    REGISTRATIONS_PER_EPOCH,
    read_parameter,
)
from ledger.staking_rules import StakingRules
from ledger.state import StateListing, StateReader


@dataclass(frozen=True, slots=True)
class FloorView:
    """The floor as of an epoch, in units and ppm."""

    floor: FloorState
    balance_units: int
    """Of F_FLOOR."""
    free_units: int
    """Of these, neither owed nor held back nor waiting for the next accrual."""
    basket_units: tuple[int, ...]
    """Of one citizen and month, by category."""
    month_units: int
    """Of one citizen and month."""
    day_units: int
    """Of one citizen and day, rounded down."""
    required_month_units: int
    """Of all citizens."""
    required_day_units: int
    """Of all citizens, rounded down."""
    credit_units_per_day: int
    """Floor credits of all citizens: a weight and no money."""
    backing: DebtBacking
    stability_ppm: int
    """Of the present balance."""
    crisis_have_units: int
    crisis_need_units: int
    """There is a crisis when it has less than it needs."""
    registrations_left: int
    """That the running epoch has room for."""
    citizens_payable: int
    """For how many citizens the present balance would pay one month."""
    citizens_payable_by_supply: int
    """For how many citizens all NXT that exist would: the honest limit of any promise."""


@dataclass(frozen=True, slots=True)
class CitizenView:
    """One citizen, settled up to now."""

    address: bytes
    citizen: Citizen
    """Its `left` holds all that it was paid."""
    left_units: int
    claimable_units: int
    """Of these, what may be claimed as money now."""


@dataclass(frozen=True, slots=True)
class AttestationView:
    """What is known of one person."""

    address: bytes | None
    """Where it is a citizen; None: it is none yet."""
    statements: tuple[Statement, ...]
    """That count now, ascending by registrar; none once it has registered."""
    needed: int
    """How many must name one address."""

    def ready_for(self, address: bytes) -> bool:
        """Whether the person could register at `address`, were it no citizen and the epoch not full."""
        agreed = all(one.subject == address for one in self.statements)
        return self.address is None and agreed and len(self.statements) >= self.needed


def floor_view(reader: StateReader, epoch: int, rules: StakingRules) -> FloorView:
    """The floor as of `epoch`. Errors: `CodecError` for a damaged state."""
    floor = read_floor(reader)
    basket = monthly_basket(reader)
    month_units = sum(basket)
    balance = floor_balance(reader)
    backing = debt_backing(reader, epoch, rules)
    need = crisis_need(reader)
    return FloorView(
        floor=floor,
        balance_units=balance,
        free_units=balance - floor.owed_units - floor.held_back_units - floor.income_units,
        basket_units=basket,
        month_units=month_units,
        day_units=required_units_per_day(1, month_units),
        required_month_units=floor.population * month_units,
        required_day_units=required_units_per_day(floor.population, month_units),
        credit_units_per_day=governed_credit_units_per_day(
            reader, floor.population, backing.micro_usd_per_nxt
        ),
        backing=backing,
        stability_ppm=stability_ppm(balance, floor.population, month_units),
        crisis_have_units=need.have_units,
        crisis_need_units=need.need_units,
        registrations_left=max(0, read_parameter(reader, REGISTRATIONS_PER_EPOCH) - floor.registrations),
        citizens_payable=balance // month_units,
        citizens_payable_by_supply=MAX_SUPPLY_UNITS // month_units,
    )


def citizen_view(reader: StateReader, address: bytes) -> CitizenView | None:
    """The citizen at a 20-byte address, or None. Errors: `CodecError` for a damaged state."""
    citizen = read_citizen(reader, address)
    if citizen is None:
        return None
    now = settled(citizen, read_floor(reader))
    return CitizenView(
        address, now, sum(now.left), claimable_units(now, read_parameter(reader, FLOOR_CASH_PPM))
    )


def attestation_view(reader: StateReader, person: bytes, epoch: int, rules: StakingRules) -> AttestationView:
    """What is known of a person (32 bytes) in `epoch`. Errors: `CodecError` for a damaged state."""
    return AttestationView(
        read_person(reader, person),
        live_statements(reader, person, epoch, rules),
        read_parameter(reader, ATTESTATIONS_NEEDED),
    )


def citizens(state: StateListing) -> Iterator[tuple[bytes, Citizen]]:
    """(address, record as stored) of all citizens, ascending by address. Errors: `CodecError`."""
    for key, value in state.state(CITIZEN_PREFIX):
        yield key[len(CITIZEN_PREFIX) :], CITIZEN_CODEC.decode(value)


def audit_floor(state: StateListing, balance_units: int) -> tuple[int, list[str]]:
    """(units of `balance_units`, F_FLOOR's, that the floor accounts for, what contradicts a rule). Reads every citizen.

    * owed == Σ citizens (left + accumulators − seen); paid == Σ citizens (claimed + spent);
    * population == number of citizens, each the one that its person has registered;
    * balance(F_FLOOR) >= owed + held back + income that waits.
    """
    faults: list[str] = []
    number = owed = paid = 0
    try:
        floor = read_floor(state)
        for address, citizen in citizens(state):
            number += 1
            now = settled(citizen, floor)
            owed += sum(now.left)
            paid += citizen.claimed_units + citizen.spent_units
            if min(now.left) < 0 or any(
                floor.accumulators[place] < citizen.seen[place] for place in range(CATEGORY_COUNT)
            ):
                faults.append(f"citizen {address.hex()} has seen more than was ever paid")
            if read_person(state, citizen.person) != address:
                faults.append(
                    f"citizen {address.hex()} is person {citizen.person.hex()}, who is registered elsewhere"
                )
        persons = sum(1 for _ in state.state(PERSON_PREFIX))
    except CodecError as error:
        return 0, [f"floor records are damaged: {error}"]
    if floor.population != number or persons != number:
        faults.append(
            f"the floor counts {floor.population} citizens; there are {number}, and {persons} persons"
        )
    if floor.owed_units != owed:
        faults.append(f"citizens are owed {owed} units, the floor counts {floor.owed_units}")
    if floor.paid_units != paid:
        faults.append(f"citizens were paid {paid} units, the floor counts {floor.paid_units}")
    accounted = floor.owed_units + floor.held_back_units + floor.income_units
    if accounted > balance_units:
        faults.append(
            f"the floor owes, holds back and awaits {accounted} units, F_FLOOR holds {balance_units}"
        )
    return accounted, faults
