"""Gossip of blocks: what comes in, what is forwarded, and what we publish.

The verdict is given at once, after everything that can be judged of the message alone: form, proofs, the schedule, and
that its lane was not seen twice. What needs other blocks or many signatures happens afterwards, in the intake. At most
two blocks of a lane are relayed (the second proves an equivocation); a further one is neither relayed nor kept, unless
some block refers to it, which then fetches it (reliability.md L6). A block of a later slot waits for its time (L9).

Blocks above 200 kB are announced by their header; whoever hears of one fetches it, and announces it in turn when it
is in its own DAG.
"""

from collections.abc import Callable

import trio

from consensus.blocks import (
    Block,
    Header,
    decode_block,
    decode_header,
    encode_block,
    encode_header,
    header_id,
)
from consensus.errors import BodyMismatch, InvalidBlock, LaneEmpty, SlotInFuture, WrongProposer
from consensus.header_validation import validate_header_in_isolation
from consensus.params import slot_start_ms
from consensus.prepare import PreparedBlock
from consensus.stores import read_header
from ledger.errors import CodecError
from node.chain_context import ChainContext
from node.chain_writer import ChainWriter
from node.flows.block_fetch import BlockFetcher
from node.flows.block_intake import BlockIntake, IncomingBlock, MissingBlocks, Source
from node.flows.verdicts import consequence_of
from node.flows.wire import (
    MAX_BLOCK_MESSAGE_BYTES,
    MAX_GOSSIPED_BLOCK_BYTES,
    announcement,
    block_message,
    blocks_topic,
    read_block_message,
)
from node.logs import Log
from node.metrics import Metrics
from node.orphans import FutureBlock, FutureBlocks
from p2p.network import Network, PeerId, Verdict
from p2p.peers import Fault

BLOCKS_PER_LANE = 2
FUTURE_HORIZON_SLOTS = 64
"""Blocks farther ahead than this are dropped: no clock is that wrong."""
PUBLISH_TIMEOUT_S = 5.0

Lane = tuple[int, int]


class LaneBook:
    """Which blocks of each lane were relayed. Forgets lanes below a slot; so it holds six lanes times two ids for each
    slot from the merge depth to the future horizon, at most."""

    def __init__(self) -> None:
        self._lanes: dict[Lane, list[bytes]] = {}
        self._forgotten_below = 0

    def __len__(self) -> int:
        return len(self._lanes)

    def admits(self, lane: Lane, block_id: bytes) -> bool:
        """Whether the block is, or may become, one of the lane's two."""
        known = self._lanes.get(lane, [])
        return block_id in known or len(known) < BLOCKS_PER_LANE

    def note(self, lane: Lane, block_id: bytes) -> None:
        """The block counts from now on."""
        known = self._lanes.setdefault(lane, [])
        if block_id not in known and len(known) < BLOCKS_PER_LANE:
            known.append(block_id)

    def forget_below(self, slot: int) -> None:
        """Drop lanes of slots below `slot`."""
        if slot > self._forgotten_below:
            self._forgotten_below = slot
            self._lanes = {lane: ids for lane, ids in self._lanes.items() if lane[0] >= slot}


