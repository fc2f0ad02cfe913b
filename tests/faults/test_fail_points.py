"""A node dies at every fail point, at its first, second and third passage, and goes on when it is started again.

Source: reliability.md 4.2 (b), goal 6 of section 5.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from consensus.stores import SCHEMA_VERSION, blocks_by_slot, read_block, read_head, read_header
from ledger.amounts import MAX_SUPPLY_UNITS
from ledger.storage.audit import audit
from ledger.storage.database import Database
from ledger.storage.fail_points import (
    EXIT_FAIL_POINT,
    FAIL_POINT_VARIABLE,
    FAIL_POINTS,
    FailPointUnknown,
    arm,
    fail_point,
)

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = ("cli", "consensus", "ledger", "node", "p2p", "wnsp")
OCCURRENCES = (1, 2, 3)
LATER_OCCURRENCES = dict.fromkeys(("database_write_before", "database_write_after"), (6, 7, 8, 9, 10))
"""The first writes found stores; these are claims of the signer and blocks of the first slot, in turn."""
FIRST_LIFE_SLOTS = 14
"""Long enough for the votes of a period; most lives end sooner."""
SECOND_LIFE_SLOTS = 2

DIED_AT_ELSEWHERE = {
    "repair_copy_before": "tests/faults/test_repair.py",
    "repair_copy_after": "tests/faults/test_repair.py",
    "repair_cut_after": "tests/faults/test_repair.py",
    "pruning_slice_before": "tests/faults/test_pruning_faults.py",
    "pruning_slice_after": "tests/faults/test_pruning_faults.py",
    "snapshot_chunk_before": "tests/faults/test_import_faults.py",
    "snapshot_chunk_after": "tests/faults/test_import_faults.py",
}
"""Points that a young node does not pass: the test that dies there."""

NODE_POINTS = [name for name in FAIL_POINTS if name not in DIED_AT_ELSEWHERE]


@dataclass(slots=True)
class Life:
    """What a worker has said."""

    opened: int = -1
    heads: list[tuple[int, bytes]] = field(default_factory=list)
    """(chain index, block), as the node told its subscribers."""
    published: dict[tuple[int, int], bytes] = field(default_factory=dict)
    """(slot, band) -> block, as it was given to the network."""
    votes: dict[tuple[int, int], str] = field(default_factory=dict)
    """(validator, period) -> what the vote says."""
    exit_code: int = 0


@pytest.fixture(scope="module")
def nursery() -> Iterator[subprocess.Popen[str]]:
    """The process that forks nodes."""
    process = subprocess.Popen(
        [sys.executable, str(REPOSITORY / "tests/faults/node_worker.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "tests")])},
    )
    with process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def live(
    nursery: subprocess.Popen[str], directory: Path, first_slot: int, slots: int, point: str = "-"
) -> Life:
    """One node from its start to its end."""
    assert nursery.stdin is not None and nursery.stdout is not None
    nursery.stdin.write(f"{directory} {first_slot} {slots} {point}\n")
    nursery.stdin.flush()
    life = Life()
    while True:
        line = nursery.stdout.readline()
        assert line, "the nursery has ended; its traceback is below"
        word, *facts = line.split()
        if word == "opened":
            life.opened = int(facts[0])
        elif word == "head":
            life.heads.append((int(facts[0]), bytes.fromhex(facts[1])))
        elif word == "published":
            block = bytes.fromhex(facts[2])
            assert life.published.setdefault((int(facts[0]), int(facts[1])), block) == block
        elif word == "voted":
            place = int(facts[0]), int(facts[1])
            assert life.votes.setdefault(place, facts[2]) == facts[2]
        else:
            life.exit_code = int(facts[0])
            return life


def check_store(directory: Path, lives: list[Life]) -> None:
    """What the lives have told is in the store, no lane has two blocks, and no unit is missing."""
    with closing(Database(directory / "db", schema_version=SCHEMA_VERSION, create=False)) as database:
        lanes: dict[tuple[int, int], bytes] = {}
        for entry in blocks_by_slot(database, 1):
            header = read_header(database, entry.block_id)
            assert header is not None
            lane = header.slot, header.band
            assert lanes.setdefault(lane, entry.block_id) == entry.block_id, f"lane {lane} was signed twice"
        for place in lives[0].votes.keys() & lives[1].votes.keys():
            assert lives[0].votes[place] == lives[1].votes[place], f"two votes for {place}"
        for life in lives:
            for lane, block in life.published.items():
                assert lanes.get(lane) == block, f"the block that left in lane {lane} is not in the store"
            for _, block in life.heads:
                assert read_block(database, block) is not None
        head = read_head(database)
        assert head is not None and head.chain_index >= lives[-1].heads[-1][0]
        report = audit(database)
        assert (report.faults, report.total_units) == ((), MAX_SUPPLY_UNITS)


@pytest.mark.xdist_group("processes")
@pytest.mark.parametrize("point", NODE_POINTS)
def test_R19_node_goes_on_after_it_died_at_a_fail_point(
    nursery: subprocess.Popen[str], tmp_path: Path, point: str
) -> None:
    deaths = 0
    for occurrence in (*OCCURRENCES, *LATER_OCCURRENCES.get(point, ())):
        directory = tmp_path / str(occurrence)
        first = live(nursery, directory, 1, FIRST_LIFE_SLOTS, f"{point}:{occurrence}")
        if first.exit_code == 0:  # a node passes here less often in its life: at its start, or at its end
            break
        assert first.exit_code == EXIT_FAIL_POINT
        deaths += 1
        told = first.heads[-1][0] if first.heads else max(0, first.opened)
        second = live(nursery, directory, 2 * FIRST_LIFE_SLOTS, SECOND_LIFE_SLOTS)
        assert (second.exit_code, second.opened >= told) == (0, True)
        assert len(second.heads) >= SECOND_LIFE_SLOTS and second.published
        check_store(directory, [first, second])
        shutil.rmtree(directory)
    assert deaths


def calls_in_the_code() -> dict[str, list[str]]:
    """Fail point -> the places that pass it."""
    found: dict[str, list[str]] = {}
    for path in sorted(path for package in PACKAGES for path in (REPOSITORY / package).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if "fail_point(" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id == "fail_point"
            ):
                (name,) = node.args
                assert isinstance(name, ast.Constant), f"{path}:{node.lineno} does not name its point"
                found.setdefault(name.value, []).append(f"{path.relative_to(REPOSITORY)}:{node.lineno}")
    return found


def test_every_fail_point_stands_in_the_code_and_no_other_does() -> None:
    assert sorted(calls_in_the_code()) == sorted(FAIL_POINTS)


@pytest.mark.parametrize("point", DIED_AT_ELSEWHERE)
def test_points_that_a_young_node_does_not_pass_have_a_test_of_their_own(point: str) -> None:
    test = REPOSITORY / DIED_AT_ELSEWHERE[point]
    assert test.exists(), f"{point} needs {test.name}"
    assert re.search(rf"\b{point}\b", test.read_text(encoding="utf-8"))


def create_keys(directory: Path, point: str) -> int:
    """Exit code of a real process that reads the point from its environment."""
    return subprocess.run(
        [sys.executable, "-m", "cli", "validator", "keys", "--create", "1", "--dir", str(directory)],
        env=os.environ | {FAIL_POINT_VARIABLE: point, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        timeout=60,
        check=False,
    ).returncode


@pytest.mark.xdist_group("processes")
def test_process_reads_its_fail_point_from_the_environment(tmp_path: Path) -> None:
    keys = tmp_path / "validators.json"
    assert create_keys(tmp_path, "key_file_link_before:1") == EXIT_FAIL_POINT
    assert not keys.exists()
    assert create_keys(tmp_path, "key_file_link_before:2") == 0
    assert keys.exists()


@pytest.mark.xdist_group("processes")
def test_unknown_fail_point_in_the_environment_does_not_pass_for_a_survived_crash(tmp_path: Path) -> None:
    assert create_keys(tmp_path, "key_file_lnk_before:1") not in (0, EXIT_FAIL_POINT)
    assert not (tmp_path / "validators.json").exists()


@pytest.mark.parametrize(
    "specification",
    ["database_write_before", "database_write_before:0", "x:1", ":1", "database_write_before:-1"],
)
def test_fail_point_that_is_none_is_refused(specification: str) -> None:
    with pytest.raises(FailPointUnknown, match="expected name:n"):
        arm(specification)


def test_point_that_is_not_armed_is_passed() -> None:
    arm("")
    for name in FAIL_POINTS:
        fail_point(name)
