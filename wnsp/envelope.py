"""The message envelope: who, to whom, when, after which messages, what; canonical, signed. Source: README, Envelopes.

The id is the hash of the bytes as carried, signature included, as with transactions. An envelope without sender and
signature is anonymous: its payload is sealed and names and proves the sender inside (`wnsp/ciphers`), or nobody does.
"""

from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from wnsp.encoding import Codec, Count, Hash32, Record, digest, tagged
from wnsp.errors import (
    EnvelopeVersionUnknown,
    ExpiryNotAfterCreation,
    ParentsNotSorted,
    RecipientMalformed,
    SenderAndSignatureDisagree,
    WrongNetwork,
    WrongSigner,
)
from wnsp.frame import Modulation
from wnsp.identity import (
    IDENTITY_HASH_BYTES,
    PUBLIC_KEY_BYTES,
    SIGNATURE_BYTES,
    Identity,
    identity_hash,
    verify,
)
from wnsp.spectrum import BAND_COUNT

ENVELOPE_VERSION: Final = 1
MAX_PARENTS: Final = 8
MAX_PRIORITY: Final = 3
"""0 low, 1 normal, 2 high, 3 critical: the ledger's numbers."""
MAX_ENVELOPE_PAYLOAD_BYTES: Final = 131_072
"""A sealed body of 64 KiB fits with room."""
MAX_ENVELOPE_BYTES: Final = MAX_ENVELOPE_PAYLOAD_BYTES + 1_024
"""All other fields have less than 500 bytes."""

BROADCAST: Final = b""
"""The recipient of what is for everybody."""
ANONYMOUS: Final = b""
"""The sender of what nobody signs on the outside."""

_SIGNING_TAG: Final = tagged("nexus/wnsp-envelope/v1")
_ID_TAG: Final = tagged("nexus/wnsp-envelope-id/v1")
_CONTEXT_TAG: Final = tagged("nexus/wnsp-envelope-context/v1")


class Envelope(Record, frozen=True):
    """What is signed. Fields in order of the encoding."""

    version: Annotated[int, msgspec.Meta(ge=0, le=255)]
    genesis: Hash32
    """Genesis hash of the network that the message belongs to."""
    sender: Annotated[bytes, msgspec.Meta(max_length=PUBLIC_KEY_BYTES)]
    """Ed25519 public key, or `ANONYMOUS`."""
    recipient: Annotated[bytes, msgspec.Meta(max_length=IDENTITY_HASH_BYTES)]
    """Identity hash, or `BROADCAST`."""
    created_slot: Count
    expiry_slot: Count
    """The last slot in which anybody keeps or delivers it."""
    region: Annotated[int, msgspec.Meta(ge=0, le=BAND_COUNT - 1)]
    """Spectral band, which also prices it on chain."""
    modulation: Annotated[int, msgspec.Meta(ge=0, le=len(Modulation) - 1)]
    scheme: Annotated[int, msgspec.Meta(ge=0, le=255)]
    """How the payload is sealed; 0 is not at all."""
    parents: Annotated[tuple[Hash32, ...], msgspec.Meta(max_length=MAX_PARENTS)]
    """Ids of the messages that it answers or follows, strictly ascending."""
    priority: Annotated[int, msgspec.Meta(ge=0, le=MAX_PRIORITY)]
    payload: Annotated[bytes, msgspec.Meta(max_length=MAX_ENVELOPE_PAYLOAD_BYTES)]


class SignedEnvelope(Record, frozen=True):
    """What is carried."""

    envelope: Envelope
    signature: Annotated[bytes, msgspec.Meta(max_length=SIGNATURE_BYTES)]
    """64 bytes by the sender's key, or none when anonymous."""


_ENVELOPE_CODEC: Final = Codec(Envelope, "message envelope", MAX_ENVELOPE_BYTES)
_SIGNED_CODEC: Final = Codec(SignedEnvelope, "signed message envelope", MAX_ENVELOPE_BYTES)


