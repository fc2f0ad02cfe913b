"""Headers and blocks: their records, encoding, ids, band digests and signatures.

A header's *core* is everything but its band digest and signature. The block id is BLAKE2b-256 of the core; the
proposer signs the id together with the band's own digest of the core, so a forger must make both hash families
collide at once. Byte tables and a worked example: README, Blocks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec

from consensus.body_tree import body_root
from consensus.errors import BandUnknown, UnknownHeaderVersion
from consensus.params import MAX_BLOCK_BYTES, MAX_HEADER_BYTES, MAX_PARENTS
from consensus.votes import Vote, Votes, votes_root
from ledger.encoding import Codec, Count, Hash32, Record, Signature64
from ledger.genesis import Genesis, genesis_hash
from ledger.hashing import DIGEST_BYTES, digest, signing_preimage, tagged
from ledger.keys import KeyPair
from ledger.transactions import MAX_TRANSACTION_BYTES
from wnsp.spectrum import BAND_COUNT, BANDS, MAX_DIGEST_BYTES

HEADER_VERSION = 2
"""Version 2 added votes and reveals."""

MAX_TRANSACTIONS = 4096
"""More of the least size do not fit into a block anyway; the decoder refuses before it allocates."""

SIGNATURE_BYTES = 64

_BLOCK_ID_TAG = tagged("nexus/block-id/v1")
_BLOCK_TAG = tagged("nexus/block/v1")

_TRIPLE = b"\x93"
_FIXED_ARRAY_EMPTY, _FIXED_ARRAY_LAST = 0x90, 0x9F
_FIXED_INTEGER_LAST = 0x7F
"""MessagePack's one-byte spellings of short arrays and small integers."""

_MAX_DIGEST = msgspec.Meta(min_length=DIGEST_BYTES, max_length=MAX_DIGEST_BYTES)
_MAX_INDEX = msgspec.Meta(ge=0, le=2**32 - 1)

Parents = Annotated[tuple[Hash32, ...], msgspec.Meta(max_length=MAX_PARENTS)]
"""Ids in ascending order of their bytes, distinct."""


class HeaderCore(Record, frozen=True):
    """What a block says, without its proofs. The field order is the encoding."""

    version: Count
    parents: Parents
    slot: Count
    band: Count
    proposer: Annotated[int, _MAX_INDEX]
    """Index of the validator that made the block."""
    blue_score: Count
    """Number of blue blocks in the past."""
    blue_work: Count
    """Their summed weights."""
    state_root: Hash32
    """Commitment to the state of the block's past: its selected parent's state with its merge set executed."""
    receipts_root: Hash32
    """Commitment to the receipts of that merge set."""
    body_root: Hash32
    """Merkle root over the block's own transactions."""
    votes_root: Hash32
    """Hash of the finality votes that travel with the header."""
    reveal: Hash32
    """The proposer's onion layer of the slot's epoch; zeros in genesis."""


class Header(Record, frozen=True):
    """A core with the proofs of its proposer, as it is sent."""

    version: Count
    parents: Parents
    slot: Count
    band: Count
    proposer: Annotated[int, _MAX_INDEX]
    blue_score: Count
    blue_work: Count
    state_root: Hash32
    receipts_root: Hash32
    body_root: Hash32
    votes_root: Hash32
    reveal: Hash32
    band_digest: Annotated[bytes, _MAX_DIGEST]
    """The band's own hash of the core: 32 or 64 bytes."""
    signature: Signature64


RawTransaction = Annotated[bytes, msgspec.Meta(min_length=1, max_length=MAX_TRANSACTION_BYTES)]


class BlockRecord(Record, frozen=True):
    """A block as it is sent: header, votes and body."""

    header: Header
    votes: Votes
    transactions: Annotated[tuple[RawTransaction, ...], msgspec.Meta(max_length=MAX_TRANSACTIONS)]


@dataclass(frozen=True, slots=True)
class Block:
    """A header with its id, its votes, and its transactions, still as bytes."""

    header: Header
    header_id: bytes
    """The block id, 32 bytes: `header_id(header)`."""
    votes: tuple[Vote, ...]
    transactions: tuple[bytes, ...]


_core_codec = Codec(HeaderCore, "header core", MAX_HEADER_BYTES)
_header_codec = Codec(Header, "header", MAX_HEADER_BYTES)
_block_codec = Codec(BlockRecord, "block", MAX_BLOCK_BYTES)


def core_of(header: Header) -> HeaderCore:
    """The signed part of `header`."""
    return HeaderCore(
        header.version,
        header.parents,
        header.slot,
        header.band,
        header.proposer,
        header.blue_score,
        header.blue_work,
        header.state_root,
        header.receipts_root,
        header.body_root,
        header.votes_root,
        header.reveal,
    )


