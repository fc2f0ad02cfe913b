"""What people ask about validators and stakes, read from a state; for RPC and the console. Writes nothing."""

from collections.abc import Iterator
from dataclasses import dataclass

from ledger.staking.records import (
    DELEGATION_CODEC,
    DELEGATION_PREFIX,
    NO_DELEGATION,
    NO_SHARES,
    STATUS_NAMES,
    UNBONDING_PREFIX,
    UNBONDINGS_CODEC,
    VALIDATOR_CODEC,
    VALIDATOR_PREFIX,
    Delegation,
    UnbondingPool,
    ValidatorRecord,
    commission_at,
    number_of,
    read_delegation,
    read_pool,
    read_validator,
)
from ledger.staking.shares import claim, earned_units, own_claim, units_of
from ledger.state import StateListing


@dataclass(frozen=True, slots=True)
class ValidatorView:
    """One validator, in words and units."""

    record: ValidatorRecord
    status: str
    commission_ppm: int
    """That counts in the epoch asked about."""
    own_rewards_units: int
    """Not paid yet, final or not."""


@dataclass(frozen=True, slots=True)
class StakePart:
    """What one address has in one validator, in units."""

    validator: int
    own: bool
    """The validator's own stake; else a delegation."""
    stake_units: int
    rewards_units: int
    """All that are not paid."""
    claimable_units: int
    """Of these, what is final."""


@dataclass(frozen=True, slots=True)
class UnbondingPart:
    """What one address takes out of one validator."""

    validator: int
    epoch: int
    """When it was taken out."""
    free_epoch: int
    """From this epoch on it may be withdrawn."""
    units: int
    """As it stands; a slash may still lower it."""


def validators(state: StateListing, epoch: int) -> Iterator[ValidatorView]:
    """All validators that ever were, ascending by index, as of `epoch`."""
    for _, value in state.state(VALIDATOR_PREFIX):
        yield _view(VALIDATOR_CODEC.decode(value), epoch)


def validator(state: StateListing, index: int, epoch: int) -> ValidatorView | None:
    """One validator as of `epoch`, or None."""
    record = read_validator(state, index)
    return None if record is None else _view(record, epoch)


def delegations(state: StateListing, address: bytes, finalised_epoch: int) -> Iterator[StakePart]:
    """What `address` (20 bytes) has delegated, ascending by validator; its own validators are not among it."""
    prefix = DELEGATION_PREFIX + address
    for key, value in state.state(prefix):
        record = read_validator(state, number_of(key[len(prefix) :]))
        if record is not None:
            yield _part(record, DELEGATION_CODEC.decode(value), finalised_epoch)


def stake_part(state: StateListing, address: bytes, index: int, finalised_epoch: int) -> StakePart | None:
    """What `address` has in one validator, as owner or delegator; None when there is no such validator."""
    record = read_validator(state, index)
    if record is None:
        return None
    if address == record.withdrawal_address:
        return StakePart(
            index,
            True,
            record.self_stake_units,
            record.own_units - record.own_paid_units,
            own_claim(record, finalised_epoch),
        )
    return _part(record, read_delegation(state, address, index) or NO_DELEGATION, finalised_epoch)


def unbondings(state: StateListing, address: bytes, unbonding_epochs: int) -> Iterator[UnbondingPart]:
    """What `address` takes out of its stakes, ascending by validator and epoch."""
    prefix = UNBONDING_PREFIX + address
    for key, value in state.state(prefix):
        index = number_of(key[len(prefix) :])
        for one in UNBONDINGS_CODEC.decode(value):
            pool = read_pool(state, index, one.epoch)
            yield UnbondingPart(
                index, one.epoch, one.epoch + unbonding_epochs, _unbonding_units(pool, one.shares)
            )


def _unbonding_units(pool: UnbondingPool, shares: bytes) -> int:
    if shares == NO_SHARES:
        return pool.self_units
    return units_of(number_of(shares), pool.delegated_units, number_of(pool.delegated_shares))


def _view(record: ValidatorRecord, epoch: int) -> ValidatorView:
    return ValidatorView(
        record,
        STATUS_NAMES[record.status],
        commission_at(record, epoch),
        record.own_units - record.own_paid_units,
    )


def _part(record: ValidatorRecord, held: Delegation, finalised_epoch: int) -> StakePart:
    shares = number_of(held.shares)
    unpaid = held.settled_units + earned_units(shares, held.accumulator, record.accumulator)
    return StakePart(
        record.index,
        False,
        units_of(shares, record.delegated_units, number_of(record.delegated_shares)),
        unpaid,
        claim(record, held, finalised_epoch)[0],
    )
