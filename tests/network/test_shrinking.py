"""A failing run is told with as few faults as still fail."""

from dataclasses import replace

import pytest
from faults.faulty_store import FaultyDisk
from network.fault_schedule import COUNTED, Fault, FaultKind, Menu, draw_faults
from network.run_simulation import parser, scenario_of
from network.scenario import CALM, RunFailed, Scenario
from network.shrinking import shortest_failing, shrink
from network.simulation import run_scenario


def test_two_faults_that_only_fail_together_are_left() -> None:
    asked: list[tuple[int, ...]] = []

    def fails(part: tuple[int, ...]) -> bool:
        asked.append(part)
        return {7, 31} <= set(part)

    assert shortest_failing(range(1, 41), fails) == (7, 31)
    assert len(asked) <= 64


def test_a_failure_that_needs_no_fault_is_left_with_none() -> None:
    assert shortest_failing(range(1, 10), lambda _: True) == ()


def test_when_the_runs_are_used_up_what_is_left_still_fails() -> None:
    assert {3, 8} <= set(shortest_failing(range(1, 10), lambda part: {3, 8} <= set(part), runs=3))


def test_a_real_run_is_shrunk_to_the_crash_that_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    accept = FaultyDisk._accept
    monkeypatch.setattr(FaultyDisk, "_accept", lambda disk, batch, sync: accept(disk, batch, False))
    scenario = Scenario(
        seed=1,
        virtual_seconds=3,
        nodes=2,
        wire=CALM,
        ends_agreed=False,
        faults=(
            Fault(FaultKind.SLOW_DISK, 0.5, 2, (1,), 20),
            Fault(FaultKind.ONE_WAY, 1, 1, (1, 0)),
            Fault(FaultKind.CLOCK_STEP, 1, 1, (1,), 600),
            Fault(FaultKind.CRASH_DROPPED, 2.1, 0.3, (0,)),
        ),
    )
    with pytest.raises(RunFailed, match="--seed 1"):
        run_scenario(scenario)
    left = shrink(scenario, tell=lambda _: None)
    assert [fault.kind for fault in scenario.schedule() if fault.number in left] == [FaultKind.CRASH_DROPPED]
    with pytest.raises(RunFailed, match="lost committed block"):
        run_scenario(replace(scenario, only=left))


def test_the_command_of_a_scenario_gives_the_same_scenario() -> None:
    for scenario in (
        Scenario(9),
        Scenario(9, virtual_seconds=12.5, nodes=6, validators=18, only=(3, 7), fault_every_s=1.5),
        Scenario(9, byzantine_nodes=1, byzantine_validators=4, byzantine_stays=True, menu=Menu.BYZANTINE),
        Scenario(9, stake_weights=(1,) * 11 + (5,), only=()),
    ):
        words = scenario.command().split()[2:]
        options = parser().parse_args(words)
        assert scenario_of(options, options.seed) == scenario


def test_the_faults_of_a_seed_are_the_same_each_time_and_have_every_kind_somewhere() -> None:
    found: set[FaultKind] = set()
    for seed in range(20):
        scenario = Scenario(seed, byzantine_nodes=1, byzantine_validators=3)
        assert scenario.schedule() == scenario.schedule()
        assert [fault.number for fault in scenario.schedule()] == list(range(1, len(scenario.schedule()) + 1))
        found |= {fault.kind for fault in scenario.schedule()}
    assert found == set(FaultKind)
    assert FaultKind.STORM not in COUNTED and FaultKind.CLOCK_STEP not in COUNTED


def test_without_byzantine_nodes_and_with_their_menu_nothing_goes_wrong() -> None:
    assert draw_faults(1, Menu.BYZANTINE, seconds=60, every_s=1, honest_nodes=4, nodes=4) == ()
