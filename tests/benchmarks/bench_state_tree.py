"""Cost of the state tree: `python tests/benchmarks/bench_state_tree.py`.

Prints µs per updated account (batches of 1,000 random accounts, prepare and commit), seconds to build the tree, and the
memory that the tree holds, at 100,000 and 1,000,000 accounts.
"""

import gc
import random
import time
from collections.abc import Iterator

import psutil

from ledger.state_commitment import StateTree

BATCH_ACCOUNTS = 1_000
BATCHES = 30
KEY_PREFIX = b"a"


def account(number: int) -> bytes:
    """A key of the ledger's shape: a prefix byte and a 20-byte address."""
    return KEY_PREFIX + number.to_bytes(20, "big")


def contents(accounts: int) -> Iterator[tuple[bytes, bytes]]:
    """Every account with a value of 16 bytes."""
    return ((account(number), number.to_bytes(16, "big")) for number in range(accounts))


def measure(accounts: int) -> dict[str, float]:
    """Figures for a tree of `accounts` keys."""
    generator = random.Random(1)
    gc.collect()
    before = psutil.Process().memory_info().rss
    started = time.perf_counter()
    tree = StateTree.build(contents(accounts))
    build_s = time.perf_counter() - started
    gc.collect()
    held_mib = (psutil.Process().memory_info().rss - before) / 2**20
    batches = [
        {
            account(number): generator.randbytes(16)
            for number in generator.sample(range(accounts), BATCH_ACCOUNTS)
        }
        for _ in range(BATCHES)
    ]
    took_us = []
    for batch in batches:
        started = time.perf_counter()
        tree.commit(tree.prepare(batch))
        took_us.append((time.perf_counter() - started) * 1e6 / BATCH_ACCOUNTS)
    took_us.sort()
    return {
        "update_median_us": took_us[BATCHES // 2],
        "update_best_us": took_us[0],
        "build_s": build_s,
        "held_mib": held_mib,
    }


def run() -> dict[str, float]:
    """All figures, named `<accounts>_<figure>`."""
    figures = {}
    for accounts in (100_000, 1_000_000):
        figures.update({f"{accounts}_{name}": value for name, value in measure(accounts).items()})
    figures["peak_rss_mib"] = peak_rss_mib()
    return figures


def peak_rss_mib() -> float:
    """Greatest resident memory of this process so far."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    for figure, value in run().items():
        print(f"{figure:>28} {value:10.2f}")
