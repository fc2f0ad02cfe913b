"""What the state holds about validators and their stakes, and under which keys. Bytes: README, Staking.

A validator's own stake is a number of units. Delegators own *shares* of a pool of units, and of one pool for each
validator and epoch in which stake was taken out: so a slash changes a few records, however many delegators there are,
and hits all of them alike. Rewards reach them through a running sum of units per share (`accumulator`).

Sums and shares that may exceed 63 bits are bytes of fixed width, big-endian: 16 for shares, 32 for accumulators.
"""

from typing import Annotated, Final

import msgspec

from ledger.amounts import MAX_SUPPLY_UNITS, PPM
from ledger.encoding import Address20, Codec, Count, Hash32, Record
from ledger.staking.snapshot import ValidatorIndex
from ledger.state import Overlay, StateReader

# status of a validator ------------------------------------------------------------------------------------------------

REGISTERED: Final = 0
"""Has stake and waits for its activation epoch."""
ACTIVE: Final = 1
"""Takes part, when its stake is among the greatest."""
JAILED: Final = 2
"""Takes no part until `unjail`."""
EXITING: Final = 3
"""Has left; its faults can still be proved."""
EXITED: Final = 4
"""Has left and is out of every snapshot."""

STATUS_NAMES: Final = ("registered", "active", "jailed", "exiting", "exited")

# bounds ---------------------------------------------------------------------------------------------------------------

ACCUMULATOR_SHIFT: Final = 128
"""Accumulators are units per share in binary fixed point with so many places."""
MAX_SHARES_BITS: Final = 96
MAX_REWARD_MARKS: Final = 4
"""Sums of rewards of epochs that are not final yet, kept per validator; further ones are joined to the newest."""
MAX_UNBONDINGS: Final = 8
"""Epochs in which one address may have stake of one validator unbonding."""
MAX_PREVIOUS_KEYS: Final = 8
MAX_SLASHES_KEPT: Final = 8
MAX_LISTED_VALIDATORS: Final = 4_096

Shares = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
Accumulator = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
Units = Annotated[int, msgspec.Meta(ge=0, le=MAX_SUPPLY_UNITS)]
Ppm = Annotated[int, msgspec.Meta(ge=0, le=PPM)]

NO_SHARES: Final = bytes(16)
ZERO_ACCUMULATOR: Final = bytes(32)


def shares_bytes(shares: int) -> bytes:
    """16 bytes, big-endian."""
    return shares.to_bytes(16, "big")


def accumulator_bytes(accumulator: int) -> bytes:
    """32 bytes, big-endian."""
    return accumulator.to_bytes(32, "big")


def number_of(fixed: bytes) -> int:
    """The integer in bytes of fixed width."""
    return int.from_bytes(fixed, "big")


# records --------------------------------------------------------------------------------------------------------------


class PreviousKey(Record, frozen=True):
    """A consensus key that a validator has replaced."""

    consensus_key: Hash32
    ended_epoch: Count
    """The epoch in which it was replaced."""


class Slash(Record, frozen=True):
    """One punishment, in a validator's history."""

    epoch: Count
    """When it was punished."""
    offence_epoch: Count
    offence_id: Hash32
    units: Units
    """Taken at once."""


class RewardMark(Record, frozen=True):
    """All rewards of a validator up to an epoch transition."""

    epoch: Count
    """The epoch that the transition began; claimable once it is final."""
    accumulator: Accumulator
    """Units per share, since ever."""
    own_units: Count
    """Of the validator itself, since ever."""


NO_REWARDS: Final = RewardMark(0, ZERO_ACCUMULATOR, 0)


