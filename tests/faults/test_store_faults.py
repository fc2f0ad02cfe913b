"""What the disk, the power and other processes do to a store, and what must be left afterwards."""

import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from faults.faulty_store import Crash, FaultyDisk
from faults.store_writer import SCHEMA_VERSION, numbered_batch

from ledger.storage.database import Database
from ledger.storage.errors import StoreClosed, StoreCorrupted, StoreLocked, StoreReadFailed, StoreWriteFailed
from ledger.storage.log_check import find_framing_fault
from ledger.storage.log_records import HEADER_BYTES, masked_crc32c
from ledger.storage.store import WriteBatch

REPOSITORY = Path(__file__).resolve().parents[2]
BATCHES = 60


def open_database(directory: Path) -> Database:
    return Database(directory, schema_version=SCHEMA_VERSION)


def start_writer(directory: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(REPOSITORY / "tests/faults/store_writer.py"), str(directory), *options],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    )


def stored_numbers(directory: Path) -> list[int]:
    """The numbers of the batches in the store; each is whole, whatever happened."""
    with closing(open_database(directory)) as database:
        left = dict(database.iterate(b"left"))
        right = dict(database.iterate(b"right"))
    numbers = [int(key.removeprefix(b"left")) for key in left]
    assert left | right == {
        key: value for number in numbers for key, value in numbered_batch(number).writes.items()
    }
    return numbers


def written_store(directory: Path) -> Path:
    """A store with `BATCHES` batches in its log, closed; returns the log."""
    with closing(open_database(directory)) as database:
        for number in range(BATCHES):
            database.write(WriteBatch({b"n%04d" % number: b"%d," % number * 20}), sync=False)
    (log,) = directory.glob("*.log")
    return log


