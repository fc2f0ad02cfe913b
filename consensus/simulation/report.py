"""What a run showed: broken rules, finality, reds, recovery and how many faults were injected."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Report:
    """The result of one run. Delays are in periods and counted from the period's begin, as in consensus.md."""

    seed: int
    slots: int
    blocks: int
    reds: int
    """Red blocks in the past of the first honest node's best tip."""
    periods: int
    """Periods old enough to be final by the end of the run."""
    periods_finalised: int
    """Those whose own checkpoint was finalised (others are final through a later one)."""
    finality_delays: tuple[float, ...]
    """Per period and node: periods from its begin until it, or a later one, was final at that node."""
    longest_stall_periods: float
    """The longest time in which the first honest node finalised nothing."""
    deepest_reorganisation_slots: int
    """How far below an old best tip a new one branched off, at any honest node."""
    recovery_slots: int | None
    """Slots from the last fault's end until every honest node had finalised a checkpoint of a period that began no
    earlier than that end; None when none did by the end of the run, 0 without faults."""
    is_one_chain: bool
    """Whether at the end the honest nodes' best tips have all blocks but those of the last period on one chain."""
    faults: Counter[str] = field(default_factory=Counter)
    """Injected faults by kind; lost packets are not counted."""
    violations: tuple[str, ...] = ()
    """Broken safety rules, in words."""

    @property
    def fault_count(self) -> int:
        """Injected faults of all kinds."""
        return sum(self.faults.values())


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of several runs together."""

    runs: int
    blocks: int
    red_share: float
    finalised_share: float
    delay_mean: float
    """Periods; NaN when nothing was finalised."""
    delay_p95: float
    recovery_mean: float
    """Periods, of the runs that recovered; NaN when there is none."""
    recovery_worst: float
    unrecovered: int
    deepest_reorganisation_slots: int
    longest_stall_periods: float
    faults: int
    violations: int


def summarise(reports: list[Report], period_slots: int) -> Figures:
    """The figures of one or more runs."""
    delays = sorted(delay for report in reports for delay in report.finality_delays)
    recoveries = [
        report.recovery_slots / period_slots for report in reports if report.recovery_slots is not None
    ]
    blocks = sum(report.blocks for report in reports)
    return Figures(
        runs=len(reports),
        blocks=blocks,
        red_share=sum(report.reds for report in reports) / max(1, blocks),
        finalised_share=sum(report.periods_finalised for report in reports)
        / max(1, sum(report.periods for report in reports)),
        delay_mean=sum(delays) / len(delays) if delays else float("nan"),
        delay_p95=delays[min(len(delays) - 1, len(delays) * 95 // 100)] if delays else float("nan"),
        recovery_mean=sum(recoveries) / len(recoveries) if recoveries else float("nan"),
        recovery_worst=max(recoveries, default=float("nan")),
        unrecovered=len(reports) - len(recoveries),
        deepest_reorganisation_slots=max(report.deepest_reorganisation_slots for report in reports),
        longest_stall_periods=max(report.longest_stall_periods for report in reports),
        faults=sum(report.fault_count for report in reports),
        violations=sum(len(report.violations) for report in reports),
    )
