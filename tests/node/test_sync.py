"""Catching up with peers that are ahead, silent, slow, or of another network."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest
import trio
from builders.blocks import FoundedChain, found_chain
from builders.chain import Workshop, devnet, new_engine
from builders.finality import Life
from builders.live_node import KeptStores, Lines, SlowWriter, clock_at, live_node
from builders.sync_sources import CLAIM, blocks_named, bodies_of, headers_of, source, until

from consensus.blocks import encode_block
from consensus.engine import Engine
from consensus.errors import AnchorNotExecuted, BlockNotJudged
from consensus.events import Event
from consensus.prepare import PreparedBlock
from ledger.storage.memory import MemoryStore
from node.daemon import NodeHandle
from node.env import InlineWorkers
from node.flows import body_download, header_stage
from node.flows.body_fetch import EMPTY_BODY_ROOT
from node.flows.sync import STARTUP_GRACE_S
from node.flows.sync_status import SyncActivity, SyncState
from node.flows.wire import (
    BLOCKS_PROTOCOL,
    BODIES_PROTOCOL,
    HEADERS_PROTOCOL,
    SYNC_PROTOCOL,
    SYNC_REPLY_CODEC,
    SYNC_REQUEST_CODEC,
    SyncRequest,
    block_message,
    blocks_topic,
)
from p2p.errors import RequestFailed, RequestRefused
from p2p.simulated import SimulatedFabric

T = TypeVar("T")

SLOTS = 120


@cache
def long_shop() -> Workshop:
    """A chain of one block a slot, with two side blocks at its end."""
    shop = Workshop(devnet())
    for slot in range(1, SLOTS + 1):
        pay = [("alice", "bob", slot)] if slot % 2 == 0 else []
        shop.make(f"c{slot}", [f"c{slot - 1}" if slot > 1 else "genesis"], pay=pay)
    shop.make("side1", [f"c{SLOTS - 2}"], slot=SLOTS - 1, band=5)
    shop.make("side2", [f"c{SLOTS - 1}"], slot=SLOTS, band=5)
    return shop


CHAIN = [f"c{slot}" for slot in range(1, SLOTS + 1)]


def stores_with(shop: Workshop, *names: str) -> KeptStores:
    """The stores of a node that has these blocks (all when none is named)."""
    store = MemoryStore()
    new_engine(shop.chain, store).process_blocks(shop.prepared(*names))
    kept = KeptStores()
    kept.contents["db"] = dict(store._content)
    return kept


@asynccontextmanager
async def newcomer(
    fabric: SimulatedFabric,
    chain: FoundedChain,
    directory: Path,
    bootstrap: Sequence[str],
    *,
    log: Lines | None = None,
    stores: KeptStores | None = None,
    workers: InlineWorkers | None = None,
    slot: int = SLOTS + 1,
) -> AsyncIterator[NodeHandle]:
    async with live_node(
        fabric,
        chain,
        directory / "new",
        name="new",
        clock=clock_at(chain, slot),
        bootstrap=[f"/memory/{name}/p2p/{name}" for name in bootstrap],
        log=log,
        stores=stores,
        workers=workers,
    ) as handle:
        yield handle


@asynccontextmanager
async def full_node(
    fabric: SimulatedFabric, shop: Workshop, directory: Path, name: str = "full"
) -> AsyncIterator[NodeHandle]:
    """A node that has the whole chain."""
    async with live_node(
        fabric,
        shop.chain,
        directory / name,
        name=name,
        clock=clock_at(shop.chain, SLOTS + 1),
        stores=stores_with(shop),
    ) as handle:
        yield handle


def has(node: NodeHandle, shop: Workshop, *names: str) -> bool:
    """Whether the blocks are in the node's DAG."""
    return all(node.services.store.get(b"ch" + shop.id(name)) is not None for name in names)


def state_of(node: NodeHandle) -> SyncState:
    return node.services.sync_status().state


