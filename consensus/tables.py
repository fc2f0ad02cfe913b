"""`Table`: typed records by key over a `Store`, with a bounded cache and staged writes.

A write is *staged* first: reads see it at once, the store only after `stage_into` a batch, the batch's write, and
`commit`. `discard` forgets what is staged. Records are immutable; a change is a new record under the same key.

With `store=None` the table is a dict with the same interface, for replays, models, tests and benchmarks: nothing is
evicted, every write is final at once, `stage_into` and `commit` do nothing and `discard` raises.

Eviction is by generations, which approximates least-recently-used at the price of one dict look-up per hit: when the
young generation is full it becomes the old one, and a hit in the old one moves the record back. A record that was not
asked for during a whole generation is dropped. One thread at a time.
"""

from collections.abc import Iterator
from typing import Generic, TypeVar

import msgspec

from consensus.errors import MissingRecord, RecordDamaged, WritesAreFinal
from ledger.storage.store import Reader, WriteBatch

V = TypeVar("V")

DEFAULT_CAPACITY = 65_536
"""Records that a table keeps in memory, both generations together. At about 0.5 kB a record, 32 MB."""

_encoder = msgspec.msgpack.Encoder()


class Table(Generic[V]):
    """Records of type `V` under `prefix + key`. Keys are block ids of 32 bytes, or other bytes where a user says so."""

    __slots__ = (
        "_before",
        "_decoder",
        "_older",
        "_prefix",
        "_staged",
        "_store",
        "_young_limit",
        "cache",
        "name",
    )

    def __init__(
        self,
        name: str,
        record_type: type[V],
        *,
        store: Reader | None = None,
        prefix: bytes = b"",
        capacity: int = DEFAULT_CAPACITY,
    ) -> None:
        """`name` is for errors; `record_type` is encoded as a MessagePack array (`array_like` struct or tuple).

        No record may be None. `prefix` must not be the beginning of another table's prefix.
        """
        self.name = name
        self.cache: dict[bytes, V] = {}
        """The young generation. `cache.get(key)` is the fast look-up; on None ask `find` or `get`. Read only, and not
        to be held across a write, which may put a new dict in its place."""
        self._store = store
        self._prefix = prefix
        self._decoder = msgspec.msgpack.Decoder(record_type)
        self._young_limit = max(1, capacity >> 1)
        self._older: dict[bytes, V] = {}
        self._staged: dict[bytes, V | None] = {}
        """key -> new record, None to delete. Empty without a store."""

    def get(self, key: bytes) -> V:
        """The record at `key`. Raises `MissingRecord`, `RecordDamaged`."""
        record = self.cache.get(key)
        if record is None:
            record = self._fetch(key)
            if record is None:
                raise MissingRecord(self.name, key)
        return record

    def find(self, key: bytes) -> V | None:
        """The record at `key`, or None. Raises `RecordDamaged`."""
        record = self.cache.get(key)
        return record if record is not None else self._fetch(key)

    def has(self, key: bytes) -> bool:
        """Whether there is a record at `key`."""
        return key in self.cache or self._fetch(key) is not None

    def put(self, key: bytes, record: V) -> None:
        """Stage `record` under `key`, in place of what was there."""
        if self._store is None:
            self.cache[key] = record
        else:
            self._staged[key] = record
            self._remember(key, record)

    def delete(self, key: bytes) -> None:
        """Stage the removal of `key`; removing an absent key is no error."""
        if self._store is not None:
            self._staged[key] = None
            self._older.pop(key, None)
        self.cache.pop(key, None)

    def stage_into(self, batch: WriteBatch) -> None:
        """Add the staged writes to `batch`. They stay staged until `commit`."""
        for key, record in self._staged.items():
            if record is None:
                batch.delete(self._prefix + key)
            else:
                batch.put(self._prefix + key, _encoder.encode(record))

    def commit(self) -> None:
        """The batch has been written: what was staged is what is stored."""
        self._staged.clear()

    def discard(self) -> None:
        """Forget everything staged since the last `commit`. Raises `WritesAreFinal` without a store."""
        if self._store is None:
            raise WritesAreFinal(self.name)
        for key in self._staged:
            self.cache.pop(key, None)
            self._older.pop(key, None)
        self._staged.clear()

    def stored_keys(self) -> Iterator[bytes]:
        """Keys in the store, ascending, without what is staged. For loading at start. Empty without a store."""
        if self._store is not None:
            length = len(self._prefix)
            for key, _ in self._store.iterate(self._prefix):
                yield key[length:]

    def _fetch(self, key: bytes) -> V | None:
        """The record from below the young generation, moved into it."""
        if self._store is None:
            return None
        record: V | None
        if key in self._staged:
            record = self._staged[key]
        else:
            record = self._older.pop(key, None)
            if record is None:
                raw = self._store.get(self._prefix + key)
                if raw is None:
                    return None
                try:
                    record = self._decoder.decode(raw)
                except msgspec.MsgspecError as error:
                    raise RecordDamaged(self.name, key, str(error)) from None
        if record is not None:
            self._remember(key, record)
        return record

    def _remember(self, key: bytes, record: V) -> None:
        """Put the record into the young generation, and turn the generations when it is full."""
        if len(self.cache) >= self._young_limit and key not in self.cache:
            self._older = self.cache
            self.cache = {}
        self.cache[key] = record
