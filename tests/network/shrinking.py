"""A failing run with as few faults as still fail: by halves, then one by one."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from network.scenario import RunFailed, Scenario
from network.simulation import run_scenario


def shortest_failing(
    numbers: Sequence[int], fails: Callable[[tuple[int, ...]], bool], *, runs: int = 64
) -> tuple[int, ...]:
    """A part of `numbers` that still fails and of which, if the `runs` suffice, no element can be left out.

    `fails` says whether a part fails; `numbers` do. After Zeller and Hildebrandt, delta debugging.
    """
    left, size = tuple(numbers), (len(numbers) + 1) // 2
    while size >= 1 and left:
        at, dropped = 0, False
        while at < len(left):
            if runs <= 0:
                return left
            runs -= 1
            part = left[:at] + left[at + size :]
            if fails(part):
                left, dropped = part, True
            else:
                at += size
        if size == 1 and not dropped:
            break
        size = max(1, size // 2) if size > 1 or dropped else 0
    return left


def shrink(scenario: Scenario, *, runs: int = 64, tell: Callable[[str], None] = print) -> tuple[int, ...]:
    """Numbers of the faults without which a failing scenario does not fail. Whatever the failure is: one that turns
    into another on the way is a failure all the same."""

    def fails(part: tuple[int, ...]) -> bool:
        try:
            run_scenario(replace(scenario, only=part))
        except RunFailed as failure:
            tell(f"  fails with {len(part)} faults: {str(failure).splitlines()[0]}")
            return True
        tell(f"  passes with {len(part)} faults")
        return False

    return shortest_failing([fault.number for fault in scenario.schedule()], fails, runs=runs)
