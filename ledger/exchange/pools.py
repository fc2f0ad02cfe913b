"""Pools: their record, their address, their reserves. Bytes: README.

A pool's reserves are the balances of its address and stand nowhere else; so what it owes, it has.
"""

from functools import lru_cache
from struct import Struct as ByteLayout
from typing import Final

import msgspec

from ledger.addresses import pool_address
from ledger.encoding import MAX_INTEGER
from ledger.errors import Malformed
from ledger.exchange.math import GREATEST_FEE_BP, LEAST_FEE_BP
from ledger.exchange.reasons import UNKNOWN_POOL
from ledger.governed.parameters import POOL_FEE_BP, read_parameter
from ledger.registry import Rejected
from ledger.state import Overlay, StateReader
from ledger.tokens.records import asset_balance

POOL_PREFIX: Final = b"dp"
"""State key of a pool: `dp` ‖ its address. Never deleted."""

_LAYOUT: Final = ByteLayout(">20s20sHQQQQ32s32s")
_CUMULATIVE_BYTES: Final = 32
_REMEMBERED_PAIRS: Final = 4_096


class Pool(msgspec.Struct, frozen=True, gc=False):
    """One pool of two assets."""

    address: bytes
    """20 bytes; part of the key, not of the value."""
    first: bytes
    """The lesser asset; NXT is less than every token."""
    second: bytes
    fee_bp: int
    """That it was founded with, 10 to 50; a vote may set another (`fee_of`)."""
    shares: int
    """All of them, with the 1,000 that nobody owns."""
    least_shares: int
    """The fewest that `shares` has been since the latest observation."""
    slot: int
    """Up to which the cumulative prices reach."""
    epoch: int
    """Of the latest observation."""
    cumulative_first: int
    """Σ over slots of ⌊2^112 × reserve of second / reserve of first⌋, modulo 2^256."""
    cumulative_second: int
    """Σ over slots of ⌊2^112 × reserve of first / reserve of second⌋, modulo 2^256."""


def encode_pool(pool: Pool) -> bytes:
    """138 bytes."""
    return _LAYOUT.pack(
        pool.first,
        pool.second,
        pool.fee_bp,
        pool.shares,
        pool.least_shares,
        pool.slot,
        pool.epoch,
        pool.cumulative_first.to_bytes(_CUMULATIVE_BYTES, "big"),
        pool.cumulative_second.to_bytes(_CUMULATIVE_BYTES, "big"),
    )


def decode_pool(address: bytes, raw: bytes) -> Pool:
    """Inverse of `encode_pool`. Errors: `Malformed`."""
    if len(raw) != _LAYOUT.size:
        raise Malformed("pool", f"{len(raw)} bytes, expected {_LAYOUT.size}")
    first, second, fee_bp, shares, least, slot, epoch, *cumulatives = _LAYOUT.unpack(raw)
    if not (LEAST_FEE_BP <= fee_bp <= GREATEST_FEE_BP and least <= shares <= MAX_INTEGER and first < second):
        raise Malformed(
            "pool", f"fee {fee_bp}, {shares} shares, {least} at the least, or its assets are out of order"
        )
    return Pool(
        address,
        first,
        second,
        fee_bp,
        shares,
        least,
        slot,
        epoch,
        int.from_bytes(cumulatives[0], "big"),
        int.from_bytes(cumulatives[1], "big"),
    )


@lru_cache(maxsize=_REMEMBERED_PAIRS)
def address_of_pair(one: bytes, other: bytes) -> bytes:
    """The address of the pool of two assets in any order; it may not exist. Remembered: pairs come back."""
    return pool_address(one, other) if one < other else pool_address(other, one)


def pool_key(address: bytes) -> bytes:
    """State key of the pool at an address of 20 bytes."""
    return POOL_PREFIX + address


def read_pool(reader: StateReader, address: bytes) -> Pool | None:
    """The pool at an address, or None. Errors: `Malformed` for a damaged state."""
    raw = reader.get(POOL_PREFIX + address)
    return None if raw is None else decode_pool(address, raw)


def known_pool(reader: StateReader, address: bytes) -> Pool:
    """The pool at an address. Errors: `Rejected` UnknownPool."""
    raw = reader.get(POOL_PREFIX + address)
    if raw is None:
        raise Rejected(UNKNOWN_POOL, f"no pool has the address {address.hex()}")
    return decode_pool(address, raw)


def write_pool(overlay: Overlay, pool: Pool) -> None:
    """Put a pool's record."""
    overlay.put(POOL_PREFIX + pool.address, encode_pool(pool))


def reserves_of(reader: StateReader, pool: Pool) -> tuple[int, int]:
    """(units of first, units of second); both at least 1 once it is founded."""
    return asset_balance(reader, pool.address, pool.first), asset_balance(reader, pool.address, pool.second)


def pool_reserves(reader: StateReader, address: bytes) -> tuple[int, int]:
    """`reserves_of` the pool at an address. Errors: `Rejected` UnknownPool."""
    return reserves_of(reader, known_pool(reader, address))


def fee_of(reader: StateReader, pool: Pool) -> int:
    """The fee that counts, in hundredths of a percent: a vote's (parameter POOL_FEE_BP), else the pool's own."""
    return read_parameter(reader, POOL_FEE_BP, pool.address) or pool.fee_bp


def effective_fee_bp(reader: StateReader, address: bytes) -> int:
    """`fee_of` the pool at an address. Errors: `Rejected` UnknownPool."""
    return fee_of(reader, known_pool(reader, address))
