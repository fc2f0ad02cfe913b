"""The disk stays within the bound of consensus/README.md, Pruning, however long the chain lives."""

from pathlib import Path

from builders.history import MERGE_DEPTH_SLOTS, History, make_history, tiny_engine

from consensus.engine import Engine
from consensus.stores import SCHEMA_VERSION
from ledger.storage.database import Database

BLOCK_BYTES = 4_000
"""Records of a block with an empty body."""
SPACE_FACTOR = 2
"""What LevelDB holds of deleted and replaced entries until it compacts."""
WRITE_BUFFER_BYTES = 64 * 1024

EPOCH_SLOTS, PERIOD_SLOTS, FINALITY_LAG_SLOTS = 8, 8, 31
KEPT_SLOTS = (
    FINALITY_LAG_SLOTS + 2 * (FINALITY_LAG_SLOTS + MERGE_DEPTH_SLOTS) + 6 * EPOCH_SLOTS + 2 * PERIOD_SLOTS
)
"""With so short a retention the distances that judging needs decide."""


def live_through(engine: Engine, past: History) -> list[int]:
    """Size of the store at each block; pruned once a period."""
    store = engine.stores.store
    found = []
    last_period = 0
    for block in past.blocks:
        engine.process_blocks([engine.prepare_decoded(block.block, block.block.header.slot)])
        period = engine.head.slot // PERIOD_SLOTS
        if period > last_period:
            last_period = period
            while engine.prune() is not None:
                pass
            assert engine.head.slot - engine.base.slot <= KEPT_SLOTS or engine.base.slot == 0
        found.append(store.size_bytes())
    return found


def test_the_store_stays_within_its_bound_over_several_retentions(tmp_path: Path) -> None:
    past = make_history(7, 640, presence=0.3, odd=0.05)
    database = Database(
        tmp_path / "db",
        schema_version=SCHEMA_VERSION,
        min_free_bytes=0,
        write_buffer_bytes=WRITE_BUFFER_BYTES,
    )
    blocks_per_slot = len(past.blocks) / 640
    certificates = 640 // PERIOD_SLOTS * 600
    bound = (
        SPACE_FACTOR * (KEPT_SLOTS * blocks_per_slot * BLOCK_BYTES + certificates) + 8 * WRITE_BUFFER_BYTES
    )
    sizes = live_through(tiny_engine(past.chain, database), past)
    database.close()
    assert max(sizes) <= bound
