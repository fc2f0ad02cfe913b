"""What is refused whatever the state is."""

import pytest
from builders.ledger import batch_transfer, devnet_genesis, devnet_rules, key_pair, transfer

from ledger.accounts import SYSTEM_ADDRESSES
from ledger.addresses import address_of
from ledger.amounts import MAX_SUPPLY_UNITS
from ledger.errors import (
    FeeTooHigh,
    FeeTooLow,
    InvalidTransaction,
    PayloadInvalid,
    RecipientRefused,
    SignatureInvalid,
    WrongChain,
)
from ledger.genesis import chain_rules
from ledger.kinds import ledger_kinds
from ledger.transaction_validation import validate_transaction_in_isolation, verify_transaction_signature

RULES = devnet_rules()
REGISTRY = ledger_kinds()
KEY = key_pair(0, "account", 0)
TO = address_of(key_pair(0, "account", 1).public_key)


def test_good_transfers_pass() -> None:
    for transaction in (transfer(KEY, RULES, 0, TO, 1), batch_transfer(KEY, RULES, 0, [(TO, 1)] * 256)):
        validate_transaction_in_isolation(transaction, RULES, REGISTRY)
        verify_transaction_signature(transaction, RULES)


def test_L1_transaction_for_another_chain_is_named_so() -> None:
    other = chain_rules(devnet_genesis(chain_id="other-chain")[0])
    with pytest.raises(WrongChain, match="'other-chain', this is 'nexus-test'"):
        validate_transaction_in_isolation(transfer(KEY, other, 0, TO, 1), RULES, REGISTRY)


def test_L3_chain_of_equal_name_and_another_genesis_is_told_by_the_signature() -> None:
    same_name = chain_rules(devnet_genesis(seed="another")[0])
    transaction = transfer(KEY, same_name, 0, TO, 1)
    validate_transaction_in_isolation(transaction, RULES, REGISTRY)
    with pytest.raises(SignatureInvalid):
        verify_transaction_signature(transaction, RULES)


def test_L26_fee_below_the_least_for_the_size_is_refused() -> None:
    least = transfer(KEY, RULES, 0, TO, 1).body.fee
    validate_transaction_in_isolation(transfer(KEY, RULES, 0, TO, 1, fee=least), RULES, REGISTRY)
    with pytest.raises(FeeTooLow, match=f"at least {least}"):
        validate_transaction_in_isolation(transfer(KEY, RULES, 0, TO, 1, fee=least - 1), RULES, REGISTRY)
    with pytest.raises(FeeTooLow):
        validate_transaction_in_isolation(transfer(KEY, RULES, 0, TO, 1, fee=0), RULES, REGISTRY)


def test_L26_longer_transaction_needs_a_higher_fee() -> None:
    short, long = transfer(KEY, RULES, 0, TO, 1), transfer(KEY, RULES, 0, TO, 1, memo=b"m" * 200)
    assert long.body.fee - short.body.fee == RULES.fee_per_byte_units * (len(long.raw) - len(short.raw))


def test_L26_fee_above_the_whole_supply_is_refused() -> None:
    validate_transaction_in_isolation(transfer(KEY, RULES, 0, TO, 1, fee=MAX_SUPPLY_UNITS), RULES, REGISTRY)
    for fee in (MAX_SUPPLY_UNITS + 1, 2**63 - 1):
        with pytest.raises(FeeTooHigh):
            validate_transaction_in_isolation(transfer(KEY, RULES, 0, TO, 1, fee=fee), RULES, REGISTRY)


@pytest.mark.parametrize("amount", [0, MAX_SUPPLY_UNITS + 1, 2**63 - 1])
def test_L26_amount_of_zero_or_above_the_supply_is_refused(amount: int) -> None:
    for transaction in (
        transfer(KEY, RULES, 0, TO, amount),
        batch_transfer(KEY, RULES, 0, [(TO, 1), (TO, amount)]),
    ):
        with pytest.raises(PayloadInvalid):
            validate_transaction_in_isolation(transaction, RULES, REGISTRY)


def test_C7_legs_that_sum_above_the_supply_are_refused() -> None:
    transaction = batch_transfer(KEY, RULES, 0, [(TO, MAX_SUPPLY_UNITS), (TO, 1)])
    with pytest.raises(PayloadInvalid, match="sum to"):
        validate_transaction_in_isolation(transaction, RULES, REGISTRY)


@pytest.mark.parametrize("name", sorted(SYSTEM_ADDRESSES.values()))
def test_L26_users_cannot_pay_to_a_system_account(name: str) -> None:
    address = next(address for address, other in SYSTEM_ADDRESSES.items() if other == name)
    for transaction in (
        transfer(KEY, RULES, 0, address, 1),
        batch_transfer(KEY, RULES, 0, [(TO, 1), (address, 1)]),
    ):
        with pytest.raises(RecipientRefused, match=name):
            validate_transaction_in_isolation(transaction, RULES, REGISTRY)


def test_every_refusal_is_of_the_family_that_peers_are_judged_by() -> None:
    for family in (WrongChain, FeeTooLow, FeeTooHigh, PayloadInvalid, RecipientRefused, SignatureInvalid):
        assert issubclass(family, InvalidTransaction)
