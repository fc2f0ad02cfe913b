"""Numbered wallets and their transfers on a bare chain of rules, for tests that need no genesis."""

from builders.ledger import FAR_SLOT, key_pair
from builders.ledger import transfer as transfer_to

from ledger.addresses import address_of
from ledger.keys import KeyPair
from ledger.rules import ChainRules
from ledger.transactions import SignedTransaction

RULES = ChainRules("test-chain", bytes(range(32)), "dnxt")


def key_number(number: int) -> KeyPair:
    """The same key for the same number."""
    return key_pair(0, "wallet", number)


def address_number(number: int) -> bytes:
    """Address of `key_number(number)`."""
    return address_of(key_number(number).public_key)


def transfer(
    key: KeyPair,
    nonce: int,
    *,
    fee: int | None = None,
    amount: int = 1,
    expiry_slot: int = FAR_SLOT,
    memo: bytes = b"",
) -> SignedTransaction:
    """A signed transfer to some address; `fee` None is the least fee."""
    return transfer_to(
        key, RULES, nonce, address_number(9_999), amount, fee=fee, expiry_slot=expiry_slot, memo=memo
    )
