"""Identities: signatures as libsodium judges them, hashes as the ledger makes addresses."""

import pytest
from builders.ledger import devnet_genesis

from ledger.addresses import address_of
from ledger.keys import NON_CANONICAL_ENCODINGS, SMALL_ORDER_ENCODINGS, KeyPair
from wnsp.errors import KeyRefused, SignatureInvalid
from wnsp.identity import Identity, identity_hash, require_public_key, verify

IDENTITY = Identity.from_seed(bytes(range(32)))


def test_the_identity_hash_is_the_wallets_address() -> None:
    key = KeyPair.from_seed(bytes(range(32)))
    assert IDENTITY.public_key == key.public_key
    assert IDENTITY.hash == identity_hash(key.public_key) == address_of(key.public_key)
    assert len(IDENTITY.hash) == 20


def test_a_signature_of_rfc_8032() -> None:
    """Section 7.1, test 2."""
    identity = Identity.from_seed(
        bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    )
    signature = identity.sign(b"\x72")
    assert signature.hex().startswith("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da")
    verify(identity.public_key, b"\x72", signature)


@pytest.mark.parametrize("change", ["message", "signature", "key", "short signature", "short key"])
def test_anything_else_does_not_verify(change: str) -> None:
    message, signature, key = b"light", IDENTITY.sign(b"light"), IDENTITY.public_key
    if change == "message":
        message = b"Light"
    elif change == "signature":
        signature = bytes([signature[0] ^ 1]) + signature[1:]
    elif change == "key":
        key = Identity.from_seed(bytes(32)).public_key
    elif change == "short signature":
        signature = signature[:-1]
    else:
        key = key[:-1]
    with pytest.raises(SignatureInvalid):
        verify(key, message, signature)


def test_keys_that_the_ledger_refuses_are_refused() -> None:
    for key in SMALL_ORDER_ENCODINGS | NON_CANONICAL_ENCODINGS:
        with pytest.raises(KeyRefused):
            require_public_key(key)


def test_keys_of_the_ledger_are_accepted() -> None:
    _, _, keys = devnet_genesis()
    for key in keys:
        assert require_public_key(key.public_key) == key.public_key


@pytest.mark.parametrize("key", [b"", bytes(31), bytes(33)])
def test_keys_of_other_lengths_are_refused(key: bytes) -> None:
    with pytest.raises(KeyRefused):
        identity_hash(key)


def test_the_seed_is_not_shown() -> None:
    assert IDENTITY.seed.hex() not in repr(IDENTITY) and "seed" not in repr(IDENTITY)


def test_a_seed_has_32_bytes() -> None:
    with pytest.raises(KeyRefused):
        Identity.from_seed(bytes(31))
