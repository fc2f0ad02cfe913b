"""Operations per block don't grow with the DAG (architecture.md, easily done wrong: GHOSTDAG over the whole past).

Counted are look-ups in the tables of the `Dag`, not time.
"""

from random import Random
from typing import Any

import pytest
from builders.dag import add_blocks, empty_dag, layered_dag, random_dag

from consensus.ghostdag import Dag
from consensus.tables import Table


class CountingCache(dict[bytes, Any]):
    """A table's cache that counts how often it is asked."""

    reads = 0

    def get(self, key: bytes, default: Any = None) -> Any:
        CountingCache.reads += 1
        return super().get(key, default)


def count_reads(dag: Dag) -> None:
    tables: list[Table[Any]] = [
        dag.data,
        dag.lanes,
        dag.relations.parents,
        dag.relations.children,
        dag.reachability._intervals,
        dag.reachability._links,
        dag.reachability._covering,
    ]
    for table in tables:
        table.cache = CountingCache(table.cache)


def reads_per_block(blocks: int, window_span: int | None, *, width: int, k: int) -> tuple[float, float]:
    """Over 1,000 blocks early in the DAG, and over the last 1,000."""
    case = layered_dag(Random(1), blocks=blocks, width=width, k=k)
    dag = empty_dag(case, window_span=window_span)
    count_reads(dag)
    add_blocks(dag, case.blocks[:500])
    CountingCache.reads = 0
    add_blocks(dag, case.blocks[500:1_500])
    early = CountingCache.reads / 1_000
    add_blocks(dag, case.blocks[1_500:-1_000])
    CountingCache.reads = 0
    add_blocks(dag, case.blocks[-1_000:])
    return early, CountingCache.reads / 1_000


@pytest.mark.parametrize(("window_span", "blocks"), [(None, 20_000), (0, 8_000)], ids=["window", "walking"])
def test_reads_per_block_do_not_grow_with_the_dag(window_span: int | None, blocks: int) -> None:
    early, late = reads_per_block(blocks, window_span, width=6, k=18)
    assert late <= 1.2 * early
    assert late <= (60 if window_span is None else 600)


def test_reads_per_block_do_not_grow_with_a_withheld_chain() -> None:
    """Old side chains, released: each costs once, when merged."""
    case = random_dag(Random(4), blocks=3_000, width=6, k=5, withheld=20)
    dag = empty_dag(case)
    count_reads(dag)
    add_blocks(dag, case.blocks[:500])
    CountingCache.reads = 0
    add_blocks(dag, case.blocks[500:1_500])
    early = CountingCache.reads
    CountingCache.reads = 0
    add_blocks(dag, case.blocks[1_500:2_500])
    assert CountingCache.reads <= 1.5 * early
