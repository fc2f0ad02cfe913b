"""Disks that fail under the engine: it stops at the first error, and what it had committed is there afterwards.

The run is the same in all tests: two halves of a network that part and meet again, so that the chain is reorganised
over several slots. An oracle engine that never fails takes the same calls; after each of them its `Moment` is kept, and
whatever a fault leaves behind has to be one of these moments, exactly.
"""

import random
import shutil
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from faults.engine_writer import LaneWriter, writer_chain
from faults.faulty_store import Crash, FaultyDisk

from consensus.commit_chain import read_commit_chain
from consensus.engine import Engine
from consensus.errors import EngineHalted
from consensus.events import ChainAdvanced
from consensus.prepare import PreparedBlock
from consensus.stores import Head, blocks_by_slot, read_block
from ledger.amounts import MAX_SUPPLY_UNITS
from ledger.execution import APPLIED
from ledger.state_commitment import StateTree
from ledger.storage.audit import audit
from ledger.storage.errors import StoreCorrupted, StoreReadFailed, StoreWriteFailed
from ledger.storage.memory import MemoryStore
from ledger.storage.state_store import INDEX_PREFIX, LedgerStore
from ledger.storage.store import Store, WriteBatch

CHAIN = writer_chain()
SLOTS = 12
PARTED_SLOTS = 4
"""So long the halves do not hear of each other."""
HALVES = ((0, 1, 2), (3, 4, 5))
CALLS = 30
WRITES = CALLS + 1
"""Of a whole run: the founding batch, and one for each call."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What must be on disk after so many calls."""

    head: Head
    tips: tuple[bytes, ...]
    applied: dict[bytes, bytes]
    """Transaction -> accepting block, for all that the selected chain has applied."""


@dataclass(frozen=True, slots=True)
class Run:
    """The calls, and the oracle's moment before the first and after each of them."""

    calls: tuple[tuple[PreparedBlock, ...], ...]
    moments: tuple[Moment, ...]
    deepest_reorganisation: int


def made_blocks() -> list[PreparedBlock]:
    """The blocks of both halves; those of one half between two meetings stand together."""
    halves = [
        LaneWriter(CHAIN, CHAIN.open_engine(MemoryStore()), f"half {number}") for number in range(len(HALVES))
    ]
    made: list[PreparedBlock] = []
    while halves[0].slot <= SLOTS:
        backlogs: list[list[PreparedBlock]] = []
        for writer, bands in zip(halves, HALVES, strict=True):
            backlog = []
            for _ in range(PARTED_SLOTS):
                for block in writer.next_slot(bands):
                    writer.engine.process_block(block)
                    backlog.append(block)
            backlogs.append(backlog)
        for writer, unheard in zip(halves, reversed(backlogs), strict=True):
            writer.engine.process_blocks(unheard)
        made += [block for backlog in backlogs for block in backlog]
    return made


@cache
def whole_run() -> Run:
    """The run and its oracle."""
    blocks = made_blocks()
    cuts = [0, *sorted(random.Random(1).sample(range(1, len(blocks)), CALLS - 1)), len(blocks)]
    calls = [tuple(blocks[first:last]) for first, last in pairwise(cuts)]
    oracle = CHAIN.open_engine(MemoryStore())
    applied_by: dict[bytes, list[bytes]] = {}
    moments = [Moment(oracle.head, oracle.tips, {})]
    deepest = 0
    for call in calls:
        for event in oracle.process_blocks(call):
            if isinstance(event, ChainAdvanced):
                deepest = max(deepest, len(event.removed))
                for block_id in event.removed:
                    del applied_by[block_id]
                for block in event.added:
                    applied_by[block.block_id] = [
                        receipt.transaction_id for receipt in block.receipts if receipt.status == APPLIED
                    ]
        applied = {transaction: block for block, all_of in applied_by.items() for transaction in all_of}
        moments.append(Moment(oracle.head, oracle.tips, applied))
    return Run(tuple(calls), tuple(moments), deepest)


