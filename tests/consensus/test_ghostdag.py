"""Colouring by hand-made DAGs: each rule of README.md, GHOSTDAG, once."""

from random import Random

import pytest
from builders.dag import (
    DagBlock,
    DagCase,
    add_blocks,
    colour_case,
    empty_dag,
    layered_dag,
    name_id,
    parse_dag,
    random_dag,
    shuffled_arrival,
)

from consensus.errors import BlockAlreadyInDag, MergesetTooLarge, MissingRecord
from consensus.ghostdag import (
    GENESIS_DATA,
    Dag,
    GhostdagData,
    colour,
    colour_by_walking,
    ordered_mergeset,
    select_parent,
)
from ledger.storage.memory import MemoryStore
from ledger.storage.store import WriteBatch

# Every rule holds for both ways to the same answer: bitsets over recent blocks, and walking the tables.
both_ways = pytest.mark.parametrize("window_span", [None, 0], ids=["window", "walking"])


def dag_of(text: str, k: int, window_span: int | None = None) -> Dag:
    return colour_case(parse_dag(text, k), window_span=window_span)


def data_of(dag: Dag, name: str) -> GhostdagData:
    return dag.data.get(name_id(name))


def spelled(ids: tuple[bytes, ...]) -> str:
    return " ".join(block.rstrip(b"\0").decode() for block in ids)


def test_genesis_has_score_and_work_zero() -> None:
    assert data_of(dag_of("g", k=3), "g") == GENESIS_DATA


@both_ways
def test_a_chain_counts_its_past(window_span: int | None) -> None:
    data = data_of(dag_of("g: weight 5; a: g weight 7; b: a; c: b", 3, window_span), "c")
    assert (data.blue_score, data.blue_work, spelled(data.mergeset)) == (3, 5 + 7 + 1, "b")


@both_ways
def test_own_weight_is_not_in_own_blue_work(window_span: int | None) -> None:
    assert data_of(dag_of("g; a: g weight 1000", 3, window_span), "a").blue_work == 1


@both_ways
def test_the_parent_with_more_blue_work_is_selected(window_span: int | None) -> None:
    dag = dag_of("g; z: g; a: g weight 9; b: a; c: z b", 3, window_span)
    assert data_of(dag, "c").selected_parent == name_id("b")


@both_ways
def test_of_equal_work_the_greater_id_is_selected(window_span: int | None) -> None:
    assert data_of(dag_of("g; a: g; b: g; c: b a", 3, window_span), "c").selected_parent == name_id("b")


@both_ways
def test_blue_work_decides_before_blue_score(window_span: int | None) -> None:
    dag = dag_of("g; a: g; b: a; c: b; y: g weight 50; z: y; m: c z", 3, window_span)
    assert data_of(dag, "c").blue_score > data_of(dag, "z").blue_score
    assert data_of(dag, "m").selected_parent == name_id("z")


@both_ways
def test_the_mergeset_is_ordered_with_blue_and_red_together(window_span: int | None) -> None:
    dag = dag_of("g; a: g; b: g; c: g; x: c; y: x; m: a b y", 1, window_span)
    data = data_of(dag, "m")
    assert spelled(data.mergeset) == "y a b"
    assert spelled(data.mergeset_blues) == "y"
    assert spelled(data.mergeset_reds) == "a b"
    assert data.blue_score == data_of(dag, "y").blue_score + 1


@both_ways
def test_k_is_the_greatest_anticone_of_a_blue(window_span: int | None) -> None:
    """Four parallel blocks: with k = 3 all are blue, with k = 2 the one coloured last is red."""
    text = "g; a: g; b: g; c: g; d: g; m: a b c d"
    assert spelled(data_of(dag_of(text, 3, window_span), "m").mergeset_blues) == "d a b c"
    data = data_of(dag_of(text, 2, window_span), "m")
    assert spelled(data.mergeset_blues) == "d a b"
    assert spelled(data.mergeset_reds) == "c"
    assert data.blues_anticone_sizes == {name_id("d"): 2, name_id("a"): 2, name_id("b"): 2}


@both_ways
def test_a_full_blue_keeps_others_out(window_span: int | None) -> None:
    """b sees only one blue outside its past, but a has its k = 1 already."""
    dag = dag_of("g; a: g weight 2; x: g; y: a x; b: x; c: b; m: y c", 1, window_span)
    assert data_of(dag, "y").blues_anticone_sizes[name_id("a")] == 1
    assert spelled(data_of(dag, "m").mergeset_reds) == "b c"


