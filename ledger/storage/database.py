"""`Database`: the `Store` on disk, LevelDB through plyvel. The only module that imports plyvel.

What it adds to LevelDB, and why (figures in README.md, section Storage):

- a lock of its own, because LevelDB's is lost when any code in the process opens and closes its LOCK file;
- refusal of damage that LevelDB takes for the end of a log (`ledger.storage.log_check`), and checksums on every read;
- fail-stop: after one failed write LevelDB acknowledges batches that it then loses, so no call passes after it;
- a synced batch makes all batches before it durable, also those in a log that LevelDB has left without syncing it;
- schema version and genesis hash, written once and compared at every opening;
- a free-space limit that stops writes while the disk can still hold a clean shutdown.
"""

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import plyvel

from ledger.storage.call_gate import CallGate
from ledger.storage.directory_lock import DirectoryLock
from ledger.storage.errors import (
    DiskFull,
    SchemaMismatch,
    StoreClosed,
    StoreCorrupted,
    StoreInaccessible,
    StoreLocked,
    StoreNotFound,
    StoreReadFailed,
    StoreWriteFailed,
    WrongGenesis,
)
from ledger.storage.fail_points import fail_point
from ledger.storage.key_range import (
    FIRST_CHUNK_ENTRIES,
    MAX_CHUNK_ENTRIES,
    RESERVED_PREFIX,
    key_range,
    refuse_reserved_keys,
)
from ledger.storage.log_check import LOG_NAME, check_files, clear_unfinished, holds_database
from ledger.storage.store import WriteBatch

SCHEMA_KEY = RESERVED_PREFIX + b"schema"
"""Value: the schema version, 4 bytes big-endian."""

GENESIS_KEY = RESERVED_PREFIX + b"genesis"
"""Value: the genesis hash, 32 bytes."""

MIN_FREE_BYTES = 512 * 1024 * 1024
"""Least free space for a write: enough for compactions under way, the other databases and the logs of a shutdown."""

FREE_SPACE_CHECK_WRITES = 16
"""Writes from one look at the free space to the next; a batch is some MiB at most, so 16 stay far below the limit."""

WRITE_BUFFER_BYTES = 16 * 1024 * 1024
BLOCK_CACHE_BYTES = 32 * 1024 * 1024
OPEN_FILES = 256
BLOOM_BITS_PER_KEY = 10

_Result = TypeVar("_Result")


def free_disk_bytes(directory: Path) -> int:
    """Free space for this user on the disk of `directory`."""
    return shutil.disk_usage(directory).free


