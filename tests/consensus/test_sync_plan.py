"""Sync plans: whoever follows them can add every block that it is told of, and ends with the same DAG."""

from collections.abc import Callable
from itertools import pairwise

import pytest
from builders.chain import (
    Workshop,
    devnet,
    feed,
    new_engine,
    picture,
    prepare,
    propose_slot,
    random_workshop,
)

from consensus.engine import Engine
from consensus.errors import MissingRecord
from consensus.stores import read_block
from consensus.sync_plan import LOCATOR_DENSE, antipast, locator, plan_after
from ledger.storage.memory import MemoryStore
from ledger.storage.store import Store

CHAIN = devnet()


def store_of(engine: Engine) -> Store:
    return engine.stores.store


def fetch(source: Engine, target: Engine, block_id: bytes) -> None:
    """Give one block of `source` to `target`, unless it is there; raises when a parent is missing."""
    if not target.has_block(block_id):
        block = read_block(store_of(source), block_id)
        assert block is not None
        feed(target, [prepare(CHAIN, block)])


def synchronise(
    source: Engine, target: Engine, limit: int, between: Callable[[], None] = lambda: None
) -> tuple[int, int]:
    """Follow plans until one is complete, as a node does; (rounds, blocks named)."""
    resume: tuple[bytes, ...] = ()
    beyond = None
    named = 0
    for rounds in range(1, 1_000):
        plan = plan_after(store_of(source), (*resume, *target.locator()), limit, beyond)
        for block_id in plan.ids:
            fetch(source, target, block_id)
        named += len(plan.ids)
        if plan.complete:
            return rounds, named
        resume, beyond = (plan.resume,), plan.resume_antipast
        between()
    raise AssertionError("the plans never became complete")


def grown(slots: int) -> Engine:
    engine = new_engine(CHAIN)
    for slot in range(1, slots + 1):
        propose_slot(engine, CHAIN, slot)
    return engine


GROWN = grown(40)


def test_a_locator_is_dense_at_the_top_and_doubles_down_to_genesis() -> None:
    ids = GROWN.locator()
    dag = GROWN.stores.dag
    heights = [dag.reachability.height(block) for block in ids]
    assert ids[0] == GROWN.head.id and ids[-1] == GROWN.genesis_id
    assert heights[:LOCATOR_DENSE] == list(range(40, 40 - LOCATOR_DENSE, -1))
    steps = [high - low for high, low in pairwise(heights)]
    assert steps[LOCATOR_DENSE - 1 : -1] == [2, 4, 8, 16][: len(steps) - LOCATOR_DENSE]


def test_the_locator_of_a_new_chain_is_genesis_and_of_an_empty_store_nothing() -> None:
    engine = new_engine(CHAIN)
    assert engine.locator() == (engine.genesis_id,)
    assert locator(MemoryStore()) == ()


@pytest.mark.parametrize("limit", [1, 7, 50, 10_000])
def test_a_newcomer_that_follows_the_plans_has_the_same_dag(limit: int) -> None:
    target = new_engine(CHAIN)
    rounds, named = synchronise(GROWN, target, limit)
    assert picture(target) == picture(GROWN)
    assert target.tips == GROWN.tips
    assert named == 240
    assert rounds == 1 or limit < 240


@pytest.mark.parametrize("seed", range(8))
def test_random_dags_with_antipasts_arrive_wholly_whatever_the_limit(seed: int) -> None:
    source = random_workshop(seed, chain=CHAIN, slots=6, faulty=0.1).engine
    for limit in (1, 5, 1_000):
        target = new_engine(CHAIN)
        synchronise(source, target, limit)
        assert picture(target) == picture(source) and target.tips == source.tips


