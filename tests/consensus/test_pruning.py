"""A pruned engine lives on as one that keeps everything: same head, same roots, same verdicts, at any interruption."""

from functools import cache
from random import Random

import pytest
from builders.history import History, make_history, tiny_engine
from faults.faulty_store import Crash, FaultyDisk

from consensus.engine import Engine
from consensus.errors import BelowBase, LocatorPruned, MissingParents
from consensus.events import BlockAdded, BlockRefused, Event
from consensus.prepare import PreparedBlock
from consensus.stores import CHAIN_PREFIX, EPOCHS_PREFIX, read_base, read_block
from consensus.sync_plan import antipast, locator, plan_after
from ledger.storage.errors import StoreCorrupted, StoreWriteFailed
from ledger.storage.memory import MemoryStore
from ledger.storage.state_store import INDEX_PREFIX, RECEIPTS_PREFIX, UNDO_PREFIX
from ledger.storage.store import WriteBatch

SEEDS = range(4)
SLOTS = 240


@cache
def history(seed: int) -> History:
    return make_history(seed, SLOTS, presence=(0.2, 0.3, 0.4)[seed % 3], odd=0.5, payments=seed % 2)


def prune_fully(engine: Engine) -> int:
    removed = 0
    while (done := engine.prune()) is not None:
        removed += done.removed_blocks
    return removed


def offer(engine: Engine, block: PreparedBlock) -> tuple[Event, ...]:
    return engine.process_blocks([engine.prepare_decoded(block.block, block.block.header.slot)])


def verdict(events: tuple[Event, ...]) -> str:
    for event in events:
        if isinstance(event, BlockRefused):
            return event.error.code
        if isinstance(event, BlockAdded):
            return "added"
    return "known"


def same_chain(pruned: Engine, whole: Engine) -> None:
    assert pruned.head == whole.head
    assert pruned.finalised == whole.finalised
    assert pruned.justified == whole.justified
    state = dict(whole.stores.ledger.state())
    assert dict(pruned.stores.ledger.state()) == state


def check_whole(engine: Engine) -> None:
    """Every list names what is there, and every record belongs to a block that is there."""
    store, base = engine.stores.store, engine.base
    there = {key[2:] for key, _ in store.iterate(b"ch")}
    for prefix in (b"cb", b"cf", b"dg", b"dp", b"dc", b"di", b"dr", b"df"):
        assert {key[2:] for key, _ in store.iterate(prefix)} == there
    for prefix in (b"cv", b"cs", b"cm", b"dt"):
        assert {key[2:] for key, _ in store.iterate(prefix)} <= there
    assert {key[-32:] for key, _ in store.iterate(b"co")} == there
    for block in there:
        assert there.issuperset(engine.stores.dag.relations.parents.get(block))
        assert there.issuperset(engine.stores.dag.relations.children.get(block))
        assert there.issuperset(engine.stores.dag.reachability._covering.get(block))
    lanes = [block for key, _ in store.iterate(b"dl") for block in engine.stores.dag.lanes.get(key[2:])]
    assert set(lanes) | {engine.genesis_id} == there | {engine.genesis_id}
    indices = [int.from_bytes(key[2:], "big") for key, _ in store.iterate(CHAIN_PREFIX)]
    assert indices == [0, *range(max(1, base.chain_index), engine.head.chain_index + 1)]
    executed = {key[1:] for prefix in (RECEIPTS_PREFIX, UNDO_PREFIX) for key, _ in store.iterate(prefix)}
    assert executed <= there
    snapshots = {key[2:] for key, _ in store.iterate(EPOCHS_PREFIX)}
    assert snapshots <= there | {engine.stores.finality.get(base.block_id).transition}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_pruned_engine_judges_as_one_that_keeps_everything(seed: int) -> None:
    rng = Random(seed)
    past = history(seed)
    store = MemoryStore()
    whole, pruned = tiny_engine(past.chain), tiny_engine(past.chain, store)
    removed = below_base = 0
    for block in past.blocks:
        expected, found = verdict(offer(whole, block)), verdict(offer(pruned, block))
        if found != expected:
            below_base += 1
            # What only the pruned one refuses left the chain below the floor: nobody can merge it.
            assert found in (BelowBase.__name__, MissingParents.__name__)
            reachability = whole.stores.dag.reachability
            assert not reachability.is_chain_ancestor(pruned.base.floor_id, block.block_id)
        assert pruned.head == whole.head
        while rng.random() < 0.4:
            done = pruned.prune()
            removed += 0 if done is None else done.removed_blocks
        if rng.random() < 0.01:
            pruned = tiny_engine(past.chain, store)
    removed += prune_fully(pruned)
    same_chain(pruned, whole)
    check_whole(pruned)
    assert removed > 100
    assert pruned.base.chain_index > 60
    assert len(dict(store.iterate(b"ch"))) < len(past.blocks) * 3 // 4
    same_chain(tiny_engine(past.chain, store), whole)


