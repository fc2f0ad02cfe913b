"""The genesis document as JSON text: strict both ways.

Amounts are strings of decimal units, addresses bech32m of the genesis' own network, keys 64 hexadecimal digits. Unknown
keys are refused with the nearest known name; so are repeated keys, floats, NaN, and numbers of more than 20 digits.
"""

import json
import re
from difflib import get_close_matches
from typing import Any, NoReturn

from ledger.addresses import decode_address, encode_address
from ledger.errors import AddressMalformed, GenesisInvalid
from ledger.genesis import (
    GENESIS_VERSION,
    MAX_GENESIS_BYTES,
    PREFIX_OF_NETWORK,
    Genesis,
    GenesisValidator,
    new_genesis,
)
from ledger.governed.parameters import PARAMETER_NAMED, PARAMETER_NUMBERED

_FIELDS = (
    "version",
    "chain_id",
    "network",
    "address_prefix",
    "genesis_time_ms",
    "slot_ms",
    "epoch_slots",
    "base_fee_units",
    "fee_per_byte_units",
    "allocations",
    "validators",
    "registrars",
    "parameters",
)
_ALLOCATION_FIELDS = ("address", "units")
_VALIDATOR_FIELDS = ("consensus_key", "withdrawal_address", "stake_units", "onion_tip", "onion_layers")
_UNITS = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)
_MAX_DIGITS = 20


def genesis_to_json(genesis: Genesis) -> str:
    """The document, two spaces of indentation, fields in a fixed order, with a final newline."""
    prefix = genesis.address_prefix
    document = {
        "version": genesis.version,
        "chain_id": genesis.chain_id,
        "network": genesis.network,
        "address_prefix": prefix,
        "genesis_time_ms": genesis.genesis_time_ms,
        "slot_ms": genesis.slot_ms,
        "epoch_slots": genesis.epoch_slots,
        "base_fee_units": str(genesis.base_fee_units),
        "fee_per_byte_units": str(genesis.fee_per_byte_units),
        "allocations": [
            {"address": encode_address(prefix, address), "units": str(units)}
            for address, units in genesis.allocations
        ],
        "validators": [
            {
                "consensus_key": validator.consensus_key.hex(),
                "withdrawal_address": encode_address(prefix, validator.withdrawal_address),
                "stake_units": str(validator.stake_units),
                "onion_tip": validator.onion_tip.hex(),
                "onion_layers": validator.onion_layers,
            }
            for validator in genesis.validators
        ],
        "registrars": [encode_address(prefix, address) for address in genesis.registrars],
        "parameters": {PARAMETER_NUMBERED[number].name: str(value) for number, value in genesis.parameters},
    }
    return json.dumps(document, indent=2) + "\n"


def genesis_from_json(text: str) -> Genesis:
    """The checked genesis in `text`. Errors: `GenesisInvalid`, which names the field."""
    document = _fields("", _parse(text), _FIELDS)
    version = _integer("version", document["version"])
    if version != GENESIS_VERSION:
        raise GenesisInvalid(f"version {version}, this node knows {GENESIS_VERSION}")
    network = _text("network", document["network"])
    prefix = _text("address_prefix", document["address_prefix"])
    expected = PREFIX_OF_NETWORK.get(network)
    if expected is not None and prefix != expected:
        raise GenesisInvalid(f"address_prefix {prefix!r}, network {network} has {expected!r}")
    return new_genesis(
        chain_id=_text("chain_id", document["chain_id"]),
        network=network,
        genesis_time_ms=_integer("genesis_time_ms", document["genesis_time_ms"]),
        slot_ms=_integer("slot_ms", document["slot_ms"]),
        epoch_slots=_integer("epoch_slots", document["epoch_slots"]),
        base_fee_units=_units("base_fee_units", document["base_fee_units"]),
        fee_per_byte_units=_units("fee_per_byte_units", document["fee_per_byte_units"]),
        allocations=tuple(
            _allocation(f"allocations[{number}]", entry, prefix)
            for number, entry in enumerate(_list("allocations", document["allocations"]))
        ),
        validators=tuple(
            _validator(f"validators[{number}]", entry, prefix)
            for number, entry in enumerate(_list("validators", document["validators"]))
        ),
        registrars=tuple(
            _address(f"registrars[{number}]", entry, prefix)
            for number, entry in enumerate(_list("registrars", document["registrars"]))
        ),
        parameters=_parameters(document["parameters"]),
    )


