"""What a stake counts for: no validator for more than a twelfth of all (reliability.md L21)."""

from collections.abc import Collection, Mapping
from typing import Final

FULL_MODE_VALIDATORS: Final = 12
"""From so many validators on (two per band) the cap holds; below it a set is in bootstrap mode, without a cap."""


def effective_stakes(stakes: Mapping[int, int]) -> dict[int, int]:
    """Effective stake in units for each of `stakes`, units by validator index."""
    if len(stakes) < FULL_MODE_VALIDATORS:
        return dict(stakes)
    cap = effective_stake_cap(stakes.values())
    return {index: min(units, cap) for index, units in stakes.items()}


def effective_stake_cap(stakes: Collection[int]) -> int:
    """The greatest c (units) with 12 c <= sum of min(stake, c): nobody then counts for more than a twelfth.

    sum(min(stake, c)) − 12 c is concave in c and 0 at c = 0, so the c that fulfil it are an interval from 0, and
    bisection finds its end. (A cap of a twelfth of the plain total would leave a holder of 90 % with 45 %.)
    """
    least, beyond = 0, sum(stakes) // FULL_MODE_VALIDATORS + 1
    while beyond - least > 1:
        middle = (least + beyond) >> 1
        if FULL_MODE_VALIDATORS * middle <= sum(min(stake, middle) for stake in stakes):
            least = middle
        else:
            beyond = middle
    return least
