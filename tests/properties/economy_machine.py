"""The walk through the economy as a state machine of hypothesis, which shrinks what it finds to the shortest walk."""

from collections import Counter
from dataclasses import dataclass
from functools import cache

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from properties.economy_walk import WEIGHTS, EconomyWalk

STEPS = 50
"""Operations of one walk; hypothesis begins again after them, with another choice of operations. Walks of twice as many
are shrunk to half of that and no further."""


@cache
def _below(limit: int) -> st.SearchStrategy[int]:
    return st.integers(0, limit - 1)


@dataclass(slots=True)
class DrawnChoices:
    """Choices of hypothesis."""

    data: st.DataObject

    def below(self, limit: int) -> int:
        return self.data.draw(_below(limit))


class EconomyMachine(RuleBasedStateMachine):
    """One rule per operation."""

    done = 0
    seen: Counter[tuple[str, str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.walk = EconomyWalk()
        self.failed = False

    def teardown(self) -> None:
        if self.failed:  # what follows a failure is no failure of its own
            return
        self.walk.finish()
        type(self).done += self.walk.done
        type(self).seen += self.walk.seen


def _rule_of(name: str) -> object:
    def act(self: EconomyMachine, data: st.DataObject) -> None:
        self.failed = True
        self.walk.step(name, DrawnChoices(data))
        self.failed = False

    act.__name__ = name
    return rule(data=st.data())(act)


def machine(operations: dict[str, int]) -> type[EconomyMachine]:
    """A machine with so many rules for each operation by name, and counters of its own."""
    rules = {
        f"{name}_{number}": _rule_of(name) for name, weight in operations.items() for number in range(weight)
    }
    return type("Economy", (EconomyMachine,), {"done": 0, "seen": Counter(), **rules})


def run_machine(number: int, operations: int) -> tuple[int, Counter[tuple[str, str]]]:
    """(operations done, at least as many as asked for; what each kind met). Equal numbers give equal walks.

    Raises what the walk has found, with the shortest way there printed.
    """
    economy = machine(WEIGHTS)
    round_number = 0
    while economy.done < operations:  # examples may end early; then there is another, shorter round
        chosen = settings(
            max_examples=-(-(operations - economy.done) // STEPS),
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            print_blob=False,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )
        run_state_machine_as_test(seed(number * 1_000 + round_number)(economy), settings=chosen)
        round_number += 1
    return economy.done, economy.seen
