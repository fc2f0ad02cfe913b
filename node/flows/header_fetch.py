"""`/nexus/headers/1`: blocks by id without their bodies, asked for and served."""

from collections.abc import Sequence
from dataclasses import dataclass

from consensus.blocks import Header, decode_header, encode_header, header_id
from consensus.errors import UnknownHeaderVersion
from consensus.stores import read_header, read_votes
from consensus.votes import VOTES_CODEC, Vote
from ledger.errors import CodecError
from node.chain_context import ChainContext
from node.env import Workers
from node.flows.asking import PeerServedJunk, Report, ask, understood
from node.flows.wire import (
    BLOCKS_REQUEST_CODEC,
    ENTRY_OVERHEAD_BYTES,
    HEADERS_PROTOCOL,
    HEADERS_REPLY_CODEC,
    MAX_REPLY_BYTES,
    BlocksRequest,
    HeaderEntry,
    HeadersReply,
)
from p2p.network import Network, PeerId
from p2p.peers import Fault


@dataclass(frozen=True, slots=True)
class BareBlock:
    """A block without its body, as it was served: in shape, and of the id that was asked for."""

    block_id: bytes
    header: Header
    votes: tuple[Vote, ...]
    size: int
    """Bytes on the wire."""


@dataclass(frozen=True, slots=True)
class FetchedHeaders:
    """What one request gave."""

    blocks: tuple[BareBlock, ...]
    """In the order of the ids."""
    considered: int
    """How many of the ids the peer looked at."""


async def serve_headers(network: Network, chain: ChainContext, workers: Workers, *, report: Report) -> None:
    """Answer from the store."""

    async def answer(peer: PeerId, data: bytes) -> bytes:
        request = understood(BLOCKS_REQUEST_CODEC, peer, data, report)
        reply = await workers.run_reader(lambda: _reply(chain, request.ids))
        return HEADERS_REPLY_CODEC.encode(reply)

    await network.serve(HEADERS_PROTOCOL, answer, max_request_bytes=BLOCKS_REQUEST_CODEC.max_bytes)


def _reply(chain: ChainContext, ids: Sequence[bytes]) -> HeadersReply:
    entries: list[HeaderEntry] = []
    size = 32
    considered = 0
    for block_id in ids:
        header = read_header(chain.store, block_id)
        if header is not None:
            votes = VOTES_CODEC.encode(read_votes(chain.store, block_id))
            entry = HeaderEntry(encode_header(header), votes)
            size += _size_of(entry)
            if size > MAX_REPLY_BYTES:
                break
            entries.append(entry)
        considered += 1
    return HeadersReply(tuple(entries), considered)


def _size_of(entry: HeaderEntry) -> int:
    return len(entry.header) + len(entry.votes) + 3 * ENTRY_OVERHEAD_BYTES


async def fetch_headers(
    network: Network, peer: PeerId, ids: Sequence[bytes], *, report: Report
) -> FetchedHeaders:
    """Ask `peer` for the headers of `ids`. Errors: `NetworkError`; `PeerServedJunk` after the fault was reported."""
    reply = await ask(
        network,
        peer,
        HEADERS_PROTOCOL,
        BLOCKS_REQUEST_CODEC.encode(BlocksRequest(tuple(ids))),
        HEADERS_REPLY_CODEC,
        report=report,
    )
    if not 0 < reply.considered <= len(ids) or len(reply.entries) > reply.considered:
        report(peer, Fault.BAD_REPLY)
        raise PeerServedJunk(peer, f"{len(reply.entries)} headers of {reply.considered} considered")
    blocks: list[BareBlock] = []
    wanted = iter(ids[: reply.considered])
    for entry in reply.entries:
        try:
            header, votes = decode_header(entry.header), VOTES_CODEC.decode(entry.votes)
        except CodecError as error:
            known = isinstance(error, UnknownHeaderVersion)
            report(peer, Fault.INVALID if known else Fault.MALFORMED)
            raise PeerServedJunk(peer, f"a malformed header: {error}") from None
        block_id = header_id(header)
        if block_id not in wanted:  # takes from the iterator what stands before
            report(peer, Fault.BAD_REPLY)
            raise PeerServedJunk(peer, f"header {block_id.hex()[:16]}, which was not asked for")
        blocks.append(BareBlock(block_id, header, votes, _size_of(entry)))
    return FetchedHeaders(tuple(blocks), reply.considered)
