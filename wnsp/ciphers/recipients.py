"""Keys of recipients: HPKE in base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305 (RFC 9180).

The suite is the library's own. The ephemeral key of a seal is drawn inside it, from the operating system: the one
random value that does not come in as an argument, because a sender whose generator was seeded would give away
the message.
"""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from wnsp.ciphers.errors import CannotOpen, RecipientKeyUnusable, WrongSize
from wnsp.ciphers.keys import KEY_BYTES, Entropy, draw

SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
HPKE_OVERHEAD_BYTES = 48
"""32 bytes of encapsulated key in front, 16 of tag behind."""


def new_private_key(entropy: Entropy) -> bytes:
    """A fresh X25519 private key: 32 bytes."""
    return draw(entropy, KEY_BYTES)


def public_key_of(private_key: bytes) -> bytes:
    """The X25519 public key, 32 bytes. Raises `WrongSize`."""
    if len(private_key) != KEY_BYTES:
        raise WrongSize("X25519 private key", KEY_BYTES, len(private_key))
    return X25519PrivateKey.from_private_bytes(private_key).public_key().public_bytes_raw()


def hpke_seal(public_key: bytes, plaintext: bytes, info: bytes) -> bytes:
    """Encapsulated key, ciphertext and tag; only the holder of the private key opens it, with the same `info`.

    Raises `WrongSize`, `RecipientKeyUnusable`.
    """
    if len(public_key) != KEY_BYTES:
        raise WrongSize("X25519 public key", KEY_BYTES, len(public_key))
    try:
        return SUITE.encrypt(plaintext, X25519PublicKey.from_public_bytes(public_key), info)
    except ValueError:
        raise RecipientKeyUnusable(public_key) from None


def hpke_open(private_key: bytes, sealed: bytes, info: bytes) -> bytes:
    """Inverse of `hpke_seal`. Raises `CannotOpen`."""
    try:
        return SUITE.decrypt(sealed, X25519PrivateKey.from_private_bytes(private_key), info)
    except (InvalidTag, ValueError):
        raise CannotOpen from None