class BlockRelay:
    """One per node. `run` is the service."""

    def __init__(
        self,
        chain: ChainContext,
        writer: ChainWriter,
        intake: BlockIntake,
        fetcher: BlockFetcher,
        network: Network,
        missing: trio.MemorySendChannel[MissingBlocks],
        *,
        report: Callable[[PeerId, Fault], None],
        metrics: Metrics,
        log: Log,
    ) -> None:
        self._chain = chain
        self._writer = writer
        self._intake = intake
        self._fetcher = fetcher
        self._network = network
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
        message = (
            block_message(raw)
            if len(raw) <= MAX_GOSSIPED_BLOCK_BYTES
            else announcement(encode_header(block.header))
        )
        with trio.move_on_after(PUBLISH_TIMEOUT_S) as patience:
            await self._network.publish(self._topic, message)
        if patience.cancelled_caught:
            self._log.warning("publishing a block took too long", block=block.header_id)

    # ---- judging

    async def _judge(self, peer: PeerId, raw: bytes) -> Verdict:
        try:
            body, raw_header = read_block_message(raw)
            if body is not None:
                return await self._judge_block(peer, body)
            return self._judge_announcement(peer, raw_header or b"")
        except (CodecError, InvalidBlock, BodyMismatch) as error:
            consequence = consequence_of(error)
            self._log.warning("peer sent an invalid block", peer=peer, rule=error.code, error=str(error))
            if consequence.fault is not None and consequence.fault is not Fault.INVALID:
                # `Fault.INVALID` is what the guard below counts for every REJECT.
                self._report(peer, consequence.fault)
            return consequence.verdict

    async def _judge_block(self, peer: PeerId, raw: bytes) -> Verdict:
        block = decode_block(raw)
        block_id = block.header_id
        if self._is_known(block_id):
            return Verdict.IGNORE
        try:
            prepared = await self._fetcher.prepare(raw, self._chain.now_slot())
        except SlotInFuture:
            self._keep_for_later(FutureBlock(raw, peer, block.header.slot, block_id), block.header)
            return Verdict.IGNORE
        self._check_schedule(block.header)
        if self._is_known(block_id) or not self._is_wanted(block.header, block_id):
            return Verdict.IGNORE
        incoming = IncomingBlock(prepared, peer, len(raw), Source.GOSSIP)
        if not self._intake.put_nowait(incoming):
            return Verdict.IGNORE
        self._lanes.note(_lane(block.header), block_id)
        self._note_delay(block.header)
        return Verdict.ACCEPT

    def _judge_announcement(self, peer: PeerId, raw: bytes) -> Verdict:
        """A large block: fetch it, and announce it ourselves once we can serve it."""
        header = decode_header(raw)
        block_id = header_id(header)
        if self._is_known(block_id):
            return Verdict.IGNORE
        params, validators = self._chain.params, self._chain.schedule.validators
        try:
            validate_header_in_isolation(header, params, validators, self._chain.now_slot())
        except SlotInFuture:
            return Verdict.IGNORE
        self._check_schedule(header)
        if self._is_wanted(header, block_id):
            self._lanes.note(_lane(header), block_id)
            self._note_delay(header)
            try:
                self._missing.send_nowait(MissingBlocks((block_id,), peer, 0, publish=True))
            except trio.WouldBlock:
                self._log.debug("too many blocks to fetch", block=block_id)
        return Verdict.IGNORE

    def _is_known(self, block_id: bytes) -> bool:
        return (
            self._intake.handles(block_id)
            or block_id in self._future
            or read_header(self._chain.store, block_id) is not None
        )

    def _is_wanted(self, header: Header, block_id: bytes) -> bool:
        oldest = self._writer.head.slot - self._chain.params.merge_depth_slots
        return header.slot >= oldest and self._lanes.admits(_lane(header), block_id)

    def _check_schedule(self, header: Header) -> None:
        """The proposer is the scheduled one. Errors: `LaneEmpty`, `WrongProposer`."""
        scheduled = self._chain.schedule.proposer(header.slot, header.band)
        if scheduled is None:
            raise LaneEmpty(header.slot, header.band)
        if scheduled != header.proposer:
            raise WrongProposer(header.slot, header.band, header.proposer, scheduled)

    def _keep_for_later(self, block: FutureBlock, header: Header) -> None:
        self._check_schedule(header)
        if header.slot <= self._chain.now_slot() + FUTURE_HORIZON_SLOTS and self._is_wanted(
            header, block.block_id
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
                if await self.accept(due.peer, block_message(due.raw)) is Verdict.ACCEPT:
                    await self._network.publish(self._topic, block_message(due.raw))
            self._lanes.forget_below(self._writer.head.slot - params.merge_depth_slots)


def _lane(header: Header) -> Lane:
    return header.slot, header.band
