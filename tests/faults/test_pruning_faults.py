"""A process that dies before or after a slice of pruning has written it: the next one goes on (R19)."""

import os
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from builders.history import make_history, tiny_chain, tiny_engine
from faults.pruning_worker import open_database, prune_fully

from consensus.commit_chain import COMMITS_PREFIX
from consensus.engine import Engine
from ledger.storage.fail_points import EXIT_FAIL_POINT, FAIL_POINT_VARIABLE
from ledger.storage.store import Reader

REPOSITORY = Path(__file__).resolve().parents[2]
SLOTS = 130
OCCURRENCES = 3


def content_of(reader: Reader) -> dict[bytes, bytes]:
    """Everything but the record of how many batches it took."""
    return {key: value for key, value in reader.iterate(b"") if not key.startswith(COMMITS_PREFIX)}


def open_engine(directory: Path) -> tuple[Engine, dict[bytes, bytes]]:
    """The engine and the content after the rest of the pruning."""
    with closing(open_database(directory)) as database:
        engine = tiny_engine(tiny_chain(), database)
        prune_fully(engine)
        return engine, content_of(database)


@pytest.fixture(scope="module")
def unpruned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose chain has finalised more than it retains."""
    directory = tmp_path_factory.mktemp("pruning") / "db"
    with closing(open_database(directory)) as database:
        engine = tiny_engine(tiny_chain(), database)
        for block in make_history(0, SLOTS, presence=0.3, odd=0.3).blocks:
            engine.process_blocks([engine.prepare_decoded(block.block, block.block.header.slot)])
    return directory


@pytest.fixture(scope="module")
def pruned(unpruned: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Engine, dict[bytes, bytes]]:
    """What a process that never died makes of it."""
    directory = tmp_path_factory.mktemp("pruned") / "db"
    shutil.copytree(unpruned, directory)
    with closing(open_database(directory)) as database:
        assert prune_fully(tiny_engine(tiny_chain(), database)) > OCCURRENCES
    return open_engine(directory)


@pytest.mark.xdist_group("processes")
@pytest.mark.parametrize("occurrence", range(1, OCCURRENCES + 1))
@pytest.mark.parametrize("point", ["pruning_slice_before", "pruning_slice_after"])
def test_R19_pruning_goes_on_after_the_process_died_at_a_slice(
    unpruned: Path, pruned: tuple[Engine, dict[bytes, bytes]], tmp_path: Path, point: str, occurrence: int
) -> None:
    directory = tmp_path / "db"
    shutil.copytree(unpruned, directory)
    died = subprocess.run(
        [sys.executable, str(REPOSITORY / "tests/faults/pruning_worker.py"), str(directory)],
        env=os.environ
        | {
            FAIL_POINT_VARIABLE: f"{point}:{occurrence}",
            "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "tests")]),
        },
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert died.returncode == EXIT_FAIL_POINT, died.stderr
    engine, content = open_engine(directory)
    expected, expected_content = pruned
    assert (engine.head, engine.finalised, engine.base) == (expected.head, expected.finalised, expected.base)
    assert content == expected_content
