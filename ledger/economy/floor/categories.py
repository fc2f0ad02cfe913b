"""The seven categories of the floor, what each is worth a month, and how a payment is divided among them."""

from typing import Final

from ledger.amounts import PPM
from ledger.governed.parameters import FLOOR_PARAMETERS, read_parameter
from ledger.state import StateReader

CATEGORIES: Final = ("food", "water", "housing", "energy", "healthcare", "connectivity", "recycling")
"""A category's place is its number on the wire, 0 to 6. Source: seed 9; ledger.md, BHLS floor."""

CATEGORY_COUNT: Final = len(CATEGORIES)

NOTHING: Final = (0,) * CATEGORY_COUNT

_GOLDEN_PPM: Final = 618_034
"""The golden ratio's fraction: its multiples fill a circle evenly (Weyl 1916), and no two epochs of 1,000,000 meet."""


def monthly_basket(reader: StateReader) -> tuple[int, ...]:
    """Units of each category that a citizen is entitled to in a month; none below its default, 1,150 NXT together."""
    return tuple([read_parameter(reader, parameter) for parameter in FLOOR_PARAMETERS])


def entitled_units(month_units: int, epoch: int, later_epoch: int, month_epochs: int) -> int:
    """Units that a citizen is entitled to for the epochs from `epoch` up to `later_epoch`, which is not before it.

    The difference of what all epochs since ever are worth: whatever the steps, they sum to the whole, and rounding
    loses nothing but a part of one unit.
    """
    return month_units * later_epoch // month_epochs - month_units * epoch // month_epochs


def divided(payment_units: int, basket: tuple[int, ...], epoch: int) -> tuple[int, ...]:
    """A payment of `payment_units` (>= 0) by category, in proportion to `basket`; the parts sum to the payment.

    A part is the difference of two running sums of weights, each rounded down from an offset that turns with the epoch:
    so payments of a few units reach all categories in time, not always the same.
    """
    month_units = sum(basket)
    offset = month_units * (epoch * _GOLDEN_PPM % PPM) // PPM
    parts = []
    weight = before = 0
    for units in basket:
        weight += units
        upto = (payment_units * weight + offset) // month_units
        parts.append(upto - before)
        before = upto
    return tuple(parts)
