"""The engine's door: what it takes, what it refuses, what it tells."""

from dataclasses import replace
from time import process_time

import pytest
from builders.chain import (
    GENESIS,
    Workshop,
    account_of,
    devnet,
    feed,
    new_engine,
    picture,
    propose,
    propose_slot,
    random_workshop,
    state_of,
)

from consensus.blocks import sign_block
from consensus.engine import KNOWN_INVALID_KEPT, Engine
from consensus.errors import (
    BlueScoreWrong,
    EngineHalted,
    KnownInvalid,
    MergesetTooLarge,
    MergeTooDeep,
    MissingParents,
    ParentInvalid,
    SlotNotAvailable,
    WrongProposer,
)
from consensus.events import BlockAdded, BlockRefused, ChainAdvanced, DuplicateLane
from consensus.prepare import PreparedBlock
from consensus.stores import SCHEMA_VERSION, Identity, read_block, read_head, read_header, read_identity
from ledger.genesis import genesis_state
from ledger.storage.memory import MemoryStore
from wnsp.spectrum import BAND_COUNT

CHAIN = devnet()

LONGEST_VALIDATION_S = 0.25
"""Processor time that the worst block may take (reliability.md, L12); this one takes about 20 ms."""


def content(store: MemoryStore) -> dict[bytes, bytes]:
    return dict(store.iterate(b""))


def shop_of(text: str) -> Workshop:
    shop = Workshop(CHAIN)
    shop.script(text)
    return shop


def test_a_new_store_holds_the_genesis_block_and_state() -> None:
    store = MemoryStore()
    engine = new_engine(CHAIN, store)
    assert engine.head.id == CHAIN.genesis_block.header_id == engine.genesis_id
    assert engine.head.chain_index == engine.head.slot == engine.head.blue_score == 0
    assert state_of(engine) == genesis_state(CHAIN.genesis)
    assert read_head(store) == engine.head
    assert read_identity(store) == Identity(SCHEMA_VERSION, CHAIN.params.genesis_hash)
    assert engine.tips == (engine.genesis_id,)


def test_a_block_joins_the_dag_and_the_chain_in_one_synced_batch() -> None:
    shop = shop_of("a: genesis")
    store = MemoryStore()
    engine = new_engine(CHAIN, store)
    writes = []
    write = store.write
    store.write = lambda batch, *, sync: (writes.append(sync), write(batch, sync=sync))[1]  # type: ignore[method-assign]
    events = feed(engine, shop.prepared())
    assert writes == [True]
    assert isinstance(events[0], BlockAdded) and events[0].block_id == shop.id("a")
    advanced = events[1]
    assert isinstance(advanced, ChainAdvanced)
    assert advanced.head == engine.head == read_head(store)
    assert [block.block_id for block in advanced.added] == [shop.id("a")]
    assert advanced.removed == ()
    assert read_block(store, shop.id("a")) == shop.blocks["a"]
    assert read_header(store, shop.id("a")) == shop.blocks["a"].header


def test_a_known_block_gives_no_events_and_no_write() -> None:
    shop = shop_of("a: genesis")
    store = MemoryStore()
    engine = new_engine(CHAIN, store)
    feed(engine, shop.prepared())
    before = content(store)
    assert engine.process_block(shop.prepared("a")[0]) == ()
    assert content(store) == before


def test_missing_parents_are_named_and_nothing_is_kept() -> None:
    shop = shop_of("a: genesis; b: a")
    store = MemoryStore()
    engine = new_engine(CHAIN, store)
    before = content(store)
    with pytest.raises(MissingParents) as caught:
        engine.process_block(shop.prepared("b")[0])
    assert caught.value.ids == (shop.id("a"),)
    assert content(store) == before and not engine.has_block(shop.id("b"))
    feed(engine, shop.prepared("a", "b"))
    assert engine.head.id == shop.id("b")


def test_an_invalid_block_leaves_no_trace_and_is_remembered() -> None:
    shop = shop_of("a: genesis")
    shop.make("bad", ["a"], blue_score=7)
    store = MemoryStore()
    engine = new_engine(CHAIN, store)
    feed(engine, shop.prepared("a"))
    before, seen = content(store), picture(engine)
    with pytest.raises(BlueScoreWrong):
        engine.process_block(shop.prepared("bad")[0])
    assert content(store) == before and picture(engine) == seen
    with pytest.raises(KnownInvalid, match="BlueScoreWrong"):
        engine.process_block(shop.prepared("bad")[0])


def test_a_child_of_an_invalid_block_is_invalid() -> None:
    shop = shop_of("a: genesis")
    bad = shop.make("bad", ["a"], blue_score=7)
    child = CHAIN.block(slot=5, parents=[bad.header_id])
    shop.blocks["child"] = child
    engine = new_engine(CHAIN)
    feed(engine, shop.prepared("a"))
    with pytest.raises(BlueScoreWrong):
        engine.process_block(shop.prepared("bad")[0])
    with pytest.raises(ParentInvalid):
        engine.process_block(shop.prepared("child")[0])


