"""The faults of a run as a list: drawn from the seed, each with a number, so that any part of it can be run again."""

import random
from dataclasses import dataclass, replace
from enum import Enum
from functools import total_ordering


@total_ordering
class FaultKind(Enum):
    """What goes wrong."""

    CRASH_KEPT = "crash"
    """The process dies; what it wrote is there."""
    CRASH_DROPPED = "crash, unsynced lost"
    CRASH_TORN = "crash, torn tail"
    BLACKOUT = "blackout"
    """Every node loses power in one instant, with all unsynced writes."""
    FULL_DISK = "full disk"
    """The chain's store fails at write `amount`."""
    FULL_SIGNER_DISK = "full signer disk"
    SLOW_DISK = "slow disk"
    """Each batch takes `amount` ms."""
    SPLIT = "partition"
    """`nodes` against the rest."""
    BRIDGE = "bridged partition"
    """The same, but node number `amount` reaches both sides."""
    ONE_WAY = "one-way cut"
    """Nothing passes from the first of `nodes` to the second."""
    FLAPPING = "flapping"
    """A partition that comes and goes every `amount` ms."""
    SWIZZLE = "swizzle-clog"
    """The links of `nodes` are clogged one by one, and opened again in another order."""
    STORM = "storm"
    """The wire loses `amount` % of all messages, doubles and reorders many."""
    CORRUPTION = "corruption"
    """The first of `nodes`, a byzantine one, garbles `amount` % of what it sends."""
    CLOCK_STEP = "clock step"
    """The clock jumps by `amount` ms, and back at the end."""
    EQUIVOCATE = "equivocation"
    """Two blocks of one lane, for two halves of the network."""
    WITHHOLD = "withheld block"
    """Blocks that come out some slots later."""
    WRONG_STATE = "wrong state root"
    JUNK_BLOCK = "junk block"
    """A votes root that is not that of the votes, or votes that are not valid."""
    LATE_BLOCK = "late block"
    """Made as by a clock that lags some slots."""
    SILENT_LANE = "silent lane"
    DOUBLE_VOTE = "double vote"
    SURROUND_VOTE = "surround vote"
    WITHHOLD_VOTE = "withheld vote"
    """Votes that come out one to three periods later."""
    SILENT_VOTE = "silent vote"
    FALSE_EVIDENCE = "false evidence"

    def __lt__(self, other: "FaultKind") -> bool:
        return self.value < other.value


CRASHES = {
    FaultKind.CRASH_KEPT,
    FaultKind.CRASH_DROPPED,
    FaultKind.CRASH_TORN,
}
DISKS = {FaultKind.FULL_DISK, FaultKind.FULL_SIGNER_DISK, FaultKind.SLOW_DISK}
CUTS = {FaultKind.SPLIT, FaultKind.BRIDGE, FaultKind.ONE_WAY, FaultKind.FLAPPING, FaultKind.SWIZZLE}
BLOCK_ACTS = (
    FaultKind.EQUIVOCATE,
    FaultKind.WITHHOLD,
    FaultKind.WRONG_STATE,
    FaultKind.LATE_BLOCK,
    FaultKind.SILENT_LANE,
    FaultKind.JUNK_BLOCK,
)
VOTE_ACTS = (
    FaultKind.DOUBLE_VOTE,
    FaultKind.SURROUND_VOTE,
    FaultKind.WITHHOLD_VOTE,
    FaultKind.SILENT_VOTE,
)
BYZANTINE = {*BLOCK_ACTS, *VOTE_ACTS, FaultKind.FALSE_EVIDENCE, FaultKind.CORRUPTION}
COUNTED = CRASHES | DISKS | CUTS | BYZANTINE
"""What the goal figures count. Storms, lost packets and clocks come on top."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault, from `at_s` for `lasts_s` virtual seconds. What the other fields mean stands with its kind."""

    kind: FaultKind
    at_s: float
    lasts_s: float = 0.0
    """Of a crash: until the node comes back, from its end."""
    nodes: tuple[int, ...] = ()
    amount: int = 0
    number: int = 0
    """In its schedule, from 1."""

    def with_number(self, number: int) -> "Fault":
        """The same as number `number` of a schedule."""
        return replace(self, number=number)

    def __str__(self) -> str:
        who = f" of {', '.join(f'node{node}' for node in self.nodes)}" if self.nodes else ""
        how = f" ({self.amount})" if self.amount else ""
        return f"{self.number}: at {self.at_s:.1f} s {self.kind.value}{who}{how} for {self.lasts_s:.1f} s"


class Menu(Enum):
    """What faults are drawn from."""

    MIXED = "mixed"
    """Everything; byzantine acts where there are byzantine nodes."""
    BYZANTINE = "byzantine"
    """Nothing but byzantine acts: then finality must go on all the time."""


