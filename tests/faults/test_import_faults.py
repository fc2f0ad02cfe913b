"""A process that dies before or after a chunk of an import has written it: the next one goes on there."""

import os
from contextlib import closing
from functools import cache
from pathlib import Path

import pytest
from builders.history import tiny_engine
from builders.proofs import ProvedChain, proved_chain
from builders.snapshots import Donation, donate, take_in

from consensus.import_marker import ImportUnfinished, read_import
from consensus.stores import SCHEMA_VERSION
from ledger.storage.database import Database
from ledger.storage.fail_points import EXIT_FAIL_POINT, arm


@cache
def lived() -> tuple[ProvedChain, Donation]:
    chain = proved_chain(2, 150)
    donation = donate(chain)
    assert donation is not None
    return chain, donation


def open_database(directory: Path) -> Database:
    return Database(directory, schema_version=SCHEMA_VERSION)


def import_and_die(directory: Path, specification: str) -> int:
    """The exit code of a process that imports into the directory."""
    chain, donation = lived()
    child = os.fork()
    if child == 0:
        try:
            arm(specification)
            with closing(open_database(directory)) as store:
                take_in(chain, donation, store)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.xdist_group("processes")
@pytest.mark.parametrize("point", ["snapshot_chunk_before", "snapshot_chunk_after"])
def test_an_import_whose_process_died_at_any_chunk_goes_on_there(
    point: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledger.state_snapshot.CHUNK_ENTRIES", 6)
    monkeypatch.setattr("consensus.window.PAGE_BYTES", 100_000)
    lived.cache_clear()
    chain, donation = lived()
    steps = len(donation.chunks) + len(donation.pages)
    assert len(donation.chunks) > 2 < len(donation.pages)
    deaths = 0
    while (code := import_and_die(tmp_path / "db", f"{point}:7")) == EXIT_FAIL_POINT:
        deaths += 1
        with closing(open_database(tmp_path / "db")) as store:
            progress = read_import(store)
            assert progress is not None
            assert progress.chunks > 0
            if deaths == 1:
                with pytest.raises(ImportUnfinished):
                    tiny_engine(chain.chain, store)
        assert deaths <= steps
    assert code == 0
    # Six chunks or pages a life are written before the seventh, seven with it.
    assert deaths == (steps - 1) // 6 if point.endswith("before") else steps // 7
    with closing(open_database(tmp_path / "db")) as store:
        engine = tiny_engine(chain.chain, store)
        assert engine.head.id == donation.manifest.checkpoint.block_id
        assert engine.head.state_root == donation.manifest.finality.header.state_root
