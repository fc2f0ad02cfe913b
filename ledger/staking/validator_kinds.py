"""The kinds by which a validator comes, changes and goes: validator_register, commission_set, onion_renew, key_rotate,
validator_exit, unjail.

A validator has two keys. The *withdrawal key* (its address) owns the stake and decides about it: commission, key
rotation, exit. The *consensus key* signs blocks and votes; it may renew its onion, unjail, and exit, nothing that pays
somebody. Every consensus key proves its possession and is used for one validator only, for ever.
"""

from typing import Annotated, Final

import msgspec

from ledger.accounts import BONDED_ADDRESS, is_reserved_address, reserved_name
from ledger.amounts import MAX_SUPPLY_UNITS
from ledger.encoding import Address20, Codec, Count, Hash32, Record, Signature64
from ledger.errors import KeyRefused, PayloadInvalid, RecipientRefused, SignatureInvalid
from ledger.hashing import signing_preimage, tagged
from ledger.keys import KeyPair, require_public_key, verify
from ledger.onion import MAX_ONION_LAYERS
from ledger.registry import Kind, Rejected, spends_nothing
from ledger.rules import BlockContext, ChainRules
from ledger.staking.delegation_kinds import SELF_STAKE_TOO_LOW, unbond_own
from ledger.staking.records import (
    EXITING,
    JAILED,
    LIST_CODEC,
    MAX_LISTED_VALIDATORS,
    MAX_PREVIOUS_KEYS,
    MAX_UNBONDINGS,
    REGISTERED,
    STATUS_NAMES,
    VALIDATOR_COUNT_KEY,
    VALIDATOR_LIST_KEY,
    Ppm,
    PreviousKey,
    commission_at,
    consensus_key_key,
    new_validator,
    read_count,
    read_index,
    read_list,
    write_validator,
)
from ledger.staking.snapshot import ValidatorIndex
from ledger.staking.validator_lookup import require_operator, require_withdrawal_key, staying_validator
from ledger.staking.vote_weight import note_addition
from ledger.state import Overlay
from ledger.transactions import SignedTransaction
from ledger.transfer import move_units

MAX_COMMISSION_CHANGE_PPM: Final = 50_000
"""Five points an epoch, known one epoch before: nobody is paid by a rate that a delegator could not see coming."""

KEY_IN_USE = "KeyInUse"
VALIDATOR_SET_FULL = "ValidatorSetFull"
COMMISSION_CHANGE_TOO_GREAT = "CommissionChangeTooGreat"
TOO_MANY_ROTATIONS = "TooManyRotations"
SAME_ONION = "SameOnion"
NOT_JAILED = "NotJailed"
STILL_JAILED = "StillJailed"

_REGISTRATION_TAG = tagged("nexus/validator-registration/v1")
_ROTATION_TAG = tagged("nexus/validator-key/v1")

OnionLayers = Annotated[int, msgspec.Meta(ge=1, le=MAX_ONION_LAYERS)]


class RegistrationCore(Record, frozen=True):
    """What the consensus key of a new validator signs."""

    consensus_key: Hash32
    withdrawal_address: Address20
    self_stake_units: Count
    commission_ppm: Ppm
    onion_tip: Hash32
    onion_layers: OnionLayers


class ValidatorRegister(Record, frozen=True):
    """Payload of kind 10. The sender pays the stake, which belongs to the withdrawal address from then on."""

    consensus_key: Hash32
    withdrawal_address: Address20
    self_stake_units: Count
    commission_ppm: Ppm
    onion_tip: Hash32
    onion_layers: OnionLayers
    proof: Signature64
    """Of the consensus key, over the fields before it."""


class CommissionSet(Record, frozen=True):
    """Payload of kind 14."""

    validator: ValidatorIndex
    commission_ppm: Ppm


class OnionRenew(Record, frozen=True):
    """Payload of kind 15: a new onion, of the next generation, committed to in the accepting block's epoch."""

    validator: ValidatorIndex
    onion_tip: Hash32
    onion_layers: OnionLayers


class RotationCore(Record, frozen=True):
    """What the new consensus key signs."""

    validator: ValidatorIndex
    consensus_key: Hash32
    onion_tip: Hash32
    onion_layers: OnionLayers


class KeyRotate(Record, frozen=True):
    """Payload of kind 16: a new consensus key, with an onion of its own, generation 0."""

    validator: ValidatorIndex
    consensus_key: Hash32
    onion_tip: Hash32
    onion_layers: OnionLayers
    proof: Signature64
    """Of the new consensus key, over the fields before it."""


