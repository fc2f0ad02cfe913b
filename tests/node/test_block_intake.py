"""Blocks that come in at the same moment, parents and children by different ways."""

import trio
from builders.chain import Workshop, devnet, new_engine
from builders.live_node import Lines

from consensus.stores import read_header
from ledger.storage.memory import MemoryStore
from node.chain_context import ChainContext
from node.chain_writer import ChainWriter
from node.env import InlineWorkers
from node.flows.block_intake import (
    MAX_BATCH,
    BlockIntake,
    IncomingBlock,
    IntakeOutlets,
    MissingBlocks,
    Source,
)
from node.flows.finality_floor import FinalityFloor
from node.mempool import Mempool, MempoolLimits
from node.metrics import Metrics
from node.signatures import SignatureVerifier


async def test_a_parent_that_arrives_while_its_child_is_refused_for_lack_of_it_frees_the_child(
    autojump_clock: object,
) -> None:
    """The answers about a batch are read one by one; until the child's turn has come, the writer has taken the parent
    in by another way."""
    shop = Workshop(devnet())
    others = [f"other{slot}" for slot in range(1, MAX_BATCH)]
    for slot, name in enumerate(others, start=1):
        shop.make(name, ["genesis"], slot=slot, band=1)
    shop.make("parent", ["genesis"], slot=1)
    shop.make("child", ["parent"], slot=2)
    parent, child = shop.prepared("parent", "child")
    for _ in range(10):
        store = MemoryStore()
        engine = new_engine(shop.chain, store)
        writer = ChainWriter(engine, InlineWorkers())
        missing, to_fetch = trio.open_memory_channel[MissingBlocks](8)
        lagging, _lagging = trio.open_memory_channel[str](8)
        publish, _publish = trio.open_memory_channel(8)
        intake = BlockIntake(
            ChainContext(
                shop.chain.genesis,
                engine.params,
                engine.rules,
                engine.registry,
                engine.schedule,
                store,
                lambda: 0,
            ),
            writer,
            SignatureVerifier(InlineWorkers(), engine.rules),
            Mempool(MempoolLimits(), lambda _: 1, lambda _: 0, lambda _a, _b: 0, lambda _: 0),
            IntakeOutlets(missing, lagging, publish),
            FinalityFloor(store, lambda: engine.genesis_id),  # noqa: B023
            report=lambda _peer, _fault: None,
            metrics=Metrics(process=False),
            log=Lines(),  # type: ignore[arg-type]
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(writer.run)
            await nursery.start(intake.run)
            for block in (*shop.prepared(*others), child):
                assert intake.put_nowait(IncomingBlock(block, "peer", 100, Source.GOSSIP))
            while read_header(store, shop.id(others[-1])) is None:
                await trio.lowlevel.checkpoint()
            await intake.take([parent])
            await trio.sleep(1)
            assert len(intake.orphans) == 0 and read_header(store, child.block_id) is not None
            nursery.cancel_scope.cancel()
        to_fetch.close()
