"""Reachability equals bitsets of the past, whatever happens to the intervals."""

from collections.abc import Callable
from random import Random

import pytest
from builders.dag import DagBlock, DagCase, colour_case, layered_dag, name_id, parse_dag, pasts_of, random_dag

from consensus import reachability as reachability_module
from consensus import tables as tables_module
from consensus.errors import BlockAlreadyInDag, IntervalsExhausted, MissingRecord, NotOnChain
from consensus.reachability import Reachability


def chosen_parents(case: DagCase) -> tuple[list[int], list[list[bytes]]]:
    """A selected parent per block (any choice makes a valid tree: here the one with the longest chain) and what the
    block merges besides it."""
    position_of = {block.id: position for position, block in enumerate(case.blocks)}
    pasts = pasts_of(case)
    heights = [0] * len(case.blocks)
    selected = [-1] * len(case.blocks)
    mergesets: list[list[bytes]] = [[] for _ in case.blocks]
    for position, block in enumerate(case.blocks):
        if not block.parents:
            continue
        best = max((position_of[parent] for parent in block.parents), key=lambda at: (heights[at], at))
        selected[position] = best
        heights[position] = heights[best] + 1
        merged = pasts[position] & ~pasts[best] & ~(1 << best)
        mergesets[position] = [case.blocks[at].id for at in range(merged.bit_length()) if merged >> at & 1]
    return selected, mergesets


def build(case: DagCase, reachability: Reachability, *, follow: bool = True) -> Reachability:
    """Add the whole case; the reindex root follows the highest block."""
    selected, mergesets = chosen_parents(case)
    highest = 0
    for position, block in enumerate(case.blocks):
        if selected[position] < 0:
            reachability.add_genesis(block.id)
            continue
        reachability.add_block(block.id, case.blocks[selected[position]].id, mergesets[position])
        height = reachability.height(block.id)
        if follow and height > highest:
            highest = height
            reachability.advance_root(block.id)
    return reachability


def check_tree(reachability: Reachability, case: DagCase) -> None:
    """Every interval is non-empty, and holds its children's, disjoint, ascending, below its own end."""
    for block in case.blocks:
        start, end = reachability._intervals.get(block.id)
        assert start <= end
        free = start
        for child in reachability._links.get(block.id).children:
            child_start, child_end = reachability._intervals.get(child)
            assert free <= child_start
            free = child_end + 1
        assert free <= end


def check_answers(reachability: Reachability, case: DagCase, rng: Random, samples: int) -> None:
    pasts = pasts_of(case)
    count = len(case.blocks)
    pairs = (
        ((a, b) for a in range(count) for b in range(count))
        if count * count <= samples
        else ((rng.randrange(count), rng.randrange(count)) for _ in range(samples))
    )
    for a, b in pairs:
        expected = a == b or bool(pasts[b] >> a & 1)
        assert reachability.is_ancestor(case.blocks[a].id, case.blocks[b].id) == expected


SHAPES: dict[str, Callable[[Random], DagCase]] = {
    "narrow": lambda rng: random_dag(rng, blocks=160, width=2, k=0),
    "wide": lambda rng: random_dag(rng, blocks=160, width=20, k=0),
    "with withheld chains": lambda rng: random_dag(rng, blocks=160, width=5, k=0, withheld=30),
    "fan": lambda rng: random_dag(rng, blocks=160, width=150, k=0),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("depth", "step", "slack"), [(100, 100, 4096), (5, 3, 4), (1, 1, 1), (3, 10, 0)])
def test_reachability_equals_bitsets_on_random_dags(
    shape: str, seed: int, depth: int, step: int, slack: int
) -> None:
    rng = Random(f"{shape}{seed}")
    case = SHAPES[shape](rng)
    reachability = build(case, Reachability(root_depth=depth, root_step=step, slack=slack))
    check_tree(reachability, case)
    check_answers(reachability, case, rng, 30_000)


def test_reachability_equals_bitsets_after_the_root_has_moved_many_times() -> None:
    rng = Random(7)
    case = layered_dag(rng, blocks=4_000, width=4, k=0)
    reachability = build(case, Reachability())
    assert reachability._root.get(reachability_module.ROOT_KEY) != case.genesis.id
    check_tree(reachability, case)
    check_answers(reachability, case, rng, 60_000)


@pytest.mark.parametrize("follow", [True, False])
def test_a_chain_of_5000_blocks(follow: bool) -> None:
    ids = [number.to_bytes(32, "big") for number in range(5_000)]
    blocks = [DagBlock(ids[0], ()), *(DagBlock(ids[n], (ids[n - 1],)) for n in range(1, len(ids)))]
    reachability = build(DagCase(0, tuple(blocks)), Reachability(), follow=follow)
    assert reachability.height(ids[-1]) == 4_999
    rng = Random(1)
    for _ in range(20_000):
        a, b = rng.randrange(5_000), rng.randrange(5_000)
        assert reachability.is_chain_ancestor(ids[a], ids[b]) == (a <= b)


