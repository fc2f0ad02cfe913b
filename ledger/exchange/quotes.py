"""What a swap would give now, for people to decide on before they sign a limit. Pure reads; nothing here is consensus.

A quote is the very plan that the swap would carry out on the same state.
"""

from itertools import islice
from typing import Final

import msgspec

from ledger.addresses import NXT_ASSET
from ledger.amounts import PPM
from ledger.exchange.math import FEE_DENOMINATOR, amount_in, amount_out
from ledger.exchange.pools import POOL_PREFIX, Pool, decode_pool, fee_of, reserves_of
from ledger.exchange.swapping import EXACT_IN, MAX_HOPS, Hop, plan_swap
from ledger.registry import Rejected
from ledger.state import StateListing, StateReader

MAX_SEARCHED_POOLS: Final = 512
"""Pools that one search for a path looks at, in the order of their addresses; the direct one, and those of both assets
with NXT, always. About 40 ms of a core: whoever may ask over RPC asks for nothing more (reliability.md R6)."""


class HopQuote(msgspec.Struct, frozen=True, gc=False):
    """One pool of a quote."""

    pool: bytes
    """Its address."""
    amount_in: int
    amount_out: int
    fee_bp: int
    fee: int
    """Units of what goes in that stay for the providers, rounded up."""
    reserve_in: int
    reserve_out: int


class Quote(msgspec.Struct, frozen=True):
    """A whole swap."""

    path: tuple[bytes, ...]
    exact: int
    amount_in: int
    amount_out: int
    hops: tuple[HopQuote, ...]
    spot_price: tuple[int, int]
    """(numerator, denominator): units out for one unit in, at the reserves as they are and without fees."""
    price_impact_ppm: int
    """By how much the price is worse than the spot price because of the amount, fees apart; rounded up."""


def quote(reader: StateReader, path: tuple[bytes, ...], exact: int, amount: int) -> Quote:
    """The swap of `amount` (>= 1; in for exact 0, out for exact 1) along `path` of 2 to 5 assets, none twice.

    Errors: `Rejected`, as the swap itself would be, except for what the trader owns and its limit.
    """
    hops = plan_swap(reader, path, exact, amount)
    numerator = denominator = 1
    after_fees_in, after_fees_out = hops[0].amount_in, hops[-1].amount_out
    for hop in hops:
        numerator *= hop.reserve_out
        denominator *= hop.reserve_in
        after_fees_in *= FEE_DENOMINATOR - hop.fee_bp
        after_fees_out *= FEE_DENOMINATOR
    ideal, real = after_fees_in * numerator, after_fees_out * denominator
    impact = -(-(ideal - real) * PPM // ideal) if real < ideal else 0
    return Quote(
        path,
        exact,
        hops[0].amount_in,
        hops[-1].amount_out,
        tuple(map(_hop_quote, hops)),
        (numerator, denominator),
        impact,
    )


def _hop_quote(hop: Hop) -> HopQuote:
    return HopQuote(
        hop.pool.address,
        hop.amount_in,
        hop.amount_out,
        hop.fee_bp,
        -(-hop.amount_in * hop.fee_bp // FEE_DENOMINATOR),
        hop.reserve_in,
        hop.reserve_out,
    )


class _Side(msgspec.Struct, frozen=True, gc=False):
    """A pool seen from one of its assets."""

    other: bytes
    reserve_here: int
    reserve_other: int
    fee_bp: int


def best_quote(state: StateListing, given: bytes, wanted: bytes, exact: int, amount: int) -> Quote | None:
    """The best of the paths of up to 4 pools from one asset to another that a bounded search finds; None without any.

    For every number of hops the best path to each asset is kept and extended by each pool: at most 4 × 2 × 512
    formulas. That finds the best path unless its beginning goes through an asset that a better beginning needs later.
    """
    backwards = exact != EXACT_IN
    begin, end = (wanted, given) if backwards else (given, wanted)
    sides = _sides(state)
    reached: dict[bytes, tuple[int, tuple[bytes, ...]]] = {begin: (amount, (begin,))}
    found: list[tuple[bytes, ...]] = [(given, wanted)]
    if NXT_ASSET not in (given, wanted):
        found.append((given, NXT_ASSET, wanted))
    for _ in range(MAX_HOPS):
        following: dict[bytes, tuple[int, tuple[bytes, ...]]] = {}
        for asset, (here, path) in reached.items():
            for side in sides.get(asset, ()):
                there = None if side.other in path else _beyond(side, here, backwards)
                known = following.get(side.other)
                if there is not None and (known is None or _better(there, known[0], backwards)):
                    following[side.other] = there, (*path, side.other)
        if end in following:
            path = following.pop(end)[1]
            found.append(tuple(reversed(path)) if backwards else path)
        reached = following
    best: Quote | None = None
    for path in found:
        try:
            one = quote(state, path, exact, amount)
        except Rejected:
            continue
        if best is None or (one.amount_in, -one.amount_out) < (best.amount_in, -best.amount_out):
            best = one
    return best


def _better(one: int, other: int, backwards: bool) -> bool:
    """More comes out, or less goes in."""
    return one < other if backwards else one > other


def _beyond(side: _Side, here: int, backwards: bool) -> int | None:
    """What a pool turns an amount into, or needs for it; None when that is nothing or more than it has."""
    if backwards:
        if here >= side.reserve_here:
            return None
        return amount_in(here, side.reserve_other, side.reserve_here, side.fee_bp)
    return amount_out(here, side.reserve_here, side.reserve_other, side.fee_bp) or None


def _sides(state: StateListing) -> dict[bytes, list[_Side]]:
    """The pools by each of their assets."""
    sides: dict[bytes, list[_Side]] = {}
    for key, value in islice(state.state(POOL_PREFIX), MAX_SEARCHED_POOLS):
        pool: Pool = decode_pool(key[len(POOL_PREFIX) :], value)
        first, second = reserves_of(state, pool)
        fee_bp = fee_of(state, pool)
        sides.setdefault(pool.first, []).append(_Side(pool.second, first, second, fee_bp))
        sides.setdefault(pool.second, []).append(_Side(pool.first, second, first, fee_bp))
    return sides
