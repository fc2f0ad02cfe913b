"""The step `floor` of the epoch transition: what every citizen is paid for the epochs that end. README, Accrual.

O(1) in citizens and in skipped epochs: one record changes. What is paid stays in F_FLOOR, owed to the citizens, until
they claim or spend it; what is not paid stays there as well. No unit is moved or made here.
"""

import msgspec

from ledger.accounts import F_FLOOR_ADDRESS
from ledger.amounts import PPM
from ledger.economy.debt_backing import debt_backing, governed_credit_units_per_day
from ledger.economy.floor.categories import divided, entitled_units, monthly_basket
from ledger.economy.floor.records import read_floor, write_floor
from ledger.epoch_steps import EpochChange
from ledger.errors import ConservationBroken
from ledger.governed.parameters import FLOOR_RELEASE_LEAST_PPM, read_parameter
from ledger.state import Overlay

MONTHS_PER_YEAR = 12
DAYS_PER_YEAR = 365


def release_ppm(credit_units_per_day: int, required_units_per_day: int, least_ppm: int) -> int:
    """Part of the floor's income that is released: floor credits over what the citizens require, within its bounds.

    `required_units_per_day` at least 1, `least_ppm` 500,000 to 1,000,000.
    """
    return max(least_ppm, min(PPM, credit_units_per_day * PPM // required_units_per_day))


def required_units_per_day(population: int, month_units: int) -> int:
    """What `population` citizens are entitled to a day, rounded down."""
    return population * month_units * MONTHS_PER_YEAR // DAYS_PER_YEAR


def stability_ppm(balance_units: int, population: int, month_units: int) -> int:
    """F_FLOOR's balance over what its citizens are entitled to in a month, at most 1,000,000; that without citizens."""
    if not population:
        return PPM
    return min(PPM, balance_units * PPM // (population * month_units))


def accrue_floor(overlay: Overlay, change: EpochChange) -> None:
    """The step. Errors: `ConservationBroken` when F_FLOOR does not hold what it owes and holds back."""
    context = change.context
    floor = read_floor(overlay)
    basket = monthly_basket(overlay)
    month_units = sum(basket)
    citizens = max(1, floor.population)
    backing = debt_backing(overlay, context.epoch, context.staking)
    released = release_ppm(
        governed_credit_units_per_day(overlay, citizens, backing.micro_usd_per_nxt),
        required_units_per_day(citizens, month_units),
        read_parameter(overlay, FLOOR_RELEASE_LEAST_PPM),
    )
    held_back = (floor.held_back_units + floor.income_units) * (PPM - released) // PPM
    balance = overlay.account(F_FLOOR_ADDRESS).balance
    available = balance - floor.owed_units - held_back
    if available < 0:
        raise ConservationBroken("floor", balance, floor.owed_units + held_back)
    entitlement = entitled_units(month_units, floor.epoch, context.epoch, context.staking.month_epochs)
    payment = min(entitlement, available // citizens) if floor.population else 0
    parts = divided(payment, basket, context.epoch)
    write_floor(
        overlay,
        msgspec.structs.replace(
            floor,
            epoch=context.epoch,
            registrations=0,
            owed_units=floor.owed_units + payment * floor.population,
            held_back_units=held_back,
            income_units=0,
            accumulators=tuple([units + part for units, part in zip(floor.accumulators, parts, strict=True)]),
            entitlement_units=entitlement,
            payment_units=payment,
            release_ppm=released,
            stability_ppm=stability_ppm(balance, floor.population, month_units),
        ),
    )
