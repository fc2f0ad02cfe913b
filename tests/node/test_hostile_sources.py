"""Peers that are synchronised with and mean harm: false headers, votes and bodies, blocks out of the future, old forks,
plans without an end, drops."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache
from pathlib import Path

import msgspec
import pytest
import trio
from builders.chain import Workshop, devnet
from builders.live_node import Lines, clock_at, live_node
from builders.sync_sources import (
    CLAIM,
    Answer,
    Source,
    blocks_named,
    bodies_of,
    header_entry,
    headers_of,
    plan_of,
    source,
    until,
)

from consensus.blocks import Block, header_id, sign_header
from consensus.votes import VOTES_CODEC, Checkpoint, VoteCore, sign_vote
from node.chain_writer import ChainWriter
from node.daemon import NodeHandle
from node.flows import body_download
from node.flows.sync_status import SyncState
from node.flows.wire import (
    BODIES_PROTOCOL,
    BODIES_REPLY_CODEC,
    HEADERS_PROTOCOL,
    HEADERS_REPLY_CODEC,
    SYNC_PROTOCOL,
    SYNC_REPLY_CODEC,
    BodiesReply,
    BodyEntry,
    HeaderEntry,
    HeadersReply,
    SyncReply,
)
from p2p.errors import RequestRefused
from p2p.simulated import SimulatedFabric

SLOTS = 60


@cache
def line_shop(slots: int = SLOTS) -> Workshop:
    """A chain of one block a slot, each with a transfer."""
    shop = Workshop(devnet())
    for slot in range(1, slots + 1):
        shop.make(f"c{slot}", [f"c{slot - 1}" if slot > 1 else "genesis"], pay=[("alice", "bob", slot)])
    return shop


def line(slots: int = SLOTS) -> tuple[Block, ...]:
    return blocks_named(line_shop(), [f"c{slot}" for slot in range(1, slots + 1)])


@asynccontextmanager
async def newcomer(
    fabric: SimulatedFabric,
    shop: Workshop,
    directory: Path,
    *bootstrap: str,
    slot: int = SLOTS + 2,
    log: Lines | None = None,
) -> AsyncIterator[NodeHandle]:
    async with live_node(
        fabric,
        shop.chain,
        directory,
        clock=clock_at(shop.chain, slot),
        bootstrap=[f"/memory/{name}/p2p/{name}" for name in bootstrap],
        log=log,
    ) as node:
        yield node


def state_of(node: NodeHandle) -> SyncState:
    return node.services.sync_status().state


def reason_of(node: NodeHandle) -> str:
    return node.services.sync_status().reason


def known(node: NodeHandle, blocks: Sequence[Block]) -> int:
    """How many of the blocks are in the DAG."""
    return sum(node.services.store.get(b"ch" + block.header_id) is not None for block in blocks)


# ---- headers


def served(entries: Sequence[HeaderEntry], considered: int | None = None) -> Answer:
    count = len(entries) if considered is None else considered
    return lambda _: HEADERS_REPLY_CODEC.encode(HeadersReply(tuple(entries), count))


def with_bad_signature(block: Block) -> HeaderEntry:
    header = msgspec.structs.replace(block.header, signature=bytes(64))
    return header_entry(Block(header, block.header_id, block.votes, block.transactions))


def with_foreign_votes(block: Block) -> HeaderEntry:
    chain = line_shop().chain
    genesis = Checkpoint(0, chain.genesis_block.header_id)
    vote = sign_vote(
        VoteCore(0, 0, genesis, Checkpoint(1, block.header_id)), chain.keys[0], chain.params.genesis_hash
    )
    return HeaderEntry(header_entry(block).header, VOTES_CODEC.encode((vote,)))


def with_other_header(block: Block) -> HeaderEntry:
    chain = line_shop().chain
    core = chain.core(block.header.slot, block.header.band, blue_score=block.header.blue_score + 1)
    key = chain.keys[core.proposer]
    header = sign_header(core, key, chain.params.genesis_hash)
    return header_entry(Block(header, header_id(header), (), ()))


HEADER_LIES: dict[str, tuple[Answer, str, float]] = {
    "broken signature": (
        served(
            [*map(header_entry, line()[:5]), with_bad_signature(line()[5]), *map(header_entry, line()[6:])]
        ),
        "signature does not verify",
        -20,
    ),
    "votes of another block": (
        served(
            [*map(header_entry, line()[:5]), with_foreign_votes(line()[5]), *map(header_entry, line()[6:])]
        ),
        "votes root",
        -20,
    ),
    "another header": (served([with_other_header(line()[0])], SLOTS), "not asked for", -20),
    "none": (served([], SLOTS), "0 of 60 headers", -5),
    "one left out": (
        served([*map(header_entry, line()[:30]), *map(header_entry, line()[31:])], SLOTS),
        "59 of 60 headers",
        -5,
    ),
    "nothing considered": (served([], 0), "of 0 considered", -20),
    "more than asked": (served(list(map(header_entry, line())), SLOTS + 1), "61 considered", -20),
    "junk": (lambda _: b"\xc1", "malformed reply", -100),
    "no header in it": (served([HeaderEntry(b"\x01", b"\x90")], SLOTS), "malformed header", -100),
}


@pytest.mark.parametrize("lie", HEADER_LIES)
async def test_false_headers_cost_points_and_no_body_after_them_is_asked_for(
    tmp_path: Path, autojump_clock: object, lie: str
) -> None:
    answer, reason, score = HEADER_LIES[lie]
    log = Lines()
    async with (
        SimulatedFabric(1) as fabric,
        source(fabric, line_shop().chain, "liar") as liar,
        newcomer(fabric, line_shop(), tmp_path, "liar", log=log) as node,
    ):
        await liar.serve_all(line(), headers=answer)
        await until(lambda: "synchronising failed" in log.events(), 20)
        errors = [str(facts["error"]) for _, event, facts in log.lines if event == "synchronising failed"]
        assert reason in errors[0]
        assert node.services.peer_score("liar") == score
        asked = liar.ids_asked(BODIES_PROTOCOL)
        assert set(asked) <= {block.header_id for block in line()[:5]} and known(node, line()) <= len(asked)


async def test_headers_whose_parents_do_not_stand_before_them_are_refused(
    tmp_path: Path, autojump_clock: object
) -> None:
    blocks = (*line()[:3], line()[4], line()[3])
    async with (
        SimulatedFabric(1) as fabric,
        source(fabric, line_shop().chain, "liar") as liar,
        newcomer(fabric, line_shop(), tmp_path, "liar") as node,
    ):
        await liar.serve_all(blocks)
        await until(lambda: state_of(node) is SyncState.STUCK, 20)
        assert "before its parent" in reason_of(node) and node.services.peer_score("liar") == -20
        assert known(node, line()[3:]) == 0


# ---- bodies


def other_bodies(blocks: Sequence[Block], wrong: int) -> Answer:
    """Bodies of the blocks, with that of another one at `wrong`."""
    bodies = [block.transactions for block in blocks]
    bodies[wrong] = bodies[wrong - 1]
    changed = [
        Block(block.header, block.header_id, (), body) for block, body in zip(blocks, bodies, strict=True)
    ]
    return bodies_of(changed)


async def test_a_wrong_body_costs_points_and_another_peer_is_asked(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with SimulatedFabric(1) as fabric, AsyncExitStack() as stack:
        liar = await stack.enter_async_context(
            source(fabric, line_shop().chain, "liar", blue_score=CLAIM + 1)
        )
        good = await stack.enter_async_context(source(fabric, line_shop().chain, "good"))
        await liar.serve_all(line(), bodies=other_bodies(line(), 10))
        await good.serve_all(line())
        node = await stack.enter_async_context(newcomer(fabric, line_shop(), tmp_path, "liar", "good"))
        await until(lambda: known(node, line()) == SLOTS, 15)
        assert liar.requests(BODIES_PROTOCOL)
        assert node.services.peer_score("liar") == -20 and node.services.peer_score("good") == 0


async def test_a_wrong_body_is_the_fault_of_who_served_it_and_not_of_who_planned_it(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body_download, "BATCH_BODIES", 8)
    async with SimulatedFabric(1) as fabric, AsyncExitStack() as stack:
        lead = await stack.enter_async_context(
            source(fabric, line_shop().chain, "lead", blue_score=CLAIM + 1)
        )
        helper = await stack.enter_async_context(source(fabric, line_shop().chain, "helper"))
        await lead.serve_all(line(), after_s=0.5)
        await helper.serve_all(line(), bodies=other_bodies(line(), 40), after_s=0.5)
        node = await stack.enter_async_context(newcomer(fabric, line_shop(), tmp_path, "lead", "helper"))
        await until(lambda: known(node, line()) == SLOTS, 60)
        assert line()[40].header_id in helper.ids_asked(BODIES_PROTOCOL)
        assert (node.services.peer_score("lead"), node.services.peer_score("helper")) == (0, -20)


BODY_LIES: dict[str, tuple[Answer, str, float]] = {
    "none": (bodies_of(()), "bodies that it should have", -5),
    "nothing considered": (lambda _: BODIES_REPLY_CODEC.encode(BodiesReply((), 0)), "of 0 considered", -20),
    "one twice": (
        lambda _: BODIES_REPLY_CODEC.encode(BodiesReply((BodyEntry(0, line()[0].transactions),) * 2, SLOTS)),
        "2 bodies",
        -20,
    ),
    "beyond the considered": (
        lambda _: BODIES_REPLY_CODEC.encode(BodiesReply((BodyEntry(5, line()[5].transactions),), 3)),
        "1 bodies of 3",
        -20,
    ),
    "junk": (lambda _: b"", "malformed", -100),
}


@pytest.mark.parametrize("lie", BODY_LIES)
async def test_false_replies_about_bodies_cost_points(
    tmp_path: Path, autojump_clock: object, lie: str
) -> None:
    answer, reason, score = BODY_LIES[lie]
    log = Lines()
    async with (
        SimulatedFabric(1) as fabric,
        source(fabric, line_shop().chain, "liar") as liar,
        newcomer(fabric, line_shop(), tmp_path, "liar", log=log) as node,
    ):
        await liar.serve_all(line(), bodies=answer)
        await until(lambda: "synchronising failed" in log.events(), 20)
        errors = [str(facts["error"]) for _, event, facts in log.lines if event == "synchronising failed"]
        assert reason in errors[0] and known(node, line()) == 0
        assert node.services.peer_score("liar") == score


async def test_a_helper_without_the_bodies_is_not_blamed(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It never said that it had them: it may have pruned them. (With that claim it is no lead.)"""
    monkeypatch.setattr(body_download, "BATCH_BODIES", 8)
    async with SimulatedFabric(1) as fabric, AsyncExitStack() as stack:
        lead = await stack.enter_async_context(
            source(fabric, line_shop().chain, "lead", blue_score=CLAIM + 1)
        )
        helper = await stack.enter_async_context(source(fabric, line_shop().chain, "helper", blue_score=20))
        await lead.serve_all(line(), after_s=0.3)
        await helper.serve(BODIES_PROTOCOL, lambda _: BODIES_REPLY_CODEC.encode(BodiesReply((), 1)))
        node = await stack.enter_async_context(newcomer(fabric, line_shop(), tmp_path, "lead", "helper"))
        await until(lambda: known(node, line()) == SLOTS, 60)
        assert helper.requests(BODIES_PROTOCOL) and node.services.peer_score("helper") == 0


