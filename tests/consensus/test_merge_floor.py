"""What left the chain below the merge floor is lost for everybody, so that whoever prunes may forget it (L13)."""

from random import Random

import pytest
from builders.dag import add_blocks, empty_dag, name_id, parse_dag
from builders.history import MERGE_DEPTH_SLOTS, Maker, make_history, tiny_chain, tiny_engine

from consensus.errors import MergeBelowFloor, MergeTooDeep
from consensus.merge_depth import MergeRoots, validate_merge_floor
from consensus.reachability import Reachability
from consensus.votes import Checkpoint

FORK = "g; a: g weight 3; b: a weight 3; x: g; y: b x"
"""y has a on its selected chain and merges x, which has not."""


def reachability_of(text: str) -> Reachability:
    case = parse_dag(text, 3)
    dag = empty_dag(case)
    add_blocks(dag, case.blocks)
    return dag.reachability


def test_L13_a_block_without_the_floor_on_its_chain_cannot_be_merged() -> None:
    reachability = reachability_of(FORK)
    a, x, y = (name_id(name) for name in "axy")
    validate_merge_floor((y,), a, reachability)
    with pytest.raises(MergeBelowFloor) as caught:
        validate_merge_floor((y, x), a, reachability)
    assert (caught.value.merged, caught.value.merge_floor) == (x, a)


def test_L13_having_the_floor_in_the_past_is_not_enough() -> None:
    reachability = Reachability()
    g, a, b, c = (name_id(name) for name in "gabc")
    reachability.add_genesis(g)
    reachability.add_block(a, g, ())
    reachability.add_block(b, g, ())
    reachability.add_block(c, b, (a,))
    assert reachability.is_ancestor(a, c)
    with pytest.raises(MergeBelowFloor):
        validate_merge_floor((c,), a, reachability)


def test_the_floor_lies_the_merge_depth_below_the_finalised_block_of_the_view() -> None:
    slots = dict(zip("gabcdef", (0, 3, 7, 8, 12, 20, 30), strict=True))
    chain = "gabcdef"
    roots = MergeRoots(
        10,
        lambda block: slots[block.decode()],
        lambda block: chain[chain.index(block.decode()) - 1].encode(),
        lambda low, _: chain[chain.index(low.decode()) + 1].encode(),
        lambda _: b"e",
    )
    assert roots.floor(b"f") == b"c"  # 20 − 10 = 10: the last block of slot 10 or less
    assert roots.root(b"f") == b"e"


def test_L13_an_old_branch_is_refused_wherever_it_is_merged() -> None:
    past = make_history(0, 120, presence=0.3, odd=0.0)
    maker = Maker(tiny_chain(), Random(0))
    for block in past.blocks:
        maker._arrive(block)
    engine = maker.engine
    old = engine.stores.chain.get((20).to_bytes(8, "big"))
    branch = maker._odd(21, 5, (old,))
    assert branch is not None
    assert branch.block.header.slot + MERGE_DEPTH_SLOTS < engine.head.slot
    engine.process_block(branch)
    merging = maker._odd(engine.head.slot + 1, 0, (engine.head.id, branch.block_id))
    assert merging is not None
    with pytest.raises((MergeTooDeep, MergeBelowFloor)):
        engine.process_block(merging)


def test_a_checkpoint_below_the_merge_floor_is_none_any_more() -> None:
    """A vote may name it as its source, and a node that pruned cannot look."""
    past = make_history(0, 120, presence=0.3, odd=0.0)
    engine = tiny_engine(past.chain)
    for block in past.blocks:
        engine.process_blocks([engine.prepare_decoded(block.block, block.block.header.slot)])
    tracker, head = engine._tracker, engine.head.id
    assert tracker.is_checkpoint(head, engine.finalised)
    assert tracker.is_checkpoint(head, engine.justified)
    assert not tracker.is_checkpoint(head, Checkpoint(0, engine.genesis_id))
