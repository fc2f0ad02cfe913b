"""Swaps: one to four pools in a row, all of them or none. The sender signs what it gives and gets at the worst."""

from typing import Final

import msgspec

from ledger.exchange.math import amount_in, amount_out, check_trade
from ledger.exchange.pools import Pool, address_of_pair, fee_of, read_pool, write_pool
from ledger.exchange.reasons import SLIPPAGE_EXCEEDED, UNKNOWN_POOL
from ledger.exchange.twap import advanced
from ledger.registry import Rejected
from ledger.rules import BlockContext
from ledger.state import Overlay, StateReader
from ledger.tokens.records import asset_balance, move_asset

EXACT_IN: Final = 0
"""The amount is what the sender gives; the limit, the least that it gets."""
EXACT_OUT: Final = 1
"""The amount is what the sender gets; the limit, the most that it gives."""

MAX_HOPS: Final = 4


class Hop(msgspec.Struct, frozen=True, gc=False):
    """One pool of a path, as it stands before the swap, and what would go in and out."""

    pool: Pool
    forward: bool
    """Whether the pool's first asset goes in."""
    reserve_in: int
    reserve_out: int
    fee_bp: int
    amount_in: int
    amount_out: int


def plan_swap(reader: StateReader, path: tuple[bytes, ...], exact: int, amount: int) -> tuple[Hop, ...]:
    """The hops of a swap along 2 to 5 assets, no asset twice; `amount` (>= 1) goes in (exact 0) or comes out (1). Pure.

    No pool is twice in such a path, so the hops do not change each other's reserves. Errors: `Rejected` UnknownPool,
    InsufficientLiquidity, AmountTooSmall, AmountTooLarge.
    """
    hops = []
    if exact == EXACT_IN:
        for place in range(1, len(path)):
            pool, forward, reserve_in, reserve_out, fee_bp = _side(reader, path[place - 1], path[place])
            out = amount_out(amount, reserve_in, reserve_out, fee_bp)
            check_trade(reserve_in, reserve_out, fee_bp, amount, out)
            hops.append(Hop(pool, forward, reserve_in, reserve_out, fee_bp, amount, out))
            amount = out
    else:
        for place in range(len(path) - 1, 0, -1):
            pool, forward, reserve_in, reserve_out, fee_bp = _side(reader, path[place - 1], path[place])
            asked = amount_in(amount, reserve_in, reserve_out, fee_bp)
            check_trade(reserve_in, reserve_out, fee_bp, asked, amount)
            hops.append(Hop(pool, forward, reserve_in, reserve_out, fee_bp, asked, amount))
            amount = asked
        hops.reverse()
    return tuple(hops)


def _side(reader: StateReader, paid: bytes, received: bytes) -> tuple[Pool, bool, int, int, int]:
    """(pool, whether its first asset is paid, reserve of what is paid, of what is received, fee)."""
    address = address_of_pair(paid, received)
    pool = read_pool(reader, address)
    if pool is None:
        raise Rejected(UNKNOWN_POOL, f"no pool of {paid.hex()} and {received.hex()}; take another path")
    return (
        pool,
        paid == pool.first,
        asset_balance(reader, address, paid),
        asset_balance(reader, address, received),
        fee_of(reader, pool),
    )


def swap(
    overlay: Overlay,
    trader: bytes,
    path: tuple[bytes, ...],
    exact: int,
    amount: int,
    limit: int,
    context: BlockContext,
) -> tuple[int, int]:
    """Carry out a swap of `trader` along `path` (as `plan_swap`): (amount in, amount out).

    The units go from the trader through the pools to the trader. Atomic only within the caller's checkpoint. Errors:
    `Rejected` SlippageExceeded, those of `plan_swap`, and of `move_asset` when the trader has too little.
    """
    hops = plan_swap(overlay, path, exact, amount)
    given, got = hops[0].amount_in, hops[-1].amount_out
    if exact == EXACT_IN:
        if got < limit:
            raise Rejected(SLIPPAGE_EXCEEDED, f"{got} units out, at least {limit} asked for")
    elif given > limit:
        raise Rejected(SLIPPAGE_EXCEEDED, f"{given} units in, at most {limit} offered")
    holder = trader
    for asset, hop in zip(path, hops, strict=False):
        _note_prices(overlay, hop, context)
        move_asset(overlay, asset, holder, hop.pool.address, hop.amount_in)
        holder = hop.pool.address
    move_asset(overlay, path[-1], holder, trader, got)
    return given, got


def _note_prices(overlay: Overlay, hop: Hop, context: BlockContext) -> None:
    """Bring a pool's sums of prices up to this slot; the reserves are still as they were before the swap."""
    pool = hop.pool
    reserves = (hop.reserve_in, hop.reserve_out) if hop.forward else (hop.reserve_out, hop.reserve_in)
    now = advanced(overlay, pool, *reserves, context)
    if now is not pool:
        write_pool(overlay, now)