# ---- plans


async def test_L9_blocks_out_of_the_future_do_not_come_in_by_synchronisation(
    tmp_path: Path, autojump_clock: object
) -> None:
    """A validator can sign its lanes of years to come at once: they would outweigh the chain of the present."""
    shop = Workshop(devnet())
    shop.make("now", ["genesis"], slot=3)
    before = "now"
    for slot in range(1_000, 1_040):
        shop.make(f"f{slot}", [before], slot=slot)
        before = f"f{slot}"
    async with (
        SimulatedFabric(1) as fabric,
        source(fabric, shop.chain, "prophet") as prophet,
        newcomer(fabric, shop, tmp_path, "prophet", slot=5) as node,
    ):
        await prophet.serve_all(blocks_named(shop))
        await until(lambda: state_of(node) is SyncState.STUCK, 30)
        assert node.services.head.id == shop.id("now") and "is our clock right?" in reason_of(node)
        assert node.services.peer_score("prophet") == 0


async def test_a_plan_without_an_end_is_left(tmp_path: Path, autojump_clock: object) -> None:
    """Each plan is another one, says that there is more, and holds nothing that we lack."""
    log = Lines()
    async with (
        SimulatedFabric(1) as fabric,
        source(fabric, line_shop().chain, "circle") as circle,
        newcomer(fabric, line_shop(), tmp_path, "circle", log=log) as node,
    ):

        def next_plan(_data: bytes) -> bytes:
            resume = len(circle.requests(SYNC_PROTOCOL)).to_bytes(32, "big")
            return SYNC_REPLY_CODEC.encode(SyncReply(bytes(32), (), False, resume, (), CLAIM))

        await circle.serve(SYNC_PROTOCOL, next_plan)
        await until(lambda: state_of(node) is SyncState.STUCK, 30)
        assert "synchronising failed" in log.events("warning")


