"""Blocks by the ids of their transactions: what a node makes of them, asks for, and forwards, and who is to blame."""

from pathlib import Path

import msgspec
import pytest
import trio
from builders.chain import Workshop, devnet
from builders.ledger import batch_transfer
from builders.live_node import SlowWriter, clock_at, live_node
from builders.relay_scene import Scene, scene

from consensus.blocks import Block, encode_block
from consensus.stores import blocks_by_slot, read_block
from ledger.addresses import address_of
from ledger.transactions import SignedTransaction, transaction_id
from node.flows.compact_blocks import MAX_COMPLETING_PER_PEER, compact
from node.flows.recent_blocks import RecentBlocks
from node.flows.wire import (
    BLOCK_TRANSACTIONS_PROTOCOL,
    BLOCK_TRANSACTIONS_REPLY_CODEC,
    BLOCK_TRANSACTIONS_REQUEST_CODEC,
    COMPACT_FROM_BYTES,
    MAX_GOSSIPED_BLOCK_BYTES,
    BlockTransactionsReply,
    BlockTransactionsRequest,
    CompactBlock,
    block_message,
    compact_message,
)
from p2p.errors import RequestFailed, RequestRefused
from p2p.network import PeerId
from p2p.simulated import SimulatedFabric

TRANSFERS = 20


@pytest.fixture(scope="module")
def shop() -> Workshop:
    """One block with twenty transfers, one with other twenty."""
    made = Workshop(devnet())
    made.make("full", ["genesis"], slot=1, band=0, pay=[("alice", "bob", n + 1) for n in range(TRANSFERS)])
    made.make("other", ["genesis"], slot=1, band=1, pay=[("carol", "bob", n + 1) for n in range(TRANSFERS)])
    return made


async def give(here: Scene, block: Block, positions: range) -> None:
    """Put these transactions of the block into the node's mempool."""
    raws = [block.transactions[at] for at in positions]
    answers = await here.handle.services.submit_transactions(raws)
    assert all(isinstance(one, SignedTransaction) for one in answers)


def heard_blocks(here: Scene) -> list[bytes]:
    return here.listener.heard


def counted(here: Scene, metric: str, **labels: str) -> float:
    return here.handle.services.metrics.registry.get_sample_value(f"{metric}_total", labels) or 0.0


async def test_a_block_of_known_transactions_is_made_and_forwarded_without_a_question(
    shop: Workshop, tmp_path: Path, autojump_clock: object
) -> None:
    block = shop.blocks["full"]
    async with scene(shop, tmp_path, 4) as here:
        await give(here, block, range(TRANSFERS))
        await here.sender.send_compact(block)
        assert here.knows("full") and here.sender.positions == [] and here.sender.asked == []
        assert heard_blocks(here) == [compact_message(compact(block))]
        assert counted(here, "nexus_compact_blocks", result="mempool") == 1
        assert counted(here, "nexus_compact_transactions", source="mempool") == TRANSFERS


@pytest.mark.parametrize("known", [0, 1, 13, 19])
async def test_missing_transactions_are_asked_for_once_by_position(
    shop: Workshop, tmp_path: Path, autojump_clock: object, known: int
) -> None:
    block = shop.blocks["full"]
    async with scene(shop, tmp_path, 4) as here:
        here.sender.served = {block.header_id: block}
        await give(here, block, range(known))
        await here.sender.send_compact(block)
        assert here.sender.positions == [tuple(range(known, TRANSFERS))]
        assert here.knows("full") and here.sender_score == 0 and here.sender.asked == []
        assert heard_blocks(here) == [compact_message(compact(block))]
        assert counted(here, "nexus_compact_transactions", source="asked") == TRANSFERS - known


async def test_a_sender_that_has_nothing_loses_points_and_the_block_comes_from_another(
    shop: Workshop, tmp_path: Path, autojump_clock: object
) -> None:
    block = shop.blocks["full"]
    async with scene(shop, tmp_path, 4) as here:
        here.listener.served = {block.header_id: block}
        await here.sender.send_compact(block)
        await trio.sleep(1)
        assert here.knows("full") and here.sender_score == -5
        assert here.listener.asked == [block.header_id]
        assert heard_blocks(here) == [compact_message(compact(block))]


async def test_N4_a_sender_that_does_not_answer_costs_two_seconds_and_no_points(
    shop: Workshop, tmp_path: Path, autojump_clock: object
) -> None:
    block = shop.blocks["full"]
    async with scene(shop, tmp_path, 4) as here:

        async def silence(_peer: PeerId, _data: bytes) -> bytes:
            await trio.sleep_forever()
            return b""

        await here.sender.network.serve(BLOCK_TRANSACTIONS_PROTOCOL, silence, max_request_bytes=100_000)
        here.sender.served = here.listener.served = {block.header_id: block}
        await here.sender.send_compact(block)
        assert not here.knows("full")
        await trio.sleep(2.5)
        assert here.knows("full") and here.sender_score == 0


