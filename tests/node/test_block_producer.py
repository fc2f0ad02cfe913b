"""Our own blocks: one for each lane of ours, never two, whatever the clock and the process do."""

from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from builders.blocks import FoundedChain
from builders.chain import devnet
from builders.live_node import KeptStores, Lines, WallClock, clock_at, live_node

from consensus.params import slot_at
from consensus.stores import blocks_by_slot, read_block, read_header
from ledger.storage.store import Reader
from node.daemon import NodeHandle
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