def record_starts(content: bytes) -> list[int]:
    """Where each record of a log of one block begins."""
    starts, position = [], 0
    while position + HEADER_BYTES <= len(content):
        starts.append(position)
        position += HEADER_BYTES + content[position + 4] + 256 * content[position + 5]
    return starts


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed store that tests copy before they damage it."""
    directory = tmp_path_factory.mktemp("pristine")
    written_store(directory)
    return directory


def damaged_copy(pristine: Path, directory: Path, name: str, damage: Callable[[bytearray], None]) -> Path:
    """A copy of the store in which `damage` changed the one file that matches `name`."""
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(pristine, directory)
    (path,) = directory.glob(name)
    content = bytearray(path.read_bytes())
    damage(content)
    path.write_bytes(content)
    return directory


def refusal_of(directory: Path) -> StoreCorrupted:
    with pytest.raises(StoreCorrupted) as refusal:
        open_database(directory).close()
    return refusal.value


@pytest.mark.parametrize("seed", range(4))
def test_R19_kill_9_of_the_writer_loses_no_acknowledged_batch(tmp_path: Path, seed: int) -> None:
    writer = start_writer(tmp_path)
    assert writer.stdout is not None
    wanted = random.Random(seed).randrange(5, 1_000)
    acked = [int(writer.stdout.readline()) for _ in range(wanted)]
    os.kill(writer.pid, signal.SIGKILL)
    acked += [int(line) for line in writer.stdout.read().splitlines()]
    writer.wait()
    numbers = stored_numbers(tmp_path)
    assert numbers[: len(acked)] == acked
    assert len(numbers) <= len(acked) + 1


def test_R17_failed_write_is_fatal_and_acknowledged_batches_survive(tmp_path: Path) -> None:
    writer = start_writer(tmp_path, str(200 * 1024))
    assert writer.stdout is not None
    lines = writer.stdout.read().splitlines()
    writer.wait()
    acked = [int(line) for line in lines if line.isdecimal()]
    assert len(acked) > 10
    assert lines[len(acked)].startswith("failed") and "File too large" in lines[len(acked)]
    assert lines[len(acked) + 1 :] == ["refused"] * 5
    assert stored_numbers(tmp_path)[: len(acked)] == acked


def test_R21_second_process_is_refused_while_the_first_runs(tmp_path: Path) -> None:
    writer = start_writer(tmp_path)
    assert writer.stdout is not None
    writer.stdout.readline()
    with pytest.raises(StoreLocked, match=f"process {writer.pid}"):
        open_database(tmp_path)
    writer.kill()
    writer.stdout.read()
    writer.wait()
    open_database(tmp_path).close()


@pytest.mark.parametrize("seed", range(20))
def test_R18_truncated_log_opens_with_a_prefix(pristine: Path, tmp_path: Path, seed: int) -> None:
    size = next(pristine.glob("*.log")).stat().st_size
    kept = random.Random(seed).randrange(size)

    def truncate(content: bytearray) -> None:
        del content[kept:]

    directory = damaged_copy(pristine, tmp_path / "copy", "*.log", truncate)
    if not kept:
        return
    try:
        with closing(open_database(directory)) as database:
            keys = [key for key, _ in database.iterate(b"n")]
    finally:
        shutil.rmtree(directory)
    assert keys == [b"n%04d" % number for number in range(len(keys))]
    assert len(keys) < BATCHES


@pytest.mark.parametrize("seed", range(20))
def test_R18_zero_filled_tail_is_refused(pristine: Path, tmp_path: Path, seed: int) -> None:
    content = next(pristine.glob("*.log")).read_bytes()
    generator = random.Random(seed)
    first = generator.choice([generator.randrange(len(content) - HEADER_BYTES), *record_starts(content)[1:]])

    def zero(content: bytearray) -> None:
        content[first:] = bytes(len(content) - first)

    refusal_of(damaged_copy(pristine, tmp_path / "copy", "*.log", zero))


def test_R18_zero_page_amid_the_log_is_refused(pristine: Path, tmp_path: Path) -> None:
    content = next(pristine.glob("*.log")).read_bytes()
    starts = record_starts(content)

    def zero(content: bytearray) -> None:
        content[starts[5] : starts[9]] = bytes(starts[9] - starts[5])

    refusal = refusal_of(damaged_copy(pristine, tmp_path / "copy", "*.log", zero))
    assert f"nexus db repair --dir {tmp_path / 'copy'}" in str(refusal)
    assert f"at byte {starts[5]}" in str(refusal)


@pytest.mark.parametrize("name", ["*.log", "MANIFEST-*"])
@pytest.mark.parametrize("seed", range(3))
def test_R18_flipped_bit_is_refused(pristine: Path, tmp_path: Path, name: str, seed: int) -> None:
    size = next(pristine.glob(name)).stat().st_size
    generator = random.Random(seed)
    for _ in range(25):
        flipped = generator.randrange(8 * size)

        def flip(content: bytearray, bit: int = flipped) -> None:
            content[bit // 8] ^= 1 << bit % 8

        refusal_of(damaged_copy(pristine, tmp_path / "copy", name, flip))


@pytest.mark.parametrize("name", ["*.log", "MANIFEST-*"])
def test_R18_every_flipped_bit_of_a_record_length_is_refused(
    pristine: Path, tmp_path: Path, name: str
) -> None:
    content = next(pristine.glob(name)).read_bytes()
    starts = record_starts(content)
    for start in (starts[0], starts[len(starts) // 2], starts[-1]):
        for bit in range(16):

            def flip(content: bytearray, at: int = start + 4 + bit // 8, bit: int = bit) -> None:
                content[at] ^= 1 << bit % 8

            refusal_of(damaged_copy(pristine, tmp_path / "copy", name, flip))


def entries_or_refusal(directory: Path, read: Callable[[Database], object]) -> object:
    """What `read` gives on the store, or None when opening or reading it is refused."""
    try:
        with closing(open_database(directory)) as database:
            return read(database)
    except (StoreCorrupted, StoreReadFailed):
        return None


@pytest.fixture(scope="module")
def tabled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed store with its content in one table of two blocks: the second opening makes it of the log."""
    directory = tmp_path_factory.mktemp("tabled")
    written_store(directory)
    open_database(directory).close()
    return directory


