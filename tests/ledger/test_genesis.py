"""The genesis document: strict reading, one hash, money conserved."""

import json
from typing import Any

import pytest
from builders.ledger import devnet_genesis, key_pair

from ledger.accounts import (
    BONDED_ADDRESS,
    SYSTEM_ADDRESSES,
    TREASURY_ADDRESS,
    decode_account,
)
from ledger.addresses import address_of, encode_address, system_address
from ledger.amounts import MAX_SUPPLY_UNITS, UNITS_PER_NXT
from ledger.errors import GenesisInvalid
from ledger.genesis import (
    Genesis,
    GenesisValidator,
    chain_rules,
    genesis_hash,
    genesis_state,
    new_genesis,
    validate_genesis,
)
from ledger.genesis_text import genesis_from_json, genesis_to_json
from ledger.state import ACCOUNT_PREFIX, account_key

GENESIS, VALIDATOR_KEYS, ACCOUNT_KEYS = devnet_genesis()
ALICE = address_of(ACCOUNT_KEYS[0].public_key)


def document(**changed: Any) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(genesis_to_json(GENESIS))
    return parsed | changed


def read(value: Any) -> Genesis:
    return genesis_from_json(json.dumps(value))


def validator(number: int, stake: int, withdrawal: bytes = ALICE, layers: int = 9) -> GenesisValidator:
    return GenesisValidator(VALIDATOR_KEYS[number].public_key, withdrawal, stake, b"t" * 32, layers)


def made(**changed: Any) -> Genesis:
    arguments: dict[str, Any] = {
        "chain_id": "c",
        "network": "devnet",
        "genesis_time_ms": 0,
        "slot_ms": 1_000,
        "epoch_slots": 32,
        "allocations": ((ALICE, 5),),
        "validators": (validator(0, 7),),
    }
    return new_genesis(**(arguments | changed))


def test_text_comes_back_to_the_same_genesis() -> None:
    assert genesis_from_json(genesis_to_json(GENESIS)) == GENESIS


def test_hash_does_not_depend_on_spaces_or_the_order_of_keys_and_allocations() -> None:
    shuffled = dict(reversed(list(document().items())))
    shuffled["allocations"] = shuffled["allocations"][::-1]
    assert genesis_hash(genesis_from_json(json.dumps(shuffled, indent=7))) == genesis_hash(GENESIS)


@pytest.mark.parametrize(
    "changed",
    [
        {"chain_id": "d"},
        {"network": "fast"},
        {"genesis_time_ms": 1},
        {"slot_ms": 999},
        {"epoch_slots": 33},
        {"base_fee_units": 1},
        {"fee_per_byte_units": 1},
        {"allocations": ()},
        {"allocations": ((ALICE, 6),)},
        {"validators": (validator(1, 7),)},
        {"validators": (validator(0, 8),)},
        {"validators": (validator(0, 7, layers=8),)},
        {"registrars": (ALICE,)},
        {"parameters": ((1, 5_000),)},
    ],
)
def test_hash_depends_on_every_field(changed: dict[str, Any]) -> None:
    assert genesis_hash(made(**changed)) != genesis_hash(made())


def test_hash_is_pinned() -> None:
    assert genesis_hash(made()).hex() == "c60af7f4dd4c820de13f9e411fdb43c88c45d0698507a695c7cd4cd428e27403"


def test_supply_is_conserved_and_every_system_account_exists() -> None:
    state = genesis_state(GENESIS)
    accounts = {key[1:]: decode_account(value) for key, value in state.items() if key[:1] == ACCOUNT_PREFIX}
    balances = {address: account.balance for address, account in accounts.items()}
    assert sum(balances.values()) == MAX_SUPPLY_UNITS
    assert set(SYSTEM_ADDRESSES) <= set(balances)
    assert balances[BONDED_ADDRESS] == 12 * 1_000 * UNITS_PER_NXT
    assert balances[TREASURY_ADDRESS] == (500_000 - 12 * 1_000 - 8 * 100) * UNITS_PER_NXT
    assert balances[system_address("VALIDATOR_POOL")] == 300_000 * UNITS_PER_NXT
    assert balances[system_address("ECOSYSTEM_FUND")] == 200_000 * UNITS_PER_NXT
    assert balances[system_address("F_FLOOR")] == balances[system_address("SECTOR_WATER")] == 0
    assert balances[ALICE] == 100 * UNITS_PER_NXT
    assert all(account.nonce == 0 for account in accounts.values())
    assert list(state) == sorted(state)


def test_treasury_may_be_given_away_to_the_last_unit_and_no_further() -> None:
    everything = ((ALICE, 500_000 * UNITS_PER_NXT - 7),)
    assert account_balance(genesis_state(made(allocations=everything)), TREASURY_ADDRESS) == 0
    with pytest.raises(GenesisInvalid, match="out of TREASURY"):
        made(allocations=((ALICE, 500_000 * UNITS_PER_NXT - 6),))


def account_balance(state: dict[bytes, bytes], address: bytes) -> int:
    return decode_account(state[account_key(address)]).balance


def test_rules_come_from_the_genesis() -> None:
    rules = chain_rules(GENESIS)
    assert rules.chain_id == GENESIS.chain_id
    assert rules.genesis_hash == genesis_hash(GENESIS)
    assert rules.address_prefix == "dnxt"
    assert rules.base_fee_units == 1_000


@pytest.mark.parametrize("name", list(document()))
def test_missing_key_is_named(name: str) -> None:
    without = document()
    del without[name]
    with pytest.raises(GenesisInvalid, match=f"key '{name}' is missing"):
        read(without)


