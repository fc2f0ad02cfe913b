"""The way of a prepared block into the DAG: its transactions' signatures, the writer, and the wait for its parents.

Blocks come in through a bounded queue (256; a gossiped block that finds it full is ignored) and go on in batches: the
signatures of batch n+1 are verified while batch n is written. A block without its parents waits in the orphan pool,
and the peer that sent it is asked for them; what is too far ahead for that is left to synchronisation. A block that
cannot be judged yet is tried again when the head has moved; what is older than the finalised checkpoint does not wait.
"""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

import trio

from consensus.errors import (
    BelowBase,
    BlockNotJudged,
    BodyMismatch,
    InvalidBlock,
    MissingParents,
    TransactionInvalid,
)
from consensus.prepare import PreparedBlock
from consensus.stores import read_header
from ledger.errors import SignatureInvalid
from node.chain_context import ChainContext
from node.chain_writer import ChainWriter, ChainWriterClosed, PendingBlock
from node.flows.finality_floor import FinalityFloor
from node.flows.verdicts import consequence_of
from node.logs import Log
from node.mempool import Mempool
from node.metrics import Metrics
from node.orphans import Orphan, OrphanPool, PostponedBlocks
from node.signatures import SignatureVerifier
from p2p.network import PeerId
from p2p.peers import Fault

T = TypeVar("T")

MAX_QUEUED = 256
MAX_BATCH = 32
MAX_BATCHES_IN_FLIGHT = 4
MAX_ORPHAN_DEPTH = 4
"""Generations of missing parents that are fetched one by one; what lies deeper is a matter of synchronisation."""
TRY_AGAIN_EVERY_S = 0.5
"""Postponed blocks, while the head moves."""
EXPIRE_EVERY_S = 5.0

AddError = InvalidBlock | BodyMismatch | MissingParents | BlockNotJudged | BelowBase
"""Why a block was not added."""


class Source(Enum):
    """How a block came to us."""

    GOSSIP = "gossip"
    FETCHED = "fetched"
    """Asked for: whoever serves a block vouches for it."""
    OWN = "own"


@dataclass(frozen=True, slots=True)
class IncomingBlock:
    """A block that is valid in isolation."""

    prepared: PreparedBlock
    peer: PeerId
    """Who sent it; "" for ourselves."""
    size: int
    """Bytes of the encoded block."""
    source: Source
    depth: int = 0
    """See `Orphan.depth`."""
    publish: bool = False
    """Whether we gossip it once it is in the DAG: nobody has forwarded it on our word."""
    since_s: float | None = None
    """See `Orphan.since_s`."""


@dataclass(frozen=True, slots=True)
class MissingBlocks:
    """Blocks to fetch: an orphan waits for them."""

    ids: tuple[bytes, ...]
    peer: PeerId
    """Ask this one first: it sent the orphan."""
    depth: int
    """Of the blocks asked for, see `Orphan.depth`."""
    publish: bool = False
    """See `IncomingBlock.publish`."""


@dataclass(frozen=True, slots=True)
class IntakeOutlets:
    """Where the intake puts what others act on. Bounded; what finds an outlet full is dropped: the same need comes up
    again with the next block."""

    missing: trio.MemorySendChannel[MissingBlocks]
    """To whoever fetches blocks."""
    lagging: trio.MemorySendChannel[PeerId]
    """Peers whose blocks have ancestors that fetching does not bring us, to synchronisation."""
    publish: trio.MemorySendChannel[PreparedBlock]
    """Blocks in the DAG that nobody has forwarded yet, to gossip."""