def test_a_fan_of_2000_children_reindexes_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    operations = count_reindexings(monkeypatch)
    ids = [number.to_bytes(32, "big") for number in range(2_002)]
    blocks = [DagBlock(ids[0], ()), *(DagBlock(block, (ids[0],)) for block in ids[1:2_001])]
    blocks.append(DagBlock(ids[2_001], tuple(ids[1:2_001])))
    case = DagCase(0, tuple(blocks))
    reachability = build(case, Reachability())
    check_tree(reachability, case)
    check_answers(reachability, case, Random(1), 20_000)
    assert all(reachability.is_ancestor(block, ids[2_001]) for block in ids)
    assert len(operations) <= 100


def test_a_chain_of_fans_reindexes_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    operations = count_reindexings(monkeypatch)
    rng = Random(3)
    case = layered_dag(rng, blocks=3_000, width=6, k=0, missed=0.0)
    check_tree(build(case, Reachability()), case)
    assert len(operations) <= 3_000 // 30


def count_reindexings(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Grows by one whenever room must be made."""
    operations: list[None] = []
    make_room = reachability_module.Reindexing.make_room

    def counted(self: reachability_module.Reindexing, block: bytes, root: bytes) -> None:
        operations.append(None)
        make_room(self, block, root)

    monkeypatch.setattr(reachability_module.Reindexing, "make_room", counted)
    return operations


def count_interval_writes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The one number grows by one with every interval that is written."""
    writes = [0]
    put = tables_module.Table.put

    def counted(self: tables_module.Table[object], key: bytes, record: object) -> None:
        writes[0] += self.name == "reachability intervals"
        put(self, key, record)

    monkeypatch.setattr(tables_module.Table, "put", counted)
    return writes


def grown_chain(reachability: Reachability, genesis: bytes, blocks: int) -> None:
    """A chain on genesis, long enough for the reindex root to leave genesis behind."""
    tip = genesis
    for number in range(blocks):
        child = name_id(f"chain {number}")
        reachability.add_block(child, tip, ())
        reachability.advance_root(child)
        tip = child


def test_late_children_of_one_old_block_cost_a_constant_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """One validator can sign thousands of them: every slot that it let pass is a lane."""
    reachability = Reachability()
    reachability.add_genesis(name_id("g"))
    grown_chain(reachability, name_id("g"), 400)
    writes = count_interval_writes(monkeypatch)
    late = 3_000
    for number in range(late):
        reachability.add_block(name_id(f"late {number}"), name_id("g"), ())
    assert writes[0] <= 10 * late


def test_side_branches_that_grow_in_turn_cost_a_constant_per_block(monkeypatch: pytest.MonkeyPatch) -> None:
    reachability = Reachability()
    reachability.add_genesis(name_id("g"))
    branches = 400
    tips = [name_id(f"branch {number}") for number in range(branches)]
    for tip in tips:
        reachability.add_block(tip, name_id("g"), ())
    grown_chain(reachability, name_id("g"), 400)
    writes = count_interval_writes(monkeypatch)
    for turn in range(6):
        for at, tip in enumerate(tips):
            tips[at] = name_id(f"branch {at} {turn}")
            reachability.add_block(tips[at], tip, ())
    assert writes[0] <= 10 * 6 * branches


@pytest.mark.parametrize("slack", [2, 64])
@pytest.mark.parametrize("grows_as", ["fan", "chain", "both"])
def test_late_blocks_far_behind_the_root_find_room(slack: int, grows_as: str) -> None:
    """Slack is used up again and again on both sides of the chain."""
    rng = Random(f"{slack}{grows_as}")
    reachability = Reachability(root_depth=10, root_step=5, slack=slack)
    main = [number.to_bytes(32, "big") for number in range(400)]
    blocks = [DagBlock(main[0], ())]
    reachability.add_genesis(main[0])
    late = [rng.randbytes(32)]
    # One side block before the chain's own child, so that late blocks lie on both sides of the chain.
    for number in range(1, 400):
        if number == 3:
            blocks.append(DagBlock(late[0], (main[2],)))
            reachability.add_block(late[0], main[2], ())
        blocks.append(DagBlock(main[number], (main[number - 1],)))
        reachability.add_block(main[number], main[number - 1], ())
        reachability.advance_root(main[number])
    for turn in range(300):
        newest = late[-1]
        fan_parent = main[rng.randrange(2, 60)] if rng.random() < 0.5 else late[0]
        parent = {"fan": fan_parent, "chain": newest, "both": rng.choice((fan_parent, newest))}[grows_as]
        late.append(rng.randbytes(32))
        blocks.append(DagBlock(late[-1], (parent,)))
        reachability.add_block(late[-1], parent, ())
        if turn % 20 == 0:
            main.append(rng.randbytes(32))
            blocks.append(DagBlock(main[-1], (main[-2],)))
            reachability.add_block(main[-1], main[-2], ())
            reachability.advance_root(main[-1])
    case = DagCase(0, tuple(blocks))
    check_tree(reachability, case)
    check_answers(reachability, case, rng, 40_000)


def test_the_root_changes_chains_when_another_one_is_higher_by_the_slack() -> None:
    reachability = Reachability(root_depth=5, root_step=5, slack=20)
    genesis = name_id("g")
    reachability.add_genesis(genesis)
    blocks = [DagBlock(genesis, ())]

    def grow(tip: bytes, prefix: str, count: int) -> bytes:
        for number in range(count):
            block = name_id(f"{prefix}{number}")
            blocks.append(DagBlock(block, (tip,)))
            reachability.add_block(block, tip, ())
            reachability.advance_root(block)
            tip = block
        return tip

    first = grow(genesis, "a", 30)
    root = reachability._root.get(reachability_module.ROOT_KEY)
    assert reachability.is_chain_ancestor(root, first)
    second = grow(genesis, "b", 60)
    root = reachability._root.get(reachability_module.ROOT_KEY)
    assert reachability.is_chain_ancestor(root, second)
    case = DagCase(0, tuple(blocks))
    check_tree(reachability, case)
    check_answers(reachability, case, Random(1), 10_000)


def test_a_full_number_range_is_an_error_and_not_a_wrong_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reachability_module, "WHOLE_RANGE", (1, 8))
    reachability = Reachability()
    reachability.add_genesis(name_id("0"))
    for number in range(1, 8):
        reachability.add_block(name_id(str(number)), name_id(str(number - 1)), ())
    with pytest.raises(IntervalsExhausted):
        reachability.add_block(name_id("8"), name_id("7"), ())


