"""What the steps of the economic loop have moved since genesis, for people and for audits; nothing is decided by it."""

from typing import Annotated, Final

import msgspec

from ledger.accounts import SECTORS
from ledger.encoding import Codec, Count, Record
from ledger.state import Overlay, StateReader

LOOP_KEY: Final = b"ll"
"""State key of `LoopTotals`; absent: nothing was moved yet."""

SECTOR_COUNT: Final = len(SECTORS)


class SectorTotals(Record, frozen=True):
    """What one sector's account has got and given; units since genesis."""

    allocated_units: Count
    """TRANSITION_RESERVE -> sector."""
    floor_units: Count
    """Sector -> F_FLOOR."""
    seeded_units: Count
    """Sector -> the exchange pool of its token; these were issued."""
    seedings: Count
    """In how many epochs it gave liquidity."""


class LoopTotals(Record, frozen=True):
    """All sectors, and what F_FLOOR got out of the reserve itself."""

    sectors: Annotated[
        tuple[SectorTotals, ...], msgspec.Meta(min_length=SECTOR_COUNT, max_length=SECTOR_COUNT)
    ]
    """In the order of `SECTORS`."""
    reserve_floor_units: Count
    """TRANSITION_RESERVE -> F_FLOOR as regular income; crisis drains are counted by their own record."""


NO_TOTALS: Final = LoopTotals((SectorTotals(0, 0, 0, 0),) * SECTOR_COUNT, 0)
LOOP_CODEC: Final = Codec(LoopTotals, "loop totals", 1_024)


def read_loop_totals(reader: StateReader) -> LoopTotals:
    """The totals so far."""
    raw = reader.get(LOOP_KEY)
    return NO_TOTALS if raw is None else LOOP_CODEC.decode(raw)


def write_loop_totals(overlay: Overlay, totals: LoopTotals) -> None:
    """Replace the totals."""
    overlay.put(LOOP_KEY, LOOP_CODEC.encode(totals))
