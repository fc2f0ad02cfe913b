"""Gossip of blocks at a real node: what is forwarded, what is punished, what waits, what is fetched."""

from pathlib import Path

import msgspec
import pytest
import trio
from builders.chain import Workshop, devnet
from builders.relay_scene import scene

from consensus.blocks import Block, encode_block, sign_block
from consensus.body_tree import body_root
from node.flows.lane_book import BLOCKS_PER_LANE, LaneBook
from node.flows.wire import (
    BLOCKS_PROTOCOL,
    BLOCKS_REPLY_CODEC,
    BLOCKS_REQUEST_CODEC,
    BlocksRequest,
    block_message,
)


@pytest.fixture
def shop() -> Workshop:
    made = Workshop(devnet())
    made.script("a1: genesis; b1: genesis; a2: a1 b1; b2: a1 b1; a3: a2 b2 pay alice bob 5; a4: a3")
    return made


async def test_a_valid_block_is_forwarded_and_added(
    shop: Workshop, tmp_path: Path, autojump_clock: object
) -> None:
    async with scene(shop, tmp_path, 4) as here:
        await here.sender.send(shop.blocks["a1"])
        assert here.knows("a1")
        assert here.listener.heard == [block_message(encode_block(shop.blocks["a1"]))]
        assert here.handle.services.head.id == shop.id("a1") and here.sender_score == 0


async def test_a_block_with_a_wrong_signature_is_not_forwarded_and_costs_score(
    shop: Workshop, tmp_path: Path, autojump_clock: object
) -> None:
    block = shop.blocks["a1"]
    header = msgspec.structs.replace(block.header, signature=bytes(64))
    async with scene(shop, tmp_path, 4) as here:
        await here.sender.send(Block(header, block.header_id, block.votes, block.transactions))
        assert here.listener.heard == [] and not here.knows("a1")
        assert here.sender_score == -20


async def test_N3_five_invalid_blocks_are_a_ban(
    shop: Workshop, tmp_path: Path, autojump_clock: object
) -> None:
    async with scene(shop, tmp_path, 4) as here:
        for number in range(5):
            block = shop.blocks["a1"]
            header = msgspec.structs.replace(block.header, signature=bytes([number]) * 64)
            await here.sender.send(Block(header, block.header_id, block.votes, block.transactions))
        assert here.sender_score == -100
        assert [info.peer_id for info in here.handle.services.network.peers()] == ["listener"]


@pytest.mark.parametrize(
    "junk", [b"", b"\x00", b"\x01", b"\x02", b"\x03" * 40, b"\x01\x93\x01\x02\x03", b"\x01\xc1"]
)
async def test_C1_junk_is_a_ban_at_once(
    shop: Workshop, tmp_path: Path, autojump_clock: object, junk: bytes
) -> None:
    async with scene(shop, tmp_path, 4) as here:
        await here.sender.gossip(junk)
        assert here.sender_score == -100 and here.listener.heard == []


async def test_a_body_that_is_not_the_headers_is_refused_and_the_right_one_still_taken(
    shop: Workshop, tmp_path: Path, autojump_clock: object
) -> None:
    block = shop.blocks["a1"]
    other = shop.blocks["a3"].transactions
    async with scene(shop, tmp_path, 4) as here:
        await here.sender.send(Block(block.header, block.header_id, block.votes, other))
        assert not here.knows("a1") and here.sender_score == -20
        await here.sender.send(block)
        assert here.knows("a1")


async def test_a_proposer_out_of_turn_is_refused(
    shop: Workshop, tmp_path: Path, autojump_clock: object
) -> None:
    block = shop.blocks["a1"]
    lanes = shop.chain.schedule.of_slot(1)
    wrong = next(index for index in range(6) if index != lanes.proposer(1, block.header.band))
    core = shop.chain.core(1, block.header.band, proposer=wrong)
    forged = sign_block(core, (), (), shop.chain.keys[wrong], shop.chain.params.genesis_hash)
    async with scene(shop, tmp_path, 4) as here:
        await here.sender.send(forged)
        assert here.listener.heard == [] and here.sender_score == -20


async def test_missing_parents_are_fetched_from_the_sender(
    shop: Workshop, tmp_path: Path, autojump_clock: object
) -> None:
    async with scene(shop, tmp_path, 4) as here:
        here.sender.served = {block.header_id: block for block in shop.blocks.values()}
        await here.sender.send(shop.blocks["a3"])
        assert all(here.knows(name) for name in ("a1", "b1", "a2", "b2", "a3"))
        assert here.handle.services.head.id == shop.id("a3")
        assert here.listener.asked == [] and sorted(here.sender.asked) == sorted(
            shop.id(name) for name in ("a1", "b1", "a2", "b2")
        )


