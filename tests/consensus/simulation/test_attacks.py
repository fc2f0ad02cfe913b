"""Byzantine strategies with just under a third of the stake, on the pure model.

NEXUS_SIM_SEEDS (default 100): runs of the test over all strategies; the others scale with it.
"""

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest

from consensus.simulation.engine import World, run_scenario
from consensus.simulation.fork_attacks import BOUNCING, STRATEGIES
from consensus.simulation.report import Figures, Report, summarise
from consensus.simulation.rules import (
    PROTOCOL,
    VOTE_AGE_PERIODS,
    ParentRule,
    ProtocolRules,
    TipOrder,
    VotingRule,
)
from consensus.simulation.trials import Size, attack_trial, broken_promises, mixed_trial, shrink

SEEDS = int(os.environ.get("NEXUS_SIM_SEEDS", "100"))
FEW = max(3, SEEDS // 30)

SIZES = (
    Size(13, 176),
    Size(31, 128),
    Size(25, 128, equal_stakes=False),
)

BY_ORDER = replace(PROTOCOL, parents=ParentRule.ORDER)
OWN_TIP = replace(PROTOCOL, voting=VotingRule.OWN_TIP)
OWN_TIP_BY_ORDER = replace(BY_ORDER, voting=VotingRule.OWN_TIP)

LEAST_SHARE = 0.5
"""Of the periods outside the partition that a live run finalises. A third of the stake that is silent, or leads by
chance, costs some."""


def runs(strategy: str, rules: ProtocolRules, seeds: int) -> list[Report]:
    return [run_scenario(attack_trial(strategy, seed, rules=rules)) for seed in range(seeds)]


@cache
def figures(strategy: str, rules: ProtocolRules) -> Figures:
    return summarise(runs(strategy, rules, FEW), rules.period_slots)


def share_finalised_in_attack(strategy: str, rules: ProtocolRules) -> float:
    return figures(strategy, rules).finalised_share


@pytest.mark.parametrize("batch", range(4))
def test_just_under_a_third_of_the_stake_cannot_break_safety_nor_stop_finality_for_longer_than_it_attacks(
    batch: int, record_property: Callable[[str, object], None]
) -> None:
    names = sorted(STRATEGIES)
    faults: Counter[str] = Counter()
    for seed in range(batch, SEEDS, 4):
        strategy, size = names[seed % len(names)], SIZES[seed % len(SIZES)]
        scenario = attack_trial(strategy, seed, size=size)
        report = run_scenario(scenario)
        assert broken_promises(scenario, report) == (), (strategy, size, seed, shrink(scenario).faults)
        parted = sum(fault.end - fault.start for fault in scenario.faults[:-1]) / 8
        live = LEAST_SHARE * (report.periods - parted)
        assert report.periods_finalised >= live, (strategy, size, seed)
        faults += report.faults
    assert sum(faults.values()) > 10 * SEEDS / 4
    record_property("faults of models", sum(faults.values()))


def test_crashes_partitions_and_changing_strategies_together_break_nothing() -> None:
    for seed in range(FEW + 1):
        for rules in (PROTOCOL, BY_ORDER):
            scenario = mixed_trial(seed, rules=rules)
            report = run_scenario(scenario)
            assert broken_promises(scenario, report) == (), (seed, rules.parents, shrink(scenario).faults)


def test_bouncing_stops_finality_for_good_when_validators_vote_for_their_own_tip() -> None:
    for rules in (OWN_TIP, OWN_TIP_BY_ORDER):
        assert share_finalised_in_attack("bouncing", rules) < 0.35
        assert figures("bouncing", rules).deepest_reorganisation_slots > 100


@pytest.mark.parametrize("strategy", BOUNCING)
def test_bouncing_does_not_stop_finality_under_the_leader_rule_when_proposers_carry_certificates(
    strategy: str,
) -> None:
    assert share_finalised_in_attack(strategy, PROTOCOL) > 0.75
    assert figures(strategy, PROTOCOL).longest_stall_periods < 16
    assert figures(strategy, PROTOCOL).deepest_reorganisation_slots < 128


@pytest.mark.parametrize("strategy", ["bouncing", "bouncing-after-freeze", "bouncing-after-vote"])
def test_bouncing_stops_finality_under_the_leader_rule_while_proposers_follow_order_alone(
    strategy: str,
) -> None:
    """Why `consensus.certified_tip` exists; README, Simulation models. Safety holds."""
    assert share_finalised_in_attack(strategy, BY_ORDER) < 0.5
    assert figures(strategy, BY_ORDER).violations == 0


def test_a_lock_stops_finality_for_good_when_order_is_by_work_alone_and_not_when_justified_comes_first() -> (
    None
):
    by_work = replace(PROTOCOL, tip_order=TipOrder.WORK_ONLY)
    locked = [
        report
        for report in runs("lock", by_work, 2 * FEW)
        if report.longest_stall_periods > 20 and report.recovery_slots is None
    ]
    assert locked
    assert figures("lock", PROTOCOL).unrecovered == 0
    assert share_finalised_in_attack("lock", PROTOCOL) > 0.75


@pytest.mark.parametrize("parents", ParentRule)
def test_six_of_thirteen_byzantine_finalise_two_sides_and_the_checkers_see_it(parents: ParentRule) -> None:
    rules = replace(PROTOCOL, parents=parents)
    reports = [
        run_scenario(attack_trial("two-faced", seed, rules=rules, byzantine=(0, 1, 2, 3, 4, 5)))
        for seed in range(4)
    ]
    broken = [what for report in reports for what in report.violations]
    assert any("sees" in what for what in broken)
    assert not any("does not follow" in what for what in broken), "a node halts and never switches"
    assert not any(report.violations for report in runs("two-faced", rules, 4))


def test_a_failing_run_is_shrunk_to_the_faults_that_it_needs() -> None:
    scenario = mixed_trial(1)
    assert len(scenario.faults) > 4
    smallest = shrink(scenario, lambda _, report: report.faults["crash"] > 0)
    assert len(smallest.faults) == 1


def test_L6_equivocating_lanes_weigh_at_most_one() -> None:
    world = World(attack_trial("equivocate", 3, size=Size(13, 96)))
    report = world.run()
    dag = world.dag
    assert report.faults["equivocation"] > 50
    merged_pairs = 0
    for node in world.honest:
        colouring = world.views[node].best.colouring
        for lane in dag.doubled:
            pair = [block for block in dag.lanes[lane] if colouring.past & block.bit]
            assert sum(1 for block in pair if colouring.blues & block.bit) <= 1
            merged_pairs += len(pair) == 2
        lanes = [block.lane for block in dag.blocks if colouring.blues & block.bit]
        assert len(lanes) == len(set(lanes)) == colouring.score
    assert merged_pairs


def test_N12_votes_withheld_for_more_than_two_periods_are_ignored() -> None:
    world = World(attack_trial("withhold-votes", 5, size=Size(13, 240)))
    report = world.run()
    dag = world.dag
    carried = 0
    for block in dag.blocks:
        carried |= block.carried
        for vote in dag.votes:
            if block.carried & vote.bit:
                assert 0 <= block.slot // PROTOCOL.period_slots - vote.period <= VOTE_AGE_PERIODS
    late = [vote for vote in dag.votes if vote.validator in world.byzantine]
    ignored = [vote for vote in late if not carried & vote.bit]
    assert ignored and len(ignored) < len(late)
    assert report.faults["vote withheld"] >= len(late) / 2
    assert report.periods_finalised > LEAST_SHARE * report.periods


def test_N12_a_block_that_carries_a_vote_too_late_is_refused() -> None:
    world = World(attack_trial("obedient", 1, size=Size(13, 80)))
    world.run()
    dag = world.dag
    colouring = dag.colour((world.views[world.honest[0]].best,))
    old = dag.add_vote(0, (0, 0), (4, 1))
    with pytest.raises(ValueError, match="vote of period 4"):
        dag.add(200, 0, 0, colouring, carried=old.bit, rank=1)
