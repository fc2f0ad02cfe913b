"""The single writer: everything that changes the chain passes through one bounded queue, in order, on one thread.

Whatever has queued up by the time the thread is free is given to the engine as one batch, which resolves the virtual
chain once and syncs the disk once. What a batch changed goes to the subscribers.

Queues and what happens when they are full:

* requests (256): `submit` and `call` wait, so the pressure reaches whoever sends blocks;
* a subscription (256 updates): the subscriber loses all that is queued and gets `Resync` instead. The writer never
  waits for a subscriber.

A failing store or a contradiction in our own data is raised by `run`, which brings the node down; it is never an
answer to a caller.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, TypeVar

import trio

from consensus.engine import Engine
from consensus.events import BlockRefused, Event
from consensus.prepare import PreparedBlock
from consensus.stores import Base, Head
from consensus.votes import Checkpoint
from node.env import Workers

MAX_QUEUED_REQUESTS = 256
MAX_BATCH_BLOCKS = 64
"""So that a batch of full blocks stays within some seconds of work, and shutdown with it."""
MAX_QUEUED_UPDATES = 256

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ChainUpdate:
    """What one batch changed."""

    events: tuple[Event, ...]
    """In the order in which they happened."""
    head: Head
    """The head after the batch."""


@dataclass(frozen=True, slots=True)
class Resync:
    """Updates were lost because the subscriber was too slow: read the state anew from `head` on."""

    head: Head


class ChainWriterClosed(Exception):
    """The node is shutting down and takes no further work."""

    def __init__(self) -> None:
        super().__init__("the node is shutting down")


class Subscription:
    """One subscriber's bounded view of the updates. Use as `with writer.subscribe() as updates:`."""

    def __init__(self, writer: "ChainWriter", capacity: int) -> None:
        self._writer = writer
        self._capacity = capacity
        self._queue: deque[ChainUpdate] = deque()
        self._lost = False
        self._closed = False
        self._waiting = trio.lowlevel.ParkingLot()

    def __enter__(self) -> "Subscription":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer._subscriptions.remove(self)

    @property
    def head(self) -> Head:
        """The head of this moment."""
        return self._writer.head

    def _put(self, update: ChainUpdate) -> None:
        if len(self._queue) >= self._capacity:
            self._queue.clear()
            self._lost = True
        self._queue.append(update)
        self._waiting.unpark_all()

    def _end(self) -> None:
        self._closed = True
        self._waiting.unpark_all()

    async def receive(self) -> ChainUpdate | Resync:
        """The next update, or `Resync` when some were lost; waits for one. Errors: `trio.EndOfChannel` after the
        writer has ended and everything was received."""
        await trio.lowlevel.checkpoint()
        while not self._queue:
            if self._closed:
                raise trio.EndOfChannel
            await self._waiting.park()
        if self._lost:
            # What is still queued happened before the head that is read now.
            self._lost = False
            self._queue.clear()
            return Resync(self._writer.head)
        return self._queue.popleft()


@dataclass(slots=True, eq=False)
class _Request:
    """A block to process, or a job to run on the writer."""

    block: PreparedBlock | None = None
    job: Callable[[Engine], Any] | None = None
    expected: tuple[type[Exception], ...] = ()
    result: Any = None
    error: Exception | None = None
    done: trio.Event = field(default_factory=trio.Event)


class PendingBlock:
    """A block in the writer's queue."""

    __slots__ = ("_request",)

    def __init__(self, request: _Request) -> None:
        self._request = request

    async def wait(self) -> None:
        """Until the block is in the DAG. Errors as `ChainWriter.submit`."""
        await self._request.done.wait()
        if self._request.error is not None:
            raise self._request.error


