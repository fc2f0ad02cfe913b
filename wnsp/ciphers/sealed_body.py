"""One sealed body under all four modes: sealing and opening with a shared key or with a passphrase.

Whatever stops a message from opening, the caller meets `CannotOpen`; `examine` says more to the holder of the key.
`context` is what a message belongs to (an envelope's header, a chain's genesis): it is authenticated, not sent.
Source: wnsp/CRYPTOGRAPHY.md, Sealing.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from wnsp.ciphers.carriers import demodulate, modulate
from wnsp.ciphers.errors import CannotOpen, CipherError, HeaderMalformed, PlaintextTooLong
from wnsp.ciphers.header import MAX_BODY_BYTES, PASSPHRASE, SHARED_KEY, Header, decode_header, encode_header
from wnsp.ciphers.keys import (
    NONCE_BYTES,
    TAG_BYTES,
    Entropy,
    aead_open,
    aead_seal,
    draw,
    message_key,
)
from wnsp.ciphers.passphrase import PassphraseKey, PassphraseKeys
from wnsp.ciphers.photons import PhotonFrames


@dataclass(frozen=True, slots=True)
class WaveMessage:
    """A header and the photon frames that carry the sealed body."""

    header: bytes
    frames: PhotonFrames


def encode_message(message: WaveMessage) -> bytes:
    """The message for a link that carries bytes: the header, then the sealed body that the frames carry.

    Raises what `demodulate` and `decode_header` raise: a message whose frames do not fit its header has no bytes.
    """
    header = whole_header(message.header)
    body = demodulate(header.carrier, message.header, header.body_length, message.frames)
    return message.header + body


def decode_message(data: bytes) -> WaveMessage:
    """Inverse of `encode_message`, with the frames modulated again. Raises `HeaderMalformed`."""
    header, end = decode_header(data)
    if len(data) - end != header.body_length:
        raise HeaderMalformed("body length", header.body_length, len(data) - end)
    return WaveMessage(data[:end], modulate(header.carrier, data[:end], data[end:]))


def whole_header(raw: bytes) -> Header:
    """The header that `raw` is, with nothing behind it. Raises `HeaderMalformed`."""
    header, end = decode_header(raw)
    if end != len(raw):
        raise HeaderMalformed("length", end, len(raw))
    return header


def seal(
    key: bytes,
    plaintext: bytes,
    mode: str,
    entropy: Entropy,
    *,
    expiry: int | None = None,
    recipient: bytes | None = None,
    sender_hint: bytes | None = None,
    context: bytes = b"",
) -> WaveMessage:
    """Seal with 32 bytes that both sides have. Raises `PlaintextTooLong`, `ModeUnknown`, `WrongSize`."""
    header = Header(mode, draw(entropy, NONCE_BYTES), 0, expiry, recipient, sender_hint)
    return _seal(key, header, plaintext, context)


def open_sealed(key: bytes, message: WaveMessage, *, context: bytes = b"") -> bytes:
    """The plaintext of a message sealed by `seal`. Raises `CannotOpen`."""
    return _opened(message, SHARED_KEY, lambda header: key, context)


def seal_with_passphrase(
    key: PassphraseKey,
    plaintext: bytes,
    mode: str,
    entropy: Entropy,
    *,
    expiry: int | None = None,
    recipient: bytes | None = None,
    sender_hint: bytes | None = None,
    context: bytes = b"",
) -> WaveMessage:
    """Seal with a key derived from a passphrase; its parameters and commitment go into the header.

    Raises `PlaintextTooLong`, `ModeUnknown`, `WrongSize`.
    """
    nonce = draw(entropy, NONCE_BYTES)
    header = Header(mode, nonce, 0, expiry, recipient, sender_hint, key.parameters, key.commitment)
    return _seal(key.key, header, plaintext, context)


def open_with_passphrase(keys: PassphraseKeys, message: WaveMessage, *, context: bytes = b"") -> bytes:
    """The plaintext of a message sealed by `seal_with_passphrase`.

    Derives the key when this is the first message with its parameters. Raises `CannotOpen`.
    """

    def key_of(header: Header) -> bytes:
        if header.passphrase is None:
            raise CannotOpen
        return keys.key_for(header.passphrase, header.commitment).key

    return _opened(message, PASSPHRASE, key_of, context)


def _seal(key: bytes, header: Header, plaintext: bytes, context: bytes) -> WaveMessage:
    body_length = len(plaintext) + TAG_BYTES
    if body_length > MAX_BODY_BYTES:
        raise PlaintextTooLong(len(plaintext), MAX_BODY_BYTES - TAG_BYTES)
    raw = encode_header(replace(header, body_length=body_length))
    derived, nonce = message_key(key, header.nonce, header.mode)
    body = aead_seal(derived, nonce, plaintext, raw + context)
    return WaveMessage(raw, modulate(header.carrier, raw, body))


def _opened(
    message: WaveMessage, protection: int, key_of: Callable[[Header], bytes], context: bytes
) -> bytes:
    try:
        header = whole_header(message.header)
        if header.protection != protection:
            raise CannotOpen
        body = demodulate(header.carrier, message.header, header.body_length, message.frames)
        derived, nonce = message_key(key_of(header), header.nonce, header.mode)
        return aead_open(derived, nonce, body, message.header + context)
    except CipherError:
        raise CannotOpen from None
