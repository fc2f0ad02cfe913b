"""The epoch transition: what the first chain block of an epoch does to the state before its merge set.

It closes the epoch that the state is in, whatever number of epochs lie between: O(1) in skipped epochs, in delegators
and in citizens, O(n) in validators. The order is that of ledger.md: rewards come before the economy's steps, the
validator snapshot last. One journal with the merge set: a block's undo takes the transition back too.
"""

from typing import Final

from ledger.economy.floor.accrual import accrue_floor
from ledger.economy.loop import allocate_reserve, guard_floor, share_with_floor
from ledger.economy.monetary_policy import apply_policy
from ledger.epoch_steps import EpochChange, EpochStep, EpochSteps
from ledger.governance.closing import close_proposals
from ledger.oracle.medians import take_medians
from ledger.rules import BlockContext
from ledger.staking.activity import take_activity
from ledger.staking.records import read_epoch
from ledger.staking.rewards import pay_rewards
from ledger.staking.slashing import raise_penalties
from ledger.staking.validator_set import take_snapshot, update_validators
from ledger.state import Overlay

__all__ = ["LEDGER_EPOCH_STEPS", "EpochChange", "EpochStep", "EpochSteps", "begin_epoch"]

LEDGER_EPOCH_STEPS: Final = EpochSteps(
    (
        EpochStep("oracle", take_medians),
        EpochStep("governance", close_proposals),
        EpochStep("policy", apply_policy),
        EpochStep("rewards", pay_rewards),
        EpochStep("penalties", raise_penalties),
        EpochStep("reserve", allocate_reserve),
        EpochStep("floor_share", share_with_floor),
        EpochStep("crisis", guard_floor),
        EpochStep("floor", accrue_floor),
        EpochStep("validators", update_validators),
        EpochStep("snapshot", take_snapshot),
    )
)


def begin_epoch(overlay: Overlay, context: BlockContext, steps: EpochSteps = LEDGER_EPOCH_STEPS) -> bool:
    """Run the transition when the block is the first of its epoch; whether it ran. Otherwise one read."""
    closing_epoch, _ = read_epoch(overlay)
    if context.epoch <= closing_epoch:
        return False
    change = EpochChange(context, closing_epoch, take_activity(overlay))
    for step in steps.steps:
        step.run(overlay, change)
    return True
