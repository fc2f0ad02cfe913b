"""The audit of stakes: what BONDED holds against what the records say that it is for."""

from collections import defaultdict

from ledger.errors import CodecError
from ledger.staking.records import (
    DELEGATION_CODEC,
    DELEGATION_PREFIX,
    NO_SHARES,
    POOL_CODEC,
    POOL_PREFIX,
    UNBONDING_PREFIX,
    UNBONDINGS_CODEC,
    VALIDATOR_CODEC,
    VALIDATOR_PREFIX,
    UnbondingPool,
    ValidatorRecord,
    number_of,
)
from ledger.staking.shares import earned_units
from ledger.storage.state_store import LedgerStore

_INDEX_BYTES = 4


def audit_staking(store: LedgerStore, bonded_units: int) -> tuple[int, list[str]]:
    """(units that the staking records account for, what contradicts a rule). Reads every staking record once.

    * balance(BONDED) == stakes + delegations + unbonding pools + rewards that are not paid;
    * shares of every pool == sum of its owners' shares;
    * delegators' rewards <= what their validator keeps for them.
    """
    faults: list[str] = []
    try:
        records = _validators(store)
        pools = _pools(store)
        shares: dict[int, int] = defaultdict(int)
        rewards: dict[int, int] = defaultdict(int)
        for key, value in store.state(DELEGATION_PREFIX):
            index, held = number_of(key[-_INDEX_BYTES:]), DELEGATION_CODEC.decode(value)
            shares[index] += number_of(held.shares)
            rewards[index] += held.settled_units
            if index in records:
                rewards[index] += earned_units(
                    number_of(held.shares), held.accumulator, records[index].accumulator
                )
        unbonding: dict[tuple[int, int], int] = defaultdict(int)
        owners: set[tuple[int, int]] = set()
        for key, value in store.state(UNBONDING_PREFIX):
            index = number_of(key[-_INDEX_BYTES:])
            for one in UNBONDINGS_CODEC.decode(value):
                unbonding[index, one.epoch] += number_of(one.shares)
                if one.shares == NO_SHARES:
                    owners.add((index, one.epoch))
    except CodecError as error:
        return 0, [f"staking records are damaged: {error}"]
    for index in sorted(records.keys() | shares.keys()):
        record = records.get(index)
        if record is None:
            faults.append(f"delegations to validator {index}, which has no record")
            continue
        if shares[index] != number_of(record.delegated_shares):
            faults.append(
                f"delegations to validator {index} sum to {shares[index]} shares, "
                f"its record has {number_of(record.delegated_shares)}"
            )
        if rewards[index] > record.delegators_unpaid_units:
            faults.append(
                f"delegators of validator {index} may claim {rewards[index]} units, "
                f"it keeps {record.delegators_unpaid_units}"
            )
    for place in sorted(pools.keys() | unbonding.keys()):
        pool = pools.get(place)
        # A pool whose owner's units were slashed to nothing is gone while its owner's entry still waits.
        held_shares = 0 if pool is None else number_of(pool.delegated_shares)
        if held_shares != unbonding[place]:
            faults.append(
                f"unbonding pool {place} has {held_shares} shares, its owners have {unbonding[place]}"
            )
        if pool is not None and pool.self_units and place not in owners:
            faults.append(f"unbonding pool {place} holds {pool.self_units} units of nobody")
    accounted = sum(record.bonded_units for record in records.values())
    accounted += sum(pool.self_units + pool.delegated_units for pool in pools.values())
    if accounted != bonded_units:
        faults.append(f"stakes and rewards sum to {accounted} units, BONDED holds {bonded_units}")
    return accounted, faults


def _validators(store: LedgerStore) -> dict[int, ValidatorRecord]:
    return {
        number_of(key[len(VALIDATOR_PREFIX) :]): VALIDATOR_CODEC.decode(value)
        for key, value in store.state(VALIDATOR_PREFIX)
    }


def _pools(store: LedgerStore) -> dict[tuple[int, int], UnbondingPool]:
    place = len(POOL_PREFIX)
    return {
        (number_of(key[place : place + _INDEX_BYTES]), number_of(key[place + _INDEX_BYTES :])): (
            POOL_CODEC.decode(value)
        )
        for key, value in store.state(POOL_PREFIX)
    }