async def test_parents_that_the_sender_lacks_are_fetched_from_others(
    shop: Workshop, tmp_path: Path, autojump_clock: object
) -> None:
    async with scene(shop, tmp_path, 4) as here:
        here.listener.served = {block.header_id: block for block in shop.blocks.values()}
        await here.sender.send(shop.blocks["a2"])
        assert here.knows("a2")


async def test_a_served_block_that_is_invalid_costs_the_server_points(
    shop: Workshop, tmp_path: Path, autojump_clock: object
) -> None:
    block = shop.blocks["a1"]
    header = msgspec.structs.replace(block.header, signature=bytes(64))
    async with scene(shop, tmp_path, 4) as here:
        here.sender.served = {shop.id("a1"): Block(header, block.header_id, (), ())}
        await here.sender.send(shop.blocks["a2"])
        assert here.sender_score == -20


async def test_a_served_block_that_was_not_asked_for_costs_points(
    shop: Workshop, tmp_path: Path, autojump_clock: object
) -> None:
    async with scene(shop, tmp_path, 4) as here:
        here.sender.served = {shop.id("a1"): shop.blocks["b2"], shop.id("b1"): shop.blocks["b1"]}
        await here.sender.send(shop.blocks["a2"])
        assert here.sender_score == -20 and not here.knows("a2")


async def test_L6_two_blocks_of_a_lane_are_relayed_and_a_third_only_when_referred_to(
    tmp_path: Path, autojump_clock: object
) -> None:
    shop = Workshop(devnet())
    for number, name in enumerate(("first", "second", "third")):
        shop.make(name, ["genesis"], slot=1, band=0, pay=[("alice", "bob", 1 + number)])
    shop.make("child", ["third"], slot=2, band=0)
    async with scene(shop, tmp_path, 4) as here:
        await here.sender.send(*(shop.blocks[name] for name in ("first", "second", "third")))
        assert len(here.listener.heard) == BLOCKS_PER_LANE
        assert here.knows("second") and not here.knows("third")
        assert "validator signed a lane twice" in here.log.events("warning")
        here.sender.served = {shop.id("third"): shop.blocks["third"]}
        await here.sender.send(shop.blocks["child"])
        assert here.knows("third") and here.knows("child") and here.sender_score == 0


async def test_L9_a_block_of_a_later_slot_waits_unpunished_and_is_forwarded_in_its_time(
    shop: Workshop, tmp_path: Path, autojump_clock: object
) -> None:
    async with scene(shop, tmp_path, 1) as here:
        await here.sender.send(shop.blocks["a1"], shop.blocks["b1"], shop.blocks["a2"], shop.blocks["b2"])
        here.listener.heard.clear()
        here.clock.step(-2_000)
        await here.sender.send(shop.blocks["a3"])
        assert here.listener.heard == [] and not here.knows("a3") and here.sender_score == 0
        here.clock.step(2_000)
        await trio.sleep(2.5)
        assert here.knows("a3")
        assert here.listener.heard == [block_message(encode_block(shop.blocks["a3"]))]


async def test_a_block_whose_transaction_is_not_signed_is_never_added(
    tmp_path: Path, autojump_clock: object
) -> None:
    shop = Workshop(devnet())
    good = shop.transfer("alice", "bob", 5, 0).raw
    bad = good[:-64] + bytes(64)
    block = shop.chain.block(1, 0, transactions=[bad], body_root=body_root([bad]))
    async with scene(shop, tmp_path, 4) as here:
        await here.sender.send(block)
        assert here.handle.services.head.blue_score == 0
        assert "block refused" in here.log.events("warning")
        # The sender forwarded it by the rules: signatures are verified after the verdict.
        assert here.sender_score == 0 and len(here.listener.heard) == 1


async def test_blocks_are_served_in_order_up_to_the_reply_limit(
    shop: Workshop, tmp_path: Path, autojump_clock: object
) -> None:
    async with scene(shop, tmp_path, 4) as here:
        await here.sender.send(shop.blocks["a1"], shop.blocks["b1"])
        request = BlocksRequest((shop.id("b1"), shop.id("a4"), shop.id("a1")))
        raw = await here.sender.network.request(
            "node",
            BLOCKS_PROTOCOL,
            BLOCKS_REQUEST_CODEC.encode(request),
            max_reply_bytes=2**20,
            timeout_s=5,
        )
        reply = BLOCKS_REPLY_CODEC.decode(raw)
        assert reply.blocks == (encode_block(shop.blocks["b1"]), encode_block(shop.blocks["a1"]))
        assert reply.considered == 3


def test_the_lane_book_forgets_old_lanes() -> None:
    book = LaneBook()
    for slot in range(100):
        book.note((slot, 0), b"one")
    book.forget_below(90)
    assert len(book) == 10
    assert book.admits((95, 0), b"one") and book.admits((95, 0), b"two")
    book.note((95, 0), b"two")
    assert not book.admits((95, 0), b"three") and book.admits((95, 0), b"two")