async def test_ids_that_do_not_give_the_body_root_are_the_senders_fault_and_the_right_ones_still_taken(
    shop: Workshop, tmp_path: Path, autojump_clock: object
) -> None:
    """All of them are known, so the lie shows at once."""
    block = shop.blocks["full"]
    right = compact(block)
    async with scene(shop, tmp_path, 4) as here:
        await give(here, block, range(TRANSFERS))
        await here.sender.gossip(compact_message(msgspec.structs.replace(right, ids=right.ids[::-1])))
        assert not here.knows("full") and here.sender_score == -20 and heard_blocks(here) == []
        await here.sender.gossip(compact_message(right))
        assert here.knows("full") and here.sender_score == -20


async def test_forged_ids_with_transactions_of_their_own_do_not_keep_the_block_from_us(
    shop: Workshop, tmp_path: Path, autojump_clock: object
) -> None:
    """The forger serves what the forged ids name; the body root tells, and the whole block is asked of another."""
    block, other = shop.blocks["full"], shop.blocks["other"]
    forged = msgspec.structs.replace(compact(block), ids=compact(other).ids)
    async with scene(shop, tmp_path, 4) as here:
        here.sender.served = {block.header_id: other}
        here.listener.served = {block.header_id: block}
        await here.sender.gossip(compact_message(forged))
        await trio.sleep(1)
        assert here.knows("full")
        assert counted(here, "nexus_p2p_faults", fault="invalid") == 1
        assert here.handle.services.peer_score("listener") == 0


async def test_N5_nobody_makes_us_ask_for_one_block_again_and_again(
    shop: Workshop, tmp_path: Path, autojump_clock: object
) -> None:
    """Each variant of the ids is another message; the sender never has what they name."""
    block = shop.blocks["full"]
    right = compact(block)
    async with scene(shop, tmp_path, 4) as here:
        for number in range(10):
            ids = (number.to_bytes(32, "big"), *right.ids[1:])
            await here.sender.gossip(compact_message(msgspec.structs.replace(right, ids=ids)))
        assert len(here.sender.positions) == 1 and len(here.sender.asked) <= 1
        assert here.sender_score > -100


async def test_one_peer_has_a_few_blocks_completed_at_once(tmp_path: Path, autojump_clock: object) -> None:
    shop = Workshop(devnet())
    for band in range(6):
        pay = [("alice", "bob", n + 1) for n in range(TRANSFERS)]
        shop.make(f"b{band}", ["genesis"], slot=1, band=band, pay=pay)
    async with scene(shop, tmp_path, 4) as here:
        open_now: list[bytes] = []

        async def silence(_peer: PeerId, data: bytes) -> bytes:
            open_now.append(data)
            await trio.sleep_forever()
            return b""

        await here.sender.network.serve(BLOCK_TRANSACTIONS_PROTOCOL, silence, max_request_bytes=100_000)
        for band in range(6):
            await here.sender.network.publish(
                here.sender.topic, compact_message(compact(shop.blocks[f"b{band}"]))
            )
        await trio.sleep(1)
        assert len(open_now) == MAX_COMPLETING_PER_PEER


async def test_other_transactions_than_those_asked_for_are_a_bad_reply(
    shop: Workshop, tmp_path: Path, autojump_clock: object
) -> None:
    block = shop.blocks["full"]
    async with scene(shop, tmp_path, 4) as here:

        async def others(_peer: PeerId, _data: bytes) -> bytes:
            return BLOCK_TRANSACTIONS_REPLY_CODEC.encode(
                BlockTransactionsReply(shop.blocks["other"].transactions)
            )

        await here.sender.network.serve(BLOCK_TRANSACTIONS_PROTOCOL, others, max_request_bytes=100_000)
        await here.sender.send_compact(block)
        assert not here.knows("full") and here.sender_score == -20
        assert counted(here, "nexus_p2p_faults", fault="bad reply") == 1


async def test_votes_that_are_not_the_headers_are_refused(
    shop: Workshop, tmp_path: Path, autojump_clock: object
) -> None:
    block = shop.blocks["full"]
    right = compact(block)
    async with scene(shop, tmp_path, 4) as here:
        await give(here, block, range(TRANSFERS))
        junk = CompactBlock(right.header, b"\xc1", right.ids)
        await here.sender.gossip(compact_message(junk))
        assert not here.knows("full") and here.sender_score == -100