def test_the_memory_of_invalid_blocks_is_bounded() -> None:
    engine = new_engine(CHAIN)
    for number in range(KNOWN_INVALID_KEPT + 10):
        engine._remember_invalid(number.to_bytes(32, "big"), WrongProposer(1, 1, 1, 1))
    assert len(engine._known_invalid) == KNOWN_INVALID_KEPT


def test_one_refused_block_of_a_batch_does_not_hinder_the_others() -> None:
    shop = shop_of("a: genesis; b: a; c: b")
    shop.make("bad", ["a"], band=3, blue_work=7)
    shop.make("orphan", ["c"])
    engine = new_engine(CHAIN)
    events = engine.process_blocks(shop.prepared("orphan", "b", "bad", "a"))
    refused = {event.block_id: event.error for event in events if isinstance(event, BlockRefused)}
    assert set(refused) == {shop.id("bad"), shop.id("orphan")}
    assert isinstance(refused[shop.id("orphan")], MissingParents)
    assert engine.head.id == shop.id("b")


def test_a_batch_advances_the_chain_once() -> None:
    shop = random_workshop(3, chain=CHAIN)
    engine = new_engine(CHAIN)
    events = engine.process_blocks(shop.prepared())
    assert sum(isinstance(event, ChainAdvanced) for event in events) == 1
    assert picture(engine) == picture(shop.engine)


def test_a_validator_that_is_not_scheduled_gets_no_template() -> None:
    engine = new_engine(CHAIN)
    scheduled = CHAIN.schedule.proposer(1, 0)
    other = next(index for index in range(6) if index != scheduled)
    with pytest.raises(SlotNotAvailable):
        engine.build_block(1, 0, other, reveal=CHAIN.reveal(other, 1))
    with pytest.raises(SlotNotAvailable):
        engine.build_block(0, 0, other, reveal=CHAIN.reveal(other, 1))


def test_a_failed_write_halts_the_engine_for_good() -> None:
    from faults.faulty_store import FaultyDisk

    shop = shop_of("a: genesis; b: a")
    disk = FaultyDisk(1)
    engine = new_engine(CHAIN, disk.open())
    disk.fail_write(1)
    with pytest.raises(Exception, match="No space left"):
        engine.process_block(shop.prepared("a")[0])
    for call in (
        lambda: engine.process_block(shop.prepared("a")[0]),
        lambda: engine.process_blocks(()),
        lambda: engine.build_block(1, 0, CHAIN.schedule.proposer(1, 0) or 0, reveal=bytes(32)),
        lambda: engine.virtual_account(bytes(20)),
        lambda: engine.virtual_state(),
    ):
        with pytest.raises(EngineHalted):
            call()


def test_head_and_tips_are_values_that_later_blocks_do_not_change() -> None:
    shop = shop_of("a: genesis; b: genesis")
    engine = new_engine(CHAIN)
    head, tips = engine.head, engine.tips
    feed(engine, shop.prepared())
    assert head.id == engine.genesis_id and tips == (engine.genesis_id,)
    assert engine.tips == tuple(sorted((shop.id("a"), shop.id("b"))))


def test_L6_of_two_blocks_of_one_lane_the_first_in_order_weighs_and_the_other_is_red() -> None:
    shop = shop_of(
        """
        a: genesis                  slot 1 band 0
        twin1: a                    slot 2 band 1
        twin2: a  pay alice bob 5   slot 2 band 1
        m: twin1 twin2              slot 3 band 2
        """
    )
    engine = new_engine(CHAIN)
    events = feed(engine, shop.prepared())
    doubled = [event for event in events if isinstance(event, DuplicateLane)]
    assert [(event.slot, event.band, event.block_ids) for event in doubled] == [
        (2, 1, (shop.id("twin1"), shop.id("twin2")))
    ]
    data = engine.stores.dag.data.get(shop.id("m"))
    first = data.selected_parent
    second = shop.id("twin1") if first == shop.id("twin2") else shop.id("twin2")
    assert data.mergeset_reds == (second,)
    # genesis, a and one of the twins
    assert data.blue_work == data.blue_score == 3


def test_L6_both_blocks_of_a_doubled_lane_are_kept_and_executed() -> None:
    shop = shop_of(
        """
        twin1: genesis  pay alice bob 5    slot 1 band 1
        twin2: genesis  pay carol bob 7    slot 1 band 1
        m: twin1 twin2
        """
    )
    engine = new_engine(CHAIN)
    feed(engine, shop.prepared())
    assert account_of(engine, CHAIN, "bob").balance == account_of(engine, CHAIN, "dave").balance + 12


