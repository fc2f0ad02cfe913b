"""The floor's regular income out of the loop: a governed part of the reserve and of every sector, once an epoch.

Everything stays inside of R: this is no issuance.
"""

from dataclasses import dataclass

import msgspec

from ledger.accounts import F_FLOOR_ADDRESS, SECTOR_ADDRESSES, TRANSITION_RESERVE_ADDRESS
from ledger.amounts import PPM
from ledger.economy.floor.records import note_floor_income
from ledger.economy.journal import all_legs_or_none
from ledger.economy.loop_totals import read_loop_totals, write_loop_totals
from ledger.governed.parameters import FLOOR_RESERVE_SHARE_PPM, FLOOR_SECTOR_SHARE_PPM, read_parameter
from ledger.state import Overlay
from ledger.transfer import move_units


@dataclass(frozen=True, slots=True)
class FloorShare:
    """What F_FLOOR got in one epoch; units."""

    reserve_units: int
    sector_units: tuple[int, ...]
    """In the order of `SECTORS`."""

    @property
    def total_units(self) -> int:
        """All of it."""
        return self.reserve_units + sum(self.sector_units)


def pay_floor_share(overlay: Overlay) -> FloorShare:
    """Move the governed parts, each rounded down, into F_FLOOR and note them as its income; all legs or none. O(12)."""
    of_reserve = read_parameter(overlay, FLOOR_RESERVE_SHARE_PPM)
    of_sector = read_parameter(overlay, FLOOR_SECTOR_SHARE_PPM)
    share = FloorShare(
        overlay.account(TRANSITION_RESERVE_ADDRESS).balance * of_reserve // PPM,
        tuple(overlay.account(address).balance * of_sector // PPM for address in SECTOR_ADDRESSES),
    )
    if not share.total_units:
        return share
    with all_legs_or_none(overlay):
        totals = read_loop_totals(overlay)
        sectors = list(totals.sectors)
        if share.reserve_units:
            move_units(overlay, TRANSITION_RESERVE_ADDRESS, F_FLOOR_ADDRESS, share.reserve_units)
        for sector, units in enumerate(share.sector_units):
            if units:
                move_units(overlay, SECTOR_ADDRESSES[sector], F_FLOOR_ADDRESS, units)
                known = sectors[sector]
                sectors[sector] = msgspec.structs.replace(known, floor_units=known.floor_units + units)
        note_floor_income(overlay, share.total_units)
        write_loop_totals(
            overlay,
            msgspec.structs.replace(
                totals,
                sectors=tuple(sectors),
                reserve_floor_units=totals.reserve_floor_units + share.reserve_units,
            ),
        )
    return share
