"""The published formulas, computed again: nothing of `ledger` is used here, so that a fault there is a difference.

Sources: README.md of ledger/economy (messages, the loop), of its floor, of ledger/exchange, ledger/oracle and
ledger/governance, and ledger/economy/MONETARY_POLICY.md. Integers, and fractions where a formula is written with them.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from math import floor, isqrt

PPM = 1_000_000
NXT = 100_000_000
ONE = 1 << 32

CENTRES_PM = (415_000, 472_500, 532_500, 580_000, 605_000, 685_000)
PRIORITY = (Fraction(1, 2), Fraction(1), Fraction(2), Fraction(4))
SECTORS = (
    *("ELECTRICITY", "WATER", "MANUFACTURING", "LOGISTICS", "FOOD", "AGRICULTURE"),
    *("HORTICULTURE", "AQUACULTURE", "SERVICES", "TECHNOLOGY", "CARBON", "ENVIRONMENTAL"),
)
SECTOR_WEIGHTS = (12, 8, 12, 8, 10, 10, 8, 7, 10, 5, 5, 5)
"""Percent."""
CATEGORIES = ("food", "water", "housing", "energy", "healthcare", "connectivity", "recycling")
LOCKED_SHARES = 1_000
START_DEBT_USD = 300 * 10**12
VALIDATORS_YEARLY_UNITS = 300_000 * NXT * 2 // 100
TREASURY_AT_GENESIS_UNITS = 500_000 * NXT


# messages and the loop


def message_units(region: int, priority: int, size_bytes: int, rise_ppm: int) -> int:
    """What a message burns: the energy of its bytes as photons of the region's centre."""
    units = max(1, floor(19_864_458_000 * size_bytes * PRIORITY[priority] / CENTRES_PM[region]))
    return units * (PPM + rise_ppm) // PPM


def largest_remainder(units: int, weights: Sequence[int]) -> list[int]:
    """`units` by `weights` (not all 0), a unit each to the greatest remainders, the first among equals."""
    quotas = [Fraction(units * weight, sum(weights)) for weight in weights]
    parts = [floor(quota) for quota in quotas]
    order = sorted(range(len(parts)), key=lambda place: (parts[place] - quotas[place], place))
    for place in order[: units - sum(parts)]:
        parts[place] += 1
    return parts


def sector_parts(units: int, demands_ppm: Sequence[int]) -> list[int]:
    """An allocation by sector: weight times demand."""
    return largest_remainder(
        units, [w * demand for w, demand in zip(SECTOR_WEIGHTS, demands_ppm, strict=True)]
    )


