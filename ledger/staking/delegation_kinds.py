"""The kinds `delegate`, `undelegate` and `withdraw`: money into stake, out of it, and home.

What the withdrawal address of a validator sends by these is the validator's own stake; of everyone else, a delegation.
Stake that is taken out lies in an unbonding pool, earns nothing, and can be slashed until the unbonding time is over.
"""

from typing import Annotated, Final

import msgspec

from ledger.accounts import BONDED_ADDRESS
from ledger.amounts import MAX_SUPPLY_UNITS
from ledger.encoding import Codec, Count, Record
from ledger.errors import ConservationBroken, PayloadInvalid
from ledger.registry import Kind, Rejected, spends_nothing
from ledger.rules import BlockContext, ChainRules
from ledger.staking.records import (
    MAX_UNBONDINGS,
    NO_DELEGATION,
    Delegation,
    Unbonding,
    ValidatorRecord,
    number_of,
    read_delegation,
    read_pool,
    read_unbondings,
    shares_bytes,
    write_delegation,
    write_pool,
    write_unbondings,
    write_validator,
)
from ledger.staking.shares import claim, own_claim, pool_with, settled, shares_for, units_of, with_delegated
from ledger.staking.snapshot import ValidatorIndex
from ledger.staking.validator_lookup import known_validator, staying_validator
from ledger.staking.vote_lock import require_unlocked
from ledger.staking.vote_weight import note_addition, note_removal
from ledger.state import Overlay
from ledger.transactions import SignedTransaction
from ledger.transfer import move_units

DELEGATION_TOO_SMALL = "DelegationTooSmall"
INSUFFICIENT_STAKE = "InsufficientStake"
SELF_STAKE_TOO_LOW = "SelfStakeTooLow"
TOO_MANY_UNBONDINGS = "TooManyUnbondings"
NOTHING_TO_WITHDRAW = "NothingToWithdraw"

AmountUnits = Annotated[int, msgspec.Meta(ge=0, le=MAX_SUPPLY_UNITS)]


class Delegate(Record, frozen=True):
    """Payload of kind 11."""

    validator: ValidatorIndex
    units: Count
    """At least the least delegation."""


class Undelegate(Record, frozen=True):
    """Payload of kind 12."""

    validator: ValidatorIndex
    units: AmountUnits
    """0: all of a delegation."""


class Withdraw(Record, frozen=True):
    """Payload of kind 13: everything of the sender at one validator that is free."""

    validator: ValidatorIndex


def check_delegate(payload: Delegate, _: ChainRules) -> None:
    """What no state can make valid. Errors: `PayloadInvalid`."""
    if not 1 <= payload.units <= MAX_SUPPLY_UNITS:
        raise PayloadInvalid("delegate", f"{payload.units} units, expected 1 to {MAX_SUPPLY_UNITS}")


def apply_delegate(
    overlay: Overlay, transaction: SignedTransaction, payload: Delegate, context: BlockContext
) -> None:
    """Move units from the sender into a validator's stake.

    Errors: `Rejected` UnknownValidator, ValidatorExited, DelegationTooSmall, PoolSpent, InsufficientBalance.
    """
    record = staying_validator(overlay, payload.validator)
    sender, units = transaction.sender, payload.units
    least = context.staking.min_delegation_units
    if units < least:
        raise Rejected(DELEGATION_TOO_SMALL, f"{units} units, at least {least} are delegated at once")
    move_units(overlay, sender, BONDED_ADDRESS, units)
    voting_epochs = context.staking.voting_epochs
    if sender == record.withdrawal_address:
        note_addition(overlay, sender, record.index, units, context.epoch, voting_epochs)
        write_validator(
            overlay, msgspec.structs.replace(record, self_stake_units=record.self_stake_units + units)
        )
        return
    shares = shares_for(units, record.delegated_units, number_of(record.delegated_shares))
    held = read_delegation(overlay, sender, record.index) or NO_DELEGATION
    write_delegation(overlay, sender, record.index, _changed(record, held, shares, context.epoch))
    note_addition(overlay, sender, record.index, shares, context.epoch, voting_epochs)
    write_validator(overlay, with_delegated(record, units, shares))


def check_undelegate(payload: Undelegate, _: ChainRules) -> None:
    """Every well-formed payload may be valid."""


