"""Our own blocks: one for each lane of ours, never two, whatever the clock and the process do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from builders.blocks import FoundedChain, found_chain
from builders.chain import devnet
from builders.live_node import KeptStores, Lines, WallClock, clock_at, live_node

from consensus.blocks import sign_header
from consensus.params import slot_at
from consensus.stores import blocks_by_slot, read_block, read_header
from consensus.votes import sign_vote
from ledger.amounts import UNITS_PER_NXT
from ledger.onion import MAX_ONION_STEPS
from ledger.staking.delegation_kinds import DELEGATE, Delegate
from ledger.storage.state_store import LedgerStore
from ledger.storage.store import Reader
from ledger.transactions import sign_transaction
from node.daemon import NodeHandle
from node.signing.local_signer import LocalSigner
from p2p.simulated import SimulatedFabric

HOUR_MS = 3_600_000


def lanes(store: Reader) -> list[tuple[int, int]]:
    """(slot, band) of every block in the DAG but genesis."""
    found = []
    for entry in blocks_by_slot(store, 1):
        header = read_header(store, entry.block_id)
        assert header is not None
        found.append((header.slot, header.band))
    return found


def slot_now(chain: FoundedChain, clock: Callable[[], int]) -> int:
    return slot_at(chain.params, clock())


async def test_every_lane_of_our_keys_gets_one_block_a_slot(tmp_path: Path, autojump_clock: object) -> None:
    chain = devnet()
    clock = clock_at(chain, 1)
    async with (
        SimulatedFabric(1) as fabric,
        live_node(fabric, chain, tmp_path, clock=clock, keys=chain.keys) as node,
    ):
        await trio.sleep(10)
        expected = [
            (slot, band)
            for slot in range(2, slot_now(chain, clock) + 1)
            for band in chain.schedule.of_slot(slot).populated
        ]
        assert sorted(lanes(node.services.store)) == expected


async def test_only_lanes_of_our_own_keys_are_used(tmp_path: Path, autojump_clock: object) -> None:
    chain = devnet()
    async with (
        SimulatedFabric(1) as fabric,
        live_node(fabric, chain, tmp_path, clock=clock_at(chain, 1), keys=chain.keys[2:4]) as node,
    ):
        await trio.sleep(10)
        assert node.services.validator_indices == (2, 3)
        assert lanes(node.services.store)
        for slot, band in lanes(node.services.store):
            assert chain.schedule.proposer(slot, band) in (2, 3)


@pytest.mark.parametrize("back_ms", [0, 500, 3_000, HOUR_MS])
async def test_R19_a_restart_never_signs_a_lane_twice(
    tmp_path: Path, autojump_clock: object, back_ms: int
) -> None:
    """The chain's store is lost and the clock is wrong: the signing record alone must know."""
    chain, stores, clock, log = devnet(), KeptStores(), clock_at(devnet(), 1), Lines()
    signed: list[tuple[int, int]] = []
    async with SimulatedFabric(1) as fabric:
        for _ in range(3):
            async with live_node(
                fabric, chain, tmp_path, clock=clock, keys=chain.keys, stores=stores, log=log
            ) as node:
                await trio.sleep(6.3)
                signed += lanes(node.services.store)
            stores.contents.pop("db")
            clock.step(-back_ms)
    assert len(signed) >= 18
    assert len(set(signed)) == len(signed)


async def test_a_slot_that_was_signed_for_is_counted_and_skipped(
    tmp_path: Path, autojump_clock: object
) -> None:
    chain, clock, log = devnet(), clock_at(devnet(), 1), Lines()
    stores = KeptStores()
    async with SimulatedFabric(1) as fabric:
        async with live_node(fabric, chain, tmp_path, clock=clock, keys=chain.keys, stores=stores):
            await trio.sleep(5)
        clock.step(-3_000)
        async with live_node(
            fabric, chain, tmp_path, clock=clock, keys=chain.keys, stores=stores, log=log
        ) as node:
            await trio.sleep(2)
            assert node.services.metrics.double_sign_prevented._value.get() > 0
            assert "slot was signed for before" in log.events("warning")


async def wait_for_slot(node: NodeHandle, slot: int, within_s: float) -> None:
    with trio.fail_after(within_s):
        while node.services.head.slot < slot:  # noqa: ASYNC110 - a running node tells no one
            await trio.sleep(0.05)


async def test_R16_after_a_jump_ahead_of_an_hour_blocks_come_within_three_slots(
    tmp_path: Path, autojump_clock: object
) -> None:
    chain = devnet()
    clock = clock_at(chain, 1)
    async with (
        SimulatedFabric(1) as fabric,
        live_node(fabric, chain, tmp_path, clock=clock, keys=chain.keys) as node,
    ):
        await trio.sleep(4)
        clock.step(HOUR_MS)
        await wait_for_slot(node, slot_now(chain, clock), 3.0)
        assert len(set(lanes(node.services.store))) == len(lanes(node.services.store))


async def test_R16_after_a_jump_back_of_an_hour_signing_waits(tmp_path: Path, autojump_clock: object) -> None:
    chain, log = devnet(), Lines()
    clock = clock_at(chain, 5_000)
    async with (
        SimulatedFabric(1) as fabric,
        live_node(fabric, chain, tmp_path, clock=clock, keys=chain.keys, log=log) as node,
    ):
        await trio.sleep(4)
        before = lanes(node.services.store)
        clock.step(-HOUR_MS)
        await trio.sleep(60)
        assert lanes(node.services.store) == before
        assert "clock stepped back" in log.events("warning")
        clock.step(HOUR_MS)
        await wait_for_slot(node, slot_now(chain, clock), 3.0)


