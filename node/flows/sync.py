"""Catching up: who is ahead, whose turn it is, and what the operator is told.

A peer is worth synchronising with when its blue score is more than four slots' blocks above ours, when its
head stays unknown to us, or when the ancestors of its blocks lie too far from ours for fetching them one by one. Then
a session (`sync_session`) brings what it has and we lack. Everything added stays added: whoever stops at any point
goes on from there, with this peer or another. A silent or slow peer costs one request's deadline, ten seconds; after
a failure another peer has its turn. So it has when a peer delivers more slowly than the network makes blocks, or plans
on and on what we have.
"""

from dataclasses import replace

import trio

from node.flows.asking import PeerServedJunk
from node.flows.body_fetch import serve_bodies
from node.flows.header_fetch import serve_headers
from node.flows.peer_status import PeerStatuses
from node.flows.plans import serve_plans
from node.flows.sync_session import SyncParts, SyncSession
from node.flows.sync_sources import GAP_BLOCKS, GAP_SLOTS
from node.flows.sync_status import Pacer, SyncActivity, SyncState, SyncStatus
from node.flows.wire import Status
from node.logs import Log
from node.metrics import Metrics
from p2p.errors import NetworkError
from p2p.network import PeerId

STARTUP_GRACE_S = 10.0
"""How long a node that knows of others waits for a first status before it takes the chain that it has for the best."""
IDLE_S = 1.0

_STATE_NUMBERS = {
    SyncState.SYNCHRONISED: 0,
    SyncState.SYNCHRONISING: 1,
    SyncState.STARTING: 1,
    SyncState.STUCK: 2,
}


