"""Votes whose target is not known: what waits, for how long, and what a flood of them can cost."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from builders.blocks import found_chain
from builders.finality import Life
from builders.live_node import Lines

from consensus.params import slot_start_ms
from consensus.vote_judging import VoteJudge
from consensus.votes import Checkpoint, Vote, encode_vote, sign_vote, vote_core
from node.chain_context import ChainContext
from node.env import InlineWorkers
from node.flows.vote_relay import MAX_WAITING_OF_A_VALIDATOR, VoteRelay
from node.metrics import Metrics
from p2p.network import PeerId, Verdict
from p2p.peers import Fault
from p2p.simulated import SimulatedFabric

CHAIN = found_chain(6)
PEER = PeerId("peer")


class Scene:
    """A relay over the store of a chain that lives, and what it reported of peers."""

    def __init__(self, life: Life, relay: VoteRelay, faults: list[Fault]) -> None:
        self.life = life
        self.relay = relay
        self.faults = faults

    def unknown(self, validator: int, number: int, period: int = 3) -> Vote:
        """A vote that its validator signed, for a block that nobody knows."""
        known = self.life.vote(validator, self.life.checkpoint(0), self.life.checkpoint(period))
        target = Checkpoint(period, number.to_bytes(32, "big"))
        return self.signed(msgspec.structs.replace(known, target=target))

    def signed(self, vote: Vote) -> Vote:
        return sign_vote(vote_core(vote), CHAIN.keys[vote.validator], CHAIN.params.genesis_hash)

    async def send(self, vote: Vote) -> Verdict:
        return await self.relay.accept(PEER, encode_vote(vote))


@asynccontextmanager
async def scene(slot: int = 27) -> AsyncIterator[Scene]:
    life = Life(CHAIN)
    life.live(slot, voters=())
    engine, faults = life.engine, list[Fault]()
    judge = VoteJudge(
        engine.stores.store, CHAIN.params, engine.schedule, engine.genesis_id, engine.verified_votes
    )
    context = ChainContext(
        genesis=CHAIN.genesis,
        params=CHAIN.params,
        rules=engine.rules,
        registry=engine.registry,
        schedule=engine.schedule,
        store=engine.stores.store,
        now_ms=lambda: slot_start_ms(CHAIN.params, life.slot),
    )
    async with SimulatedFabric(1) as fabric, fabric.join("node") as network:
        relay = VoteRelay(
            context,
            judge,
            network,
            InlineWorkers(),
            found_conflict=lambda conflict: None,
            observed=lambda vote: None,
            report=lambda peer, fault: faults.append(fault),
            metrics=Metrics(process=False),
            log=Lines(),
        )
        yield Scene(life, relay, faults)


async def test_a_vote_for_an_unknown_block_waits_and_blames_nobody(autojump_clock: object) -> None:
    async with scene() as here:
        assert await here.send(here.unknown(0, 1)) is Verdict.IGNORE
        assert (here.relay.waiting, here.faults) == (1, [])


async def test_a_vote_for_an_unknown_block_that_no_validator_signed_takes_no_memory(
    autojump_clock: object,
) -> None:
    async with scene() as here:
        for number in range(20):
            vote = msgspec.structs.replace(here.unknown(0, number), signature=bytes(64))
            assert await here.send(vote) is Verdict.IGNORE
            assert await here.send(msgspec.structs.replace(vote, validator=4_000)) is Verdict.IGNORE
        assert (here.relay.waiting, here.faults) == (0, [])


async def test_one_validator_cannot_push_out_the_votes_of_others(autojump_clock: object) -> None:
    async with scene() as here:
        await here.send(here.unknown(1, 1))
        for number in range(100):
            await here.send(here.unknown(0, number))
        assert here.relay.waiting == 1 + MAX_WAITING_OF_A_VALIDATOR


async def test_what_waits_is_taken_once_its_target_is_here(autojump_clock: object) -> None:
    async with scene(20) as here:
        life = here.life
        later = Life(CHAIN)
        for block in life.blocks:
            later.take(block)
        later.slot = life.slot
        later.live(38, voters=())
        target = later.checkpoint(4)
        vote = later.vote(2, later.checkpoint(0), target)
        life.slot = 38
        await here.send(vote)
        assert (here.relay.waiting, here.relay.voters(4)) == (1, frozenset())
        for block in later.blocks[len(life.blocks) :]:
            life.take(block)
        await here.relay._judge_waiting()
        assert (here.relay.waiting, here.relay.voters(4)) == (0, frozenset({2}))


async def test_what_waits_too_long_is_forgotten(autojump_clock: object) -> None:
    async with scene() as here:
        await here.send(here.unknown(0, 1))
        here.life.slot = 60
        await here.relay._judge_waiting()
        assert here.relay.waiting == 0
