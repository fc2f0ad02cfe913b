"""The power is cut under the real engine over LevelDB: what was acknowledged is there afterwards.

Source: reliability.md, finding 3 and section 4.2 (c).

A kill keeps what the page cache has, so it says nothing about syncs. Here a shim under LevelDB knows what was synced,
and what was not is taken away after the death of the process: all of it, or a random part. The worker dies at a
random call of its own, or is killed from outside; the next one begins on what the cut has left, so cuts also meet
recoveries. `NEXUS_POWER_CUTS=n` makes n cuts instead of 50.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from builders.chain import new_engine
from faults.power_cut.disk import Loss, WatchedDisk
from faults.power_cut.writer import moment_of, open_database, whole_run
from faults.store_writer import numbered_batch

from consensus.commit_chain import read_commit_chain
from consensus.opening import is_empty
from ledger.amounts import MAX_SUPPLY_UNITS
from ledger.storage.audit import audit
from ledger.storage.database import Database
from ledger.storage.errors import StoreCorrupted
from ledger.storage.repair import cut_back

REPOSITORY = Path(__file__).resolve().parents[2]
SHIM_SOURCE = REPOSITORY / "tests/faults/power_cut/shim.c"
EXIT_CUT = 137
CUTS = int(os.environ.get("NEXUS_POWER_CUTS", "50"))
MOST_FURTHER_CUTS = 90
"""Until one leaves zeros in the log: where a cut falls depends on how busy the machine is."""
SEEDS = range(5)
"""The cuts are shared out among these."""
MOST_COMMITS = 25
"""Of a worker before it is killed from outside."""
MOST_CALLS = 220
"""Recorded calls of a worker before the shim ends it: an opening has some 30, a commit 3 to 10."""

pytestmark = pytest.mark.xdist_group("processes")


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled shim."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        reason = "NO POWER WAS CUT: the shim needs Linux and gcc, so durability is not tested here"
        warnings.warn(reason, stacklevel=1)
        pytest.skip(reason)
    library = tmp_path_factory.mktemp("shim") / "shim.so"
    subprocess.run(
        [
            compiler,
            "-shared",
            "-fPIC",
            "-O1",
            "-Wall",
            "-Werror",
            "-o",
            library,
            SHIM_SOURCE,
            "-ldl",
            "-lpthread",
        ],
        check=True,
    )
    return library


@pytest.fixture(scope="module")
def nursery(shim: Path) -> Iterator[subprocess.Popen[str]]:
    """The process that forks workers under the shim."""
    process = subprocess.Popen(
        [sys.executable, str(REPOSITORY / "tests/faults/power_cut/writer.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ
        | {
            "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "tests")]),
            "LD_PRELOAD": str(shim),
        },
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


@dataclass(slots=True)
class Life:
    """What one worker has said."""

    opened: int = 0
    committed: int = 0
    """The last batch that it acknowledged, or that it found."""
    exit_code: int = 0


class Machine:
    """A directory whose power can be cut, and the workers that write in it."""

    def __init__(self, process: subprocess.Popen[str], directory: Path, seed: int | str) -> None:
        self._process = process
        self.root = directory / "disk"
        self._side = directory / "side"
        self.generator = random.Random(seed)
        self.cuts_with_bytes_at_risk = 0
        self.renew()

    def renew(self) -> None:
        """An empty disk."""
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir(parents=True)

    def live_and_cut(self, kind: str, loss: Loss) -> Life:
        """One worker from its start to the cut, and what it had acknowledged; `root` is then what the cut has left."""
        disk = WatchedDisk(self.root, self._side)
        from_outside = self.generator.random() < 0.3
        commits = self.generator.randrange(MOST_COMMITS) if from_outside else -1
        calls = 0 if from_outside else self.generator.randint(1, MOST_CALLS)
        assert self._process.stdin is not None
        self._process.stdin.write(f"{kind} {self.root} {disk.trace} {disk.graveyard} {calls}\n")
        self._process.stdin.flush()
        life = self._follow(commits)
        at_risk = disk.cut(loss, self.generator)
        self.cuts_with_bytes_at_risk += at_risk > 0
        return life

    def _follow(self, commits: int) -> Life:
        """Read the journal to its end; kill the worker after so many commits (never, when negative)."""
        life = Life()
        worker, is_killed = 0, False
        while True:
            assert self._process.stdout is not None
            line = self._process.stdout.readline()
            assert line, "the nursery has ended; its traceback is below"
            word, number = line.split()
            if word == "started":
                worker = int(number)
            elif word == "ended":
                life.exit_code = int(number)
                assert life.exit_code in (0, EXIT_CUT, -signal.SIGKILL)
                return life
            elif word != "finished":
                life.committed = int(number)
                life.opened = life.opened or life.committed
                commits -= word == "committed"
            # Without a call to end at the worker waits to be killed, so its number is its own.
            if commits >= 0 and not is_killed and word != "started" and (commits == 0 or word == "finished"):
                os.kill(worker, signal.SIGKILL)
                is_killed = True


def surviving_commits(root: Path, copy: Path) -> int:
    """Open a copy of what a cut has left, hold it against the oracle, and say how many batches are there."""
    run = whole_run()
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(root, copy)
    with closing(open_database(run.chain, copy / "db")) as database:
        if is_empty(database):
            return 0
        engine = new_engine(run.chain, database)
        sequence = read_commit_chain(database).sequence
        assert moment_of(engine) == run.moments[sequence - 1]
        report = audit(database)
        assert (report.faults, report.total_units) == ((), MAX_SUPPLY_UNITS)
    return sequence


@pytest.mark.parametrize("seed", SEEDS)
def test_R18_power_cut_of_the_engine_loses_no_acknowledged_batch(
    nursery: subprocess.Popen[str], tmp_path: Path, seed: int
) -> None:
    last = len(whole_run().moments)
    acknowledged = lives_after_a_cut = 0
    machine = Machine(nursery, tmp_path, seed)
    for cut in range(CUTS // len(SEEDS)):
        life = machine.live_and_cut("engine", Loss.DROP if cut % 2 else Loss.TORN)
        acknowledged = max(acknowledged, life.committed)
        lives_after_a_cut += life.opened > 1
        survived = surviving_commits(machine.root, tmp_path / "copy")
        assert acknowledged <= survived, f"cut {cut}: {acknowledged} acknowledged, {survived} survived"
        if survived == last:
            machine.renew()
            acknowledged = 0
    assert machine.cuts_with_bytes_at_risk and lives_after_a_cut


def test_R18_power_cut_that_leaves_zeros_is_refused_until_repaired_and_loses_no_acknowledged_batch(
    nursery: subprocess.Popen[str], tmp_path: Path
) -> None:
    last = len(whole_run().moments)
    acknowledged = refused = 0
    machine = Machine(nursery, tmp_path, "zeros")
    store = machine.root / "db"
    for cut in range(CUTS // len(SEEDS) + MOST_FURTHER_CUTS):
        if refused and cut >= CUTS // len(SEEDS):
            break
        life = machine.live_and_cut("engine", Loss.ZEROS)
        acknowledged = max(acknowledged, life.committed)
        try:
            survived = surviving_commits(machine.root, tmp_path / "copy")
        except StoreCorrupted:
            refused += 1
            cut_back(store)
            survived = surviving_commits(machine.root, tmp_path / "copy")
        assert acknowledged <= survived, f"cut {cut}: {acknowledged} acknowledged, {survived} survived"
        if survived == last:
            machine.renew()
            acknowledged = 0
    assert refused


def test_harness_can_fail_an_engine_that_does_not_sync_loses_acknowledged_batches(
    nursery: subprocess.Popen[str], tmp_path: Path
) -> None:
    lost = 0
    for seed in range(60):
        if lost:
            break
        machine = Machine(nursery, tmp_path, f"unsynced {seed}")
        life = machine.live_and_cut("unsynced-engine", Loss.DROP)
        lost += max(0, life.committed - surviving_commits(machine.root, tmp_path / "copy"))
    assert lost > 0


def numbers_left(root: Path) -> set[int]:
    """The numbers of the batches that a cut has left; each is there whole."""
    with closing(Database(root / "db", schema_version=1)) as database:
        found = dict(database.iterate(b"left")) | dict(database.iterate(b"right"))
    numbers = {int(key.removeprefix(b"left")) for key in found if key.startswith(b"left")}
    assert found == {key: value for n in numbers for key, value in numbered_batch(n).writes.items()}
    return numbers


def lost_batches(machine: Machine, kind: str, loss: Loss) -> int:
    """How many batches are gone after one life in which they were synced, or written before one that was."""
    machine.renew()
    life = machine.live_and_cut(kind, loss)
    return len(set(range(life.committed)) - numbers_left(machine.root))


def test_R18_synced_batch_keeps_the_unsynced_ones_before_it_through_a_power_cut(
    nursery: subprocess.Popen[str], tmp_path: Path
) -> None:
    machine = Machine(nursery, tmp_path, "batches")
    assert [lost_batches(machine, "batches", loss) for loss in (Loss.DROP, Loss.TORN) * 12] == [0] * 24


def test_harness_can_fail_a_store_that_syncs_its_last_log_only_loses_batches_before_a_synced_one(
    nursery: subprocess.Popen[str], tmp_path: Path
) -> None:
    machine = Machine(nursery, tmp_path, "batches")
    # However busy the machine is: some of the cuts fall between two logs.
    assert any(lost_batches(machine, "unsynced-logs", Loss.DROP) for _ in range(600))
