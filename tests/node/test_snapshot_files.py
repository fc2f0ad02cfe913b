"""Snapshots on disk: the same chunks by either way of dealing, whole or not there, and never more than two."""

from functools import cache
from pathlib import Path

import msgspec
import pytest
from builders.proofs import ProvedChain, proved_chain
from builders.snapshots import Donation, donate

from ledger.state_snapshot import CHUNK_CODEC
from node import snapshot_files
from node.snapshot_files import SNAPSHOTS_KEPT, read_snapshots, write_snapshot


@cache
def lived() -> tuple[ProvedChain, Donation]:
    chain = proved_chain(2, 150)
    donation = donate(chain)
    assert donation is not None
    return chain, donation


@pytest.mark.parametrize("in_memory", [0, 1_000_000])
@pytest.mark.parametrize("chunk_entries", [1, 3, 6])
def test_the_files_hold_the_chunks_however_the_state_is_dealt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_memory: int, chunk_entries: int
) -> None:
    monkeypatch.setattr(snapshot_files, "IN_MEMORY_ENTRIES", in_memory)
    monkeypatch.setattr("ledger.state_snapshot.CHUNK_ENTRIES", chunk_entries)
    chain, _ = lived()
    donation = donate(chain)
    assert donation is not None
    store = chain.engine.stores.store
    made = write_snapshot(tmp_path, donation.manifest, chain.state, store)
    chunks = [CHUNK_CODEC.encode(chunk) for chunk in donation.chunks]
    assert [made.chunk(number) for number in range(len(chunks))] == chunks
    assert made.chunk(len(chunks)) is None
    assert read_snapshots(tmp_path) == (made,)
    assert not list(tmp_path.glob("*/part-*"))


def test_only_the_newest_snapshots_stay(tmp_path: Path) -> None:
    chain, donation = lived()
    made = []
    for proof in chain.proofs[-4:]:
        manifest = msgspec.structs.replace(donation.manifest, finality=proof)
        made.append(write_snapshot(tmp_path, manifest, chain.state, chain.engine.stores.store))
    assert list(read_snapshots(tmp_path)) == made[-SNAPSHOTS_KEPT:]
    assert len(list(tmp_path.iterdir())) == SNAPSHOTS_KEPT


def test_what_is_not_whole_is_not_offered(tmp_path: Path) -> None:
    chain, donation = lived()
    assert read_snapshots(tmp_path / "nothing") == ()
    made = write_snapshot(tmp_path, donation.manifest, chain.state, chain.engine.stores.store)
    unfinished = tmp_path / "000000000099-aa.new"
    unfinished.mkdir()
    (unfinished / "chunks").write_bytes(b"half")
    assert read_snapshots(tmp_path) == (made,)
    assert not unfinished.exists()
    (made.directory / "index").write_bytes(b"")
    assert read_snapshots(tmp_path) == ()
    (made.directory / "manifest").write_bytes(b"\xc1")
    assert read_snapshots(tmp_path) == ()
