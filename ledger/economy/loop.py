"""The economic loop's steps of the epoch transition: reserve, floor_share, crisis. README, The loop.

Each takes what the chain has, asks governance for the shares and moves what there is, in whole units; nothing anywhere
is as good as plenty. O(12), whatever the number of citizens or of skipped epochs: one transition is one step.
"""

from ledger.accounts import TRANSITION_RESERVE_ADDRESS
from ledger.amounts import PPM
from ledger.economy.allocation import ReserveLiquidityAllocator
from ledger.economy.crisis import CrisisDrainController
from ledger.economy.floor.need import crisis_need
from ledger.economy.floor_share import pay_floor_share
from ledger.economy.journal import all_legs_or_none
from ledger.economy.seeding import seed_sector_pools
from ledger.economy.supply_chain import demand_of_sectors
from ledger.epoch_steps import EpochChange
from ledger.governed.parameters import CRISIS_DRAIN_LIMIT_PPM, RESERVE_SHARE_PPM, read_parameter
from ledger.state import Overlay, StateReader


def _reserve_units(overlay: Overlay) -> int:
    return overlay.account(TRANSITION_RESERVE_ADDRESS).balance


def due_allocation_units(reader: StateReader, reserve_units: int) -> int:
    """The governed part of a reserve of `reserve_units`, rounded down."""
    return reserve_units * read_parameter(reader, RESERVE_SHARE_PPM) // PPM


def drain_limit_units(reader: StateReader, reserve_units: int) -> int:
    """The greatest part of a reserve of `reserve_units` that one epoch's crisis may take, rounded down."""
    return reserve_units * read_parameter(reader, CRISIS_DRAIN_LIMIT_PPM) // PPM


def allocate_reserve(overlay: Overlay, change: EpochChange) -> None:
    """The step `reserve`: the governed part of the reserve to the sectors, then their liquidity to their pools.

    No liquidity after epochs without a chain block: a price that stood then stood because nobody could trade.
    """
    units = due_allocation_units(overlay, _reserve_units(overlay))
    with all_legs_or_none(overlay):
        if units:
            demand = demand_of_sectors(overlay, change.context.epoch)
            ReserveLiquidityAllocator(overlay).allocate_reserve_to_pools(units, demand)
        if change.context.epoch == change.closing_epoch + 1:
            seed_sector_pools(overlay, change.context)


def share_with_floor(overlay: Overlay, change: EpochChange) -> None:
    """The step `floor_share`."""
    pay_floor_share(overlay)


def guard_floor(overlay: Overlay, change: EpochChange) -> None:
    """The step `crisis`: drain at most the governed part of the reserve, only when the floor's near need is unmet."""
    need = crisis_need(overlay)
    if need.lack_units:
        limit = drain_limit_units(overlay, _reserve_units(overlay))
        CrisisDrainController(overlay).execute_crisis_drain(need, limit, change.context.epoch)
