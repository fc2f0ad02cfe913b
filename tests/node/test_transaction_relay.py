"""Transactions between nodes and from clients: batches, verdicts, and that only what is new goes on."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trio
from builders.blocks import FoundedChain
from builders.chain import devnet
from builders.ledger import transfer
from builders.live_node import Lines, clock_at, live_node
from builders.wallets import key_number
from builders.wallets import transfer as foreign_transfer

from ledger.errors import CodecError, FeeTooLow, SignatureInvalid, WrongChain
from ledger.transactions import SignedTransaction
from node.daemon import NodeHandle
from node.flows.transaction_relay import ANNOUNCE_AGAIN_S, WINDOW_MOST_S
from node.flows.wire import MAX_BATCH_BYTES, TRANSACTIONS_CODEC, transactions_topic
from node.mempool_errors import MempoolRejected, NonceGapTooWide
from p2p.network import PeerId, Verdict
from p2p.simulated import SimulatedFabric
from p2p.simulated_network import SimulatedNetwork

CALM_S = 0.5


@dataclass
class Scene:
    """A node between a sender and a listener."""

    chain: FoundedChain
    handle: NodeHandle
    sender: SimulatedNetwork
    fabric: SimulatedFabric
    heard: list[bytes] = field(default_factory=list)

    async def gossip(self, *raws: bytes) -> None:
        """One batch, and time to judge it."""
        await self.sender.publish(
            transactions_topic(self.chain.params.chain_id), TRANSACTIONS_CODEC.encode(raws)
        )
        await trio.sleep(CALM_S)

    @property
    def heard_batches(self) -> list[tuple[bytes, ...]]:
        """What the listener got."""
        return [TRANSACTIONS_CODEC.decode(raw) for raw in self.heard]

    @property
    def sender_score(self) -> float:
        """0 is spotless."""
        return self.handle.services.peer_score("sender")

    def holds(self, transaction: SignedTransaction) -> bool:
        """Whether it is pending at the node."""
        return transaction.id in self.handle.services.mempool


@asynccontextmanager
async def scene(directory: Path) -> AsyncIterator[Scene]:
    chain = devnet()
    topic = transactions_topic(chain.params.chain_id)
    async with (
        SimulatedFabric(1) as fabric,
        live_node(fabric, chain, directory, clock=clock_at(chain, 4), log=Lines()) as handle,
        fabric.join("sender") as sender,
        fabric.join("listener") as listener,
    ):
        here = Scene(chain, handle, sender, fabric)

        async def hear(_peer: PeerId, data: bytes) -> Verdict:
            here.heard.append(data)
            return Verdict.IGNORE

        for wire in (sender, listener):
            await wire.connect("/memory/node/p2p/node")
        await listener.subscribe(topic, hear, max_bytes=MAX_BATCH_BYTES)
        yield here
        assert not fabric.own_faults


async def test_a_batch_of_new_transactions_is_forwarded_as_it_is(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with scene(tmp_path) as here:
        batch = [here.chain.transfer(0, 1, nonce=nonce) for nonce in range(3)]
        await here.gossip(*(one.raw for one in batch))
        assert all(here.holds(one) for one in batch)
        assert here.heard_batches == [tuple(one.raw for one in batch)]


async def test_only_what_is_new_goes_on(tmp_path: Path, autojump_clock: object) -> None:
    async with scene(tmp_path) as here:
        old, new = here.chain.transfer(0, 1), here.chain.transfer(2, 1)
        await here.gossip(old.raw)
        here.heard.clear()
        await here.gossip(old.raw, new.raw)
        assert here.heard_batches == [(new.raw,)]


async def test_known_transactions_are_not_forwarded_again(tmp_path: Path, autojump_clock: object) -> None:
    async with scene(tmp_path) as here:
        one, two = here.chain.transfer(0, 1), here.chain.transfer(2, 1)
        await here.gossip(one.raw, two.raw)
        here.heard.clear()
        await here.gossip(two.raw, one.raw)
        assert here.heard == [] and here.sender_score == 0


async def test_L1_a_wrong_signature_rejects_the_batch_and_costs_points(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with scene(tmp_path) as here:
        good, bad = here.chain.transfer(0, 1), here.chain.transfer(2, 1)
        await here.gossip(good.raw, bad.raw[:-64] + bytes(64))
        assert not here.holds(good) and here.heard == [] and here.sender_score == -20


async def test_L3_a_transaction_of_another_chain_is_rejected(tmp_path: Path, autojump_clock: object) -> None:
    async with scene(tmp_path) as here:
        await here.gossip(foreign_transfer(key_number(1), 0).raw)
        assert here.heard == [] and here.sender_score == -20


async def test_C1_junk_is_a_ban_at_once(tmp_path: Path, autojump_clock: object) -> None:
    async with scene(tmp_path) as here:
        topic = transactions_topic(here.chain.params.chain_id)
        await here.sender.publish(topic, b"\xdd\xff\xff\xff\xff")
        await trio.sleep(CALM_S)
        assert here.sender_score == -100


async def test_what_the_mempool_does_not_want_is_nobodys_fault(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with scene(tmp_path) as here:
        far = here.chain.transfer(0, 1, nonce=40)
        poor = foreign_sender(here.chain)
        await here.gossip(far.raw, poor.raw)
        assert here.heard == [] and here.sender_score == 0 and len(here.handle.services.mempool) == 0


def foreign_sender(chain: FoundedChain) -> SignedTransaction:
    """A valid transfer of an account that has nothing."""
    return transfer(key_number(7), chain.rules, 0, bytes(20), 1)


async def test_clients_transactions_go_out_in_batches(tmp_path: Path, autojump_clock: object) -> None:
    async with scene(tmp_path) as here:
        offers = [here.chain.transfer(0, 1, nonce=nonce) for nonce in range(5)]
        for one in offers:
            answers = await here.handle.services.submit_transactions([one.raw])
            assert [answer.id for answer in answers if isinstance(answer, SignedTransaction)] == [one.id]
        await trio.sleep(CALM_S)
        assert here.heard_batches == [tuple(one.raw for one in offers)]


async def test_a_batch_waits_for_50_ms_at_most(tmp_path: Path, autojump_clock: object) -> None:
    async with scene(tmp_path) as here:
        for nonce in range(40):
            await here.handle.services.submit_transactions([here.chain.transfer(0, 1, nonce=nonce).raw])
            await trio.sleep(0.008)
        await trio.sleep(CALM_S)
        assert sum(len(batch) for batch in here.heard_batches) == 40
        assert 40 * 0.008 / WINDOW_MOST_S - 1 <= len(here.heard) <= 40 * 0.008 / 0.03


async def test_each_refusal_names_its_rule(tmp_path: Path, autojump_clock: object) -> None:
    async with scene(tmp_path) as here:
        good = here.chain.transfer(0, 1)
        offers = [
            good.raw,
            b"junk",
            foreign_transfer(key_number(1), 0).raw,
            here.chain.transfer(2, 1, fee=1).raw,
            here.chain.transfer(3, 1).raw[:-64] + bytes(64),
            here.chain.transfer(4, 1, nonce=40).raw,
        ]
        answers = await here.handle.services.submit_transactions(offers)
        assert isinstance(answers[0], SignedTransaction)
        assert isinstance(answers[1], CodecError)
        assert isinstance(answers[2], WrongChain)
        assert isinstance(answers[3], FeeTooLow)
        assert isinstance(answers[4], SignatureInvalid)
        assert isinstance(answers[5], NonceGapTooWide) and isinstance(answers[5], MempoolRejected)
        assert [getattr(one, "code", "") for one in answers[2:]] == [
            "WrongChain",
            "FeeTooLow",
            "SignatureInvalid",
            "NonceGapTooWide",
        ]


async def test_submitting_again_gives_the_same_answer(tmp_path: Path, autojump_clock: object) -> None:
    async with scene(tmp_path) as here:
        one = here.chain.transfer(0, 1)
        first = await here.handle.services.submit_transactions([one.raw])
        assert await here.handle.services.submit_transactions([one.raw, one.raw]) == first * 2


async def test_own_pending_transactions_are_announced_again(tmp_path: Path, autojump_clock: object) -> None:
    async with scene(tmp_path) as here:
        await here.handle.services.submit_transactions([here.chain.transfer(0, 1).raw])
        await trio.sleep(CALM_S)
        # The wire passes one message once: only a listener who missed it hears it again.
        before = len(here.heard)
        await here.handle.services.submit_transactions([here.chain.transfer(0, 1, nonce=1).raw])
        await trio.sleep(ANNOUNCE_AGAIN_S + CALM_S)
        assert before == 1 and len(here.heard_batches[-1]) == 2


async def test_a_peer_that_comes_late_hears_of_what_others_have_sent_us(
    tmp_path: Path, autojump_clock: object
) -> None:
    """Whoever announced it first reaches only us, and we do not forward what we know: without our own word the
    transaction would never get from one end of a line of three nodes to the other."""
    async with scene(tmp_path) as here:
        pending = here.chain.transfer(0, 1)
        await here.gossip(pending.raw)
        async with here.fabric.join("late") as late:
            heard: list[bytes] = []

            async def hear(_peer: PeerId, data: bytes) -> Verdict:
                heard.extend(TRANSACTIONS_CODEC.decode(data))
                return Verdict.IGNORE

            await late.subscribe(
                transactions_topic(here.chain.params.chain_id), hear, max_bytes=MAX_BATCH_BYTES
            )
            await late.connect("/memory/node/p2p/node")
            await trio.sleep(2 * ANNOUNCE_AGAIN_S)
            assert heard == [pending.raw]


async def test_every_own_pending_transaction_has_its_turn_to_be_announced_again(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with scene(tmp_path) as here:
        raws = [here.chain.transfer(n % 8, 1, nonce=n // 8).raw for n in range(8 * 40)]
        await here.handle.services.submit_transactions(raws)
        await trio.sleep(2.0)
        here.heard.clear()
        await trio.sleep(3 * ANNOUNCE_AGAIN_S)
        assert {raw for batch in here.heard_batches for raw in batch} == set(raws)


async def test_a_large_submission_is_split_into_bounded_batches(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with scene(tmp_path) as here:
        raws = [here.chain.transfer(n % 8, 1, nonce=n // 8).raw for n in range(8 * 60)]
        await here.handle.services.submit_transactions(raws)
        await trio.sleep(2.0)
        assert sorted(raw for batch in here.heard_batches for raw in batch) == sorted(raws)
        assert all(len(raw) <= MAX_BATCH_BYTES for raw in here.heard)