class ValidatorExit(Record, frozen=True):
    """Payload of kind 17."""

    validator: ValidatorIndex


class Unjail(Record, frozen=True):
    """Payload of kind 18."""

    validator: ValidatorIndex


REGISTRATION_CODEC: Final = Codec(RegistrationCore, "validator registration", 256)
ROTATION_CODEC: Final = Codec(RotationCore, "key rotation", 256)


def sign_registration(core: RegistrationCore, key: KeyPair, rules: ChainRules) -> ValidatorRegister:
    """The payload with the proof that `key`, the consensus key, is at hand."""
    preimage = signing_preimage(_REGISTRATION_TAG, rules.genesis_hash, REGISTRATION_CODEC.encode(core))
    return ValidatorRegister(
        core.consensus_key,
        core.withdrawal_address,
        core.self_stake_units,
        core.commission_ppm,
        core.onion_tip,
        core.onion_layers,
        key.sign(preimage),
    )


def sign_rotation(core: RotationCore, key: KeyPair, rules: ChainRules) -> KeyRotate:
    """The payload with the proof that `key`, the new consensus key, is at hand."""
    preimage = signing_preimage(_ROTATION_TAG, rules.genesis_hash, ROTATION_CODEC.encode(core))
    return KeyRotate(
        core.validator, core.consensus_key, core.onion_tip, core.onion_layers, key.sign(preimage)
    )


def _check_proof(kind: str, key: bytes, preimage: bytes, proof: bytes) -> None:
    try:
        verify(require_public_key(key), preimage, proof)
    except KeyRefused as error:
        raise PayloadInvalid(kind, f"consensus_key: {error}") from None
    except SignatureInvalid:
        raise PayloadInvalid(kind, "proof is not the consensus key's over this payload") from None


# validator_register ---------------------------------------------------------------------------------------------------


def check_register(payload: ValidatorRegister, rules: ChainRules) -> None:
    """What no state can make valid. Errors: `PayloadInvalid`, `RecipientRefused`."""
    if not 1 <= payload.self_stake_units <= MAX_SUPPLY_UNITS:
        raise PayloadInvalid(
            "validator_register", f"{payload.self_stake_units} units, expected 1 to {MAX_SUPPLY_UNITS}"
        )
    if is_reserved_address(payload.withdrawal_address):
        raise RecipientRefused(reserved_name(payload.withdrawal_address))
    core = RegistrationCore(
        payload.consensus_key,
        payload.withdrawal_address,
        payload.self_stake_units,
        payload.commission_ppm,
        payload.onion_tip,
        payload.onion_layers,
    )
    preimage = signing_preimage(_REGISTRATION_TAG, rules.genesis_hash, REGISTRATION_CODEC.encode(core))
    _check_proof("validator_register", payload.consensus_key, preimage, payload.proof)


def apply_register(
    overlay: Overlay, transaction: SignedTransaction, payload: ValidatorRegister, context: BlockContext
) -> None:
    """A new validator under the next index. Errors: `Rejected` SelfStakeTooLow, KeyInUse, ValidatorSetFull,
    InsufficientBalance."""
    units, least = payload.self_stake_units, context.staking.min_self_stake_units
    if units < least:
        raise Rejected(SELF_STAKE_TOO_LOW, f"{units} units of own stake, at least {least}")
    _claim_key(overlay, payload.consensus_key, index := read_count(overlay))
    listed = read_list(overlay)
    if len(listed) >= MAX_LISTED_VALIDATORS:
        raise Rejected(
            VALIDATOR_SET_FULL, f"{len(listed)} validators, at most {MAX_LISTED_VALIDATORS}; wait for exits"
        )
    move_units(overlay, transaction.sender, BONDED_ADDRESS, units)
    overlay.put(VALIDATOR_COUNT_KEY, (index + 1).to_bytes(4, "big"))
    overlay.put(VALIDATOR_LIST_KEY, LIST_CODEC.encode((*listed, index)))
    note_addition(
        overlay, payload.withdrawal_address, index, units, context.epoch, context.staking.voting_epochs
    )
    write_validator(
        overlay,
        new_validator(
            index=index,
            consensus_key=payload.consensus_key,
            withdrawal_address=payload.withdrawal_address,
            status=REGISTERED,
            activation_epoch=context.epoch + context.staking.activation_delay_epochs,
            self_stake_units=units,
            commission_ppm=payload.commission_ppm,
            onion_tip=payload.onion_tip,
            onion_layers=payload.onion_layers,
            onion_epoch=context.epoch,
        ),
    )