class Synchroniser:
    """One per node. `run` is the service."""

    def __init__(
        self, parts: SyncParts, statuses: PeerStatuses, *, alone: bool, metrics: Metrics, log: Log
    ) -> None:
        """`alone`: no other node is known, so there is nothing to wait for."""
        self._parts = parts
        self._writer = parts.writer
        self._sources = parts.sources
        self._statuses = statuses
        self._metrics = metrics
        self._log = log
        self._started_s = trio.current_time()
        self._session: SyncSession | None = None
        self._told: Status | None = None
        self._pacer = Pacer(self._started_s, 0)
        self._status = SyncStatus(SyncState.SYNCHRONISED if alone else SyncState.STARTING)

    @property
    def status(self) -> SyncStatus:
        """As of now."""
        session = self._session
        if session is None:
            return self._status
        now_s = trio.current_time()
        blocks_per_second, transactions_per_second = self._pacer.rates(now_s)
        return replace(
            self._status,
            activity=session.activity,
            sources=session.sources,
            blocks_per_second=blocks_per_second,
            transactions_per_second=transactions_per_second,
            slots_left=max(0, (self._told.head_slot if self._told else 0) - self._writer.head.slot),
            seconds_left=self._seconds_left(now_s),
        )

    @property
    def may_propose(self) -> bool:
        """Whether our own blocks would be of use. When we are stuck they are, and while our head is as recent as that
        of a synchronised node: peers that claim to be ahead and do not deliver must not silence us."""
        if self._status.state is SyncState.SYNCHRONISING:
            return self._writer.head.slot >= self._parts.chain.now_slot() - GAP_SLOTS
        return self._status.state is not SyncState.STARTING

    async def run(
        self,
        lagging: trio.MemoryReceiveChannel[PeerId],
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve until cancelled. `lagging`: see `IntakeOutlets`."""
        parts = self._parts
        chain, network, workers, report = parts.chain, parts.network, parts.workers, parts.report
        await serve_plans(network, chain, parts.writer, workers, report=report)
        await serve_headers(network, chain, workers, report=report)
        await serve_bodies(network, chain, workers, report=report)
        self._started_s = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._catch_up)
            task_status.started()
            async for peer in lagging:
                self._sources.note_lagging(peer)

    async def _catch_up(self) -> None:
        while True:
            peer = self._sources.choose(self._writer.head.blue_score)
            if peer is not None:
                await self._synchronise(peer)
                continue
            self._settle()
            with trio.move_on_after(IDLE_S):
                await self._statuses.wait_heard()

    def _settle(self) -> None:
        """Nobody to synchronise with at this moment: say why."""
        wanted = self._sources.wanted(self._writer.head.blue_score)
        heard = any(True for _ in self._statuses)
        waited = trio.current_time() - self._started_s >= STARTUP_GRACE_S
        done, target = self._status.blocks_done, self._status.blocks_target
        if wanted:
            peer = max(wanted, key=lambda one: (wanted[one].blue_score, one))
            reason = self._sources.record(peer).reason
            reason = f"{len(wanted)} peers are ahead and none delivers; the last: {reason}"
            self._set_status(
                SyncStatus(SyncState.STUCK, blocks_done=done, blocks_target=target, reason=reason)
            )
        elif self._status.state is not SyncState.STARTING or heard or waited:
            self._set_status(SyncStatus(SyncState.SYNCHRONISED, blocks_done=done, blocks_target=target))

    def _set_status(self, status: SyncStatus) -> None:
        if status.state is not self._status.state:
            self._log.info(
                "sync state changed", state=status.state.value, peer=status.peer, reason=status.reason
            )
        self._status = status
        self._metrics.sync_state.set(_STATE_NUMBERS[status.state])
        scores = [told.blue_score for _, told, _ in self._statuses]
        self._metrics.sync_target.set(max([self._writer.head.blue_score, *scores]))
        left_s = 0.0 if self._session is None else self._seconds_left(trio.current_time())
        self._metrics.sync_seconds_left.set(float("nan") if left_s is None else left_s)

    def _seconds_left(self, now_s: float) -> float | None:
        """The target runs away as fast as the peer's chain was made on average."""
        if self._told is None:
            return None
        blocks_per_slot = self._told.blue_score / max(1, self._told.head_slot)
        made_per_second = blocks_per_slot * 1_000 / self._parts.chain.params.slot_ms
        score = self._writer.head.blue_score
        return self._pacer.seconds_left(self._told.blue_score, score, now_s, made_per_second)

    async def _synchronise(self, peer: PeerId) -> None:
        told = self._told = self._statuses.of(peer)
        started_score = self._writer.head.blue_score
        target = max(0, (told.blue_score if told else 0) - started_score)
        pacer = self._pacer = Pacer(trio.current_time(), started_score)
        record = self._sources.record(peer)

        def progress(blocks: int, transactions: int) -> None:
            pacer.added(blocks, transactions, trio.current_time(), self._writer.head.blue_score)
            self._metrics.sync_blocks.inc(blocks)
            self._metrics.sync_transactions.inc(transactions)
            self._set_status(
                SyncStatus(
                    SyncState.SYNCHRONISING,
                    SyncActivity.HEADERS,
                    peer,
                    blocks_done=pacer.blocks,
                    blocks_target=max(target, pacer.blocks),
                )
            )

        def left(source: PeerId, reason: str) -> None:
            self._log.debug("source of bodies left", peer=source, reason=reason)
            if source != peer:
                self._metrics.sync_rotations.inc()
                self._sources.record(source).avoid(reason)

        session = self._session = SyncSession(self._parts, peer, progress=progress, left=left)
        try:
            progress(0, 0)
            await session.run()
        except (NetworkError, PeerServedJunk) as error:
            if pacer.blocks:
                record.failures = 0
            record.avoid(str(error))
            self._metrics.sync_rotations.inc()
            self._log.warning("synchronising failed", peer=peer, blocks=pacer.blocks, error=str(error))
            return
        finally:
            self._session = None
        self._sources.caught_up(peer)
        score = self._writer.head.blue_score
        if told is not None and told.blue_score > score + GAP_BLOCKS:
            reason = f"claims blue score {told.blue_score} and had blocks up to {score} only"
            if session.too_early:
                reason += f"; {session.too_early} more are of slots to come: is our clock right?"
            record.avoid(reason)
        else:
            record.failures = 0
        if pacer.blocks:
            self._log.info("synchronised", peer=peer, blocks=pacer.blocks, blue_score=score)
