"""Messages to a recipient's prekey, with the sender's name and signature inside.

Relays see the recipient, a prekey's id and one of four sizes (more for long messages); not who writes. They see when.
Source: wnsp/CRYPTOGRAPHY.md, Sealed sender.
"""

from dataclasses import dataclass
from hashlib import blake2b

from wnsp.ciphers.carriers import carrier_named, demodulate, modulate
from wnsp.ciphers.errors import CannotOpen, CipherError, PlaintextTooLong
from wnsp.ciphers.header import MAX_BODY_BYTES, Header, encode_header
from wnsp.ciphers.keys import NONCE_BYTES, Entropy, draw
from wnsp.ciphers.prekeys import PrekeyRing, SignedPrekey, check_age, find_prekey, prekey_id
from wnsp.ciphers.recipients import HPKE_OVERHEAD_BYTES, hpke_open, hpke_seal
from wnsp.ciphers.sealed_body import WaveMessage, whole_header
from wnsp.errors import KeyRefused, SignatureInvalid
from wnsp.identity import Identity, identity_hash, verify

INFO_DOMAIN = b"nexus/wnsp/v2/hpke|"
SIGNATURE_DOMAIN = b"nexus/wnsp/v2/sealed-sender|"

PADDED_SIZES = (256, 1_024, 4_096, 16_384)
"""What the inside is filled up to; longer ones to a multiple of the last."""

ANONYMOUS, SIGNED = 0, 1
INSIDE_BYTES = 1 + 4 + 32 + 64
"""Kind, payload length, sender's key, signature: in front of the payload."""


@dataclass(frozen=True, slots=True)
class OpenedMessage:
    """What the recipient has in hands."""

    payload: bytes
    sender_key: bytes | None
    """The sender's Ed25519 key, whose signature was checked; None: nobody signed, show it as anonymous."""


def padded_size(size: int) -> int:
    """What `size` bytes inside are filled up to."""
    for padded in PADDED_SIZES:
        if size <= padded:
            return padded
    return -(-size // PADDED_SIZES[-1]) * PADDED_SIZES[-1]


def seal_to(
    prekey: SignedPrekey,
    payload: bytes,
    mode: str,
    now_ms: int,
    entropy: Entropy,
    *,
    sender: Identity | None,
    expiry: int | None = None,
    context: bytes = b"",
) -> WaveMessage:
    """Seal to a prekey that `read_prekey` gave; without a sender the message is anonymous.

    Raises `PrekeyStale`, `PlaintextTooLong`, `ModeUnknown`, `RecipientKeyUnusable`.
    """
    check_age(prekey, now_ms)
    padded = padded_size(INSIDE_BYTES + len(payload))
    if padded + HPKE_OVERHEAD_BYTES > MAX_BODY_BYTES:
        raise PlaintextTooLong(len(payload), LONGEST_PAYLOAD)
    header = Header(
        mode=mode,
        nonce=draw(entropy, NONCE_BYTES),
        body_length=padded + HPKE_OVERHEAD_BYTES,
        expiry=expiry,
        recipient=identity_hash(prekey.identity_key),
        prekey_id=prekey_id(prekey.public_key),
    )
    raw = encode_header(header)
    inside = bytes((ANONYMOUS,)) + len(payload).to_bytes(4, "big") + bytes(96)
    if sender is not None:
        signature = sender.sign(_signed_bytes(prekey.identity_key, prekey.public_key, raw, context, payload))
        inside = bytes((SIGNED,)) + len(payload).to_bytes(4, "big") + sender.public_key + signature
    body = hpke_seal(prekey.public_key, (inside + payload).ljust(padded, b"\0"), _info(mode, raw, context))
    return WaveMessage(raw, modulate(carrier_named(mode), raw, body))


def open_from(
    ring: PrekeyRing, identity_key: bytes, message: WaveMessage, *, context: bytes = b""
) -> OpenedMessage:
    """Open a message to one of our prekeys. `identity_key` is our own Ed25519 key. Raises `CannotOpen`."""
    try:
        return _open(ring, identity_key, message, context)
    except (CipherError, SignatureInvalid, KeyRefused):
        raise CannotOpen from None


def _open(ring: PrekeyRing, identity_key: bytes, message: WaveMessage, context: bytes) -> OpenedMessage:
    header = whole_header(message.header)
    if header.prekey_id is None or header.recipient != identity_hash(identity_key):
        raise CannotOpen
    prekey = find_prekey(ring, header.prekey_id)
    if prekey is None:
        raise CannotOpen
    body = demodulate(header.carrier, message.header, header.body_length, message.frames)
    inside = hpke_open(prekey.private_key, body, _info(header.mode, message.header, context))
    if len(inside) < INSIDE_BYTES:
        raise CannotOpen
    kind = inside[0]
    end = INSIDE_BYTES + int.from_bytes(inside[1:5], "big")
    sender_key, signature, payload = inside[5:37], inside[37:101], inside[101:end]
    if len(inside) != padded_size(end) or any(inside[end:]):
        raise CannotOpen
    if kind == ANONYMOUS and not any(inside[5:101]):
        return OpenedMessage(payload, None)
    if kind != SIGNED:
        raise CannotOpen
    signed = _signed_bytes(identity_key, prekey.public_key, message.header, context, payload)
    verify(sender_key, signed, signature)
    return OpenedMessage(payload, sender_key)


def _info(mode: str, header: bytes, context: bytes) -> bytes:
    """What the key of a message depends on, so that no bit of header or context can change (they are no AAD)."""
    return INFO_DOMAIN + mode.encode("ascii") + b"|" + header + context


def _signed_bytes(
    recipient_key: bytes, prekey: bytes, header: bytes, context: bytes, payload: bytes
) -> bytes:
    """What the sender signs: this payload to this recipient, under this prekey, header and context."""
    digests = (blake2b(part, digest_size=32).digest() for part in (header, context, payload))
    return SIGNATURE_DOMAIN + recipient_key + prekey + b"".join(digests)


LONGEST_PAYLOAD = (MAX_BODY_BYTES - HPKE_OVERHEAD_BYTES) // PADDED_SIZES[-1] * PADDED_SIZES[-1] - INSIDE_BYTES
"""Bytes of payload that fit into one message."""