def _claim_key(overlay: Overlay, key: bytes, index: int) -> None:
    """Note whose the key is. Errors: `Rejected` KeyInUse."""
    owner = read_index(overlay, key)
    if owner is not None:
        raise Rejected(KEY_IN_USE, f"the consensus key is or was that of validator {owner}; make a new one")
    overlay.put(consensus_key_key(key), index.to_bytes(4, "big"))


# commission_set, onion_renew, key_rotate ------------------------------------------------------------------------------


def check_index_only(payload: CommissionSet | OnionRenew | ValidatorExit | Unjail, _: ChainRules) -> None:
    """Every well-formed payload may be valid."""


def apply_commission_set(
    overlay: Overlay, transaction: SignedTransaction, payload: CommissionSet, context: BlockContext
) -> None:
    """The commission from the next epoch on; a second one in the same epoch replaces the first.

    Errors: `Rejected` UnknownValidator, ValidatorExited, NotWithdrawalKey, CommissionChangeTooGreat.
    """
    record = staying_validator(overlay, payload.validator)
    require_withdrawal_key(record, transaction.sender)
    now = commission_at(record, context.epoch)
    if abs(payload.commission_ppm - now) > MAX_COMMISSION_CHANGE_PPM:
        raise Rejected(
            COMMISSION_CHANGE_TOO_GREAT,
            f"from {now} to {payload.commission_ppm} ppm, at most {MAX_COMMISSION_CHANGE_PPM} an epoch",
        )
    write_validator(
        overlay,
        msgspec.structs.replace(
            record,
            commission_ppm=now,
            next_commission_ppm=payload.commission_ppm,
            commission_epoch=context.epoch + 1,
        ),
    )


def apply_onion_renew(
    overlay: Overlay, transaction: SignedTransaction, payload: OnionRenew, context: BlockContext
) -> None:
    """Commit to a new onion. Errors: `Rejected` UnknownValidator, ValidatorExited, NotValidatorsKey, SameOnion."""
    record = staying_validator(overlay, payload.validator)
    require_operator(record, transaction.sender)
    if payload.onion_tip == record.onion_tip:
        raise Rejected(SAME_ONION, "the tip is that of the onion in use; peel a new generation")
    write_validator(
        overlay,
        msgspec.structs.replace(
            record,
            onion_tip=payload.onion_tip,
            onion_epoch=context.epoch,
            onion_layers=payload.onion_layers,
            onion_generation=record.onion_generation + 1,
        ),
    )


def check_rotate(payload: KeyRotate, rules: ChainRules) -> None:
    """What no state can make valid. Errors: `PayloadInvalid`."""
    core = RotationCore(payload.validator, payload.consensus_key, payload.onion_tip, payload.onion_layers)
    preimage = signing_preimage(_ROTATION_TAG, rules.genesis_hash, ROTATION_CODEC.encode(core))
    _check_proof("key_rotate", payload.consensus_key, preimage, payload.proof)


def apply_rotate(
    overlay: Overlay, transaction: SignedTransaction, payload: KeyRotate, context: BlockContext
) -> None:
    """Another consensus key from the next snapshot on. Faults under the old one stay provable.

    Errors: `Rejected` UnknownValidator, ValidatorExited, NotWithdrawalKey, TooManyRotations, KeyInUse.
    """
    record = staying_validator(overlay, payload.validator)
    require_withdrawal_key(record, transaction.sender)
    provable = context.staking.evidence_epochs + context.staking.activation_delay_epochs
    kept = tuple(key for key in record.previous_keys if key.ended_epoch + provable >= context.epoch)
    if len(kept) >= MAX_PREVIOUS_KEYS:
        raise Rejected(
            TOO_MANY_ROTATIONS,
            f"{len(kept)} keys replaced within {provable} epochs, at most {MAX_PREVIOUS_KEYS}",
        )
    _claim_key(overlay, payload.consensus_key, record.index)
    write_validator(
        overlay,
        msgspec.structs.replace(
            record,
            consensus_key=payload.consensus_key,
            previous_keys=(*kept, PreviousKey(record.consensus_key, context.epoch)),
            onion_tip=payload.onion_tip,
            onion_epoch=context.epoch,
            onion_layers=payload.onion_layers,
            onion_generation=0,
        ),
    )


