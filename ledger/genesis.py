"""Genesis: the document that names a chain, its hash, and the state it begins with.

The hash is over the canonical record, so that the spelling of the JSON text (space, order of keys) does not matter.
`ledger.genesis_text` reads and writes the text.
"""

import re
from typing import Annotated, Final

import msgspec

from ledger.accounts import (
    ADDRESS_OF_SYSTEM_ACCOUNT,
    BONDED_ADDRESS,
    RESERVES,
    TREASURY_ADDRESS,
    Account,
    encode_account,
    is_reserved_address,
    reserved_name,
)
from ledger.addresses import address_of
from ledger.amounts import MAX_SUPPLY_UNITS, UNITS_PER_NXT, format_nxt
from ledger.encoding import Address20, Codec, Count, Hash32, Record
from ledger.errors import CodecError, ConservationBroken, GenesisInvalid, KeyRefused, ParameterOutOfBounds
from ledger.governed.parameters import PARAMETER_NUMBERED, PARAMETERS, parameter_key, require_in_bounds
from ledger.governed.registrars import MAX_REGISTRARS, REGISTRARS_CODEC, REGISTRARS_KEY
from ledger.hashing import digest, tagged
from ledger.issuance import FLOWS_KEY, NO_FLOWS, encode_flows
from ledger.keys import require_public_key
from ledger.onion import MAX_ONION_LAYERS
from ledger.rules import BASE_FEE_UNITS, FEE_PER_BYTE_UNITS, ChainRules
from ledger.staking.records import (
    ACTIVE,
    EPOCH_KEY,
    LIST_CODEC,
    VALIDATOR_CODEC,
    VALIDATOR_COUNT_KEY,
    VALIDATOR_LIST_KEY,
    consensus_key_key,
    epoch_bytes,
    new_validator,
    validator_key,
)
from ledger.staking.snapshot import SNAPSHOT_CODEC, SNAPSHOT_KEY, EpochSnapshot, SnapshotValidator
from ledger.state import account_key

GENESIS_VERSION = 3
MAX_GENESIS_BYTES = 4 * 1024 * 1024
MAX_VALIDATORS = 1_000
"""Validity costs one vote per validator without aggregation (reliability.md 3.2 f)."""
MAX_ALLOCATIONS = 50_000

PREFIX_OF_NETWORK: Final = {"devnet": "dnxt", "fast": "dnxt", "testnet": "tnxt", "main": "nxt"}

FUNDED_AT_GENESIS: Final = {
    "TREASURY": 500_000 * UNITS_PER_NXT,
    "VALIDATOR_POOL": 300_000 * UNITS_PER_NXT,
    "ECOSYSTEM_FUND": 200_000 * UNITS_PER_NXT,
}
"""Units before allocations and stakes are taken out of TREASURY; every other system account begins at 0."""

_GENESIS_TAG = tagged("nexus/genesis/v1")
_GENESIS_MIX_TAG = tagged("nexus/genesis-mix/v1")
_CHAIN_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,31}", re.ASCII)


class GenesisValidator(Record, frozen=True):
    """A validator that the chain begins with; its index is its place in the list."""

    consensus_key: Hash32
    withdrawal_address: Address20
    stake_units: Count
    onion_tip: Hash32
    """Outermost layer of its onion (`ledger.onion`), committed to in epoch 0, generation 0."""
    onion_layers: Annotated[int, msgspec.Meta(ge=1, le=MAX_ONION_LAYERS)]


class Genesis(Record, frozen=True):
    """Everything that makes two chains different."""

    version: Count
    chain_id: Annotated[str, msgspec.Meta(min_length=1, max_length=32)]
    network: Annotated[str, msgspec.Meta(max_length=16)]
    """devnet, fast, testnet or main: names the preset of consensus parameters."""
    address_prefix: Annotated[str, msgspec.Meta(max_length=16)]
    genesis_time_ms: Count
    """Start of slot 0, milliseconds since 1970-01-01 UTC."""
    slot_ms: Count
    epoch_slots: Count
    base_fee_units: Count
    fee_per_byte_units: Count
    allocations: Annotated[tuple[tuple[Address20, Count], ...], msgspec.Meta(max_length=MAX_ALLOCATIONS)]
    """(address, units), strictly ascending by address; taken out of TREASURY."""
    validators: Annotated[tuple[GenesisValidator, ...], msgspec.Meta(min_length=1, max_length=MAX_VALIDATORS)]
    """Their stakes are taken out of TREASURY into BONDED."""
    registrars: Annotated[tuple[Address20, ...], msgspec.Meta(max_length=MAX_REGISTRARS)]
    """Who may attest citizens from the beginning, ascending by address."""
    parameters: Annotated[tuple[tuple[Count, Count], ...], msgspec.Meta(max_length=len(PARAMETERS))]
    """(number, value) of every governed parameter that does not begin with its default, ascending by number."""


GENESIS_CODEC: Final = Codec(Genesis, "genesis", MAX_GENESIS_BYTES)