def encode_core(core: HeaderCore) -> bytes:
    """Canonical bytes of a core: what ids and band digests are taken of."""
    return _core_codec.encode(core)


def header_id(header: Header) -> bytes:
    """The block id, 32 bytes. It does not depend on band digest and signature: they prove it."""
    return core_id(encode_core(core_of(header)))


def core_id(core_bytes: bytes) -> bytes:
    """The block id of encoded core bytes."""
    return digest(_BLOCK_ID_TAG, core_bytes)


def block_preimage(chain: bytes, block_id: bytes, band_digest: bytes) -> bytes:
    """What the proposer signs. `chain` is the genesis hash."""
    return signing_preimage(_BLOCK_TAG, chain, block_id + band_digest)


def sign_header(core: HeaderCore, key: KeyPair, chain: bytes) -> Header:
    """The header of `core`, signed for the chain of genesis hash `chain`.

    Errors: `CodecError` on a field out of bounds, `BandUnknown`.
    """
    if core.band >= BAND_COUNT:
        raise BandUnknown(core.band, BAND_COUNT)
    core_bytes = encode_core(_core_codec.checked(core))
    band_digest = BANDS[core.band].digest(core_bytes)
    signature = key.sign(block_preimage(chain, core_id(core_bytes), band_digest))
    return _with_proofs(core, band_digest, signature)


def sign_block(
    core: HeaderCore, votes: Sequence[Vote], transactions: Sequence[bytes], key: KeyPair, chain: bytes
) -> Block:
    """A block of `core`, `votes` and `transactions`, whose roots the core holds already. Errors as `sign_header`."""
    return with_body(sign_header(core, key, chain), votes, transactions)


def with_body(header: Header, votes: Sequence[Vote], transactions: Sequence[bytes]) -> Block:
    """A block of a signed header and what belongs to it; nothing is checked."""
    return Block(header, header_id(header), tuple(votes), tuple(transactions))


def genesis_block(genesis: Genesis, state_root: bytes) -> Block:
    """The block that everybody has: slot 0, no parents, no proposer, unsigned.

    Nothing was executed before it, so its `receipts_root` holds the genesis hash instead; its id is therefore bound
    to every field of the document, keys and clock too.
    """
    core = HeaderCore(
        version=HEADER_VERSION,
        parents=(),
        slot=0,
        band=0,
        proposer=0,
        blue_score=0,
        blue_work=0,
        state_root=state_root,
        receipts_root=genesis_hash(genesis),
        body_root=body_root(()),
        votes_root=votes_root(()),
        reveal=bytes(DIGEST_BYTES),
    )
    header = _with_proofs(core, BANDS[0].digest(encode_core(core)), bytes(SIGNATURE_BYTES))
    return with_body(header, (), ())


def encode_header(header: Header) -> bytes:
    """Canonical bytes of a header. Errors: `CodecError`."""
    return _header_codec.encode(header)


def decode_header(raw: bytes) -> Header:
    """The header in `raw`, in shape but not validated. Errors: `CodecError` only (`UnknownHeaderVersion` is one)."""
    _check_version(raw, 0)
    return _header_codec.decode(raw)


def encode_block(block: Block) -> bytes:
    """Canonical bytes of a block. Errors: `CodecError`, on more than MAX_BLOCK_BYTES among others."""
    return _block_codec.encode(BlockRecord(block.header, block.votes, block.transactions))


def decode_block(raw: bytes) -> Block:
    """The block in `raw`, in shape but not validated; transactions stay bytes. Errors: `CodecError` only."""
    if raw[:1] == _TRIPLE:
        _check_version(raw, 1)
    record = _block_codec.decode(raw)
    return with_body(record.header, record.votes, record.transactions)


def _check_version(raw: bytes, at: int) -> None:
    """Name a version that we don't know, although its shape is unknown too. The codec judges whatever is no header."""
    if len(raw) < at + 2 or not _FIXED_ARRAY_EMPTY < raw[at] <= _FIXED_ARRAY_LAST:
        return
    version = raw[at + 1]
    if version <= _FIXED_INTEGER_LAST and version != HEADER_VERSION:
        raise UnknownHeaderVersion(version, HEADER_VERSION)


def _with_proofs(core: HeaderCore, band_digest: bytes, signature: bytes) -> Header:
    return Header(
        core.version,
        core.parents,
        core.slot,
        core.band,
        core.proposer,
        core.blue_score,
        core.blue_work,
        core.state_root,
        core.receipts_root,
        core.body_root,
        core.votes_root,
        core.reveal,
        band_digest,
        signature,
    )
