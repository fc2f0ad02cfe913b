"""Time-weighted average prices: sums of price × slots in the pool, and a few of these sums remembered, one an epoch.

The price that a slot counts with is the one that stood when the slot began, so a move that is undone within a slot
counts nothing, and one that lasts n slots counts n slots (attack D5). A reader who wants more takes a finalised state.
"""

from struct import Struct as ByteLayout
from typing import Final

import msgspec

from ledger.errors import Malformed
from ledger.exchange.pools import Pool, known_pool, reserves_of
from ledger.rules import BlockContext
from ledger.state import Overlay, StateReader

PRICE_BITS: Final = 112
"""Prices are binary fixed point with so many places (UQ112.112 in Uniswap v2)."""
MAX_OBSERVATIONS: Final = 8

OBSERVATIONS_PREFIX: Final = b"do"
"""State key of a pool's observations: `do` ‖ its address; 88 bytes each, oldest first."""

_MODULUS: Final = 1 << 256
_LAYOUT: Final = ByteLayout(">QQQ32s32s")


class Observation(msgspec.Struct, frozen=True, gc=False):
    """The cumulative prices as the pool was first touched in an epoch."""

    epoch: int
    slot: int
    least_shares: int
    """The fewest that the pool has had since the observation before this one."""
    cumulative_first: int
    cumulative_second: int


class Twap(msgspec.Struct, frozen=True, gc=False):
    """Average prices over some slots, each rounded down."""

    first_price_q112: int
    """Units of second for one unit of first, times 2^112."""
    second_price_q112: int
    """Units of first for one unit of second, times 2^112; not the other's reciprocal: means differ."""
    from_slot: int
    slots: int
    """At least 1."""


def observations_key(address: bytes) -> bytes:
    """State key of the observations of the pool at an address."""
    return OBSERVATIONS_PREFIX + address


def read_observations(reader: StateReader, address: bytes) -> tuple[Observation, ...]:
    """A pool's observations, oldest first. Errors: `Malformed` for a damaged state."""
    raw = reader.get(OBSERVATIONS_PREFIX + address) or b""
    if len(raw) % _LAYOUT.size:
        raise Malformed("observations", f"{len(raw)} bytes, expected a multiple of {_LAYOUT.size}")
    return tuple(
        Observation(epoch, slot, least, int.from_bytes(first, "big"), int.from_bytes(second, "big"))
        for epoch, slot, least, first, second in _LAYOUT.iter_unpack(raw)
    )


def write_first_observation(overlay: Overlay, pool: Pool) -> None:
    """Begin a new pool's observations with its sums as they are."""
    overlay.put(OBSERVATIONS_PREFIX + pool.address, _encoded(pool))


def _encoded(pool: Pool) -> bytes:
    return _LAYOUT.pack(
        pool.epoch,
        pool.slot,
        pool.least_shares,
        pool.cumulative_first.to_bytes(32, "big"),
        pool.cumulative_second.to_bytes(32, "big"),
    )


def _sums_at(pool: Pool, reserve_first: int, reserve_second: int, slot: int) -> tuple[int, int]:
    """Both sums up to `slot`, not before the pool's own, with reserves that stood since then."""
    slots = slot - pool.slot
    return (
        (pool.cumulative_first + (reserve_second << PRICE_BITS) // reserve_first * slots) % _MODULUS,
        (pool.cumulative_second + (reserve_first << PRICE_BITS) // reserve_second * slots) % _MODULUS,
    )


def advanced(
    overlay: Overlay, pool: Pool, reserve_first: int, reserve_second: int, context: BlockContext
) -> Pool:
    """The pool with its sums up to the context's slot; the same object when this is not its first touch in the slot.

    To be called before the reserves change, with the reserves as they were. The pool is not written; the first touch in
    an epoch writes the observations.
    """
    if context.slot <= pool.slot and context.epoch <= pool.epoch:
        return pool
    slot, epoch = max(pool.slot, context.slot), max(pool.epoch, context.epoch)
    first, second = _sums_at(pool, reserve_first, reserve_second, slot)
    now = Pool(
        pool.address,
        pool.first,
        pool.second,
        pool.fee_bp,
        pool.shares,
        pool.least_shares,
        slot,
        epoch,
        first,
        second,
    )
    if epoch == pool.epoch:
        return now
    key = OBSERVATIONS_PREFIX + pool.address
    kept = (overlay.get(key) or b"")[-(MAX_OBSERVATIONS - 1) * _LAYOUT.size :]
    overlay.put(key, kept + _encoded(now))
    return msgspec.structs.replace(now, least_shares=pool.shares)


def twap(reader: StateReader, address: bytes, *, window_epochs: int, epoch: int, slot: int) -> Twap | None:
    """Average prices of the pool at an address over the last `window_epochs` (>= 0) and a bit, up to `slot` of `epoch`.

    From the newest observation that is at least so many epochs old, or from the oldest when there is none; between two
    touches a price stands still, so nothing is missed. None when no slot has passed since. Pure. Errors: `Rejected`
    UnknownPool.
    """
    pool = known_pool(reader, address)
    begin = _window(read_observations(reader, address), window_epochs, epoch)[0]
    end = max(slot, pool.slot)
    slots = end - begin.slot
    if not slots:
        return None
    first, second = _sums_at(pool, *reserves_of(reader, pool), end)
    return Twap(
        (first - begin.cumulative_first) % _MODULUS // slots,
        (second - begin.cumulative_second) % _MODULUS // slots,
        begin.slot,
        slots,
    )


def settled_shares(reader: StateReader, pool: Pool, *, window_epochs: int, epoch: int) -> int:
    """The fewest shares that the pool has had in the window of `twap`: liquidity that was there all the time.

    So what comes for the moment of a decision counts nothing. Pure.
    """
    later = _window(read_observations(reader, pool.address), window_epochs, epoch)[1:]
    return min([pool.least_shares, *[one.least_shares for one in later]])


def _window(observations: tuple[Observation, ...], window_epochs: int, epoch: int) -> tuple[Observation, ...]:
    """From the newest observation that is at least `window_epochs` old, or from the oldest when there is none."""
    begin = 0
    for place, one in enumerate(observations):
        if one.epoch + window_epochs <= epoch:
            begin = place
    return observations[begin:]