async def test_a_new_node_gets_everything_that_a_peer_has(tmp_path: Path, autojump_clock: object) -> None:
    shop, log = long_shop(), Lines()
    async with (
        SimulatedFabric(1) as fabric,
        full_node(fabric, shop, tmp_path) as full,
        newcomer(fabric, shop.chain, tmp_path, ["full"], log=log) as new,
    ):
        await until(lambda: state_of(new) is SyncState.SYNCHRONISED, 15)
        await until(lambda: new.services.head == full.services.head, 5)
        assert has(new, shop, *shop.blocks)
        assert all(
            new.services.store.get(b"cb" + block.header_id) is not None for block in shop.blocks.values()
        )
        assert new.services.sync_status().blocks_done == len(shop.blocks)
        assert "synchronised" in log.events("info")


async def test_empty_bodies_are_not_asked_for(tmp_path: Path, autojump_clock: object) -> None:
    shop = long_shop()
    blocks = blocks_named(shop, CHAIN)
    async with SimulatedFabric(1) as fabric, source(fabric, shop.chain, "peer", slot=SLOTS) as peer:
        await peer.serve_all(blocks)
        async with newcomer(fabric, shop.chain, tmp_path, ["peer"]) as new:
            await until(lambda: has(new, shop, CHAIN[-1]), 15)
        full = [block.header_id for block in blocks if block.header.body_root != EMPTY_BODY_ROOT]
        assert peer.ids_asked(BODIES_PROTOCOL) == full and 0 < len(full) < len(blocks)


@pytest.mark.parametrize("silent_at", [SYNC_PROTOCOL, HEADERS_PROTOCOL, BODIES_PROTOCOL])
async def test_N4_a_silent_peer_is_left_for_another_within_15_s(
    tmp_path: Path, autojump_clock: object, silent_at: str
) -> None:
    shop = long_shop()
    async with SimulatedFabric(1) as fabric, AsyncExitStack() as stack:
        silent = await stack.enter_async_context(source(fabric, shop.chain, "silent", slot=SLOTS))
        await silent.serve_all(blocks_named(shop))
        await silent.serve(silent_at, None)
        new = await stack.enter_async_context(newcomer(fabric, shop.chain, tmp_path, ["silent"]))
        await until(lambda: bool(silent.requests(silent_at)), 5)
        full = await stack.enter_async_context(full_node(fabric, shop, tmp_path))
        await full.services.network.connect("/memory/new/p2p/new")
        assert await until(lambda: new.services.head == full.services.head, 30) <= 15
        assert new.services.peer_score("silent") == 0


async def test_N4_whoever_stops_serving_midway_is_replaced_and_nothing_is_fetched_twice(
    tmp_path: Path, autojump_clock: object
) -> None:
    shop, log = long_shop(), Lines()
    chain = blocks_named(shop, CHAIN)
    async with SimulatedFabric(1) as fabric, AsyncExitStack() as stack:
        weary = await stack.enter_async_context(source(fabric, shop.chain, "weary", slot=SLOTS))
        served: list[bytes] = []

        def forty_headers(data: bytes) -> bytes:
            if served:
                raise RequestRefused("enough for today")
            served.append(data)
            return headers_of(chain, at_once=40)(data)

        await weary.serve_all(chain, headers=forty_headers)
        new = await stack.enter_async_context(newcomer(fabric, shop.chain, tmp_path, ["weary"], log=log))
        await until(lambda: state_of(new) is SyncState.STUCK, 15)
        assert has(new, shop, "c40") and not has(new, shop, "c41")
        other = await stack.enter_async_context(source(fabric, shop.chain, "other", slot=SLOTS))
        await other.serve_all(chain)
        await other.network.connect("/memory/new/p2p/new")
        await until(lambda: has(new, shop, CHAIN[-1]), 60)
        assert other.ids_asked(HEADERS_PROTOCOL) == [block.header_id for block in chain[40:]]
        failed = [facts["blocks"] for _, event, facts in log.lines if event == "synchronising failed"]
        assert failed[0] == 40


