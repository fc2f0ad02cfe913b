"""Debt backing: how much of the world's debt stands behind one NXT, and what that is worth in floor credits.

    debt per NXT = world debt / circulating NXT
    floor credits = population × debt per NXT × conversion × rate

The debt is the oracle's while that is fresh; otherwise it grows by 5 % a year from the last value, or from
300,000,000,000,000 USD at epoch 0. Credits are a weight: they decide how much of F_FLOOR's income is released, and can
create no unit. Source: seed 2; ledger.md, BHLS floor and debt backing. Worked example: floor/README.md.
"""

from dataclasses import dataclass
from typing import Final

from ledger.amounts import PPM, UNITS_PER_NXT
from ledger.governed.parameters import (
    DEBT_CREDIT_RATE_PPM,
    DEBT_CREDIT_UNITS_PER_MILLION_USD,
    read_parameter,
)
from ledger.issuance import read_flows
from ledger.oracle.feeds import GLOBAL_DEBT_USD
from ledger.oracle.records import read_feed
from ledger.staking_rules import StakingRules
from ledger.state import StateReader

START_DEBT_USD: Final = 300_000_000_000_000
"""At epoch 0, when the oracle never said anything."""

GROWTH_PERCENT: Final = 5
"""A year, without a fresher report."""

MAX_GROWTH_YEARS: Final = 250
"""By then every debt has reached the feed's greatest value: the least, 10^12 USD, times 1.05^250 is above 10^17 USD."""

_MICRO: Final = 1_000_000
_CREDIT_DENOMINATOR: Final = _MICRO * 1_000_000 * PPM
"""Micro-USD of a USD, USD of a million, ppm of the rate."""


@dataclass(frozen=True, slots=True)
class DebtBacking:
    """What stands behind one NXT."""

    debt_usd: int
    from_oracle: bool
    """Whether the oracle's value is fresh; otherwise it is grown."""
    value_epoch: int
    """Of the value that it is or has grown from."""
    circulating_units: int
    micro_usd_per_nxt: int


def grown_debt_usd(value_usd: int, value_epoch: int, epoch: int, epochs_per_year: int) -> int:
    """USD that a debt of `value_usd` at `value_epoch` has grown to at `epoch`, rounded down.

    Whole years compound, the rest of a year grows linearly: at a year's end both agree. At most what the feed allows.
    """
    years, rest = divmod(max(0, epoch - value_epoch), epochs_per_year)
    if years >= MAX_GROWTH_YEARS:
        years, rest = MAX_GROWTH_YEARS, 0
    grown: int = value_usd * (100 + GROWTH_PERCENT) ** years * (100 * epochs_per_year + GROWTH_PERCENT * rest)
    whole: int = 100 ** (years + 1) * epochs_per_year
    return min(GLOBAL_DEBT_USD.greatest, grown // whole)


def debt_usd(reader: StateReader, epoch: int, rules: StakingRules) -> int:
    """The world's debt in USD that counts in `epoch`. Errors: `CodecError` for a damaged state."""
    return _debt(reader, epoch, rules)[0]


def _debt(reader: StateReader, epoch: int, rules: StakingRules) -> tuple[int, bool, int]:
    """(USD, whether the oracle's value is fresh, epoch of the value that it is or has grown from)."""
    held = read_feed(reader, GLOBAL_DEBT_USD.number)
    if held is None:
        return grown_debt_usd(START_DEBT_USD, 0, epoch, rules.epochs_per_year), False, 0
    if epoch <= held.fresh_through:
        return held.value, True, held.epoch
    return grown_debt_usd(held.value, held.epoch, epoch, rules.epochs_per_year), False, held.epoch


def nxt_debt_backing_ratio(debt_usd: int, circulating_units: int) -> int:
    """Micro-USD of debt per circulating NXT, rounded down; 0 while nothing circulates that it could stand behind."""
    return debt_usd * _MICRO * UNITS_PER_NXT // circulating_units if circulating_units else 0


def floor_credit_units_per_day(
    population: int, micro_usd_per_nxt: int, conversion_units: int, rate_ppm: int
) -> int:
    """Floor credits of all citizens together, units a day, rounded down. A weight and no money.

    `conversion_units`: per citizen and day for each 1,000,000 USD behind one NXT; `rate_ppm`: the part that counts.
    """
    return population * micro_usd_per_nxt * conversion_units * rate_ppm // _CREDIT_DENOMINATOR


def debt_backing(reader: StateReader, epoch: int, rules: StakingRules) -> DebtBacking:
    """What stands behind one NXT in `epoch`. Errors: `CodecError`, `Malformed` for a damaged state."""
    debt, fresh, value_epoch = _debt(reader, epoch, rules)
    circulating = read_flows(reader).circulating_units
    return DebtBacking(debt, fresh, value_epoch, circulating, nxt_debt_backing_ratio(debt, circulating))


def governed_credit_units_per_day(reader: StateReader, population: int, micro_usd_per_nxt: int) -> int:
    """`floor_credit_units_per_day` with the conversion and rate that governance has set."""
    return floor_credit_units_per_day(
        population,
        micro_usd_per_nxt,
        read_parameter(reader, DEBT_CREDIT_UNITS_PER_MILLION_USD),
        read_parameter(reader, DEBT_CREDIT_RATE_PPM),
    )


def format_backing(micro_usd: int) -> str:
    """Micro-USD (>= 0) per NXT for people, with the precision that the value has, rounded half up.

    From $1 on two decimals, from $0.001 on four, below that scientific with all its digits: 91_140_000 -> `$91.14`,
    12_345 -> `$0.0123`, 100 -> `$1.00e-04`, 0 -> `$0.00`.
    """
    if micro_usd >= 1_000_000:
        dollars, cents = divmod((micro_usd + 5_000) // 10_000, 100)
        return f"${dollars:,}.{cents:02d}"
    if micro_usd >= 1_000:
        dollars, parts = divmod((micro_usd + 50) // 100, 10_000)
        return f"${dollars}.{parts:04d}"
    if micro_usd == 0:
        return "$0.00"
    digits = str(micro_usd)
    exponent = 7 - len(digits)
    digits = digits.ljust(3, "0")
    return f"${digits[0]}.{digits[1:]}e-{exponent:02d}"
