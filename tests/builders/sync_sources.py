"""Peers that a node synchronises with: each of their answers can be chosen, and every question is kept."""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio
from builders.blocks import FoundedChain
from builders.chain import Workshop

from consensus.blocks import Block, encode_block, encode_header
from consensus.votes import VOTES_CODEC
from node.flows.wire import (
    BLOCKS_PROTOCOL,
    BLOCKS_REPLY_CODEC,
    BLOCKS_REQUEST_CODEC,
    BODIES_PROTOCOL,
    BODIES_REPLY_CODEC,
    HEADERS_PROTOCOL,
    HEADERS_REPLY_CODEC,
    STATUS_CODEC,
    STATUS_PROTOCOL,
    SYNC_PROTOCOL,
    SYNC_REPLY_CODEC,
    WIRE_VERSION,
    BlocksReply,
    BodiesReply,
    BodyEntry,
    HeaderEntry,
    HeadersReply,
    Status,
    SyncReply,
)
from p2p.network import PeerId
from p2p.simulated import SimulatedFabric
from p2p.simulated_network import SimulatedNetwork

CLAIM = 10_000
"""The blue score that a source claims unless told otherwise."""

Answer = Callable[[bytes], bytes]


@dataclass
class Source:
    """An endpoint with a status."""

    network: SimulatedNetwork
    status: Status
    asked: list[tuple[str, bytes, float]] = field(default_factory=list)
    """(protocol, request, time)."""
    open_now: int = 0

    async def serve(self, protocol: str, answer: Answer | None, *, after_s: float = 0.0) -> None:
        """Answer with what `answer` makes of the request, so much later; None never answers."""

        async def handle(_peer: PeerId, data: bytes) -> bytes:
            self.asked.append((protocol, data, trio.current_time()))
            if answer is None:
                await trio.sleep_forever()
            assert answer is not None
            await trio.sleep(after_s)
            return answer(data)

        await self.network.serve(protocol, handle, max_request_bytes=100_000)

    async def serve_all(
        self,
        blocks: Sequence[Block],
        *,
        plan: Answer | None = None,
        headers: Answer | None = None,
        bodies: Answer | None = None,
        after_s: float = 0.0,
        at_once: int = 512,
    ) -> None:
        """Plan these blocks and serve them, `at_once` in a reply, bodies so much later."""
        await self.serve(SYNC_PROTOCOL, plan or plan_of(blocks))
        await self.serve(HEADERS_PROTOCOL, headers or headers_of(blocks, at_once=at_once))
        await self.serve(BODIES_PROTOCOL, bodies or bodies_of(blocks, at_once=at_once), after_s=after_s)
        await self.serve(BLOCKS_PROTOCOL, whole_of(blocks))

    def requests(self, protocol: str) -> list[bytes]:
        """What was asked by this protocol, in order."""
        return [data for name, data, _ in self.asked if name == protocol]

    def ids_asked(self, protocol: str) -> list[bytes]:
        """Ids of all requests of a protocol, in order."""
        return [one for data in self.requests(protocol) for one in BLOCKS_REQUEST_CODEC.decode(data).ids]


@asynccontextmanager
async def source(
    fabric: SimulatedFabric,
    chain: FoundedChain,
    name: str,
    *,
    blue_score: int = CLAIM,
    slot: int = 1,
    genesis: bytes | None = None,
) -> AsyncIterator[Source]:
    """A peer that serves nothing but its status."""
    params = chain.params
    status = Status(
        WIRE_VERSION,
        genesis or params.genesis_hash,
        params.chain_id,
        slot,
        blue_score,
        name.encode().ljust(32),
    )
    async with fabric.join(name) as network:
        peer = Source(network, status)
        await peer.serve(STATUS_PROTOCOL, lambda _: STATUS_CODEC.encode(peer.status))
        yield peer


def blocks_named(shop: Workshop, names: Iterable[str] | None = None) -> tuple[Block, ...]:
    """Blocks of a workshop, all when none is named, in the order of making."""
    return tuple(shop.blocks[name] for name in (shop.blocks if names is None else names))


def plan_of(blocks: Sequence[Block], *, common: bytes = bytes(32), complete: bool = True) -> Answer:
    """One plan of these blocks."""
    ids = tuple(block.header_id for block in blocks)
    reply = SyncReply(common, ids, complete, ids[-1] if ids else common, (), CLAIM)
    return lambda _: SYNC_REPLY_CODEC.encode(reply)


def headers_of(blocks: Sequence[Block], *, at_once: int = 512) -> Answer:
    """Headers with their votes."""
    entries = {block.header_id: header_entry(block) for block in blocks}

    def answer(data: bytes) -> bytes:
        ids = BLOCKS_REQUEST_CODEC.decode(data).ids[:at_once]
        found = tuple(entries[one] for one in ids if one in entries)
        return HEADERS_REPLY_CODEC.encode(HeadersReply(found, len(ids)))

    return answer


def header_entry(block: Block) -> HeaderEntry:
    """As it is sent."""
    return HeaderEntry(encode_header(block.header), VOTES_CODEC.encode(block.votes))


def bodies_of(blocks: Sequence[Block], *, at_once: int = 512) -> Answer:
    """Bodies."""
    bodies = {block.header_id: block.transactions for block in blocks}

    def answer(data: bytes) -> bytes:
        ids = BLOCKS_REQUEST_CODEC.decode(data).ids[:at_once]
        found = [BodyEntry(at, bodies[one]) for at, one in enumerate(ids) if one in bodies]
        return BODIES_REPLY_CODEC.encode(BodiesReply(tuple(found), len(ids)))

    return answer


def whole_of(blocks: Sequence[Block]) -> Answer:
    """Whole blocks."""
    raws = {block.header_id: encode_block(block) for block in blocks}

    def answer(data: bytes) -> bytes:
        ids = BLOCKS_REQUEST_CODEC.decode(data).ids
        return BLOCKS_REPLY_CODEC.encode(
            BlocksReply(tuple(raws[one] for one in ids if one in raws), len(ids))
        )

    return answer


async def until(condition: Callable[[], bool], within_s: float) -> float:
    """Seconds until the condition holds. Fails after `within_s`."""
    started_s = trio.current_time()
    with trio.fail_after(within_s):
        while not condition():  # noqa: ASYNC110 - the condition reads a running node, which tells no one
            await trio.sleep(0.05)
    return trio.current_time() - started_s
