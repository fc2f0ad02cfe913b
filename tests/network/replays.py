"""The DAG of a run, validated again by fresh engines that know nothing of the network, in any topological order."""

import random
from collections.abc import Iterable, Sequence

from network.scenario import RuleBroken

from consensus.blocks import Block
from consensus.engine import Engine
from consensus.errors import BelowBase, BlockNotJudged, MissingParents
from consensus.prepare import prepare_decoded
from consensus.stores import blocks_by_slot, read_block
from consensus.votes import Checkpoint
from ledger.genesis import Genesis
from ledger.registry import KindRegistry
from ledger.storage.memory import MemoryStore
from ledger.storage.store import Reader


def blocks_of(store: Reader) -> list[Block]:
    """All blocks of a node's DAG but genesis, by slot."""
    found = [read_block(store, entry.block_id) for entry in blocks_by_slot(store, 1)]
    return [block for block in found if block is not None]


def fresh_engine(genesis: Genesis, registry: KindRegistry) -> Engine:
    """One that has seen nothing."""
    return Engine.open(MemoryStore(), genesis, registry)


def feed(engine: Engine, blocks: Sequence[Block], chance: random.Random) -> None:
    """All of `blocks`, in a topological order that `chance` picks. What cannot be judged yet comes again.

    Errors: `RuleBroken` when blocks are left that the engine does not take; faults of the engine.
    """
    waiting = {block.header_id: block for block in blocks}
    while waiting:
        order = [block for block in waiting.values() if not _waits(block, waiting)]
        chance.shuffle(order)
        taken = 0
        for block in order:
            prepared = prepare_decoded(
                block, engine.params, engine.rules, engine.registry, engine.schedule, block.header.slot
            )
            try:
                engine.process_block(prepared)
            except (BlockNotJudged, MissingParents, BelowBase):
                continue
            del waiting[block.header_id]
            taken += 1
            if chance.random() < 0.3:
                break  # so that whoever is ready now need not wait for the whole round
        if not taken:
            raise RuleBroken(f"{len(waiting)} blocks of the run are not taken by a fresh engine")


def _waits(block: Block, waiting: Iterable[bytes]) -> bool:
    return any(parent in waiting for parent in block.header.parents)


def outcome(engine: Engine) -> tuple[bytes, bytes, Checkpoint]:
    """Head, state root, finalised checkpoint."""
    return engine.head.id, engine.head.state_root, engine.finalised
