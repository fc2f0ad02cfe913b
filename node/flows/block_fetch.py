"""`/nexus/blocks/1`: blocks by id, asked for and served.

Whoever asks gets as many of the blocks as fit into 1 MiB, in the order of the ids. A served block is judged like any
other, and whoever serves a block vouches for it: an invalid one costs the server points, and so does one that was not
asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import trio

from consensus.blocks import decode_block, encode_block
from consensus.errors import BlockNotJudged, BodyMismatch, InvalidBlock
from consensus.prepare import PreparedBlock
from consensus.stores import read_header
from ledger.encoding import MAX_INTEGER
from ledger.errors import CodecError
from node.chain_context import ChainContext
from node.env import Workers
from node.flows.asking import PeerServedJunk, Report, ask
from node.flows.block_intake import BlockIntake, IncomingBlock, MissingBlocks, Source, offer
from node.flows.finality_floor import FinalityFloor
from node.flows.judging import BlockJudge
from node.flows.recent_blocks import RecentBlocks
from node.flows.verdicts import consequence_of
from node.flows.wire import (
    BLOCKS_PROTOCOL,
    BLOCKS_REPLY_CODEC,
    BLOCKS_REQUEST_CODEC,
    ENTRY_OVERHEAD_BYTES,
    MAX_REPLY_BYTES,
    BlocksReply,
    BlocksRequest,
)
from node.logs import Log
from p2p.errors import NetworkError, RequestRefused
from p2p.network import Network, PeerId
from p2p.peers import Fault

MAX_FETCHES = 16
MAX_PEERS_ASKED = 3


@dataclass(frozen=True, slots=True)
class FetchedBlocks:
    """What one request gave."""

    blocks: tuple[tuple[PreparedBlock, int], ...]
    """Valid in isolation, with their sizes in bytes, in the order of the ids."""
    considered: int
    """How many of the ids the peer looked at."""
    too_early: int
    """How many more it served whose slots have not come by our clock; they are left out."""


async def serve_blocks(
    network: Network, chain: ChainContext, recent: RecentBlocks, workers: Workers, *, report: Report
) -> None:
    """Answer `/nexus/blocks/1` from the store, and what is on its way there."""

    async def answer(peer: PeerId, data: bytes) -> bytes:
        try:
            request = BLOCKS_REQUEST_CODEC.decode(data)
        except CodecError as error:
            report(peer, Fault.MALFORMED)
            raise RequestRefused(str(error)) from None
        reply = await workers.run_reader(lambda: _reply(chain, recent, request.ids))
        return BLOCKS_REPLY_CODEC.encode(reply)

    await network.serve(BLOCKS_PROTOCOL, answer, max_request_bytes=BLOCKS_REQUEST_CODEC.max_bytes)


def _reply(chain: ChainContext, recent: RecentBlocks, ids: Sequence[bytes]) -> BlocksReply:
    blocks: list[bytes] = []
    size = 32
    considered = 0
    for block_id in ids:
        block = recent.read(chain.store, block_id)
        if block is not None:
            raw = encode_block(block)
            size += len(raw) + ENTRY_OVERHEAD_BYTES
            if size > MAX_REPLY_BYTES:
                break
            blocks.append(raw)
        considered += 1
    return BlocksReply(tuple(blocks), considered)


class BlockFetcher:
    """Asks peers for blocks. `run` is the service that serves the needs of orphans."""

    def __init__(
        self,
        chain: ChainContext,
        network: Network,
        judge: BlockJudge,
        floor: FinalityFloor,
        lagging: trio.MemorySendChannel[PeerId],
        *,
        report: Report,
        log: Log,
    ) -> None:
        """`lagging`: see `IntakeOutlets`."""
        self._chain = chain
        self._network = network
        self._judge = judge
        self._floor = floor
        self._lagging = lagging
        self._report = report
        self._log = log
        self._asked: dict[bytes, None] = {}

    async def fetch(self, peer: PeerId, ids: Sequence[bytes]) -> FetchedBlocks:
        """Ask `peer` for `ids`. Errors: `NetworkError`; `PeerServedJunk` after the fault was reported."""
        reply = await ask(
            self._network,
            peer,
            BLOCKS_PROTOCOL,
            BLOCKS_REQUEST_CODEC.encode(BlocksRequest(tuple(ids))),
            BLOCKS_REPLY_CODEC,
            report=self._report,
        )
        wanted = list(ids)
        blocks: list[tuple[PreparedBlock, int]] = []
        too_early = 0
        last_slot = self._chain.now_slot() + self._chain.params.max_future_slots
        for raw in reply.blocks:
            try:
                prepared = await self._judge.block(decode_block(raw), len(raw), MAX_INTEGER)
            except (CodecError, InvalidBlock, BodyMismatch, BlockNotJudged) as error:
                fault = consequence_of(error).fault
                if fault is not None:
                    self._report(peer, fault)
                raise PeerServedJunk(peer, f"an invalid block: {error}") from None
            if prepared.block_id not in wanted:
                self._report(peer, Fault.BAD_REPLY)
                raise PeerServedJunk(peer, f"block {prepared.block_id.hex()[:16]}, which was not asked for")
            wanted = wanted[wanted.index(prepared.block_id) + 1 :]
            if prepared.block.header.slot > last_slot:
                # No fault, for our clock may be behind. But it may not come in: a validator can sign its lanes of
                # years to come at once, and they would outweigh the chain of the present.
                too_early += 1
                continue
            blocks.append((prepared, len(raw)))
        if not 0 < reply.considered <= len(ids):
            self._report(peer, Fault.BAD_REPLY)
            raise PeerServedJunk(peer, f"{len(reply.blocks)} blocks of {reply.considered} considered")
        return FetchedBlocks(tuple(blocks), reply.considered, too_early)

    async def run(
        self,
        missing: trio.MemoryReceiveChannel[MissingBlocks],
        intake: BlockIntake,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Fetch what orphans wait for, at most 16 requests at once; each block from up to three peers, the sender of
        its child first. Until cancelled."""
        slots = trio.Semaphore(MAX_FETCHES)
        async with trio.open_nursery() as nursery:
            task_status.started()
            async for need in missing:
                ids = tuple(one for one in need.ids if one not in self._asked and not intake.handles(one))
                if not ids:
                    continue
                self._asked.update(dict.fromkeys(ids))
                await slots.acquire()
                nursery.start_soon(self._fetch_missing, replace(need, ids=ids), intake, slots)

    async def _fetch_missing(self, need: MissingBlocks, intake: BlockIntake, slots: trio.Semaphore) -> None:
        try:
            left = [one for one in need.ids if read_header(self._chain.store, one) is None]
            for peer in self._peers_to_ask(need.peer):
                if not left:
                    break
                try:
                    fetched = await self.fetch(peer, left)
                except (NetworkError, PeerServedJunk) as error:
                    self._log.debug("fetching blocks failed", peer=peer, blocks=len(left), error=str(error))
                    continue
                for prepared, size in fetched.blocks:
                    left.remove(prepared.block_id)
                    if prepared.block.header.slot <= self._floor.slot:
                        # Old: of use only when the chain of a peer that has our checkpoint merges it, and its plan
                        # tells that.
                        offer(self._lagging, need.peer)
                        continue
                    await intake.put(
                        IncomingBlock(prepared, peer, size, Source.FETCHED, need.depth, need.publish)
                    )
            if left:
                self._log.debug("blocks not found", blocks=len(left), peer=need.peer)
        finally:
            for block_id in need.ids:
                self._asked.pop(block_id, None)
            slots.release()

    def _peers_to_ask(self, first: PeerId) -> tuple[PeerId, ...]:
        connected = [info.peer_id for info in self._network.peers()]
        order = [first, *(peer for peer in connected if peer != first)]
        return tuple(peer for peer in order if peer in connected)[:MAX_PEERS_ASKED]
