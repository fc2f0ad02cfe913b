"""`MemoryStore`: the in-memory twin of `ledger.storage.database`, for tests and simulation.

Same order, same atomicity, same errors; nothing outlives the object. A snapshot costs nothing when taken: it keeps the
old value of each key that changes while it is open (O(keys written) per open snapshot), and reads the rest from the
live content.
"""

from collections.abc import Iterator
from itertools import islice
from threading import RLock
from typing import Any
from weakref import WeakSet

from sortedcontainers import SortedDict  # type: ignore[import-untyped]

from ledger.storage.errors import StoreClosed
from ledger.storage.key_range import FIRST_CHUNK_ENTRIES, MAX_CHUNK_ENTRIES, key_range, refuse_reserved_keys
from ledger.storage.store import WriteBatch


class MemorySnapshot:
    """A view of a `MemoryStore` at one instant."""

    __slots__ = ("__weakref__", "_before", "_closed", "_store")

    def __init__(self, store: "MemoryStore") -> None:
        self._store = store
        self._before: Any = SortedDict()
        """key -> its value at the instant (None: absent), for each key written since."""
        self._closed = False

    def get(self, key: bytes) -> bytes | None:
        """The value at `key` at the snapshot's instant, or None. Raises `StoreClosed`."""
        with self._store._lock:
            self._require_open()
            found: bytes | None = self._before[key] if key in self._before else self._store._content.get(key)
            return found

    def iterate(
        self, prefix: bytes, *, start: bytes | None = None, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """As `Reader.iterate`, at the snapshot's instant. Raises `StoreClosed`, also at a later step."""
        with self._store._lock:
            self._require_open()
        low, high = key_range(prefix, start, reverse)
        return self._walk(low, high, reverse)

    def close(self) -> None:
        """Release the view. Idempotent."""
        with self._store._lock:
            self._closed = True
            self._store._views.discard(self)
            self._before = SortedDict()

    def _require_open(self) -> None:
        self._store._require_usable()
        if self._closed:
            raise StoreClosed(self._store.name)

    def _remember(self, key: bytes, value: bytes | None) -> None:
        """Keep the value that `key` has before its first write since the instant."""
        if key not in self._before:
            self._before[key] = value

    def _walk(self, low: bytes, high: bytes | None, reverse: bool) -> Iterator[tuple[bytes, bytes]]:
        size = FIRST_CHUNK_ENTRIES
        while high is None or low < high:
            pairs, last = self._read_chunk(low, high, reverse, size)
            yield from pairs
            if last is None:
                return
            low, high = (low, last) if reverse else (last + b"\x00", high)
            size = min(2 * size, MAX_CHUNK_ENTRIES)

    def _read_chunk(
        self, low: bytes, high: bytes | None, reverse: bool, size: int
    ) -> tuple[list[tuple[bytes, bytes]], bytes | None]:
        """Entries of the range's first `size` live keys; with them the last key looked at, None at the end."""
        with self._store._lock:
            self._require_open()
            content = self._store._content
            half_open = (True, False)
            keys = list(islice(content.irange(low, high, half_open, reverse), size))
            last = keys[-1] if len(keys) == size else None
            if self._before:
                if last is not None:
                    low, high = (last, high) if reverse else (low, last + b"\x00")
                replaced = self._before.irange(low, high, half_open)
                keys = sorted({*keys, *replaced}, reverse=reverse)
            values = ((key, self._before[key] if key in self._before else content[key]) for key in keys)
            return [(key, value) for key, value in values if value is not None], last


class MemoryStore:
    """A `Store` in memory. Thread-safe; `name` stands for the directory in errors."""

    def __init__(self, name: str = "memory") -> None:
        self.name = name
        self._content: Any = SortedDict()
        self._bytes = 0
        self._views: WeakSet[MemorySnapshot] = WeakSet()
        self._lock = RLock()
        self._closed = False

    def get(self, key: bytes) -> bytes | None:
        """The value at `key`, or None. Raises `StoreClosed`."""
        with self._lock:
            self._require_usable()
            found: bytes | None = self._content.get(key)
            return found

    def iterate(
        self, prefix: bytes, *, start: bytes | None = None, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """As `Reader.iterate`: the content at the call, whatever is written during the iteration."""
        return self.snapshot().iterate(prefix, start=start, reverse=reverse)

    def write(self, batch: WriteBatch, *, sync: bool) -> None:
        """Apply `batch` atomically; `sync` makes no difference. Raises `ReservedKey`, `StoreClosed`."""
        refuse_reserved_keys(self.name, batch.writes)
        with self._lock:
            self._require_usable()
            for key, value in batch.writes.items():
                self._set(key, value)

    def snapshot(self) -> MemorySnapshot:
        """The content at this instant, unchanged by later writes. Dropping it is as good as closing it."""
        with self._lock:
            self._require_usable()
            view = MemorySnapshot(self)
            self._views.add(view)
            return view

    def size_bytes(self) -> int:
        """Sum of the lengths of all keys and values."""
        with self._lock:
            self._require_usable()
            return self._bytes

    def close(self) -> None:
        """Drop the content. Idempotent; every other call raises `StoreClosed` from here on."""
        with self._lock:
            self._closed = True
            self._content = SortedDict()

    def _require_usable(self) -> None:
        if self._closed:
            raise StoreClosed(self.name)

    def _set(self, key: bytes, value: bytes | None) -> None:
        old: bytes | None = self._content.get(key)
        for view in self._views:
            view._remember(key, old)
        if old is not None:
            self._bytes -= len(key) + len(old)
        if value is None:
            self._content.pop(key, None)
        else:
            self._bytes += len(key) + len(value)
            self._content[key] = value
