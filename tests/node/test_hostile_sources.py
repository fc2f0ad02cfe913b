"""Peers that are synchronised with and mean harm: blocks out of the future, plans without an end, drops."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio
from builders.blocks import FoundedChain
from builders.chain import Workshop, devnet
from builders.live_node import Lines, clock_at, live_node

from consensus.blocks import encode_block
from node.daemon import NodeHandle
from node.flows.sync import SyncState
from node.flows.wire import (
    BLOCKS_PROTOCOL,
    BLOCKS_REPLY_CODEC,
    BLOCKS_REQUEST_CODEC,
    STATUS_CODEC,
    STATUS_PROTOCOL,
    SYNC_PROTOCOL,
    SYNC_REPLY_CODEC,
    WIRE_VERSION,
    BlocksReply,
    Status,
    SyncReply,
)
from p2p.network import PeerId
from p2p.simulated import SimulatedFabric
from p2p.simulated_network import SimulatedNetwork

CLAIM = 10_000
"""The blue score that each of them claims."""


@dataclass
class Source:
    """A peer that claims to be far ahead."""

    network: SimulatedNetwork
    asked: dict[str, int]

    async def serve(self, protocol: str, answer: Callable[[bytes], bytes], *, after_s: float = 0.0) -> None:
        """Answer with what `answer` makes of the request, so much later."""

        async def handle(_peer: PeerId, data: bytes) -> bytes:
            self.asked[protocol] = self.asked.get(protocol, 0) + 1
            await trio.sleep(after_s)
            return answer(data)

        await self.network.serve(protocol, handle, max_request_bytes=100_000)

    async def serve_shop(
        self, shop: Workshop, names: list[str], *, after_s: float = 0.0, at_once: int = 256
    ) -> None:
        """Plan these blocks, and serve them, `at_once` in a reply."""
        ids = tuple(shop.id(name) for name in names)
        blocks = {shop.id(name): encode_block(shop.blocks[name]) for name in names}
        plan = SYNC_REPLY_CODEC.encode(
            SyncReply(shop.chain.params.genesis_hash, ids, True, ids[-1], (), CLAIM)
        )

        def answer(data: bytes) -> bytes:
            wanted = BLOCKS_REQUEST_CODEC.decode(data).ids[:at_once]
            found = tuple(blocks[one] for one in wanted if one in blocks)
            return BLOCKS_REPLY_CODEC.encode(BlocksReply(found, len(wanted)))

        await self.serve(SYNC_PROTOCOL, lambda _: plan)
        await self.serve(BLOCKS_PROTOCOL, answer, after_s=after_s)


@asynccontextmanager
async def source(fabric: SimulatedFabric, chain: FoundedChain, name: str) -> AsyncIterator[Source]:
    params = chain.params
    status = Status(WIRE_VERSION, params.genesis_hash, params.chain_id, 1, CLAIM, name.encode().ljust(32))
    async with fabric.join(name) as network:
        peer = Source(network, {})
        await peer.serve(STATUS_PROTOCOL, lambda _: STATUS_CODEC.encode(status))
        yield peer


async def until(condition: Callable[[], bool], within_s: float) -> None:
    with trio.fail_after(within_s):
        while not condition():  # noqa: ASYNC110 - the condition reads a running node, which tells no one
            await trio.sleep(0.05)


def state_of(node: NodeHandle) -> SyncState:
    return node.services.sync_status().state


async def test_L9_blocks_out_of_the_future_do_not_come_in_by_synchronisation(
    tmp_path: Path, autojump_clock: object
) -> None:
    """A validator can sign its lanes of years to come at once: they would outweigh the chain of the present."""
    shop = Workshop(devnet())
    shop.make("now", ["genesis"], slot=3)
    before, names = "now", ["now"]
    for slot in range(1_000, 1_040):
        shop.make(f"f{slot}", [before], slot=slot)
        before = f"f{slot}"
        names.append(before)
    async with (
        SimulatedFabric(1) as fabric,
        source(fabric, shop.chain, "prophet") as prophet,
        live_node(
            fabric,
            shop.chain,
            tmp_path,
            clock=clock_at(shop.chain, 5),
            bootstrap=["/memory/prophet/p2p/prophet"],
        ) as node,
    ):
        await prophet.serve_shop(shop, names)
        await until(lambda: state_of(node) is SyncState.STUCK, 30)
        assert node.services.head.id == shop.id("now")
        assert node.services.peer_score("prophet") == 0


async def test_a_plan_without_an_end_is_left(tmp_path: Path, autojump_clock: object) -> None:
    """Each plan is another one, says that there is more, and holds nothing that we lack."""
    chain, log = devnet(), Lines()
    async with (
        SimulatedFabric(1) as fabric,
        source(fabric, chain, "circle") as circle,
        live_node(
            fabric,
            chain,
            tmp_path,
            clock=clock_at(chain, 5),
            bootstrap=["/memory/circle/p2p/circle"],
            log=log,
        ) as node,
    ):

        def next_plan(_data: bytes) -> bytes:
            resume = circle.asked[SYNC_PROTOCOL].to_bytes(32, "big")
            return SYNC_REPLY_CODEC.encode(SyncReply(bytes(32), (), False, resume, (), CLAIM))

        await circle.serve(SYNC_PROTOCOL, next_plan)
        await until(lambda: state_of(node) is SyncState.STUCK, 30)
        assert "synchronising failed" in log.events("warning")


async def test_R16_claims_of_peers_do_not_take_a_validator_that_is_up_to_date_off_its_lanes(
    tmp_path: Path, autojump_clock: object
) -> None:
    """Three peers in turn claim to be ahead and answer as late as they may."""
    chain = devnet()
    names = ["liar1", "liar2", "liar3"]
    async with (
        SimulatedFabric(1) as fabric,
        live_node(fabric, chain, tmp_path, clock=clock_at(chain, 4), keys=chain.keys) as node,
    ):
        await until(lambda: node.services.head.slot >= 8, 30)
        async with trio.open_nursery() as nursery:

            async def lie(name: str) -> None:
                async with source(fabric, chain, name) as liar:
                    await liar.serve(SYNC_PROTOCOL, lambda _: b"", after_s=9.5)
                    await liar.network.connect("/memory/node/p2p/node")
                    await trio.sleep_forever()

            for name in names:
                nursery.start_soon(lie, name)
            await until(lambda: state_of(node) is SyncState.SYNCHRONISING, 10)
            for _ in range(30):
                await trio.sleep(1)
                behind = chain_slot(node) - node.services.head.slot
                assert behind <= 3
            nursery.cancel_scope.cancel()


def chain_slot(node: NodeHandle) -> int:
    params = node.services.params
    return (node.services.now_ms() - params.genesis_time_ms) // params.slot_ms


async def test_N4_a_peer_that_delivers_in_drops_is_left_for_another(
    tmp_path: Path, autojump_clock: object
) -> None:
    """One block in nine seconds is an answer in time, and less than the network makes."""
    shop = Workshop(devnet())
    names = []
    for slot in range(1, 61):
        shop.make(f"c{slot}", [f"c{slot - 1}" if slot > 1 else "genesis"])
        names.append(f"c{slot}")
    async with (
        SimulatedFabric(1) as fabric,
        source(fabric, shop.chain, "drip") as drip,
        source(fabric, shop.chain, "good") as good,
        live_node(
            fabric,
            shop.chain,
            tmp_path,
            clock=clock_at(shop.chain, 62),
            bootstrap=["/memory/drip/p2p/drip"],
        ) as node,
    ):
        await drip.serve_shop(shop, names, after_s=9.0, at_once=1)
        await until(lambda: BLOCKS_PROTOCOL in drip.asked, 10)
        await good.serve_shop(shop, names)
        await good.network.connect("/memory/node/p2p/node")
        await until(lambda: node.services.head.id == shop.id("c60"), 20)


async def test_whoever_is_slow_and_the_only_one_brings_us_on_all_the_same(
    tmp_path: Path, autojump_clock: object
) -> None:
    shop = Workshop(devnet())
    names = []
    for slot in range(1, 31):
        shop.make(f"c{slot}", [f"c{slot - 1}" if slot > 1 else "genesis"])
        names.append(f"c{slot}")
    async with (
        SimulatedFabric(1) as fabric,
        source(fabric, shop.chain, "drip") as drip,
        live_node(
            fabric, shop.chain, tmp_path, clock=clock_at(shop.chain, 32), bootstrap=["/memory/drip/p2p/drip"]
        ) as node,
    ):
        await drip.serve_shop(shop, names, after_s=6.0, at_once=3)
        await until(lambda: node.services.head.id == shop.id("c30"), 300)
        assert node.services.peer_score("drip") == 0
