"""What a header must fulfil: alone (`in_isolation`, any thread, no store) and against its parents (`in_context`).

Validators raise and return nothing; a rule each is a class of `consensus.errors`. The list with reasons: README,
Validity.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from consensus.blocks import HEADER_VERSION, Header, block_preimage, core_id, core_of, encode_core
from consensus.errors import (
    BandDigestWrong,
    BandUnknown,
    BlockSignatureInvalid,
    BlueScoreWrong,
    BlueWorkWrong,
    LaneEmpty,
    MergesetTooLarge,
    ParentCountInvalid,
    ParentsNotAntichain,
    ParentsNotSorted,
    ProofMismatch,
    RevealWrong,
    SlotInFuture,
    SlotNotAfterParent,
    SlotReserved,
    UnknownHeaderVersion,
    ValidatorUnknown,
    WrongProposer,
)
from consensus.merge_depth import AncestorQueries, validate_merge_depth, validate_merge_floor
from consensus.params import Params
from consensus.schedule import EpochSchedule, Validator
from ledger.errors import SignatureInvalid
from ledger.keys import verify
from ledger.onion import NO_REVEAL, peel_matches
from wnsp.spectrum import BAND_COUNT, BANDS

REVEALS_KEPT = 4_096
"""Reveals remembered as right: of four epochs of 1,000 validators."""


class KnownKeys(Protocol):
    """What is read of `consensus.schedule.Schedule` in isolation."""

    def keys_of(self, index: int) -> tuple[bytes, ...]:
        """Consensus keys that may stand behind a validator index."""
        ...

    def knows_keys_of_slot(self, slot: int) -> bool:
        """Whether all keys that may sign at `slot` are known."""
        ...


class KnownReveals:
    """Reveals that were found right, so that a validator's epoch costs its hashes once. One thread at a time."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, int], bytes] = {}

    def matches(self, reveal: bytes, steps: int, tip: bytes) -> bool:
        """As `ledger.onion.peel_matches`."""
        known = self._known.get((tip, steps))
        if known is not None:
            return (
                known == reveal
            )  # another value that leads to the same tip would be a collision of the hash
        if not peel_matches(reveal, steps, tip):
            return False
        if len(self._known) >= REVEALS_KEPT:
            self._known.clear()
        self._known[tip, steps] = reveal
        return True


class Colouring(Protocol):
    """What is read of `consensus.ghostdag.GhostdagData`."""

    @property
    def blue_score(self) -> int:
        """Blue blocks in the past."""
        ...

    @property
    def blue_work(self) -> int:
        """Their weights."""
        ...

    @property
    def selected_parent(self) -> bytes:
        """The greatest parent by ORDER."""
        ...

    @property
    def mergeset(self) -> Sequence[bytes]:
        """The selected parent, then all that is merged, in order."""
        ...

    @property
    def mergeset_blues(self) -> Sequence[bytes]:
        """Merged blues, the selected parent first."""
        ...

    @property
    def mergeset_reds(self) -> Sequence[bytes]:
        """Merged reds."""
        ...


@dataclass(frozen=True, slots=True)
class HeaderContext:
    """What a header is judged against besides its colouring. All of it follows from its past."""

    params: Params
    epoch_schedule: EpochSchedule
    """Of the epoch of the header's slot, read from the anchor of the selected parent's view."""
    parents: Sequence[Header]
    """Headers of its parents, aligned with `header.parents`."""
    reachability: AncestorQueries
    merge_root: bytes
    """Of its selected parent: `merge_depth.MergeRoots.root`."""
    merge_floor: bytes
    """Of its selected parent: `merge_depth.MergeRoots.floor`."""
    signer_key: bytes
    """The key that the header's signature was verified with (`validate_header_in_isolation`)."""
    reveals: KnownReveals


def validate_header_in_isolation(header: Header, params: Params, keys: KnownKeys, now_slot: int) -> bytes:
    """All rules that need no other block. The last one is time, so that only signed headers are kept for later.

    `keys` are those that may stand behind an index; whether the proposer is the scheduled one, and signs with this key
    in this epoch, is for `validate_header_in_context`. Safe in any thread. Returns the key that verified.

    Errors: `UnknownHeaderVersion`, `ParentCountInvalid`, `ParentsNotSorted`, `BandUnknown`, `SlotReserved`,
    `BandDigestWrong`, `BlockSignatureInvalid`, all `InvalidBlock`; `ValidatorUnknown` and `SlotInFuture`, which are
    not.
    """
    if header.version != HEADER_VERSION:
        raise UnknownHeaderVersion(header.version, HEADER_VERSION)
    if not 1 <= len(header.parents) <= params.max_parents:
        raise ParentCountInvalid(len(header.parents), params.max_parents)
    for position in range(1, len(header.parents)):
        if header.parents[position - 1] >= header.parents[position]:
            raise ParentsNotSorted(position)
    if header.band >= BAND_COUNT:
        raise BandUnknown(header.band, BAND_COUNT)
    if header.slot < 1:
        raise SlotReserved(header.slot)
    signer_key = validate_header_proofs(header, params.genesis_hash, keys)
    if header.slot > now_slot + params.max_future_slots:
        raise SlotInFuture(header.slot, now_slot, params.max_future_slots)
    return signer_key