def test_unknown_key_is_named_with_the_nearest_known_one() -> None:
    with pytest.raises(GenesisInvalid, match="unknown key 'slot_msec'; did you mean 'slot_ms'"):
        read(document(slot_msec=1))
    with pytest.raises(GenesisInvalid, match=r"allocations\[0\]: unknown key 'unit'; did you mean 'units'"):
        read(document(allocations=[document()["allocations"][0] | {"unit": "1"}]))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{",
        "[" * 100_000,
        '{"version": 1, "version": 1}',
        '{"version": 1e999}',
        '{"version": 1.5}',
        '{"version": NaN}',
        '{"version": -Infinity}',
        '{"version": ' + "9" * 5_000 + "}",
        '{"version": "\\ud800"}',
    ],
)
def test_C11_hostile_json_is_refused_by_name(text: str) -> None:
    with pytest.raises(GenesisInvalid):
        genesis_from_json(text)


@pytest.mark.parametrize("units", [1, "1.5", "-1", "01", "", "1e3", True, None, "1" * 20, " 1", "١"])
def test_amount_that_is_no_string_of_decimal_units_is_refused(units: object) -> None:
    entry = {"address": encode_address("dnxt", ALICE), "units": units}
    with pytest.raises(GenesisInvalid, match=r"allocations\[0\]\.units"):
        read(document(allocations=[entry]))


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"version": 1}, "version 1, this node knows 3"),
        ({"version": True}, "version must be an integer"),
        ({"slot_ms": "1000"}, "slot_ms must be an integer"),
        ({"slot_ms": 1}, "slot_ms is 1, expected 50 to 600000"),
        ({"epoch_slots": 0}, "epoch_slots is 0"),
        ({"genesis_time_ms": -1}, "malformed"),
        ({"chain_id": "Nexus Test"}, "must be 1 to 32 of a-z"),
        ({"chain_id": ""}, "malformed"),
        ({"chain_id": "c" * 33}, "malformed"),
        ({"chain_id": 5}, "chain_id must be a string"),
        ({"network": "moon"}, "network 'moon' is unknown; known: devnet, fast, testnet, main"),
        ({"address_prefix": "nxt"}, "address_prefix 'nxt', network devnet has 'dnxt'"),
        ({"allocations": {}}, "allocations must be a list"),
        ({"validators": []}, "malformed"),
        ({"validators": ["x"]}, r"validators\[0\] must be an object"),
        ({"registrars": ["x"]}, r"registrars\[0\]: 'x' is not an address"),
        ({"parameters": []}, "parameters must be an object"),
        ({"parameters": {"quorums": "1"}}, "unknown name 'quorums'; did you mean 'quorum'?"),
        ({"parameters": {"quorum": 334000}}, "parameters.quorum must be a string"),
        ({"parameters": {"quorum": "1"}}, "quorum is 1, its bounds are 200000 to 667000"),
        (
            {"parameters": {"floor_food": "24999999999"}},
            "floor_food is 24999999999, its bounds are 25000000000 to",
        ),
        ({"parameters": {"pool_fee": "30"}}, "no parameter 30 is one value for the whole chain"),
    ],
)
def test_bad_field_is_named(changed: dict[str, Any], named: str) -> None:
    with pytest.raises(GenesisInvalid, match=named):
        read(document(**changed))


def test_address_of_another_network_is_named() -> None:
    entry = {"address": encode_address("nxt", ALICE), "units": "1"}
    with pytest.raises(GenesisInvalid, match=r"allocations\[0\]\.address.*belongs to main"):
        read(document(allocations=[entry]))


def test_consensus_key_in_another_spelling_is_refused() -> None:
    for key in ("00" * 31, "zz" * 32, VALIDATOR_KEYS[0].public_key.hex().upper()):
        entry = document()["validators"][0] | {"consensus_key": key}
        with pytest.raises(GenesisInvalid, match=r"validators\[0\]\.consensus_key"):
            read(document(validators=[entry]))


def test_repeated_or_system_address_is_refused() -> None:
    with pytest.raises(GenesisInvalid, match="none may repeat"):
        made(allocations=((ALICE, 1), (ALICE, 2)))
    with pytest.raises(GenesisInvalid, match="is the system account TREASURY"):
        made(allocations=((TREASURY_ADDRESS, 1),))
    with pytest.raises(GenesisInvalid, match="withdrawal_address is the system account TREASURY"):
        made(validators=(validator(0, 1, TREASURY_ADDRESS),))


def test_repeated_validator_key_is_refused_and_both_places_are_named() -> None:
    same = validator(0, 7)
    with pytest.raises(GenesisInvalid, match=r"validators\[1\]\.consensus_key is that of validators\[0\]"):
        made(validators=(same, same))


@pytest.mark.parametrize("units", [0, -1, MAX_SUPPLY_UNITS + 1])
def test_stake_or_allocation_out_of_range_is_refused(units: int) -> None:
    with pytest.raises(GenesisInvalid):
        made(allocations=((ALICE, units),))
    with pytest.raises(GenesisInvalid):
        made(validators=(validator(0, units),))


def test_unsorted_genesis_is_refused_because_it_would_have_another_hash() -> None:
    genesis, _, _ = devnet_genesis(accounts=2)
    backwards = Genesis(
        *[getattr(genesis, name) for name in genesis.__struct_fields__[:9]],
        *(
            genesis.allocations[::-1],
            genesis.validators,
            genesis.registrars,
            genesis.parameters,
        ),
    )
    with pytest.raises(GenesisInvalid, match="ascend"):
        validate_genesis(backwards)


def test_builder_gives_the_same_genesis_for_the_same_seed() -> None:
    assert devnet_genesis(seed=3) == devnet_genesis(seed=3)
    assert devnet_genesis(seed=3)[0] != devnet_genesis(seed=4)[0]
    assert key_pair(3, "validator", 0) == devnet_genesis(seed=3)[1][0]
