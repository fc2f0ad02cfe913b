"""Reserve allocation: units of TRANSITION_RESERVE go to the twelve sectors by weight and demand, to the unit.

Economic loop, milestone 2. A sector's part is its weight times the demand reported for it; what rounding down leaves
goes, a unit each, to the greatest remainders, the lower sector number first among equals. Reserve and sectors are both
inside of R: this is no issuance.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from ledger.accounts import SECTOR_ADDRESSES, TRANSITION_RESERVE_ADDRESS
from ledger.amounts import require_units
from ledger.economy.apportionment import largest_remainder
from ledger.economy.journal import all_legs_or_none
from ledger.economy.loop_totals import read_loop_totals, write_loop_totals
from ledger.errors import AmountNotInteger, AmountOutOfRange
from ledger.registry import Rejected
from ledger.state import Overlay
from ledger.transfer import INSUFFICIENT_BALANCE

SECTOR_WEIGHTS_PPM: Final = (
    120_000,
    80_000,
    120_000,
    80_000,
    100_000,
    100_000,
    80_000,
    70_000,
    100_000,
    50_000,
    50_000,
    50_000,
)
"""In the order of `SECTORS`; their sum is 1,000,000 (ledger.md, The economic loop)."""


def sector_parts(units: int, demand_ppm: Sequence[int]) -> tuple[int, ...]:
    """`units` by sector: weight times demand (twelve ints >= 0). When nothing is in demand anywhere, weight alone."""
    weighted = [
        weight * demand for weight, demand in zip(SECTOR_WEIGHTS_PPM, _demands(demand_ppm), strict=True)
    ]
    return largest_remainder(units, weighted if any(weighted) else SECTOR_WEIGHTS_PPM)


def _demands(demand_ppm: Sequence[int]) -> Sequence[int]:
    """Checked. Errors: `AmountNotInteger`, `AmountOutOfRange`."""
    if len(demand_ppm) != len(SECTOR_WEIGHTS_PPM):
        raise AmountOutOfRange("number of demands", len(demand_ppm), 12, 12)
    for demand in demand_ppm:
        if type(demand) is not int:
            raise AmountNotInteger("demand", demand)
        if demand < 0:
            raise AmountOutOfRange("demand", demand, 0, 2**63 - 1)
    return demand_ppm


class ReserveLiquidityAllocator:
    """The seed's named entry to the allocation, over one overlay."""

    __slots__ = ("_overlay",)

    def __init__(self, overlay: Overlay) -> None:
        self._overlay = overlay

    def allocate_reserve_to_pools(self, units: int, demand_ppm: Sequence[int]) -> tuple[int, ...]:
        """Snapshot, execute, roll back: all twelve legs and the totals, or nothing. O(12).

        `units` of TRANSITION_RESERVE, `demand_ppm` twelve ints >= 0 (1,000,000 is neutral). Returns the units of each
        sector, whose sum is `units`. Errors, with nothing written: `AmountNotInteger`, `AmountOutOfRange`, `Rejected`
        InsufficientBalance when the reserve holds less.
        """
        overlay = self._overlay
        parts = sector_parts(require_units(units), demand_ppm)
        if not units:
            return parts
        with all_legs_or_none(overlay):
            if overlay.debit(TRANSITION_RESERVE_ADDRESS, units) is None:
                reserve = overlay.account(TRANSITION_RESERVE_ADDRESS).balance
                raise Rejected(INSUFFICIENT_BALANCE, f"the reserve holds {reserve} units, {units} needed")
            totals = read_loop_totals(overlay)
            sectors = list(totals.sectors)
            for sector, part in enumerate(parts):
                if part:
                    overlay.credit(SECTOR_ADDRESSES[sector], part)
                    known = sectors[sector]
                    sectors[sector] = msgspec.structs.replace(
                        known, allocated_units=known.allocated_units + part
                    )
            write_loop_totals(overlay, msgspec.structs.replace(totals, sectors=tuple(sectors)))
        return parts
