"""Catching up with peers that are ahead, silent, lying, or of another network."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import msgspec
import trio
from builders.blocks import FoundedChain, found_chain
from builders.chain import Workshop, devnet, new_engine
from builders.live_node import KeptStores, Lines, clock_at, live_node

from consensus.blocks import encode_block
from ledger.storage.memory import MemoryStore
from node.daemon import NodeHandle
from node.flows.sync import STARTUP_GRACE_S, SyncState
from node.flows.wire import (
    BLOCKS_PROTOCOL,
    BLOCKS_REPLY_CODEC,
    BLOCKS_REQUEST_CODEC,
    STATUS_CODEC,
    STATUS_PROTOCOL,
    SYNC_PROTOCOL,
    SYNC_REPLY_CODEC,
    SYNC_REQUEST_CODEC,
    WIRE_VERSION,
    BlocksReply,
    Status,
    SyncReply,
    SyncRequest,
    block_message,
    blocks_topic,
)
from p2p.errors import RequestFailed, RequestRefused
from p2p.network import PeerId
from p2p.simulated import SimulatedFabric
from p2p.simulated_network import SimulatedNetwork

SLOTS = 120


@cache
def long_shop() -> Workshop:
    """A chain of one block a slot, with two side blocks at its end."""
    shop = Workshop(devnet())
    for slot in range(1, SLOTS + 1):
        pay = [("alice", "bob", slot)] if slot % 10 == 0 else []
        shop.make(f"c{slot}", [f"c{slot - 1}" if slot > 1 else "genesis"], pay=pay)
    shop.make("side1", [f"c{SLOTS - 2}"], slot=SLOTS - 1, band=5)
    shop.make("side2", [f"c{SLOTS - 1}"], slot=SLOTS, band=5)
    return shop


def stores_with(shop: Workshop, *names: str) -> KeptStores:
    """The stores of a node that has these blocks (all when none is named)."""
    store = MemoryStore()
    new_engine(shop.chain, store).process_blocks(shop.prepared(*names))
    kept = KeptStores()
    kept.contents["db"] = dict(store._content)
    return kept


@dataclass
class FakePeer:
    """A peer whose every answer a test can choose."""

    network: SimulatedNetwork
    chain: FoundedChain
    status: Status
    asked: list[tuple[str, bytes]] = field(default_factory=list)

    async def answer_with(self, protocol: str, answer: Callable[[bytes], bytes] | None) -> None:
        """Serve `protocol`; None never answers."""

        async def handle(_peer: PeerId, data: bytes) -> bytes:
            self.asked.append((protocol, data))
            if answer is None:
                await trio.sleep_forever()
            assert answer is not None
            return answer(data)

        await self.network.serve(protocol, handle, max_request_bytes=100_000)


@asynccontextmanager
async def fake_peer(
    fabric: SimulatedFabric, chain: FoundedChain, name: str, *, blue_score: int, genesis: bytes | None = None
) -> AsyncIterator[FakePeer]:
    params = chain.params
    status = Status(
        WIRE_VERSION,
        genesis or params.genesis_hash,
        params.chain_id,
        SLOTS,
        blue_score,
        name.encode().ljust(32),
    )
    async with fabric.join(name) as network:
        peer = FakePeer(network, chain, status)
        await peer.answer_with(STATUS_PROTOCOL, lambda _: STATUS_CODEC.encode(peer.status))
        yield peer


@asynccontextmanager
async def newcomer(
    fabric: SimulatedFabric, chain: FoundedChain, directory: Path, log: Lines, bootstrap: Sequence[str]
) -> AsyncIterator[NodeHandle]:
    async with live_node(
        fabric,
        chain,
        directory / "new",
        name="new",
        clock=clock_at(chain, SLOTS + 1),
        bootstrap=[f"/memory/{name}/p2p/{name}" for name in bootstrap],
        log=log,
    ) as handle:
        yield handle


async def until(condition: Callable[[], bool], within_s: float) -> float:
    """Seconds until the condition holds. Fails after `within_s`."""
    started_s = trio.current_time()
    with trio.fail_after(within_s):
        while not condition():  # noqa: ASYNC110 - the condition reads a running node, which tells no one
            await trio.sleep(0.05)
    return trio.current_time() - started_s


def full_nodes(
    fabric: SimulatedFabric, shop: Workshop, directory: Path, names: Sequence[str]
) -> list[AsyncIterator[NodeHandle]]:
    """Nodes that have the whole chain."""
    return [
        live_node(
            fabric,
            shop.chain,
            directory / name,
            name=name,
            clock=clock_at(shop.chain, SLOTS + 1),
            stores=stores_with(shop),
        )
        for name in names
    ]


async def test_a_new_node_gets_everything_that_a_peer_has(tmp_path: Path, autojump_clock: object) -> None:
    shop, log = long_shop(), Lines()
    async with SimulatedFabric(1) as fabric, AsyncExitStack() as stack:
        (full,) = [
            await stack.enter_async_context(one) for one in full_nodes(fabric, shop, tmp_path, ["full"])
        ]
        new = await stack.enter_async_context(newcomer(fabric, shop.chain, tmp_path, log, ["full"]))
        await until(lambda: new.services.sync_status().state is SyncState.SYNCHRONISED, 15)
        await until(lambda: new.services.head == full.services.head, 5)
        assert all(
            new.services.store.get(b"cb" + block.header_id) is not None for block in shop.blocks.values()
        )
        assert new.services.sync_status().blocks_done == len(shop.blocks)
        assert "synchronised" in log.events("info")


async def test_N4_a_silent_peer_is_left_for_another_within_15_s(
    tmp_path: Path, autojump_clock: object
) -> None:
    shop, log = long_shop(), Lines()
    async with SimulatedFabric(1) as fabric, AsyncExitStack() as stack:
        silent = await stack.enter_async_context(fake_peer(fabric, shop.chain, "silent", blue_score=10_000))
        await silent.answer_with(SYNC_PROTOCOL, None)
        (full,) = [
            await stack.enter_async_context(one) for one in full_nodes(fabric, shop, tmp_path, ["full"])
        ]
        new = await stack.enter_async_context(newcomer(fabric, shop.chain, tmp_path, log, ["silent", "full"]))
        await until(lambda: any(protocol == SYNC_PROTOCOL for protocol, _ in silent.asked), 5)
        assert await until(lambda: new.services.head == full.services.head, 30) <= 15
        assert new.services.peer_score("silent") == 0


async def test_N4_whoever_stops_serving_midway_is_replaced_and_nothing_is_fetched_twice(
    tmp_path: Path, autojump_clock: object
) -> None:
    shop, log = long_shop(), Lines()
    names = [f"c{slot}" for slot in range(1, SLOTS + 1)]
    ids = tuple(shop.id(name) for name in names)
    async with SimulatedFabric(1) as fabric, AsyncExitStack() as stack:
        weary = await stack.enter_async_context(fake_peer(fabric, shop.chain, "weary", blue_score=10_000))
        await weary.answer_with(
            SYNC_PROTOCOL,
            lambda _: SYNC_REPLY_CODEC.encode(SyncReply(bytes(32), ids, True, ids[-1], (), 10_000)),
        )

        def serve_forty(data: bytes) -> bytes:
            asked = BLOCKS_REQUEST_CODEC.decode(data).ids
            if asked[0] != ids[0]:
                raise RequestRefused("enough for today")
            blocks = tuple(encode_block(shop.blocks[name]) for name in names[:40])
            return BLOCKS_REPLY_CODEC.encode(BlocksReply(blocks, 40))

        await weary.answer_with(BLOCKS_PROTOCOL, serve_forty)
        new = await stack.enter_async_context(newcomer(fabric, shop.chain, tmp_path, log, ["weary", "full"]))
        await until(lambda: new.services.sync_status().state is SyncState.STUCK, 15)
        (full,) = [
            await stack.enter_async_context(one) for one in full_nodes(fabric, shop, tmp_path, ["full"])
        ]
        await until(lambda: new.services.head == full.services.head, 60)
        done = [facts["blocks"] for _, event, facts in log.lines if event == "synchronised"]
        failed = [facts["blocks"] for _, event, facts in log.lines if event == "synchronising failed"]
        assert failed == [40] and done == [len(shop.blocks) - 40]


async def test_a_peer_that_plans_blocks_and_does_not_deliver_loses_points(
    tmp_path: Path, autojump_clock: object
) -> None:
    shop, log = long_shop(), Lines()
    ids = tuple(bytes([n]) * 32 for n in range(10))
    async with (
        SimulatedFabric(1) as fabric,
        fake_peer(fabric, shop.chain, "liar", blue_score=10_000) as liar,
    ):
        reply = SyncReply(bytes(32), ids, True, ids[-1], (), 10_000)
        await liar.answer_with(SYNC_PROTOCOL, lambda _: SYNC_REPLY_CODEC.encode(reply))
        await liar.answer_with(BLOCKS_PROTOCOL, lambda _: BLOCKS_REPLY_CODEC.encode(BlocksReply((), 10)))
        async with newcomer(fabric, shop.chain, tmp_path, log, ["liar"]) as new:
            await until(lambda: new.services.sync_status().state is SyncState.STUCK, 10)
            assert "0 of 10 blocks" in new.services.sync_status().reason
            assert new.services.peer_score("liar") < 0
            assert not new.services.readiness()[0]


async def test_a_head_whose_past_never_comes_by_itself_is_synchronised(
    tmp_path: Path, autojump_clock: object
) -> None:
    """Its block came by gossip and waits among the orphans; the peer is not ahead, so nothing else would start it."""
    shop, log = long_shop(), Lines()
    head = shop.blocks["c10"]
    async with (
        SimulatedFabric(1) as fabric,
        fake_peer(fabric, shop.chain, "peer", blue_score=9) as peer,
        newcomer(fabric, shop.chain, tmp_path, log, ["peer"]) as new,
    ):
        peer.status = msgspec.structs.replace(peer.status, head_id=head.header_id)
        await peer.answer_with(BLOCKS_PROTOCOL, lambda _: BLOCKS_REPLY_CODEC.encode(BlocksReply((), 1)))
        await peer.answer_with(SYNC_PROTOCOL, None)
        await until(lambda: bool(new.services.network.peers()), 5)
        message = block_message(encode_block(head))
        await peer.network.publish(blocks_topic(shop.chain.params.chain_id), message)
        assert await until(lambda: any(name == SYNC_PROTOCOL for name, _ in peer.asked), 30) <= 20


async def test_a_claim_that_nobody_can_prove_does_not_silence_a_validator(
    tmp_path: Path, autojump_clock: object
) -> None:
    chain = devnet()
    async with SimulatedFabric(1) as fabric, fake_peer(fabric, chain, "liar", blue_score=10_000) as liar:
        await liar.answer_with(SYNC_PROTOCOL, None)
        async with live_node(
            fabric,
            chain,
            tmp_path,
            clock=clock_at(chain, 4),
            keys=chain.keys,
            bootstrap=["/memory/liar/p2p/liar"],
        ) as node:
            await until(lambda: node.services.head.slot >= 10, 30)


async def test_a_peer_of_another_genesis_is_told_why_and_left(tmp_path: Path, autojump_clock: object) -> None:
    chain, other, log = devnet(), found_chain(6, chain_id="other-net"), Lines()
    async with (
        SimulatedFabric(1) as fabric,
        live_node(
            fabric, other, tmp_path / "stranger", name="stranger", clock=clock_at(other, 4), log=log
        ) as stranger,
        newcomer(fabric, chain, tmp_path, Lines(), ["stranger"]) as new,
    ):
        await until(lambda: "peer connected" in log.events(), 5)
        await until(lambda: not new.services.network.peers() and not stranger.services.network.peers(), 10)
        reasons = [str(facts.get("reason")) for level, _, facts in log.lines if level == "warning"]
        assert any("other-net" in reason and "nexus-test" in reason for reason in reasons)


async def test_N5_a_malformed_request_is_refused_and_is_a_ban(tmp_path: Path, autojump_clock: object) -> None:
    chain = devnet()
    async with (
        SimulatedFabric(1) as fabric,
        live_node(fabric, chain, tmp_path, clock=clock_at(chain, 4)) as node,
        fabric.join("rude") as rude,
    ):
        await rude.connect("/memory/node/p2p/node")
        with suppress(RequestRefused, RequestFailed):
            await rude.request("node", SYNC_PROTOCOL, b"\x93\x90\x01\x90", max_reply_bytes=10, timeout_s=5)
        assert node.services.peer_score("rude") == -100


async def test_N5_a_plan_is_bounded_whatever_is_asked_for(tmp_path: Path, autojump_clock: object) -> None:
    shop = long_shop()
    async with SimulatedFabric(1) as fabric, AsyncExitStack() as stack:
        await stack.enter_async_context(full_nodes(fabric, shop, tmp_path, ["full"])[0])
        asker = await stack.enter_async_context(fabric.join("asker"))
        await asker.connect("/memory/full/p2p/full")
        request = SYNC_REQUEST_CODEC.encode(SyncRequest((bytes(32),), 10, ()))
        raw = await asker.request(
            "full", SYNC_PROTOCOL, request, max_reply_bytes=SYNC_REPLY_CODEC.max_bytes, timeout_s=5
        )
        reply = SYNC_REPLY_CODEC.decode(raw)
        assert reply.ids == tuple(shop.id(f"c{slot}") for slot in range(1, 11)) and not reply.complete


async def test_two_sides_of_a_healed_partition_get_each_others_blocks(
    tmp_path: Path, autojump_clock: object
) -> None:
    shop = Workshop(devnet())
    left, right = [], []
    for slot in range(1, 31):
        for side, band in ((left, 0), (right, 3)):
            name = f"{band}.{slot}"
            shop.make(name, [side[-1] if side else "genesis"], slot=slot, band=band)
            side.append(name)
    async with (
        SimulatedFabric(1) as fabric,
        live_node(
            fabric,
            shop.chain,
            tmp_path / "left",
            name="left",
            clock=clock_at(shop.chain, 31),
            stores=stores_with(shop, *left),
        ) as one,
        live_node(
            fabric,
            shop.chain,
            tmp_path / "right",
            name="right",
            clock=clock_at(shop.chain, 31),
            stores=stores_with(shop, *right),
            bootstrap=["/memory/left/p2p/left"],
        ) as other,
    ):
        await until(lambda: one.services.head == other.services.head, 30)
        for handle in (one, other):
            assert all(
                handle.services.store.get(b"ch" + shop.id(name)) is not None for name in (*left, *right)
            )


async def test_a_node_whose_known_peers_are_all_gone_goes_on_alone(
    tmp_path: Path, autojump_clock: object
) -> None:
    chain = devnet()
    async with (
        SimulatedFabric(1) as fabric,
        live_node(
            fabric,
            chain,
            tmp_path,
            clock=clock_at(chain, 1),
            keys=chain.keys,
            bootstrap=["/memory/gone/p2p/gone"],
        ) as node,
    ):
        assert node.services.sync_status().state is SyncState.STARTING
        await trio.sleep(STARTUP_GRACE_S / 2)
        assert node.services.head.slot == 0
        await until(lambda: node.services.head.slot > 0, STARTUP_GRACE_S)