def apply_undelegate(
    overlay: Overlay, transaction: SignedTransaction, payload: Undelegate, context: BlockContext
) -> None:
    """Move stake of the sender into the unbonding pool of the epoch.

    Errors: `Rejected` UnknownValidator, StakeLocked (a vote of the sender is not over), InsufficientStake,
    SelfStakeTooLow, DelegationTooSmall (of what would remain), TooManyUnbondings, PoolSpent.
    """
    record = known_validator(overlay, payload.validator)
    require_unlocked(overlay, transaction.sender, context.epoch)
    if transaction.sender == record.withdrawal_address:
        _undelegate_own(overlay, record, payload.units, context)
    else:
        _undelegate(overlay, record, transaction.sender, payload.units, context)


def _undelegate_own(overlay: Overlay, record: ValidatorRecord, units: int, context: BlockContext) -> None:
    units = units or record.self_stake_units
    if not units or units > record.self_stake_units:
        raise Rejected(INSUFFICIENT_STAKE, f"own stake of {record.self_stake_units} units, {units} asked for")
    left, least = record.self_stake_units - units, context.staking.min_self_stake_units
    if left < least:
        raise Rejected(SELF_STAKE_TOO_LOW, f"{left} units would be left, at least {least}; or exit")
    write_validator(overlay, unbond_own(overlay, record, units, context.epoch, MAX_UNBONDINGS - 1))


def unbond_own(
    overlay: Overlay, record: ValidatorRecord, units: int, epoch: int, most_unbondings: int
) -> ValidatorRecord:
    """The record without `units` of own stake, which lie in the epoch's unbonding pool then. The record is not written.

    Errors: `Rejected` TooManyUnbondings.
    """
    _note_unbonding(overlay, record.withdrawal_address, record.index, epoch, 0, most_unbondings)
    note_removal(overlay, record.withdrawal_address, record.index, units)
    pool = read_pool(overlay, record.index, epoch)
    write_pool(overlay, record.index, epoch, pool_with(pool, units, 0, 0))
    return msgspec.structs.replace(record, self_stake_units=record.self_stake_units - units)