def test_histories_hold_what_pruning_must_bear() -> None:
    """Reds, doubles, dead branches, blocks that only the pruned engine refuses: all of them occur."""
    kinds = {kind for seed in SEEDS for kind in history(seed).odd.values()}
    assert kinds == {"late", "double", "forgotten", "stale"}
    refused = reds = dead = 0
    for seed in SEEDS:
        past = history(seed)
        whole, pruned = tiny_engine(past.chain), tiny_engine(past.chain)
        for block in past.blocks:
            offer(whole, block)
            refused += verdict(offer(pruned, block)) in (BelowBase.__name__, MissingParents.__name__)
            pruned.prune()
        reachability = whole.stores.dag.reachability
        dead += sum(not reachability.is_chain_ancestor(pruned.base.block_id, tip) for tip in whole.tips)
        chain = reachability.chain_down(whole.head.id)
        reds += sum(len(whole.stores.dag.data.get(block).mergeset_reds) for block in chain)
    assert refused > 5
    assert reds > 5
    assert dead > 20


def filled(seed: int, store: MemoryStore | None = None) -> Engine:
    past = history(seed)
    engine = tiny_engine(past.chain, store)
    for block in past.blocks:
        offer(engine, block)
    return engine


def test_pruning_goes_on_after_a_crash_at_any_slice() -> None:
    seed = 1
    past = history(seed)
    whole = filled(seed)
    content = whole.stores.store
    slices = 0
    while True:
        disk = FaultyDisk(slices)
        store = disk.open()
        store.write(WriteBatch(dict(content.iterate(b""))), sync=True)
        engine = tiny_engine(past.chain, store)
        disk.fail_write(slices + 1)
        try:
            prune_fully(engine)
        except StoreWriteFailed:
            pass
        else:
            break
        disk.crash(list(Crash)[slices % 3])
        slices += 1
        store = disk.open()
        engine = tiny_engine(past.chain, store)
        same_chain(engine, whole)
        prune_fully(engine)
        check_whole(engine)
        same_chain(engine, whole)
        disk.crash(Crash.KEEP_ALL)
    assert slices > 8


def test_after_an_interrupted_pruning_new_blocks_are_judged_alike() -> None:
    """The engine is stopped after each number of slices, reopened, and goes on without pruning."""
    seed = 3
    past = history(seed)
    cut = len(past.blocks) * 3 // 4
    for slices in range(2, 40, 9):
        store = MemoryStore()
        whole, pruned = tiny_engine(past.chain), tiny_engine(past.chain, store)
        for block in past.blocks[:cut]:
            offer(whole, block)
            offer(pruned, block)
        for _ in range(slices):
            pruned.prune()
        pruned = tiny_engine(past.chain, store)
        for block in past.blocks[cut:]:
            expected, found = verdict(offer(whole, block)), verdict(offer(pruned, block))
            assert found == expected or found in (BelowBase.__name__, MissingParents.__name__)
        same_chain(pruned, whole)


def test_undo_records_stay_some_blocks_below_the_finalised_one_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consensus.pruning.UNDO_BLOCKS_KEPT", 3)
    engine = filled(1)
    assert engine.prune() is not None
    prune_fully(engine)
    store, stores = engine.stores.store, engine.stores
    top = stores.dag.reachability.height(engine.finalised.block_id) - 3
    assert top > engine.base.chain_index
    for index in range(engine.base.chain_index, engine.head.chain_index + 1):
        block = stores.chain.get(index.to_bytes(8, "big"))
        assert (store.get(UNDO_PREFIX + block) is not None) == (index >= top)