@pytest.mark.parametrize("after_s", [0.3, 1.1, 2.5, 3.9, 5.2])
async def test_a_node_that_stops_at_any_point_goes_on_there(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch, after_s: float
) -> None:
    monkeypatch.setattr(header_stage, "CHUNK_HEADERS", 16)
    monkeypatch.setattr(body_download, "BATCH_BODIES", 8)
    shop, stores = long_shop(), KeptStores()
    blocks = blocks_named(shop, CHAIN)
    async with SimulatedFabric(1) as fabric, source(fabric, shop.chain, "peer", slot=SLOTS) as peer:
        await peer.serve_all(blocks, after_s=0.5)
        async with newcomer(fabric, shop.chain, tmp_path, ["peer"], stores=stores):
            await until(lambda: bool(peer.requests(SYNC_PROTOCOL)), 5)
            await trio.sleep(after_s)
        kept = [one for one in blocks if b"ch" + one.header_id in stores.contents["db"]]
        peer.asked.clear()
        async with newcomer(fabric, shop.chain, tmp_path, ["peer"], stores=stores) as again:
            await until(lambda: has(again, shop, CHAIN[-1]), 60)
        assert peer.ids_asked(HEADERS_PROTOCOL) == [block.header_id for block in blocks[len(kept) :]]
        assert set(peer.ids_asked(BODIES_PROTOCOL)).isdisjoint(block.header_id for block in kept)
        assert after_s < 1 or kept


