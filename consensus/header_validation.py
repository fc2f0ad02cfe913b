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
    SlotInFuture,
    SlotNotAfterParent,
    SlotReserved,
    UnknownHeaderVersion,
    ValidatorUnknown,
    WrongProposer,
)
from consensus.merge_depth import AncestorQueries, validate_merge_depth
from consensus.params import Params
from consensus.schedule import EpochSchedule, ValidatorSet
from ledger.errors import SignatureInvalid
from ledger.keys import verify
from wnsp.spectrum import BAND_COUNT, BANDS


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


def validate_header_in_isolation(
    header: Header, params: Params, validators: ValidatorSet, now_slot: int
) -> None:
    """All rules that need no other block. The last one is time, so that only signed headers are kept for later.

    `validators` are those whose keys may stand behind an index; whether the proposer is the scheduled one is for
    `validate_header_in_context`. Safe in any thread.

    Errors: `UnknownHeaderVersion`, `ParentCountInvalid`, `ParentsNotSorted`, `BandUnknown`, `SlotReserved`,
    `ValidatorUnknown`, `BandDigestWrong`, `BlockSignatureInvalid`, all `InvalidBlock`; `SlotInFuture`, which is not.
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
    validate_header_proofs(header, params.genesis_hash, validators)
    if header.slot > now_slot + params.max_future_slots:
        raise SlotInFuture(header.slot, now_slot, params.max_future_slots)


def validate_header_proofs(header: Header, chain: bytes, validators: ValidatorSet) -> None:
    """Band digest and signature bind the core to its band, its proposer's key and the chain (the genesis hash).

    Errors: `ValidatorUnknown`, `BandDigestWrong`, `BlockSignatureInvalid`.
    """
    proposer = validators.find(header.proposer)
    if proposer is None:
        raise ValidatorUnknown(header.proposer, len(validators.validators))
    core_bytes = encode_core(core_of(header))
    band = BANDS[header.band]
    expected = band.digest(core_bytes)
    if header.band_digest != expected:
        raise BandDigestWrong(band.name, header.band_digest, expected)
    preimage = block_preimage(chain, core_id(core_bytes), header.band_digest)
    try:
        verify(proposer.consensus_key, preimage, header.signature)
    except SignatureInvalid:
        raise BlockSignatureInvalid(header.proposer) from None


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


def validate_header_in_context(header: Header, data: Colouring, context: HeaderContext) -> None:
    """All rules that need the block's past: its lane, its parents, its colouring.

    Errors: `LaneEmpty`, `WrongProposer`, `SlotNotAfterParent`, `ParentsNotAntichain`, `MergesetTooLarge`,
    `BlueScoreWrong`, `BlueWorkWrong`, `MergeTooDeep`, all `InvalidBlock`.
    """
    scheduled = context.epoch_schedule.proposer(header.slot, header.band)
    if scheduled is None:
        raise LaneEmpty(header.slot, header.band)
    if header.proposer != scheduled:
        raise WrongProposer(header.slot, header.band, header.proposer, scheduled)
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