def test_transactions_of_pruned_blocks_leave_the_index() -> None:
    engine = filled(1)
    before = len(list(engine.stores.store.iterate(INDEX_PREFIX)))
    base_slot = engine.pruning_forecast().base.slot
    prune_fully(engine)
    entries = list(engine.stores.store.iterate(INDEX_PREFIX))
    assert 0 < len(entries) < before
    for key, _ in entries:
        found = engine.stores.ledger.transaction(key[1:33])
        assert found is not None
        assert engine.stores.headers.get(found[0].accepting_block).slot > base_slot


def test_the_forecast_counts_what_goes() -> None:
    for seed in (1, 3):
        store = MemoryStore()
        engine = filled(seed, store)
        forecast = engine.pruning_forecast()
        before = dict(store.iterate(b""))
        removed = prune_fully(engine)
        after = dict(store.iterate(b""))
        gone = {key: value for key, value in before.items() if key not in after and not key.startswith(b"cc")}
        snapshots = sum(key.startswith(EPOCHS_PREFIX) for key in gone)
        lanes = sum(key.startswith(b"dl") for key in gone)
        assert forecast.base == engine.base
        assert forecast.blocks == removed
        assert forecast.records == len(gone) - snapshots - lanes
        assert 0 < forecast.record_bytes <= sum(len(key) + len(value) for key, value in gone.items())


def test_a_longer_retention_keeps_more_and_a_shorter_one_counts_as_the_networks() -> None:
    longer, shorter, usual = filled(1), filled(1), filled(1)
    while longer.prune(180) is not None:
        pass
    while shorter.prune(1) is not None:
        pass
    prune_fully(usual)
    assert longer.base.slot < usual.base.slot
    assert shorter.base == usual.base


def test_a_locator_ends_with_the_base_and_one_below_it_is_refused_by_name() -> None:
    whole, pruned = filled(1), filled(1)
    prune_fully(pruned)
    store = pruned.stores.store
    ids = locator(store)
    assert ids[-1] == pruned.base.block_id
    assert plan_after(store, ids, 100).common == ids[0]
    assert plan_after(whole.stores.store, ids[-1:], 5000).common == pruned.base.block_id
    assert plan_after(store, ids[-1:], 5000).complete
    young = tiny_engine(history(1).chain)
    for block in history(1).blocks[:10]:
        offer(young, block)
    with pytest.raises(LocatorPruned, match="pruned") as caught:
        plan_after(store, locator(young.stores.store), 100)
    assert caught.value.base_slot == pruned.base.slot


def test_a_peer_above_the_base_is_served_everything_it_lacks() -> None:
    past = history(3)
    asker, server = tiny_engine(past.chain), filled(3)
    for block in past.blocks[: len(past.blocks) * 3 // 4]:
        offer(asker, block)
    prune_fully(server)
    plan = plan_after(server.stores.store, locator(asker.stores.store), 10_000)
    for block_id in plan.ids:
        block = read_block(server.stores.store, block_id)
        assert block is not None
        asker.process_block(asker.prepare_decoded(block, block.header.slot))
    assert asker.head == server.head


def test_blocks_that_nobody_can_merge_are_not_planned() -> None:
    engine = filled(1)
    floor = engine.pruning_forecast().base.floor_id
    before = antipast(engine.stores.store)
    prune_fully(engine)
    after = antipast(engine.stores.store)
    assert set(after) < set(before)
    reachability = engine.stores.dag.reachability
    assert all(reachability.is_chain_ancestor(floor, block) for _, block in after)


@pytest.mark.parametrize("key", [b"cxbase", b"cxpruning", b"di", b"ch", b"dg"])
def test_a_damaged_base_is_found_at_opening(key: bytes) -> None:
    store = MemoryStore()
    engine = filled(1, store)
    prune_fully(engine)
    base = read_base(store)
    assert base is not None
    batch = WriteBatch()
    if key.startswith(b"cx"):
        batch.put(key, b"\xff")
    else:
        batch.delete(key + base.block_id)
    store.write(batch, sync=True)
    with pytest.raises(StoreCorrupted):
        tiny_engine(history(1).chain, store)
