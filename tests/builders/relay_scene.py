"""A real node between a peer that sends blocks and one that listens."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trio
from builders.chain import Workshop
from builders.live_node import Lines, WallClock, clock_at, live_node

from consensus.blocks import Block, encode_block
from node.daemon import NodeHandle
from node.env import Workers
from node.flows.compact_blocks import compact
from node.flows.wire import (
    BLOCK_TRANSACTIONS_PROTOCOL,
    BLOCK_TRANSACTIONS_REPLY_CODEC,
    BLOCK_TRANSACTIONS_REQUEST_CODEC,
    BLOCKS_PROTOCOL,
    BLOCKS_REPLY_CODEC,
    BLOCKS_REQUEST_CODEC,
    MAX_BLOCK_MESSAGE_BYTES,
    BlocksReply,
    BlockTransactionsReply,
    block_message,
    blocks_topic,
    compact_message,
)
from p2p.network import PeerId, Verdict
from p2p.simulated import SimulatedFabric
from p2p.simulated_network import SimulatedNetwork

CALM_S = 0.5
"""Longer than any message of a calm wire takes there and back."""


@dataclass
class Peer:
    """A bare endpoint: remembers what it hears and serves the blocks that it is given."""

    network: SimulatedNetwork
    topic: str
    heard: list[bytes] = field(default_factory=list)
    served: dict[bytes, Block] = field(default_factory=dict)
    asked: list[bytes] = field(default_factory=list)
    positions: list[tuple[int, ...]] = field(default_factory=list)
    """Asked for by `/nexus/blocktxs/1`."""

    async def gossip(self, data: bytes) -> None:
        """Send, and wait until the node has judged it."""
        await self.network.publish(self.topic, data)
        await trio.sleep(CALM_S)

    async def send(self, *blocks: Block) -> None:
        """Gossip whole blocks."""
        for block in blocks:
            await self.gossip(block_message(encode_block(block)))

    async def send_compact(self, *blocks: Block) -> None:
        """Gossip compact blocks."""
        for block in blocks:
            await self.gossip(compact_message(compact(block)))

    async def hear(self, _peer: PeerId, data: bytes) -> Verdict:
        """Validator."""
        self.heard.append(data)
        return Verdict.IGNORE

    async def serve(self, _peer: PeerId, data: bytes) -> bytes:
        """Handler of `/nexus/blocks/1`."""
        ids = BLOCKS_REQUEST_CODEC.decode(data).ids
        self.asked.extend(ids)
        blocks = [encode_block(self.served[one]) for one in ids if one in self.served]
        return BLOCKS_REPLY_CODEC.encode(BlocksReply(tuple(blocks), len(ids)))

    async def serve_transactions(self, _peer: PeerId, data: bytes) -> bytes:
        """Handler of `/nexus/blocktxs/1`."""
        request = BLOCK_TRANSACTIONS_REQUEST_CODEC.decode(data)
        self.positions.append(request.positions)
        block = self.served.get(request.block_id)
        found = () if block is None else tuple(block.transactions[at] for at in request.positions)
        return BLOCK_TRANSACTIONS_REPLY_CODEC.encode(BlockTransactionsReply(found))


@dataclass
class Scene:
    """A node between a sender and a listener."""

    shop: Workshop
    handle: NodeHandle
    clock: WallClock
    sender: Peer
    listener: Peer
    log: Lines

    def knows(self, name: str) -> bool:
        """Whether the block is in the node's DAG."""
        return self.handle.services.store.get(b"ch" + self.shop.id(name)) is not None

    @property
    def sender_score(self) -> float:
        """0 is spotless."""
        return self.handle.services.peer_score(self.sender.network.peer_id)


@asynccontextmanager
async def scene(
    shop: Workshop, directory: Path, slot: int, workers: Workers | None = None
) -> AsyncIterator[Scene]:
    topic = blocks_topic(shop.chain.params.chain_id)
    clock, log = clock_at(shop.chain, slot), Lines()
    async with (
        SimulatedFabric(1) as fabric,
        live_node(fabric, shop.chain, directory, clock=clock, log=log, workers=workers) as handle,
        fabric.join("sender") as sender_wire,
        fabric.join("listener") as listener_wire,
    ):
        peers = [Peer(sender_wire, topic), Peer(listener_wire, topic)]
        for peer in peers:
            await peer.network.subscribe(topic, peer.hear, max_bytes=MAX_BLOCK_MESSAGE_BYTES)
            await peer.network.serve(BLOCKS_PROTOCOL, peer.serve, max_request_bytes=100_000)
            await peer.network.serve(
                BLOCK_TRANSACTIONS_PROTOCOL, peer.serve_transactions, max_request_bytes=100_000
            )
            await peer.network.connect("/memory/node/p2p/node")
        yield Scene(shop, handle, clock, *peers, log)
        assert not fabric.own_faults
