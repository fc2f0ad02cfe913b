"""The readers that RPC uses: straight over a store or a snapshot, from any thread."""

from threading import Thread

import pytest
from builders.chain import devnet, feed, new_engine, picture, propose_slot, random_workshop

from consensus.errors import RecordDamaged
from consensus.stores import (
    HEADERS_PREFIX,
    SlotEntry,
    blocks_by_slot,
    chain_index,
    index_on_chain,
    latest_blocks,
    merging_index,
    read_block,
    read_children,
    read_ghostdag,
    read_head,
    read_header,
    read_parents,
    read_tips,
)
from ledger.storage.memory import MemoryStore
from ledger.storage.store import WriteBatch

CHAIN = devnet()
SHOP = random_workshop(51, chain=CHAIN)
STORE = SHOP.engine.stores.store
NAMED = [block.header_id for block in SHOP.blocks.values()]


def test_readers_give_what_the_engine_has() -> None:
    stores = SHOP.engine.stores
    for block in SHOP.blocks.values():
        block_id = block.header_id
        assert read_header(STORE, block_id) == block.header
        assert read_block(STORE, block_id) == block
        assert read_ghostdag(STORE, block_id) == stores.dag.data.get(block_id)
        assert read_parents(STORE, block_id) == block.header.parents
        assert read_children(STORE, block_id) == stores.dag.relations.children.get(block_id)
    assert read_tips(STORE) == SHOP.engine.tips
    assert read_head(STORE) == SHOP.engine.head


def test_readers_answer_none_for_what_is_not_there() -> None:
    nowhere = bytes(32)
    empty = MemoryStore()
    for reader in (STORE, empty):
        for read in (read_header, read_block, read_ghostdag, read_parents, read_children, merging_index):
            assert read(reader, nowhere) is None
        assert index_on_chain(reader, nowhere) is None
    assert read_head(empty) is None and read_tips(empty) == () and list(latest_blocks(empty)) == []


def test_the_chain_index_is_the_selected_chain() -> None:
    chain = picture(SHOP.engine).chain
    assert [chain_index(STORE, index) for index in range(len(chain) + 1)] == [*chain, None]
    for index, block in enumerate(chain):
        assert index_on_chain(STORE, block) == index
    for block in set(NAMED) - set(chain):
        assert index_on_chain(STORE, block) is None


def test_a_block_has_a_merging_index_exactly_when_it_is_in_the_past_of_the_sink() -> None:
    dag, head = SHOP.engine.stores.dag, SHOP.engine.head
    chain = picture(SHOP.engine).chain
    for block in NAMED:
        index = merging_index(STORE, block)
        assert (index is not None) == (block != head.id and dag.is_ancestor(block, head.id))
        if index is not None:
            assert block in dag.data.get(chain[index]).mergeset


def test_blocks_come_in_order_of_slots_and_ids() -> None:
    expected = sorted((block.header.slot, block.header_id) for block in SHOP.blocks.values())
    entries = [SlotEntry(slot, block) for slot, block in expected]
    assert list(blocks_by_slot(STORE, first_slot=1)) == entries
    assert list(blocks_by_slot(STORE, 3, 4)) == [entry for entry in entries if 3 <= entry.slot <= 4]
    newest = list(latest_blocks(STORE))
    assert newest[:-1] == entries[::-1] and newest[-1] == SlotEntry(0, SHOP.engine.genesis_id)
    assert list(latest_blocks(STORE, 3))[:-1] == [entry for entry in entries[::-1] if entry.slot <= 3]


def test_the_latest_blocks_are_read_without_reading_all() -> None:
    reads = 0

    class Counting(MemoryStore):
        def iterate(self, prefix, *, start=None, reverse=False):  # type: ignore[no-untyped-def]
            nonlocal reads
            for pair in super().iterate(prefix, start=start, reverse=reverse):
                reads += 1
                yield pair

    store = Counting()
    feed(new_engine(CHAIN, store), SHOP.prepared())
    reads = 0
    entries = latest_blocks(store)
    assert next(entries).slot == 8
    assert [next(entries) for _ in range(2)] == list(latest_blocks(STORE))[1:3]
    assert reads == 3


def test_a_snapshot_stays_consistent_while_the_engine_writes() -> None:
    store = MemoryStore()
    engine = new_engine(CHAIN, store)
    for slot in range(1, 4):
        propose_slot(engine, CHAIN, slot)
    view, head, tips = store.snapshot(), engine.head, engine.tips
    for slot in range(4, 8):
        propose_slot(engine, CHAIN, slot)
    assert read_head(view) == head and read_tips(view) == tips
    assert chain_index(view, head.chain_index + 1) is None
    assert read_head(store) == engine.head != head


def test_readers_in_other_threads_see_whole_calls_only() -> None:
    store = MemoryStore()
    engine = new_engine(CHAIN, store)
    faults: list[str] = []
    done = False

    def read() -> None:
        while not done:
            view = store.snapshot()
            head = read_head(view)
            if (
                head is None
                or chain_index(view, head.chain_index) != head.id
                or head.id not in (chain_index(view, head.chain_index),)
            ):
                faults.append("head and chain index differ")
            elif read_block(view, head.id) is None or merging_index(view, head.id) is not None:
                faults.append("the head's records differ")
            view.close()

    threads = [Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for slot in range(1, 25):
        propose_slot(engine, CHAIN, slot)
    done = True
    for thread in threads:
        thread.join()
    assert faults == []


def test_a_damaged_record_is_named() -> None:
    store = MemoryStore()
    engine = new_engine(CHAIN, store)
    store.write(WriteBatch({HEADERS_PREFIX + engine.genesis_id: b"\x00"}), sync=True)
    with pytest.raises(RecordDamaged, match="headers"):
        read_header(store, engine.genesis_id)