@both_ways
def test_sizes_of_earlier_blues_grow_in_later_maps(window_span: int | None) -> None:
    dag = dag_of("g; a: g; b: a; c: b; l: g; m: c l; n: m", 5, window_span)
    sizes = data_of(dag, "m").blues_anticone_sizes
    assert {spelled((block,)): size for block, size in sizes.items()} == {"c": 1, "b": 1, "a": 1, "l": 3}
    assert data_of(dag, "n").blues_anticone_sizes == {name_id("m"): 0}


@both_ways
def test_k_0_admits_only_the_selected_chain(window_span: int | None) -> None:
    data = data_of(dag_of("g; a: g; b: g; m: a b", 0, window_span), "m")
    assert (spelled(data.mergeset_blues), spelled(data.mergeset_reds)) == ("b", "a")


# One lane, one weight


@both_ways
def test_the_second_block_of_a_lane_is_red_and_weighs_nothing(window_span: int | None) -> None:
    dag = dag_of("g; a: g weight 3 lane 1.0; b: g weight 3 lane 1.0; m: a b lane 2.0", 5, window_span)
    data = data_of(dag, "m")
    assert (spelled(data.mergeset_blues), spelled(data.mergeset_reds)) == ("b", "a")
    assert data.blue_work == 1 + 3


@both_ways
def test_blocks_of_other_lanes_stay_blue(window_span: int | None) -> None:
    dag = dag_of("g; a: g lane 1.0; b: g lane 1.1; m: a b lane 2.0", 5, window_span)
    assert data_of(dag, "m").mergeset_reds == ()


@both_ways
def test_of_three_in_one_mergeset_the_first_in_order_keeps_its_weight(window_span: int | None) -> None:
    text = "g; a: g lane 1.0; b: g lane 1.0; c: g lane 1.0; z: g lane 1.1; m: a b c z lane 2.0"
    data = data_of(dag_of(text, 5, window_span), "m")
    assert (spelled(data.mergeset_blues), spelled(data.mergeset_reds)) == ("z a", "b c")


@both_ways
def test_a_lane_block_in_the_selected_parents_past_comes_first(window_span: int | None) -> None:
    """z is merged by m first, so b is second in n's view, though b is less by ORDER."""
    dag = dag_of(
        "g; b: g lane 1.0; z: g lane 1.0; y: g lane 1.1; m: z y lane 2.0; n: m b lane 3.0", 5, window_span
    )
    assert spelled(data_of(dag, "n").mergeset_reds) == "b"


@both_ways
def test_a_lane_block_outside_the_view_takes_no_weight(window_span: int | None) -> None:
    """A function of the past alone: c is known, but not to m."""
    dag = dag_of(
        "g; a: g lane 1.0; c: g lane 1.0; z: g lane 1.1; m: a z lane 2.0; n: c z lane 2.1", 5, window_span
    )
    assert data_of(dag, "m").mergeset_reds == ()
    assert data_of(dag, "n").mergeset_reds == ()


@both_ways
def test_a_red_first_of_a_lane_still_makes_the_second_red(window_span: int | None) -> None:
    """a is red by k and first in its lane; without it b would be blue."""
    text = "g; z: g weight 9 lane 1.1; y: z lane 2.1; x: z lane 2.2; a: g lane {}; b: z lane 2.0; m: y x a b lane 3.0"
    apart = data_of(dag_of(text.format("1.0"), 1, window_span), "m")
    assert (spelled(apart.mergeset_blues), spelled(apart.mergeset_reds)) == ("y b", "a x")
    together = data_of(dag_of(text.format("2.0"), 1, window_span), "m")
    assert (spelled(together.mergeset_blues), spelled(together.mergeset_reds)) == ("y x", "a b")


def test_lanes_list_their_blocks_in_order_of_arrival() -> None:
    dag = dag_of("g; b: g lane 1.0; a: g lane 1.0; c: g lane 1.1", 5)
    assert dag.lanes.get(b"\0\0\0\0\0\0\0\x01\0") == (name_id("b"), name_id("a"))


# Limits and errors


@both_ways
def test_the_mergeset_limit_does_not_count_the_selected_parent(window_span: int | None) -> None:
    dag = dag_of("g; a: g; b: g; c: g", 5, window_span)
    parents = tuple(map(name_id, "abc"))
    assert len(colour(dag, parents, limit=2).mergeset) == 3
    with pytest.raises(MergesetTooLarge) as caught:
        colour(dag, parents, limit=1)
    assert (caught.value.found, caught.value.limit) == (2, 1)
    with pytest.raises(MergesetTooLarge):
        ordered_mergeset(dag, name_id("c"), parents, limit=1)


