"""`/nexus/bodies/1`: bodies of blocks whose headers are known, asked for and served."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from consensus.body_tree import body_root
from consensus.stores import read_block
from node.chain_context import ChainContext
from node.env import Workers
from node.flows.asking import PeerServedJunk, Report, ask, understood
from node.flows.header_fetch import BareBlock
from node.flows.judging import INLINE_BYTES
from node.flows.wire import (
    BLOCKS_REQUEST_CODEC,
    BODIES_PROTOCOL,
    BODIES_REPLY_CODEC,
    ENTRY_OVERHEAD_BYTES,
    MAX_REPLY_BYTES,
    BlocksRequest,
    BodiesReply,
    BodyEntry,
)
from p2p.network import Network, PeerId
from p2p.peers import Fault

EMPTY_BODY_ROOT = body_root(())
"""A block with this root has no body to ask for."""


@dataclass(frozen=True, slots=True)
class FetchedBodies:
    """What one request gave."""

    bodies: dict[int, tuple[bytes, ...]]
    """By position in the request; each has its header's root."""
    considered: int
    """How many of the blocks the peer looked at."""
    size: int
    """Bytes of all bodies."""


async def serve_bodies(network: Network, chain: ChainContext, workers: Workers, *, report: Report) -> None:
    """Answer from the store."""

    async def answer(peer: PeerId, data: bytes) -> bytes:
        request = understood(BLOCKS_REQUEST_CODEC, peer, data, report)
        reply = await workers.run_reader(lambda: _reply(chain, request.ids))
        return BODIES_REPLY_CODEC.encode(reply)

    await network.serve(BODIES_PROTOCOL, answer, max_request_bytes=BLOCKS_REQUEST_CODEC.max_bytes)


def _reply(chain: ChainContext, ids: Sequence[bytes]) -> BodiesReply:
    bodies: list[BodyEntry] = []
    size = 32
    for position, block_id in enumerate(ids):
        block = read_block(chain.store, block_id)
        if block is None:
            continue
        size += size_of(block.transactions) + 3 * ENTRY_OVERHEAD_BYTES
        if size > MAX_REPLY_BYTES:
            return BodiesReply(tuple(bodies), position)
        bodies.append(BodyEntry(position, block.transactions))
    return BodiesReply(tuple(bodies), len(ids))


def size_of(transactions: Sequence[bytes]) -> int:
    """Bytes of a body on the wire, at most."""
    return sum(map(len, transactions)) + ENTRY_OVERHEAD_BYTES * len(transactions)


@dataclass(frozen=True, slots=True)
class BodyFetcher:
    """Asks for bodies. Stateless."""

    network: Network
    workers: Workers
    report: Report

    async def fetch(self, peer: PeerId, blocks: Sequence[BareBlock]) -> FetchedBodies:
        """Ask `peer` for the bodies of `blocks`. Errors: `NetworkError`; `PeerServedJunk` after the fault was
        reported, among others for a body that is not the header's."""
        reply = await ask(
            self.network,
            peer,
            BODIES_PROTOCOL,
            BLOCKS_REQUEST_CODEC.encode(BlocksRequest(tuple(block.block_id for block in blocks))),
            BODIES_REPLY_CODEC,
            report=self.report,
        )
        positions = [entry.position for entry in reply.bodies]
        ascending = all(at < after for at, after in pairwise(positions))
        within = not positions or positions[-1] < reply.considered
        if not 0 < reply.considered <= len(blocks) or not ascending or not within:
            self.report(peer, Fault.BAD_REPLY)
            raise PeerServedJunk(peer, f"{len(positions)} bodies of {reply.considered} considered")
        sizes = [size_of(entry.transactions) for entry in reply.bodies]

        def wrong() -> list[int]:
            return [
                entry.position
                for entry in reply.bodies
                if body_root(entry.transactions) != blocks[entry.position].header.body_root
            ]

        bad = wrong() if sum(sizes) < INLINE_BYTES else await self.workers.run_verifier(wrong)
        if bad:
            self.report(peer, Fault.INVALID)
            block_id = blocks[bad[0]].block_id
            raise PeerServedJunk(peer, f"a body that is not that of block {block_id.hex()[:16]}")
        return FetchedBodies(
            {entry.position: entry.transactions for entry in reply.bodies}, reply.considered, sum(sizes)
        )
