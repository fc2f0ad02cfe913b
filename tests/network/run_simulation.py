"""`make sim SEED=1`: a simulated network of real nodes, a summary, and the hash of everything that happened.

`--seeds N` or `--minutes M` runs further seeds, one after the other (`make soak`). A seed that fails is run again with
fewer and fewer faults, and the command for the shortest list that still fails is printed.
"""

import argparse
import sys
from pathlib import Path
from time import monotonic

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from network.fault_schedule import Menu
from network.scenario import RunFailed, Scenario
from network.shrinking import shrink
from network.simulation import run_scenario


def numbers(text: str) -> tuple[int, ...]:
    """`3,7,12`; `none` is no number at all."""
    return () if text == "none" else tuple(int(part) for part in text.split(","))


def parser() -> argparse.ArgumentParser:
    """The options: those of a scenario, and how many."""
    default = Scenario(0)
    found = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("--seed", type=int, default=1, help="the first one")
    found.add_argument("--seeds", type=int, default=1, help="how many")
    found.add_argument("--minutes", type=float, default=None, help="seeds for so long, instead")
    found.add_argument(
        "--virtual-seconds", type=float, default=default.virtual_seconds, help="of the phase with faults"
    )
    found.add_argument("--nodes", type=int, default=default.nodes)
    found.add_argument("--validators", type=int, default=default.validators)
    found.add_argument("--slot-ms", type=int, default=default.slot_ms)
    found.add_argument("--byzantine-nodes", type=int, default=0, help="of the nodes, the last ones")
    found.add_argument("--byzantine-validators", type=int, default=0, help="of the validators, the last ones")
    found.add_argument("--byzantine-stays", action="store_true", help="hostile keys are silent afterwards")
    found.add_argument("--stake-weights", type=numbers, default=(), help="in 1,000 NXT, by validator")
    found.add_argument("--menu", choices=[menu.value for menu in Menu], default=default.menu.value)
    found.add_argument("--fault-every-s", type=float, default=default.fault_every_s)
    found.add_argument("--only", type=numbers, default=None, help="numbers of the faults that happen")
    found.add_argument("--show-faults", action="store_true", help="print the schedule")
    found.add_argument("--shrink-runs", type=int, default=64, help="of a failing seed; 0: do not shrink")
    return found


def scenario_of(options: argparse.Namespace, seed: int) -> Scenario:
    """The scenario that the options name."""
    return Scenario(
        seed=seed,
        virtual_seconds=options.virtual_seconds,
        nodes=options.nodes,
        validators=options.validators,
        slot_ms=options.slot_ms,
        stake_weights=options.stake_weights,
        byzantine_nodes=options.byzantine_nodes,
        byzantine_validators=options.byzantine_validators,
        byzantine_stays=options.byzantine_stays,
        menu=Menu(options.menu),
        fault_every_s=options.fault_every_s,
        only=options.only,
    )


def run_seed(scenario: Scenario, *, show_faults: bool, shrink_runs: int) -> int:
    """Run it; how many faults there were, -1 when it failed."""
    print(
        f"seed {scenario.seed}: {scenario.nodes} nodes, {scenario.validators} validators, "
        f"{scenario.byzantine_nodes} nodes with {scenario.byzantine_validators} validators are byzantine",
        flush=True,
    )
    if show_faults:
        print("\n".join(f"  {fault}" for fault in scenario.schedule()), flush=True)
    try:
        report = run_scenario(scenario)
    except RunFailed as failure:
        print(f"FAILED {failure}", flush=True)
        if shrink_runs:
            left = shrink(scenario, runs=shrink_runs)
            print(f"of {len(scenario.schedule())} faults {len(left)} are left:")
            print("\n".join(f"  {fault}" for fault in scenario.schedule() if fault.number in left))
            print(f"again: {scenario.command(left)}", flush=True)
        return -1
    print("\n".join(report.lines()), flush=True)
    return report.counted_faults


def main() -> int:
    """Exit 0 when all rules held."""
    options = parser().parse_args()
    began_s, seed, faults, failed = monotonic(), options.seed, 0, []
    while True:
        found = run_seed(
            scenario_of(options, seed), show_faults=options.show_faults, shrink_runs=options.shrink_runs
        )
        faults += max(0, found)
        failed += [seed] if found < 0 else []
        seed += 1
        is_over = (
            seed >= options.seed + options.seeds
            if options.minutes is None
            else monotonic() - began_s > 60 * options.minutes
        )
        if is_over:
            break
    if seed - options.seed > 1:
        print(f"{seed - options.seed} seeds, {faults} faults, failed: {failed or 'none'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
