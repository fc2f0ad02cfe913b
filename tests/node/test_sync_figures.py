"""Rates, estimates and the window of synchronisation, in numbers."""

import pytest
import trio
from builders.chain import devnet, new_engine

from node.chain_writer import ChainWriter
from node.env import InlineWorkers
from node.flows.asking import PeerServedJunk
from node.flows.sync_sources import SLOW_AFTER_S, Pace
from node.flows.sync_status import RATE_WINDOW_S, Pacer
from node.flows.sync_window import SyncWindow


def test_rates_are_those_of_the_last_half_minute() -> None:
    pacer = Pacer(0.0, 0)
    for second in range(1, 61):
        blocks = 100 if second <= 25 else 10
        pacer.added(blocks, 2 * blocks, float(second), 50 * second)
    assert pacer.rates(60.0) == pytest.approx((10, 20), rel=0.05)
    assert pacer.blocks == 25 * 100 + 35 * 10 and RATE_WINDOW_S == 30


def test_the_time_left_follows_from_the_blue_scores() -> None:
    pacer = Pacer(0.0, 1_000)
    assert pacer.seconds_left(5_000, 1_000, 0.0, 0.0) is None
    pacer.added(200, 0, 10.0, 1_200)
    assert pacer.seconds_left(5_000, 1_200, 10.0, 0.0) == pytest.approx(190)
    assert pacer.seconds_left(5_000, 1_200, 10.0, 10.0) == pytest.approx(380)
    assert pacer.seconds_left(5_000, 1_200, 10.0, 20.0) is None
    assert pacer.seconds_left(1_200, 1_200, 10.0, 5.0) == 0


def test_N4_a_peer_below_the_networks_pace_and_64_kib_a_second_is_slow() -> None:
    params = devnet().params
    pace = Pace(params)
    pace.note("peer", SLOW_AFTER_S - 0.1, 0, 0)
    with pytest.raises(PeerServedJunk, match="29 blocks in 5 s, the network makes up to 30"):
        pace.note("peer", 0.1, 29, 1_000)
    for blocks, size in ((30, 0), (1, 330_000)):
        Pace(params).note("peer", SLOW_AFTER_S, blocks, size)


async def test_the_window_is_an_epoch_above_what_was_processed(autojump_clock: object) -> None:
    chain = devnet()
    epoch = chain.params.epoch_slots
    window = SyncWindow(ChainWriter(new_engine(chain), InlineWorkers()), chain.params)
    assert window.last_slot == epoch
    window.fetched(2)
    window.admitted(1)
    passed: list[str] = []

    async def wait(name: str, slot: int) -> None:
        await (window.wait_to_fetch(slot) if name == "fetch" else window.wait_to_admit(slot))
        passed.append(name)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait, "fetch", epoch + 5)
        nursery.start_soon(wait, "admit", epoch + 5)
        await trio.sleep(1)
        assert passed == []
        window.processed(1, 5)
        await trio.sleep(1)
        assert sorted(passed) == ["admit", "fetch"] and window.last_slot == epoch + 5


async def test_a_window_with_nothing_under_way_opens_for_the_next_header(autojump_clock: object) -> None:
    chain = devnet()
    window = SyncWindow(ChainWriter(new_engine(chain), InlineWorkers()), chain.params)
    far = 10 * chain.params.epoch_slots
    with trio.fail_after(1):
        await window.wait_to_fetch(far)
        await window.wait_to_admit(far)
    assert window.last_slot == far + chain.params.epoch_slots