# validator_exit, unjail -----------------------------------------------------------------------------------------------


def apply_exit(
    overlay: Overlay, transaction: SignedTransaction, payload: ValidatorExit, context: BlockContext
) -> None:
    """Leave for good: the own stake unbonds at once, the next snapshot counts nothing. Delegators take theirs out.

    Stake that has voted may leave by this: it stays in BONDED and can be slashed for the unbonding time, which is no
    shorter than a vote, and its ballot stands.

    Errors: `Rejected` UnknownValidator, ValidatorExited, NotValidatorsKey, TooManyUnbondings.
    """
    record = staying_validator(overlay, payload.validator)
    require_operator(record, transaction.sender)
    if record.self_stake_units:
        record = unbond_own(overlay, record, record.self_stake_units, context.epoch, MAX_UNBONDINGS)
    write_validator(overlay, msgspec.structs.replace(record, status=EXITING, exit_epoch=context.epoch))


def apply_unjail(
    overlay: Overlay, transaction: SignedTransaction, payload: Unjail, context: BlockContext
) -> None:
    """Back after the jail time, with enough own stake, through the activation delay.

    Errors: `Rejected` UnknownValidator, ValidatorExited, NotValidatorsKey, NotJailed, StillJailed, SelfStakeTooLow.
    """
    record = staying_validator(overlay, payload.validator)
    require_operator(record, transaction.sender)
    if record.status != JAILED:
        raise Rejected(NOT_JAILED, f"validator {record.index} is {STATUS_NAMES[record.status]}")
    if context.epoch < record.jailed_until_epoch:
        raise Rejected(STILL_JAILED, f"until epoch {record.jailed_until_epoch}, now {context.epoch}")
    least = context.staking.min_self_stake_units
    if record.self_stake_units < least:
        raise Rejected(
            SELF_STAKE_TOO_LOW,
            f"{record.self_stake_units} units of own stake, at least {least}; delegate from the withdrawal address",
        )
    write_validator(
        overlay,
        msgspec.structs.replace(
            record,
            status=REGISTERED,
            idle_epochs=0,
            activation_epoch=context.epoch + context.staking.activation_delay_epochs,
        ),
    )


# kinds ----------------------------------------------------------------------------------------------------------------


def _stake(payload: ValidatorRegister) -> int:
    return payload.self_stake_units


def _registered_records(_: object) -> int:
    """Record, key, count, list, additions, BONDED."""
    return 6


def _two_records(_: object) -> int:
    """Record and key."""
    return 2


def _four_records(_: object) -> int:
    """Record, pool, unbondings, additions."""
    return 4


VALIDATOR_REGISTER: Final = Kind(
    number=10,
    name="validator_register",
    payload_codec=Codec(ValidatorRegister, "validator_register payload", 256),
    check_payload=check_register,
    apply=apply_register,
    spends=_stake,
    touches=_registered_records,
    may_pause=False,
)
COMMISSION_SET: Final = Kind(
    number=14,
    name="commission_set",
    payload_codec=Codec(CommissionSet, "commission_set payload", 64),
    check_payload=check_index_only,
    apply=apply_commission_set,
    spends=spends_nothing,
    may_pause=False,
)
ONION_RENEW: Final = Kind(
    number=15,
    name="onion_renew",
    payload_codec=Codec(OnionRenew, "onion_renew payload", 64),
    check_payload=check_index_only,
    apply=apply_onion_renew,
    spends=spends_nothing,
    may_pause=False,
)
KEY_ROTATE: Final = Kind(
    number=16,
    name="key_rotate",
    payload_codec=Codec(KeyRotate, "key_rotate payload", 256),
    check_payload=check_rotate,
    apply=apply_rotate,
    spends=spends_nothing,
    touches=_two_records,
    may_pause=False,
)
VALIDATOR_EXIT: Final = Kind(
    number=17,
    name="validator_exit",
    payload_codec=Codec(ValidatorExit, "validator_exit payload", 64),
    check_payload=check_index_only,
    apply=apply_exit,
    spends=spends_nothing,
    touches=_four_records,
    may_pause=False,
)
UNJAIL: Final = Kind(
    number=18,
    name="unjail",
    payload_codec=Codec(Unjail, "unjail payload", 64),
    check_payload=check_index_only,
    apply=apply_unjail,
    spends=spends_nothing,
    may_pause=False,
)
