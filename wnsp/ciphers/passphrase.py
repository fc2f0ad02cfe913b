"""Keys from passphrases: Argon2id, with bounds on what a stranger's header may make us compute, and a commitment.

Source: RFC 9106; wnsp/CRYPTOGRAPHY.md, Passphrases.
"""

import hmac
import unicodedata
from collections import OrderedDict
from dataclasses import dataclass

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from wnsp.ciphers.errors import (
    CannotOpen,
    KeyParametersOutOfBounds,
    NotText,
    PassphraseTooShort,
    WrongSize,
)
from wnsp.ciphers.keys import KEY_BYTES, Entropy, draw, hkdf_sha256

MIN_CHARACTERS = 8
SALT_BYTES = 16
COMMITMENT_BYTES = 32
COMMITMENT_INFO = b"nexus/wnsp/v2/commitment"

MEMORY_BOUNDS_KIB = (8 * 1024, 256 * 1024)
PASSES_BOUNDS = (1, 10)
LANES_BOUNDS = (1, 4)
DEFAULT_MEMORY_KIB = 64 * 1024
DEFAULT_PASSES = 3
DEFAULT_LANES = 1

CACHED_KEYS = 16
"""Conversations whose keys are kept; the one unused for longest goes."""


@dataclass(frozen=True, slots=True)
class PassphraseParameters:
    """How a passphrase becomes a key. Public: it is in every header."""

    salt: bytes
    memory_kib: int = DEFAULT_MEMORY_KIB
    passes: int = DEFAULT_PASSES
    lanes: int = DEFAULT_LANES


@dataclass(frozen=True, slots=True)
class PassphraseKey:
    """A derived key. Derived once for a conversation: the derivation is slow on purpose."""

    parameters: PassphraseParameters
    key: bytes
    commitment: bytes
    """Says which key sealed a message: ChaCha20-Poly1305 alone does not (a message can be made that two keys open)."""

    def __repr__(self) -> str:
        return f"PassphraseKey(parameters={self.parameters!r}, key=hidden)"


def check_parameters(parameters: PassphraseParameters) -> None:
    """Refuse what would cost too much or protect too little; takes microseconds.

    Raises `KeyParametersOutOfBounds`, `WrongSize`.
    """
    if len(parameters.salt) != SALT_BYTES:
        raise WrongSize("salt", SALT_BYTES, len(parameters.salt))
    for name, found, (least, most) in (
        ("memory in KiB", parameters.memory_kib, MEMORY_BOUNDS_KIB),
        ("number of passes", parameters.passes, PASSES_BOUNDS),
        ("number of lanes", parameters.lanes, LANES_BOUNDS),
    ):
        if not least <= found <= most:
            raise KeyParametersOutOfBounds(name, found, least, most)


def argon2id(
    password: bytes,
    salt: bytes,
    *,
    memory_kib: int,
    passes: int,
    lanes: int,
    length: int = KEY_BYTES,
    secret: bytes | None = None,
    associated: bytes | None = None,
) -> bytes:
    """Argon2id, version 0x13 (RFC 9106), without bounds of our own."""
    return Argon2id(
        salt=salt,
        length=length,
        iterations=passes,
        lanes=lanes,
        memory_cost=memory_kib,
        ad=associated,
        secret=secret,
    ).derive(password)


def passphrase_bytes(passphrase: str) -> bytes:
    """The passphrase as UTF-8 of its NFC form: the same however a keyboard composes its accents.

    Raises `PassphraseTooShort`, `NotText`.
    """
    composed = unicodedata.normalize("NFC", passphrase)
    if len(composed) < MIN_CHARACTERS:
        raise PassphraseTooShort(len(composed), MIN_CHARACTERS)
    try:
        return composed.encode("utf-8")
    except UnicodeEncodeError as error:
        raise NotText("passphrase", error.start) from None


def new_parameters(
    entropy: Entropy,
    memory_kib: int = DEFAULT_MEMORY_KIB,
    passes: int = DEFAULT_PASSES,
    lanes: int = DEFAULT_LANES,
) -> PassphraseParameters:
    """Parameters with a fresh salt. Raises `KeyParametersOutOfBounds`."""
    parameters = PassphraseParameters(draw(entropy, SALT_BYTES), memory_kib, passes, lanes)
    check_parameters(parameters)
    return parameters


def commitment_of(key: bytes, salt: bytes) -> bytes:
    """32 bytes that only this key gives."""
    return hkdf_sha256(key, salt, COMMITMENT_INFO, COMMITMENT_BYTES)


def derive_key(passphrase: str, parameters: PassphraseParameters) -> PassphraseKey:
    """The key of a passphrase: about half a second with the usual parameters.

    Raises `KeyParametersOutOfBounds`, `PassphraseTooShort`, `NotText`.
    """
    check_parameters(parameters)
    key = argon2id(
        passphrase_bytes(passphrase),
        parameters.salt,
        memory_kib=parameters.memory_kib,
        passes=parameters.passes,
        lanes=parameters.lanes,
    )
    return PassphraseKey(parameters, key, commitment_of(key, parameters.salt))


class PassphraseKeys:
    """The keys of one passphrase, each derived once and kept for its conversation (at most `CACHED_KEYS`)."""

    def __init__(self, passphrase: str) -> None:
        passphrase_bytes(passphrase)
        self._passphrase = passphrase
        self._keys: OrderedDict[PassphraseParameters, PassphraseKey] = OrderedDict()

    def key_for(self, parameters: PassphraseParameters, commitment: bytes | None = None) -> PassphraseKey:
        """The key for these parameters, checked against the commitment of a message where there is one.

        A key that the commitment does not fit is not kept: a stranger's messages cannot push out the keys in use.
        Raises `KeyParametersOutOfBounds`, `CannotOpen`.
        """
        key = self._keys.get(parameters)
        if key is None:
            key = derive_key(self._passphrase, parameters)
        if commitment is not None and not hmac.compare_digest(key.commitment, commitment):
            raise CannotOpen
        self._keys[parameters] = key
        self._keys.move_to_end(parameters)
        if len(self._keys) > CACHED_KEYS:
            self._keys.popitem(last=False)
        return key