class ChainWriter:
    """Owns the engine: nobody else calls what writes."""

    def __init__(
        self,
        engine: Engine,
        workers: Workers,
        *,
        observe: Callable[[float], None] | None = None,
    ) -> None:
        """`observe(seconds)` is told how long each batch took."""
        self._engine = engine
        self._workers = workers
        self._observe = observe
        self._send, self._receive = trio.open_memory_channel[_Request](MAX_QUEUED_REQUESTS)
        self._subscriptions: list[Subscription] = []
        self._closed = False

    @property
    def head(self) -> Head:
        """The head of the chain: an immutable record."""
        return self._engine.head

    @property
    def finalised(self) -> Checkpoint:
        """The finalised checkpoint; genesis at first."""
        return self._engine.finalised

    @property
    def base(self) -> Base:
        """The lowest chain block that is kept; genesis at first."""
        return self._engine.base

    @property
    def queued(self) -> int:
        """Requests that wait."""
        return self._receive.statistics().current_buffer_used

    def subscribe(self, *, capacity: int = MAX_QUEUED_UPDATES) -> Subscription:
        """Updates from now on."""
        subscription = Subscription(self, capacity)
        self._subscriptions.append(subscription)
        if self._closed:
            subscription._end()
        return subscription

    async def submit(self, block: PreparedBlock) -> None:
        """Add a block whose form and signatures are verified; returns when it is in the DAG, at once when it was there
        already. Waits while the queue is full.

        Errors: `InvalidBlock`, `MissingParents` about this block; `ChainWriterClosed`.
        """
        await (await self.enqueue(block)).wait()

    async def enqueue(self, block: PreparedBlock) -> PendingBlock:
        """The first half of `submit`: returns when the block has its place in the queue.

        Errors: `ChainWriterClosed`.
        """
        request = _Request(block=block)
        await self._queue(request)
        return PendingBlock(request)

    async def enqueue_all(self, blocks: Sequence[PreparedBlock]) -> tuple[PendingBlock, ...]:
        """`enqueue` for several, so that an idle writer takes them as one batch and not the first by itself.

        Errors: `ChainWriterClosed`.
        """
        requests = tuple(_Request(block=block) for block in blocks)
        for request in requests:
            try:
                self._send.send_nowait(request)
            except trio.WouldBlock:
                await self._queue(request)
            except (trio.ClosedResourceError, trio.BrokenResourceError):
                raise ChainWriterClosed from None
        return tuple(PendingBlock(request) for request in requests)

    async def call(self, job: Callable[[Engine], T], *, expected: tuple[type[Exception], ...] = ()) -> T:
        """Run `job(engine)` on the writer, in turn. An exception of the `expected` types is raised here; any other is
        the node's fault and ends `run`."""
        request = _Request(job=job, expected=expected)
        await self._queue(request)
        await request.done.wait()
        if request.error is not None:
            raise request.error
        result: T = request.result
        return result

    def close(self) -> None:
        """Take no further work. `run` finishes what is queued and returns."""
        if not self._closed:
            self._closed = True
            self._send.close()

    async def run(self) -> None:
        """Serve until `close` was called and the queue is empty. Errors: the store's, `ConsensusFault`, `LedgerFault`,
        and whatever nobody foresaw."""
        try:
            async for first in self._receive:
                batch = [first]
                while len(batch) < MAX_BATCH_BLOCKS:
                    try:
                        batch.append(self._receive.receive_nowait())
                    except (trio.WouldBlock, trio.EndOfChannel):
                        break
                await self._process(batch)
        finally:
            self.close()
            for subscription in self._subscriptions:
                subscription._end()

    async def _queue(self, request: _Request) -> None:
        try:
            await self._send.send(request)
        except (trio.ClosedResourceError, trio.BrokenResourceError):
            raise ChainWriterClosed from None

    async def _process(self, batch: Sequence[_Request]) -> None:
        started_s = trio.current_time()
        updates = await self._workers.run_writer(lambda: _apply(self._engine, batch))
        if self._observe is not None:
            self._observe(trio.current_time() - started_s)
        for update in updates:
            for subscription in self._subscriptions:
                subscription._put(update)
        for request in batch:
            request.done.set()


def _apply(engine: Engine, batch: Sequence[_Request]) -> list[ChainUpdate]:
    """On the writer's thread: neighbouring blocks together, jobs in their turn."""
    updates: list[ChainUpdate] = []
    at = 0
    while at < len(batch):
        request = batch[at]
        if request.job is not None:
            try:
                request.result = request.job(engine)
            except request.expected as error:
                request.error = error
            at += 1
            continue
        blocks: list[PreparedBlock] = []
        first = at
        while at < len(batch) and (block := batch[at].block) is not None:
            blocks.append(block)
            at += 1
        events = engine.process_blocks(blocks)
        errors = {event.block_id: event.error for event in events if isinstance(event, BlockRefused)}
        for one in batch[first:at]:
            one.error = None if one.block is None else errors.get(one.block.block_id)
        if events:
            updates.append(ChainUpdate(events, engine.head))
    return updates
