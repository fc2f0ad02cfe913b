"""Recently used state values in memory, for the one writer.

A read from LevelDB costs about ten times what executing the transfer costs that asks for it. The cache holds two
generations of at most half the capacity each: what is used moves to the younger one, and the older one is dropped
whole. It is exact as long as every written batch is told to it; it is for the writer's thread alone.
"""

from collections.abc import Iterable
from typing import Any, Final

from ledger.state import StateReader
from ledger.storage.state_store import STATE_PREFIX
from ledger.storage.store import WriteBatch

DEFAULT_CAPACITY = 200_000
"""Values; about 200 bytes each with their keys, so at most 40 MiB."""

_MISSING: Final[Any] = object()
"""No value held; None would mean that the state has none."""


class StateCache:
    """A `StateReader` over another, usually a `LedgerStore`."""

    __slots__ = ("_below", "_half", "_older", "_younger")

    def __init__(self, below: StateReader, capacity: int = DEFAULT_CAPACITY) -> None:
        """Holds at most `capacity` values (at least 2), absent ones included."""
        self._below = below
        self._half = max(1, capacity // 2)
        self._younger: dict[bytes, bytes | None] = {}
        self._older: dict[bytes, bytes | None] = {}

    def __len__(self) -> int:
        """Values held, those of both generations counted twice."""
        return len(self._younger) + len(self._older)

    def get(self, key: bytes) -> bytes | None:
        """The value at a state key, or None. Errors as the reader below."""
        value: bytes | None = self._younger.get(key, _MISSING)
        if value is not _MISSING:
            return value
        value = self._older.get(key, _MISSING)
        if value is _MISSING:
            value = self._below.get(key)
        self._hold(key, value)
        return value

    def fill(self, items: Iterable[tuple[bytes, bytes]]) -> None:
        """Take (state key, value) pairs of the present state until half full: at start, beside building the tree."""
        for key, value in items:
            if len(self._younger) >= self._half:
                return
            self._younger[key] = value

    def written(self, batch: WriteBatch) -> None:
        """Call this after `batch` has been written to the store, before the next read."""
        for key, value in batch.writes.items():
            if key[:1] == STATE_PREFIX:
                self._hold(key[1:], value)

    def _hold(self, key: bytes, value: bytes | None) -> None:
        if len(self._younger) >= self._half:
            self._older = self._younger
            self._younger = {}
        self._younger[key] = value
