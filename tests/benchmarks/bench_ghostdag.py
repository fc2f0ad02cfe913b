"""Cost of adding a block to the DAG: `python tests/benchmarks/bench_ghostdag.py`.

A block is coloured and added: edges, reachability, colouring, lanes, the reindex root's moves; in memory, without
signatures. The DAGs are rounds of parallel blocks, each missing a tenth of the round before. Prints blocks/s at k = 18,
width 8 over the first 1,000 blocks beside the original's recorded constant and our own plain definition (over fewer
blocks: its cost grows with the DAG), the cost per block at 100,000 blocks over that at 1,000, and blocks/s at k = 124,
width 50. Goals: 30x, 1.5x, 500/s.
"""

import gc
import sys
import time
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from builders.dag import DagBlock, DagCase, add_blocks, empty_dag, layered_dag
from builders.definition_checker import DefinedBlock, define

ORIGINAL_BLOCKS_PER_S = 412
"""The original's block add at 1,000 blocks, k = 18, width 8: measured once on a 2-core machine, recorded."""

SERVED_BLOCKS_PER_S = 10
"""Rate of the network that k = 124 is made for."""

DEFINITION_BLOCKS = 250

ROUNDS = 9
CHUNK_BLOCKS = 1_000
CHUNKS = 5
LONG_DAG_BLOCKS = 100_000


def blocks_per_s(case: DagCase, *, window_span: int | None = None, rounds: int = ROUNDS) -> float:
    """The best of some rounds over the whole case."""
    return len(case.blocks) / min(add_all_s(case, window_span) for _ in range(rounds))


def add_all_s(case: DagCase, window_span: int | None) -> float:
    dag = empty_dag(case, window_span=window_span)
    gc.collect()
    gc.freeze()  # the case itself is no garbage to look through
    started = time.perf_counter()
    add_blocks(dag, case.blocks)
    return time.perf_counter() - started


def definition_blocks_per_s(case: DagCase) -> float:
    """The plain definition over whole sets, on the same DAG."""
    position_of = {block.id: position for position, block in enumerate(case.blocks)}
    blocks = [
        DefinedBlock(
            block.id, tuple(position_of[parent] for parent in block.parents), block.weight, block.lane
        )
        for block in case.blocks
    ]
    started = time.perf_counter()
    define(blocks, case.k)
    return len(blocks) / (time.perf_counter() - started)


def early_and_late_us(case: DagCase) -> tuple[float, float]:
    """Cost of a block, µs, over the first and over the last chunks of a long DAG: the quietest chunk of each."""
    dag = empty_dag(case)
    gc.collect()
    gc.freeze()
    span = CHUNK_BLOCKS * CHUNKS
    early = chunk_costs_us(dag, case.blocks[:span])
    add_blocks(dag, case.blocks[span:-span])
    late = chunk_costs_us(dag, case.blocks[-span:])
    return min(early), min(late)


def chunk_costs_us(dag, blocks: tuple[DagBlock, ...]) -> list[float]:  # type: ignore[no-untyped-def]
    costs = []
    for first in range(0, len(blocks), CHUNK_BLOCKS):
        started = time.perf_counter()
        add_blocks(dag, blocks[first : first + CHUNK_BLOCKS])
        costs.append((time.perf_counter() - started) * 1e6 / CHUNK_BLOCKS)
    return costs


def run() -> dict[str, float]:
    """Print all figures and return them."""
    narrow = layered_dag(Random(1), blocks=1_000, width=8, k=18)
    wide = layered_dag(Random(1), blocks=1_000, width=50, k=124)
    fast_at_first = blocks_per_s(narrow)
    early, late = early_and_late_us(layered_dag(Random(1), blocks=LONG_DAG_BLOCKS, width=8, k=18))
    wide_fast = blocks_per_s(wide, rounds=3)
    fast = max(
        fast_at_first, blocks_per_s(narrow)
    )  # two moments, so that a neighbour's burst is not the figure
    figures = {
        "k18_width8_blocks_per_s": fast,
        "original_blocks_per_s (recorded)": ORIGINAL_BLOCKS_PER_S,
        "ratio_to_original (goal >= 30)": fast / ORIGINAL_BLOCKS_PER_S,
        "walking_tables_blocks_per_s": blocks_per_s(narrow, window_span=0, rounds=3),
        "plain_definition_blocks_per_s": definition_blocks_per_s(
            DagCase(narrow.k, narrow.blocks[:DEFINITION_BLOCKS])
        ),
        "us_per_block_at_1k": early,
        "us_per_block_at_100k": late,
        "ratio_100k_to_1k (goal <= 1.5)": late / early,
        "k124_width50_blocks_per_s (goal >= 500)": wide_fast,
        "k124_ratio_to_10_blocks_per_s (goal >= 50)": wide_fast / SERVED_BLOCKS_PER_S,
    }
    for figure, value in figures.items():
        print(f"{figure:>42} {value:10.2f}")
    return figures


if __name__ == "__main__":
    run()
