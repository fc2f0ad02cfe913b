"""What an epoch pays its validators and their delegators. Source: ledger.md, Staking; consensus.md, Rewards.

VALIDATOR_POOL pays 2 % of its genesis balance per year, halved every four years and never more than it holds: half by
blue blocks merged in the epoch, half by timely votes. A block counts 1, because proposers are drawn by stake already; a
vote counts its validator's effective stake. On top come the fees credited since the last transition. Everything moves
into BONDED and is claimable once the new epoch is final. What rounding leaves stays in the pool.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from ledger.accounts import BONDED_ADDRESS, FEES_ADDRESS, VALIDATOR_POOL, VALIDATOR_POOL_ADDRESS
from ledger.amounts import PPM
from ledger.epoch_steps import EpochChange
from ledger.errors import ConservationBroken
from ledger.fee_credits import fee_credit
from ledger.genesis import FUNDED_AT_GENESIS
from ledger.issuance import FRACTION_BITS, count_issued, read_issuance_share
from ledger.staking.effective_stake import effective_stakes
from ledger.staking.records import (
    ACCUMULATOR_SHIFT,
    MAX_REWARD_MARKS,
    Activity,
    RewardMark,
    ValidatorRecord,
    accumulator_bytes,
    commission_at,
    number_of,
    read_list,
    read_validator,
    write_validator,
)
from ledger.staking.snapshot import read_snapshot
from ledger.state import Overlay, fee_credit_key

YEARLY_PPM: Final = 20_000
"""2 % of the pool's genesis balance."""
HALVING_YEARS: Final = 4


def epoch_budget(epoch: int, epochs_per_year: int) -> int:
    """Units that one epoch may pay out of VALIDATOR_POOL."""
    yearly = FUNDED_AT_GENESIS[VALIDATOR_POOL] * YEARLY_PPM // PPM
    return (yearly // epochs_per_year) >> min(63, epoch // (HALVING_YEARS * epochs_per_year))


def pay_rewards(overlay: Overlay, change: EpochChange) -> None:
    """The step `rewards`."""
    rules = change.context.staking
    pool_units = overlay.account(VALIDATOR_POOL_ADDRESS).balance
    budget = min(epoch_budget(change.closing_epoch, rules.epochs_per_year), pool_units)
    budget = budget * read_issuance_share(overlay) >> FRACTION_BITS
    stakes = {one.index: one.stake_units for one in read_snapshot(overlay).validators if one.stake_units}
    shares = pool_shares(budget, change.activity, effective_stakes(stakes))
    paid = fees = 0
    for index in read_list(overlay):
        credited = fee_credit(overlay, index)
        earned = shares.get(index, 0) + credited
        if not earned:
            continue
        record = read_validator(overlay, index)
        if record is None:
            raise ConservationBroken(f"rewards of validator {index}, which has no record", 0, earned)
        if credited:
            overlay.delete(fee_credit_key(index))
        write_validator(overlay, rewarded(record, earned, change))
        paid += earned - credited
        fees += credited
    if overlay.debit(VALIDATOR_POOL_ADDRESS, paid) is None or overlay.debit(FEES_ADDRESS, fees) is None:
        raise ConservationBroken("rewards", paid + fees, pool_units + overlay.account(FEES_ADDRESS).balance)
    overlay.credit(BONDED_ADDRESS, paid + fees)
    count_issued(overlay, paid + fees)


def pool_shares(
    budget: int, activity: Mapping[int, Activity], effective_stakes_units: Mapping[int, int]
) -> dict[int, int]:
    """Units of `budget` by validator index: half by blue blocks, half by timely votes times effective stake."""
    for_blocks = budget // 2
    for_votes = budget - for_blocks
    weights = {index: one.votes * effective_stakes_units.get(index, 0) for index, one in activity.items()}
    blocks, votes = sum(one.blocks for one in activity.values()), sum(weights.values())
    shares = {}
    for index, one in activity.items():
        units = for_blocks * one.blocks // blocks if blocks else 0
        units += for_votes * weights[index] // votes if votes else 0
        if units:
            shares[index] = units
    return shares


def rewarded(record: ValidatorRecord, units: int, change: EpochChange) -> ValidatorRecord:
    """The validator with `units` of rewards: first its commission, the rest by own and delegated stake."""
    commission = units * commission_at(record, change.closing_epoch) // PPM
    stake, shares = record.stake_units, number_of(record.delegated_shares)
    delegators = (units - commission) * record.delegated_units // stake if stake and shares else 0
    accumulator = number_of(record.accumulator)
    if delegators:
        accumulator += (delegators << ACCUMULATOR_SHIFT) // shares
    mark = RewardMark(
        change.context.epoch, accumulator_bytes(accumulator), record.own_units + units - delegators
    )
    last_final, later = record.final_mark, list(record.marks)
    while later and later[0].epoch <= change.context.finalised_epoch:
        last_final = later.pop(0)
    return msgspec.structs.replace(
        record,
        accumulator=mark.accumulator,
        own_units=mark.own_units,
        delegators_unpaid_units=record.delegators_unpaid_units + delegators,
        final_mark=last_final,
        marks=(*later[: MAX_REWARD_MARKS - 1], mark),
    )
