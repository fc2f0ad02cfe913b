"""Canonical MessagePack of fixed-depth records, by the rules of `ledger/README.md`, Encoding.

A record is a `msgspec.Struct` of bounded fields, encoded as the array of its fields in order. One spelling per value:
`decode` re-encodes and compares. No maps, floats, ext types, or nesting beyond the record's own. The packages stand
beside each other and import nothing of one another; a test compares this codec with the ledger's.

Errors: `Oversized`, `Malformed`, `NotCanonical`, `NotEncodable`, all of family `CodecError`.
"""

from hashlib import blake2b
from typing import Annotated, Final, Generic, TypeVar

import msgspec

from wnsp.errors import Malformed, NotCanonical, NotEncodable, Oversized

MAX_INTEGER: Final = 2**63 - 1
"""Greatest integer on the wire, so that no reader in any language needs more than a signed 64-bit type."""

DIGEST_BYTES: Final = 32
"""Length of ids."""

Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_INTEGER)]
"""A non-negative integer: slots, sequences."""

Hash32 = Annotated[bytes, msgspec.Meta(min_length=DIGEST_BYTES, max_length=DIGEST_BYTES)]
"""A 32-byte digest, id or public key."""

Signature64 = Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]
"""An Ed25519 signature."""

Hash20 = Annotated[bytes, msgspec.Meta(min_length=20, max_length=20)]
"""An identity hash."""


class Record(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True, gc=False):
    """Base of everything that is encoded: an array of its fields in order, nothing optional."""


T = TypeVar("T")

_encoder = msgspec.msgpack.Encoder()


class Codec(Generic[T]):
    """Encoder and strict decoder of one type, with its greatest size."""

    def __init__(self, record_type: type[T], what: str, max_bytes: int) -> None:
        """`what` names the type in errors; `max_bytes` bounds the encoding both ways."""
        self.what = what
        self.max_bytes = max_bytes
        self._decoder = msgspec.msgpack.Decoder(record_type)

    def encode(self, value: T) -> bytes:
        """Canonical bytes. Errors: `NotEncodable`, `Oversized`. Does not check field bounds: `checked` does."""
        try:
            raw = _encoder.encode(value)
        except (OverflowError, TypeError, ValueError, RecursionError) as error:
            raise NotEncodable(self.what, str(error)) from None
        if len(raw) > self.max_bytes:
            raise Oversized(self.what, len(raw), self.max_bytes)
        return raw

    def decode(self, raw: bytes) -> T:
        """The value. Errors: `Oversized`, `Malformed`, `NotCanonical`; nothing else leaves here."""
        if len(raw) > self.max_bytes:
            raise Oversized(self.what, len(raw), self.max_bytes)
        try:
            value = self._decoder.decode(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise Malformed(self.what, str(error)) from None
        try:
            again = _encoder.encode(value)
        except (OverflowError, TypeError, ValueError, RecursionError) as error:
            raise Malformed(self.what, str(error)) from None
        if again != raw:
            raise NotCanonical(self.what)
        return value

    def checked(self, value: T) -> T:
        """`value` after a round trip, so that every bound of its fields holds. Errors as `encode` and `decode`."""
        return self.decode(self.encode(value))


def tagged(domain: str) -> bytes:
    """The tag's bytes: one length byte, then `domain` in ASCII (`nexus/<type>/v1`, at most 255 bytes)."""
    raw = domain.encode("ascii")
    return bytes([len(raw)]) + raw


def digest(tag: bytes, *parts: bytes) -> bytes:
    """BLAKE2b-256 (RFC 7693) of `tag` (from `tagged`) and the concatenated parts: 32 bytes."""
    hasher = blake2b(tag, digest_size=DIGEST_BYTES)
    for part in parts:
        hasher.update(part)
    return hasher.digest()
