"""The arithmetic of stake and rewards: shares of a pool, rewards per share, and what of them is final.

Rounding is always against whoever asks, so no sequence of steps pays more than there is. A share is never worth more
than one unit: pools begin one to one, and slashes only lower them.
"""

import msgspec

from ledger.registry import Rejected
from ledger.staking.records import (
    ACCUMULATOR_SHIFT,
    MAX_SHARES_BITS,
    NO_SHARES,
    Delegation,
    RewardMark,
    UnbondingPool,
    ValidatorRecord,
    number_of,
    shares_bytes,
)

POOL_SPENT = "PoolSpent"


def shares_for(units: int, pool_units: int, pool_shares: int) -> int:
    """Shares that `units` buy, rounded down. Errors: `Rejected` PoolSpent when slashes left too little in the pool."""
    if not pool_shares:
        return units
    if not pool_units or (units * pool_shares // pool_units) >> MAX_SHARES_BITS:
        raise Rejected(
            POOL_SPENT, f"slashes left {pool_units} units for {pool_shares} shares; choose another validator"
        )
    return units * pool_shares // pool_units


def units_of(shares: int, pool_units: int, pool_shares: int) -> int:
    """What `shares` are worth, rounded down; all of the pool for all of its shares."""
    return shares * pool_units // pool_shares if pool_shares else 0


def with_delegated(record: ValidatorRecord, units: int, shares: int) -> ValidatorRecord:
    """The validator with `units` and `shares` more, or less when negative, in its pool of delegations."""
    return msgspec.structs.replace(
        record,
        delegated_units=record.delegated_units + units,
        delegated_shares=shares_bytes(number_of(record.delegated_shares) + shares),
    )


def pool_with(pool: UnbondingPool, self_units: int, units: int, shares: int) -> UnbondingPool:
    """The unbonding pool with so much more, or less when negative."""
    return UnbondingPool(
        pool.self_units + self_units,
        pool.delegated_units + units,
        shares_bytes(number_of(pool.delegated_shares) + shares),
    )


def earned_units(shares: int, since: bytes, until: bytes) -> int:
    """Rewards of `shares` between two accumulators, rounded down."""
    return shares * (number_of(until) - number_of(since)) >> ACCUMULATOR_SHIFT


def settled(record: ValidatorRecord, delegation: Delegation, epoch: int) -> Delegation:
    """The delegation with its rewards so far worked out, so that its shares may change in `epoch`."""
    earned = earned_units(number_of(delegation.shares), delegation.accumulator, record.accumulator)
    return Delegation(
        delegation.shares,
        record.accumulator,
        delegation.settled_units + earned,
        epoch if earned else delegation.settled_epoch,
    )


def final_mark(record: ValidatorRecord, finalised_epoch: int) -> RewardMark:
    """The sums of rewards up to the last transition that is final."""
    mark = record.final_mark
    for later in record.marks:
        if later.epoch > finalised_epoch:
            break
        mark = later
    return mark


def claim(record: ValidatorRecord, delegation: Delegation, finalised_epoch: int) -> tuple[int, Delegation]:
    """(units of rewards that are final, the delegation without them)."""
    units, settled_units, accumulator = 0, delegation.settled_units, delegation.accumulator
    if delegation.settled_epoch <= finalised_epoch:
        units, settled_units = settled_units, 0
    if delegation.shares != NO_SHARES:
        until = final_mark(record, finalised_epoch).accumulator
        if until > accumulator:
            units += earned_units(number_of(delegation.shares), accumulator, until)
            accumulator = until
    return units, Delegation(delegation.shares, accumulator, settled_units, delegation.settled_epoch)


def own_claim(record: ValidatorRecord, finalised_epoch: int) -> int:
    """Units of the validator's own rewards that are final and not paid."""
    return final_mark(record, finalised_epoch).own_units - record.own_paid_units
