"""What a run of the simulated network is told, and what it reports."""

from collections import Counter
from dataclasses import dataclass, field

from network.fault_schedule import COUNTED, Fault, FaultKind, Menu, draw_faults

from p2p.simulated_links import LinkFaults

WIRE = LinkFaults(loss=0.02, delay_min_ms=20, delay_max_ms=300, duplication=0.05)
"""Of phase one, unless a fault is worse: a wide delay reorders."""

CALM = LinkFaults()

EXPIRY_SLOT = 100_000
"""Of all transactions: no run gets there, and slots of 5 s allow it."""


class RuleBroken(AssertionError):
    """The network did what it must never do."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One run. Everything in it follows from these values."""

    seed: int
    virtual_seconds: float = 60.0
    """Of phase one, the one with faults."""
    nodes: int = 4
    validators: int = 12
    slot_ms: int = 1_000
    stake_weights: tuple[int, ...] = ()
    """Stake of each validator in 1,000 NXT; 1 each when empty."""
    byzantine_nodes: int = 0
    """The last ones of `nodes`. Their keys are not in a file but in hostile hands."""
    byzantine_validators: int = 0
    """The last ones of `validators`, dealt to the byzantine nodes; the others to the honest ones, in turn."""
    held: tuple[tuple[int, ...], ...] = ()
    """Validators whose keys each node has in its file, instead of dealing them; two may have the same ones."""
    byzantine_stays: bool = False
    """Whether the last strategy goes on after phase one."""
    accounts: int = 8
    transfers_per_second: float = 2.0
    conflict_share: float = 0.1
    """Part of the transfers that a sender signs twice with one nonce, for two nodes."""
    wire: LinkFaults = WIRE
    menu: Menu = Menu.MIXED
    """What faults are drawn from; ignored when `faults` is given."""
    fault_every_s: float = 2.5
    """About how often a fault begins. 0: never."""
    faults: tuple[Fault, ...] | None = None
    """These, instead of drawn ones."""
    only: tuple[int, ...] | None = None
    """Numbers of the faults that are left, of a run that is being shrunk."""
    clock_offset_ms: int = 100
    """Each node's clock is wrong by up to this much, always."""
    agreement_s: float = 60.0
    """After the faults all honest nodes agree within so many virtual seconds, or the run has failed."""
    may_halt: bool = False
    """Whether nodes may stop for contradicting finality: more than a third of the stake is byzantine then."""
    ends_agreed: bool = True
    """Whether there is a phase two."""

    @property
    def honest_nodes(self) -> int:
        """Nodes that keep the rules, the first ones."""
        return self.nodes - self.byzantine_nodes

    @property
    def honest_validators(self) -> int:
        """Validators that keep the rules, the first ones."""
        return self.validators - self.byzantine_validators

    @property
    def period_s(self) -> float:
        """A finality period."""
        return 8 * self.slot_ms / 1000

    def home_of(self, validator: int) -> int:
        """The node that signs with an honest validator's key."""
        if self.held:
            return next(node for node, held in enumerate(self.held) if validator in held)
        return validator % self.honest_nodes

    def schedule(self) -> tuple[Fault, ...]:
        """All faults in order of time, numbered from 1; with `only`, what is left of them."""
        faults = self.faults
        if faults is None:
            faults = draw_faults(
                self.seed,
                self.menu,
                seconds=self.virtual_seconds,
                every_s=self.fault_every_s,
                honest_nodes=self.honest_nodes,
                nodes=self.nodes,
            )
        ordered = sorted(enumerate(faults), key=lambda numbered: (numbered[1].at_s, numbered[0]))
        numbered = tuple(fault.with_number(place) for place, (_, fault) in enumerate(ordered, start=1))
        return tuple(fault for fault in numbered if self.only is None or fault.number in self.only)

    def command(self, only: tuple[int, ...] | None = None) -> str:
        """The command that runs it again. Scenarios with faults of a test's own are run by that test."""
        default = Scenario(0)
        words = [f"python tests/network/run_simulation.py --seed {self.seed}"]
        for name in (
            "virtual_seconds",
            "nodes",
            "validators",
            "slot_ms",
            "byzantine_nodes",
            "byzantine_validators",
            "fault_every_s",
        ):
            value = getattr(self, name)
            if value != getattr(default, name):
                words.append(f"--{name.replace('_', '-')} {value:g}")
        if self.byzantine_stays:
            words.append("--byzantine-stays")
        if self.stake_weights:
            words.append("--stake-weights " + ",".join(map(str, self.stake_weights)))
        if self.menu is not default.menu:
            words.append(f"--menu {self.menu.value}")
        left = self.only if only is None else only
        if left is not None:
            words.append(f"--only {','.join(map(str, left)) or 'none'}")
        return " ".join(words)


@dataclass(slots=True)
class Report:
    """What a run came to. A run that breaks a rule raises instead."""

    trace_hash: str = ""
    virtual_seconds: float = 0.0
    real_seconds: float = 0.0
    processor_seconds: float = 0.0
    nodes: int = 0
    blue_score: int = 0
    head: str = ""
    transfers: int = 0
    conflicts: int = 0
    """Pairs of which exactly one could be applied."""
    faults: Counter[FaultKind] = field(default_factory=Counter)
    """What really happened: a byzantine interval counts once for each block or vote."""
    deepest_reorganisation: int = 0
    finalised_period: int = 0
    finalised_under_faults: int = 0
    """The least that any honest node had final when phase one ended."""
    agreed_after_s: float = 0.0
    """Virtual seconds from the end of the faults."""
    final_after_s: float = 0.0
    """The same, until every honest node had something final that no node had at the end of the faults."""
    slashed: tuple[int, ...] = ()
    """Validators that the chain has punished."""
    statements: int = 0
    """Different blocks and votes by honest validators that were seen on the wire; none contradicts another."""

    @property
    def counted_faults(self) -> int:
        """Crashes, partitions, disk faults and byzantine acts."""
        return sum(count for kind, count in self.faults.items() if kind in COUNTED)

    def lines(self) -> list[str]:
        """For people; the last line is the trace hash."""
        speed = self.virtual_seconds / max(self.processor_seconds, 0.001)
        shown = ", ".join(f"{kind.value} {count}" for kind, count in sorted(self.faults.items())) or "none"
        return [
            f"{self.virtual_seconds:.0f} virtual seconds of {self.nodes} nodes in {self.processor_seconds:.1f} s: "
            f"{speed:.1f} per second, {speed * self.nodes:.0f} node-seconds",
            f"head {self.head[:16]}, blue score {self.blue_score}, deepest reorganisation "
            f"{self.deepest_reorganisation} blocks, period {self.finalised_period} final",
            f"{self.transfers} transfers and {self.conflicts} conflicting pairs, each applied once; no unit lost",
            f"{self.counted_faults} faults ({shown})",
            f"agreed {self.agreed_after_s:.1f} s after their end, final {self.final_after_s:.1f} s; slashed "
            f"{list(self.slashed)}; {self.statements} honest statements without a contradiction",
            f"trace {self.trace_hash}",
        ]


class RunFailed(AssertionError):
    """A run broke a rule or fell over; the text has the command that shows it again."""

    def __init__(self, scenario: Scenario, error: BaseException) -> None:
        super().__init__(f"seed {scenario.seed}: {_told(error)}\nagain: {scenario.command()}")
        self.scenario = scenario
        self.cause = error


def _told(error: BaseException) -> str:
    """The first error of a group that is not a group."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"