async def test_headers_and_bodies_come_while_the_writer_works(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(header_stage, "CHUNK_HEADERS", 8)
    monkeypatch.setattr(body_download, "MAX_GROUP_BLOCKS", 8)
    shop, workers = long_shop(), SlowWriter()
    blocks = blocks_named(shop, CHAIN)
    busy: dict[str, int] = {HEADERS_PROTOCOL: 0, BODIES_PROTOCOL: 0}

    def watched(protocol: str, answer: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
        def handle(data: bytes) -> bytes:
            busy[protocol] += bool(workers.writing)
            return answer(data)

        return handle

    async with SimulatedFabric(1) as fabric, source(fabric, shop.chain, "peer", slot=SLOTS) as peer:
        await peer.serve_all(
            blocks,
            headers=watched(HEADERS_PROTOCOL, headers_of(blocks)),
            bodies=watched(BODIES_PROTOCOL, bodies_of(blocks)),
        )
        async with newcomer(fabric, shop.chain, tmp_path, ["peer"], workers=workers) as new:
            await until(lambda: has(new, shop, CHAIN[-1]), 60)
        # The first chunk comes while the writer is idle; most others must not wait for it.
        assert busy[HEADERS_PROTOCOL] >= len(peer.requests(HEADERS_PROTOCOL)) - 5
        assert busy[BODIES_PROTOCOL] >= len(peer.requests(BODIES_PROTOCOL)) - 5


async def test_headers_run_at_most_an_epoch_ahead_of_the_head(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunk = 8
    monkeypatch.setattr(header_stage, "CHUNK_HEADERS", chunk)
    monkeypatch.setattr(body_download, "MAX_GROUP_BLOCKS", 4)
    shop = long_shop()
    blocks = blocks_named(shop, CHAIN)
    epoch = shop.chain.params.epoch_slots
    ahead: list[int] = []
    async with SimulatedFabric(1) as fabric, source(fabric, shop.chain, "peer", slot=SLOTS) as peer:
        running: list[NodeHandle] = []

        def counted(data: bytes) -> bytes:
            first = peer.ids_asked(HEADERS_PROTOCOL)[-chunk]
            slot = next(block.header.slot for block in blocks if block.header_id == first)
            ahead.append(slot - running[0].services.head.slot)
            return headers_of(blocks)(data)

        await peer.serve_all(blocks, headers=counted)
        async with newcomer(fabric, shop.chain, tmp_path, ["peer"], workers=SlowWriter()) as new:
            running.append(new)
            await until(lambda: has(new, shop, CHAIN[-1]), 120)
    # A chunk is asked for when the one before it ends within the epoch, so it begins a slot later at most.
    assert max(ahead) <= epoch + 1
    assert max(ahead) > epoch // 2


async def test_a_gap_longer_than_the_window_is_crossed(tmp_path: Path, autojump_clock: object) -> None:
    shop = Workshop(devnet())
    gap = 5 * shop.chain.params.epoch_slots
    before = "genesis"
    for slot in (*range(1, 6), *range(gap, gap + 6), *range(3 * gap, 3 * gap + 3)):
        shop.make(f"g{slot}", [before], slot=slot)
        before = f"g{slot}"
    async with SimulatedFabric(1) as fabric, source(fabric, shop.chain, "peer", slot=3 * gap) as peer:
        await peer.serve_all(blocks_named(shop))
        async with newcomer(fabric, shop.chain, tmp_path, ["peer"], slot=3 * gap + 4) as new:
            await until(lambda: has(new, shop, before), 15)
            assert new.services.peer_score("peer") == 0


async def test_bodies_come_from_all_peers_that_are_as_far(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body_download, "BATCH_BODIES", 8)
    shop = long_shop()
    blocks = blocks_named(shop, CHAIN)
    async with SimulatedFabric(1) as fabric, AsyncExitStack() as stack:
        peers = [
            await stack.enter_async_context(source(fabric, shop.chain, name, blue_score=score, slot=SLOTS))
            for name, score in (("lead", SLOTS + 5), ("second", SLOTS), ("short", 0))
        ]
        for peer in peers:
            await peer.serve_all(blocks, after_s=0.2)
        new = await stack.enter_async_context(
            newcomer(fabric, shop.chain, tmp_path, ["lead", "second", "short"], workers=SlowWriter())
        )
        await until(lambda: has(new, shop, CHAIN[-1]), 60)
        asked = [len(peer.ids_asked(BODIES_PROTOCOL)) for peer in peers]
        assert asked[0] > 8 and asked[1] > 8 and asked[2] == 0
        assert sum(asked) == sum(block.header.body_root != EMPTY_BODY_ROOT for block in blocks)


async def test_N4_a_slow_source_of_bodies_is_left_and_the_others_go_on(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body_download, "BATCH_BODIES", 8)
    shop = long_shop()
    blocks = blocks_named(shop, CHAIN)
    async with SimulatedFabric(1) as fabric, AsyncExitStack() as stack:
        peers = [
            await stack.enter_async_context(source(fabric, shop.chain, name, blue_score=score, slot=SLOTS))
            for name, score in (("lead", SLOTS + 5), ("slow", SLOTS + 4))
        ]
        await peers[0].serve_all(blocks, after_s=0.2)
        await peers[1].serve_all(blocks)
        await peers[1].serve(BODIES_PROTOCOL, None)
        new = await stack.enter_async_context(newcomer(fabric, shop.chain, tmp_path, ["lead", "slow"]))
        await until(lambda: bool(peers[1].requests(BODIES_PROTOCOL)), 20)
        assert await until(lambda: has(new, shop, CHAIN[-1]), 60) <= 15
        assert new.services.peer_score("slow") == 0


@cache
def living_chain() -> Life:
    """Six epochs that finalise: each epoch's schedule is dealt by what the chain itself has finalised."""
    life = Life()
    life.live(6 * life.chain.params.epoch_slots)
    assert life.engine.finalised.period > 18
    return life


@pytest.mark.parametrize("group", [4, 64])
async def test_a_chain_whose_schedules_follow_from_its_own_finality_is_followed(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch, group: int
) -> None:
    """Headers ahead of the head are judged when the snapshot that their epoch rests on is there."""
    monkeypatch.setattr(body_download, "MAX_GROUP_BLOCKS", group)
    life = living_chain()
    blocks = [prepared.block for prepared in life.blocks]
    async with SimulatedFabric(1) as fabric, source(fabric, life.chain, "peer", slot=life.slot) as peer:
        await peer.serve_all(blocks)
        async with newcomer(fabric, life.chain, tmp_path, ["peer"], slot=life.slot + 1) as new:
            await until(lambda: new.services.head.id == life.engine.head.id, 60)
            assert new.services.chain_writer.finalised == life.engine.finalised
            assert new.services.peer_score("peer") == 0
            # From here on the locator goes no deeper than what is final.
            peer.asked.clear()
            peer.status = msgspec.structs.replace(peer.status, blue_score=CLAIM + 1)
            await until(lambda: bool(peer.requests(SYNC_PROTOCOL)), 60)
            locator = SYNC_REQUEST_CODEC.decode(peer.requests(SYNC_PROTOCOL)[0]).locator
            assert locator[-1] == life.engine.finalised.block_id


async def test_what_cannot_be_judged_yet_is_tried_again_when_the_head_has_moved(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine that judges blocks up to 20 slots ahead of its head only, as if a snapshot stood there each time."""
    shop = long_shop()
    add = Engine._add
    refused: list[int] = []

    def strict(engine: Engine, prepared: PreparedBlock, events: list[Event]) -> bool:
        slot = prepared.block.header.slot
        if slot > engine.head.slot + 20:
            refused.append(slot)
            raise BlockNotJudged(f"slot {slot} is too far ahead")
        return add(engine, prepared, events)

    async with SimulatedFabric(1) as fabric, source(fabric, shop.chain, "peer", slot=SLOTS) as peer:
        await peer.serve_all(blocks_named(shop, CHAIN))
        monkeypatch.setattr(Engine, "_add", strict)
        async with newcomer(fabric, shop.chain, tmp_path, ["peer"]) as new:
            await until(lambda: has(new, shop, CHAIN[-1]), 20)
            assert refused and new.services.peer_score("peer") == 0


async def test_a_gossiped_block_that_cannot_be_judged_yet_waits_unpunished(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Workshop(devnet())
    shop.script("a1: genesis; a2: a1; b1: genesis slot 1 band 3")
    judged_at = shop.id("b1")
    add = Engine._add

    def strict(engine: Engine, prepared: PreparedBlock, events: list[Event]) -> bool:
        if prepared.block_id == judged_at and engine.head.slot < 2:
            raise AnchorNotExecuted(engine.head.id, 0)
        return add(engine, prepared, events)

    async with (
        SimulatedFabric(1) as fabric,
        source(fabric, shop.chain, "peer", blue_score=0) as peer,
        newcomer(fabric, shop.chain, tmp_path, ["peer"], slot=3) as new,
    ):
        monkeypatch.setattr(Engine, "_add", strict)
        topic = blocks_topic(shop.chain.params.chain_id)
        await until(lambda: bool(new.services.network.peers()), 5)
        for name in ("b1", "a1"):
            await peer.network.publish(topic, block_message(encode_block(shop.blocks[name])))
        await until(lambda: has(new, shop, "a1"), 5)
        await trio.sleep(2)
        assert not has(new, shop, "b1")
        await peer.network.publish(topic, block_message(encode_block(shop.blocks["a2"])))
        await until(lambda: has(new, shop, "b1"), 5)
        assert new.services.peer_score("peer") == 0


async def test_the_status_says_what_is_done_how_fast_and_until_when(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(header_stage, "CHUNK_HEADERS", 16)
    monkeypatch.setattr(body_download, "MAX_GROUP_BLOCKS", 8)
    shop = long_shop()
    blocks = blocks_named(shop, CHAIN)
    async with (
        SimulatedFabric(1) as fabric,
        source(fabric, shop.chain, "peer", blue_score=SLOTS, slot=SLOTS) as peer,
    ):
        await peer.serve_all(blocks)
        await peer.serve(SYNC_PROTOCOL, None)
        async with newcomer(fabric, shop.chain, tmp_path, ["peer"], workers=SlowWriter(0.5)) as new:
            await until(lambda: state_of(new) is SyncState.SYNCHRONISING, 5)
            assert new.services.sync_status().activity is SyncActivity.HEADERS
            await peer.serve_all(blocks)
            await until(lambda: new.services.head.slot >= 60, 60)
            report = new.services.sync_report()
            assert (report["state"], report["peer"], report["sources"]) == ("synchronising", "peer", 1)
            assert report["activity"] == "processing"
            rate, transfers = report["blocks_per_second"], report["transactions_per_second"]
            assert isinstance(rate, float) and isinstance(transfers, float)
            assert 6 <= rate <= 16 and transfers == pytest.approx(rate / 2, rel=0.2)
            assert report["slots_left"] == SLOTS - new.services.head.slot
            left_s = report["seconds_left"]
            # The peer's chain grows by a block a slot meanwhile.
            expected_s = (SLOTS - new.services.head.blue_score) / (rate - 1)
            assert isinstance(left_s, float) and left_s == pytest.approx(expected_s, rel=0.3)
            await until(lambda: state_of(new) is SyncState.SYNCHRONISED, 60)
            report = new.services.sync_report()
            assert report["slots_left"] is None and report["activity"] == "none"


async def test_a_head_whose_past_never_comes_by_itself_is_synchronised(
    tmp_path: Path, autojump_clock: object
) -> None:
    """Its block came by gossip and waits among the orphans; the peer is not ahead, so nothing else would start it."""
    shop = long_shop()
    head = shop.blocks["c10"]
    async with (
        SimulatedFabric(1) as fabric,
        source(fabric, shop.chain, "peer", blue_score=9) as peer,
        newcomer(fabric, shop.chain, tmp_path, ["peer"]) as new,
    ):
        peer.status = msgspec.structs.replace(peer.status, head_id=head.header_id)
        await peer.serve_all(())
        await until(lambda: bool(new.services.network.peers()), 5)
        message = block_message(encode_block(head))
        await peer.network.publish(blocks_topic(shop.chain.params.chain_id), message)
        assert await until(lambda: bool(peer.requests(SYNC_PROTOCOL)), 30) <= 20
        assert peer.requests(BLOCKS_PROTOCOL)


async def test_a_claim_that_nobody_can_prove_does_not_silence_a_validator(
    tmp_path: Path, autojump_clock: object
) -> None:
    chain = devnet()
    async with SimulatedFabric(1) as fabric, source(fabric, chain, "liar") as liar:
        await liar.serve(SYNC_PROTOCOL, None)
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
        newcomer(fabric, chain, tmp_path, ["stranger"]) as new,
    ):
        await until(lambda: "peer connected" in log.events(), 5)
        await until(lambda: not new.services.network.peers() and not stranger.services.network.peers(), 10)
        reasons = [str(facts.get("reason")) for level, _, facts in log.lines if level == "warning"]
        assert any("other-net" in reason and "nexus-test" in reason for reason in reasons)


@pytest.mark.parametrize("protocol", [SYNC_PROTOCOL, HEADERS_PROTOCOL, BODIES_PROTOCOL, BLOCKS_PROTOCOL])
async def test_N5_a_malformed_request_is_refused_and_is_a_ban(
    tmp_path: Path, autojump_clock: object, protocol: str
) -> None:
    chain = devnet()
    async with (
        SimulatedFabric(1) as fabric,
        live_node(fabric, chain, tmp_path, clock=clock_at(chain, 4)) as node,
        fabric.join("rude") as rude,
    ):
        await rude.connect("/memory/node/p2p/node")
        with suppress(RequestRefused, RequestFailed):
            await rude.request("node", protocol, b"\x93\x90\x01\x90", max_reply_bytes=10, timeout_s=5)
        assert node.services.peer_score("rude") == -100


async def test_N5_a_plan_is_bounded_whatever_is_asked_for(tmp_path: Path, autojump_clock: object) -> None:
    shop = long_shop()
    async with (
        SimulatedFabric(1) as fabric,
        full_node(fabric, shop, tmp_path),
        fabric.join("asker") as asker,
    ):
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
            assert has(handle, shop, *left, *right)


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
        assert state_of(node) is SyncState.STARTING
        await trio.sleep(STARTUP_GRACE_S / 2)
        assert node.services.head.slot == 0
        await until(lambda: node.services.head.slot > 0, STARTUP_GRACE_S)
