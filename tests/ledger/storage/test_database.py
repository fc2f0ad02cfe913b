"""What the LevelDB store adds: identity, locks, fail-stop, free space, durability of earlier batches."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import plyvel
import pytest

from ledger.storage.database import FREE_SPACE_CHECK_WRITES, Database
from ledger.storage.errors import (
    DiskFull,
    SchemaMismatch,
    StoreClosed,
    StoreInaccessible,
    StoreLocked,
    StoreNotFound,
    StoreWriteFailed,
    WrongGenesis,
)
from ledger.storage.store import WriteBatch

GENESIS = bytes(range(32))
A_BATCH = WriteBatch({b"a": b"1"})


def open_database(directory: Path, **options: object) -> Database:
    return Database(directory, **{"schema_version": 3, "genesis_hash": GENESIS, **options})  # type: ignore[arg-type]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(tmp_path)
    yield opened
    opened.close()


def test_content_is_there_after_reopening(tmp_path: Path) -> None:
    with closing(open_database(tmp_path)) as database:
        database.write(A_BATCH, sync=False)
    with closing(open_database(tmp_path)) as database:
        assert list(database.iterate(b"")) == [(b"a", b"1")]


def test_other_schema_version_is_refused_and_leaves_the_store_usable(tmp_path: Path) -> None:
    open_database(tmp_path).close()
    with pytest.raises(SchemaMismatch) as refusal:
        open_database(tmp_path, schema_version=4)
    assert (refusal.value.expected, refusal.value.found) == (4, 3)
    assert "version 3" in str(refusal.value) and "version 4" in str(refusal.value)
    open_database(tmp_path).close()


def test_foreign_leveldb_without_schema_is_refused(tmp_path: Path) -> None:
    foreign = plyvel.DB(str(tmp_path), create_if_missing=True)
    foreign.put(b"key", b"value")
    foreign.close()
    with pytest.raises(SchemaMismatch) as refusal:
        open_database(tmp_path)
    assert refusal.value.found is None


def test_other_genesis_is_refused(tmp_path: Path) -> None:
    open_database(tmp_path).close()
    with pytest.raises(WrongGenesis) as refusal:
        open_database(tmp_path, genesis_hash=bytes(32))
    assert (refusal.value.expected, refusal.value.found) == (bytes(32), GENESIS)


def test_store_without_genesis_is_refused_where_one_is_needed(tmp_path: Path) -> None:
    open_database(tmp_path, genesis_hash=None).close()
    with pytest.raises(WrongGenesis) as refusal:
        open_database(tmp_path)
    assert refusal.value.found is None


def test_genesis_is_not_compared_when_none_is_given(tmp_path: Path) -> None:
    open_database(tmp_path).close()
    open_database(tmp_path, genesis_hash=None).close()


@pytest.mark.parametrize("exists", [False, True])
def test_missing_store_is_not_created_unless_asked(tmp_path: Path, exists: bool) -> None:
    directory = tmp_path / "node"
    if exists:
        directory.mkdir()
    with pytest.raises(StoreNotFound):
        open_database(directory, create=False)
    assert directory.exists() == exists
    assert not exists or list(directory.iterdir()) == []


def test_path_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no directory")
    with pytest.raises(StoreInaccessible):
        open_database(tmp_path / "file")


def test_R21_second_opening_by_the_same_process_is_refused(database: Database) -> None:
    with pytest.raises(StoreLocked) as refusal:
        open_database(database.directory)
    assert str(database.directory) in str(refusal.value)
    assert f"process {os.getpid()}" in str(refusal.value)
    assert "stop that process" in str(refusal.value)


def test_R21_opening_and_closing_the_lock_files_does_not_drop_the_lock(database: Database) -> None:
    for name in ("LOCK", "store.lock"):
        (database.directory / name).read_bytes()
    child = os.fork()
    if child == 0:
        try:
            open_database(database.directory)
        except StoreLocked:
            os._exit(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_R21_write_in_a_forked_child_is_refused(database: Database) -> None:
    child = os.fork()
    if child == 0:
        try:
            database.write(A_BATCH, sync=False)
        except StoreWriteFailed:
            os._exit(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert database.get(b"a") is None


def test_failed_opening_leaves_no_lock(tmp_path: Path) -> None:
    open_database(tmp_path).close()
    for _ in range(2):
        with pytest.raises(SchemaMismatch):
            open_database(tmp_path, schema_version=9)
    open_database(tmp_path).close()


def test_R17_opening_on_a_full_disk_is_refused_with_both_numbers(tmp_path: Path) -> None:
    with pytest.raises(DiskFull) as refusal:
        open_database(tmp_path, min_free_bytes=1000, free_bytes_of=lambda _: 999)
    assert (refusal.value.free_bytes, refusal.value.limit_bytes) == (999, 1000)
    assert "999" in str(refusal.value) and "1000" in str(refusal.value)


def test_R17_writes_stop_before_the_disk_is_full_and_nothing_acked_is_lost(tmp_path: Path) -> None:
    free = [10_000]
    database = open_database(tmp_path, min_free_bytes=1000, free_bytes_of=lambda _: free[0])
    acked = 0

    def write_until_refused() -> None:
        nonlocal acked
        while True:
            free[0] = 10_000 if acked < 20 else 999
            database.write(WriteBatch({b"n%d" % acked: b""}), sync=False)
            acked += 1

    with pytest.raises(DiskFull):
        write_until_refused()
    assert 20 <= acked < 20 + FREE_SPACE_CHECK_WRITES
    free[0] = 10_000
    with pytest.raises(StoreWriteFailed):
        database.write(A_BATCH, sync=False)
    database.close()
    with closing(open_database(tmp_path, min_free_bytes=1000, free_bytes_of=lambda _: free[0])) as reopened:
        assert len(list(reopened.iterate(b"n"))) == acked
        reopened.write(A_BATCH, sync=True)


def test_after_a_failed_write_every_call_is_refused(tmp_path: Path) -> None:
    free = [10_000]
    database = open_database(
        tmp_path, min_free_bytes=1000, free_bytes_of=lambda _: free[0], free_space_check_writes=1
    )
    database.write(WriteBatch({b"n%d" % number: b"" for number in range(100)}), sync=False)
    snapshot, running = database.snapshot(), database.iterate(b"n")
    next(running)
    free[0] = 0
    with pytest.raises(StoreWriteFailed):
        database.write(A_BATCH, sync=False)
    free[0] = 10_000
    calls: list[Callable[[], object]] = [
        lambda: database.write(A_BATCH, sync=True),
        lambda: database.get(b"a"),
        lambda: database.iterate(b""),
        database.snapshot,
        database.size_bytes,
        database.verify,
        lambda: snapshot.get(b"a"),
        lambda: snapshot.iterate(b""),
        lambda: list(running),
    ]
    for call in calls:
        with pytest.raises(StoreWriteFailed):
            call()
    snapshot.close()
    database.close()


def synced_paths(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of everything that `os.fsync` is called on from here on."""
    names: list[str] = []
    real_fsync = os.fsync

    def recording_fsync(descriptor: int) -> None:
        names.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        real_fsync(descriptor)

    monkeypatch.setattr(os, "fsync", recording_fsync)
    return names


