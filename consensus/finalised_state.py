"""The state as of a finalised checkpoint: values and proofs of keys while the store's own state runs ahead of it.

The state on disk is that of the sink. What lies between is in the undo records of the chain blocks above the
checkpoint: their old values lead down from the sink, their new values lead up as finality moves. So a second state
tree stands at the checkpoint; it is built once and then costs as much as the blocks change. For threads that read
only: everything goes through a snapshot of the store, and the writer never waits. README, Finalised state.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from consensus.blocks import Header
from consensus.stores import Head, chain_index, index_on_chain, read_head, read_header
from consensus.votes import Checkpoint
from ledger.state_commitment import StateProof, StateTree
from ledger.storage.errors import StoreCorrupted
from ledger.storage.state_store import LedgerStore, UndoEntry
from ledger.storage.store import Reader

BULK_KEYS = 4_096
"""From so many keys on a bulk build of the tree pays."""


class UndoRecordsGone(Exception):
    """The way from one checkpoint to another is pruned: build the state anew from the sink."""

    def __init__(self, index: int) -> None:
        super().__init__(f"the chain block of index {index} has no undo record any more")
        self.index = index


@dataclass(frozen=True, slots=True)
class ProvedValue:
    """A state key as of the checkpoint."""

    key: bytes
    value: bytes | None
    proof: StateProof


class FinalisedState:
    """A state tree at a checkpoint of the selected chain. One thread at a time; give it snapshots, not the store."""

    def __init__(self, checkpoint: Checkpoint, index: int, header: Header, tree: StateTree) -> None:
        """For `build_finalised_state`."""
        self.checkpoint = checkpoint
        self.header = header
        """Of the checkpoint's block."""
        self.tree = tree
        """Of that state; read only."""
        self._index = index

    def __len__(self) -> int:
        """Keys present."""
        return len(self.tree)

    @property
    def index(self) -> int:
        """Chain index of the checkpoint's block."""
        return self._index

    def advance(self, reader: Reader, checkpoint: Checkpoint) -> None:
        """Move up to a later checkpoint of the selected chain.

        Errors: `UndoRecordsGone`, after which nothing has changed; `StoreCorrupted`.
        """
        index, header = _on_chain(reader, checkpoint)
        changes: dict[bytes, bytes | None] = {}
        for number in range(self._index + 1, index + 1):
            for key, _, new in _undo(reader, number):
                changes[key] = new
        pending = self.tree.prepare(changes)
        if pending.root != header.state_root:
            raise _wrong_root(pending.root, header, checkpoint)
        self.tree.commit(pending)
        self.checkpoint, self._index, self.header = checkpoint, index, header

    def prove(self, reader: Reader, keys: Sequence[bytes]) -> tuple[ProvedValue, ...]:
        """The values of `keys` as of the checkpoint, each with its proof under the header's state root.

        Errors: `UndoRecordsGone`; `ProofTooLarge`; `StoreCorrupted`.
        """
        wanted = dict.fromkeys(keys)
        found: dict[bytes, bytes | None] = {}
        for number in range(self._index + 1, _head(reader).chain_index + 1):
            for key, old, _ in _undo(reader, number):
                if key in wanted and key not in found:
                    found[key] = old
        ledger = LedgerStore(reader)
        return tuple(
            ProvedValue(key, found[key] if key in found else ledger.get(key), self.tree.prove(key))
            for key in keys
        )

    def entries(self, reader: Reader) -> Iterator[tuple[bytes, bytes]]:
        """All (state key, value) of the checkpoint, in no particular order. Errors as `prove`."""
        return entries_at(reader, self._index)


def build_finalised_state(reader: Reader, checkpoint: Checkpoint) -> FinalisedState:
    """The state at a checkpoint of the selected chain, which costs a pass over the whole state.

    Errors: `UndoRecordsGone`; `StoreCorrupted`.
    """
    index, header = _on_chain(reader, checkpoint)
    tree = _tree_of(entries_at(reader, index))
    if tree.root != header.state_root:
        raise _wrong_root(tree.root, header, checkpoint)
    return FinalisedState(checkpoint, index, header, tree)


def entries_at(reader: Reader, index: int) -> Iterator[tuple[bytes, bytes]]:
    """All (state key, value) of the state after the chain block of `index`. Errors as `FinalisedState.prove`."""
    before: dict[bytes, bytes | None] = {}
    for number in range(_head(reader).chain_index, index, -1):
        for key, old, _ in _undo(reader, number):
            before[key] = old
    for key, value in LedgerStore(reader).state():
        if key not in before:
            yield key, value
    for key, old in before.items():
        if old is not None:
            yield key, old


def lowest_index_with_undo(reader: Reader, index: int, floor: int) -> int:
    """The lowest chain index, `floor` at least, that can be reached from `index` down by undo records."""
    ledger = LedgerStore(reader)
    while index > floor:
        block = chain_index(reader, index)
        if block is None or ledger.undo(block) is None:
            break
        index -= 1
    return index


def _tree_of(entries: Iterator[tuple[bytes, bytes]]) -> StateTree:
    few: dict[bytes, bytes | None] = {}
    for key, value in entries:
        few[key] = value
        if len(few) > BULK_KEYS:
            break
    else:
        tree = StateTree()
        tree.commit(tree.prepare(few))
        return tree
    return StateTree.build(_both(few, entries))


def _both(
    first: dict[bytes, bytes | None], rest: Iterator[tuple[bytes, bytes]]
) -> Iterator[tuple[bytes, bytes]]:
    for key, value in first.items():
        if value is not None:
            yield key, value
    yield from rest


def _on_chain(reader: Reader, checkpoint: Checkpoint) -> tuple[int, Header]:
    index = index_on_chain(reader, checkpoint.block_id)
    header = read_header(reader, checkpoint.block_id)
    if index is None or header is None:
        raise StoreCorrupted(
            "the node's database", f"finalised block {checkpoint.block_id.hex()} is not on the selected chain"
        )
    return index, header


def _head(reader: Reader) -> Head:
    head = read_head(reader)
    if head is None:
        raise StoreCorrupted("the node's database", "there is no head")
    return head


def _undo(reader: Reader, index: int) -> tuple[UndoEntry, ...]:
    block = chain_index(reader, index)
    entries = None if block is None else LedgerStore(reader).undo(block)
    if entries is None:
        raise UndoRecordsGone(index)
    return entries


def _wrong_root(root: bytes, header: Header, checkpoint: Checkpoint) -> StoreCorrupted:
    return StoreCorrupted(
        "the node's database",
        f"the state of finalised block {checkpoint.block_id.hex()} has root {root.hex()}, its header commits to "
        f"{header.state_root.hex()}",
    )
