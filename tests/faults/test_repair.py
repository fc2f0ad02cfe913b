"""`nexus db repair` on stores that are really damaged: cut back to whole batches, or told to sync anew (R18).

The store holds the run of power_cut.writer, whose moments say what must be there after any number of batches.
"""

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from faults.damaged_stores import (
    CALLS_IN_LOG,
    CALLS_IN_TABLES,
    COMMITS,
    commits_of,
    damaged,
    flip,
    log_of,
    nothing,
    write_store,
    zeros_from,
)
from faults.power_cut.writer import open_database, whole_run

from cli.main import run_command
from ledger.storage.directory_lock import LOCK_NAME
from ledger.storage.errors import DiskFull, StoreCorrupted, StoreError
from ledger.storage.fail_points import EXIT_FAIL_POINT, FAIL_POINT_VARIABLE
from ledger.storage.log_check import find_framing_fault
from ledger.storage.log_records import current_manifest, first_needed_log, scan_log
from ledger.storage.repair import copy_aside, cut_back

REPOSITORY = Path(__file__).resolve().parents[2]
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory that is copied and damaged."""
    directory = tmp_path_factory.mktemp("repair") / "node"
    write_store(directory)
    return directory


def contents(store: Path) -> dict[str, bytes]:
    """The files but for the lock and LevelDB's diary."""
    return {
        path.name: path.read_bytes()
        for path in store.iterdir()
        if path.name not in (LOCK_NAME, "LOG", "LOG.old")
    }