def _refuse_number(text: str) -> NoReturn:
    raise GenesisInvalid(f"the number {text[:40]} is no integer; amounts are strings of units")


def _short_integer(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise GenesisInvalid(f"a number of {len(text)} digits, at most {_MAX_DIGITS} are read")
    return int(text)


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise GenesisInvalid(f"key {key[:40]!r} appears twice")
        found[key] = value
    return found


def _parse(text: str) -> Any:
    if len(text) > MAX_GENESIS_BYTES:
        raise GenesisInvalid(f"{len(text)} characters, at most {MAX_GENESIS_BYTES} are read")
    try:
        return json.loads(
            text,
            object_pairs_hook=_unique_keys,
            parse_float=_refuse_number,
            parse_constant=_refuse_number,
            parse_int=_short_integer,
        )
    except json.JSONDecodeError as error:
        raise GenesisInvalid(f"not JSON: {error.msg} in line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise GenesisInvalid("not a genesis: nested too deeply") from None


def _fields(where: str, value: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """The object `value` when it has exactly the keys `names`."""
    place = where or "document"
    if not isinstance(value, dict):
        raise GenesisInvalid(f"{place} must be an object, found {type(value).__name__}")
    for key in value:
        if key not in names:
            near = get_close_matches(key, names, n=1, cutoff=0)
            raise GenesisInvalid(f"{place}: unknown key {key[:40]!r}; did you mean {near[0]!r}?")
    for name in names:
        if name not in value:
            raise GenesisInvalid(f"{place}: key {name!r} is missing")
    return value


def _list(name: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise GenesisInvalid(f"{name} must be a list, found {type(value).__name__}")
    return value


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise GenesisInvalid(f"{name} must be a string, found {type(value).__name__}")
    return value


def _integer(name: str, value: Any) -> int:
    if type(value) is not int:
        raise GenesisInvalid(f"{name} must be an integer, found {type(value).__name__}")
    return value


def _units(name: str, value: Any) -> int:
    if not isinstance(value, str) or _UNITS.fullmatch(value) is None:
        raise GenesisInvalid(
            f'{name} must be a string of decimal units such as "100000000", found {str(value)[:40]!r}'
        )
    return int(value)


def _address(name: str, value: Any, prefix: str) -> bytes:
    try:
        return decode_address(prefix, _text(name, value))
    except AddressMalformed as error:
        raise GenesisInvalid(f"{name}: {error}") from None


def _hash(name: str, value: Any) -> bytes:
    """32 bytes."""
    text = _text(name, value)
    if _HASH.fullmatch(text) is None:
        raise GenesisInvalid(f"{name} must be 64 lower-case hexadecimal digits")
    return bytes.fromhex(text)


def _allocation(where: str, value: Any, prefix: str) -> tuple[bytes, int]:
    entry = _fields(where, value, _ALLOCATION_FIELDS)
    return _address(f"{where}.address", entry["address"], prefix), _units(f"{where}.units", entry["units"])


def _parameters(value: Any) -> tuple[tuple[int, int], ...]:
    """(number, value) of the parameters by name."""
    if not isinstance(value, dict):
        raise GenesisInvalid(f"parameters must be an object, found {type(value).__name__}")
    for name in value:
        if name not in PARAMETER_NAMED:
            near = get_close_matches(name, PARAMETER_NAMED, n=1, cutoff=0)
            raise GenesisInvalid(f"parameters: unknown name {name[:40]!r}; did you mean {near[0]!r}?")
    return tuple(
        (PARAMETER_NAMED[name].number, _units(f"parameters.{name}", amount)) for name, amount in value.items()
    )


def _validator(where: str, value: Any, prefix: str) -> GenesisValidator:
    entry = _fields(where, value, _VALIDATOR_FIELDS)
    return GenesisValidator(
        _hash(f"{where}.consensus_key", entry["consensus_key"]),
        _address(f"{where}.withdrawal_address", entry["withdrawal_address"], prefix),
        _units(f"{where}.stake_units", entry["stake_units"]),
        _hash(f"{where}.onion_tip", entry["onion_tip"]),
        _integer(f"{where}.onion_layers", entry["onion_layers"]),
    )
