"""`/nexus/sync/1`: what the asker lacks, asked for and answered (`consensus.sync_plan`).

The asker's locator goes no deeper than its finalised checkpoint: a chain without that has nothing for it.
"""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from consensus.errors import LocatorPruned
from consensus.stores import index_on_chain
from consensus.sync_plan import locator, plan_after
from node.chain_context import ChainContext
from node.chain_writer import ChainWriter
from node.env import Workers
from node.flows.asking import PeerServedJunk, Report, ask, understood
from node.flows.finality_floor import FinalityFloor
from node.flows.wire import (
    PLAN_LIMIT,
    SYNC_PROTOCOL,
    SYNC_REPLY_CODEC,
    SYNC_REQUEST_CODEC,
    AntipastMark,
    SyncReply,
    SyncRequest,
)
from p2p.errors import RequestRefused
from p2p.network import Network, PeerId


async def serve_plans(
    network: Network, chain: ChainContext, writer: ChainWriter, workers: Workers, *, report: Report
) -> None:
    """Answer from snapshots of the store."""

    def plan(request: SyncRequest) -> SyncReply:
        marks = [(mark.slot, mark.block_id) for mark in request.antipast_after]
        with closing(chain.store.snapshot()) as snapshot:
            found = plan_after(
                snapshot, request.locator, min(request.limit, PLAN_LIMIT), marks[0] if marks else None
            )
        mark = () if found.resume_antipast is None else (AntipastMark(*found.resume_antipast),)
        return SyncReply(found.common, found.ids, found.complete, found.resume, mark, writer.head.blue_score)

    async def answer(peer: PeerId, data: bytes) -> bytes:
        request = understood(SYNC_REQUEST_CODEC, peer, data, report)
        try:
            return SYNC_REPLY_CODEC.encode(await workers.run_reader(lambda: plan(request)))
        except LocatorPruned as error:
            raise RequestRefused(str(error)) from None

    await network.serve(SYNC_PROTOCOL, answer, max_request_bytes=SYNC_REQUEST_CODEC.max_bytes)


@dataclass(frozen=True, slots=True)
class PlanAsker:
    """Asks for plans. Stateless."""

    chain: ChainContext
    network: Network
    workers: Workers
    floor: FinalityFloor
    report: Report
    found_fork: Callable[[PeerId], None]
    """Told of a peer whose chain leaves ours below the finalised checkpoint."""

    async def ask(self, peer: PeerId, resume: tuple[bytes, ...], mark: tuple[AntipastMark, ...]) -> SyncReply:
        """What we lack of the peer's blocks, from `resume` and `mark` of its last plan on, or from our own chain.

        Errors: `NetworkError`; `PeerServedJunk`, for a chain without our finalised checkpoint without a fault, for the
        peer may not know better.
        """
        own = await self.workers.run_reader(self._locator)
        reply = await ask(
            self.network,
            peer,
            SYNC_PROTOCOL,
            SYNC_REQUEST_CODEC.encode(SyncRequest((*resume, *own), PLAN_LIMIT, mark)),
            SYNC_REPLY_CODEC,
            report=self.report,
        )
        floor = self.floor.read()
        if floor.slot and (reply.common,) != resume:
            index = index_on_chain(self.chain.store, reply.common)
            if index is None or index < floor.chain_index:
                self.found_fork(peer)
                raise PeerServedJunk(
                    peer,
                    f"a chain that leaves ours below the finalised slot {floor.slot}, at "
                    f"{reply.common.hex()[:16]}; none of it can become ours",
                )
        return reply

    def _locator(self) -> tuple[bytes, ...]:
        floor = self.floor.read()
        ids = locator(self.chain.store)
        if not floor.slot:
            return ids
        above = [
            one
            for one in ids
            if (index := index_on_chain(self.chain.store, one)) is not None and index > floor.chain_index
        ]
        return (*above, floor.block_id)
