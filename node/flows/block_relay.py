"""Gossip of blocks: what comes in, what is forwarded, and what we publish.

The verdict is given at once, after everything that can be judged of the message alone: form, proofs, the schedule, and
that its lane was not seen twice. What needs other blocks or many signatures happens afterwards, in the intake. At most
two blocks of a lane are relayed (the second proves an equivocation); a further one is neither relayed nor kept, unless
some block refers to it, which then fetches it (reliability.md L6). A block of a later slot waits for its time (L9).

The schedule is our own view's: a block that does not fit it is refused where every view must agree (its epoch is
settled by our finalised checkpoint), else it is left to the engine, which judges it by its own past, and not forwarded.

From 2 kB of transactions on a block goes out compact. Whoever lacks some of them asks the sender, and forwards the
block when its body is whole.
"""

from collections.abc import Callable
from functools import partial as bound

import trio

from consensus.blocks import Block, Header, decode_block, encode_block
from consensus.errors import (
    BlockNotJudged,
    BodyMismatch,
    InvalidBlock,
    LaneEmpty,
    SlotInFuture,
    WrongProposer,
)
from consensus.params import epoch_at, first_slot_of_epoch, slot_start_ms
from consensus.prepare import PreparedBlock
from consensus.stores import read_header
from ledger.errors import CodecError
from node.chain_context import ChainContext
from node.chain_writer import ChainWriter
from node.flows.block_intake import BlockIntake, IncomingBlock, MissingBlocks, Source
from node.flows.compact_blocks import Completer, PartialBlock, bare_block, compact, expand
from node.flows.finality_floor import FinalityFloor
from node.flows.judging import BlockJudge
from node.flows.lane_book import Lane, LaneBook
from node.flows.recent_blocks import RecentBlocks
from node.flows.verdicts import consequence_of
from node.flows.wire import (
    COMPACT_FROM_BYTES,
    MAX_BLOCK_MESSAGE_BYTES,
    CompactBlock,
    block_message,
    blocks_topic,
    compact_message,
    read_block_message,
)
from node.logs import Log
from node.mempool import Mempool
from node.metrics import Metrics
from node.orphans import FutureBlock, FutureBlocks
from p2p.network import Network, PeerId, Verdict
from p2p.peers import Fault
from wnsp.spectrum import BAND_COUNT

FUTURE_HORIZON_SLOTS = 64
"""Blocks farther ahead than this are dropped: no clock is that wrong."""
PUBLISH_TIMEOUT_S = 5.0
GENESIS_EPOCHS = 2
"""Their schedules follow from the genesis document, whatever the chain."""


