"""Finality on running nodes: votes are cast, carried and counted; the RPC tells of it; faults reach the chain."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trio
from builders.blocks import FoundedChain, found_chain
from builders.ledger import transfer
from builders.live_node import KeptStores, Lines, clock_at, live_node

from consensus.params import period_at
from consensus.stores import blocks_by_slot, read_block
from consensus.votes import Checkpoint, Vote, VoteCore, decode_vote, encode_vote, sign_vote
from ledger.addresses import address_of, encode_address
from ledger.keys import KeyPair
from ledger.staking.queries import validator
from ledger.storage.state_store import LedgerStore
from node.daemon import NodeHandle
from node.flows.wire import votes_topic
from node.keystore import write_identity
from node.rpc.methods import NodeMethods
from p2p.network import PeerId, Verdict
from p2p.simulated import SimulatedFabric
from p2p.simulated_network import SimulatedNetwork

FINAL_AFTER_SLOTS = 32


@dataclass
class Scene:
    """A node that holds all keys, and a peer that hears the votes and may send some."""

    chain: FoundedChain
    handle: NodeHandle
    peer: SimulatedNetwork
    log: Lines
    heard: list[Vote] = field(default_factory=list)

    async def call(self, method: str, **params: object) -> Any:
        return await NodeMethods(self.handle.services).call(method, params)

    async def until_period_final(self, period: int) -> Any:
        with trio.fail_after(120):
            while True:
                status = await self.call("finality_status")
                if int(status["finalised"]["period"]) >= period:
                    return status
                await trio.sleep(0.5)

    async def send(self, vote: Vote) -> None:
        await self.peer.publish(votes_topic(self.chain.params.chain_id), encode_vote(vote))
        await trio.sleep(0.5)


@asynccontextmanager
async def scene(
    directory: Path, *, chain: FoundedChain | None = None, keys: int = 12, stores: KeptStores | None = None
) -> AsyncIterator[Scene]:
    chain = found_chain(12) if chain is None else chain
    log = Lines()
    async with (
        SimulatedFabric(1) as fabric,
        live_node(
            fabric, chain, directory, clock=clock_at(chain, 1), keys=chain.keys[:keys], log=log, stores=stores
        ) as handle,
        fabric.join("peer") as peer,
    ):
        here = Scene(chain, handle, peer, log)

        async def hear(_peer: PeerId, data: bytes) -> Verdict:
            here.heard.append(decode_vote(data))
            return Verdict.IGNORE

        await peer.connect("/memory/node/p2p/node")
        await peer.subscribe(votes_topic(chain.params.chain_id), hear, max_bytes=512)
        yield here


async def test_a_transfer_becomes_final_within_32_slots(tmp_path: Path, autojump_clock: object) -> None:
    async with scene(tmp_path) as here:
        chain = here.chain
        payment = transfer(chain.accounts[0], chain.rules, 0, address_of(chain.accounts[1].public_key), 7)
        await here.call("tx_submit", raw=payment.raw.hex())
        started_s = trio.current_time()
        with trio.fail_after(FINAL_AFTER_SLOTS * chain.params.slot_ms / 1000):
            while True:
                if (await here.call("tx_status", id=payment.id.hex())).get("final"):
                    break
                await trio.sleep(0.25)
        assert trio.current_time() - started_s > chain.params.period_slots * chain.params.slot_ms / 1000


async def test_every_validator_votes_once_a_period_and_the_votes_stand_in_blocks(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with scene(tmp_path) as here:
        await here.until_period_final(2)
        cast = [(vote.validator, vote.target.period) for vote in here.heard]
        assert len(cast) == len(set(cast))
        assert {validator for validator, period in cast if period == 2} == set(range(12))
        store = here.handle.services.store
        carried = [
            (vote.validator, vote.target.period)
            for entry in blocks_by_slot(store, 1)
            if (block := read_block(store, entry.block_id)) is not None
            for vote in block.votes
        ]
        assert {entry for entry in cast if entry[1] <= 2} <= set(carried)
        assert here.handle.services.metrics.finalised_period._value.get() >= 2


async def test_with_a_third_of_the_stake_away_finality_pauses_and_the_status_says_why(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with scene(tmp_path, keys=8) as here:
        await trio.sleep(60)
        status = await here.call("finality_status")
        assert (status["state"], status["finalised"]["period"]) == ("paused", "0")
        assert "more than two thirds" in status["reason"]
        assert int((await here.call("chain_head"))["slot"]) > 50  # order goes on


async def test_a_node_that_comes_back_goes_on_finalising(tmp_path: Path, autojump_clock: object) -> None:
    chain, stores = found_chain(12), KeptStores()
    clock = clock_at(chain, 1)
    async with SimulatedFabric(1) as fabric:
        async with live_node(fabric, chain, tmp_path, clock=clock, keys=chain.keys, stores=stores) as first:
            await trio.sleep(45)
            before = first.services.finality().finalised
            assert before.period >= 2
        async with live_node(fabric, chain, tmp_path, clock=clock, keys=chain.keys, stores=stores) as second:
            assert second.services.finality().finalised == before
            await trio.sleep(45)
            assert second.services.finality().finalised.period > before.period + 2


async def test_certificates_and_schedules_are_told(tmp_path: Path, autojump_clock: object) -> None:
    async with scene(tmp_path) as here:
        await here.until_period_final(1)
        (certificate,) = (await here.call("finality_getCertificates", first_period=1))["certificates"]
        assert certificate["target"]["period"] == "1"
        assert len(certificate["votes"]) >= 9
        slot = int((await here.call("node_info"))["slot"])
        schedule = await here.call("validator_schedule", first_slot=slot + 1, slots=2)
        assert [len(entry["lanes"]) for entry in schedule["slots"]] == [6, 6]
        listed = await here.call("validator_list")
        assert (listed["mode"], len(listed["validators"])) == ("full", 12)
        assert all(entry["ours"] and entry["band"] for entry in listed["validators"])


@pytest.mark.parametrize("surround", [False, True])
async def test_L7_two_votes_that_exclude_each_other_cost_the_stake_and_reward_the_reporter(
    tmp_path: Path, autojump_clock: object, surround: bool
) -> None:
    chain = found_chain(12)
    operator = chain.accounts[0]
    write_identity(tmp_path / "operator.json", operator.seed)
    async with scene(tmp_path, chain=chain, keys=11) as here:
        await here.until_period_final(2)
        status = await here.call("finality_status")
        period = period_at(chain.params, int(status["head_slot"]))
        honest = next(vote for vote in here.heard if vote.target.period == period - 1)
        offender = chain.keys[11]
        band = here.handle.services.schedule.of_slot(int(status["head_slot"])).band_of(11)
        assert band is not None
        good = VoteCore(11, band, honest.source, honest.target)
        genesis_checkpoint = Checkpoint(0, chain.genesis_block.header_id)
        if surround:
            later = next(vote for vote in reversed(here.heard) if vote.target.period >= period - 1)
            bad = VoteCore(11, band, genesis_checkpoint, later.target)
        else:
            bad = VoteCore(11, band, genesis_checkpoint, honest.target)
        for core in (good, bad):
            await here.send(sign_vote(core, offender, chain.params.genesis_hash))
        state = LedgerStore(here.handle.services.store)
        staked = chain.genesis.validators[11].stake_units
        with trio.fail_after(90):
            while True:
                view = validator(state, 11, 0)
                assert view is not None
                if view.record.slashes:
                    break
                await trio.sleep(1)
        assert view.record.stake_units <= staked * 95 // 100
        assert view.status == "jailed"
        reporter = await here.call("ledger_getAccount", address=address_text(here, operator))
        funded = dict(chain.genesis.allocations)[address_of(operator.public_key)]
        assert int(reporter["balance"]) > funded


def address_text(here: Scene, key: KeyPair) -> str:
    return encode_address(here.chain.rules.address_prefix, address_of(key.public_key))


async def test_a_vote_of_nobody_is_refused_and_its_sender_loses_score(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with scene(tmp_path) as here:
        await here.until_period_final(1)
        honest = here.heard[-1]
        await here.send(Vote(honest.validator, honest.band, honest.source, honest.target, bytes(64)))
        assert here.handle.services.peer_score("peer") < 0


async def test_a_vote_whose_target_is_unknown_waits_and_blames_nobody(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with scene(tmp_path) as here:
        await here.until_period_final(1)
        honest = here.heard[-1]
        core = VoteCore(
            honest.validator, honest.band, honest.source, Checkpoint(honest.target.period, b"\x77" * 32)
        )
        await here.send(sign_vote(core, here.chain.keys[honest.validator], here.chain.params.genesis_hash))
        assert here.handle.services.peer_score("peer") == 0
