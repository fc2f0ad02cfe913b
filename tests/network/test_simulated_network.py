"""Networks of real nodes under faults: afterwards all hold one chain, every transfer is on it once, no unit is lost."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import trio
from faults.faulty_store import Crash, FaultyDisk
from network.simulation import Scenario, Simulation, run_scenario

from p2p.simulated_links import LinkFaults

THREE_PERIODS_S = 24.0
"""Of eight slots of one second."""

CALM = LinkFaults()


def show(report_lines: list[str]) -> None:
    """Seed, speed and trace, for whoever reads the output of a failing run (or runs with -s)."""
    print("\n".join(report_lines))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_network_agrees_after_random_faults(seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    report = run_scenario(Scenario(seed=seed, virtual_seconds=40))
    with capsys.disabled():
        print(f"\nseed {seed}: " + "; ".join(report.lines()[:1] + report.lines()[3:]))
    assert report.crashes + report.cuts + report.disk_failures > 0
    assert report.transfers > 50 and report.blue_score > 100


async def halves(simulation: Simulation, _nursery: trio.Nursery) -> None:
    """The network falls into two equal parts until the end of phase one."""
    await trio.sleep(3)
    names = [node.name for node in simulation.nodes]
    simulation.report.cuts += 1
    simulation.fabric.partition([names[:3], names[3:]], sever_after_s=6.0)


def test_N11_two_halves_become_one_chain_within_three_periods() -> None:
    report = run_scenario(
        Scenario(seed=11, virtual_seconds=28, wire=CALM, conflict_share=0.2, trouble=halves)
    )
    show(report.lines())
    assert report.deepest_reorganisation > 10
    assert report.agreed_after_s <= THREE_PERIODS_S


async def power_cut(simulation: Simulation, nursery: trio.Nursery) -> None:
    """Everybody loses power in one instant, with all unsynced writes, and comes back."""
    await trio.sleep(10)
    for node in simulation.nodes:
        simulation.crash(node, Crash.DROP_UNSYNCED)
        nursery.start_soon(simulation.restart, node, 2.0)


def test_a_power_cut_of_every_node_takes_back_nothing_that_was_committed() -> None:
    report = run_scenario(Scenario(seed=12, virtual_seconds=16, wire=CALM, trouble=power_cut))
    show(report.lines())
    assert report.crashes == 6 and report.agreed_after_s <= THREE_PERIODS_S


async def flapping(simulation: Simulation, _nursery: trio.Nursery) -> None:
    """One third is cut off and back, again and again."""
    names = [node.name for node in simulation.nodes]
    while True:
        await trio.sleep(3)
        simulation.report.cuts += 1
        simulation.fabric.partition([names[:2], names[2:]])
        await trio.sleep(3)
        simulation.fabric.heal()


def test_N11_a_flapping_third_ends_on_the_common_chain() -> None:
    report = run_scenario(Scenario(seed=13, virtual_seconds=24, wire=CALM, trouble=flapping))
    show(report.lines())
    assert report.cuts >= 3 and report.agreed_after_s <= THREE_PERIODS_S


def trace_of(seed: int, hash_seed: str) -> str:
    """The last line that `make sim` prints, of a process of its own."""
    script = Path(__file__).with_name("run_simulation.py")
    done = subprocess.run(
        [sys.executable, str(script), "--seed", str(seed), "--virtual-seconds", "8"],
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
    hashes: list[str] = []
    for seed in (31, 32):
        report = run_scenario(Scenario(seed=seed, virtual_seconds=3, fault_every_s=0))
        hashes.append(report.trace_hash)
    assert hashes[0] != hashes[1]


def test_the_harness_notices_a_node_that_forgets_a_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check must be able to fail: a store that acknowledges synced writes and does not keep them."""

    accept = FaultyDisk._accept
    monkeypatch.setattr(FaultyDisk, "_accept", lambda disk, batch, sync: accept(disk, batch, False))
    with pytest.raises(BaseExceptionGroup) as caught:
        run_scenario(Scenario(seed=12, virtual_seconds=16, wire=CALM, trouble=power_cut))
    assert "lost committed block" in str(list(leaves(caught.value)))


def leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in leaves(inner)]
    return [error]