_DISHES: tuple[tuple[FaultKind, int], ...] = (
    (FaultKind.CRASH_KEPT, 4),
    (FaultKind.CRASH_DROPPED, 4),
    (FaultKind.CRASH_TORN, 4),
    (FaultKind.BLACKOUT, 1),
    (FaultKind.FULL_DISK, 3),
    (FaultKind.FULL_SIGNER_DISK, 2),
    (FaultKind.SLOW_DISK, 3),
    (FaultKind.SPLIT, 3),
    (FaultKind.BRIDGE, 2),
    (FaultKind.ONE_WAY, 3),
    (FaultKind.FLAPPING, 2),
    (FaultKind.SWIZZLE, 2),
    (FaultKind.STORM, 2),
    (FaultKind.CLOCK_STEP, 3),
)
"""Kinds and how often they are taken."""

QUIET_START_S = 2.0
"""Before the first fault."""


def draw_faults(
    seed: int, menu: Menu, *, seconds: float, every_s: float, honest_nodes: int, nodes: int
) -> tuple[Fault, ...]:
    """The faults that a seed stands for, of a network whose first `honest_nodes` nodes of `nodes` are honest."""
    chance = random.Random(f"faults/{seed}")
    faults: list[Fault] = []
    if menu is Menu.MIXED and every_s > 0:
        at_s = QUIET_START_S + chance.uniform(0, every_s)
        while at_s < seconds:
            faults.append(_drawn(chance, at_s, honest_nodes, nodes))
            at_s += chance.uniform(0.4, 1.6) * every_s
    for node in range(honest_nodes, nodes):
        faults.extend(_byzantine(chance, node, seconds))
    return tuple(faults)


def _drawn(chance: random.Random, at_s: float, honest_nodes: int, nodes: int) -> Fault:
    kind = chance.choices([dish for dish, _ in _DISHES], [weight for _, weight in _DISHES])[0]
    node = chance.randrange(honest_nodes)
    everybody = list(range(nodes))
    chance.shuffle(everybody)
    side = tuple(sorted(everybody[: chance.randint(1, nodes - 1)]))
    short_s, long_s = chance.uniform(0.5, 8.0), chance.uniform(2.0, 14.0)
    if kind in CRASHES or kind is FaultKind.BLACKOUT:
        return Fault(kind, at_s, short_s, () if kind is FaultKind.BLACKOUT else (node,))
    if kind in (FaultKind.FULL_DISK, FaultKind.FULL_SIGNER_DISK):
        return Fault(kind, at_s, short_s, (node,), chance.randint(1, 5))
    if kind is FaultKind.SLOW_DISK:
        return Fault(kind, at_s, long_s, (node,), chance.choice((20, 100, 400)))
    if kind is FaultKind.BRIDGE:
        return Fault(kind, at_s, long_s, side, chance.randrange(nodes))
    if kind is FaultKind.ONE_WAY:
        return Fault(kind, at_s, long_s, (everybody[0], everybody[1]))
    if kind is FaultKind.FLAPPING:
        return Fault(kind, at_s, long_s, side, chance.choice((300, 900, 2_500)))
    if kind is FaultKind.SWIZZLE:
        return Fault(kind, at_s, long_s, tuple(everybody[: max(2, nodes - 1)]))
    if kind is FaultKind.STORM:
        return Fault(kind, at_s, long_s, (), chance.choice((10, 30)))
    if kind is FaultKind.CLOCK_STEP:
        return Fault(kind, at_s, long_s, (node,), chance.choice((-4_000, -1_500, -600, 600, 1_500, 4_000)))
    return Fault(kind, at_s, long_s, side)


def _byzantine(chance: random.Random, node: int, seconds: float) -> list[Fault]:
    """Strategies of a hostile node, one after the other: one for blocks and one for votes at any time."""
    faults: list[Fault] = []
    for acts in (BLOCK_ACTS[:-1], VOTE_ACTS):
        at_s = 0.0
        while at_s < seconds:
            lasts_s = chance.uniform(6.0, 16.0)
            faults.append(Fault(chance.choice(acts), at_s, lasts_s, (node,)))
            at_s += lasts_s
    at_s = chance.uniform(0.2, 0.8) * seconds
    faults.append(Fault(FaultKind.FALSE_EVIDENCE, at_s, 4.0, (node,)))
    # Last, because whoever sends junk is banned.
    faults.append(Fault(FaultKind.JUNK_BLOCK, 0.85 * seconds, 4.0, (node,)))
    faults.append(Fault(FaultKind.CORRUPTION, 0.9 * seconds, 4.0, (node,), 20))
    return faults
