"""A chain that was imported from a checkpoint lives on as the donor's does, wherever the import was interrupted."""

from functools import cache

import msgspec
import pytest
from builders.chain import state_of
from builders.history import tiny_engine
from builders.proofs import ProvedChain, keep_proofs, proved_chain
from builders.snapshots import Donation, donate, donate_from, take_in
from faults.faulty_store import Crash, FaultyDisk

from consensus.chain_import import ChainImport, WindowInvalid, check_manifest
from consensus.engine import Engine
from consensus.events import BlockRefused
from consensus.finality import FINALITY_CODEC
from consensus.import_marker import ImportUnfinished, read_import
from consensus.light_client import follow_all
from consensus.prepare import PreparedBlock
from consensus.proof_making import begin_state
from consensus.proof_store import proof_epochs, read_finality_proof
from consensus.window import MANIFEST_CODEC, PAGE_CODEC, WindowBlock, WindowPage
from ledger.state_snapshot import CHUNK_CODEC, ChunkInvalid, StateChunk
from ledger.storage.errors import StoreWriteFailed
from ledger.storage.memory import MemoryStore

SLOTS = 165
MORE_SLOTS = 60


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consensus.window.PAGE_BYTES", 60_000)
    monkeypatch.setattr("ledger.state_snapshot.CHUNK_ENTRIES", 3)


@cache
def lived(seed: int) -> tuple[ProvedChain, Donation, list[PreparedBlock]]:
    """A chain, its snapshot, and the blocks that nodes got after it (and some that they had)."""
    chain = proved_chain(seed, SLOTS, odd=0.5)
    donation = donate(chain)
    assert donation is not None
    known = len(chain.maker.history.blocks)
    chain.maker.live(MORE_SLOTS, presence=0.5, odd=0.5, payments=1)
    return chain, donation, chain.maker.history.blocks[known - 200 :]


def offered(engine: Engine, block: PreparedBlock) -> list[str]:
    events = engine.process_blocks([engine.prepare_decoded(block.block, block.block.header.slot)])
    return [event.error.code for event in events if isinstance(event, BlockRefused)]


@pytest.mark.parametrize("seed", range(3))
def test_an_imported_chain_judges_what_follows_as_the_donor_did(seed: int) -> None:
    chain, donation, following = lived(seed)
    store = MemoryStore()
    take_in(chain, donation, store)
    engine = tiny_engine(chain.chain, store)
    assert engine.head.id == engine.finalised.block_id == donation.manifest.checkpoint.block_id
    assert engine.head.state_root == donation.manifest.finality.header.state_root
    headers = chain.engine.stores.headers
    waiting = [block for block in following if not engine.has_block(block.block_id)]
    for block in sorted(waiting, key=lambda one: one.block.header.slot):
        if chain.engine.stores.dag.reachability.is_chain_ancestor(
            engine.base.floor_id, headers.get(block.block_id).parents[0]
        ):
            offered(engine, block)
    assert engine.head == chain.engine.head
    assert engine.finalised == chain.engine.finalised
    assert engine.justified == chain.engine.justified
    assert state_of(engine) == state_of(chain.engine)
    for index in range(donation.manifest.chain_index, engine.head.chain_index + 1):
        key = index.to_bytes(8, "big")
        block_id = engine.stores.chain.get(key)
        assert block_id == chain.engine.stores.chain.get(key)
        assert engine.stores.dag.data.get(block_id) == chain.engine.stores.dag.data.get(block_id)
        assert engine.stores.finality.get(block_id) == chain.engine.stores.finality.get(block_id)