def check(engine: Engine, moment: Moment) -> None:
    """`engine`, just opened (so its state has the head's root), holds exactly what was committed at `moment`."""
    store = engine.stores.store
    assert (engine.head, engine.tips) == (moment.head, moment.tips)
    ledger = LedgerStore(store)
    for transaction, accepting in moment.applied.items():
        found = ledger.transaction(transaction)
        assert found is not None
        assert (found[0].accepting_block, found[1].status) == (accepting, APPLIED)
    charged = [key for key, _ in store.iterate(INDEX_PREFIX) if len(key) == len(INDEX_PREFIX) + 32]
    assert len(charged) == len(moment.applied)
    report = audit(store)
    assert (report.faults, report.total_units) == ((), MAX_SUPPLY_UNITS)


def process(engine: Engine, calls: Sequence[tuple[PreparedBlock, ...]]) -> None:
    """Make the calls."""
    for call in calls:
        engine.process_blocks(call)


def process_until_failure(engine: Engine) -> int:
    """Make the run's calls until the disk fails; how many succeeded."""
    for number, call in enumerate(whole_run().calls):
        try:
            engine.process_blocks(call)
        except StoreWriteFailed:
            return number
    raise AssertionError("the disk did not fail")


def finish(engine: Engine, done_calls: int) -> None:
    """Process the rest of the run: the engine ends where the oracle does, which never failed."""
    run = whole_run()
    process(engine, run.calls[done_calls:])
    check(engine, run.moments[-1])
    assert StateTree.build(engine.stores.ledger.state()).root == run.moments[-1].head.state_root


def test_the_run_is_worth_its_name() -> None:
    run = whole_run()
    assert run.deepest_reorganisation >= PARTED_SLOTS - 1
    assert len(run.moments[-1].applied) > 100


def survived_calls(engine: Engine) -> int:
    """How many of the run's calls are on the disk of an engine that was just opened."""
    return read_commit_chain(engine.stores.store).sequence - 1


def test_R17_write_error_while_founding_leaves_a_store_that_can_be_founded() -> None:
    for seed in range(4):
        disk = FaultyDisk(seed)
        disk.fail_write(1)
        with pytest.raises(StoreWriteFailed):
            CHAIN.open_engine(disk.open())
        disk.crash(Crash.KEEP_ALL)
        engine = CHAIN.open_engine(disk.open())
        check(engine, whole_run().moments[0])
        finish(engine, 0)


@pytest.mark.parametrize("failing", range(2, WRITES + 1))
def test_R17_write_error_at_any_commit_halts_the_engine_and_loses_nothing(failing: int) -> None:
    run = whole_run()
    disk = FaultyDisk(seed=failing)
    disk.fail_write(failing)
    engine = CHAIN.open_engine(disk.open())
    succeeded = process_until_failure(engine)
    assert succeeded == failing - 2
    assert engine.head == run.moments[succeeded].head
    for work in (
        lambda: engine.process_blocks(run.calls[succeeded]),
        lambda: engine.build_block(
            SLOTS + 1, 0, engine.schedule.proposer(SLOTS + 1, 0) or 0, reveal=bytes(32)
        ),
        engine.virtual_state,
    ):
        with pytest.raises(EngineHalted, match="No space left on device"):
            work()
    disk.crash(list(Crash)[failing % len(Crash)])

    engine = CHAIN.open_engine(disk.open())
    survived = survived_calls(engine)
    assert survived in (succeeded, succeeded + 1)
    check(engine, run.moments[survived])
    finish(engine, succeeded)


def test_R17_commit_whose_write_failed_is_there_wholly_or_not_at_all() -> None:
    run = whole_run()
    found = []
    for seed in range(8):
        disk = FaultyDisk(seed)
        disk.fail_write(20)
        engine = CHAIN.open_engine(disk.open())
        succeeded = process_until_failure(engine)
        disk.crash(Crash.KEEP_ALL)
        engine = CHAIN.open_engine(disk.open())
        check(engine, run.moments[survived_calls(engine)])
        found.append(survived_calls(engine) - succeeded)
    assert set(found) == {0, 1}