@dataclass(frozen=True, slots=True)
class OpenedEnvelope:
    """An envelope that keeps every rule and whose signature, if it names a sender, is right."""

    envelope: Envelope
    id: bytes
    """32 bytes."""
    raw: bytes
    """As carried."""

    @property
    def is_anonymous(self) -> bool:
        """Nobody signed on the outside."""
        return self.envelope.sender == ANONYMOUS

    @property
    def sender_hash(self) -> bytes | None:
        """The sender's identity hash; None when anonymous."""
        return None if self.is_anonymous else identity_hash(self.envelope.sender)

    @property
    def is_broadcast(self) -> bool:
        """For everybody."""
        return self.envelope.recipient == BROADCAST


def envelope_id(raw: bytes) -> bytes:
    """BLAKE2b-256 of the id tag and the bytes as carried: 32 bytes."""
    return digest(_ID_TAG, raw)


def envelope_context(envelope: Envelope) -> bytes:
    """32 bytes that stand for every field but the payload: what a cipher binds its sealed body to.

    Errors: as `sign_envelope`.
    """
    bare = msgspec.structs.replace(envelope, payload=b"")
    _require_fields(_ENVELOPE_CODEC.checked(bare))
    return digest(_CONTEXT_TAG, _ENVELOPE_CODEC.encode(bare))


def sign_envelope(envelope: Envelope, identity: Identity) -> bytes:
    """The bytes to carry. Errors: `WrongSigner`, `CodecError`s (bounds of fields), `EnvelopeError`s, `KeyRefused`."""
    _require_fields(_ENVELOPE_CODEC.checked(envelope))
    if envelope.sender != identity.public_key:
        raise WrongSigner(envelope.sender, identity.public_key)
    signature = identity.sign(_signing_preimage(envelope))
    return _SIGNED_CODEC.encode(SignedEnvelope(envelope, signature))


def anonymous_envelope(envelope: Envelope) -> bytes:
    """The bytes to carry of an envelope without sender. Errors: `SenderAndSignatureDisagree` and as `sign_envelope`."""
    _require_fields(_ENVELOPE_CODEC.checked(envelope))
    if envelope.sender != ANONYMOUS:
        raise SenderAndSignatureDisagree(len(envelope.sender), 0)
    return _SIGNED_CODEC.encode(SignedEnvelope(envelope, b""))


def open_envelope(raw: bytes, genesis: bytes | None = None) -> OpenedEnvelope:
    """The envelope that `raw` is, every rule checked, the signature last; of network `genesis` when that is given.

    Errors: `CodecError`s, `EnvelopeError`s, `KeyRefused`, `SignatureInvalid`; nothing else for any bytes.
    """
    signed = _SIGNED_CODEC.decode(raw)
    envelope = signed.envelope
    _require_fields(envelope)
    if genesis is not None and envelope.genesis != genesis:
        raise WrongNetwork(envelope.genesis, genesis)
    lengths = (len(envelope.sender), len(signed.signature))
    if lengths == (PUBLIC_KEY_BYTES, SIGNATURE_BYTES):
        verify(envelope.sender, _signing_preimage(envelope), signed.signature)
    elif lengths != (0, 0):
        raise SenderAndSignatureDisagree(*lengths)
    return OpenedEnvelope(envelope, envelope_id(raw), raw)


def _signing_preimage(envelope: Envelope) -> bytes:
    """Domain tag ‖ genesis hash ‖ canonical bytes: the one rule for everything signed."""
    return _SIGNING_TAG + envelope.genesis + _ENVELOPE_CODEC.encode(envelope)


def _require_fields(envelope: Envelope) -> None:
    """The rules that the codec's bounds cannot express. Errors: `EnvelopeError`s, `KeyRefused`."""
    if envelope.version != ENVELOPE_VERSION:
        raise EnvelopeVersionUnknown(envelope.version, ENVELOPE_VERSION)
    if len(envelope.recipient) not in (0, IDENTITY_HASH_BYTES):
        raise RecipientMalformed(len(envelope.recipient), IDENTITY_HASH_BYTES)
    if envelope.expiry_slot <= envelope.created_slot:
        raise ExpiryNotAfterCreation(envelope.expiry_slot, envelope.created_slot)
    for position in range(1, len(envelope.parents)):
        if envelope.parents[position - 1] >= envelope.parents[position]:
            raise ParentsNotSorted(position)
    if envelope.sender != ANONYMOUS:
        identity_hash(envelope.sender)
