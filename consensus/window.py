"""The window: what a store that begins at a finalised checkpoint holds of the blocks below it.

It is past(C) with C, less past(P), for a checkpoint's block C and the base P that follows from it
(`Retention.lowest_base`): the same on every node, with the same records, all of which are functions of a block's past.
Pages are read in the order in which the chain merged the blocks, which is topological. README, Fast sync.
"""

from typing import Annotated, Final

import msgspec

from consensus.blocks import encode_block
from consensus.errors import MissingRecord
from consensus.ghostdag import GHOSTDAG_PREFIX
from consensus.light_client import FinalityProof
from consensus.params import MAX_BLOCK_BYTES
from consensus.stores import (
    EPOCHS_PREFIX,
    FINALITY_PREFIX,
    Base,
    chain_index,
    index_on_chain,
    read_block,
    read_finality,
    read_ghostdag,
)
from consensus.votes import Checkpoint
from ledger.encoding import Codec, Count, Hash32, Record
from ledger.storage.store import Reader

MAX_PAGE_BYTES = 1024 * 1024
"""The largest reply of the network."""

PAGE_BYTES = 768 * 1024
"""A page ends before it would have more, unless its first block alone has."""

_ROOM_BYTES = 64
_MAX_RECORD_BYTES = 64 * 1024
MAX_PAGE_BLOCKS = 4_096


class WindowBlock(Record, frozen=True):
    """One block with what follows from its past."""

    block: Annotated[bytes, msgspec.Meta(max_length=MAX_BLOCK_BYTES)]
    """`encode_block`."""
    colouring: Annotated[bytes, msgspec.Meta(max_length=_MAX_RECORD_BYTES)]
    """`GhostdagData` as it is stored."""
    finality: Annotated[bytes, msgspec.Meta(max_length=_MAX_RECORD_BYTES)]
    """`BlockFinality` as it is stored."""


class WindowPage(Record, frozen=True):
    """Consecutive blocks of the window."""

    blocks: Annotated[tuple[WindowBlock, ...], msgspec.Meta(max_length=MAX_PAGE_BLOCKS)]
    next_index: Count
    """Where the next page begins: chain index and place in that block's merge set; 0 and 0 after the last."""
    next_offset: Count


class TransitionSnapshot(Record, frozen=True):
    """The snapshot that a transition block wrote."""

    transition: Hash32
    snapshot: Annotated[bytes, msgspec.Meta(max_length=512 * 1024)]


class SnapshotManifest(Record, frozen=True):
    """What a node offers to newcomers."""

    finality: FinalityProof
    """Why the checkpoint is final, and its state root."""
    chain_index: Count
    """Of the checkpoint's block."""
    entry_count: Count
    """Of the state: the level of its chunks follows from it."""
    base: Base
    blocks: Count
    """Of the window."""
    snapshots: Annotated[tuple[TransitionSnapshot, ...], msgspec.Meta(max_length=64)]
    """Of all transition blocks that records of the window name, in order of slots."""

    @property
    def checkpoint(self) -> Checkpoint:
        """The finalised checkpoint."""
        return self.finality.justifying.target


PAGE_CODEC: Final = Codec(WindowPage, "window page", MAX_PAGE_BYTES)
MANIFEST_CODEC: Final = Codec(SnapshotManifest, "snapshot manifest", MAX_PAGE_BYTES)


def describe_window(
    reader: Reader, finality: FinalityProof, base: Base, entry_count: int
) -> SnapshotManifest | None:
    """The manifest for the checkpoint of `finality`; None when a snapshot that it needs is gone.

    Errors: `MissingRecord`, when a block of the window was pruned meanwhile.
    """
    top = _chain_index_of(reader, finality.justifying.target.block_id)
    transitions: dict[bytes, None] = {}
    blocks = 1
    for index in range(base.chain_index, top + 1):
        block = _chain_block(reader, index)
        record = read_finality(reader, block)
        if record is None:
            raise MissingRecord("finality", block)
        transitions[record.transition] = None
        if index > base.chain_index:
            blocks += len(_mergeset(reader, index))
    snapshots = []
    for transition in transitions:
        raw = reader.get(EPOCHS_PREFIX + transition)
        if raw is None:
            return None
        snapshots.append(TransitionSnapshot(transition, raw))
    return SnapshotManifest(finality, top, entry_count, base, blocks, tuple(snapshots))


def read_window(reader: Reader, base: Base, top: int, index: int, offset: int) -> WindowPage:
    """A page of the window from `base` to the chain block of index `top`, from a place in it on; 0, 0 for the begin.

    Errors: `MissingRecord`, when a block of it was pruned meanwhile.
    """
    index, offset = (index, offset) if index else (base.chain_index + 1, 0)
    found: list[WindowBlock] = []
    room = PAGE_BYTES
    while index <= top + 1:
        members = _mergeset(reader, index) if index <= top else (_chain_block(reader, top),)
        for place in range(offset, len(members)):
            one = _window_block(reader, members[place])
            room -= len(one.block) + len(one.colouring) + len(one.finality) + _ROOM_BYTES
            if found and (room < 0 or len(found) == MAX_PAGE_BLOCKS):
                return WindowPage(tuple(found), index, place)
            found.append(one)
        index, offset = index + 1, 0
    return WindowPage(tuple(found), 0, 0)


def _window_block(reader: Reader, block_id: bytes) -> WindowBlock:
    block = read_block(reader, block_id)
    colouring = reader.get(GHOSTDAG_PREFIX + block_id)
    finality = reader.get(FINALITY_PREFIX + block_id)
    if block is None or colouring is None or finality is None:
        raise MissingRecord("headers", block_id)
    return WindowBlock(encode_block(block), colouring, finality)


def _mergeset(reader: Reader, index: int) -> tuple[bytes, ...]:
    data = read_ghostdag(reader, _chain_block(reader, index))
    if data is None:
        raise MissingRecord("ghostdag data", index.to_bytes(8, "big"))
    return data.mergeset


def _chain_block(reader: Reader, index: int) -> bytes:
    block = chain_index(reader, index)
    if block is None:
        raise MissingRecord("selected chain", index.to_bytes(8, "big"))
    return block


def _chain_index_of(reader: Reader, block: bytes) -> int:
    index = index_on_chain(reader, block)
    if index is None:
        raise MissingRecord("selected chain", block)
    return index
