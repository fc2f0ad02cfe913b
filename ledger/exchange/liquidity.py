"""Founding a pool, adding liquidity, taking it out. Every function is atomic only within the caller's checkpoint."""

from typing import Final

import msgspec

from ledger.exchange.math import MINIMUM_SHARES, added_shares, first_shares, removed_amounts
from ledger.exchange.pools import (
    Pool,
    address_of_pair,
    known_pool,
    read_pool,
    reserves_of,
    write_pool,
)
from ledger.exchange.positions import read_position, with_added, with_removed, write_position
from ledger.exchange.reasons import (
    INSUFFICIENT_SHARES,
    POOL_EXISTS,
    POSITION_LOCKED,
    SLIPPAGE_EXCEEDED,
)
from ledger.exchange.twap import advanced, write_first_observation
from ledger.registry import Rejected
from ledger.rules import BlockContext
from ledger.state import Overlay
from ledger.tokens.records import move_asset

REMEMBERED_BESIDE_A_VOTE: Final = 4
"""Epochs that additions are remembered for beside a vote's own: its snapshot is older, its closing may be late."""


def create_pool(
    overlay: Overlay,
    founder: bytes,
    first: bytes,
    second: bytes,
    fee_bp: int,
    first_amount: int,
    second_amount: int,
    context: BlockContext,
) -> tuple[int, int, int]:
    """Found the pool of two assets, `first` the lesser, with a fee of 10 to 50: (first, second, the founder's shares).

    The founder sets the price, all amounts are taken, and 1,000 shares are nobody's for ever. Errors: `Rejected`
    PoolExists, InsufficientLiquidity, and those of `move_asset`.
    """
    address = address_of_pair(first, second)
    if read_pool(overlay, address) is not None:
        raise Rejected(POOL_EXISTS, f"the pool {address.hex()} of these assets exists; add liquidity to it")
    shares = first_shares(first_amount, second_amount)
    move_asset(overlay, first, founder, address, first_amount)
    move_asset(overlay, second, founder, address, second_amount)
    everything = shares + MINIMUM_SHARES
    pool = Pool(address, first, second, fee_bp, everything, everything, context.slot, context.epoch, 0, 0)
    write_pool(overlay, pool)
    write_first_observation(overlay, pool)
    _add_to_position(overlay, address, founder, shares, context)
    return first_amount, second_amount, shares


def add_liquidity(
    overlay: Overlay,
    provider: bytes,
    address: bytes,
    max_first: int,
    max_second: int,
    min_shares: int,
    context: BlockContext,
) -> tuple[int, int, int]:
    """Buy the most shares that `max_first` and `max_second` allow of the pool at an address: (first, second, shares).

    Only what the shares cost is taken, in the ratio of the reserves. `provider` may be a system account; what then
    leaves a reserve its caller counts. Errors: `Rejected` UnknownPool, AmountTooSmall, AmountTooLarge,
    SlippageExceeded (fewer than `min_shares`), and those of `move_asset`.
    """
    pool = known_pool(overlay, address)
    reserve_first, reserve_second = reserves_of(overlay, pool)
    shares, first, second = added_shares(max_first, max_second, reserve_first, reserve_second, pool.shares)
    if shares < min_shares:
        raise Rejected(SLIPPAGE_EXCEEDED, f"{shares} shares, at least {min_shares} asked for")
    pool = advanced(overlay, pool, reserve_first, reserve_second, context)
    move_asset(overlay, pool.first, provider, address, first)
    move_asset(overlay, pool.second, provider, address, second)
    write_pool(overlay, msgspec.structs.replace(pool, shares=pool.shares + shares))
    _add_to_position(overlay, address, provider, shares, context)
    return first, second, shares


def remove_liquidity(
    overlay: Overlay,
    provider: bytes,
    address: bytes,
    shares: int,
    min_first: int,
    min_second: int,
    context: BlockContext,
) -> tuple[int, int, int]:
    """Give up `shares` (>= 1) of the pool at an address for their part of the reserves: (first, second, shares).

    Errors: `Rejected` UnknownPool, InsufficientShares, PositionLocked, AmountTooSmall, SlippageExceeded.
    """
    pool = known_pool(overlay, address)
    position = read_position(overlay, address, provider)
    if shares > position.shares:
        raise Rejected(INSUFFICIENT_SHARES, f"{position.shares} shares, {shares} to be removed")
    if context.epoch < position.locked_until_epoch:
        raise Rejected(
            POSITION_LOCKED,
            f"locked by a vote until epoch {position.locked_until_epoch}, this is epoch {context.epoch}",
        )
    reserve_first, reserve_second = reserves_of(overlay, pool)
    first, second = removed_amounts(shares, reserve_first, reserve_second, pool.shares)
    if first < min_first or second < min_second:
        raise Rejected(
            SLIPPAGE_EXCEEDED,
            f"{first} and {second} units, at least {min_first} and {min_second} asked for",
        )
    pool = advanced(overlay, pool, reserve_first, reserve_second, context)
    move_asset(overlay, pool.first, address, provider, first)
    move_asset(overlay, pool.second, address, provider, second)
    left = pool.shares - shares
    write_pool(overlay, msgspec.structs.replace(pool, shares=left, least_shares=min(left, pool.least_shares)))
    write_position(overlay, address, provider, with_removed(position, shares))
    return first, second, shares


def _add_to_position(
    overlay: Overlay, address: bytes, provider: bytes, shares: int, context: BlockContext
) -> None:
    position = read_position(overlay, address, provider)
    oldest = context.epoch - context.staking.voting_epochs - REMEMBERED_BESIDE_A_VOTE
    write_position(overlay, address, provider, with_added(position, shares, context.epoch, oldest))
