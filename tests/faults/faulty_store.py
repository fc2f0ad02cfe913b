"""A store that loses what a crash may lose, without a disk: seeded, for simulation.

`FaultyDisk` is what outlives a process; `FaultyStore` is the node's handle on it, a `Store` in memory. The model is
LevelDB under `ledger.storage.database`:

- batches are never torn; a synced batch makes itself and every batch before it durable;
- a process that dies loses nothing (the page cache survives), a power cut may lose unsynced batches, in any subset;
- reopening makes everything that is left durable;
- a failed batch may or may not be there afterwards, and its handle is dead.
"""

import random
from enum import Enum, auto

from ledger.storage.errors import StoreLocked, StoreWriteFailed
from ledger.storage.key_range import refuse_reserved_keys
from ledger.storage.memory import MemoryStore
from ledger.storage.store import WriteBatch


class Crash(Enum):
    """What becomes of the unsynced batches."""

    KEEP_ALL = auto()
    """The process died: all of them are kept."""
    DROP_UNSYNCED = auto()
    """Power cut: none of them is kept."""
    TORN_TAIL = auto()
    """Power cut: each is kept or lost by a seeded coin, independently, each whole."""


class FaultyDisk:
    """The content that survives, and the faults to come."""

    def __init__(self, seed: int, name: str = "faulty disk") -> None:
        self.name = name
        self.synced_writes = 0
        self.unsynced_writes = 0
        self._random = random.Random(seed)
        self._durable: dict[bytes, bytes] = {}
        self._unsynced: list[WriteBatch] = []
        self._doubtful: WriteBatch | None = None
        """The batch whose write failed."""
        self._writes_until_failure: int | None = None
        self._handle: FaultyStore | None = None

    def open(self) -> "FaultyStore":
        """A handle on what the disk has. Raises `StoreLocked` while another is open."""
        if self._handle is not None:
            raise StoreLocked(self.name, "an open handle")
        self._settle_doubtful()
        self._make_durable()
        self._handle = FaultyStore(self, self._durable)
        return self._handle

    def fail_write(self, number: int) -> None:
        """Let the `number`-th write from now on (1: the next) fail as on a full disk, whichever handle makes it."""
        self._writes_until_failure = number

    def mend(self) -> None:
        """No failure is to come any more."""
        self._writes_until_failure = None

    def crash(self, kind: Crash) -> None:
        """Kill the open handle, if any: every call on it raises `StoreClosed`. The disk can be opened again."""
        if self._handle is not None:
            self._handle.close()
        self._settle_doubtful()
        if kind is Crash.DROP_UNSYNCED:
            self._unsynced.clear()
        elif kind is Crash.TORN_TAIL:
            self._unsynced = [batch for batch in self._unsynced if self._random.random() < 0.5]
        self._make_durable()

    def unsynced_batches(self) -> int:
        """Batches that a power cut may lose now."""
        return len(self._unsynced)

    def _accept(self, batch: WriteBatch, sync: bool) -> None:
        """Take a batch from the handle; raises `StoreWriteFailed` when this is the write that fails."""
        copy = WriteBatch(dict(batch.writes))
        if self._writes_until_failure is not None:
            self._writes_until_failure -= 1
            if self._writes_until_failure == 0:
                self._writes_until_failure = None
                self._doubtful = copy
                raise StoreWriteFailed(self.name, "No space left on device (injected)")
        self._unsynced.append(copy)
        if sync:
            self.synced_writes += 1
            self._make_durable()
        else:
            self.unsynced_writes += 1

    def _settle_doubtful(self) -> None:
        """Decide whether the failed batch reached the disk; if it did, it is an unsynced one."""
        batch, self._doubtful = self._doubtful, None
        if batch is not None and self._random.random() < 0.5:
            self._unsynced.append(batch)

    def _make_durable(self) -> None:
        for batch in self._unsynced:
            for key, value in batch.writes.items():
                if value is None:
                    self._durable.pop(key, None)
                else:
                    self._durable[key] = value
        self._unsynced.clear()

    def _release(self, handle: "FaultyStore") -> None:
        if self._handle is handle:
            self._handle = None


class FaultyStore(MemoryStore):
    """A `Store` on a `FaultyDisk`. Fail-stop as `Database`: after a failed write every call raises."""

    def __init__(self, disk: FaultyDisk, content: dict[bytes, bytes]) -> None:
        super().__init__(disk.name)
        self._disk = disk
        self._failure: str | None = None
        super().write(WriteBatch(dict(content)), sync=True)

    def write(self, batch: WriteBatch, *, sync: bool) -> None:
        """As `Store.write`, with the disk's faults."""
        refuse_reserved_keys(self.name, batch.writes)
        with self._lock:
            self._require_usable()
            try:
                self._disk._accept(batch, sync)
            except StoreWriteFailed as error:
                self._failure = error.reason
                raise
            super().write(batch, sync=sync)

    def close(self) -> None:
        """Close without syncing: what is unsynced stays at risk until the disk is opened again. Idempotent."""
        super().close()
        self._disk._release(self)

    def _require_usable(self) -> None:
        super()._require_usable()
        if self._failure is not None:
            raise StoreWriteFailed(self.name, f"an earlier write failed ({self._failure})")