def new_genesis(
    *,
    chain_id: str,
    network: str,
    genesis_time_ms: int,
    slot_ms: int,
    epoch_slots: int,
    allocations: tuple[tuple[bytes, int], ...],
    validators: tuple[GenesisValidator, ...],
    base_fee_units: int = BASE_FEE_UNITS,
    fee_per_byte_units: int = FEE_PER_BYTE_UNITS,
    registrars: tuple[bytes, ...] = (),
    parameters: tuple[tuple[int, int], ...] = (),
) -> Genesis:
    """A checked genesis; sorts allocations, registrars and parameters. Errors: `GenesisInvalid`."""
    prefix = PREFIX_OF_NETWORK.get(network)
    if prefix is None:
        raise GenesisInvalid(f"network {network!r} is unknown; known: {', '.join(PREFIX_OF_NETWORK)}")
    genesis = Genesis(
        GENESIS_VERSION,
        chain_id,
        network,
        prefix,
        genesis_time_ms,
        slot_ms,
        epoch_slots,
        base_fee_units,
        fee_per_byte_units,
        tuple(sorted(allocations)),
        validators,
        tuple(sorted(registrars)),
        tuple(sorted(parameters)),
    )
    validate_genesis(genesis)
    return genesis


def validate_genesis(genesis: Genesis) -> None:
    """Every rule that a genesis must keep. Errors: `GenesisInvalid`, which names the field."""
    try:
        GENESIS_CODEC.checked(genesis)
    except CodecError as error:
        raise GenesisInvalid(str(error)) from None
    if genesis.version != GENESIS_VERSION:
        raise GenesisInvalid(f"version {genesis.version}, this node knows {GENESIS_VERSION}")
    if _CHAIN_ID.fullmatch(genesis.chain_id) is None:
        raise GenesisInvalid(f"chain_id {genesis.chain_id!r} must be 1 to 32 of a-z, 0-9 and '-'")
    prefix = PREFIX_OF_NETWORK.get(genesis.network)
    if prefix is None:
        raise GenesisInvalid(f"network {genesis.network!r} is unknown; known: {', '.join(PREFIX_OF_NETWORK)}")
    if genesis.address_prefix != prefix:
        raise GenesisInvalid(
            f"address_prefix {genesis.address_prefix!r}, network {genesis.network} has {prefix!r}"
        )
    _require_range("slot_ms", genesis.slot_ms, 50, 600_000)
    _require_range("epoch_slots", genesis.epoch_slots, 8, 1_000_000)
    _require_range("base_fee_units", genesis.base_fee_units, 0, UNITS_PER_NXT)
    _require_range("fee_per_byte_units", genesis.fee_per_byte_units, 0, UNITS_PER_NXT)
    _validate_allocations(genesis)
    _validate_validators(genesis)
    _validate_registrars(genesis)
    _validate_parameters(genesis)
    spent = _allocated_units(genesis) + _staked_units(genesis)
    if spent > FUNDED_AT_GENESIS["TREASURY"]:
        raise GenesisInvalid(
            f"allocations and stakes take {format_nxt(spent)} NXT out of TREASURY, which holds "
            f"{format_nxt(FUNDED_AT_GENESIS['TREASURY'])}"
        )


def _require_range(name: str, value: int, least: int, greatest: int) -> None:
    if not least <= value <= greatest:
        raise GenesisInvalid(f"{name} is {value}, expected {least} to {greatest}")


def _validate_allocations(genesis: Genesis) -> None:
    last = b""
    for number, (address, units) in enumerate(genesis.allocations):
        where = f"allocations[{number}]"
        if address <= last:
            raise GenesisInvalid(f"{where}: addresses must ascend and none may repeat")
        if is_reserved_address(address):
            raise GenesisInvalid(f"{where} is {reserved_name(address)}")
        _require_range(f"{where}.units", units, 1, MAX_SUPPLY_UNITS)
        last = address


def _validate_validators(genesis: Genesis) -> None:
    place_of: dict[bytes, int] = {}
    for number, validator in enumerate(genesis.validators):
        where = f"validators[{number}]"
        try:
            require_public_key(validator.consensus_key)
        except KeyRefused as error:
            raise GenesisInvalid(f"{where}.consensus_key: {error}") from None
        if validator.consensus_key in place_of:
            raise GenesisInvalid(
                f"{where}.consensus_key is that of validators[{place_of[validator.consensus_key]}]"
            )
        place_of[validator.consensus_key] = number
        if is_reserved_address(validator.withdrawal_address):
            raise GenesisInvalid(
                f"{where}.withdrawal_address is {reserved_name(validator.withdrawal_address)}"
            )
        _require_range(f"{where}.stake_units", validator.stake_units, 1, MAX_SUPPLY_UNITS)


def _validate_registrars(genesis: Genesis) -> None:
    last = b""
    for number, address in enumerate(genesis.registrars):
        if address <= last:
            raise GenesisInvalid(f"registrars[{number}]: addresses must ascend and none may repeat")
        if is_reserved_address(address):
            raise GenesisInvalid(f"registrars[{number}] is {reserved_name(address)}")
        last = address


