"""The `Store` interface: an ordered map of bytes with atomic batches and snapshots.

Two implementations keep it: `ledger.storage.database` (LevelDB) and `ledger.storage.memory`. Both order keys as
unsigned bytes, both apply a batch wholly or not at all, and a snapshot of either never changes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(slots=True)
class WriteBatch:
    """Writes that become visible together. A later write to a key replaces an earlier one."""

    writes: dict[bytes, bytes | None] = field(default_factory=dict)
    """key -> new value, or None to delete. Insertion order is kept and carries no meaning."""

    def put(self, key: bytes, value: bytes) -> None:
        """Set `key` to `value` when the batch is written."""
        self.writes[key] = value

    def delete(self, key: bytes) -> None:
        """Remove `key` when the batch is written; removing an absent key is no error."""
        self.writes[key] = None

    def merge(self, other: "WriteBatch") -> None:
        """Append all writes of `other`, which win over this batch's own."""
        self.writes.update(other.writes)

    def __len__(self) -> int:
        return len(self.writes)


class Reader(Protocol):
    """What can be asked of a store or of a snapshot."""

    def get(self, key: bytes) -> bytes | None:
        """The value at `key`, or None."""
        ...

    def iterate(
        self, prefix: bytes, *, start: bytes | None = None, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """All (key, value) whose key begins with `prefix`, in key order.

        `start` (a whole key) begins there, inclusive: the least key wanted, or with `reverse` the greatest.
        """
        ...


class Snapshot(Reader, Protocol):
    """A view of the store at one instant; close it when done."""

    def close(self) -> None:
        """Release the view."""
        ...


class Store(Reader, Protocol):
    """An open store. Reads may come from any thread; writes from one at a time."""

    def write(self, batch: WriteBatch, *, sync: bool) -> None:
        """Apply `batch` atomically. With `sync` it and every batch before it are on disk when this returns.

        Raises `StoreWriteFailed` on any failure. The store is dead afterwards: every later call raises too
        (LevelDB loses later synced writes after a failed one: README.md, section Storage), so the process must end.
        Raises `ReservedKey`, without harm, for the empty key or one that begins with 0x00.
        """
        ...

    def snapshot(self) -> Snapshot:
        """The state at this instant, unchanged by later writes."""
        ...

    def size_bytes(self) -> int:
        """Approximate size on disk (or in memory)."""
        ...

    def close(self) -> None:
        """Close and release the lock. Idempotent."""
        ...