class BlockRelay:
    """One per node. `run` is the service."""

    def __init__(
        self,
        chain: ChainContext,
        writer: ChainWriter,
        intake: BlockIntake,
        judge: BlockJudge,
        completer: Completer,
        mempool: Mempool,
        network: Network,
        recent: RecentBlocks,
        floor: FinalityFloor,
        missing: trio.MemorySendChannel[MissingBlocks],
        *,
        report: Callable[[PeerId, Fault], None],
        metrics: Metrics,
        log: Log,
    ) -> None:
        self._chain = chain
        self._writer = writer
        self._intake = intake
        self._judge_alone = judge
        self._completer = completer
        self._mempool = mempool
        self._network = network
        self._recent = recent
        self._floor = floor
        self._missing = missing
        self._report = report
        self._metrics = metrics
        self._log = log
        self._topic = blocks_topic(chain.params.chain_id)
        self._lanes = LaneBook()
        self._future = FutureBlocks()

    async def run(
        self,
        publish: trio.MemoryReceiveChannel[PreparedBlock],
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Subscribe, then work until cancelled. `publish`: see `IntakeOutlets`."""
        await self._network.subscribe(self._topic, self.accept, max_bytes=MAX_BLOCK_MESSAGE_BYTES)
        task_status.started()
        async with trio.open_nursery() as nursery:
            await nursery.start(self._completer.run)
            nursery.start_soon(self._each_slot)
            async for prepared in publish:
                await self.publish(prepared.block)

    async def accept(self, peer: PeerId, raw: bytes) -> Verdict:
        """Judge a gossiped block. Never raises for what a peer sent."""
        started_s = trio.current_time()
        verdict = await self._judge(peer, raw)
        self._metrics.validation_seconds.labels("isolation").observe(trio.current_time() - started_s)
        self._metrics.messages.labels("blocks", verdict.value).inc()
        self._metrics.message_bytes.labels("blocks").inc(len(raw))
        return verdict

    async def publish(self, block: Block) -> None:
        """Gossip a block that is in our DAG."""
        self._lanes.note(_lane(block.header), block.header_id)
        raw = encode_block(block)
        self._recent.put(block, len(raw))
        if sum(map(len, block.transactions)) < COMPACT_FROM_BYTES:
            message = block_message(raw)
        else:
            message = compact_message(compact(block))
        await self._send(message, block.header_id)

    async def _send(self, message: bytes, block_id: bytes) -> None:
        with trio.move_on_after(PUBLISH_TIMEOUT_S) as patience:
            await self._network.publish(self._topic, message)
        if patience.cancelled_caught:
            self._log.warning("publishing a block took too long", block=block_id)

    # ---- judging

    async def _judge(self, peer: PeerId, raw: bytes) -> Verdict:
        try:
            message = read_block_message(raw)
            if isinstance(message, CompactBlock):
                return await self._judge_compact(peer, raw, message)
            return await self._judge_whole(peer, raw, message)
        except (CodecError, InvalidBlock, BodyMismatch, BlockNotJudged) as error:
            consequence = consequence_of(error)
            if consequence.verdict is Verdict.REJECT:
                self._log.warning("peer sent an invalid block", peer=peer, rule=error.code, error=str(error))
            if consequence.fault is not None and consequence.fault is not Fault.INVALID:
                # `Fault.INVALID` is what the guard below counts for every REJECT.
                self._report(peer, consequence.fault)
            return consequence.verdict

    async def _judge_whole(self, peer: PeerId, message: bytes, raw: bytes) -> Verdict:
        block = decode_block(raw)
        header, block_id = block.header, block.header_id
        if self._is_known(block_id):
            return Verdict.IGNORE
        try:
            prepared = await self._judge_alone.block(block, len(raw), self._chain.now_slot())
        except SlotInFuture:
            self._keep_for_later(FutureBlock(message, peer, header.slot, block_id), header)
            return Verdict.IGNORE
        lane = self._lane_by_schedule(header)
        if self._is_known(block_id) or not self._is_wanted(header, lane, block_id):
            return Verdict.IGNORE
        return self._take(prepared, peer, lane)

    async def _judge_compact(self, peer: PeerId, message: bytes, compacted: CompactBlock) -> Verdict:
        bare = bare_block(compacted)
        header, block_id = bare.header, bare.block_id
        if block_id in self._completer:
            self._completer.heard_again(block_id, peer)
            return Verdict.IGNORE
        if self._is_known(block_id):
            return Verdict.IGNORE
        try:
            signer_key = self._judge_alone.header(header, bare.votes, self._chain.now_slot())
        except SlotInFuture:
            self._keep_for_later(FutureBlock(message, peer, header.slot, block_id), header)
            return Verdict.IGNORE
        lane = self._lane_by_schedule(header)
        if not self._is_wanted(header, lane, block_id):
            return Verdict.IGNORE
        partial = expand(bare, signer_key, compacted.ids, self._mempool)
        missing = len(partial.missing)
        self._metrics.compact_transactions.labels("mempool").inc(len(partial.ids) - missing)
        if missing:
            self._lanes.note(lane, block_id)
            self._complete(partial, peer, message, lane)
            return Verdict.IGNORE
        prepared = await self._completer.judged(partial)
        if self._is_known(block_id):
            return Verdict.IGNORE
        self._metrics.compact_blocks.labels("mempool").inc()
        return self._take(prepared, peer, lane)

    def _take(self, prepared: PreparedBlock, peer: PeerId, lane: Lane) -> Verdict:
        """Into the intake; forwarded when the schedule of our view names its proposer."""
        block = prepared.block
        size = len(encode_block(block))
        if not self._intake.put_nowait(IncomingBlock(prepared, peer, size, Source.GOSSIP)):
            return Verdict.IGNORE
        self._lanes.note(lane, block.header_id)
        self._recent.put(block, size)
        self._note_delay(block.header)
        return Verdict.ACCEPT if lane[1] < BAND_COUNT else Verdict.IGNORE

    def _complete(self, partial: PartialBlock, peer: PeerId, message: bytes, lane: Lane) -> None:
        """Ask the sender for the rest; forward the block when it is whole."""

        async def taken(prepared: PreparedBlock) -> None:
            if self._is_known(prepared.block_id):
                return
            if self._take(prepared, peer, lane) is Verdict.ACCEPT:
                await self._send(message, prepared.block_id)

        self._completer.start(partial, peer, taken, bound(self._fetch_whole, partial.block_id, lane))

    def _fetch_whole(self, block_id: bytes, lane: Lane, peer: PeerId) -> None:
        try:
            self._missing.send_nowait(MissingBlocks((block_id,), peer, 0, publish=lane[1] < BAND_COUNT))
        except trio.WouldBlock:
            self._log.debug("too many blocks to fetch", block=block_id)

    def _is_known(self, block_id: bytes) -> bool:
        return (
            self._intake.handles(block_id)
            or block_id in self._future
            or read_header(self._chain.store, block_id) is not None
        )

    def _is_wanted(self, header: Header, lane: Lane, block_id: bytes) -> bool:
        oldest = max(self._writer.head.slot - self._chain.params.merge_depth_slots, self._floor.slot + 1)
        return header.slot >= oldest and self._lanes.admits(lane, block_id)

    def _lane_by_schedule(self, header: Header) -> Lane:
        """The block's lane; one of its own for a block out of turn in our view, where other views may differ.

        Errors: `LaneEmpty`, `WrongProposer` where they may not.
        """
        scheduled = self._chain.schedule.proposer(header.slot, header.band)
        if scheduled == header.proposer:
            return _lane(header)
        if not self._is_settled(header.slot):
            return header.slot, header.band + BAND_COUNT
        if scheduled is None:
            raise LaneEmpty(header.slot, header.band)
        raise WrongProposer(header.slot, header.band, header.proposer, scheduled)

    def _is_settled(self, slot: int) -> bool:
        """Whether the epoch's anchor, the last chain block before its last period, is below our finalised checkpoint:
        then it is the same in all views."""
        params = self._chain.params
        epoch = epoch_at(params, slot)
        anchored_below = first_slot_of_epoch(params, epoch) - params.period_slots
        return epoch < GENESIS_EPOCHS or self._floor.slot >= anchored_below - 1

    def _keep_for_later(self, block: FutureBlock, header: Header) -> None:
        lane = self._lane_by_schedule(header)
        if header.slot <= self._chain.now_slot() + FUTURE_HORIZON_SLOTS and self._is_wanted(
            header, lane, block.block_id
        ):
            self._future.add(block)

    def _note_delay(self, header: Header) -> None:
        delay_ms = self._chain.now_ms() - slot_start_ms(self._chain.params, header.slot)
        self._metrics.propagation_delay.observe(max(0.0, delay_ms / 1000))

    async def _each_slot(self) -> None:
        """Take up blocks whose slot has come, and forget old lanes."""
        params = self._chain.params
        while True:
            await trio.sleep(params.slot_ms / 1000)
            for due in self._future.due(self._chain.now_slot() + params.max_future_slots):
                # Nobody forwarded it when it came: it was too early. Now it is ours to forward.
                if await self.accept(due.peer, due.message) is Verdict.ACCEPT:
                    await self._send(due.message, due.block_id)
            self._lanes.forget_below(self._writer.head.slot - params.merge_depth_slots)


def _lane(header: Header) -> Lane:
    return header.slot, header.band