class ValidatorRecord(Record, frozen=True):
    """One validator."""

    index: ValidatorIndex
    consensus_key: Hash32
    previous_keys: Annotated[tuple[PreviousKey, ...], msgspec.Meta(max_length=MAX_PREVIOUS_KEYS)]
    withdrawal_address: Address20
    """Owns the self stake, may rotate the key and exit; never changes."""
    status: Annotated[int, msgspec.Meta(ge=REGISTERED, le=EXITED)]
    activation_epoch: Count
    """The first epoch whose snapshot may count it."""
    jailed_until_epoch: Count
    exit_epoch: Count
    idle_epochs: Count
    """Epochs in a row in which it was due and neither a blue block nor a timely vote of it was merged."""
    slashed_through: Count
    """Faults of epochs below this are punished already."""
    self_stake_units: Units
    delegated_units: Units
    delegated_shares: Shares
    commission_ppm: Ppm
    next_commission_ppm: Ppm
    commission_epoch: Count
    """From this epoch on `next_commission_ppm` counts."""
    onion_tip: Hash32
    onion_epoch: Count
    onion_layers: Count
    onion_generation: Count
    accumulator: Accumulator
    """Rewards of the delegators, units per share, since ever."""
    own_units: Count
    """Rewards of the validator itself, since ever."""
    own_paid_units: Count
    delegators_unpaid_units: Units
    """Rewards of the delegators that are still in BONDED."""
    final_mark: RewardMark
    """The newest mark that was final at the last transition."""
    marks: Annotated[tuple[RewardMark, ...], msgspec.Meta(max_length=MAX_REWARD_MARKS)]
    """Later ones, ascending by epoch."""
    slashes: Annotated[tuple[Slash, ...], msgspec.Meta(max_length=MAX_SLASHES_KEPT)]
    """The latest, oldest first."""

    @property
    def stake_units(self) -> int:
        """Own and delegated stake."""
        return self.self_stake_units + self.delegated_units

    @property
    def bonded_units(self) -> int:
        """What of BONDED belongs to this record: stake and unpaid rewards, unbonding pools apart."""
        return self.stake_units + self.own_units - self.own_paid_units + self.delegators_unpaid_units


class Delegation(Record, frozen=True):
    """What one address has delegated to one validator."""

    shares: Shares
    accumulator: Accumulator
    """The validator's accumulator up to which this delegation's rewards are in `settled_units` or paid."""
    settled_units: Units
    """Rewards worked out when the shares changed, not paid yet."""
    settled_epoch: Count
    """They are claimable once this epoch is final."""


NO_DELEGATION: Final = Delegation(NO_SHARES, ZERO_ACCUMULATOR, 0, 0)


class UnbondingPool(Record, frozen=True):
    """Stake that was taken out of one validator in one epoch, and can be slashed until it is withdrawn in time."""

    self_units: Units
    """The validator's own."""
    delegated_units: Units
    delegated_shares: Shares


EMPTY_POOL: Final = UnbondingPool(0, 0, NO_SHARES)


class Unbonding(Record, frozen=True):
    """One address's part of an unbonding pool."""

    epoch: Count
    shares: Shares
    """Zero: the validator's own units of the pool."""


class Activity(Record, frozen=True):
    """What was merged of one validator since the last epoch transition."""

    blocks: Count
    """Blue blocks."""
    votes: Count
    """Timely votes."""
    reveal: Annotated[bytes, msgspec.Meta(max_length=32)]
    """Its onion layer of this epoch, 32 bytes, or empty."""


NO_ACTIVITY: Final = Activity(0, 0, b"")


class Penalty(Record, frozen=True):
    """One slash that later ones of the same window make heavier."""

    index: ValidatorIndex
    epoch: Count
    offence_epoch: Count
    stake_units: Units
    """What could be slashed when it was punished."""
    taken_units: Units
    """What it has lost for it so far."""


ValidatorList = Annotated[tuple[ValidatorIndex, ...], msgspec.Meta(max_length=MAX_LISTED_VALIDATORS)]
Unbondings = Annotated[tuple[Unbonding, ...], msgspec.Meta(max_length=MAX_UNBONDINGS)]
Penalties = Annotated[tuple[Penalty, ...], msgspec.Meta(max_length=MAX_LISTED_VALIDATORS)]

VALIDATOR_CODEC: Final = Codec(ValidatorRecord, "validator record", 4_096)
LIST_CODEC: Final[Codec[tuple[int, ...]]] = Codec(ValidatorList, "validator list", 32 * 1024)
DELEGATION_CODEC: Final = Codec(Delegation, "delegation", 256)
POOL_CODEC: Final = Codec(UnbondingPool, "unbonding pool", 128)
UNBONDINGS_CODEC: Final[Codec[tuple[Unbonding, ...]]] = Codec(Unbondings, "unbondings", 512)
ACTIVITY_CODEC: Final = Codec(Activity, "activity", 64)
PENALTIES_CODEC: Final[Codec[tuple[Penalty, ...]]] = Codec(Penalties, "penalties", 256 * 1024)

# keys -----------------------------------------------------------------------------------------------------------------

