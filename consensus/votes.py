"""Finality votes: their records, encoding, ids, band digests and signatures.

A vote says: from the justified checkpoint `source` to the checkpoint `target`. Its validator signs the core together
with the digest of its band over that core, as proposers do with headers, so a break of one hash family forges nothing.
Byte table and worked example: README, Votes. Source: consensus.md, Finality.
"""

from typing import Annotated, Final

import msgspec

from consensus.errors import BandUnknown
from consensus.vote_errors import VoteSignatureInvalid
from ledger.encoding import Codec, Count, Hash32, Record, Signature64
from ledger.errors import SignatureInvalid
from ledger.hashing import digest, signing_preimage, tagged
from ledger.keys import KeyPair, verify
from wnsp.spectrum import BAND_COUNT, BANDS

MAX_VOTE_BYTES = 512
MAX_BLOCK_VOTES = 128
"""Votes that one block carries: 1,000 validators need 21 a block, six lanes and eight slots a period."""

_VOTE_TAG = tagged("nexus/vote/v1")
_VOTE_ID_TAG = tagged("nexus/vote-id/v1")
_VOTES_ROOT_TAG = tagged("nexus/votes-root/v1")

_INDEX = msgspec.Meta(ge=0, le=2**32 - 1)
_BAND = msgspec.Meta(ge=0, lt=BAND_COUNT)


class Checkpoint(Record, frozen=True):
    """The last block of a chain before a period, less the look-back. Genesis is the checkpoint of period 0."""

    period: Count
    block_id: Hash32


class VoteCore(Record, frozen=True):
    """What a vote says, without its signature. The field order is the encoding."""

    validator: Annotated[int, _INDEX]
    band: Annotated[int, _BAND]
    """The band that the validator was dealt in the epoch of the target's period."""
    source: Checkpoint
    target: Checkpoint


class Vote(Record, frozen=True):
    """A signed vote, as it is sent."""

    validator: Annotated[int, _INDEX]
    band: Annotated[int, _BAND]
    source: Checkpoint
    target: Checkpoint
    signature: Signature64


Votes = Annotated[tuple[Vote, ...], msgspec.Meta(max_length=MAX_BLOCK_VOTES)]
"""Of one block: ascending by (target period, validator), one of each."""

_core_codec = Codec(VoteCore, "vote core", MAX_VOTE_BYTES)
VOTE_CODEC: Final = Codec(Vote, "vote", MAX_VOTE_BYTES)
VOTES_CODEC: Final[Codec[tuple[Vote, ...]]] = Codec(Votes, "votes", MAX_BLOCK_VOTES * MAX_VOTE_BYTES)


def vote_core(vote: Vote) -> VoteCore:
    """The signed part of `vote`."""
    return VoteCore(vote.validator, vote.band, vote.source, vote.target)


def encode_vote_core(core: VoteCore) -> bytes:
    """Canonical bytes of a core: what band digests are taken of."""
    return _core_codec.encode(core)


def vote_preimage(core: VoteCore, chain: bytes) -> bytes:
    """What the validator signs. `chain` is the genesis hash. Errors: `BandUnknown`."""
    if core.band >= BAND_COUNT:
        raise BandUnknown(core.band, BAND_COUNT)
    raw = encode_vote_core(core)
    return signing_preimage(_VOTE_TAG, chain, raw + BANDS[core.band].digest(raw))


def sign_vote(core: VoteCore, key: KeyPair, chain: bytes) -> Vote:
    """The vote of `core`, signed for the chain of genesis hash `chain`. Errors: `CodecError`, `BandUnknown`."""
    _core_codec.checked(core)
    return Vote(core.validator, core.band, core.source, core.target, key.sign(vote_preimage(core, chain)))


def verify_vote_signature(vote: Vote, public_key: bytes, chain: bytes) -> None:
    """The signature is by `public_key`, over the vote on the chain of genesis hash `chain`.

    Errors: `VoteSignatureInvalid`.
    """
    try:
        verify(public_key, vote_preimage(vote_core(vote), chain), vote.signature)
    except SignatureInvalid:
        raise VoteSignatureInvalid(vote.validator, vote.target.period) from None


def encode_vote(vote: Vote) -> bytes:
    """Canonical bytes of a vote. Errors: `CodecError`."""
    return VOTE_CODEC.encode(vote)


def decode_vote(raw: bytes) -> Vote:
    """The vote in `raw`, in shape but not validated. Errors: `CodecError` only."""
    return VOTE_CODEC.decode(raw)


def vote_id(vote: Vote) -> bytes:
    """32 bytes over the whole vote."""
    return digest(_VOTE_ID_TAG, encode_vote(vote))


def votes_root(votes: tuple[Vote, ...]) -> bytes:
    """What a header says of the votes that travel with it, 32 bytes. They are always sent whole, so it is one hash."""
    return digest(_VOTES_ROOT_TAG, VOTES_CODEC.encode(votes))


NO_VOTES_ROOT: Final = votes_root(())
"""Of a block that carries none."""
