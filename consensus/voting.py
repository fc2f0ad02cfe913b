"""Whom to vote for: the period's leader. Reads a store, decides, signs nothing.

The six lanes of a period's first slot are ranked by their ties. Some slots before, each validator freezes what its own
best tip has (`freeze_bound`); some slots after, it votes for the checkpoint on the chain of the best-ranked leader
block that it has and that is not below the frozen bound. Blocks and votes that were kept back until then move neither,
which is what stops bouncing. Without such a block its own best tip stands in. Source: consensus.md, Finality.
"""

from dataclasses import dataclass

from consensus.errors import MissingRecord
from consensus.finality import BlockFinality
from consensus.params import Params
from consensus.stores import (
    Status,
    blocks_by_slot,
    index_on_chain,
    read_finality,
    read_ghostdag,
    read_head,
    read_header,
    read_status,
)
from consensus.votes import Checkpoint
from ledger.storage.store import Reader


@dataclass(frozen=True, slots=True, order=True)
class Bound:
    """What a validator's own best tip had when it froze it. A leader's block must not be below."""

    justified_period: int
    blue_work: int


@dataclass(frozen=True, slots=True)
class VoteChoice:
    """The link to vote for."""

    source: Checkpoint
    target: Checkpoint
    leader: bytes | None
    """The leader block whose chain it is, or None when the own tip stood in."""


def freeze_slot(params: Params, period: int) -> int:
    """The slot at whose begin the bound of `period` is frozen: `margin_slots` before the period."""
    return period * params.period_slots - params.margin_slots


def vote_slot(params: Params, period: int) -> int:
    """The slot at whose begin the vote for `period` is cast."""
    return period * params.period_slots + params.vote_offset_slots


def freeze_bound(reader: Reader) -> Bound:
    """The bound as the store's head gives it now. Errors: `MissingRecord` on an empty store."""
    head = read_head(reader)
    if head is None:
        raise MissingRecord("head", b"")
    return Bound(_view_justified(reader, head.id).period, head.blue_work)


def bound_of_past(reader: Reader, params: Params, period: int) -> Bound:
    """The bound that our own chain gives for a period whose freezing was missed, as after a restart."""
    head = read_head(reader)
    if head is None:
        raise MissingRecord("head", b"")
    block = _last_before(reader, head.id, freeze_slot(params, period))
    header = read_header(reader, block)
    if header is None:
        raise MissingRecord("headers", block)
    return Bound(_view_justified(reader, block).period, header.blue_work)


def choose_vote(
    reader: Reader, params: Params, period: int, bound: Bound, last_source: int
) -> VoteChoice | None:
    """The vote for `period`, or None when every candidate's source is of a period before `last_source`.

    `bound` was frozen at `freeze_slot`; `last_source` is the source period of the validator's last vote. Give a
    snapshot as `reader`. Errors: `MissingRecord` on an empty or damaged store.
    """
    head = read_head(reader)
    if head is None:
        raise MissingRecord("head", b"")
    finalised = _finality(reader, head.id).view.finalised
    first_slot = period * params.period_slots
    ranked = sorted(
        (
            (_finality(reader, entry.block_id).tie, entry.block_id)
            for entry in blocks_by_slot(reader, first_slot, first_slot)
        ),
        reverse=True,
    )
    for _, leader in ranked:
        if read_status(reader, leader) is Status.DISQUALIFIED or _strength(reader, leader) < bound:
            continue
        if not _contains(reader, leader, finalised.block_id):
            continue
        choice = _choice(reader, params, period, leader, leader, last_source)
        if choice is not None:
            return choice
    return _choice(reader, params, period, head.id, None, last_source)


def checkpoint_on_chain(reader: Reader, params: Params, block_id: bytes, period: int) -> bytes:
    """The checkpoint of `period` on the selected chain of a block: its last block of slot < 8 p − look-back."""
    return _last_before(reader, block_id, period * params.period_slots - params.look_back_slots)


def _choice(
    reader: Reader, params: Params, period: int, tip: bytes, leader: bytes | None, last_source: int
) -> VoteChoice | None:
    source = _view_justified(reader, tip)
    if source.period < last_source or source.period >= period:
        return None
    return VoteChoice(source, Checkpoint(period, checkpoint_on_chain(reader, params, tip, period)), leader)


def _strength(reader: Reader, leader: bytes) -> Bound:
    """Justified period in the block's view, blue work of its selected parent."""
    parent = _selected_parent(reader, leader)
    header = read_header(reader, parent)
    if header is None:
        raise MissingRecord("headers", parent)
    return Bound(_view_justified(reader, leader).period, header.blue_work)


def _contains(reader: Reader, tip: bytes, finalised: bytes) -> bool:
    """Whether `finalised`, which is on our own chain, is on the chain of `tip`."""
    block = tip
    while index_on_chain(reader, block) is None:
        block = _selected_parent(reader, block)
    here, there = index_on_chain(reader, block), index_on_chain(reader, finalised)
    return here is not None and there is not None and there <= here


def _last_before(reader: Reader, block_id: bytes, slot: int) -> bytes:
    """The last block of slot < `slot` on the selected chain of a block, itself included; genesis when there is none."""
    block = block_id
    while True:
        header = read_header(reader, block)
        if header is None:
            raise MissingRecord("headers", block)
        if header.slot < slot or not header.parents:
            return block
        block = _selected_parent(reader, block)


def _selected_parent(reader: Reader, block: bytes) -> bytes:
    data = read_ghostdag(reader, block)
    if data is None:
        raise MissingRecord("ghostdag data", block)
    return data.selected_parent


def _finality(reader: Reader, block: bytes) -> BlockFinality:
    found = read_finality(reader, block)
    if found is None:
        raise MissingRecord("finality", block)
    return found


def _view_justified(reader: Reader, block: bytes) -> Checkpoint:
    return _finality(reader, block).view.justified