def _validate_parameters(genesis: Genesis) -> None:
    last = -1
    for number, value in genesis.parameters:
        parameter = PARAMETER_NUMBERED.get(number)
        if parameter is None or parameter.per_subject:
            raise GenesisInvalid(f"parameters: no parameter {number} is one value for the whole chain")
        if number <= last:
            raise GenesisInvalid("parameters: numbers must ascend and none may repeat")
        try:
            require_in_bounds(parameter, value)
        except ParameterOutOfBounds as error:
            raise GenesisInvalid(f"parameters: {error}") from None
        last = number


def _allocated_units(genesis: Genesis) -> int:
    return sum(units for _, units in genesis.allocations)


def _staked_units(genesis: Genesis) -> int:
    return sum(validator.stake_units for validator in genesis.validators)


def genesis_hash(genesis: Genesis) -> bytes:
    """32 bytes over the canonical record: the chain's identity in every signed preimage."""
    return digest(_GENESIS_TAG, GENESIS_CODEC.encode(genesis))


def genesis_mix(genesis: Genesis) -> bytes:
    """What the randomness of the chain begins with, 32 bytes."""
    return digest(_GENESIS_MIX_TAG, genesis_hash(genesis))


def chain_rules(genesis: Genesis) -> ChainRules:
    """The rules that transactions of this chain are judged by."""
    return ChainRules(
        chain_id=genesis.chain_id,
        genesis_hash=genesis_hash(genesis),
        address_prefix=genesis.address_prefix,
        base_fee_units=genesis.base_fee_units,
        fee_per_byte_units=genesis.fee_per_byte_units,
    )


def genesis_state(genesis: Genesis) -> dict[bytes, bytes]:
    """State key -> value at genesis, in key order: every system account (some at 0), every allocation, the validators.

    The sum of all balances is MAX_SUPPLY_UNITS. Errors: `GenesisInvalid`.
    """
    validate_genesis(genesis)
    balances = {
        address: FUNDED_AT_GENESIS.get(name, 0) for name, address in ADDRESS_OF_SYSTEM_ACCOUNT.items()
    }
    balances[TREASURY_ADDRESS] -= _allocated_units(genesis) + _staked_units(genesis)
    balances[BONDED_ADDRESS] = _staked_units(genesis)
    balances.update(genesis.allocations)
    total = sum(balances.values())
    if total != MAX_SUPPLY_UNITS:
        raise ConservationBroken("genesis", total, MAX_SUPPLY_UNITS)
    values = {account_key(address): encode_account(Account(balances[address], 0)) for address in balances}
    values |= _staking_state(genesis)
    values |= _governed_state(genesis)
    reserved = sum(balances[ADDRESS_OF_SYSTEM_ACCOUNT[name]] for name in RESERVES)
    values[FLOWS_KEY] = encode_flows(
        msgspec.structs.replace(NO_FLOWS, circulating_at_genesis=MAX_SUPPLY_UNITS - reserved)
    )
    return {key: values[key] for key in sorted(values)}


def _governed_state(genesis: Genesis) -> dict[bytes, bytes]:
    """The first registrars, and the parameters that do not begin with their defaults."""
    values = {
        parameter_key(PARAMETER_NUMBERED[number]): value.to_bytes(8, "big")
        for number, value in genesis.parameters
        if value != PARAMETER_NUMBERED[number].default
    }
    if genesis.registrars:
        values[REGISTRARS_KEY] = REGISTRARS_CODEC.encode(genesis.registrars)
    return values


def _staking_state(genesis: Genesis) -> dict[bytes, bytes]:
    """The validators' records, active from epoch 0 on, and the snapshot of epoch 0."""
    count = len(genesis.validators)
    values = {
        VALIDATOR_COUNT_KEY: count.to_bytes(4, "big"),
        VALIDATOR_LIST_KEY: LIST_CODEC.encode(tuple(range(count))),
        EPOCH_KEY: epoch_bytes(0, _staked_units(genesis)),
    }
    members = []
    for index, validator in enumerate(genesis.validators):
        record = new_validator(
            index=index,
            consensus_key=validator.consensus_key,
            withdrawal_address=validator.withdrawal_address,
            status=ACTIVE,
            activation_epoch=0,
            self_stake_units=validator.stake_units,
            commission_ppm=0,
            onion_tip=validator.onion_tip,
            onion_layers=validator.onion_layers,
            onion_epoch=0,
        )
        values[validator_key(index)] = VALIDATOR_CODEC.encode(record)
        values[consensus_key_key(validator.consensus_key)] = index.to_bytes(4, "big")
        members.append(
            SnapshotValidator(
                index=index,
                consensus_key=validator.consensus_key,
                stake_units=validator.stake_units,
                onion_tip=validator.onion_tip,
                onion_epoch=0,
                onion_layers=validator.onion_layers,
                onion_generation=0,
            )
        )
    values[SNAPSHOT_KEY] = SNAPSHOT_CODEC.encode(EpochSnapshot(0, genesis_mix(genesis), tuple(members)))
    return values


def validator_address(validator: GenesisValidator) -> bytes:
    """The address that a validator's consensus key itself signs for, 20 bytes."""
    return address_of(validator.consensus_key)
