"""How validators are dealt into the bands of the spectrum: by stake, in an order that nobody chooses.

One function for everybody who deals: the schedules of proposers (consensus) and constitutional votes (governance), each
with a seed of its own.
"""

from collections.abc import Mapping
from typing import Final

from ledger.hashing import digest, tagged

BAND_COUNT: Final = 6
"""Bands of the visible spectrum (`wnsp.spectrum.BAND_COUNT`, which the ledger may not import)."""

_DEAL_TAG: Final = tagged("nexus/band-deal/v1")


def deal_into_bands(seed: bytes, stakes: Mapping[int, int], bands: int) -> tuple[tuple[int, ...], ...]:
    """Validator indices by band, in the order in which they are dealt. `stakes`: units by validator index.

    In order of BLAKE2b(seed ‖ index) each validator goes to the band with the least stake, the first of them when
    several have it.
    """
    order = sorted(stakes, key=lambda index: digest(_DEAL_TAG, seed, index.to_bytes(8, "big")))
    members: list[list[int]] = [[] for _ in range(bands)]
    dealt_units = [0] * bands
    for index in order:
        band = dealt_units.index(min(dealt_units))
        members[band].append(index)
        dealt_units[band] += stakes[index]
    return tuple(tuple(band) for band in members)