class BlockIntake:
    """One per node. `run` is the service."""

    def __init__(
        self,
        chain: ChainContext,
        writer: ChainWriter,
        verifier: SignatureVerifier,
        mempool: Mempool,
        outlets: IntakeOutlets,
        floor: FinalityFloor,
        *,
        report: Callable[[PeerId, Fault], None],
        metrics: Metrics,
        log: Log,
        orphans: OrphanPool | None = None,
    ) -> None:
        self._chain = chain
        self._writer = writer
        self._verifier = verifier
        self._mempool = mempool
        self._outlets = outlets
        self._floor = floor
        self._report = report
        self._metrics = metrics
        self._log = log
        self.orphans = OrphanPool() if orphans is None else orphans
        self.postponed = PostponedBlocks()
        self._send, self._receive = trio.open_memory_channel[IncomingBlock](MAX_QUEUED)
        self._handled: dict[bytes, None] = {}
        self._ready: list[Orphan] = []
        self._has_ready = trio.Event()
        self._in_flight = trio.Semaphore(MAX_BATCHES_IN_FLIGHT)

    def handles(self, block_id: bytes) -> bool:
        """Whether the block is on its way or waits."""
        return block_id in self._handled or block_id in self.orphans or block_id in self.postponed

    def put_nowait(self, block: IncomingBlock) -> bool:
        """Queue it; False when the queue is full."""
        try:
            self._send.send_nowait(block)
        except trio.WouldBlock:
            return False
        self._handled[block.prepared.block_id] = None
        return True

    async def put(self, block: IncomingBlock) -> None:
        """Queue it; waits while the queue is full."""
        self._handled[block.prepared.block_id] = None
        await self._send.send(block)

    async def take(self, blocks: Sequence[PreparedBlock]) -> tuple[AddError | None, ...]:
        """Verify, add and wait, for whoever brings blocks in order (synchronisation, our own). One answer per block:
        None when it is in the DAG. Errors: `ChainWriterClosed`."""
        answers: list[AddError | None] = list(await self.verify(blocks))
        good = [at for at, error in enumerate(answers) if error is None]
        for at, error in zip(good, await self.add([blocks[at] for at in good]), strict=True):
            answers[at] = error
        return tuple(answers)

    async def add(self, blocks: Sequence[PreparedBlock]) -> tuple[AddError | None, ...]:
        """The second half of `take`, for blocks whose signatures are verified."""
        pending = await self._writer.enqueue_all(blocks)
        answers: list[AddError | None] = []
        for block, waiting in zip(blocks, pending, strict=True):
            try:
                await waiting.wait()
            except (InvalidBlock, BodyMismatch, MissingParents, BlockNotJudged, BelowBase) as error:
                answers.append(error)
            else:
                answers.append(None)
                self._note_added(block)
        return tuple(answers)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._expire)
            nursery.start_soon(self._settle_orphans)
            nursery.start_soon(self._try_postponed)
            task_status.started()
            async for first in self._receive:
                batch = [first]
                while len(batch) < MAX_BATCH:
                    try:
                        batch.append(self._receive.receive_nowait())
                    except trio.WouldBlock:
                        break
                await self._start_batch(batch, nursery)

    async def _start_batch(self, batch: Sequence[IncomingBlock], nursery: trio.Nursery) -> None:
        started_s = trio.current_time()
        errors = await self.verify([one.prepared for one in batch])
        self._metrics.validation_seconds.labels("signatures").observe(trio.current_time() - started_s)
        await self._in_flight.acquire()
        pending: list[tuple[IncomingBlock, PendingBlock]] = []
        try:
            for incoming, error in zip(batch, errors, strict=True):
                if error is None:
                    pending.append((incoming, await self._writer.enqueue(incoming.prepared)))
                else:
                    self._refused(incoming, error)
        except ChainWriterClosed:
            self._in_flight.release()
            return
        nursery.start_soon(self._settle_batch, pending)

    async def _settle_batch(self, pending: Sequence[tuple[IncomingBlock, PendingBlock]]) -> None:
        started_s = trio.current_time()
        try:
            for incoming, waiting in pending:
                await self._settle(incoming, waiting)
        finally:
            self._in_flight.release()
        self._metrics.validation_seconds.labels("write").observe(trio.current_time() - started_s)

    async def _settle_orphans(self) -> None:
        """Orphans whose parents have come are verified already: straight to the writer."""
        while True:
            await self._has_ready.wait()
            self._has_ready = trio.Event()
            ready, self._ready = self._ready, []
            queued: list[tuple[IncomingBlock, PendingBlock]] = []
            for orphan in ready:
                incoming = IncomingBlock(
                    orphan.prepared,
                    orphan.peer,
                    orphan.size,
                    Source.GOSSIP,
                    orphan.depth,
                    orphan.publish,
                    orphan.since_s,
                )
                self._handled[orphan.prepared.block_id] = None
                try:
                    queued.append((incoming, await self._writer.enqueue(orphan.prepared)))
                except ChainWriterClosed:
                    return
            for incoming, waiting in queued:
                await self._settle(incoming, waiting)

    async def _settle(self, incoming: IncomingBlock, waiting: PendingBlock) -> None:
        """What the writer said."""
        try:
            await waiting.wait()
        except MissingParents as error:
            self._handled.pop(incoming.prepared.block_id, None)
            self._wait_for_parents(incoming, error)
        except BlockNotJudged as error:
            self._handled.pop(incoming.prepared.block_id, None)
            self._postpone(incoming, error)
        except (InvalidBlock, BodyMismatch, BelowBase) as error:
            self._refused(incoming, error)
        else:
            self._handled.pop(incoming.prepared.block_id, None)
            self._note_added(incoming.prepared)
            if incoming.publish:
                offer(self._outlets.publish, incoming.prepared)

    def _note_added(self, prepared: PreparedBlock) -> None:
        self._mempool.on_block(
            [transaction.id for transaction in prepared.transactions], prepared.block.header.slot
        )
        ready = self.orphans.arrived(prepared.block_id)
        if ready:
            self._ready.extend(ready)
            self._has_ready.set()
        self._metrics.orphans.set(len(self.orphans))

    def _wait_for_parents(self, incoming: IncomingBlock, error: MissingParents) -> None:
        if incoming.prepared.block.header.slot <= self._floor.slot:
            # Walking back an old fork, parent by parent, would have no end; nothing of it can be merged.
            self._log.debug("old block without its parents", block=incoming.prepared.block_id)
            self.orphans.refused(incoming.prepared.block_id)
            return
        if incoming.depth >= MAX_ORPHAN_DEPTH:
            self._log.debug("ancestors too far away", block=incoming.prepared.block_id, peer=incoming.peer)
            offer(self._outlets.lagging, incoming.peer)
        orphan = _waiting(incoming)
        # The writer may have taken in parents since it answered: nobody would tell the pool of those any more.
        missing = [one for one in error.ids if read_header(self._chain.store, one) is None]
        if not missing:
            self._ready.append(orphan)
            self._has_ready.set()
            return
        wanted = self.orphans.add(orphan, missing, trio.current_time())
        self._metrics.orphans.set(len(self.orphans))
        wanted = tuple(one for one in wanted if one not in self._handled and one not in self.postponed)
        if wanted and incoming.depth < MAX_ORPHAN_DEPTH:
            offer(self._outlets.missing, MissingBlocks(wanted, incoming.peer, incoming.depth + 1))

    def _postpone(self, incoming: IncomingBlock, error: BlockNotJudged) -> None:
        """Nobody is to blame: the same block is good or bad for all once our chain has come that far."""
        self._log.debug("block not judged yet", block=incoming.prepared.block_id, reason=str(error))
        self.postponed.add(_waiting(incoming), self._writer.head.id, trio.current_time())

    async def _try_postponed(self) -> None:
        while True:
            await trio.sleep(TRY_AGAIN_EVERY_S)
            due = self.postponed.due(self._writer.head.id, trio.current_time())
            if due:
                self._ready.extend(due)
                self._has_ready.set()

    def _refused(self, incoming: IncomingBlock, error: InvalidBlock | BodyMismatch | BelowBase) -> None:
        block = incoming.prepared.block
        self._handled.pop(block.header_id, None)
        # Another copy of a block with false proofs may be right: its children wait for that.
        dropped = () if isinstance(error, BodyMismatch) else self.orphans.refused(block.header_id)
        self._metrics.orphans.set(len(self.orphans))
        self._log.warning(
            "block refused",
            block=block.header_id,
            slot=block.header.slot,
            proposer=block.header.proposer,
            peer=incoming.peer,
            source=incoming.source.value,
            rule=error.code,
            error=str(error),
            descendants_dropped=len(dropped),
        )
        fault = consequence_of(error).fault
        if incoming.source is Source.FETCHED and fault is not None:
            self._report(incoming.peer, fault)

    async def verify(self, blocks: Sequence[PreparedBlock]) -> tuple[InvalidBlock | None, ...]:
        """The signatures of all transactions of all blocks at once; for each block the first that fails."""
        transactions = [one for block in blocks for one in block.transactions]
        valid = await self._verifier.verify_each(transactions)
        errors: list[InvalidBlock | None] = []
        start = 0
        for block in blocks:
            results = valid[start : start + len(block.transactions)]
            start += len(block.transactions)
            errors.append(
                None if all(results) else TransactionInvalid(results.index(False), SignatureInvalid())
            )
        return tuple(errors)

    async def _expire(self) -> None:
        while True:
            await trio.sleep(EXPIRE_EVERY_S)
            gone = self.orphans.expire(trio.current_time())
            if gone:
                self._log.debug("orphans expired", blocks=len(gone))
            old = self.orphans.drop_up_to(self._floor.slot)
            if old:
                self._log.debug("orphans older than the finalised checkpoint dropped", blocks=len(old))
            for peer in self.orphans.overdue(trio.current_time()):
                offer(self._outlets.lagging, peer)
            self._metrics.orphans.set(len(self.orphans))


def _waiting(incoming: IncomingBlock) -> Orphan:
    return Orphan(
        incoming.prepared,
        incoming.peer,
        incoming.size,
        incoming.depth,
        publish=incoming.publish,
        since_s=incoming.since_s,
    )


def offer(outlet: trio.MemorySendChannel[T], value: T) -> None:
    """Put it there unless the outlet is full."""
    with contextlib.suppress(trio.WouldBlock, trio.BrokenResourceError):
        outlet.send_nowait(value)
