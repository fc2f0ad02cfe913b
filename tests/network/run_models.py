"""Runs of the protocol's models, as a table: `python tests/network/run_models.py --seeds 20 --attack bouncing`.

Without `--attack`: message delays against red blocks and finality. `--attack NAME` is a strategy of
`consensus.simulation`, or `partitions`, `mixed`, `lanes`, or `all`. Exit 1 when a promise was broken: the seed and the
options are printed, and the faults that are left when all needless ones are dropped.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from consensus.simulation.engine import run_scenario
from consensus.simulation.fork_attacks import STRATEGIES
from consensus.simulation.network import WITHIN_A_SLOT, Delay, DelayShape, PartitionShape
from consensus.simulation.report import Figures, summarise
from consensus.simulation.rules import ParentRule, ProtocolRules, TipOrder, VotingRule
from consensus.simulation.scenario import DarkLanes, Scenario
from consensus.simulation.trials import (
    Size,
    attack_trial,
    broken_promises,
    mixed_trial,
    partition_trial,
    shrink,
)

DELAYS = (
    ("uniform up to 1", WITHIN_A_SLOT),
    ("log-normal, median 0.6", Delay(DelayShape.LOG_NORMAL, 0.6)),
    ("spread with maximum 2", Delay(DelayShape.SPREAD, 2.0)),
    ("uniform up to 1.5", Delay(DelayShape.UNIFORM, 1.5)),
    ("uniform up to 2", Delay(DelayShape.UNIFORM, 2.0)),
    ("uniform up to 2.5", Delay(DelayShape.UNIFORM, 2.5)),
    ("uniform up to 3", Delay(DelayShape.UNIFORM, 3.0)),
)

SHARES = ((50, 100), (34, 100), (20, 100))

HEADINGS = (
    "model",
    "red blocks",
    "periods finalised",
    "finality (periods, mean / p95)",
    "longest stall (periods)",
    "deepest reorganisation (slots)",
    "recovery (periods, mean / worst)",
    "faults",
    "slots/s",
)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    name: str
    make: Callable[[int], Scenario]
    """The scenario of a seed."""
    is_promised: bool = True
    """Whether the promises are kept with such delays."""


def rows(attack: str, rules: ProtocolRules, size: Size) -> list[Row]:
    """What `--attack` asks for."""
    if attack == "delays":
        stakes = (1,) * size.validators
        return [
            Row(
                name,
                lambda seed, delay=delay: Scenario(seed, size.slots, stakes, delay=delay, rules=rules),
                delay.within_a_slot,
            )
            for name, delay in DELAYS
        ]
    if attack == "partitions":
        found = [
            Row(
                f"{share[0]}/{100 - share[0]} for {slots} slots",
                lambda seed, share=share, slots=slots: partition_trial(
                    seed, share, slots=slots, size=size, rules=rules
                ),
            )
            for share in SHARES
            for slots in (40, 160, 300)
        ]
        return found + [
            Row(
                f"{shape.value}, 60 slots",
                lambda seed, shape=shape: partition_trial(
                    seed, (1, 2), slots=60, shape=shape, size=size, rules=rules
                ),
            )
            for shape in PartitionShape
            if shape is not PartitionShape.SPLIT
        ]
    if attack == "lanes":
        return [
            Row(f"{dark} of 6 lanes dark", lambda seed, dark=dark: lanes_trial(seed, dark, rules, size))
            for dark in (1, 2, 5)
        ]
    if attack == "mixed":
        return [Row("mixed", lambda seed: mixed_trial(seed, size=size, rules=rules))]
    return [Row(attack, lambda seed: attack_trial(attack, seed, size=size, rules=rules))]


def lanes_trial(seed: int, dark: int, rules: ProtocolRules, size: Size) -> Scenario:
    """That many lanes, other ones per seed, make no block until the last five periods."""
    bands = tuple((seed + step) % 6 for step in range(dark))
    return Scenario(
        seed, size.slots + 40, (1,) * size.validators, faults=(DarkLanes(1, size.slots, bands),), rules=rules
    )


def line(name: str, figures: Figures, slots_per_second: float) -> str:
    """A row of the table."""
    cells = (
        name,
        f"{figures.red_share:.1%}",
        f"{figures.finalised_share:.0%}",
        f"{figures.delay_mean:.2f} / {figures.delay_p95:.2f}",
        f"{figures.longest_stall_periods:.1f}",
        f"{figures.deepest_reorganisation_slots}",
        f"{figures.recovery_mean:.1f} / {figures.recovery_worst:.1f}",
        f"{figures.faults}",
        f"{slots_per_second:,.0f}",
    )
    return f"| {' | '.join(cells)} |"


def main(arguments: list[str] | None = None) -> int:
    """Print the table. Exit 0 when all promises held."""
    names = ("delays", "partitions", "lanes", "mixed", *STRATEGIES)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5, help="runs per row")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--attack", choices=(*names, "all"), default="delays")
    parser.add_argument("--validators", type=int, default=None, help="12, or 13 where some are byzantine")
    parser.add_argument("--slots", type=int, default=240, help="of the phase with faults")
    parser.add_argument("--unequal-stakes", action="store_true")
    parser.add_argument(
        "--voting", choices=[rule.name for rule in VotingRule], default=VotingRule.LEADER.name
    )
    parser.add_argument(
        "--parents", choices=[rule.name for rule in ParentRule], default=ParentRule.CERTIFICATE.name
    )
    parser.add_argument(
        "--order", choices=[order.name for order in TipOrder], default=TipOrder.JUSTIFIED_FIRST.name
    )
    options = parser.parse_args(arguments)
    rules = ProtocolRules(
        voting=VotingRule[options.voting],
        parents=ParentRule[options.parents],
        tip_order=TipOrder[options.order],
    )
    print("| " + " | ".join(HEADINGS) + " |")
    print("|" + "---|" * len(HEADINGS), flush=True)
    faults = 0
    failures: list[tuple[str, Scenario]] = []
    for attack in names if options.attack == "all" else (options.attack,):
        honest_only = attack in ("delays", "partitions", "lanes")
        size = Size(
            options.validators or (12 if honest_only else 13), options.slots, not options.unequal_stakes
        )
        for row in rows(attack, rules, size):
            began = time.process_time()
            scenarios = [row.make(options.first_seed + number) for number in range(options.seeds)]
            reports = [run_scenario(scenario) for scenario in scenarios]
            figures = summarise(reports, rules.period_slots)
            faults += figures.faults
            took = max(1e-9, time.process_time() - began)
            print(line(row.name, figures, sum(report.slots for report in reports) / took), flush=True)
            for scenario, report in zip(scenarios, reports, strict=True):
                if report.violations or (row.is_promised and broken_promises(scenario, report)):
                    failures.append((row.name, scenario))
    print(f"faults injected: {faults}")
    for name, scenario in failures[:5]:
        report = run_scenario(scenario)
        print(f"BROKEN in {name}, seed {scenario.seed}, {' '.join(arguments or sys.argv[1:])}:")
        print("\n".join(f"  {what}" for what in broken_promises(scenario, report)[:5]))
        smallest = shrink(scenario)
        print(f"  with {len(smallest.faults)} of {len(scenario.faults)} faults left:")
        print("\n".join(f"    {fault}" for fault in smallest.faults), flush=True)
    if failures:
        print(f"{len(failures)} runs broke a promise")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