VALIDATOR_PREFIX: Final = b"vr"
VALIDATOR_LIST_KEY: Final = b"vl"
VALIDATOR_COUNT_KEY: Final = b"vn"
CONSENSUS_KEY_PREFIX: Final = b"vk"
DELEGATION_PREFIX: Final = b"vd"
UNBONDING_PREFIX: Final = b"vu"
POOL_PREFIX: Final = b"vp"
ACTIVITY_PREFIX: Final = b"ea"
EPOCH_KEY: Final = b"ee"
PENALTIES_KEY: Final = b"ew"


def _index(index: int) -> bytes:
    return index.to_bytes(4, "big")


def validator_key(index: int) -> bytes:
    """State key of a validator's record."""
    return VALIDATOR_PREFIX + _index(index)


def consensus_key_key(consensus_key: bytes) -> bytes:
    """State key that says whose a consensus key is or was: value u32, the validator's index. Never deleted."""
    return CONSENSUS_KEY_PREFIX + consensus_key


def delegation_key(address: bytes, index: int) -> bytes:
    """State key of what `address` has delegated to a validator."""
    return DELEGATION_PREFIX + address + _index(index)


def unbonding_key(address: bytes, index: int) -> bytes:
    """State key of what `address` takes out of a validator."""
    return UNBONDING_PREFIX + address + _index(index)


def pool_key(index: int, epoch: int) -> bytes:
    """State key of the pool of what was taken out of a validator in an epoch."""
    return POOL_PREFIX + _index(index) + epoch.to_bytes(8, "big")


def activity_key(index: int) -> bytes:
    """State key of a validator's activity in the running epoch."""
    return ACTIVITY_PREFIX + _index(index)


# reading and writing --------------------------------------------------------------------------------------------------


def read_validator(reader: StateReader, index: int) -> ValidatorRecord | None:
    """The record of a validator, or None. Errors: `CodecError` for a damaged state."""
    if not 0 <= index < 2**32:
        return None
    raw = reader.get(validator_key(index))
    return None if raw is None else VALIDATOR_CODEC.decode(raw)


def write_validator(overlay: Overlay, record: ValidatorRecord) -> None:
    """Put a validator's record."""
    overlay.put(validator_key(record.index), VALIDATOR_CODEC.encode(record))


def read_index(reader: StateReader, consensus_key: bytes) -> int | None:
    """The validator that a consensus key belongs or belonged to, or None."""
    raw = reader.get(consensus_key_key(consensus_key))
    return None if raw is None else number_of(raw)


def read_list(reader: StateReader) -> tuple[int, ...]:
    """Indices of the validators that have not exited, ascending."""
    raw = reader.get(VALIDATOR_LIST_KEY)
    return () if raw is None else LIST_CODEC.decode(raw)


def read_count(reader: StateReader) -> int:
    """How many validators there ever were: the next index."""
    raw = reader.get(VALIDATOR_COUNT_KEY)
    return 0 if raw is None else number_of(raw)


def read_delegation(reader: StateReader, address: bytes, index: int) -> Delegation | None:
    """A delegation, or None."""
    raw = reader.get(delegation_key(address, index))
    return None if raw is None else DELEGATION_CODEC.decode(raw)


def write_delegation(overlay: Overlay, address: bytes, index: int, delegation: Delegation) -> None:
    """Put a delegation, or remove it when nothing is left of it."""
    key = delegation_key(address, index)
    if delegation.shares == NO_SHARES and not delegation.settled_units:
        overlay.delete(key)
    else:
        overlay.put(key, DELEGATION_CODEC.encode(delegation))


def read_unbondings(reader: StateReader, address: bytes, index: int) -> tuple[Unbonding, ...]:
    """What an address takes out of a validator, ascending by epoch."""
    raw = reader.get(unbonding_key(address, index))
    return () if raw is None else UNBONDINGS_CODEC.decode(raw)


def write_unbondings(overlay: Overlay, address: bytes, index: int, unbondings: tuple[Unbonding, ...]) -> None:
    """Put what an address takes out of a validator, or remove it when it is nothing."""
    key = unbonding_key(address, index)
    if unbondings:
        overlay.put(key, UNBONDINGS_CODEC.encode(unbondings))
    else:
        overlay.delete(key)


