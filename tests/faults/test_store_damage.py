"""Any file of the store damaged in any way: the engine refuses, or has exactly what was there at some commit (R18).

100 flipped bits and as many cut, zeroed and overwritten tails, over logs, tables, manifest and CURRENT. Only a log
that ends early may open with fewer batches than were written: a crash leaves the same. Everything else is refused, or
is where nobody reads. 0 silent holes (reliability.md, goal 9). `NEXUS_BIT_FLIPS=n` flips n bits instead of 100.
"""

import os
import random
from pathlib import Path

import pytest
from faults.damaged_stores import (
    COMMITS,
    Damage,
    commits_of,
    cut_at,
    damaged,
    flip,
    garbage_from,
    log_of,
    write_store,
    zeros_from,
)

from ledger.storage.errors import StoreCorrupted, StoreError, StoreReadFailed

FLIPS = int(os.environ.get("NEXUS_BIT_FLIPS", "100"))
TAILS = 8
"""Of a kind and file."""
FILES = ["log", "*.ldb", "MANIFEST-*", "CURRENT"]


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory that is copied and damaged."""
    directory = tmp_path_factory.mktemp("damage") / "node"
    write_store(directory)
    return directory


def commits_left(pristine: Path, tmp_path: Path, file: str, damage: Damage) -> int | None:
    """How many batches the damaged store has; None when it is refused."""
    name = log_of(pristine / "db").name if file == "log" else file
    directory = damaged(pristine, tmp_path, name, damage)
    try:
        return commits_of(directory)
    except StoreCorrupted as refusal:
        if "nexus db repair --dir" not in str(refusal):
            raise AssertionError(f"names no next step: {refusal}") from refusal
        return None
    except StoreError as refusal:
        if not isinstance(refusal, StoreReadFailed):
            raise
        return None


@pytest.mark.parametrize("file", FILES)
def test_R18_flipped_bit_of_any_file_leaves_no_silent_hole(pristine: Path, tmp_path: Path, file: str) -> None:
    found = [commits_left(pristine, tmp_path, file, flip(seed)) for seed in range(FLIPS // len(FILES))]
    assert set(found) <= {None, COMMITS}
    assert found.count(None) > len(found) // 2


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("kind", ["zeros", "garbage"])
def test_R18_overwritten_tail_of_any_file_leaves_no_silent_hole(
    pristine: Path, tmp_path: Path, file: str, kind: str
) -> None:
    generator = random.Random(f"{file} {kind}")
    for trial in range(TAILS):
        share = generator.random()
        damage = zeros_from(share) if kind == "zeros" else garbage_from(share, trial)
        assert commits_left(pristine, tmp_path, file, damage) is None


@pytest.mark.parametrize("file", ["*.ldb", "CURRENT"])
def test_R18_table_or_CURRENT_that_ends_early_is_refused(pristine: Path, tmp_path: Path, file: str) -> None:
    generator = random.Random(file)
    for _ in range(TAILS):
        assert commits_left(pristine, tmp_path, file, cut_at(generator.random())) is None


def test_R18_log_that_ends_early_has_the_batches_before_its_end(pristine: Path, tmp_path: Path) -> None:
    shares = sorted(random.Random(3).random() for _ in range(TAILS))
    found = [commits_left(pristine, tmp_path, "log", cut_at(share)) for share in shares]
    assert None not in found
    assert found == sorted(found, key=lambda commits: commits or 0)
    assert all(0 < (commits or 0) < COMMITS for commits in found)


def test_R18_manifest_that_ends_early_is_refused_or_loses_nothing(pristine: Path, tmp_path: Path) -> None:
    generator = random.Random(4)
    for _ in range(TAILS):
        assert commits_left(pristine, tmp_path, "MANIFEST-*", cut_at(generator.random())) in (None, COMMITS)
