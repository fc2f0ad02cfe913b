"""Who sends and who receives: Ed25519 keys (RFC 8032) by libsodium, and their 20-byte hashes.

The identity hash is made as the ledger makes addresses, so a wallet's address is where its messages go. What is signed
always begins with a domain tag, so no signature of one kind passes as one of another.
"""

from dataclasses import dataclass, field
from typing import Final

from nacl.bindings import (
    crypto_core_ed25519_is_valid_point,
    crypto_sign,
    crypto_sign_open,
    crypto_sign_seed_keypair,
)
from nacl.exceptions import BadSignatureError

from wnsp.encoding import digest, tagged
from wnsp.errors import KeyRefused, SignatureInvalid

PUBLIC_KEY_BYTES: Final = 32
SEED_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
IDENTITY_HASH_BYTES: Final = 20

_HASH_TAG: Final = tagged("nexus/address/v1")


@dataclass(frozen=True, slots=True)
class Identity:
    """A key that signs messages. The seed never appears in its text."""

    public_key: bytes
    """32 bytes."""
    seed: bytes = field(repr=False)
    """The 32 secret bytes of RFC 8032."""

    @classmethod
    def from_seed(cls, seed: bytes) -> "Identity":
        """The identity of 32 secret bytes. Errors: `KeyRefused` for another length."""
        if len(seed) != SEED_BYTES:
            raise KeyRefused(f"a seed has {SEED_BYTES} bytes, found {len(seed)}")
        public_key, _ = crypto_sign_seed_keypair(seed)
        return cls(public_key, seed)

    @property
    def hash(self) -> bytes:
        """The 20-byte identity hash."""
        return identity_hash(self.public_key)

    def sign(self, message: bytes) -> bytes:
        """The detached signature over `message`: 64 bytes, deterministic."""
        signed: bytes = crypto_sign(message, self.seed + self.public_key)
        return signed[:SIGNATURE_BYTES]


def require_public_key(key: bytes) -> bytes:
    """`key`, when it is a canonical point of the main subgroup. Errors: `KeyRefused`."""
    if len(key) != PUBLIC_KEY_BYTES:
        raise KeyRefused(f"{len(key)} bytes, expected {PUBLIC_KEY_BYTES}")
    if not crypto_core_ed25519_is_valid_point(key):
        raise KeyRefused("not a canonical point of the main subgroup; make a new key")
    return key


def identity_hash(public_key: bytes) -> bytes:
    """The first 20 bytes of BLAKE2b-256 of 10 "nexus/address/v1" ‖ public key. Errors: `KeyRefused`."""
    return digest(_HASH_TAG, require_public_key(public_key))[:IDENTITY_HASH_BYTES]


def verify(public_key: bytes, message: bytes, signature: bytes) -> None:
    """Accepts exactly what libsodium's detached verification accepts. Errors: `SignatureInvalid`."""
    # The lengths matter: libsodium reads 32 bytes from whatever the key argument points at.
    if len(public_key) != PUBLIC_KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        raise SignatureInvalid
    try:
        crypto_sign_open(signature + message, public_key)
    except BadSignatureError:
        raise SignatureInvalid from None