def validate_header_proofs(header: Header, chain: bytes, keys: KnownKeys) -> bytes:
    """Band digest and signature bind the core to its band, its proposer's key and the chain (the genesis hash).

    Returns the proposer's key that verified. Without one, the header is at fault only if all keys of its epoch are
    known. Errors: `ValidatorUnknown`, `BandDigestWrong`, `BlockSignatureInvalid`.
    """
    known = keys.keys_of(header.proposer)
    if not known:
        raise ValidatorUnknown(header.proposer, header.slot)
    core_bytes = encode_core(core_of(header))
    band = BANDS[header.band]
    expected = band.digest(core_bytes)
    if header.band_digest != expected:
        raise BandDigestWrong(band.name, header.band_digest, expected)
    preimage = block_preimage(chain, core_id(core_bytes), header.band_digest)
    for key in reversed(known):
        try:
            verify(key, preimage, header.signature)
        except SignatureInvalid:
            continue
        return key
    if keys.knows_keys_of_slot(header.slot):
        raise BlockSignatureInvalid(header.proposer)
    raise ValidatorUnknown(header.proposer, header.slot)


def validate_parents_in_context(
    header: Header, parents: Sequence[Header], reachability: AncestorQueries
) -> None:
    """The parents are older than the block, and none is an ancestor of another. Needs no colouring.

    `parents` are the headers of `header.parents`, aligned. Errors: `SlotNotAfterParent`, `ParentsNotAntichain`.
    """
    for parent_id, parent in zip(header.parents, parents, strict=True):
        if header.slot <= parent.slot:
            raise SlotNotAfterParent(header.slot, parent.slot, parent_id)
    # Slots rise along every edge, so only a parent of a smaller slot can be an ancestor of another.
    by_slot = sorted(zip(parents, header.parents, strict=True), key=lambda pair: pair[0].slot)
    for at, (younger, younger_id) in enumerate(by_slot):
        for older, older_id in by_slot[:at]:
            if older.slot < younger.slot and reachability.is_ancestor(older_id, younger_id):
                raise ParentsNotAntichain(older_id, younger_id)


def scheduled_proposer(schedule: EpochSchedule, slot: int, band: int, proposer: int) -> Validator:
    """The validator whose lane it is, which is `proposer`. Errors: `LaneEmpty`, `WrongProposer`."""
    scheduled = schedule.proposer(slot, band)
    if scheduled is None:
        raise LaneEmpty(slot, band)
    found = schedule.validators.find(scheduled)
    if found is None or proposer != scheduled:
        raise WrongProposer(slot, band, proposer, scheduled)
    return found


def validate_reveal(reveal: bytes, proposer: Validator, epoch: int, reveals: KnownReveals) -> None:
    """The reveal is the proposer's onion layer of `epoch`, or none when the onion does not reach so far.

    Errors: `RevealWrong`.
    """
    steps = epoch - proposer.onion_epoch
    if proposer.reveals_in(epoch):
        is_right = reveals.matches(reveal, steps, proposer.onion_tip)
    else:
        is_right = reveal == NO_REVEAL
    if not is_right:
        raise RevealWrong(proposer.index, epoch, steps, proposer.onion_layers)


def validate_header_in_context(header: Header, data: Colouring, context: HeaderContext) -> None:
    """All rules that need the block's past: its lane, its parents, its colouring.

    Errors: `LaneEmpty`, `WrongProposer`, `RevealWrong`, `SlotNotAfterParent`, `ParentsNotAntichain`,
    `MergesetTooLarge`, `BlueScoreWrong`, `BlueWorkWrong`, `MergeTooDeep`, `MergeBelowFloor`, all `InvalidBlock`;
    `ProofMismatch`, which says nothing about the block id.
    """
    proposer = scheduled_proposer(context.epoch_schedule, header.slot, header.band, header.proposer)
    if proposer.consensus_key != context.signer_key:
        raise ProofMismatch(header.proposer, context.signer_key, proposer.consensus_key)
    validate_reveal(header.reveal, proposer, context.epoch_schedule.epoch, context.reveals)
    validate_parents_in_context(header, context.parents, context.reachability)
    # The selected parent stands among the blues and is not part of the merge set (consensus.md, GHOSTDAG 2).
    merged = len(data.mergeset_blues) - 1 + len(data.mergeset_reds)
    if merged > context.params.mergeset_limit:
        raise MergesetTooLarge(merged, context.params.mergeset_limit)
    if header.blue_score != data.blue_score:
        raise BlueScoreWrong(header.blue_score, data.blue_score)
    if header.blue_work != data.blue_work:
        raise BlueWorkWrong(header.blue_work, data.blue_work)
    validate_merge_depth(data.mergeset_blues, data.mergeset_reds, context.merge_root, context.reachability)
    validate_merge_floor(data.mergeset[1:], context.merge_floor, context.reachability)