def test_both_ancestries_are_reflexive() -> None:
    reachability = colour_case(parse_dag("g; a: g", k=1)).reachability
    assert reachability.is_ancestor(name_id("a"), name_id("a"))
    assert reachability.is_chain_ancestor(name_id("a"), name_id("a"))


def test_a_merged_block_is_an_ancestor_and_no_chain_ancestor() -> None:
    reachability = colour_case(parse_dag("g; a: g; b: g; c: a b; d: c", k=1)).reachability
    assert reachability.is_chain_ancestor(name_id("b"), name_id("d"))
    assert not reachability.is_chain_ancestor(name_id("a"), name_id("d"))
    assert reachability.is_ancestor(name_id("a"), name_id("d"))
    assert not reachability.is_ancestor(name_id("d"), name_id("a"))


def test_the_chain_child_towards_a_descendant() -> None:
    reachability = colour_case(parse_dag("g; a: g; b: g; c: a b; d: c; e: c", k=1)).reachability
    assert reachability.chain_child_towards(name_id("g"), name_id("d")) == name_id("b")
    assert reachability.chain_child_towards(name_id("c"), name_id("e")) == name_id("e")
    assert list(reachability.chain_up(name_id("g"), name_id("d"))) == [name_id(x) for x in "bcd"]
    assert list(reachability.chain_down(name_id("d"))) == [name_id(x) for x in "dcbg"]


@pytest.mark.parametrize(("ancestor", "descendant"), [("a", "d"), ("d", "g"), ("d", "d"), ("d", "e")])
def test_a_way_that_is_not_on_the_chain_is_refused(ancestor: str, descendant: str) -> None:
    reachability = colour_case(parse_dag("g; a: g; b: g; c: a b; d: c; e: c", k=1)).reachability
    with pytest.raises(NotOnChain):
        reachability.chain_child_towards(name_id(ancestor), name_id(descendant))


def test_the_common_chain_ancestor_is_the_split() -> None:
    reachability = colour_case(parse_dag("g; a: g; b: a; c: b; x: a; y: x", k=3)).reachability
    assert reachability.common_chain_ancestor(name_id("c"), name_id("y")) == name_id("a")
    assert reachability.common_chain_ancestor(name_id("a"), name_id("y")) == name_id("a")
    assert reachability.common_chain_ancestor(name_id("y"), name_id("a")) == name_id("a")


@pytest.mark.parametrize("window_span", [None, 0])
def test_related_parents_are_found(window_span: int | None) -> None:
    dag = colour_case(parse_dag("g; a: g; b: g; c: a b; d: g", k=3), window_span=window_span)
    a, b, c, d = map(name_id, "abcd")
    assert dag.find_related((a, b, d)) is None
    assert dag.reachability.find_related((a, b, d)) is None
    assert dag.find_related((d, c, a)) == (a, c)
    assert dag.reachability.find_related((d, c, a)) == (a, c)


def test_unknown_and_known_blocks_are_refused_where_they_must_be() -> None:
    reachability = Reachability()
    reachability.add_genesis(name_id("g"))
    with pytest.raises(BlockAlreadyInDag):
        reachability.add_genesis(name_id("h"))
    with pytest.raises(MissingRecord):
        reachability.add_block(name_id("a"), name_id("x"), ())
    reachability.add_block(name_id("a"), name_id("g"), ())
    with pytest.raises(BlockAlreadyInDag):
        reachability.add_block(name_id("a"), name_id("g"), ())
    with pytest.raises(MissingRecord):
        reachability.is_ancestor(name_id("x"), name_id("g"))