async def test_a_block_whose_slot_has_not_come_waits_and_is_made_in_its_time(
    shop: Workshop, tmp_path: Path, autojump_clock: object
) -> None:
    block = shop.blocks["full"]
    async with scene(shop, tmp_path, 1) as here:
        await give(here, block, range(TRANSFERS))
        here.clock.step(-2_000)
        await here.sender.send_compact(block)
        assert not here.knows("full") and here.sender_score == 0
        here.clock.step(2_000)
        await trio.sleep(1.5)
        assert here.knows("full") and heard_blocks(here) == [compact_message(compact(block))]


async def test_transactions_of_a_block_are_served_from_the_moment_it_is_forwarded(
    shop: Workshop, tmp_path: Path, autojump_clock: object
) -> None:
    """The writer is slow: what is asked for is not in the store yet."""
    block = shop.blocks["full"]
    async with scene(shop, tmp_path, 4, workers=SlowWriter(20.0)) as here:
        await give(here, block, range(TRANSFERS))
        await here.sender.send_compact(block)
        assert heard_blocks(here) and not here.knows("full")

        async def ask(*positions: int) -> tuple[bytes, ...]:
            raw = await here.listener.network.request(
                "node",
                BLOCK_TRANSACTIONS_PROTOCOL,
                BLOCK_TRANSACTIONS_REQUEST_CODEC.encode(BlockTransactionsRequest(block.header_id, positions)),
                max_reply_bytes=2**20,
                timeout_s=5,
            )
            reply: BlockTransactionsReply = BLOCK_TRANSACTIONS_REPLY_CODEC.decode(raw)
            return reply.transactions

        assert await ask(3, 7) == (block.transactions[3], block.transactions[7])
        assert await ask(TRANSFERS) == ()
        with pytest.raises((RequestRefused, RequestFailed)):
            await ask(7, 3)
        assert here.handle.services.peer_score("listener") == -20


def test_recent_blocks_are_bounded_by_number_and_bytes(shop: Workshop) -> None:
    recent = RecentBlocks(max_blocks=2, max_bytes=1_000)
    store = shop.engine.stores.store
    genesis = shop.chain.genesis_block
    for block in (genesis, shop.blocks["full"], shop.blocks["other"]):
        recent.put(block, 400)
    assert len(recent) == 2 and recent.read(store, shop.id("other")) is shop.blocks["other"]
    recent.put(genesis, 900)
    assert len(recent) == 1 and recent.read(store, genesis.header_id) is genesis


def test_ids_save_three_quarters_of_the_bytes_of_transfers(shop: Workshop) -> None:
    block = shop.blocks["full"]
    whole, by_ids = block_message(encode_block(block)), compact_message(compact(block))
    bodies = sum(len(raw) for raw in block.transactions)
    assert compact(block).ids == tuple(transaction_id(raw) for raw in block.transactions)
    assert bodies > COMPACT_FROM_BYTES
    assert len(whole) - len(by_ids) > 0.75 * bodies


async def test_a_large_block_of_a_node_reaches_another_that_lacks_its_transactions_or_not(
    tmp_path: Path, autojump_clock: object
) -> None:
    chain = devnet()
    legs = [(address_of(chain.accounts[n % 8].public_key), 1) for n in range(256)]
    offers = [batch_transfer(chain.accounts[0], chain.rules, nonce, legs) for nonce in range(50)]
    assert sum(len(one.raw) for one in offers) > MAX_GOSSIPED_BLOCK_BYTES
    async with (
        SimulatedFabric(1) as fabric,
        live_node(
            fabric, chain, tmp_path / "maker", name="maker", clock=clock_at(chain, 1), keys=chain.keys
        ) as maker,
        live_node(
            fabric,
            chain,
            tmp_path / "reader",
            name="reader",
            clock=clock_at(chain, 1),
            bootstrap=["/memory/maker/p2p/maker"],
        ) as reader,
    ):
        await trio.sleep(5)
        answers = await maker.services.submit_transactions([one.raw for one in offers])
        assert all(isinstance(answer, SignedTransaction) for answer in answers)
        await trio.sleep(5)
        blocks = [
            block
            for entry in blocks_by_slot(reader.services.store)
            if (block := read_block(reader.services.store, entry.block_id)) is not None
        ]
        assert sum(len(block.transactions) for block in blocks) == len(offers)
        assert max(len(encode_block(block)) for block in blocks) > COMPACT_FROM_BYTES
        assert reader.services.head == maker.services.head and not fabric.own_faults
        made = reader.services.metrics.registry.get_sample_value
        results = [made("nexus_compact_blocks_total", {"result": one}) or 0 for one in ("mempool", "asked")]
        assert sum(results) >= 1
