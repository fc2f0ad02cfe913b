"""Honest validators on bad networks: partitions, dark lanes, delays, crashes. NEXUS_SIM_SEEDS raises the seeds."""

import os
from dataclasses import replace

import pytest

from consensus.params import PERIOD_SLOTS, PRESETS
from consensus.simulation.dag import Block, Checkpoint, ModelDag
from consensus.simulation.engine import World, run_scenario
from consensus.simulation.network import Delay, DelayShape, Partition, PartitionShape, hops_between
from consensus.simulation.report import summarise
from consensus.simulation.rules import PROTOCOL, ParentRule
from consensus.simulation.scenario import Crash, DarkLanes, Scenario
from consensus.simulation.trials import (
    RECOVERY_PERIODS,
    attack_trial,
    broken_promises,
    mixed_trial,
    partition_trial,
)
from wnsp.spectrum import BAND_COUNT

SEEDS = max(3, int(os.environ.get("NEXUS_SIM_SEEDS", "100")) // 25)
TWELVE = (1,) * 12
BY_ORDER = replace(PROTOCOL, parents=ParentRule.ORDER)
RULES = (PROTOCOL, BY_ORDER)
TEN_MINUTES_SLOTS = 600_000 // PRESETS["main"].slot_ms


@pytest.mark.parametrize("share", [(50, 100), (34, 100), (20, 100)], ids=["50-50", "34-66", "20-80"])
@pytest.mark.parametrize("slots", [40, 100])
def test_N11_a_partition_heals_within_three_periods(share: tuple[int, int], slots: int) -> None:
    for rules in RULES:
        for seed in range(SEEDS):
            scenario = partition_trial(seed, share, slots=slots, rules=rules)
            assert broken_promises(scenario, run_scenario(scenario)) == (), seed


@pytest.mark.parametrize("seed", range(SEEDS))
def test_N11_fifty_fifty_for_ten_minutes_heals_into_one_chain_within_three_periods(seed: int) -> None:
    scenario = partition_trial(seed, (1, 2), slots=TEN_MINUTES_SLOTS)
    world = World(scenario)
    report = world.run()
    assert broken_promises(scenario, report) == ()
    assert report.is_one_chain and report.recovery_slots is not None
    assert report.recovery_slots <= RECOVERY_PERIODS * PERIOD_SLOTS
    start = scenario.faults[0].start
    assert not any(
        start + 2 * PERIOD_SLOTS < slot < scenario.quiet_from
        for node in world.honest
        for slot, _ in world.watch.finalised_at[node]
    ), "neither half may finalise alone"
    best = world.views[0].best
    merged = max(len(block.colouring.mergeset) - 1 for block in world.dag.blocks)
    assert PROTOCOL.mergeset_limit - 12 < merged <= PROTOCOL.mergeset_limit, "in pieces"
    assert best.past.bit_count() > 0.9 * len(world.dag.blocks), "the other side is merged"


@pytest.mark.parametrize("shape", [PartitionShape.BRIDGE, PartitionShape.ONE_WAY, PartitionShape.FLAPPING])
def test_N11_every_shape_of_partition_heals(shape: PartitionShape) -> None:
    for rules in RULES:
        for seed in range(SEEDS):
            scenario = partition_trial(seed, (1, 2), slots=60, shape=shape, rules=rules)
            assert broken_promises(scenario, run_scenario(scenario)) == (), seed


def test_a_slot_after_links_are_mended_everyone_knows_what_was_made_before() -> None:
    scenario = partition_trial(3, (1, 2), slots=40)
    world = World(replace(scenario, slots=scenario.quiet_from + 2))
    world.run()
    earlier = sum(block.bit for block in world.dag.blocks if block.slot < scenario.quiet_from)
    votes = sum(vote.bit for vote in world.dag.votes if vote.period < scenario.quiet_from // PERIOD_SLOTS)
    assert all(view.known & earlier == earlier and view.pool & votes == votes for view in world.views)


def test_the_larger_side_of_20_80_finalises_alone_and_the_smaller_side_follows() -> None:
    report = run_scenario(partition_trial(1, (20, 100), slots=100))
    assert report.periods_finalised == report.periods


@pytest.mark.parametrize("alive", range(BAND_COUNT))
def test_L15_the_tip_advances_with_any_one_lane_alive(alive: int) -> None:
    dark = tuple(band for band in range(BAND_COUNT) if band != alive)
    world = World(Scenario(alive, 160, TWELVE, faults=(DarkLanes(1, 160, dark),)))
    report = world.run()
    assert {block.band for block in world.dag.blocks[1:]} == {alive}
    assert all(world.views[node].best.slot >= 158 for node in world.honest)
    assert report.reds == 0 and report.periods_finalised == report.periods


def test_two_dark_bands_of_validators_stop_finality_and_order_goes_on() -> None:
    world = World(Scenario(1, 32, TWELVE))
    bands = world.committee.epoch_of(0).bands
    crashed = bands[0] + bands[1]
    scenario = Scenario(1, 32, TWELVE, faults=tuple(Crash(1, 32, node) for node in crashed))
    world = World(scenario)
    world.run()
    online = [node for node in world.honest if node not in crashed]
    assert all(world.views[node].best.slot == 30 for node in online)
    assert all(world.views[node].finalised == (0, 0) for node in online)


def test_a_node_that_was_off_catches_up() -> None:
    scenario = Scenario(2, 160, TWELVE, faults=(Crash(40, 120, 3),))
    report = run_scenario(scenario)
    assert broken_promises(scenario, report) == ()
    assert report.faults["crash"] == 1


def test_delays_below_two_slots_leave_no_block_red_and_longer_ones_do() -> None:
    reds = {}
    for slots in (1.0, 1.9, 3.0):
        delay = Delay(DelayShape.UNIFORM, slots)
        reports = [
            run_scenario(Scenario(seed, 160, TWELVE, delay=delay, rules=BY_ORDER)) for seed in range(2)
        ]
        figures = summarise(reports, PERIOD_SLOTS)
        reds[slots] = figures.red_share
        assert figures.violations == 0
    assert reds[1.0] == reds[1.9] == 0 < reds[3.0]


def test_finality_takes_fourteen_slots_from_the_begin_of_a_period() -> None:
    report = run_scenario(Scenario(1, 160, TWELVE))
    assert set(report.finality_delays[12:]) == {14 / PERIOD_SLOTS}
    assert report.periods_finalised == report.periods


def test_the_same_scenario_gives_the_same_report() -> None:
    delay = Delay(DelayShape.LOG_NORMAL, 0.6)
    assert run_scenario(mixed_trial(7, delay=delay)) == run_scenario(mixed_trial(7, delay=delay))
    assert run_scenario(mixed_trial(7, delay=delay)) != run_scenario(mixed_trial(8, delay=delay))


def test_a_bridge_carries_messages_in_two_hops_and_a_split_carries_none() -> None:
    bridge = Partition(0, 9, (0, 0, 1, 2), PartitionShape.BRIDGE)
    hops = hops_between(4, (bridge,), ())
    assert hops[0] == (0, 1, 2, 1)
    assert hops_between(4, (bridge,), (3,))[0] == (0, 1, 0, 1)
    split = Partition(0, 9, (0, 0, 1, 1))
    assert hops_between(4, (split,), ())[0] == (0, 1, 0, 0)
    one_way = Partition(0, 9, (0, 0, 1, 1), PartitionShape.ONE_WAY)
    assert hops_between(4, (one_way,), ())[0] == (0, 1, 1, 1)
    assert hops_between(4, (one_way,), ())[2] == (0, 0, 0, 1)


def plain_finality(world: World, block: Block) -> tuple[Checkpoint, Checkpoint]:
    """Justified and finalised in `block`'s view by the definition: every vote carried in its past, again and again."""
    dag: ModelDag = world.dag
    carried = 0
    for other in dag.blocks:
        if block.past & other.bit:
            carried |= other.carried
    links: dict[tuple[Checkpoint, Checkpoint], int] = {}
    for vote in dag.votes:
        on_chain = dag.checkpoint(block.colouring.selected, vote.period) == vote.target
        if carried & vote.bit and on_chain and vote.source[0] < vote.period:
            links[vote.link] = links.get(vote.link, 0) | 1 << vote.validator
    justified = {(0, 0)}
    finalised = (0, 0)
    while True:
        before = len(justified)
        for (source, target), voters in links.items():
            if source in justified and world.committee.is_quorum(voters, target[0] * PERIOD_SLOTS):
                justified.add(target)
                if target[0] == source[0] + 1:
                    finalised = max(finalised, source)
        if len(justified) == before:
            return max(justified), finalised


@pytest.mark.parametrize("strategy", ["obedient", "withhold-votes", "bouncing", "double-votes", "two-faced"])
def test_the_finality_view_kept_block_by_block_equals_the_plain_definition(strategy: str) -> None:
    world = World(attack_trial(strategy, 4))
    world.run()
    for block in world.dag.blocks[1::29]:
        assert (block.view.justified, block.view.finalised) == plain_finality(world, block)
