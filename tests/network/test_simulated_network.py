"""Networks of real nodes under faults: afterwards all honest ones hold one chain, every transfer is on it once, no unit
is lost, nobody honest can be blamed, and finality goes on."""

import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from faults.faulty_store import Crash, FaultyDisk
from network.fault_schedule import Fault, FaultKind
from network.replays import blocks_of, feed, fresh_engine, outcome
from network.scenario import CALM, Report, RunFailed, Scenario
from network.simulation import Simulation, run_scenario

THREE_PERIODS_S = 24.0
"""Of eight slots of one second."""

Record = Callable[[str, object], None]


def run(
    scenario: Scenario,
    record: Record,
    script: Callable[[Simulation], object] | None = None,
    after: Callable[[Simulation], object] | None = None,
) -> Report:
    """A run whose faults count, and whose summary is printed for whoever looks at a failing test."""
    report = run_scenario(scenario, script=script, after=after)
    record("faults of real nodes", report.counted_faults)
    print("\n".join(report.lines()))
    return report


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_a_network_agrees_after_dense_random_faults_with_a_byzantine_quarter(
    seed: int, record_property: Record
) -> None:
    report = run(
        Scenario(seed=seed, virtual_seconds=45, fault_every_s=1.5, byzantine_nodes=1, byzantine_validators=3),
        record_property,
    )
    assert report.counted_faults > 60
    assert report.transfers > 10 and report.blue_score > 100 and report.statements > 100


def after(at_s: float, *faults: tuple[FaultKind, float, tuple[int, ...], int]) -> tuple[Fault, ...]:
    """Faults from `at_s` on: (kind, how long, nodes, amount)."""
    return tuple(Fault(kind, at_s, lasts_s, nodes, amount) for kind, lasts_s, nodes, amount in faults)


def test_N11_two_halves_cut_for_ten_minutes_become_one_chain_within_three_periods(
    record_property: Record,
) -> None:
    """Slots of 5 s, so that it is 120 slots and 15 periods."""
    scenario = Scenario(
        seed=11,
        virtual_seconds=625,
        slot_ms=5_000,
        transfers_per_second=0.3,
        conflict_share=0.2,
        wire=CALM,
        agreement_s=3 * 40.0,
        faults=after(25, (FaultKind.SPLIT, 600, (0, 1), 0)),
    )
    report = run(scenario, record_property)
    assert report.finalised_under_faults == 0
    assert report.deepest_reorganisation > 100
    assert report.agreed_after_s <= 3 * scenario.period_s and report.final_after_s <= 3 * scenario.period_s


SHAPES = {
    "a quarter": (FaultKind.SPLIT, 22, (3,), 0),
    "a bridge": (FaultKind.BRIDGE, 22, (0, 1), 2),
    "one way": (FaultKind.ONE_WAY, 22, (0, 1), 0),
    "flapping": (FaultKind.FLAPPING, 22, (0, 1), 2_000),
    "swizzle": (FaultKind.SWIZZLE, 22, (2, 0, 3), 0),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_N11_after_any_shape_of_partition_one_chain_and_finality_come_back_within_three_periods(
    shape: str, record_property: Record
) -> None:
    report = run(
        Scenario(seed=13, virtual_seconds=26, wire=CALM, conflict_share=0.2, faults=after(3, SHAPES[shape])),
        record_property,
    )
    assert report.counted_faults >= 1
    assert report.agreed_after_s <= THREE_PERIODS_S and report.final_after_s <= THREE_PERIODS_S


def test_a_power_cut_of_every_node_takes_back_nothing_and_finality_resumes(record_property: Record) -> None:
    final: list[int] = []

    async def cut(simulation: Simulation) -> None:
        await trio.sleep(30)
        final.extend(node.finalised_period for node in simulation.nodes)
        for node in simulation.nodes:
            node.crash(Crash.DROP_UNSYNCED)
            simulation.bring_back(node, 2.0)
        await trio.sleep(1)

    report = run(Scenario(seed=12, wire=CALM, faults=()), record_property, script=cut)
    record_property("faults of real nodes", 4)
    assert min(final) >= 1
    assert report.finalised_period > max(final)
    assert report.agreed_after_s <= THREE_PERIODS_S and report.final_after_s <= THREE_PERIODS_S


def test_the_dag_of_a_run_gives_fresh_engines_the_same_root_and_finality_in_five_random_orders(
    record_property: Record,
) -> None:
    found: list[object] = []

    async def replay(simulation: Simulation) -> None:
        handle = simulation.nodes[0].handle
        assert handle is not None
        # The node's DAG of this moment; its own engine may have blocks to come.
        blocks = blocks_of(handle.services.store)
        expected = (
            handle.services.head.id,
            handle.services.head.state_root,
            handle.services.finality().finalised,
        )
        for order in range(5):
            engine = fresh_engine(simulation.genesis, simulation.registry)
            feed(engine, blocks, random.Random(order))
            found.append(outcome(engine))
            assert found[-1] == expected, order

    report = run(
        Scenario(seed=17, virtual_seconds=26, fault_every_s=2.0, byzantine_nodes=1, byzantine_validators=3),
        record_property,
        after=replay,
    )
    assert len(found) == 5 and report.finalised_period >= 2


def trace_of(seed: int, hash_seed: str) -> str:
    """The last line that `make sim` prints, of a process of its own."""
    script = Path(__file__).with_name("run_simulation.py")
    done = subprocess.run(
        [
            *(sys.executable, str(script), "--seed", str(seed), "--virtual-seconds", "12"),
            *("--byzantine-nodes", "1", "--byzantine-validators", "3", "--shrink-runs", "0"),
        ],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        timeout=170,
        check=True,
    )
    return done.stdout.splitlines()[-1]


def test_a_seed_gives_the_same_trace_in_any_process() -> None:
    first, second = trace_of(21, "0"), trace_of(21, "12345")
    assert first == second and first.startswith("trace ")


def test_another_seed_gives_another_trace() -> None:
    hashes = [
        run_scenario(Scenario(seed=seed, virtual_seconds=3, faults=(), ends_agreed=False)).trace_hash
        for seed in (31, 32)
    ]
    assert hashes[0] != hashes[1]


def test_the_harness_notices_a_node_that_forgets_a_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check must be able to fail: a store that acknowledges synced writes and does not keep them."""
    accept = FaultyDisk._accept
    monkeypatch.setattr(FaultyDisk, "_accept", lambda disk, batch, sync: accept(disk, batch, False))
    blackout = Scenario(
        seed=12, virtual_seconds=12, wire=CALM, faults=after(8, (FaultKind.BLACKOUT, 1, (), 0))
    )
    with pytest.raises(RunFailed, match="lost committed block"):
        run_scenario(blackout)
