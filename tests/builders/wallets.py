"""Keys, rules and signed transfers for tests, the same in every run."""

from hashlib import blake2b

from ledger.addresses import address_of
from ledger.keys import KeyPair
from ledger.kinds import ledger_kinds
from ledger.rules import ChainRules
from ledger.transactions import SignedTransaction, sign_transaction
from ledger.transfer import TRANSFER, Transfer

REGISTRY = ledger_kinds()
RULES = ChainRules("test-chain", bytes(range(32)), "dnxt")
FAR = 1_000_000
"""An expiry slot that no test reaches."""


def key_number(number: int) -> KeyPair:
    """The same key for the same number."""
    return KeyPair.from_seed(blake2b(b"test wallet %d" % number, digest_size=32).digest())


def address_number(number: int) -> bytes:
    """Address of `key_number(number)`."""
    return address_of(key_number(number).public_key)


def transfer(
    key: KeyPair,
    nonce: int,
    *,
    fee: int | None = None,
    amount: int = 1,
    recipient: bytes | None = None,
    expiry_slot: int = FAR,
    memo: bytes = b"",
    rules: ChainRules = RULES,
) -> SignedTransaction:
    """A signed transfer; `fee` None is the least fee."""
    return sign_transaction(
        key,
        rules,
        nonce=nonce,
        expiry_slot=expiry_slot,
        fee=fee,
        kind=TRANSFER,
        payload_record=Transfer(recipient or address_number(9_999), amount, memo),
    )