@pytest.mark.parametrize("length", [200, 2_000])
def test_a_merge_bomb_costs_bounded_work(length: int) -> None:
    """A side chain of any length is refused after the same number of parents looked up."""
    names = [
        "g",
        "a: g weight 99999",
        *(f"s{n}: {f's{n - 1}' if n else 'g'}" for n in range(length)),
        "b: a",
        "c: b",
    ]
    dag = dag_of(";".join(names), 3)
    reads: list[bytes] = []

    class Counting(dict[bytes, tuple[bytes, ...]]):
        def get(self, key, default=None):  # type: ignore[no-untyped-def, override]
            reads.append(key)
            return super().get(key, default)

    dag.relations.parents.cache = Counting(dag.relations.parents.cache)
    with pytest.raises(MergesetTooLarge):
        colour(dag, (name_id("c"), name_id(f"s{length - 1}")), limit=180)
    assert len(reads) <= 181


def test_unknown_parents_are_an_error() -> None:
    dag = dag_of("g; a: g", 3)
    with pytest.raises(MissingRecord):
        colour(dag, (name_id("a"), name_id("x")))


def test_a_block_is_added_once() -> None:
    dag = dag_of("g; a: g", 3)
    with pytest.raises(BlockAlreadyInDag):
        dag.add(name_id("a"), (name_id("g"),), colour(dag, (name_id("g"),)))


# Functions of the past alone


@pytest.mark.parametrize("seed", range(6))
def test_arrival_order_changes_no_colouring(seed: int) -> None:
    rng = Random(seed)
    case = random_dag(rng, blocks=120, width=8, k=4, weights=(1, 2), withheld=10, bands=2)
    expected = colour_case(case)
    for span in (None, 0, 5, 20):
        dag = empty_dag(case, window_span=span)
        add_blocks(dag, shuffled_arrival(rng, case))
        for block in case.blocks:
            assert dag.data.get(block.id) == expected.data.get(block.id)


def test_colouring_changes_nothing() -> None:
    case = random_dag(Random(3), blocks=80, width=6, k=3, bands=2)
    asked, plain = empty_dag(case), empty_dag(case)
    for position, block in enumerate(case.blocks):
        add_blocks(plain, [block])
        if position:
            colour(asked, asked.relations.tips())
            data = colour(asked, block.parents)
            colour(asked, asked.relations.tips())
            colour(asked, block.parents)
            asked.add(block.id, block.parents, data)
        else:
            asked.add_genesis(block.id)
    assert all(asked.data.get(block.id) == plain.data.get(block.id) for block in case.blocks)


@pytest.mark.parametrize("window_span", [None, 0, 4, 5, 11])
def test_colourings_may_be_made_before_other_blocks_are_added(window_span: int | None) -> None:
    case = random_dag(Random(8), blocks=150, width=8, k=4, bands=2)
    expected = colour_case(case)
    dag = empty_dag(case, window_span=window_span)
    dag.add_genesis(case.genesis.id)
    ahead: dict[bytes, GhostdagData] = {}
    for number, block in enumerate(case.blocks[1:], 1):
        data = ahead.get(block.id) or colour(dag, block.parents)
        for later in case.blocks[number + 1 : number + 3]:
            if not dag.relations.missing_parents(later.parents):
                ahead[later.id] = colour(dag, later.parents)
        dag.add(block.id, block.parents, data)
        assert dag.data.get(block.id) == expected.data.get(block.id)


def test_both_ways_agree_on_old_and_recent_parents() -> None:
    """Parents far below the window, merged as templates and late blocks do."""
    rng = Random(5)
    case = layered_dag(rng, blocks=700, width=4, k=6)
    dag = colour_case(case, window_span=40)
    for _ in range(200):
        newest = rng.choice((len(case.blocks), rng.randrange(100, len(case.blocks))))
        drawn = [case.blocks[rng.randrange(max(0, newest - reach), newest)].id for reach in (5, 30, 200)]
        parents = [
            block
            for block in dict.fromkeys(drawn)
            if not any(other != block and dag.reachability.is_ancestor(block, other) for other in drawn)
        ]
        selected = select_parent(dag, parents)
        assert colour(dag, parents) == colour_by_walking(dag, selected, parents)


