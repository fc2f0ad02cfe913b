"""Accounts in state, and the system accounts."""

import pytest

from ledger.accounts import (
    RESERVES,
    SECTORS,
    SYSTEM_ACCOUNTS,
    SYSTEM_ADDRESSES,
    Account,
    decode_account,
    encode_account,
)
from ledger.addresses import system_address
from ledger.amounts import MAX_SUPPLY_UNITS
from ledger.errors import AccountOutOfRange, Malformed


def test_account_takes_16_bytes_and_comes_back() -> None:
    account = Account(MAX_SUPPLY_UNITS, 2**63 - 1)
    assert len(encode_account(account)) == 16
    assert decode_account(encode_account(account)) == account


def test_account_layout_is_balance_then_nonce_big_endian() -> None:
    assert encode_account(Account(258, 3)).hex() == "0000000000000102" + "0000000000000003"


@pytest.mark.parametrize(
    "account",
    [Account(-1, 0), Account(0, -1), Account(MAX_SUPPLY_UNITS + 1, 0), Account(0, 2**63), Account(2**64, 0)],
)
def test_C7_account_out_of_range_is_a_fault_when_encoded(account: Account) -> None:
    with pytest.raises(AccountOutOfRange):
        encode_account(account)


@pytest.mark.parametrize("raw", [b"", bytes(15), bytes(17), b"\xff" * 16, bytes(8) + b"\xff" * 8])
def test_damaged_account_is_malformed(raw: bytes) -> None:
    with pytest.raises(Malformed):
        decode_account(raw)


def test_system_accounts_have_distinct_derived_addresses() -> None:
    assert len(SYSTEM_ACCOUNTS) == len(SYSTEM_ADDRESSES) == 8 + 12
    assert all(SYSTEM_ADDRESSES[system_address(name)] == name for name in SYSTEM_ACCOUNTS)


def test_bonded_stake_and_deposits_circulate() -> None:
    assert set(SYSTEM_ACCOUNTS) - set(RESERVES) == {"BONDED", "DEPOSITS"}


def test_every_sector_has_a_pool_among_the_reserves() -> None:
    assert len(SECTORS) == 12
    assert all(f"SECTOR_{sector}" in RESERVES for sector in SECTORS)