@pytest.mark.parametrize("band", range(BAND_COUNT))
def test_L15_the_chain_advances_with_any_one_lane_alive(band: int) -> None:
    engine = new_engine(CHAIN)
    for slot in range(1, 13):
        [block] = propose_slot(engine, CHAIN, slot, [band])
        assert engine.head.id == block.block_id
    assert engine.head.chain_index == 12


def long_chain(shop: Workshop, first: str, length: int, first_slot: int) -> str:
    """Append `length` blocks to the named one, a slot each; the name of the last."""
    last = first
    for number in range(length):
        name = f"{first}+{number}"
        shop.make(name, [last], slot=first_slot + number)
        last = name
    return last


def test_L13_a_red_from_below_the_merge_depth_cannot_be_merged() -> None:
    depth = CHAIN.params.merge_depth_slots
    shop = shop_of("root: genesis slot 1; old: genesis slot 1 band 3; main: root slot 2")
    tip = long_chain(shop, "main", CHAIN.params.ghostdag_k + 2, depth + 10)
    shop.make("deep", [tip, "old"])
    engine = new_engine(CHAIN)
    *fine, deep = shop.prepared()
    feed(engine, fine)
    with pytest.raises(MergeTooDeep):
        engine.process_block(deep)
    assert engine.head.id == shop.id(tip)


def test_L13_a_template_leaves_out_what_is_too_deep() -> None:
    depth = CHAIN.params.merge_depth_slots
    shop = shop_of("root: genesis slot 1; old: genesis slot 1 band 3; main: root slot 2")
    tip = long_chain(shop, "main", CHAIN.params.ghostdag_k + 2, depth + 10)
    engine = new_engine(CHAIN)
    feed(engine, shop.prepared())
    block = propose(engine, CHAIN, 2 * depth, 0)
    assert block.block.header.parents == (shop.id(tip),)
    feed(engine, [block])
    assert shop.id("old") in engine.tips


def propose_on(shop: Workshop, name: str, parents: list[str]) -> PreparedBlock:
    """A right block that no engine has seen yet."""
    ids = tuple(sorted(shop.id(parent) for parent in parents))
    slot = 1 + max(shop.engine.stores.headers.get(parent).slot for parent in ids)
    core, body = shop.right_contents(ids, slot, 0, (), ())
    shop.blocks[name] = sign_block(core, (), body, CHAIN.keys[core.proposer], CHAIN.params.genesis_hash)
    return shop.prepared(name)[0]


def test_L12_a_merge_set_above_the_limit_is_refused() -> None:
    limit = CHAIN.params.mergeset_limit
    shop = shop_of("side: genesis slot 1 band 1; main: genesis slot 1 band 0")
    side = long_chain(shop, "side", limit, 2)
    main = long_chain(shop, "main", limit + 5, 2)
    # A block on both would merge limit + 1 blocks.
    engine = shop.engine
    core = CHAIN.core(slot=limit + 20, parents=[shop.id(side), shop.id(main)])
    bomb = CHAIN.block(slot=core.slot, parents=core.parents)
    shop.blocks["bomb"] = bomb
    with pytest.raises(MergesetTooLarge):
        engine.process_block(shop.prepared("bomb")[0])
    [largest] = [name for name in shop.blocks if shop.id(name) in shop.blocks[side].header.parents]
    fitting = propose_on(shop, "fitting", [main, largest])
    began = process_time()
    engine.process_block(fitting)
    assert process_time() - began < LONGEST_VALIDATION_S
    assert len(engine.stores.dag.data.get(fitting.block_id).mergeset) == limit + 1


def test_a_block_prepared_by_the_engine_is_the_one_that_validators_prepare() -> None:
    shop = shop_of("a: genesis  pay alice bob 5")
    engine = new_engine(CHAIN)
    from consensus.blocks import encode_block

    block = engine.prepare_block(encode_block(shop.blocks["a"]), now_slot=1)
    assert replace(block) == shop.prepared("a")[0] == engine.prepare_decoded(shop.blocks["a"], now_slot=1)


def test_reopening_gives_the_same_engine() -> None:
    shop = random_workshop(5, chain=CHAIN)
    store = MemoryStore()
    engine = new_engine(CHAIN, store)
    feed(engine, shop.prepared())
    again = Engine.open(store, CHAIN.genesis, CHAIN.registry)
    assert picture(again) == picture(engine)
    assert again.head == engine.head and again.tips == engine.tips
    assert again.locator() == engine.locator()


def test_restart_after_every_block_equals_never_restarted() -> None:
    shop = random_workshop(6, chain=CHAIN, slots=5)
    store = MemoryStore()
    for block in shop.prepared():
        feed(new_engine(CHAIN, store), [block])
    assert picture(new_engine(CHAIN, store)) == picture(shop.engine)
    assert state_of(new_engine(CHAIN, store)) == state_of(shop.engine)


def test_genesis_is_a_word_of_the_text_language() -> None:
    assert Workshop(CHAIN).id(GENESIS) == CHAIN.genesis_block.header_id