def drain_units(have: int, need: int, reserve: int, limit_ppm: int) -> int:
    """What a crisis takes from the reserve: the lack, within the reserve and the epoch's limit."""
    return min(max(0, need - max(0, have)), reserve * limit_ppm // PPM)


# exchange


def swap_out(paid: int, reserve_in: int, reserve_out: int, fee_bp: int) -> int:
    """What comes out for `paid`, for the pool."""
    kept = Fraction(paid * (10_000 - fee_bp), 10_000)
    return floor(reserve_out * kept / (reserve_in + kept))


def swap_in(wanted: int, reserve_in: int, reserve_out: int, fee_bp: int) -> int:
    """What must go in for `wanted`: rounded down and one more, as in Uniswap v2."""
    exact = Fraction(reserve_in * wanted, reserve_out - wanted) * Fraction(10_000, 10_000 - fee_bp)
    return floor(exact) + 1


def founding_shares(first: int, second: int) -> int:
    """The founder's shares."""
    return isqrt(first * second) - LOCKED_SHARES


def added_liquidity(
    max_first: int, max_second: int, reserve_first: int, reserve_second: int, shares: int
) -> tuple[int, int, int]:
    """(first, second, new shares): shares rounded down, what they cost rounded up."""
    new = min(max_first * shares // reserve_first, max_second * shares // reserve_second)
    return -(-new * reserve_first // shares), -(-new * reserve_second // shares), new


def removed_liquidity(gone: int, reserve_first: int, reserve_second: int, shares: int) -> tuple[int, int]:
    """(first, second), both rounded down."""
    return gone * reserve_first // shares, gone * reserve_second // shares


# floor and debt backing


def entitled_units(month_units: int, since: int, epoch: int, month_epochs: int) -> int:
    """A citizen's entitlement for the epochs from `since` up to `epoch`: a difference of two sums since ever."""
    return month_units * epoch // month_epochs - month_units * since // month_epochs


def by_category(payment: int, basket: Sequence[int], epoch: int) -> list[int]:
    """A payment by category: differences of running sums, from an offset that turns with the epoch."""
    month = sum(basket)
    offset = month * (epoch * 618_034 % PPM) // PPM
    sums = [(payment * sum(basket[:upto]) + offset) // month for upto in range(len(basket) + 1)]
    return [after - before for before, after in pairwise(sums)]


def grown_debt_usd(value_usd: int, age_epochs: int, year_epochs: int) -> int:
    """5 % a year: whole years compound, the rest is linear."""
    years, rest = divmod(age_epochs, year_epochs)
    return floor(value_usd * Fraction(105, 100) ** years * (1 + Fraction(5 * rest, 100 * year_epochs)))


def released_ppm(
    citizens: int,
    month_units: int,
    debt_usd: int,
    circulating: int,
    conversion: int,
    rate_ppm: int,
    least_ppm: int,
) -> int:
    """Part of the floor's income that is released: floor credits over what is required, within its bounds."""
    backing = debt_usd * PPM * NXT // circulating
    credit = citizens * backing * conversion * rate_ppm // (PPM * PPM * PPM)
    required = citizens * month_units * 12 // 365
    return max(least_ppm, min(PPM, credit * PPM // required))


# governance


def proposal_deposit(base: int, places: int) -> int:
    """What a proposal deposits while `places` others, emergencies aside, are open: twice as much for every eight."""
    return min(1_000_000 * NXT, base << places // 8)


# oracle


def weighted_lower_median(weighed: Sequence[tuple[int, int]]) -> int:
    """Of (value, weight): the least value up to which lies half of the weight."""
    ordered = sorted(weighed)
    whole = sum(weight for _, weight in ordered)
    upto = 0
    for value, weight in ordered:
        upto += weight
        if 2 * upto >= whole:
            return value
    raise ValueError("no reports")


# monetary policy


def q32(part: int, whole: int) -> Fraction:
    """A signal: a part of its target in Q32.32, rounded down, at most 2."""
    return Fraction(min((part << 32) // whole, 2 * ONE), ONE)


def _limited(value: Fraction, limit: int = 1) -> Fraction:
    return max(Fraction(-limit), min(Fraction(limit), value))


def _floored(value: Fraction) -> Fraction:
    return Fraction(floor(value * ONE), ONE)


def nexus_equation(
    signals: Mapping[str, Fraction],
    coefficients_ppm: Mapping[str, int],
    last_error: Fraction | None,
    integral: Fraction,
    epochs: int,
    day_epochs: int,
) -> tuple[Fraction, Fraction, Fraction]:
    """(u, e, I) of one step. `signals`: C, D, E, x; `coefficients_ppm`: alpha … kd; `last_error` None at the first."""
    weight = {name: Fraction(ppm, PPM) for name, ppm in coefficients_ppm.items()}
    error = 1 - signals["x"]
    slope = Fraction(0)
    if last_error is not None:
        slope = _limited(_floored((error - last_error) * day_epochs / epochs))
    present = (
        weight["alpha"] * signals["C"]
        + weight["beta"] * signals["D"]
        + weight["gamma"] * signals["E"]
        - weight["delta"] * signals["x"]
        + weight["kp"] * error
        + weight["kd"] * slope
    )
    after = integral + error * epochs / day_epochs
    if weight["ki"]:
        step = Fraction(1, ONE * day_epochs)
        if error > 0:
            room = -floor(-((1 - present) / weight["ki"] / step)) * step
            after = min(after, max(integral, room))
        elif error < 0:
            room = floor((-1 - present) / weight["ki"] / step) * step
            after = max(after, min(integral, room))
    after = _limited(after)
    output = _limited(_floored(present + weight["ki"] * after))
    return output, error, after


def floor_income_units(yearly_ppm: int, output: Fraction, epochs: int, year_epochs: int) -> int:
    """What the policy pays from TREASURY to F_FLOOR."""
    yearly = TREASURY_AT_GENESIS_UNITS * yearly_ppm // PPM
    return yearly * epochs * floor(max(output, Fraction(0)) * ONE) // year_epochs >> 32


def rewards_budget_units(epoch: int, year_epochs: int, output: Fraction) -> int:
    """The most that VALIDATOR_POOL may pay for an epoch: 2 % a year, halved every four."""
    budget = (VALIDATORS_YEARLY_UNITS // year_epochs) >> min(63, epoch // (4 * year_epochs))
    return floor(budget * max(output, Fraction(0)))
