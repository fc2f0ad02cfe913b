"""The vetted parts, each behind one function: HKDF-SHA256, ChaCha20-Poly1305, and how a message's own key comes about.

Randomness comes in as a callable that gives so many bytes; whoever composes the program decides where they come from.
Sources: RFC 5869 (HKDF), RFC 8439 (AEAD).
"""

from collections.abc import Callable
from typing import TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from wnsp.ciphers.errors import CannotOpen, WrongSize

Entropy: TypeAlias = Callable[[int], bytes]
"""Gives as many unpredictable bytes as it is asked for (`os.urandom`; a seeded generator in simulations)."""

KEY_BYTES = 32
NONCE_BYTES = 24
TAG_BYTES = 16
MESSAGE_KEY_INFO = b"nexus/wnsp/v2/"


def draw(entropy: Entropy, size: int) -> bytes:
    """`size` fresh random bytes. Raises `WrongSize` when the source gives another number."""
    drawn = entropy(size)
    if len(drawn) != size:
        raise WrongSize("random bytes", size, len(drawn))
    return bytes(drawn)


def hkdf_sha256(key: bytes, salt: bytes, info: bytes, length: int = KEY_BYTES) -> bytes:
    """HKDF with SHA-256, extract and expand (RFC 5869)."""
    return HKDF(algorithm=SHA256(), length=length, salt=salt, info=info).derive(key)


def aead_seal(key: bytes, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
    """ChaCha20-Poly1305 (RFC 8439): ciphertext, then the tag. `nonce` is 12 bytes, never used twice with a key."""
    return ChaCha20Poly1305(key).encrypt(nonce, plaintext, associated)


def aead_open(key: bytes, nonce: bytes, sealed: bytes, associated: bytes) -> bytes:
    """Inverse of `aead_seal`. Raises `CannotOpen`."""
    try:
        return ChaCha20Poly1305(key).decrypt(nonce, sealed, associated)
    except InvalidTag:
        raise CannotOpen from None


def message_key(key: bytes, nonce: bytes, mode: str) -> tuple[bytes, bytes]:
    """(key, 12-byte nonce) of one message.

    A 24-byte random nonce from parts that take 12: the first 16 bytes are the salt of the key's derivation, the other
    8 are the cipher's nonce. Two messages share a pair only if all 24 bytes are equal.
    """
    if len(key) != KEY_BYTES:
        raise WrongSize("key", KEY_BYTES, len(key))
    derived = hkdf_sha256(key, nonce[:16], MESSAGE_KEY_INFO + mode.encode("ascii"))
    return derived, bytes(4) + nonce[16:]
