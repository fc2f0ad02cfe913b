"""Message delays, and who hears whom.

Times are whole slots: a node acts at the beginning of a slot only, so a message that arrives within a slot is the same
as one at the next slot's beginning, and none is read in the slot in which it was sent.
"""

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from math import ceil, log
from random import Random


class DelayShape(Enum):
    """How delays are distributed."""

    UNIFORM = "uniform"
    """From 0 to `slots`, drawn per message."""
    LOG_NORMAL = "log-normal"
    """Median `slots`, deviation of the logarithm 0.4 (one message in 10 takes 1.7 times the median), per message."""
    SPREAD = "spread"
    """Near and far nodes: each has a distance from 0 to `slots` / 2, and a message takes the sum of the two."""


LOG_NORMAL_DEVIATION = 0.4


@dataclass(frozen=True, slots=True)
class Delay:
    """Message delay in slots."""

    shape: DelayShape
    slots: float

    @property
    def within_a_slot(self) -> bool:
        """Whether every message is there at the next slot."""
        return self.shape is not DelayShape.LOG_NORMAL and self.slots <= 1

    def distances(self, rng: Random, nodes: int) -> list[float]:
        """What each node adds to every message of its own and to its own (slots)."""
        spread = self.shape is DelayShape.SPREAD
        return [rng.random() * self.slots / 2 if spread else 0.0 for _ in range(nodes)]

    def draw_ticks(self, rng: Random, distance: float) -> int:
        """After how many slots a message arrives, at least 1. `distance`: sum of the two nodes' distances."""
        if self.shape is DelayShape.UNIFORM:
            return 1 + int(rng.random() * self.slots) if self.slots > 1 else 1
        if self.shape is DelayShape.LOG_NORMAL:
            return max(1, ceil(rng.lognormvariate(log(self.slots), LOG_NORMAL_DEVIATION)))
        return max(1, ceil(distance))


WITHIN_A_SLOT = Delay(DelayShape.UNIFORM, 1.0)


class PartitionShape(Enum):
    """How a partition cuts links."""

    SPLIT = "split"
    """Only nodes of one group hear each other."""
    BRIDGE = "bridge"
    """As split, but group 2 hears everyone and is heard: messages cross it with a hop more."""
    ONE_WAY = "one-way"
    """Group 0 is heard by all and hears only itself."""
    FLAPPING = "flapping"
    """Split and whole in turn."""


FLAP_SLOTS = 3
"""A flapping partition is cut and whole for so many slots each."""

BRIDGE_GROUP = 2


@dataclass(frozen=True, slots=True)
class Partition:
    """Links cut from slot `start` until `end`."""

    start: int
    end: int
    groups: tuple[int, ...]
    """Group of every node."""
    shape: PartitionShape = PartitionShape.SPLIT

    def cuts_at(self, slot: int) -> bool:
        """Whether links are cut at `slot`."""
        if not self.start <= slot < self.end:
            return False
        return self.shape is not PartitionShape.FLAPPING or (slot - self.start) // FLAP_SLOTS % 2 == 0

    def allows(self, sender: int, receiver: int) -> bool:
        """Whether the link carries messages while cut."""
        one, other = self.groups[sender], self.groups[receiver]
        if one == other:
            return True
        if self.shape is PartitionShape.BRIDGE:
            return BRIDGE_GROUP in (one, other)
        return self.shape is PartitionShape.ONE_WAY and one == 0


def hops_between(
    nodes: int, cuts: Sequence[Partition], offline: Collection[int]
) -> tuple[tuple[int, ...], ...]:
    """hops[sender][receiver]: links on the shortest way by nodes that are online, 0 where there is none.

    Who is offline relays nothing; it is reached all the same, in case it is back when the message arrives.
    """
    rows = []
    for sender in range(nodes):
        row = [0] * nodes
        waiting = deque([(sender, 0)])
        while waiting:
            node, hops = waiting.popleft()
            if node in offline and node != sender:
                continue
            for receiver in range(nodes):
                if (
                    receiver != sender
                    and not row[receiver]
                    and receiver != node
                    and all(cut.allows(node, receiver) for cut in cuts)
                ):
                    row[receiver] = hops + 1
                    waiting.append((receiver, hops + 1))
        rows.append(tuple(row))
    return tuple(rows)
