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

    The sum is the least, over k, of k c and all but the k greatest stakes; so c must fulfil (12 − k) c <= all but the k
    greatest for each k below 12, and further ones are no bound. (A cap of a twelfth of the plain total would leave a
    holder of 90 % with 45 %.)
    """
    left = sum(stakes)
    cap = left // FULL_MODE_VALIDATORS
    greatest = sorted(stakes, reverse=True)[: FULL_MODE_VALIDATORS - 1]
    for capped, stake in enumerate(greatest, start=1):
        left -= stake
        cap = min(cap, left // (FULL_MODE_VALIDATORS - capped))
    return cap
