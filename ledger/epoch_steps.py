"""What an epoch transition is made of: named steps in a fixed order, as a value that packages above may extend."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ledger.errors import EpochStepUnknown
from ledger.rules import BlockContext
from ledger.staking.records import Activity
from ledger.state import Overlay


@dataclass(frozen=True, slots=True)
class EpochChange:
    """One transition, as its steps see it."""

    context: BlockContext
    """Of the chain block that begins the new epoch, `context.epoch`."""
    closing_epoch: int
    """The epoch that the state was in. Epochs between the two had no chain block; one transition covers them all."""
    activity: Mapping[int, Activity]
    """What was merged in the closing epoch, by validator index, ascending. Its records are removed already."""


@dataclass(frozen=True, slots=True)
class EpochStep:
    """One step."""

    name: str
    run: Callable[[Overlay, EpochChange], None]
    """Writes to the overlay. Any error is a fault of ours: nothing that a user sends is judged here."""


@dataclass(frozen=True, slots=True)
class EpochSteps:
    """The steps in their order."""

    steps: tuple[EpochStep, ...]

    def before(self, name: str, *steps: EpochStep) -> "EpochSteps":
        """The same with `steps` in front of the step `name`. Errors: `EpochStepUnknown`."""
        return self._inserted(name, steps, 0)

    def after(self, name: str, *steps: EpochStep) -> "EpochSteps":
        """The same with `steps` behind the step `name`. Errors: `EpochStepUnknown`."""
        return self._inserted(name, steps, 1)

    def _inserted(self, name: str, steps: tuple[EpochStep, ...], offset: int) -> "EpochSteps":
        names = [step.name for step in self.steps]
        if name not in names:
            raise EpochStepUnknown(name, tuple(names))
        place = names.index(name) + offset
        return EpochSteps((*self.steps[:place], *steps, *self.steps[place:]))
