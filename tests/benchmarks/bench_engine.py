"""Blocks through the engine's door: `PYTHONPATH=tests python tests/benchmarks/bench_engine.py`.

Six lanes, each slot's blocks on all tips of the slot before, as honest proposers with delays below a slot make them;
on LevelDB, one synced batch per call. Printed: blocks/s of `process_block`, and of `process_blocks` in batches of 32,
with 0 and with 100 transfers per block, and what a block costs to make from a template. Transactions are decoded and
verified before, as in the node. What the disk costs is the difference to the same run on a store in memory.
"""

import sys
import tempfile
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from time import perf_counter

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from builders.blocks import FoundedChain, chain_of
from builders.chain import new_engine, propose
from builders.ledger import devnet_genesis, transfer

from consensus.events import BlockRefused
from consensus.prepare import PreparedBlock
from consensus.stores import SCHEMA_VERSION
from ledger.addresses import address_of
from ledger.storage.database import Database
from ledger.storage.memory import MemoryStore
from ledger.storage.store import Store
from ledger.transactions import SignedTransaction
from wnsp.spectrum import BAND_COUNT

SLOTS = 100
SENDERS_PER_LANE = 50
BATCH_BLOCKS = 32
WARM_UP_SLOTS = 10
ROUNDS = 3


def found() -> FoundedChain:
    """Six validators, and senders enough that the lanes of a slot carry different ones."""
    genesis, keys, accounts = devnet_genesis(validators=6, accounts=BAND_COUNT * SENDERS_PER_LANE)
    return chain_of(genesis, keys, accounts)


def make_blocks(chain: FoundedChain, transfers: int) -> tuple[list[PreparedBlock], float]:
    """All blocks in order, and seconds per template."""
    engine = new_engine(chain)
    nonces = [0] * len(chain.accounts)
    recipients = [address_of(key.public_key) for key in chain.accounts]
    targets = count()
    blocks: list[PreparedBlock] = []
    took_s = 0.0
    for slot in range(1, SLOTS + 1):
        made = []
        for band in range(BAND_COUNT):
            candidates: list[SignedTransaction] = []
            for number in range(transfers):
                sender = band * SENDERS_PER_LANE + number % SENDERS_PER_LANE
                to = recipients[next(targets) % len(recipients)]
                candidates.append(transfer(chain.accounts[sender], chain.rules, nonces[sender], to, 1))
                nonces[sender] += 1
            started = perf_counter()
            made.append(propose(engine, chain, slot, band, candidates))
            took_s += perf_counter() - started
        for block in made:
            assert len(block.transactions) == transfers
            engine.process_block(block)
        blocks.extend(made)
    return blocks, took_s / len(blocks)


def blocks_per_s(chain: FoundedChain, store: Store, blocks: Sequence[PreparedBlock], batch: int) -> float:
    """Blocks per second in calls of `batch` blocks, after some slots to warm up."""
    engine = new_engine(chain, store)
    warm = WARM_UP_SLOTS * BAND_COUNT
    engine.process_blocks(blocks[:warm])
    timed = blocks[warm:]
    started = perf_counter()
    if batch == 1:
        for block in timed:
            engine.process_block(block)
    else:
        for at in range(0, len(timed), batch):
            for event in engine.process_blocks(timed[at : at + batch]):
                assert not isinstance(event, BlockRefused), event.error
    took_s = perf_counter() - started
    assert engine.head.slot == SLOTS
    return len(timed) / took_s


def best(measure: Callable[[], float]) -> float:
    return max(measure() for _ in range(ROUNDS))


def on_disk(chain: FoundedChain, blocks: Sequence[PreparedBlock], batch: int) -> float:
    with tempfile.TemporaryDirectory() as directory:
        database = Database(Path(directory) / "db", schema_version=SCHEMA_VERSION, min_free_bytes=0)
        try:
            return blocks_per_s(chain, database, blocks, batch)
        finally:
            database.close()


def run() -> dict[str, float]:
    """Print all figures and return them."""
    chain = found()
    figures: dict[str, float] = {}
    for transfers in (0, 100):
        blocks, template_s = make_blocks(chain, transfers)
        for batch in (1, BATCH_BLOCKS):
            label = f"{transfers} transfers, calls of {batch}"
            disk = best(lambda: on_disk(chain, blocks, batch))  # noqa: B023
            memory = best(lambda: blocks_per_s(chain, MemoryStore(), blocks, batch))  # noqa: B023
            figures[f"LevelDB blocks/s, {label}"] = disk
            figures[f"memory blocks/s, {label}"] = memory
            if transfers:
                figures[f"LevelDB transfers/s, {label}"] = disk * transfers
        figures[f"template ms, {transfers} transfers (signed and prepared)"] = template_s * 1_000
    for figure, value in figures.items():
        print(f"{figure:>52} {value:12.2f}")
    return figures


if __name__ == "__main__":
    run()
