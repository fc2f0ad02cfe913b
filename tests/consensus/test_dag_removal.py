"""A DAG that loses its old end answers about what is left, and about new blocks, as one that keeps everything."""

from dataclasses import replace
from random import Random

import pytest
from builders.dag import DagBlock, DagCase, empty_dag, random_dag

from consensus.errors import BlockHasChildren, BlockHasParents, BlockIsTip
from consensus.ghostdag import Dag, colour, select_parent
from consensus.reachability import Reachability
from ledger.storage.memory import MemoryStore
from ledger.storage.store import WriteBatch

KEPT_CHAIN_BLOCKS = 6
"""Between the floor, which new blocks must have on their chains, and the tip."""


class Pruner:
    """A `Dag` whose base follows its best tip."""

    def __init__(
        self, case: DagCase, store: MemoryStore | None, *, window_span: int | None, small: bool
    ) -> None:
        self.store = store
        self.dag = empty_dag(case, store, window_span=window_span)
        if small:
            self.dag.reachability = Reachability(store, root_depth=4, root_step=3, slack=64)
        self.dag.add_genesis(case.genesis.id)
        self.base = self.floor = self.best = case.genesis.id
        self.removed = 0

    def taken(self, block: DagBlock) -> DagBlock | None:
        """The block on those of its parents that are here, if it stands on what is kept."""
        parents = tuple(parent for parent in block.parents if self.dag.has(parent))
        if not parents or not self.dag.reachability.is_chain_ancestor(
            self.floor, select_parent(self.dag, parents)
        ):
            return None
        return replace(block, parents=parents)

    def add(self, block: DagBlock) -> None:
        dag = self.dag
        dag.add(block.id, block.parents, colour(dag, block.parents))
        if dag.order_key(block.id) > dag.order_key(self.best):
            self.best = block.id
            dag.reachability.advance_root(block.id)
        self.write()

    def prune(self, rng: Random) -> None:
        """Move the floor up, the base k chain blocks below it, and remove what stands on neither."""
        dag, reachability = self.dag, self.dag.reachability
        chain = list(reachability.chain_down(self.best))
        position = KEPT_CHAIN_BLOCKS + rng.randrange(4)
        if position + dag.rules.k >= len(chain) or not reachability.is_chain_ancestor(
            self.floor, chain[position]
        ):
            return
        floor, base = chain[position], chain[position + dag.rules.k]
        if not reachability.is_chain_ancestor(self.base, base):
            return
        reachability.raise_root(base)
        while dead := [tip for tip in dag.relations.tips() if not reachability.is_chain_ancestor(base, tip)]:
            for tip in dead:
                dag.remove_leaf(tip)
                self.removed += 1
        self.write()
        for chain_block in reachability.chain_up(self.base, base):
            for block in dag.data.get(chain_block).mergeset:
                dag.remove_root(block)
                self.removed += 1
            self.write()
        self.base, self.floor = base, floor

    def write(self) -> None:
        if self.store is not None:
            batch = WriteBatch()
            self.dag.stage_into(batch)
            self.store.write(batch, sync=False)
        self.dag.commit()


def shape(rng: Random, seed: int) -> DagCase:
    return random_dag(
        rng,
        blocks=260,
        width=(3, 6, 10)[seed % 3],
        k=(0, 2, 4, 7)[seed % 4],
        weights=(1,) if seed % 2 else (1, 1, 3),
        withheld=(0, 12, 25)[seed % 3],
        bands=(0, 3, 6)[seed % 3],
    )


@pytest.mark.parametrize("seed", range(24))
def test_a_pruned_dag_colours_new_blocks_as_one_that_keeps_everything(seed: int) -> None:
    rng = Random(seed)
    case = shape(rng, seed)
    pruned = Pruner(
        case, MemoryStore() if seed % 2 else None, window_span=0 if seed % 3 else None, small=seed % 4 < 2
    )
    whole = empty_dag(case)
    whole.add_genesis(case.genesis.id)
    kept: list[bytes] = []
    for original in case.blocks[1:]:
        block = pruned.taken(original)
        if block is None:
            continue
        data = colour(whole, block.parents)
        assert colour(pruned.dag, block.parents) == data
        whole.add(block.id, block.parents, data)
        pruned.add(block)
        kept.append(block.id)
        if rng.random() < 0.15:
            pruned.prune(rng)
    assert pruned.removed > 40
    check_closed(pruned.dag, [block for block in kept if pruned.dag.has(block)])
    check_ancestry(pruned.dag, whole, [block for block in kept if pruned.dag.has(block)])


def check_closed(dag: Dag, present: list[bytes]) -> None:
    """No list names a block that is not there."""
    there = set(present)
    tips = []
    for block in present:
        children = dag.relations.children.get(block)
        assert there.issuperset(children)
        assert there.issuperset(dag.relations.parents.get(block))
        links = dag.reachability._links.get(block)
        assert not links.parent or links.parent in there
        assert there.issuperset(links.children)
        assert there.issuperset(dag.reachability._covering.get(block))
        if not children:
            tips.append(block)
    assert dag.relations.tips() == tuple(sorted(tips))


def check_ancestry(dag: Dag, whole: Dag, present: list[bytes]) -> None:
    for one in present:
        for other in present:
            expected = whole.reachability.is_ancestor(one, other)
            assert dag.reachability.is_ancestor(one, other) == expected
            assert dag.reachability.is_chain_ancestor(one, other) == whole.reachability.is_chain_ancestor(
                one, other
            )


def test_a_pruned_dag_is_read_back_from_its_store() -> None:
    rng = Random(5)
    case = random_dag(rng, blocks=200, width=5, k=3, withheld=12, bands=4)
    store = MemoryStore()
    pruned = Pruner(case, store, window_span=None, small=True)
    for original in case.blocks[1:]:
        block = pruned.taken(original)
        if block is not None:
            pruned.add(block)
            if rng.random() < 0.2:
                pruned.prune(rng)
    again = empty_dag(case, store)
    assert again.relations.tips() == pruned.dag.relations.tips()
    keys = {key[2:] for key, _ in store.iterate(b"dg")}
    assert 0 < len(keys) < 100
    for prefix in (b"dp", b"dc", b"di", b"dr", b"df"):
        assert {key[2:] for key, _ in store.iterate(prefix)} == keys


def small_dag() -> Dag:
    case = DagCase(
        2, tuple(DagBlock(bytes([at]) * 32, () if not at else (bytes([at - 1]) * 32,)) for at in range(4))
    )
    dag = empty_dag(case)
    dag.add_genesis(case.genesis.id)
    for block in case.blocks[1:]:
        dag.add(block.id, block.parents, colour(dag, block.parents))
    return dag


def test_a_block_is_removed_from_one_end_only() -> None:
    dag = small_dag()
    with pytest.raises(BlockHasChildren):
        dag.remove_leaf(b"\x01" * 32)
    with pytest.raises(BlockHasParents):
        dag.remove_root(b"\x01" * 32)
    for at in range(3):
        dag.remove_root(bytes([at]) * 32)
    with pytest.raises(BlockIsTip):
        dag.remove_root(b"\x03" * 32)
    assert dag.relations.tips() == (b"\x03" * 32,)


def test_a_parent_is_a_tip_again_when_its_last_child_is_removed() -> None:
    dag = small_dag()
    dag.remove_leaf(b"\x03" * 32)
    assert dag.relations.tips() == (b"\x02" * 32,)
    assert not dag.has(b"\x03" * 32)
