"""What every store must agree on about keys: ranges of an iteration, reserved keys, step sizes."""

from collections.abc import Iterable
from pathlib import Path

from ledger.storage.errors import ReservedKey

RESERVED_PREFIX = b"\x00"
"""Keys of the store itself (schema version, genesis hash). `iterate(b"")` leaves them out."""

FIRST_OPEN_KEY = b"\x01"
"""Least key that a user of the store may write."""

FIRST_CHUNK_ENTRIES = 8
"""Entries that an iteration reads at its first step; each further step doubles up to `MAX_CHUNK_ENTRIES`."""

MAX_CHUNK_ENTRIES = 512


def prefix_end(prefix: bytes) -> bytes | None:
    """Least key above all keys that begin with `prefix`; None when there is no such key (empty or all 0xff)."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes([kept[-1] + 1]) if kept else None


def key_range(prefix: bytes, start: bytes | None, reverse: bool) -> tuple[bytes, bytes | None]:
    """The range [low, high) that `Reader.iterate` runs over; `high` None is no bound, low >= high is empty."""
    low = prefix or FIRST_OPEN_KEY
    high = prefix_end(prefix)
    if start is None:
        return low, high
    if not reverse:
        return max(low, start), high
    above_start = start + b"\x00"
    return low, above_start if high is None else min(high, above_start)


def refuse_reserved_keys(directory: Path | str, keys: Iterable[bytes]) -> None:
    """Raise `ReservedKey` at the first key that belongs to the store itself."""
    for key in keys:
        if not key or key[0] == 0:
            raise ReservedKey(directory, key)
