"""Catching up: who is ahead, and fetching what we lack from them.

A peer is worth synchronising with when its blue score is more than four slots' blocks above ours, when its
head stays unknown to us, or when the ancestors of its blocks lie too far from ours for fetching them one by one. Then
we ask it what we lack (`consensus.sync_plan`), fetch those blocks in batches, and add one batch while the next is on
its way. Everything added stays added: whoever stops at any point goes on from there, with this peer or another. A
silent or slow peer costs one request's deadline, ten seconds; after a failure another peer has its turn. So it has
when a peer delivers more slowly than the network makes blocks, or plans on and on what we have.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from enum import Enum

import trio

from consensus.errors import InvalidBlock
from consensus.prepare import PreparedBlock
from consensus.stores import read_header
from consensus.sync_plan import locator, plan_after
from ledger.errors import CodecError
from node.chain_context import ChainContext
from node.chain_writer import ChainWriter
from node.env import Workers
from node.flows.block_fetch import REQUEST_TIMEOUT_S, BlockFetcher, PeerServedJunk
from node.flows.block_intake import BlockIntake
from node.flows.peer_status import PeerStatuses
from node.flows.wire import (
    PLAN_LIMIT,
    SYNC_PROTOCOL,
    SYNC_REPLY_CODEC,
    SYNC_REQUEST_CODEC,
    AntipastMark,
    Status,
    SyncReply,
    SyncRequest,
)
from node.logs import Log
from node.metrics import Metrics
from p2p.errors import NetworkError, RequestRefused
from p2p.network import Network, PeerId
from p2p.peers import Fault
from wnsp.spectrum import BAND_COUNT

STARTUP_GRACE_S = 10.0
"""How long a node that knows of others waits for a first status before it takes the chain that it has for the best."""
GAP_SLOTS = 4
GAP_BLOCKS = GAP_SLOTS * BAND_COUNT
"""Gossip and fetching parents bridge less than this."""
HEAD_UNKNOWN_S = 8.0
"""A peer's head that is unknown in two statuses that far apart is on a side that gossip does not bring us."""
FETCH_IDS = 256
DOWNLOADED_BATCHES = 2
"""Batches that wait for the writer; the download waits when there are more."""
IDLE_S = 1.0
SLOW_AFTER_S = 5.0
"""After so much waiting for a peer it must have delivered more than the network made meanwhile, or enough bytes."""
SLOW_BYTES_PER_S = 64 * 1024
IDLE_PLANS = 16
"""Plans one after the other without a block that we lack, besides those that our own blocks could fill twice."""
MAX_RECORDS = 256
FIRST_AVOIDANCE_S = 15.0
LONGEST_AVOIDANCE_S = 600.0


class SyncState(Enum):
    """Where the node stands."""

    STARTING = "starting"
    """No peer has told its status yet."""
    SYNCHRONISED = "synchronised"
    SYNCHRONISING = "synchronising"
    STUCK = "stuck"
    """Peers claim to be ahead and none of them delivers."""


_STATE_NUMBERS = {
    SyncState.SYNCHRONISED: 0,
    SyncState.SYNCHRONISING: 1,
    SyncState.STARTING: 1,
    SyncState.STUCK: 2,
}


@dataclass(frozen=True, slots=True)
class SyncStatus:
    """For the operator."""

    state: SyncState
    peer: PeerId | None
    """Whom we synchronise with."""
    blocks_done: int
    """Added from this peer so far."""
    blocks_target: int
    """About how many it will be."""
    blocks_per_second: float
    reason: str
    """Why we are stuck; empty else."""


@dataclass(slots=True)
class _Record:
    """How a peer did as a source."""

    failures: int = 0
    avoid_until_s: float = 0.0
    reason: str = ""
    """Of the last failure."""


@dataclass(slots=True)
class _Pace:
    """What a peer delivered while we waited for it."""

    waited_s: float = 0.0
    blocks: int = 0
    size: int = 0
    too_early: int = 0
    """Blocks that were left out, since the start; see `FetchedBlocks`."""


@dataclass(frozen=True, slots=True)
class _Download:
    """Blocks in the order in which they can be added, or why there are no more."""

    blocks: tuple[PreparedBlock, ...]
    failure: Exception | None


