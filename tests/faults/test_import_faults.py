"""A process that dies before or after a chunk of an import has written it: the next one goes on there."""

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from builders.history import tiny_engine
from builders.proofs import proved_chain
from builders.snapshots import donate
from faults.import_worker import open_database, write_files

from consensus.import_marker import ImportUnfinished, read_import
from consensus.light_client import FINALITY_PROOF_CODEC
from ledger.storage.fail_points import EXIT_FAIL_POINT, FAIL_POINT_VARIABLE

REPOSITORY = Path(__file__).resolve().parents[2]


def import_and_die(files: Path, directory: Path, specification: str) -> int:
    """The exit code of a process that imports into the directory."""
    ended = subprocess.run(
        [sys.executable, str(REPOSITORY / "tests/faults/import_worker.py"), str(files), str(directory)],
        env=os.environ
        | {
            FAIL_POINT_VARIABLE: specification,
            "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "tests")]),
        },
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode in (0, EXIT_FAIL_POINT), ended.stderr
    return ended.returncode


@pytest.mark.xdist_group("processes")
def test_an_import_whose_process_died_at_a_chunk_or_page_goes_on_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consensus.window.PAGE_BYTES", 100_000)
    chain = proved_chain(2, 150)
    donation = donate(chain)
    assert donation is not None
    files, directory = tmp_path / "files", tmp_path / "db"
    write_files(donation, [FINALITY_PROOF_CODEC.encode(proof) for proof in chain.proofs], files)
    steps = len(donation.chunks) + len(donation.pages)
    assert steps >= 4
    written, deaths = 0, 0
    while True:
        # In turn: before the second one of this life (one is written), after the first one (one is written).
        point = ("snapshot_chunk_before:2", "snapshot_chunk_after:1")[deaths % 2]
        if import_and_die(files, directory, point) == 0:
            break
        deaths += 1
        written += 1
        with closing(open_database(directory)) as store:
            progress = read_import(store)
            assert progress is not None
            assert progress.chunks == min(written, len(donation.chunks))
            assert bool(progress.blocks) == (written > len(donation.chunks))
            with pytest.raises(ImportUnfinished):
                tiny_engine(chain.chain, store)
        assert deaths <= steps
    assert deaths >= steps - 1
    with closing(open_database(directory)) as store:
        engine = tiny_engine(chain.chain, store)
        assert engine.head.id == donation.manifest.checkpoint.block_id
        assert engine.head.state_root == donation.manifest.finality.header.state_root
