"""What one run is given: seed, validators, rules, delays and faults. Plain values, so a failing run can be printed
and shrunk."""

from dataclasses import dataclass, replace
from typing import TypeAlias

from consensus.simulation.network import WITHIN_A_SLOT, Delay, Partition
from consensus.simulation.rules import PROTOCOL, ProtocolRules


@dataclass(frozen=True, slots=True)
class Crash:
    """A node is off from slot `start` until `end`; it keeps what it knew and asks for the rest afterwards."""

    start: int
    end: int
    node: int


@dataclass(frozen=True, slots=True)
class DarkLanes:
    """No block is made in these bands from slot `start` until `end`; their validators still vote."""

    start: int
    end: int
    bands: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Attack:
    """The byzantine validators follow a strategy (`adversaries.STRATEGIES`) from slot `start` until `end`, and the
    protocol before and after."""

    start: int
    end: int
    strategy: str


Fault: TypeAlias = Partition | Crash | DarkLanes | Attack


@dataclass(frozen=True, slots=True)
class Scenario:
    """One run."""

    seed: int
    slots: int
    stakes: tuple[int, ...]
    """Of each validator; one node each."""
    byzantine: tuple[int, ...] = ()
    """Validators in the adversary's hand."""
    faults: tuple[Fault, ...] = ()
    delay: Delay = WITHIN_A_SLOT
    rules: ProtocolRules = PROTOCOL

    @property
    def quiet_from(self) -> int:
        """The slot from which on no fault is active; 0 when there is none at all."""
        return max((fault.end for fault in self.faults), default=0)

    def without(self, position: int) -> "Scenario":
        """The same with one fault less."""
        return replace(self, faults=self.faults[:position] + self.faults[position + 1 :])
