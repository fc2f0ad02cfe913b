"""Scenarios by name, drawn from a seed, and the search for the faults that a failing one needs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from consensus.simulation.committee import choose_byzantine, effective_stakes
from consensus.simulation.engine import run_scenario
from consensus.simulation.fork_attacks import FORKED, HEAVY_SIDE, JUSTIFIABLE_SIDE
from consensus.simulation.network import WITHIN_A_SLOT, Delay, Partition, PartitionShape
from consensus.simulation.report import Report
from consensus.simulation.rules import PROTOCOL, ProtocolRules
from consensus.simulation.scenario import Attack, Crash, Fault, Scenario

QUIET_PERIODS = 5
"""Slots without faults at the end of every trial: three periods in which finality must be back, and what it takes to
see it."""

FORK_BEGIN_SLOT = 36
FORK_END_SLOT = 68
"""Fork attacks part the nodes in between, healing just after the votes of period 8 are cast."""

RECOVERY_PERIODS = 3
"""Promise: so long after the last fault every honest node has finalised again."""

STAKE_UNIT = 1_000


@dataclass(frozen=True, slots=True)
class Size:
    """How large a trial is."""

    validators: int = 13
    slots: int = 240
    """Without the quiet end."""
    equal_stakes: bool = True


DEFAULT_SIZE = Size()
"""4 of 13 are 30.8 %, and the other nine have just over two thirds."""

EVEN_SIZE = Size(validators=12)


def drawn_stakes(size: Size, rng: Random) -> tuple[int, ...]:
    """Equal stakes, or from 1 to 5 units each."""
    if size.equal_stakes:
        return (STAKE_UNIT,) * size.validators
    return tuple(rng.randint(STAKE_UNIT, 5 * STAKE_UNIT) for _ in range(size.validators))


def attack_trial(
    strategy: str,
    seed: int,
    *,
    size: Size = DEFAULT_SIZE,
    rules: ProtocolRules = PROTOCOL,
    delay: Delay = WITHIN_A_SLOT,
    byzantine: tuple[int, ...] | None = None,
) -> Scenario:
    """The byzantine, by default just under a third of the stake, follow `strategy` until the quiet end. Fork attacks
    begin with a partition."""
    rng = Random(f"{seed} trial")
    stakes = drawn_stakes(size, rng)
    if byzantine is None:
        byzantine = choose_byzantine(stakes, rng)
    faults: tuple[Fault, ...] = (Attack(1, size.slots, strategy),)
    if strategy in FORKED:
        groups = fork_groups(stakes, byzantine, rng)
        faults = (
            Partition(FORK_BEGIN_SLOT, FORK_END_SLOT, groups),
            Attack(FORK_BEGIN_SLOT, size.slots, strategy),
        )
    return Scenario(
        seed=seed,
        slots=size.slots + QUIET_PERIODS * rules.period_slots,
        stakes=stakes,
        byzantine=byzantine,
        faults=faults,
        delay=delay,
        rules=rules,
    )


def fork_groups(stakes: Sequence[int], byzantine: Sequence[int], rng: Random) -> tuple[int, ...]:
    """Groups of a fork attack: on the justifiable side as few honest nodes as make two thirds with the byzantine."""
    effective = effective_stakes(stakes)
    honest = [node for node in range(len(stakes)) if node not in byzantine]
    rng.shuffle(honest)
    together = sum(effective[node] for node in byzantine)
    groups = [HEAVY_SIDE] * len(stakes)
    for node in honest:
        if 3 * together > 2 * sum(effective):
            break
        groups[node] = JUSTIFIABLE_SIDE
        together += effective[node]
    return tuple(groups)


def partition_trial(
    seed: int,
    first_share: tuple[int, int],
    *,
    slots: int,
    shape: PartitionShape = PartitionShape.SPLIT,
    size: Size = EVEN_SIZE,
    delay: Delay = WITHIN_A_SLOT,
    rules: ProtocolRules = PROTOCOL,
) -> Scenario:
    """All honest; for `slots` slots, group 0 holds about `first_share` (numerator, denominator) of the nodes. A bridge
    takes a node of either side."""
    rng = Random(f"{seed} trial")
    stakes = drawn_stakes(size, rng)
    nodes = list(range(len(stakes)))
    rng.shuffle(nodes)
    first = max(1, round(len(nodes) * first_share[0] / first_share[1]))
    groups = [1] * len(nodes)
    for node in nodes[:first]:
        groups[node] = 0
    if shape is PartitionShape.BRIDGE:
        groups[nodes[first - 1]] = groups[nodes[first]] = 2
    start = rng.randint(20, 44)
    return Scenario(
        seed=seed,
        slots=start + slots + QUIET_PERIODS * rules.period_slots,
        stakes=stakes,
        faults=(Partition(start, start + slots, tuple(groups), shape),),
        delay=delay,
        rules=rules,
    )


def mixed_trial(
    seed: int, *, size: Size = DEFAULT_SIZE, rules: ProtocolRules = PROTOCOL, delay: Delay = WITHIN_A_SLOT
) -> Scenario:
    """A third of the stake changes its strategy every period, while honest nodes crash and links are cut at random."""
    scenario = attack_trial("changing", seed, size=size, rules=rules, delay=delay)
    rng = Random(f"{seed} mixed")
    honest = [node for node in range(size.validators) if node not in scenario.byzantine]
    faults: list[Fault] = list(scenario.faults)
    for _ in range(rng.randint(2, 8)):
        start = rng.randrange(1, size.slots - 20)
        faults.append(Crash(start, min(size.slots, start + rng.randint(1, 60)), rng.choice(honest)))
    slot = rng.randint(8, 40)
    while slot < size.slots - 20:
        end = min(size.slots, slot + rng.randint(4, 60))
        shape = rng.choice(tuple(PartitionShape))
        groups = tuple(
            rng.randrange(3 if shape is PartitionShape.BRIDGE else 2) for _ in range(size.validators)
        )
        faults.append(Partition(slot, end, groups, shape))
        slot = end + rng.randint(4, 60)
    return Scenario(
        seed=seed,
        slots=scenario.slots,
        stakes=scenario.stakes,
        byzantine=scenario.byzantine,
        faults=tuple(faults),
        delay=delay,
        rules=rules,
    )


def broken_promises(scenario: Scenario, report: Report) -> tuple[str, ...]:
    """What must not happen in any run with delays below a slot: broken safety, or no finality soon after the faults."""
    broken = list(report.violations)
    limit = RECOVERY_PERIODS * scenario.rules.period_slots
    if report.recovery_slots is None:
        broken.append(f"no finality in the {scenario.slots - scenario.quiet_from} slots after the faults")
    elif report.recovery_slots > limit:
        broken.append(f"finality came back {report.recovery_slots} slots after the faults, expected {limit}")
    if not report.is_one_chain:
        broken.append("the honest nodes end on different chains")
    return tuple(broken)


def has_broken_promises(scenario: Scenario, report: Report) -> bool:
    """Whether anything is in `broken_promises`."""
    return bool(broken_promises(scenario, report))


def shrink(
    scenario: Scenario, is_failing: Callable[[Scenario, Report], bool] = has_broken_promises
) -> Scenario:
    """A failing scenario with as few faults as still fail: each is dropped in turn, until none can be."""
    position = 0
    while position < len(scenario.faults):
        smaller = scenario.without(position)
        if is_failing(smaller, run_scenario(smaller)):
            scenario, position = smaller, 0
        else:
            position += 1
    return scenario
