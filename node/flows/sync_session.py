"""Catching up with one peer: headers, bodies, signatures, writer, each at work on another part of the chain.

    plan and headers  ->  bodies  ->  judged, signatures verified  ->  written
    (header_stage)        (body_download, several peers)

The stages are joined by short channels, so that each waits when the next has enough. What is written stays written,
whatever ends the session: the next one, with this peer or another, after a restart or not, asks what is lacking then.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import trio

from consensus.errors import BlockNotJudged, BodyMismatch, InvalidBlock, MissingParents
from consensus.prepare import PreparedBlock
from node.chain_context import ChainContext
from node.chain_writer import ChainWriter
from node.env import Workers
from node.flows.asking import PeerServedJunk, Report
from node.flows.block_intake import AddError, BlockIntake
from node.flows.body_download import BodyDownload, FullBlock
from node.flows.body_fetch import BodyFetcher
from node.flows.finality_floor import FinalityFloor
from node.flows.header_stage import HeaderStage, JudgedHeader
from node.flows.judging import BlockJudge
from node.flows.plans import PlanAsker
from node.flows.sync_sources import SyncSources
from node.flows.sync_status import SyncActivity
from node.flows.sync_window import SyncWindow
from node.flows.verdicts import BlockError, consequence_of
from p2p.errors import NetworkError
from p2p.network import Network, PeerId
from p2p.peers import Fault

GROUPS_BETWEEN = 2
"""Groups of up to 64 blocks that wait between two stages."""


@dataclass(frozen=True, slots=True)
class SyncParts:
    """What every session needs of the node."""

    chain: ChainContext
    writer: ChainWriter
    network: Network
    workers: Workers
    intake: BlockIntake
    judge: BlockJudge
    floor: FinalityFloor
    sources: SyncSources
    report: Report
    found_fork: Callable[[PeerId], None]
    """As `plans.PlanAsker`."""


class SyncSession:
    """One. `run` does everything."""

    def __init__(
        self,
        parts: SyncParts,
        lead: PeerId,
        *,
        progress: Callable[[int, int], None],
        left: Callable[[PeerId, str], None],
    ) -> None:
        """`progress(blocks, transactions)` is told of each batch that was added, `left(peer, reason)` of each peer
        whose help was given up."""
        self._parts = parts
        self._lead = lead
        self._progress = progress
        chain, network, workers = parts.chain, parts.network, parts.workers
        self._window = SyncWindow(parts.writer, chain.params)
        asker = PlanAsker(chain, network, workers, parts.floor, parts.report, parts.found_fork)
        self._headers = HeaderStage(
            chain,
            parts.writer,
            network,
            workers,
            asker,
            parts.judge,
            parts.floor,
            self._window,
            lead,
            report=parts.report,
        )
        fetcher = BodyFetcher(network, workers, parts.report)
        self._bodies = BodyDownload(fetcher, parts.sources, lead, chain.params, left=left)
        self._processing = 0
        self._failure: NetworkError | PeerServedJunk | None = None
        self._scope = trio.CancelScope()
        self._headers_scope = trio.CancelScope()
        self._bodies_scope = trio.CancelScope()

    @property
    def activity(self) -> SyncActivity:
        """What the last stage waits for, or that it works."""
        if self._processing:
            return SyncActivity.PROCESSING
        return SyncActivity.BODIES if self._bodies.is_waiting else SyncActivity.HEADERS

    @property
    def sources(self) -> int:
        """Peers that bodies come from."""
        return self._bodies.sources

    @property
    def too_early(self) -> int:
        """Blocks that were left out because their slots have not come."""
        return self._headers.too_early

    async def run(self) -> None:
        """Add everything that the peer has and we lack. Errors: `NetworkError`, `PeerServedJunk`."""
        headers, to_bodies = trio.open_memory_channel[tuple[JudgedHeader, ...]](GROUPS_BETWEEN)
        bodies, to_judge = trio.open_memory_channel[tuple[FullBlock, ...]](GROUPS_BETWEEN)
        judged, to_write = trio.open_memory_channel[tuple[PreparedBlock, ...]](1)
        with self._scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._fetch_headers, headers)
                nursery.start_soon(self._fetch_bodies, to_bodies, bodies)
                nursery.start_soon(self._judge, to_judge, judged)
                nursery.start_soon(self._write, to_write)
        if self._failure is not None:
            raise self._failure

    def _fail(self, error: NetworkError | PeerServedJunk) -> None:
        """The first one counts."""
        if self._failure is None:
            self._failure = error

    async def _fetch_headers(self, out: trio.MemorySendChannel[tuple[JudgedHeader, ...]]) -> None:
        with self._headers_scope:
            async with out:
                try:
                    await self._headers.run(out)
                except (NetworkError, PeerServedJunk) as error:
                    self._fail(error)
                    self._bodies.stop()

    async def _fetch_bodies(
        self,
        headers: trio.MemoryReceiveChannel[tuple[JudgedHeader, ...]],
        out: trio.MemorySendChannel[tuple[FullBlock, ...]],
    ) -> None:
        with self._bodies_scope:
            async with headers, out:
                try:
                    await self._bodies.run(headers, out)
                except (NetworkError, PeerServedJunk) as error:
                    self._fail(error)
                self._headers_scope.cancel()  # nobody takes more of them

    async def _judge(
        self,
        bodies: trio.MemoryReceiveChannel[tuple[FullBlock, ...]],
        out: trio.MemorySendChannel[tuple[PreparedBlock, ...]],
    ) -> None:
        """Bodies and signatures, on the verifier threads, while the batch before is written."""
        async with bodies, out:
            async for group in bodies:
                self._processing += 1
                prepared: list[PreparedBlock] = []
                error = await self._parts.workers.run_verifier(lambda: self._prepare(group, prepared))  # noqa: B023
                for at, invalid in enumerate(await self._parts.intake.verify(prepared)):
                    if invalid is not None:
                        error, prepared = invalid, prepared[:at]
                        break
                await out.send(tuple(prepared))
                if error is not None:
                    self._blame(group[len(prepared)].block.header_id, error)
                    self._headers_scope.cancel()
                    self._bodies_scope.cancel()
                    return

    def _prepare(
        self, group: Sequence[FullBlock], prepared: list[PreparedBlock]
    ) -> InvalidBlock | BodyMismatch | None:
        for full in group:
            try:
                prepared.append(self._parts.judge.body(full.block, full.signer_key))
            except (InvalidBlock, BodyMismatch) as error:
                return error
        return None

    def _blame(self, block_id: bytes, error: BlockError) -> None:
        """The lead planned what cannot be added."""
        missing = isinstance(error, MissingParents)
        fault = Fault.BAD_REPLY if missing else consequence_of(error).fault
        if fault is not None:
            self._parts.report(self._lead, fault)
        self._fail(PeerServedJunk(self._lead, f"block {block_id.hex()[:16]}: {error}"))

    async def _write(self, batches: trio.MemoryReceiveChannel[tuple[PreparedBlock, ...]]) -> None:
        async with batches:
            async for batch in batches:
                if not await self._add(batch):
                    self._scope.cancel()
                    return
                self._processing -= 1

    async def _add(self, batch: Sequence[PreparedBlock]) -> bool:
        """Whether all of it is in the DAG now. What cannot be judged yet is tried again when the head has moved: its
        epoch may be judged by a block of the same batch."""
        waiting = tuple(batch)
        while waiting:
            head_id = self._parts.writer.head.id
            again: dict[bytes, PreparedBlock] = {}
            added: list[PreparedBlock] = []
            refusal: tuple[bytes, AddError] | None = None
            stalled: tuple[bytes, AddError] | None = None
            for block, error in zip(waiting, await self._parts.intake.add(waiting), strict=True):
                if error is None:
                    added.append(block)
                elif isinstance(error, BlockNotJudged) or (
                    isinstance(error, MissingParents) and all(parent in again for parent in error.ids)
                ):
                    again[block.block_id] = block
                    stalled = stalled or (block.block_id, error)
                elif refusal is None:
                    refusal = block.block_id, error
            self._note_added(added)
            if self._parts.writer.head.id == head_id:
                refusal = refusal or stalled
            if refusal is not None:
                self._blame(*refusal)
                return False
            waiting = tuple(again.values())
        return True

    def _note_added(self, added: Sequence[PreparedBlock]) -> None:
        if added:
            for block in added:
                self._headers.processed(block.block_id)
            self._window.processed(len(added), max(block.block.header.slot for block in added))
            self._progress(len(added), sum(len(block.transactions) for block in added))