class Database:
    """An open LevelDB directory. Reads from any thread; a failed write shuts it for good.

    Never fork a process that holds one: a write in the child is refused, but the child keeps the lock.
    """

    def __init__(
        self,
        directory: Path,
        *,
        schema_version: int,
        genesis_hash: bytes | None = None,
        create: bool = True,
        min_free_bytes: int = MIN_FREE_BYTES,
        free_space_check_writes: int = FREE_SPACE_CHECK_WRITES,
        free_bytes_of: Callable[[Path], int] = free_disk_bytes,
        write_buffer_bytes: int = WRITE_BUFFER_BYTES,
    ) -> None:
        """Open the store in `directory`, or create it there when `create` is set.

        `schema_version` and `genesis_hash` are written into a new store and compared in an existing one;
        without a `genesis_hash` none is written or compared.

        Raises `StoreNotFound`, `StoreInaccessible`, `StoreLocked`, `DiskFull`, `StoreCorrupted`, `SchemaMismatch`,
        `WrongGenesis`. After any of them nothing is open or locked.
        """
        self.directory = directory
        self._min_free_bytes = min_free_bytes
        self._free_space_check_writes = free_space_check_writes
        self._free_bytes_of = free_bytes_of
        self._gate = CallGate(directory)
        self._write_lock = threading.Lock()
        self._close_lock = threading.Lock()
        self._failure: str | None = None
        self._writes = 0
        self._logs: list[str] = []
        self._process_id = os.getpid()
        _prepare_directory(directory, create)
        self._lock = DirectoryLock(directory)
        try:
            fail_point("database_open_before")
            self._leveldb = self._open(create, write_buffer_bytes)
            try:
                self._check_identity(schema_version, genesis_hash)
            except BaseException:
                self._leveldb.close()
                raise
            fail_point("database_open_after")
        except BaseException:
            self._lock.release()
            raise

    def get(self, key: bytes) -> bytes | None:
        """The value at `key`, or None.

        Raises `StoreClosed`, `StoreWriteFailed` (after a failed write), `StoreCorrupted`, `StoreReadFailed`.
        """
        value: bytes | None = self._read(lambda: self._leveldb.get(key, verify_checksums=True))
        return value

    def iterate(
        self, prefix: bytes, *, start: bytes | None = None, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """As `Reader.iterate`: the content at the call, whatever is written meanwhile. Raises as `get`, at any step."""
        return self._iterate(self._leveldb, prefix, start, reverse)

    def write(self, batch: WriteBatch, *, sync: bool) -> None:
        """Apply `batch` atomically; with `sync`, it and every batch before it are on disk when this returns.

        Raises `StoreWriteFailed` (`DiskFull` when the free-space limit stopped it), after which the store is dead.
        Raises `ReservedKey` or `StoreClosed` without harm.
        """
        refuse_reserved_keys(self.directory, batch.writes)
        with self._write_lock, self._gate:
            self._require_alive()
            if os.getpid() != self._process_id:
                raise StoreWriteFailed(
                    self.directory, f"opened by process {self._process_id}, this is a fork of it"
                )
            self._write(batch, sync)

    def snapshot(self) -> "DatabaseSnapshot":
        """The state at this instant, unchanged by later writes. Raises as `get`."""
        return DatabaseSnapshot(self, self._read(self._leveldb.snapshot))

    def size_bytes(self) -> int:
        """Sum of the sizes of the directory's files, in bytes; those that vanish during the count are left out."""
        with self._gate:
            self._require_alive()
            total = 0
            with os.scandir(self.directory) as entries:
                for entry in entries:
                    try:
                        total += entry.stat().st_size
                    except FileNotFoundError:
                        continue
            return total

    def verify(self) -> int:
        """Read every entry with its checksum; the number of entries. Raises `StoreCorrupted` at the first bad one."""
        return sum(1 for _ in self.iterate(b"")) + sum(1 for _ in self.iterate(RESERVED_PREFIX))

    def compact(self) -> None:
        """Give the disk back what deleted entries still take. Reads and writes the whole store; it may take minutes.

        Raises as `write`.
        """
        with self._write_lock, self._gate:
            self._require_alive()
            try:
                # Bounds by name: plyvel (1.5.1) takes absent ones for the empty range. Every key begins below 0xff.
                self._leveldb.compact_range(start=b"\x00", stop=b"\xff")
            except plyvel.Error as error:
                self._failure = _text(error)
                raise StoreWriteFailed(self.directory, self._failure) from error

    def close(self) -> None:
        """Wait for calls under way, close and release the lock. Idempotent. Does not sync unsynced batches."""
        with self._close_lock:
            self._gate.shut()
            self._leveldb.close()
            self._lock.release()

    def _open(self, create: bool, write_buffer_bytes: int) -> Any:
        try:
            self._require_free_space()
            if create:
                clear_unfinished(self.directory)
            check_files(self.directory)
            return _open_leveldb(self.directory, create, write_buffer_bytes)
        except OSError as error:
            raise StoreInaccessible(self.directory, _text(error)) from error

    def _read(self, call: Callable[[], _Result]) -> _Result:
        """Run one LevelDB read inside the gate and translate its errors."""
        with self._gate:
            self._require_alive()
            try:
                return call()
            except plyvel.CorruptionError as error:
                raise StoreCorrupted(self.directory, _text(error)) from error
            except plyvel.Error as error:
                raise StoreReadFailed(self.directory, _text(error)) from error

    def _iterate(
        self, source: Any, prefix: bytes, start: bytes | None, reverse: bool
    ) -> Iterator[tuple[bytes, bytes]]:
        """Iterate over `source`, a LevelDB or one of its snapshots. The view is taken now, not at the first step."""
        low, high = key_range(prefix, start, reverse)
        if high is not None and low >= high:
            self._read(lambda: None)
            return iter(())
        cursor = self._read(lambda: source.raw_iterator(verify_checksums=True))
        return self._walk(cursor, low, high, reverse)

    def _walk(
        self, cursor: Any, low: bytes, high: bytes | None, reverse: bool
    ) -> Iterator[tuple[bytes, bytes]]:
        size = FIRST_CHUNK_ENTRIES
        try:
            self._read(lambda: _seek(cursor, low, high, reverse))
            while True:
                wanted = size
                chunk = self._read(lambda: _read_chunk(cursor, low, high, reverse, wanted))  # noqa: B023
                yield from chunk
                if len(chunk) < size:
                    return
                size = min(2 * size, MAX_CHUNK_ENTRIES)
        finally:
            cursor.close()

    def _require_alive(self) -> None:
        if self._failure is not None:
            raise StoreWriteFailed(self.directory, f"an earlier write failed ({self._failure})")

    def _write(self, batch: WriteBatch, sync: bool) -> None:
        leveldb_batch = self._leveldb.write_batch(sync=sync)
        for key, value in batch.writes.items():
            if value is None:
                leveldb_batch.delete(key)
            else:
                leveldb_batch.put(key, value)
        try:
            if self._writes % self._free_space_check_writes == 0:
                self._require_free_space()
            self._writes += 1
            fail_point("database_write_before")
            leveldb_batch.write()
            if sync:
                self._sync_earlier_logs()
            fail_point("database_write_after")
        except StoreWriteFailed as error:
            self._failure = error.reason
            raise
        except (plyvel.Error, OSError) as error:
            self._failure = _text(error)
            raise StoreWriteFailed(self.directory, self._failure) from error

    def _require_free_space(self) -> None:
        free_bytes = self._free_bytes_of(self.directory)
        if free_bytes < self._min_free_bytes:
            raise DiskFull(self.directory, free_bytes, self._min_free_bytes)

    def _sync_earlier_logs(self) -> None:
        """Sync what LevelDB's own sync leaves out: logs before the present one, and the names in the directory.

        LevelDB syncs only the log it now writes to. One that it left when the write buffer filled is closed unsynced
        and needed until its table is written; a power cut between would lose unsynced batches older than a synced one.
        """
        with os.scandir(self.directory) as entries:
            logs = sorted(
                (entry.name for entry in entries if LOG_NAME.fullmatch(entry.name)), key=_log_number
            )
        for name in logs[:-1]:
            try:
                _sync_path(self.directory / name)
            except FileNotFoundError:  # LevelDB wrote and synced its content as a table, then deleted it
                continue
        if logs != self._logs:
            _sync_path(self.directory)
            self._logs = logs

    def _check_identity(self, schema_version: int, genesis_hash: bytes | None) -> None:
        """Compare schema version and genesis hash; write them when the store is new, that is, empty."""
        if next(self._iterate(self._leveldb, RESERVED_PREFIX, None, False), None) is None:
            if next(self.iterate(b""), None) is not None:
                raise SchemaMismatch(self.directory, schema_version, None)
            identity = WriteBatch()
            identity.put(SCHEMA_KEY, schema_version.to_bytes(4, "big"))
            if genesis_hash is not None:
                identity.put(GENESIS_KEY, genesis_hash)
            self._write(identity, sync=True)
            return
        found_version = self.get(SCHEMA_KEY)
        if found_version != schema_version.to_bytes(4, "big"):
            found_number = None if found_version is None else int.from_bytes(found_version, "big")
            raise SchemaMismatch(self.directory, schema_version, found_number)
        if genesis_hash is not None:
            found_genesis = self.get(GENESIS_KEY)
            if found_genesis != genesis_hash:
                raise WrongGenesis(self.directory, genesis_hash, found_genesis)


class DatabaseSnapshot:
    """A view of a `Database` at one instant. Raises as the database's reads do, and `StoreClosed` once closed."""

    def __init__(self, database: Database, leveldb_snapshot: Any) -> None:
        self._database = database
        self._leveldb_snapshot = leveldb_snapshot

    def get(self, key: bytes) -> bytes | None:
        """The value at `key` at the snapshot's instant, or None."""
        snapshot = self._require_open()
        value: bytes | None = self._database._read(lambda: snapshot.get(key, verify_checksums=True))
        return value

    def iterate(
        self, prefix: bytes, *, start: bytes | None = None, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """As `Reader.iterate`, at the snapshot's instant."""
        return self._database._iterate(self._require_open(), prefix, start, reverse)

    def close(self) -> None:
        """Release the view. Idempotent, and allowed after the database was closed."""
        snapshot, self._leveldb_snapshot = self._leveldb_snapshot, None
        if snapshot is not None:
            snapshot.close()

    def _require_open(self) -> Any:
        if self._leveldb_snapshot is None:
            raise StoreClosed(self._database.directory)
        return self._leveldb_snapshot


def _prepare_directory(directory: Path, create: bool) -> None:
    if not create and not holds_database(directory):
        raise StoreNotFound(directory)
    try:
        _make_directory(directory)
    except OSError as error:
        raise StoreInaccessible(directory, _text(error)) from error


def _make_directory(directory: Path) -> None:
    """Make `directory` and what is missing above it. Each name is synced: a power cut would take the store with it."""
    if not directory.is_dir():
        _make_directory(directory.parent)
        directory.mkdir(mode=0o700, exist_ok=True)
        _sync_path(directory.parent)


def _open_leveldb(directory: Path, create: bool, write_buffer_bytes: int) -> Any:
    try:
        return plyvel.DB(
            str(directory),
            create_if_missing=create,
            paranoid_checks=True,
            write_buffer_size=write_buffer_bytes,
            lru_cache_size=BLOCK_CACHE_BYTES,
            max_open_files=OPEN_FILES,
            bloom_filter_bits=BLOOM_BITS_PER_KEY,
        )
    except plyvel.CorruptionError as error:
        raise StoreCorrupted(directory, _text(error)) from error
    except plyvel.Error as error:
        reason = _text(error)
        if "/LOCK: " in reason:
            raise StoreLocked(directory, "another program that opened it as a plain LevelDB") from error
        raise StoreInaccessible(directory, reason) from error


def _seek(cursor: Any, low: bytes, high: bytes | None, reverse: bool) -> None:
    """Move a raw iterator to the first entry of an iteration, if there is one.

    Raw iterators, because plyvel's own (1.5.1) end silently where a damaged block is the last one, and lose the entry
    at the lower bound of some reverse iterations. Raw ones report damage at every move.
    """
    if not reverse:
        cursor.seek(low)
    elif high is None:
        cursor.seek_to_last()
    else:
        cursor.seek(high)
        if cursor.valid():
            cursor.prev()
        else:
            cursor.seek_to_last()


def _read_chunk(
    cursor: Any, low: bytes, high: bytes | None, reverse: bool, size: int
) -> list[tuple[bytes, bytes]]:
    """The next `size` entries in [low, high); fewer at its end."""
    entries: list[tuple[bytes, bytes]] = []
    move = cursor.prev if reverse else cursor.next
    while len(entries) < size and cursor.valid():
        entry: tuple[bytes, bytes] = cursor.item()
        if entry[0] < low or (high is not None and entry[0] >= high):
            break
        entries.append(entry)
        move()
    return entries


def _sync_path(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _log_number(name: str) -> int:
    return int(name.removesuffix(".log"))


def _text(error: Exception) -> str:
    """The message of `error`; plyvel gives it as bytes."""
    first = error.args[0] if len(error.args) == 1 else str(error)
    return first.decode("utf-8", "replace") if isinstance(first, bytes) else str(first)
