"""Incremental colouring equals the plain definition, on thousands of random DAGs a run.

`builders.definition_checker` imports nothing of ours and counts everything over whole sets. Seeds are fixed; a failure
names its batch and number.
"""

from collections.abc import Iterator
from random import Random

import pytest
from builders.dag import DagCase, colour_case, parse_dag, random_dag
from builders.definition_checker import Defined, DefinedBlock, define

from consensus.ghostdag import Dag

BATCHES = 18
DAGS_PER_BATCH = 150

SPANS = (None, 0, 7)
"""Window as in the node; no window; one so short that most colourings begin inside and end by walking."""


def drawn_case(rng: Random) -> DagCase:
    """Small k and low widths give many reds, large k and high widths many blues."""
    k = rng.choice((0, 0, 1, 2, 3, 5, 8, 12, 18))
    return random_dag(
        rng,
        blocks=rng.choice((6, 12, 20, 30, 45)),
        width=rng.randint(1, k + 8),
        k=k,
        weights=rng.choice(((1,), (1, 2), (1, 1, 1_000), (3, 5, 7))),
        withheld=rng.choice((0, 0, 3, 12)),
        bands=rng.choice((0, 1, 2, 6)),
        max_parents=rng.choice((2, 4, 12)),
    )


def defined_case(case: DagCase) -> list[Defined]:
    position_of = {block.id: position for position, block in enumerate(case.blocks)}
    blocks = [
        DefinedBlock(b.id, tuple(position_of[parent] for parent in b.parents), b.weight, b.lane)
        for b in case.blocks
    ]
    return define(blocks, case.k)


def differences(case: DagCase, dag: Dag, defined: list[Defined]) -> Iterator[str]:
    """What a colouring has otherwise than the definition."""
    ids = [block.id for block in case.blocks]
    position_of = {block: position for position, block in enumerate(ids)}
    for position, expected in enumerate(defined):
        data = dag.data.get(ids[position])
        if data.blue_score != expected.blue_score or data.blue_work != expected.blue_work:
            yield f"{position}: score or work"
        if position and position_of[data.selected_parent] != expected.selected_parent:
            yield f"{position}: selected parent"
        for found, wanted in (
            (data.mergeset, expected.mergeset),
            (data.mergeset_blues, expected.mergeset_blues),
            (data.mergeset_reds, expected.mergeset_reds),
        ):
            if [position_of[block] for block in found] != list(wanted):
                yield f"{position}: merge set {found}"
        if sizes_in_view(dag, ids[position]) != {ids[at]: size for at, size in expected.sizes.items()}:
            yield f"{position}: anticone sizes"


def sizes_in_view(dag: Dag, block: bytes) -> dict[bytes, int]:
    """All anticone sizes that the maps along the selected chain say, the newest of each blue."""
    sizes: dict[bytes, int] = {}
    for link in dag.reachability.chain_down(block):
        sizes = {**dag.data.get(link).blues_anticone_sizes, **sizes}
    return sizes


@pytest.mark.parametrize("batch", range(BATCHES))
def test_colouring_equals_the_definition_on_random_dags(batch: int) -> None:
    reds = 0
    for number in range(DAGS_PER_BATCH):
        rng = Random(f"definition {batch} {number}")
        case = drawn_case(rng)
        defined = defined_case(case)
        reds += sum(len(block.mergeset_reds) for block in defined)
        dag = colour_case(case, window_span=SPANS[number % len(SPANS)])
        assert list(differences(case, dag, defined)) == [], f"batch {batch}, number {number}"
    assert reds > 500


def test_the_definition_itself_reproduces_the_example_of_the_readme() -> None:
    case = parse_dag("g; a: g; b: g; c: g; d: g; m: a b c d", k=2)
    block = defined_case(case)[-1]
    assert (block.blue_score, block.mergeset_blues, block.mergeset_reds) == (4, (4, 1, 2), (3,))


def test_every_way_equals_the_definition_on_a_long_dag() -> None:
    rng = Random("long")
    case = random_dag(rng, blocks=500, width=8, k=5, weights=(1, 2), withheld=25, bands=3)
    defined = defined_case(case)
    for span in (None, 0, 30, 100):
        assert list(differences(case, colour_case(case, window_span=span), defined)) == []
