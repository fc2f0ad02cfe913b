"""What node and remote signer say to each other: records, their kinds, and frames. Byte tables: ../README.md.

    frame = length u32 big-endian, of all that follows ‖ kind, one byte ‖ canonical record

A request has a frame, a reply has a frame, one after the other. The first request is a `Hello`.
"""

from typing import Annotated, Any, Final

import msgspec

from consensus.blocks import Header, HeaderCore
from consensus.params import MAX_HEADER_BYTES
from consensus.votes import MAX_VOTE_BYTES, VOTE_CODEC, Vote, VoteCore
from ledger.encoding import Codec, Count, Hash32, Record
from ledger.errors import Malformed, Oversized
from node.keystore import MAX_KEYS

SIGNER_VERSION: Final = 1
REQUEST_DEADLINE_S: Final = 2.0
"""From the first byte of a request to the last of its reply."""
LENGTH_BYTES: Final = 4
MAX_REFUSAL_CHARACTERS: Final = 1_024


class Hello(Record, frozen=True):
    """Who asks: `Keys` or a refusal answers."""

    version: Count
    genesis_hash: Hash32


class HeldKey(Record, frozen=True):
    """A key that the signer holds, and what it signed last; zeros where it signed nothing."""

    public_key: Hash32
    slot: Count
    source_period: Count
    target_period: Count


class Keys(Record, frozen=True):
    """What the signer holds, by public key."""

    version: Count
    genesis_hash: Hash32
    keys: Annotated[tuple[HeldKey, ...], msgspec.Meta(max_length=MAX_KEYS)]


class SignBlock(Record, frozen=True):
    """Sign this header: a `Header` answers."""

    public_key: Hash32
    core: HeaderCore


class SignVote(Record, frozen=True):
    """Sign this vote: a `Vote` answers."""

    public_key: Hash32
    core: VoteCore


class Reveal(Record, frozen=True):
    """Peel this onion: `Revealed` answers."""

    public_key: Hash32
    generation: Count
    layers: Count


class Revealed(Record, frozen=True):
    """The layer."""

    layer: Hash32


class Refused(Record, frozen=True):
    """Why not."""

    symbol: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    """Name of the error's class."""
    message: Annotated[str, msgspec.Meta(max_length=MAX_REFUSAL_CHARACTERS)]
    last: Count
    """The last slot (source, target) where the refusal is about one, else 0."""


Message = Hello | Keys | SignBlock | SignVote | Reveal | Header | Vote | Revealed | Refused

CODECS: Final[dict[int, Codec[Any]]] = {
    1: Codec(Hello, "signer's hello", 64),
    2: Codec(SignBlock, "block to sign", MAX_HEADER_BYTES + 64),
    3: Codec(SignVote, "vote to sign", MAX_VOTE_BYTES + 64),
    4: Codec(Reveal, "onion to peel", 64),
    65: Codec(Keys, "signer's keys", 64 * (MAX_KEYS + 1)),
    66: Codec(Header, "signed header", MAX_HEADER_BYTES),
    67: VOTE_CODEC,
    68: Codec(Revealed, "onion layer", 64),
    255: Codec(Refused, "signer's refusal", 4 * MAX_REFUSAL_CHARACTERS + 128),
}
"""By kind; a request's is below 64, its reply's 64 more."""

_KINDS: Final = {
    Hello: 1,
    SignBlock: 2,
    SignVote: 3,
    Reveal: 4,
    Keys: 65,
    Header: 66,
    Vote: 67,
    Revealed: 68,
    Refused: 255,
}

MAX_REQUEST_BYTES: Final = 1 + max(codec.max_bytes for kind, codec in CODECS.items() if kind < 64)
MAX_REPLY_BYTES: Final = 1 + max(codec.max_bytes for kind, codec in CODECS.items() if kind >= 64)
"""Of a frame without its length."""


def encode_frame(message: Message) -> bytes:
    """The whole frame. Errors: `CodecError`."""
    kind = _KINDS[type(message)]
    content = bytes([kind]) + CODECS[kind].encode(message)
    return len(content).to_bytes(LENGTH_BYTES, "big") + content


def content_length(prefix: bytes, limit: int) -> int:
    """How many bytes follow the four of `prefix`. Errors: `Oversized`, `Malformed` for none at all."""
    length = int.from_bytes(prefix, "big")
    if length > limit:
        raise Oversized("signer's frame", length, limit)
    if length == 0:
        raise Malformed("signer's frame", "it is empty")
    return length


def decode_content(content: bytes) -> Message:
    """The message in a frame's kind and record. Errors: `CodecError`."""
    codec = CODECS.get(content[0])
    if codec is None:
        raise Malformed("signer's frame", f"kind {content[0]} is none")
    message: Message = codec.decode(content[1:])
    return message