@pytest.mark.parametrize("kind", list(Crash), ids=lambda kind: kind.name.lower())
@pytest.mark.parametrize("seed", range(8))
def test_R19_crash_between_calls_loses_no_committed_transfer(kind: Crash, seed: int) -> None:
    run = whole_run()
    generator = random.Random(seed)
    disk = FaultyDisk(seed)
    engine = CHAIN.open_engine(disk.open())
    done = 0
    for _ in range(3):
        steps = generator.randint(0, len(run.calls) // 3)
        process(engine, run.calls[done : done + steps])
        done += steps
        disk.crash(kind)
        engine = CHAIN.open_engine(disk.open())
        check(engine, run.moments[done])
    finish(engine, done)
    assert disk.unsynced_writes == 0


class RecordingStore(MemoryStore):
    """Keeps all batches, in order."""

    def __init__(self) -> None:
        super().__init__("recording")
        self.batches: list[WriteBatch] = []

    def write(self, batch: WriteBatch, *, sync: bool) -> None:
        self.batches.append(WriteBatch(dict(batch.writes)))
        super().write(batch, sync=sync)


def test_R18_store_that_lacks_any_batch_but_the_last_is_refused() -> None:
    recorded = RecordingStore()
    process(CHAIN.open_engine(recorded), whole_run().calls)
    assert len(recorded.batches) == WRITES
    for lost in range(1, WRITES - 1):
        store = MemoryStore()
        for number, batch in enumerate(recorded.batches):
            if number != lost:
                store.write(batch, sync=True)
        with pytest.raises(StoreCorrupted):
            CHAIN.open_engine(store)


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed LevelDB with the whole run in its log."""
    directory = tmp_path_factory.mktemp("engine") / "pristine"
    with closing(CHAIN.open_database(directory)) as database:
        process(CHAIN.open_engine(database), whole_run().calls)
    return directory


@pytest.fixture(scope="module")
def tabled(pristine: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with its content in a table: the second opening makes it of the log."""
    directory = tmp_path_factory.mktemp("engine") / "tabled"
    shutil.copytree(pristine, directory)
    CHAIN.open_database(directory).close()
    return directory


def damaged_copy(source: Path, directory: Path, name: str, damage: Callable[[bytearray], None]) -> Path:
    """A copy of a closed store in which `damage` changed the one file that matches `name`."""
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(source, directory)
    (path,) = directory.glob(name)
    content = bytearray(path.read_bytes())
    damage(content)
    path.write_bytes(content)
    return directory


@pytest.mark.parametrize("seed", range(12))
def test_R18_truncated_log_opens_at_an_earlier_commit_and_goes_on(
    pristine: Path, tmp_path: Path, seed: int
) -> None:
    run = whole_run()
    size = next(pristine.glob("*.log")).stat().st_size
    kept = random.Random(seed).randrange(size)

    def truncate(content: bytearray) -> None:
        del content[kept:]

    directory = damaged_copy(pristine, tmp_path / "copy", "*.log", truncate)
    with closing(CHAIN.open_database(directory)) as database:
        engine = CHAIN.open_engine(database)
        survived = survived_calls(engine)
        assert survived < CALLS
        check(engine, run.moments[survived])
        finish(engine, survived)


def flip_of(generator: random.Random, size: int) -> Callable[[bytearray], None]:
    """Turns one random bit."""
    bit = generator.randrange(8 * size)

    def flip(content: bytearray) -> None:
        content[bit // 8] ^= 1 << bit % 8

    return flip


def test_R18_flipped_bit_of_the_log_is_refused(pristine: Path, tmp_path: Path) -> None:
    size = next(pristine.glob("*.log")).stat().st_size
    generator = random.Random(18)
    for _ in range(30):
        directory = damaged_copy(pristine, tmp_path / "copy", "*.log", flip_of(generator, size))
        with pytest.raises(StoreCorrupted, match="nexus db repair"):
            CHAIN.open_database(directory).close()


def all_blocks(store: Store) -> list[bytes]:
    """Ids of all blocks, each read whole."""
    blocks = [read_block(store, entry.block_id) for entry in blocks_by_slot(store)]
    return [block.header_id for block in blocks if block is not None]


def test_R18_flipped_bit_of_a_table_is_refused_or_changes_nothing(tabled: Path, tmp_path: Path) -> None:
    final = whole_run().moments[-1]
    with closing(CHAIN.open_database(tabled)) as database:
        expected = all_blocks(database)
    size = next(tabled.glob("*.ldb")).stat().st_size
    generator = random.Random(18)
    refused = 0
    for _ in range(20):
        directory = damaged_copy(tabled, tmp_path / "copy", "*.ldb", flip_of(generator, size))
        try:
            with closing(CHAIN.open_database(directory)) as database:
                check(CHAIN.open_engine(database), final)
                assert all_blocks(database) == expected
        except (StoreCorrupted, StoreReadFailed):
            refused += 1
    assert refused > 10