def test_an_imported_chain_opens_again_prunes_and_can_be_imported_from_in_turn() -> None:
    chain, donation, following = lived(1)
    store = MemoryStore()
    take_in(chain, donation, store)
    engine = tiny_engine(chain.chain, store)
    for block in sorted(following, key=lambda one: one.block.header.slot):
        offered(engine, block)
    keep_proofs(engine, begin_state(store, engine.params))
    assert set(proof_epochs(store)) >= {proof.header.slot // 8 for proof in chain.proofs}
    while engine.prune() is not None:
        pass
    again = tiny_engine(chain.chain, store)
    assert again.head == engine.head == chain.engine.head
    assert again.base.chain_index > donation.manifest.base.chain_index
    state = begin_state(store, engine.params)
    proofs = [read_finality_proof(store, epoch) for epoch in proof_epochs(store)]
    trusted = follow_all(chain.trusted, [proof for proof in proofs if proof is not None])
    second = donate_from(again, state, trusted)
    assert second is not None
    third = MemoryStore()
    take_in(chain, second, third)
    assert tiny_engine(chain.chain, third).head.id == engine.finalised.block_id


def test_a_half_imported_store_is_never_opened_as_a_chain() -> None:
    chain, donation, _ = lived(1)
    store = MemoryStore()
    seen = 0

    def look(running: ChainImport) -> ChainImport:
        nonlocal seen
        seen += 1
        with pytest.raises(ImportUnfinished):
            tiny_engine(chain.chain, store)
        return running

    take_in(chain, donation, store, after_step=look)
    assert seen == len(donation.chunks) + len(donation.pages)
    assert read_import(store) is None
    tiny_engine(chain.chain, store)


def test_an_import_that_is_killed_after_every_step_goes_on_there() -> None:
    chain, donation, _ = lived(1)
    store = MemoryStore()
    steps = 0

    def again(_: ChainImport) -> ChainImport:
        nonlocal steps
        steps += 1
        return ChainImport(store, chain.chain.genesis, chain.chain.params, donation.manifest)

    take_in(chain, donation, store, after_step=again)
    assert steps == len(donation.chunks) + len(donation.pages)
    undisturbed = MemoryStore()
    take_in(chain, donation, undisturbed)
    assert dict(store.iterate(b"")) == dict(undisturbed.iterate(b""))
    assert picture_of_window(chain, store) == picture_of_window(chain, undisturbed)


def picture_of_window(chain: ProvedChain, store: MemoryStore) -> tuple[bytes, bytes]:
    engine = tiny_engine(chain.chain, store)
    return engine.head.id, engine.head.state_root


def test_another_checkpoint_clears_what_was_imported() -> None:
    chain, donation, _ = lived(1)
    store = MemoryStore()
    running = ChainImport(store, chain.chain.genesis, chain.chain.params, donation.manifest)
    running.put_chunk(donation.chunks[0])
    other = msgspec.structs.replace(donation.manifest, entry_count=donation.manifest.entry_count + 1)
    fresh = ChainImport(store, chain.chain.genesis, chain.chain.params, other)
    assert fresh.progress.chunks == 0
    assert len(dict(store.iterate(b"s"))) == 0


# what peers may send --------------------------------------------------------------------------------------------------


def test_a_corrupted_chunk_is_refused_and_the_right_one_still_fits() -> None:
    chain, donation, _ = lived(1)
    running = ChainImport(MemoryStore(), chain.chain.genesis, chain.chain.params, donation.manifest)
    at = next(number for number, chunk in enumerate(donation.chunks) if chunk.entries)
    for number in range(at):
        running.put_chunk(donation.chunks[number])
    chunk = donation.chunks[at]
    key, value = chunk.entries[0]
    for wrong in (
        StateChunk(chunk.number, ((key, value + b"\0"), *chunk.entries[1:]), chunk.siblings),
        StateChunk(chunk.number, chunk.entries[1:], chunk.siblings),
    ):
        with pytest.raises(ChunkInvalid):
            running.put_chunk(CHUNK_CODEC.decode(CHUNK_CODEC.encode(wrong)))
    with pytest.raises(WindowInvalid, match="was asked for"):
        running.put_chunk(donation.chunks[at + 1])
    running.put_chunk(chunk)


def at_the_window(chain: ProvedChain, donation: Donation, pages: int) -> ChainImport:
    running = ChainImport(MemoryStore(), chain.chain.genesis, chain.chain.params, donation.manifest)
    for chunk in donation.chunks:
        running.put_chunk(chunk)
    for page in donation.pages[:pages]:
        running.put_page(page)
    return running


def with_block(page: WindowPage, at: int, **fields: bytes) -> WindowPage:
    blocks = list(page.blocks)
    blocks[at] = msgspec.structs.replace(blocks[at], **fields)
    return msgspec.structs.replace(page, blocks=tuple(blocks))


def test_pages_that_are_not_the_next_part_of_the_window_are_refused() -> None:
    chain, donation, _ = lived(1)
    assert len(donation.pages) >= 4
    running = at_the_window(chain, donation, 1)
    page = donation.pages[1]
    other: WindowBlock = donation.pages[2].blocks[0]
    wrong = [
        donation.pages[0],
        msgspec.structs.replace(page, next_index=0, next_offset=0),
        msgspec.structs.replace(page, blocks=()),
        with_block(page, 1, colouring=other.colouring),
        with_block(page, 1, colouring=b"\xc1"),
        with_block(page, 1, finality=b""),
        with_block(page, 1, block=other.block),
        with_block(page, 1, block=b""),
    ]
    before = running.progress
    for bad in wrong:
        with pytest.raises(WindowInvalid):
            running.put_page(bad)
        assert running.progress == before
    for page in donation.pages[1:]:
        running.put_page(PAGE_CODEC.decode(PAGE_CODEC.encode(page)))
    running.finish(donation.trusted)


def test_a_window_with_another_colouring_or_finality_in_its_upper_part_begins_anew() -> None:
    chain, donation, _ = lived(1)
    last = donation.pages[-1]
    record = FINALITY_CODEC.decode(last.blocks[-1].finality)
    lie = FINALITY_CODEC.encode(msgspec.structs.replace(record, tie=bytes(32)))
    running = at_the_window(chain, donation, len(donation.pages) - 1)
    running.put_page(with_block(last, len(last.blocks) - 1, finality=lie))
    assert running.window_is_complete
    with pytest.raises(WindowInvalid, match="finality"):
        running.finish(donation.trusted)
    assert (running.progress.chunks, running.progress.blocks) == (0, 0)


@pytest.mark.parametrize(
    "change",
    [
        {"chain_index": 1},
        {"blocks": 3},
        {"snapshots": ()},
        {"entry_count": 10**6},
    ],
)
def test_a_lying_manifest_never_makes_a_chain(change: dict[str, object]) -> None:
    chain, donation, _ = lived(1)
    lie = msgspec.structs.replace(donation.manifest, **change)
    with pytest.raises((WindowInvalid, ChunkInvalid, IndexError)):
        take_in(chain, Donation(lie, donation.chunks, donation.pages, donation.trusted), MemoryStore())


def test_a_manifest_of_another_checkpoint_or_with_other_validators_is_refused() -> None:
    chain, donation, _ = lived(1)
    manifest = donation.manifest
    older = msgspec.structs.replace(manifest, finality=chain.proofs[3])
    snapshots = [*manifest.snapshots]
    raw = bytearray(snapshots[0].snapshot)
    raw[-1] ^= 1
    snapshots[0] = msgspec.structs.replace(snapshots[0], snapshot=bytes(raw))
    forged = msgspec.structs.replace(manifest, snapshots=tuple(snapshots))
    too_high = msgspec.structs.replace(
        manifest, base=msgspec.structs.replace(manifest.base, chain_index=manifest.chain_index)
    )
    for lie in (older, forged, too_high):
        with pytest.raises(WindowInvalid):
            check_manifest(MANIFEST_CODEC.decode(MANIFEST_CODEC.encode(lie)), donation.trusted)
    check_manifest(manifest, donation.trusted)


def test_a_floor_other_than_the_checkpoints_is_refused_in_the_end() -> None:
    chain, donation, _ = lived(1)
    base = msgspec.structs.replace(donation.manifest.base, floor_id=donation.manifest.checkpoint.block_id)
    lie = msgspec.structs.replace(donation.manifest, base=base)
    with pytest.raises(WindowInvalid):
        take_in(chain, Donation(lie, donation.chunks, donation.pages, donation.trusted), MemoryStore())


def test_a_crash_at_any_write_leaves_an_import_that_goes_on_or_a_chain() -> None:
    chain, donation, _ = lived(1)
    disk = FaultyDisk(7)
    crashes = 0
    while True:
        store = disk.open()
        disk.fail_write(3 + crashes % 4)
        try:
            take_in(chain, donation, store)
        except StoreWriteFailed:
            crashes += 1
            disk.mend()
            disk.crash(list(Crash)[crashes % 3])
            continue
        break
    assert crashes > 10
    disk.mend()
    disk.crash(Crash.DROP_UNSYNCED)
    engine = tiny_engine(chain.chain, disk.open())
    assert engine.head.id == donation.manifest.checkpoint.block_id
    assert state_of(engine)