async def test_R16_after_a_jump_ahead_and_back_the_keys_that_signed_nothing_meanwhile_go_on(
    tmp_path: Path, autojump_clock: object
) -> None:
    """A second of a wrong clock must not silence a validator for an hour that had no lane in it."""
    chain, log = found_chain(12), Lines()
    clock = clock_at(chain, 1)
    async with (
        SimulatedFabric(1) as fabric,
        live_node(fabric, chain, tmp_path, clock=clock, keys=chain.keys, log=log) as node,
    ):
        # At the beginning of a period: nobody votes in the second of the wrong clock.
        await trio.sleep(15.2)
        clock.step(HOUR_MS)
        await trio.sleep(1)
        votes = node.services.metrics.votes_cast.labels("cast")._value.get()
        ahead = [lane for lane in lanes(node.services.store) if lane[0] > 3_000]
        clock.step(-HOUR_MS)
        back = slot_now(chain, clock)
        await trio.sleep(20)
        made = {
            chain.schedule.proposer(slot, band)
            for slot, band in lanes(node.services.store)
            if back < slot < 3_000
        }
        silenced = {chain.schedule.proposer(slot, band) for slot, band in ahead}
        assert silenced and made == set(range(12)) - silenced
        assert log.events("warning").count("clock stepped back") <= 2
        assert node.services.metrics.votes_cast.labels("cast")._value.get() >= votes + 24


async def test_nothing_is_proposed_before_genesis_time(tmp_path: Path, autojump_clock: object) -> None:
    chain = devnet()
    clock: WallClock = clock_at(chain, 0, into_slot_ms=-20_000)
    async with (
        SimulatedFabric(1) as fabric,
        live_node(fabric, chain, tmp_path, clock=clock, keys=chain.keys) as node,
    ):
        await trio.sleep(20)
        assert lanes(node.services.store) == []
        await trio.sleep(3)
        assert lanes(node.services.store)


async def test_submitted_transfers_are_accepted_within_three_slots_and_carried_once(
    tmp_path: Path, autojump_clock: object
) -> None:
    chain = devnet()
    async with (
        SimulatedFabric(1) as fabric,
        live_node(fabric, chain, tmp_path, clock=clock_at(chain, 1), keys=chain.keys) as node,
    ):
        await trio.sleep(3)
        offers = [chain.transfer(n, (n + 1) % 8, nonce=nonce) for n in range(8) for nonce in range(5)]
        await node.services.submit_transactions([one.raw for one in offers])
        await trio.sleep(3)
        assert len(node.services.mempool) == 0
        bodies = [
            raw
            for entry in blocks_by_slot(node.services.store)
            if (block := read_block(node.services.store, entry.block_id)) is not None
            for raw in block.transactions
        ]
        assert sorted(bodies) == sorted(one.raw for one in offers)


async def test_after_a_standstill_that_no_onion_reaches_across_the_chain_goes_on_and_becomes_final(
    tmp_path: Path, autojump_clock: object
) -> None:
    """All stopped for two days: nobody has a layer that can be checked, and renewing takes a block."""
    chain = devnet()
    first = chain.params.epoch_slots * (MAX_ONION_STEPS + 1)
    async with (
        SimulatedFabric(1) as fabric,
        live_node(fabric, chain, tmp_path, clock=clock_at(chain, first), keys=chain.keys) as node,
    ):
        with trio.fail_after(120):
            while True:
                if node.services.finality().finalised.period > 0:
                    break
                await trio.sleep(1)
        assert node.services.head.slot > first


async def test_a_transaction_that_breaks_its_kinds_rule_is_dropped_with_the_reason(
    tmp_path: Path, autojump_clock: object
) -> None:
    """It pays no fee; left alone it would hold its place in each template, and its sender's nonce, for ten minutes."""
    chain = devnet()
    sender = chain.accounts[0]
    doomed = sign_transaction(
        sender,
        chain.rules,
        nonce=0,
        expiry_slot=500,
        fee=None,
        kind=DELEGATE,
        payload_record=Delegate(999, 20 * UNITS_PER_NXT),
    )
    async with (
        SimulatedFabric(1) as fabric,
        live_node(fabric, chain, tmp_path, clock=clock_at(chain, 1), keys=chain.keys) as node,
    ):
        await node.services.submit_transactions([doomed.raw])
        assert doomed.id in node.services.mempool
        await trio.sleep(8)
        assert node.services.mempool.drop_reason(doomed.id) == "UnknownValidator"
        payment = chain.transfer(0, 1)
        await node.services.submit_transactions([payment.raw])
        await trio.sleep(4)
        assert LedgerStore(node.services.store).transaction(payment.id) is not None


@pytest.mark.parametrize("wrong", ["reveal", "sign_block", "sign_vote"])
async def test_a_signer_that_answers_wrongly_costs_lanes_and_votes_but_not_the_node(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    chain, log = devnet(), Lines()
    genesis = chain.params.genesis_hash

    def answer(self: LocalSigner, _key: bytes, what: Any, *_: int) -> Any:
        match wrong:
            case "reveal":
                return bytes(32)
            case "sign_block":
                return sign_header(what, chain.accounts[0], genesis)
            case _:
                return sign_vote(what, chain.accounts[0], genesis)

    monkeypatch.setattr(LocalSigner, wrong, answer)
    async with (
        SimulatedFabric(1) as fabric,
        live_node(fabric, chain, tmp_path, clock=clock_at(chain, 1), keys=chain.keys, log=log) as node,
    ):
        await trio.sleep(20)
        found = {
            "reveal": "block could not be made",
            "sign_block": "own block is not valid",
            "sign_vote": "own vote is not valid",
        }
        assert found[wrong] in log.events()
        assert bool(lanes(node.services.store)) is (wrong == "sign_vote")
        assert wrong != "sign_vote" or node.services.voters(1) == frozenset()