def _undelegate(
    overlay: Overlay, record: ValidatorRecord, sender: bytes, units: int, context: BlockContext
) -> None:
    held = read_delegation(overlay, sender, record.index) or NO_DELEGATION
    pool_units, pool_shares = record.delegated_units, number_of(record.delegated_shares)
    shares = number_of(held.shares)
    worth = units_of(shares, pool_units, pool_shares)
    if not shares or units > worth:
        raise Rejected(INSUFFICIENT_STAKE, f"delegation worth {worth} units, {units or 'all'} asked for")
    if units and units < worth:
        leaving = min(shares, -(-units * pool_shares // pool_units))
        left = worth - units
        if left < context.staking.min_delegation_units:
            raise Rejected(
                DELEGATION_TOO_SMALL,
                f"{left} units would be left, at least {context.staking.min_delegation_units}, or take out all",
            )
    else:
        leaving = shares
    taken = units_of(leaving, pool_units, pool_shares)
    pool = read_pool(overlay, record.index, context.epoch)
    bought = shares_for(taken, pool.delegated_units, number_of(pool.delegated_shares)) if taken else 0
    if taken:
        _note_unbonding(overlay, sender, record.index, context.epoch, bought, MAX_UNBONDINGS)
        write_pool(overlay, record.index, context.epoch, pool_with(pool, 0, taken, bought))
    note_removal(overlay, sender, record.index, leaving)
    write_delegation(overlay, sender, record.index, _changed(record, held, -leaving, context.epoch))
    write_validator(overlay, with_delegated(record, -taken, -leaving))


def _changed(record: ValidatorRecord, held: Delegation, shares: int, epoch: int) -> Delegation:
    """The delegation with its rewards settled and `shares` more, or less when negative."""
    return msgspec.structs.replace(
        settled(record, held, epoch), shares=shares_bytes(number_of(held.shares) + shares)
    )


def _note_unbonding(overlay: Overlay, address: bytes, index: int, epoch: int, shares: int, most: int) -> None:
    """Add to what `address` takes out in `epoch`, which is the newest. Errors: `Rejected` TooManyUnbondings."""
    unbondings = read_unbondings(overlay, address, index)
    if unbondings and unbondings[-1].epoch == epoch:
        shares += number_of(unbondings[-1].shares)
        unbondings = unbondings[:-1]
    if len(unbondings) >= most:
        raise Rejected(
            TOO_MANY_UNBONDINGS,
            f"{len(unbondings)} are under way, at most {most}; withdraw what is free first",
        )
    write_unbondings(overlay, address, index, (*unbondings, Unbonding(epoch, shares_bytes(shares))))


def check_withdraw(payload: Withdraw, _: ChainRules) -> None:
    """Every well-formed payload may be valid."""


def apply_withdraw(
    overlay: Overlay, transaction: SignedTransaction, payload: Withdraw, context: BlockContext
) -> None:
    """Pay the sender its unbonded stake whose time is over and its rewards that are final.

    Errors: `Rejected` UnknownValidator, NothingToWithdraw.
    """
    record = known_validator(overlay, payload.validator)
    sender = transaction.sender
    owner = sender == record.withdrawal_address
    freed, stake = _withdraw_unbonded(overlay, record, sender, owner, context)
    if owner:
        rewards = own_claim(record, context.finalised_epoch)
        record = msgspec.structs.replace(record, own_paid_units=record.own_paid_units + rewards)
    else:
        held = read_delegation(overlay, sender, record.index) or NO_DELEGATION
        rewards, left = claim(record, held, context.finalised_epoch)
        if left != held:
            write_delegation(overlay, sender, record.index, left)
        record = msgspec.structs.replace(
            record, delegators_unpaid_units=record.delegators_unpaid_units - rewards
        )
    if not freed and not rewards:
        raise Rejected(
            NOTHING_TO_WITHDRAW,
            f"neither stake unbonded before epoch {_free_through(context) + 1} "
            f"nor rewards up to epoch {context.finalised_epoch}, which is final",
        )
    if rewards:
        write_validator(overlay, record)
    if overlay.debit(BONDED_ADDRESS, stake + rewards) is None:
        raise ConservationBroken("withdraw", overlay.account(BONDED_ADDRESS).balance, stake + rewards)
    overlay.credit(sender, stake + rewards)


def _withdraw_unbonded(
    overlay: Overlay, record: ValidatorRecord, sender: bytes, owner: bool, context: BlockContext
) -> tuple[int, int]:
    """Take what is free out of the unbonding pools: how many, and the units, which a slash may have made 0."""
    unbondings = read_unbondings(overlay, sender, record.index)
    free = [one for one in unbondings if one.epoch <= _free_through(context)]
    units = 0
    for one in free:
        pool = read_pool(overlay, record.index, one.epoch)
        if owner:
            units += pool.self_units
            pool = pool_with(pool, -pool.self_units, 0, 0)
        else:
            shares = number_of(one.shares)
            part = units_of(shares, pool.delegated_units, number_of(pool.delegated_shares))
            units += part
            pool = pool_with(pool, 0, -part, -shares)
        write_pool(overlay, record.index, one.epoch, pool)
    if free:
        write_unbondings(overlay, sender, record.index, unbondings[len(free) :])
    return len(free), units


def _free_through(context: BlockContext) -> int:
    """The last epoch of which what was taken out then may go home.

    While finality stands still the time stands still too: schedules go on counting the stake that was there when it
    stopped, and who signs with it must have something to lose.
    """
    rules = context.staking
    now = min(context.epoch, context.finalised_epoch + rules.activation_delay_epochs)
    return now - rules.unbonding_epochs


def _delegated_units(payload: Delegate) -> int:
    return payload.units


def _four_records(_: Delegate) -> int:
    """Validator, delegation, additions, BONDED."""
    return 4


def _five_records(_: Undelegate) -> int:
    """Validator, delegation, additions, unbondings, pool."""
    return 5


def _pools_too(_: Withdraw) -> int:
    """Validator, delegation, unbondings, BONDED, and as many pools as one address may have stake in."""
    return 4 + MAX_UNBONDINGS


DELEGATE: Final = Kind(
    number=11,
    name="delegate",
    payload_codec=Codec(Delegate, "delegate payload", 64),
    check_payload=check_delegate,
    apply=apply_delegate,
    spends=_delegated_units,
    touches=_four_records,
    may_pause=False,
)
UNDELEGATE: Final = Kind(
    number=12,
    name="undelegate",
    payload_codec=Codec(Undelegate, "undelegate payload", 64),
    check_payload=check_undelegate,
    apply=apply_undelegate,
    spends=spends_nothing,
    touches=_five_records,
    may_pause=False,
)
WITHDRAW: Final = Kind(
    number=13,
    name="withdraw",
    payload_codec=Codec(Withdraw, "withdraw payload", 64),
    check_payload=check_withdraw,
    apply=apply_withdraw,
    spends=spends_nothing,
    touches=_pools_too,
    may_pause=False,
)