def repair(directory: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """(exit code, standard output, standard error) of the command."""
    code = run_command(["db", "repair", "--dir", str(directory)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_R18_zero_filled_tail_of_the_log_is_cut_back_to_whole_batches(
    pristine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], share: float
) -> None:
    directory = damaged(pristine, tmp_path, log_of(pristine / "db").name, zeros_from(share))
    with pytest.raises(StoreCorrupted, match=f"nexus db repair --dir {directory}"):
        open_database(whole_run().chain, directory / "db")
    before = contents(directory / "db")  # LevelDB leaves tables that belong to nothing when it refuses
    code, out, err = repair(directory, capsys)
    assert (code, err) == (0, "")
    assert "is whole up to block" in out and f"{directory}/db.damaged-1" in out
    assert contents(directory / "db.damaged-1") == before
    assert CALLS_IN_TABLES < commits_of(directory) <= COMMITS


@pytest.mark.parametrize("seed", range(12))
def test_R18_flipped_bit_of_the_log_is_cut_back_to_the_batches_before_it(
    pristine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], seed: int
) -> None:
    directory = damaged(pristine, tmp_path, log_of(pristine / "db").name, flip(seed))
    assert repair(directory, capsys)[0] == 0
    assert CALLS_IN_TABLES < commits_of(directory) <= COMMITS


def test_R18_damage_in_an_older_log_empties_the_later_ones(pristine: Path, tmp_path: Path) -> None:
    directory = damaged(pristine, tmp_path, log_of(pristine / "db").name, zeros_from(0.5))
    older = log_of(directory / "db")
    later = older.with_name(f"{int(older.stem) + 1:06}.log")
    shutil.copy(log_of(pristine / "db"), later)
    cuts = {cut.name: cut for cut in cut_back(directory / "db")}
    assert set(cuts) == {older.name, later.name}
    assert later.stat().st_size == 0 < older.stat().st_size
    assert older.name in cuts[later.name].reason


def test_R18_damaged_log_that_is_in_tables_already_is_no_damage(pristine: Path, tmp_path: Path) -> None:
    directory = damaged(pristine, tmp_path, log_of(pristine / "db").name, nothing)
    leftover = directory / "db" / "000001.log"
    leftover.write_bytes(bytes(10_000))
    assert commits_of(directory) == COMMITS
    assert not leftover.exists()


def test_R18_lost_CURRENT_is_written_again(
    pristine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = damaged(pristine, tmp_path, "CURRENT", nothing)
    for content in (None, b"", bytes(16), b"MANIFEST-999999\n"):
        shutil.rmtree(directory)
        shutil.copytree(pristine, directory)
        (directory / "db" / "CURRENT").unlink()
        if content is not None:
            (directory / "db" / "CURRENT").write_bytes(content)
        code, out, _ = repair(directory, capsys)
        assert (code, "CURRENT: named no manifest" in out) == (0, True)
        assert commits_of(directory) == COMMITS


@pytest.mark.parametrize("name", ["MANIFEST-*", "*.ldb"])
@pytest.mark.parametrize("seed", range(6))
def test_R18_what_cannot_be_repaired_says_how_to_sync_anew_and_the_copy_is_whole(
    pristine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, seed: int
) -> None:
    directory = damaged(pristine, tmp_path, name, flip(seed))
    before = contents(directory / "db")
    code, out, err = repair(directory, capsys)
    if code == 0:  # what was damaged is not needed, or no byte that is read
        assert commits_of(directory) <= COMMITS
        return
    store = directory / "db"
    assert code == 74
    assert f"`mv {store} {store}.unusable`, then `nexus run --dir {directory}`" in err
    assert len(err.splitlines()) == 1
    assert contents(directory / "db.damaged-1") == before
    with pytest.raises(StoreError):
        commits_of(directory)


def test_whole_store_is_left_as_it_is(
    pristine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = damaged(pristine, tmp_path, "CURRENT", nothing)
    code, out, _ = repair(directory, capsys)
    assert (code, out.splitlines()[-1]) == (0, "nothing was changed")
    assert not list(directory.glob("db.damaged-*"))


def test_commands_that_the_store_names_take_the_store_itself(
    pristine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = damaged(pristine, tmp_path, log_of(pristine / "db").name, zeros_from(0.5))
    assert repair(directory / "db", capsys)[0] == 0
    assert commits_of(directory) > CALLS_IN_TABLES


def test_json_says_what_was_done(pristine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = damaged(pristine, tmp_path, log_of(pristine / "db").name, zeros_from(0.5))
    assert run_command(["db", "repair", "--dir", str(directory), "--output", "json"]) == 0
    result = json.loads(capsys.readouterr().out)
    (cut,) = result["cuts"]
    assert result["repaired"] is True and cut["dropped_bytes"] > 0 and cut["name"].endswith(".log")
    assert commits_of(directory) == result["commits"]


def test_signing_record_is_never_cut_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = tmp_path / "signer"
    open_database(whole_run().chain, store).close()
    before = contents(store)
    for directory in (store, tmp_path):
        code, _, err = repair(directory, capsys)
        assert code != 0
    code, _, err = repair(store, capsys)
    assert (code, "must not forget what it signed" in err) == (2, True)
    assert contents(store) == before


def test_store_of_a_running_node_is_not_touched(
    pristine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = damaged(pristine, tmp_path, "CURRENT", nothing)
    with closing(open_database(whole_run().chain, directory / "db")):
        code, _, err = repair(directory, capsys)
    assert (code, "in use by process" in err) == (74, True)
    assert not list(directory.glob("db.damaged-*"))


def test_R17_repair_needs_room_for_the_copy_before_it_touches_anything(
    pristine: Path, tmp_path: Path
) -> None:
    directory = damaged(pristine, tmp_path, log_of(pristine / "db").name, zeros_from(0.5))
    before = contents(directory / "db")
    with pytest.raises(DiskFull):
        copy_aside(directory / "db", spare_bytes=1 << 60)
    assert contents(directory / "db") == before
    assert not list(directory.glob("db.*"))


@pytest.mark.xdist_group("processes")
@pytest.mark.parametrize("point", ["repair_copy_before", "repair_copy_after", "repair_cut_after"])
def test_repair_that_dies_at_a_fail_point_is_repeated(
    pristine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], point: str
) -> None:
    directory = damaged(pristine, tmp_path, log_of(pristine / "db").name, zeros_from(0.5))
    before = contents(directory / "db")
    died = subprocess.run(
        [sys.executable, "-m", "cli", "db", "repair", "--dir", str(directory)],
        env=os.environ | {FAIL_POINT_VARIABLE: f"{point}:1", "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert died.returncode == EXIT_FAIL_POINT, died.stderr
    if point != "repair_cut_after":
        assert contents(directory / "db") == before
    assert repair(directory, capsys)[0] == 0
    copies = [contents(path) for path in directory.glob("db.damaged-*")]
    assert before in copies
    assert commits_of(directory) > CALLS_IN_TABLES


def test_scan_reads_every_record_that_leveldb_wrote(pristine: Path) -> None:
    store = pristine / "db"
    manifest = current_manifest(store)
    assert manifest is not None
    edits = scan_log(manifest.read_bytes())
    assert edits.fault is None and len(edits.records) > 1
    assert first_needed_log(edits.records) == int(log_of(store).stem)
    scan = scan_log(log_of(store).read_bytes())
    assert (scan.fault, scan.whole_bytes) == (None, log_of(store).stat().st_size)
    assert len(scan.records) == CALLS_IN_LOG


def test_R18_scan_finds_every_flipped_bit_and_keeps_only_records_before_it(pristine: Path) -> None:
    content = log_of(pristine / "db").read_bytes()
    whole = scan_log(content).records
    generator = random.Random(18)
    for _ in range(60):
        bit = generator.randrange(8 * len(content))
        damaged_content = bytearray(content)
        damaged_content[bit // 8] ^= 1 << bit % 8
        scan = scan_log(bytes(damaged_content))
        assert scan.fault is not None
        assert scan.whole_bytes <= bit // 8
        assert scan.records == whole[: len(scan.records)]
        assert find_framing_fault(bytes(damaged_content[: scan.whole_bytes])) is None