def read_pool(reader: StateReader, index: int, epoch: int) -> UnbondingPool:
    """The unbonding pool of a validator and an epoch; empty when there is none."""
    raw = reader.get(pool_key(index, epoch))
    return EMPTY_POOL if raw is None else POOL_CODEC.decode(raw)


def write_pool(overlay: Overlay, index: int, epoch: int, pool: UnbondingPool) -> None:
    """Put an unbonding pool, or remove it when nobody owns any of it."""
    key = pool_key(index, epoch)
    if pool == EMPTY_POOL:
        overlay.delete(key)
    else:
        overlay.put(key, POOL_CODEC.encode(pool))


def read_activity(reader: StateReader, index: int) -> Activity | None:
    """What was merged of a validator in the running epoch, or None."""
    raw = reader.get(activity_key(index))
    return None if raw is None else ACTIVITY_CODEC.decode(raw)


def read_penalties(reader: StateReader) -> tuple[Penalty, ...]:
    """The slashes of the window, oldest first."""
    raw = reader.get(PENALTIES_KEY)
    return () if raw is None else PENALTIES_CODEC.decode(raw)


def read_epoch(reader: StateReader) -> tuple[int, int]:
    """(epoch that the state is in, units of stake in its snapshot). (0, 0) for a state without staking."""
    raw = reader.get(EPOCH_KEY)
    return (0, 0) if raw is None else (number_of(raw[:8]), number_of(raw[8:]))


def write_epoch(overlay: Overlay, epoch: int, stake_units: int) -> None:
    """Put the epoch and the stake of its snapshot: u64 ‖ u64."""
    overlay.put(EPOCH_KEY, epoch_bytes(epoch, stake_units))


def epoch_bytes(epoch: int, stake_units: int) -> bytes:
    """The value under EPOCH_KEY."""
    return epoch.to_bytes(8, "big") + stake_units.to_bytes(8, "big")


def new_validator(
    *,
    index: int,
    consensus_key: bytes,
    withdrawal_address: bytes,
    status: int,
    activation_epoch: int,
    self_stake_units: int,
    commission_ppm: int,
    onion_tip: bytes,
    onion_layers: int,
    onion_epoch: int,
) -> ValidatorRecord:
    """The record of a validator that has just begun, its onion of generation 0."""
    return ValidatorRecord(
        index=index,
        consensus_key=consensus_key,
        previous_keys=(),
        withdrawal_address=withdrawal_address,
        status=status,
        activation_epoch=activation_epoch,
        jailed_until_epoch=0,
        exit_epoch=0,
        idle_epochs=0,
        slashed_through=0,
        self_stake_units=self_stake_units,
        delegated_units=0,
        delegated_shares=NO_SHARES,
        commission_ppm=commission_ppm,
        next_commission_ppm=commission_ppm,
        commission_epoch=0,
        onion_tip=onion_tip,
        onion_epoch=onion_epoch,
        onion_layers=onion_layers,
        onion_generation=0,
        accumulator=ZERO_ACCUMULATOR,
        own_units=0,
        own_paid_units=0,
        delegators_unpaid_units=0,
        final_mark=NO_REWARDS,
        marks=(),
        slashes=(),
    )


def commission_at(record: ValidatorRecord, epoch: int) -> int:
    """The commission that counts in `epoch`, parts per million."""
    return record.next_commission_ppm if epoch >= record.commission_epoch else record.commission_ppm


def keys_at(
    record: ValidatorRecord, epoch: int, slack_epochs: int, finalised_epoch: int | None = None
) -> tuple[bytes, ...]:
    """Consensus keys that may stand behind the validator's signatures of `epoch`: the present one, then earlier ones.

    A replaced key serves on for a while, because schedules are read from an earlier, finalised snapshot: it counts for
    `slack_epochs` (the activation delay) more, and for as long as its replacement is not final (`finalised_epoch`, as
    the accepting block sees it): while finality stands still every schedule asks for it.
    """
    return (
        record.consensus_key,
        *(
            key.consensus_key
            for key in reversed(record.previous_keys)
            if key.ended_epoch + slack_epochs >= epoch
            or (finalised_epoch is not None and key.ended_epoch >= finalised_epoch)
        ),
    )


def key_at(record: ValidatorRecord, epoch: int) -> bytes:
    """The consensus key that was the validator's at the beginning of `epoch`."""
    for key in record.previous_keys:
        if epoch <= key.ended_epoch:
            return key.consensus_key
    return record.consensus_key