def test_the_window_answers_for_honest_blocks() -> None:
    """Only the first blocks after a start fall back to walking."""
    case = layered_dag(Random(2), blocks=600, width=6, k=18)
    dag = empty_dag(case)
    add_blocks(dag, case.blocks[:1])
    answered = 0
    for block in case.blocks[1:]:
        data = dag.window.colour(block.parents, None, lambda *_: False)
        answered += data is not None
        dag.add(block.id, block.parents, colour(dag, block.parents))
    assert answered == len(case.blocks) - 1


def test_k_above_the_windows_range_walks_the_tables() -> None:
    case = random_dag(Random(2), blocks=60, width=20, k=130)
    expected = colour_case(DagCase(127, case.blocks))
    assert all(colour_case(case).data.get(b.id) == expected.data.get(b.id) for b in case.blocks)


# Stored and read back


def write(dag: Dag, store: MemoryStore) -> None:
    batch = WriteBatch()
    dag.stage_into(batch)
    store.write(batch, sync=False)
    dag.commit()


@pytest.mark.parametrize("seed", range(3))
def test_a_dag_read_back_gives_equal_answers_and_grows_on(seed: int) -> None:
    rng = Random(seed)
    case = random_dag(rng, blocks=240, width=6, k=4, weights=(1, 2), withheld=12, bands=2)
    expected = colour_case(case)
    store = MemoryStore()
    for start in range(0, 240, 60):
        dag = empty_dag(case, store)  # opened anew: caches and window are empty
        for block in case.blocks[start : start + 60]:
            if block.parents:
                dag.add(block.id, block.parents, colour(dag, block.parents))
            else:
                dag.add_genesis(block.id)
            dag.reachability.advance_root(block.id)
            write(dag, store)
    dag = empty_dag(case, store)
    assert dag.relations.tips() == expected.relations.tips()
    for block in case.blocks:
        assert dag.data.get(block.id) == expected.data.get(block.id)
        assert dag.relations.parents.get(block.id) == expected.relations.parents.get(block.id)
        other = rng.choice(case.blocks).id
        answer = expected.reachability.is_ancestor(block.id, other)
        assert dag.is_ancestor(block.id, other) == dag.reachability.is_ancestor(block.id, other) == answer
        if block.lane:
            assert dag.lanes.get(block.lane) == expected.lanes.get(block.lane)


@pytest.mark.parametrize("capacity", [2, 16, 100])
def test_small_caches_change_no_answer(capacity: int) -> None:
    rng = Random(capacity)
    case = random_dag(rng, blocks=200, width=5, k=3, withheld=10, bands=1)
    expected = colour_case(case)
    store = MemoryStore()
    dag = Dag(expected.rules, store, capacity=capacity, window_span=10)
    for number, block in enumerate(case.blocks):
        if block.parents:
            dag.add(block.id, block.parents, colour(dag, block.parents))
        else:
            dag.add_genesis(block.id)
        if number % 7 == 0:
            write(dag, store)
    assert all(dag.data.get(block.id) == expected.data.get(block.id) for block in case.blocks)


@pytest.mark.parametrize("window_span", [None, 12])
def test_discarded_blocks_leave_no_trace(window_span: int | None) -> None:
    rng = Random(9)
    case = random_dag(rng, blocks=150, width=6, k=3, weights=(1, 2), withheld=8, bands=1)
    expected = colour_case(case)
    store = MemoryStore()
    dag = empty_dag(case, store, window_span=window_span)
    dag.add_genesis(case.genesis.id)
    write(dag, store)
    done = 1
    while done < len(case.blocks):
        ahead = rng.randint(1, 30)
        for block in case.blocks[done : done + ahead]:
            dag.add(block.id, block.parents, colour(dag, block.parents))
        if rng.random() < 0.6:
            dag.discard()
            assert not dag.has(case.blocks[done].id)
        else:
            write(dag, store)
            done += ahead
    assert all(dag.data.get(block.id) == expected.data.get(block.id) for block in case.blocks)
    assert dag.relations.tips() == expected.relations.tips()


def test_a_failed_add_is_undone_by_discard() -> None:
    store = MemoryStore()
    case = parse_dag("g; a: g; b: g", k=3)
    dag = empty_dag(case, store)
    add_blocks(dag, case.blocks[:1])
    data = colour(dag, (name_id("g"),))
    unknown = DagBlock(name_id("u"), (name_id("g"),))
    with pytest.raises(KeyError):
        dag.add(unknown.id, unknown.parents, data)  # its lane is not known to the rules
    write_failed = WriteBatch()
    dag.discard()
    dag.stage_into(write_failed)
    assert not dag.has(unknown.id)