@pytest.mark.parametrize("seed", range(8))
def test_every_plan_names_parents_before_children(seed: int) -> None:
    source = random_workshop(seed, chain=CHAIN, slots=6).engine
    dag = source.stores.dag
    for start in picture(source).chain:
        plan = plan_after(store_of(source), [start], 1_000)
        assert plan.common == start and plan.complete
        known = set()
        for block in plan.ids:
            for parent in dag.relations.parents.get(block):
                assert parent in known or dag.is_ancestor(parent, start)
            known.add(block)
        missing = {
            block.header_id for block in _blocks(source) if not dag.is_ancestor(block.header_id, start)
        }
        assert known == missing and len(plan.ids) == len(known)


def _blocks(engine: Engine) -> list:  # type: ignore[type-arg]
    from consensus.stores import blocks_by_slot

    found = [read_block(store_of(engine), entry.block_id) for entry in blocks_by_slot(store_of(engine))]
    return [block for block in found if block is not None]


def test_an_interrupted_sync_goes_on_where_it_stopped() -> None:
    store = MemoryStore()
    target = new_engine(CHAIN, store)
    plan = plan_after(store_of(GROWN), target.locator(), 60)
    for block_id in plan.ids[:47]:
        fetch(GROWN, target, block_id)
    again = new_engine(CHAIN, store)
    following = plan_after(store_of(GROWN), again.locator(), 1_000)
    assert following.common != GROWN.genesis_id
    synchronise(GROWN, again, 1_000)
    assert picture(again) == picture(GROWN)


def test_a_node_on_a_heavier_branch_of_its_own_still_gets_everything() -> None:
    """The first plans do not move its sink, so only the resume point makes progress."""
    left, right = new_engine(CHAIN), new_engine(CHAIN)
    for slot in range(1, 25):
        propose_slot(left, CHAIN, slot, range(2))
        propose_slot(right, CHAIN, slot, range(2, 6))
    rounds, _ = synchronise(left, right, 5)
    assert rounds < 30
    assert all(right.has_block(block.header_id) for block in _blocks(left))
    synchronise(right, left, 5)
    assert picture(left) == picture(right) and left.tips == right.tips


def test_a_source_that_grows_meanwhile_is_caught_up_with() -> None:
    source, target = grown(6), new_engine(CHAIN)
    slots = iter(range(7, 20))

    def grow() -> None:
        slot = next(slots, None)
        if slot is not None:
            propose_slot(source, CHAIN, slot)

    synchronise(source, target, 10, between=grow)
    assert picture(target) == picture(source)


def test_ids_that_nobody_knows_start_the_plan_at_genesis() -> None:
    plan = plan_after(store_of(GROWN), [bytes(32), b"\xff" * 32], 3)
    assert plan.common == GROWN.genesis_id and not plan.complete


def test_a_complete_node_is_told_nothing() -> None:
    plan = plan_after(store_of(GROWN), GROWN.locator(), 100)
    beyond = [block for _, block in antipast(store_of(GROWN))]
    assert list(plan.ids) == beyond and plan.complete
    assert all(GROWN.has_block(block) for block in beyond)


def test_a_plan_exceeds_its_limit_by_one_merge_set_at_most() -> None:
    for limit in (1, 6, 20):
        plan = plan_after(store_of(GROWN), [GROWN.genesis_id], limit)
        assert limit <= len(plan.ids) <= limit + 6


def test_the_antipast_is_what_the_sink_has_not_in_its_past() -> None:
    shop = Workshop(CHAIN)
    shop.script("a: genesis; b: genesis; c: genesis; d: a b; e: c slot 2; f: d slot 3; g: e slot 3 band 5")
    engine = shop.engine
    dag = engine.stores.dag
    expected = {
        block.header_id
        for block in shop.blocks.values()
        if not dag.is_ancestor(block.header_id, engine.head.id)
    }
    assert {block for _, block in antipast(store_of(engine))} == expected != set()


def test_an_empty_store_has_no_plan() -> None:
    with pytest.raises(MissingRecord):
        plan_after(MemoryStore(), [], 10)