READS: dict[str, Callable[[Database], object]] = {
    "forward": lambda database: list(database.iterate(b"n")),
    "reverse": lambda database: list(database.iterate(b"n", reverse=True))[::-1],
    "get": lambda database: [(key, database.get(key)) for key in (b"n%04d" % n for n in range(BATCHES))],
}


@pytest.mark.parametrize("way", sorted(READS))
def test_R18_flipped_bit_of_a_table_is_refused_or_harmless(tabled: Path, tmp_path: Path, way: str) -> None:
    size = next(tabled.glob("*.ldb")).stat().st_size
    expected = [(b"n%04d" % number, b"%d," % number * 20) for number in range(BATCHES)]
    generator = random.Random(way)
    refused = 0
    for _ in range(80):
        bit = generator.randrange(8 * size)

        def flip(content: bytearray, bit: int = bit) -> None:
            content[bit // 8] ^= 1 << bit % 8

        found = entries_or_refusal(damaged_copy(tabled, tmp_path / "copy", "*.ldb", flip), READS[way])
        assert found in (None, expected)
        refused += found is None
    assert refused > 40


def test_R18_lost_CURRENT_file_is_no_new_database(pristine: Path, tmp_path: Path) -> None:
    directory = tmp_path / "copy"
    shutil.copytree(pristine, directory)
    (directory / "CURRENT").unlink()
    before = sorted(path.name for path in directory.iterdir())
    assert "CURRENT" in str(refusal_of(directory))
    assert sorted(path.name for path in directory.iterdir()) == before


def test_R18_lost_table_is_refused(tmp_path: Path) -> None:
    written_store(tmp_path)
    open_database(tmp_path).close()
    next(tmp_path.glob("*.ldb")).unlink()
    assert "missing files" in str(refusal_of(tmp_path))


def test_crash_amid_the_creation_of_a_store_leaves_it_openable(tmp_path: Path) -> None:
    (tmp_path / "MANIFEST-000001").write_bytes(b"cut")
    (tmp_path / "000001.dbtmp").write_bytes(b"MANI")
    open_database(tmp_path).close()


def test_checksum_is_crc32c_as_leveldb_masks_it() -> None:
    """RFC 3720 B.4 gives 0xe3069283 for the nine digits; masked as in LevelDB's util/crc32c.h."""
    crc = 0xE3069283
    assert masked_crc32c(b"123456789") == ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def test_intact_log_over_several_blocks_has_no_fault(tmp_path: Path) -> None:
    with closing(open_database(tmp_path)) as database:
        for number in range(300):
            database.write(WriteBatch({b"n%d" % number: bytes([1]) * (37 * number % 2_000)}), sync=False)
    content = next(tmp_path.glob("*.log")).read_bytes()
    assert len(content) > 5 * 32_768
    assert find_framing_fault(content) is None
    for cut in random.Random(1).sample(range(len(content)), 50):
        assert find_framing_fault(content[:cut]) is None


def test_R18_record_that_would_cross_the_end_of_its_block_is_a_fault() -> None:
    """Several damaged bits of a length: no writer makes such a record, so it is no write that was cut short."""
    full_record = 1
    header = bytes(4) + (40_000).to_bytes(2, "little") + bytes([full_record])
    fault = find_framing_fault(header + bytes(100))
    assert fault is not None and "40000" in fault
    fitting = bytes(4) + (20_000).to_bytes(2, "little") + bytes([full_record])
    assert find_framing_fault(fitting + bytes(100)) is None


def fill(disk: FaultyDisk, synced: list[int], count: int = 20) -> None:
    store = disk.open()
    for number in range(count):
        store.write(WriteBatch({b"n%02d" % number: b""}), sync=number in synced)


def kept(disk: FaultyDisk) -> list[int]:
    store = disk.open()
    numbers = [int(key[1:]) for key, _ in store.iterate(b"n")]
    store.close()
    return numbers


def test_faulty_store_keeps_all_when_only_the_process_dies() -> None:
    disk = FaultyDisk(seed=1)
    fill(disk, synced=[])
    disk.crash(Crash.KEEP_ALL)
    assert kept(disk) == list(range(20))


def test_faulty_store_drops_what_was_written_after_the_last_sync() -> None:
    disk = FaultyDisk(seed=1)
    fill(disk, synced=[3, 9])
    assert disk.unsynced_batches() == 10
    disk.crash(Crash.DROP_UNSYNCED)
    assert kept(disk) == list(range(10))


def test_faulty_store_tears_the_tail_by_whole_batches_in_any_subset() -> None:
    outcomes = set()
    for seed in range(20):
        disk = FaultyDisk(seed)
        fill(disk, synced=[9])
        disk.crash(Crash.TORN_TAIL)
        numbers = kept(disk)
        assert numbers[:10] == list(range(10))
        outcomes.add(tuple(numbers[10:]))
    assert len(outcomes) == 20
    assert any(outcome and outcome != tuple(range(10, 10 + len(outcome))) for outcome in outcomes)


def test_faulty_store_repeats_itself_with_the_same_seed() -> None:
    def outcome() -> list[int]:
        disk = FaultyDisk(seed=7)
        fill(disk, synced=[])
        disk.crash(Crash.TORN_TAIL)
        return kept(disk)

    assert outcome() == outcome()


def test_faulty_store_fails_the_chosen_write_and_is_dead_afterwards() -> None:
    disk = FaultyDisk(seed=1)
    store = disk.open()
    disk.fail_write(3)
    store.write(WriteBatch({b"n01": b""}), sync=True)
    store.write(WriteBatch({b"n02": b""}), sync=False)
    with pytest.raises(StoreWriteFailed):
        store.write(WriteBatch({b"n03": b""}), sync=True)
    calls: list[Callable[[], object]] = [
        lambda: store.write(WriteBatch(), sync=False),
        lambda: store.get(b"n01"),
        store.snapshot,
    ]
    for call in calls:
        with pytest.raises(StoreWriteFailed):
            call()
    store.close()
    assert kept(disk) in ([1, 2], [1, 2, 3])


def test_faulty_store_may_keep_or_lose_the_batch_whose_write_failed() -> None:
    outcomes = set()
    for seed in range(10):
        disk = FaultyDisk(seed)
        store = disk.open()
        disk.fail_write(1)
        with pytest.raises(StoreWriteFailed):
            store.write(WriteBatch({b"n00": b""}), sync=True)
        store.close()
        outcomes.add(tuple(kept(disk)))
    assert outcomes == {(), (0,)}


def test_faulty_store_has_one_handle_at_a_time_and_a_crashed_one_is_closed() -> None:
    disk = FaultyDisk(seed=1)
    store = disk.open()
    with pytest.raises(StoreLocked):
        disk.open()
    disk.crash(Crash.KEEP_ALL)
    with pytest.raises(StoreClosed):
        store.get(b"a")
    successor = disk.open()
    store.close()
    successor.write(WriteBatch({b"a": b""}), sync=True)


def test_faulty_store_stays_at_risk_after_a_clean_close_until_it_is_reopened() -> None:
    disk = FaultyDisk(seed=1)
    fill(disk, synced=[4], count=10)
    disk.crash(Crash.KEEP_ALL)
    store = disk.open()
    store.write(WriteBatch({b"n98": b""}), sync=False)
    store.close()
    disk.crash(Crash.DROP_UNSYNCED)
    assert kept(disk) == list(range(10))