class Synchroniser:
    """One per node. `run` is the service."""

    def __init__(
        self,
        chain: ChainContext,
        writer: ChainWriter,
        statuses: PeerStatuses,
        intake: BlockIntake,
        fetcher: BlockFetcher,
        network: Network,
        workers: Workers,
        *,
        alone: bool,
        report: Callable[[PeerId, Fault], None],
        metrics: Metrics,
        log: Log,
    ) -> None:
        """`alone`: no other node is known, so there is nothing to wait for."""
        self._chain = chain
        self._writer = writer
        self._statuses = statuses
        self._intake = intake
        self._fetcher = fetcher
        self._network = network
        self._workers = workers
        self._report = report
        self._metrics = metrics
        self._log = log
        self._records: OrderedDict[PeerId, _Record] = OrderedDict()
        self._lagging: dict[PeerId, None] = {}
        """Peers whose blocks have ancestors that are too far from ours."""
        self._started_s = trio.current_time()
        state = SyncState.SYNCHRONISED if alone else SyncState.STARTING
        self._status = SyncStatus(state, None, 0, 0, 0.0, "")

    @property
    def status(self) -> SyncStatus:
        """As of now."""
        return self._status

    @property
    def may_propose(self) -> bool:
        """Whether our own blocks would be of use. When we are stuck they are, and while our head is as recent as that
        of a synchronised node: peers that claim to be ahead and do not deliver must not silence us."""
        if self._status.state is SyncState.SYNCHRONISING:
            return self._writer.head.slot >= self._chain.now_slot() - GAP_SLOTS
        return self._status.state is not SyncState.STARTING

    async def run(
        self,
        lagging: trio.MemoryReceiveChannel[PeerId],
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve until cancelled. `lagging`: see `IntakeOutlets`."""
        await self._network.serve(
            SYNC_PROTOCOL, self._answer_plan, max_request_bytes=SYNC_REQUEST_CODEC.max_bytes
        )
        self._started_s = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._catch_up)
            task_status.started()
            async for peer in lagging:
                if self._statuses.of(peer) is not None:
                    self._lagging[peer] = None

    # ---- serving

    async def _answer_plan(self, peer: PeerId, data: bytes) -> bytes:
        try:
            request = SYNC_REQUEST_CODEC.decode(data)
        except CodecError as error:
            self._report(peer, Fault.MALFORMED)
            raise RequestRefused(str(error)) from None
        reply = await self._workers.run_reader(lambda: self._plan(request))
        return SYNC_REPLY_CODEC.encode(reply)

    def _plan(self, request: SyncRequest) -> SyncReply:
        marks = [(mark.slot, mark.block_id) for mark in request.antipast_after]
        with closing(self._chain.store.snapshot()) as snapshot:
            plan = plan_after(
                snapshot, request.locator, min(request.limit, PLAN_LIMIT), marks[0] if marks else None
            )
        resume = () if plan.resume_antipast is None else (AntipastMark(*plan.resume_antipast),)
        return SyncReply(
            plan.common, plan.ids, plan.complete, plan.resume, resume, self._writer.head.blue_score
        )

    # ---- catching up

    async def _catch_up(self) -> None:
        while True:
            peer = self._choose()
            if peer is not None:
                await self._synchronise(peer)
                continue
            self._settle()
            with trio.move_on_after(IDLE_S):
                await self._statuses.wait_heard()

    def _wanted(self) -> dict[PeerId, Status]:
        """Peers that have something for us, as far as their statuses tell."""
        long_ago_s = trio.current_time() - HEAD_UNKNOWN_S
        score = self._writer.head.blue_score
        return {
            peer: status
            for peer, status, unknown_since_s in self._statuses
            if status.blue_score > score + GAP_BLOCKS
            or peer in self._lagging
            or (unknown_since_s is not None and unknown_since_s <= long_ago_s)
        }

    def _choose(self) -> PeerId | None:
        """The peer that is farthest ahead and has not failed us lately."""
        now_s = trio.current_time()
        best: PeerId | None = None
        best_score = -1
        for peer, status in self._wanted().items():
            if self._record(peer).avoid_until_s <= now_s and status.blue_score > best_score:
                best, best_score = peer, status.blue_score
        return best

    def _record(self, peer: PeerId) -> _Record:
        """Kept over reconnections, so that leaving and coming back does not clear it; bounded."""
        record = self._records.setdefault(peer, _Record())
        self._records.move_to_end(peer)
        if len(self._records) > MAX_RECORDS:
            self._records.popitem(last=False)
        return record

    def _settle(self) -> None:
        """Nobody to synchronise with at this moment: say why."""
        self._lagging = {peer: None for peer in self._lagging if self._statuses.of(peer) is not None}
        wanted = self._wanted()
        heard = any(True for _ in self._statuses)
        waited = trio.current_time() - self._started_s >= STARTUP_GRACE_S
        if wanted:
            peer = max(wanted, key=lambda one: (wanted[one].blue_score, one))
            reason = f"{len(wanted)} peers are ahead and none delivers; the last: {self._record(peer).reason}"
            self._set_status(replace(self._status, state=SyncState.STUCK, peer=None, reason=reason))
        elif self._status.state is not SyncState.STARTING or heard or waited:
            self._set_status(
                replace(
                    self._status, state=SyncState.SYNCHRONISED, peer=None, reason="", blocks_per_second=0.0
                )
            )

    def _set_status(self, status: SyncStatus) -> None:
        if status.state is not self._status.state:
            self._log.info(
                "sync state changed", state=status.state.value, peer=status.peer, reason=status.reason
            )
        self._status = status
        self._metrics.sync_state.set(_STATE_NUMBERS[status.state])
        scores = [told.blue_score for _, told, _ in self._statuses]
        self._metrics.sync_target.set(max([self._writer.head.blue_score, *scores]))

    async def _synchronise(self, peer: PeerId) -> None:
        told = self._statuses.of(peer)
        target = max(0, (told.blue_score if told else 0) - self._writer.head.blue_score)
        started_s = trio.current_time()
        done = 0

        def progress(blocks: int) -> None:
            nonlocal done
            done += blocks
            rate = done / max(0.001, trio.current_time() - started_s)
            self._set_status(SyncStatus(SyncState.SYNCHRONISING, peer, done, max(target, done), rate, ""))

        progress(0)
        record = self._record(peer)
        pace = _Pace()
        try:
            await self._take_everything(peer, pace, progress)
        except (NetworkError, PeerServedJunk) as error:
            if done:
                record.failures = 0
            _avoid(record, str(error))
            self._log.warning("synchronising failed", peer=peer, blocks=done, error=str(error))
            return
        self._lagging.pop(peer, None)
        self._statuses.head_is_known(peer)
        score = self._writer.head.blue_score
        if told is not None and told.blue_score > score + GAP_BLOCKS:
            reason = f"claims blue score {told.blue_score} and had blocks up to {score} only"
            if pace.too_early:
                reason += f"; {pace.too_early} more are of slots to come: is our clock right?"
            _avoid(record, reason)
        else:
            record.failures = 0
        if done:
            self._log.info("synchronised", peer=peer, blocks=done, blue_score=score)

    async def _take_everything(self, peer_id: PeerId, pace: _Pace, progress: Callable[[int], None]) -> None:
        """Add everything that the peer has and we lack. Errors: `NetworkError`, `PeerServedJunk`."""
        resume: tuple[bytes, ...] = ()
        mark: tuple[AntipastMark, ...] = ()
        idle_plans = 0
        while True:
            started_s = trio.current_time()
            plan = await self._ask_plan(peer_id, resume, mark)
            self._note_pace(peer_id, pace, trio.current_time() - started_s, ())
            lacking = [one for one in plan.ids if read_header(self._chain.store, one) is None]
            idle_plans = 0 if lacking else idle_plans + 1
            if idle_plans > IDLE_PLANS + 2 * self._writer.head.blue_score // PLAN_LIMIT:
                self._report(peer_id, Fault.BAD_REPLY)
                raise PeerServedJunk(peer_id, f"{idle_plans} plans without a block that we lack")
            failure: Exception | None = None
            async with trio.open_nursery() as nursery:
                send, receive = trio.open_memory_channel[_Download](DOWNLOADED_BATCHES)
                nursery.start_soon(self._download, peer_id, lacking, pace, send)
                async for batch in receive:
                    failure = batch.failure or await self._add(peer_id, batch.blocks)
                    if failure is not None:
                        nursery.cancel_scope.cancel()
                        break
                    progress(len(batch.blocks))
            if failure is not None:
                raise failure
            if plan.complete:
                return
            if (plan.resume,) == resume and plan.resume_antipast == mark:
                self._report(peer_id, Fault.BAD_REPLY)
                raise PeerServedJunk(peer_id, "the same plan again")
            resume, mark = (plan.resume,), plan.resume_antipast

    async def _ask_plan(
        self, peer_id: PeerId, resume: tuple[bytes, ...], mark: tuple[AntipastMark, ...]
    ) -> SyncReply:
        own = await self._workers.run_reader(lambda: locator(self._chain.store))
        request = SyncRequest((*resume, *own), PLAN_LIMIT, mark)
        raw = await self._network.request(
            peer_id,
            SYNC_PROTOCOL,
            SYNC_REQUEST_CODEC.encode(request),
            max_reply_bytes=SYNC_REPLY_CODEC.max_bytes,
            timeout_s=REQUEST_TIMEOUT_S,
        )
        try:
            return SYNC_REPLY_CODEC.decode(raw)
        except CodecError as error:
            self._report(peer_id, Fault.MALFORMED)
            raise PeerServedJunk(peer_id, f"a malformed plan: {error}") from None

    async def _download(
        self, peer_id: PeerId, ids: Sequence[bytes], pace: _Pace, send: trio.MemorySendChannel[_Download]
    ) -> None:
        """Fetch the blocks in order; ends with the first failure, which goes through the channel too."""
        async with send:
            at = 0
            while at < len(ids):
                part = ids[at : at + FETCH_IDS]
                started_s = trio.current_time()
                try:
                    fetched = await self._fetcher.fetch(peer_id, part)
                    pace.too_early += fetched.too_early
                    served = len(fetched.blocks) + fetched.too_early
                    if served < fetched.considered:
                        self._report(peer_id, Fault.WITHHELD)
                        raise PeerServedJunk(
                            peer_id, f"{served} of {fetched.considered} blocks that it had planned"
                        )
                    waited_s = trio.current_time() - started_s
                    await send.send(_Download(tuple(block for block, _ in fetched.blocks), None))
                    self._note_pace(peer_id, pace, waited_s, [size for _, size in fetched.blocks])
                except (NetworkError, PeerServedJunk) as error:
                    await send.send(_Download((), error))
                    return
                at += fetched.considered

    def _note_pace(self, peer_id: PeerId, pace: _Pace, waited_s: float, sizes: Sequence[int]) -> None:
        """Errors: `PeerServedJunk` for a peer with which we would never be done."""
        pace.waited_s += waited_s
        pace.blocks += len(sizes)
        pace.size += sum(sizes)
        if pace.waited_s < SLOW_AFTER_S:
            return
        made = pace.waited_s * BAND_COUNT * 1_000 / self._chain.params.slot_ms
        if pace.blocks < made and pace.size < pace.waited_s * SLOW_BYTES_PER_S:
            raise PeerServedJunk(
                peer_id,
                f"{pace.blocks} blocks in {pace.waited_s:.0f} s, the network makes up to {made:.0f} meanwhile",
            )
        pace.waited_s, pace.blocks, pace.size = 0.0, 0, 0

    async def _add(self, peer_id: PeerId, blocks: Sequence[PreparedBlock]) -> PeerServedJunk | None:
        """Add a batch; what was wrong with the first block that could not be added."""
        for block, error in zip(blocks, await self._intake.take(blocks), strict=True):
            if error is not None:
                fault = Fault.INVALID if isinstance(error, InvalidBlock) else Fault.BAD_REPLY
                self._report(peer_id, fault)
                return PeerServedJunk(peer_id, f"block {block.block_id.hex()[:16]}: {error}")
        return None


def _avoid(record: _Record, reason: str) -> None:
    wait_s = min(LONGEST_AVOIDANCE_S, FIRST_AVOIDANCE_S * 2.0 ** min(record.failures, 10))
    record.failures += 1
    record.avoid_until_s = trio.current_time() + wait_s
    record.reason = reason
