"""The single writer: order, batches, answers, subscribers that are too slow, faults, and the way out."""

import pytest
import trio
from builders.chain import Workshop, devnet, new_engine
from faults.faulty_store import FaultyDisk

from consensus.engine import Engine
from consensus.errors import MissingParents, SlotNotAvailable
from consensus.events import BlockAdded, ChainAdvanced
from ledger.storage.errors import StoreWriteFailed
from node.chain_writer import (
    MAX_QUEUED_REQUESTS,
    ChainUpdate,
    ChainWriter,
    ChainWriterClosed,
    Resync,
)
from node.env import InlineWorkers
from node.opening import running_writer


class CountingWorkers(InlineWorkers):
    """Counts jobs of the writer; with `gate` closed they wait."""

    def __init__(self) -> None:
        self.jobs = 0
        self.gate = trio.Event()
        self.gate.set()

    async def run_writer(self, job):  # type: ignore[no-untyped-def]
        await self.gate.wait()
        self.jobs += 1
        return await super().run_writer(job)


@pytest.fixture
def shop() -> Workshop:
    made = Workshop(devnet())
    made.script("a1: genesis; b1: genesis; a2: a1 b1; b2: a1 b1; a3: a2 b2 pay alice bob 5")
    return made


async def test_blocks_that_queue_up_are_one_batch_and_one_synced_write(shop: Workshop) -> None:
    disk = FaultyDisk(1)
    engine, workers = new_engine(shop.chain, disk.open()), CountingWorkers()
    writer = ChainWriter(engine, workers)
    founding = disk.synced_writes
    workers.gate = trio.Event()
    async with running_writer(writer), trio.open_nursery() as nursery:
        pending = [await writer.enqueue(block) for block in shop.prepared()]
        workers.gate.set()
        for one in pending:
            nursery.start_soon(one.wait)
    assert engine.head.id == shop.id("a3")
    assert workers.jobs <= 2
    assert disk.synced_writes - founding == workers.jobs


async def test_each_block_gets_its_own_answer(shop: Workshop) -> None:
    engine = new_engine(shop.chain)
    writer = ChainWriter(engine, InlineWorkers())
    a1, a3 = shop.prepared("a1", "a3")
    async with running_writer(writer):
        orphan, good = await writer.enqueue(a3), await writer.enqueue(a1)
        await good.wait()
        with pytest.raises(MissingParents) as caught:
            await orphan.wait()
        await writer.submit(a1)
    assert set(caught.value.ids) == {shop.id("a2"), shop.id("b2")}
    assert engine.head.id == shop.id("a1")


async def test_jobs_take_their_turn_among_blocks(shop: Workshop) -> None:
    engine, workers = new_engine(shop.chain), CountingWorkers()
    workers.gate = trio.Event()
    writer = ChainWriter(engine, workers)
    seen: list[bytes] = []

    def note(one: Engine) -> None:
        seen.append(one.head.id)

    async with running_writer(writer), trio.open_nursery() as nursery:
        for name in ("a1", "b1", "a2"):
            await writer.enqueue(shop.prepared(name)[0])
            nursery.start_soon(writer.call, note)
            await trio.testing.wait_all_tasks_blocked()
        workers.gate.set()
    assert seen[0] == shop.id("a1") and seen[2] == shop.id("a2")


async def test_an_expected_refusal_is_an_answer_and_the_writer_goes_on(shop: Workshop) -> None:
    writer = ChainWriter(new_engine(shop.chain), InlineWorkers())
    async with running_writer(writer):
        with pytest.raises(SlotNotAvailable):
            await writer.call(
                lambda engine: engine.build_block(0, 0, 0, reveal=bytes(32)), expected=(SlotNotAvailable,)
            )
        assert await writer.call(lambda engine: engine.head) == writer.head


async def test_subscribers_hear_of_every_batch_in_order(shop: Workshop) -> None:
    writer = ChainWriter(new_engine(shop.chain), InlineWorkers())
    async with running_writer(writer):
        with writer.subscribe() as updates:
            for block in shop.prepared():
                await writer.submit(block)
            heads: list[bytes] = []
            added: list[bytes] = []
            for _ in shop.blocks:
                update = await updates.receive()
                assert isinstance(update, ChainUpdate)
                added += [event.block_id for event in update.events if isinstance(event, BlockAdded)]
                heads += [event.head.id for event in update.events if isinstance(event, ChainAdvanced)]
    assert added == [block.header_id for block in shop.blocks.values()]
    assert heads[-1] == shop.id("a3")


async def test_a_slow_subscriber_gets_resync_and_never_stops_the_writer(shop: Workshop) -> None:
    writer = ChainWriter(new_engine(shop.chain), InlineWorkers())
    async with running_writer(writer):
        with writer.subscribe(capacity=2) as slow, writer.subscribe() as fast:
            for block in shop.prepared():
                await writer.submit(block)
            first = await slow.receive()
            assert isinstance(first, Resync) and first.head.id == shop.id("a3")
            assert isinstance(await fast.receive(), ChainUpdate)
            with trio.move_on_after(0.01) as patience:
                await slow.receive()
            assert patience.cancelled_caught


async def test_a_full_queue_makes_senders_wait(shop: Workshop) -> None:
    workers = CountingWorkers()
    workers.gate = trio.Event()
    writer = ChainWriter(new_engine(shop.chain), workers)
    block = shop.prepared("a1")[0]
    async with running_writer(writer):
        with trio.move_on_after(1) as patience:
            for _ in range(2 * MAX_QUEUED_REQUESTS):
                await writer.enqueue(block)
        assert patience.cancelled_caught
        assert writer.queued == MAX_QUEUED_REQUESTS
        workers.gate.set()


async def test_a_failing_store_ends_the_writer_and_is_no_answer(shop: Workshop) -> None:
    disk = FaultyDisk(1)
    writer = ChainWriter(new_engine(shop.chain, disk.open()), InlineWorkers())
    disk.fail_write(1)
    acknowledged = False

    async def submit() -> None:
        nonlocal acknowledged
        async with running_writer(writer):
            await writer.submit(shop.prepared("a1")[0])
            acknowledged = True

    with pytest.raises(BaseExceptionGroup) as caught:
        await submit()
    assert not acknowledged
    assert caught.group_contains(StoreWriteFailed)
    with pytest.raises(ChainWriterClosed):
        await writer.submit(shop.prepared("b1")[0])


async def test_on_the_way_out_everything_queued_is_written(shop: Workshop) -> None:
    engine, workers = new_engine(shop.chain), CountingWorkers()
    writer = ChainWriter(engine, workers)
    workers.gate = trio.Event()
    with trio.CancelScope() as scope:
        async with running_writer(writer):
            for block in shop.prepared():
                await writer.enqueue(block)
            workers.gate.set()
            scope.cancel()
    assert engine.head.id == shop.id("a3")
    with pytest.raises(ChainWriterClosed):
        await writer.call(lambda one: one.head)
