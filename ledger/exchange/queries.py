"""What people ask about pools and positions, read from a state; for RPC and the console. Writes nothing."""

from collections.abc import Iterator
from dataclasses import dataclass

from ledger.exchange.math import removed_amounts
from ledger.exchange.pools import POOL_PREFIX, Pool, decode_pool, fee_of, known_pool, read_pool, reserves_of
from ledger.exchange.positions import POSITION_CODEC, POSITION_PREFIX, Position, read_position
from ledger.registry import Rejected
from ledger.state import StateListing, StateReader


@dataclass(frozen=True, slots=True)
class PoolView:
    """One pool as it stands."""

    pool: Pool
    fee_bp: int
    """That counts now."""
    reserve_first: int
    reserve_second: int


@dataclass(frozen=True, slots=True)
class PositionView:
    """What one address has in one pool."""

    pool: Pool
    position: Position
    first: int
    """Units that the shares are worth now."""
    second: int


def pools(state: StateListing) -> Iterator[PoolView]:
    """All pools, ascending by address. Lazy: take as many as a page holds."""
    for key, value in state.state(POOL_PREFIX):
        yield _view(state, decode_pool(key[len(POOL_PREFIX) :], value))


def pool_view(state: StateReader, address: bytes) -> PoolView | None:
    """The pool at an address, or None."""
    pool = read_pool(state, address)
    return None if pool is None else _view(state, pool)


def positions_of(state: StateListing, address: bytes) -> Iterator[PositionView]:
    """What `address` has in pools, ascending by the pool's address."""
    prefix = POSITION_PREFIX + address
    for key, value in state.state(prefix):
        pool = known_pool(state, key[len(prefix) :])
        yield _position_view(state, pool, POSITION_CODEC.decode(value))


def position_view(state: StateReader, pool: bytes, address: bytes) -> PositionView | None:
    """What `address` has in the pool at an address; None when there is no such pool."""
    known = read_pool(state, pool)
    return None if known is None else _position_view(state, known, read_position(state, pool, address))


def _view(state: StateReader, pool: Pool) -> PoolView:
    return PoolView(pool, fee_of(state, pool), *reserves_of(state, pool))


def _position_view(state: StateReader, pool: Pool, position: Position) -> PositionView:
    reserve_first, reserve_second = reserves_of(state, pool)
    try:
        first, second = removed_amounts(position.shares, reserve_first, reserve_second, pool.shares)
    except Rejected:
        first = second = 0
    return PositionView(pool, position, first, second)