async def test_the_same_plan_again_is_a_bad_reply(tmp_path: Path, autojump_clock: object) -> None:
    async with (
        SimulatedFabric(1) as fabric,
        source(fabric, line_shop().chain, "liar") as liar,
        newcomer(fabric, line_shop(), tmp_path, "liar") as node,
    ):
        await liar.serve_all(line(10), plan=plan_of(line(10), complete=False))
        await until(lambda: state_of(node) is SyncState.STUCK, 30)
        assert "the same plan again" in reason_of(node) and known(node, line(10)) == 10


def finalise(monkeypatch: pytest.MonkeyPatch, block_id: bytes) -> None:
    """From now on this is the finalised checkpoint as the flows see it."""
    monkeypatch.setattr(ChainWriter, "finalised", property(lambda _: Checkpoint(1, block_id)))


async def test_a_chain_that_leaves_ours_below_the_finalised_checkpoint_is_not_fetched(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = line_shop()
    fork = Workshop(shop.chain)
    for slot in range(1, SLOTS + 1):
        fork.make(f"f{slot}", [f"f{slot - 1}" if slot > 1 else "genesis"], slot=slot, band=4)
    async with SimulatedFabric(1) as fabric, AsyncExitStack() as stack:
        good = await stack.enter_async_context(source(fabric, shop.chain, "good"))
        await good.serve_all(line(30))
        node = await stack.enter_async_context(newcomer(fabric, shop, tmp_path, "good"))
        await until(lambda: known(node, line(30)) == 30, 15)
        finalise(monkeypatch, line()[19].header_id)
        forked = await stack.enter_async_context(source(fabric, shop.chain, "fork", blue_score=CLAIM + 1))
        genesis_id = shop.chain.genesis_block.header_id
        await forked.serve_all(blocks_named(fork), plan=plan_of(blocks_named(fork), common=genesis_id))
        await forked.network.connect("/memory/node/p2p/node")
        await until(lambda: bool(forked.requests(SYNC_PROTOCOL)), 15)
        await until(lambda: state_of(node) is SyncState.STUCK, 15)
        assert not forked.requests(HEADERS_PROTOCOL) and node.services.peer_score("fork") == 0
        request = forked.requests(SYNC_PROTOCOL)[0]
        assert line()[19].header_id in request and line()[18].header_id not in request


async def test_L10_old_forks_beside_the_chain_of_a_peer_are_left_out(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the peer's sink has not merged and what is not above our checkpoint can never become part of our chain."""
    shop = Workshop(devnet())
    for slot in range(1, 41):
        shop.make(f"c{slot}", [f"c{slot - 1}" if slot > 1 else "genesis"])
    shop.make("old1", ["c5"], slot=6, band=4)
    shop.make("old2", ["old1"], slot=7, band=4)
    shop.make("young", ["old2"], slot=39, band=4)
    shop.make("side", ["c38"], slot=39, band=5)
    chain = blocks_named(shop, [f"c{slot}" for slot in range(1, 41)])
    beyond = blocks_named(shop, ["old1", "old2", "young", "side"])
    async with SimulatedFabric(1) as fabric, AsyncExitStack() as stack:
        first = await stack.enter_async_context(source(fabric, shop.chain, "first"))
        await first.serve_all(chain[:30])
        node = await stack.enter_async_context(newcomer(fabric, shop, tmp_path, "first"))
        await until(lambda: known(node, chain) == 30, 15)
        finalise(monkeypatch, chain[19].header_id)
        second = await stack.enter_async_context(source(fabric, shop.chain, "second", blue_score=CLAIM + 1))
        ids = tuple(block.header_id for block in (*chain[30:], *beyond))
        reply = SyncReply(chain[29].header_id, ids, True, chain[-1].header_id, (), CLAIM)
        await second.serve_all((*chain, *beyond), plan=lambda _: SYNC_REPLY_CODEC.encode(reply))
        await second.network.connect("/memory/node/p2p/node")
        await until(lambda: known(node, chain) == 40, 15)
        await until(lambda: known(node, beyond[3:]) == 1, 15)
        assert known(node, beyond[:3]) == 0 and node.services.peer_score("second") == 0


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


# ---- drops


async def test_N4_a_peer_that_delivers_in_drops_is_left_for_another(
    tmp_path: Path, autojump_clock: object
) -> None:
    """One body in nine seconds is an answer in time, and less than the network makes."""
    shop = line_shop()
    async with (
        SimulatedFabric(1) as fabric,
        source(fabric, shop.chain, "drip") as drip,
        source(fabric, shop.chain, "good") as good,
        newcomer(fabric, shop, tmp_path, "drip") as node,
    ):
        await drip.serve_all(line(), after_s=9.0, at_once=1)
        await until(lambda: bool(drip.requests(BODIES_PROTOCOL)), 10)
        await good.serve_all(line())
        await good.network.connect("/memory/node/p2p/node")
        await until(lambda: known(node, line()) == SLOTS, 20)


def later(answers: Source, wait_s: float, answer: Callable[[bytes], bytes]) -> Answer:
    """Refuses until it has been asked for `wait_s` seconds."""

    def handle(data: bytes) -> bytes:
        if trio.current_time() - answers.asked[0][2] < wait_s:
            raise RequestRefused("busy")
        return answer(data)

    return handle


async def test_whoever_is_slow_and_the_only_one_brings_us_on_all_the_same(
    tmp_path: Path, autojump_clock: object
) -> None:
    shop = line_shop()
    async with (
        SimulatedFabric(1) as fabric,
        source(fabric, shop.chain, "drip") as drip,
        newcomer(fabric, shop, tmp_path, "drip") as node,
    ):
        await drip.serve_all(line(30), after_s=6.0, at_once=3)
        await until(lambda: known(node, line(30)) == 30, 300)
        assert node.services.peer_score("drip") == 0


async def test_a_peer_that_refuses_now_is_asked_again_later(tmp_path: Path, autojump_clock: object) -> None:
    shop = line_shop()
    async with (
        SimulatedFabric(1) as fabric,
        source(fabric, shop.chain, "busy") as busy,
        newcomer(fabric, shop, tmp_path, "busy") as node,
    ):
        await busy.serve_all(line(), headers=later(busy, 10, headers_of(line())))
        await until(lambda: known(node, line()) == SLOTS, 60)
        assert node.services.peer_score("busy") == 0