def test_synced_write_also_syncs_logs_that_leveldb_left(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_log = database.directory / "000001.log"
    left_log.write_bytes(b"as LevelDB leaves one when its buffer is full")
    names = synced_paths(monkeypatch)
    database.write(A_BATCH, sync=False)
    assert names == []
    database.write(A_BATCH, sync=True)
    assert names == [left_log.name, database.directory.name]


def test_synced_write_syncs_the_directory_once_per_new_log(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = synced_paths(monkeypatch)
    for _ in range(3):
        database.write(A_BATCH, sync=True)
    assert names.count(database.directory.name) <= 1


def test_failed_sync_of_an_earlier_log_is_fatal(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing_fsync(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    (database.directory / "000001.log").write_bytes(b"left")
    monkeypatch.setattr(os, "fsync", failing_fsync)
    with pytest.raises(StoreWriteFailed, match="Input/output error"):
        database.write(A_BATCH, sync=True)
    with pytest.raises(StoreWriteFailed):
        database.get(b"a")


def test_content_survives_many_full_write_buffers(tmp_path: Path) -> None:
    options = {"write_buffer_bytes": 64 * 1024}
    expected = {b"n%05d" % number: b"%d" % number * 100 for number in range(4_000)}
    with closing(open_database(tmp_path, **options)) as database:
        for number, (key, value) in enumerate(expected.items()):
            database.write(WriteBatch({key: value}), sync=number % 500 == 0)
    with closing(open_database(tmp_path, **options)) as database:
        assert dict(database.iterate(b"n")) == expected
        assert database.verify() == len(expected) + 2
        assert len(list(tmp_path.glob("*.ldb"))) > 1


def test_closing_waits_for_readers_in_other_threads(tmp_path: Path) -> None:
    database = open_database(tmp_path)
    database.write(WriteBatch({b"n%05d" % number: b"x" * 50 for number in range(5_000)}), sync=False)
    running = threading.Barrier(5)
    endings: list[str] = []

    def read_until_closed() -> None:
        running.wait()
        try:
            while True:
                assert database.get(b"n00001") == b"x" * 50
                assert sum(1 for _ in database.iterate(b"n", reverse=True)) == 5_000
        except StoreClosed:
            endings.append("refused")

    readers = [threading.Thread(target=read_until_closed) for _ in range(4)]
    for reader in readers:
        reader.start()
    running.wait()
    database.write(A_BATCH, sync=True)
    database.close()
    for reader in readers:
        reader.join(timeout=30)
    assert endings == ["refused"] * 4
