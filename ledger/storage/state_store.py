"""What the ledger keeps in the node's one database: state, receipts, undo records, transaction index.

Nothing here writes. `stage_*` add to a `WriteBatch` that the caller commits with everything else of one chain advance;
they read through the batch first, so a whole reorganisation (undo, undo, accept, accept) fits into one batch. Keys:

    s <state key>            value of the state at the sink
    r <block id>             receipts of an accepting chain block, as encoded by `ledger.execution`
    u <block id>             undo record of that block: old and new value of every key that it changed
    x <transaction id>       where the transaction was charged (applied or failed) on the selected chain
    x <transaction id> s     where it was first skipped on the selected chain

A transaction is charged at most once on one chain, because its nonce is used up then; so the first of the two index
entries needs no reading before writing, and undo removes exactly what its block made.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeVar

from ledger.encoding import Codec, Count, Hash32, Record
from ledger.errors import CodecError
from ledger.execution import RECEIPTS_CODEC, SKIPPED, Outcome, Receipt
from ledger.state import StateReader
from ledger.storage.errors import StoreCorrupted
from ledger.storage.store import Reader, WriteBatch

T = TypeVar("T")

STATE_PREFIX = b"s"
RECEIPTS_PREFIX = b"r"
UNDO_PREFIX = b"u"
INDEX_PREFIX = b"x"
_SKIPPED_SUFFIX = b"s"

MAX_UNDO_BYTES = 256 * 1024 * 1024

UndoEntry = tuple[bytes, bytes | None, bytes | None]
"""(state key, old value, new value); None for absent."""

UNDO_CODEC: Final[Codec[tuple[UndoEntry, ...]]] = Codec(tuple[UndoEntry, ...], "undo record", MAX_UNDO_BYTES)


class TransactionLocation(Record, frozen=True):
    """Where the selected chain took up a transaction."""

    accepting_block: Hash32
    """The chain block whose merge set holds the carrier."""
    index: Count
    """Place in the accepting block's receipts."""
    carrier: Hash32
    """The block whose body holds the transaction."""


LOCATION_CODEC: Final = Codec(TransactionLocation, "transaction location", 128)


class StagedState:
    """The state as it will be once a batch is written: a `StateReader` over the batch and what lies below."""

    __slots__ = ("_below", "_writes")

    def __init__(self, below: StateReader, batch: WriteBatch) -> None:
        """`below` is the state on disk: a `LedgerStore` or a `StateCache` over one."""
        self._below = below
        self._writes = batch.writes

    def get(self, key: bytes) -> bytes | None:
        """The value at a state key, or None."""
        stored = STATE_PREFIX + key
        if stored in self._writes:
            return self._writes[stored]
        return self._below.get(key)


class LedgerStore:
    """The ledger's part of a store or of a snapshot of it. Holds nothing itself; any thread may read."""

    __slots__ = ("_reader", "_where")

    def __init__(self, reader: Reader, where: str = "the node's database") -> None:
        """`where` names the store in `StoreCorrupted`."""
        self._reader = reader
        self._where = where

    # reading ------------------------------------------------------------------------------------------------------

    def get(self, key: bytes) -> bytes | None:
        """The value at a state key at the sink, or None."""
        return self._reader.get(STATE_PREFIX + key)

    def state(self, prefix: bytes = b"", *, after: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """All (state key, value) whose key begins with `prefix`, in key order; from the first above `after` on."""
        start = None if after is None else STATE_PREFIX + after + b"\x00"
        for key, value in self._reader.iterate(STATE_PREFIX + prefix, start=start):
            yield key[1:], value

    def receipts(self, block_id: bytes) -> tuple[Receipt, ...] | None:
        """Receipts of a block that was executed as chain block, or None; it may have left the chain since.

        Errors: `StoreCorrupted`.
        """
        raw = self._reader.get(RECEIPTS_PREFIX + block_id)
        return None if raw is None else self._decoded(RECEIPTS_CODEC, raw)

    def undo(self, block_id: bytes) -> tuple[UndoEntry, ...] | None:
        """Old and new values of the keys that a chain block changed, or None once pruned. Errors: `StoreCorrupted`."""
        raw = self._reader.get(UNDO_PREFIX + block_id)
        return None if raw is None else self._decoded(UNDO_CODEC, raw)

    def transaction(self, transaction_id: bytes) -> tuple[TransactionLocation, Receipt] | None:
        """Where the selected chain charged the transaction, else where it first skipped it, else None.

        Errors: `StoreCorrupted`.
        """
        raw = self._index_entry(transaction_id)
        while raw is not None:
            location = self._decoded(LOCATION_CODEC, raw)
            receipts = self.receipts(location.accepting_block)
            if receipts is not None and location.index < len(receipts):
                return location, receipts[location.index]
            # Both go in one batch when they are pruned, which may have been written between the two reads.
            again = self._index_entry(transaction_id)
            if again == raw:
                raise StoreCorrupted(
                    self._where, f"index names receipt {location.index} of a block that has none there"
                )
            raw = again
        return None

    def _index_entry(self, transaction_id: bytes) -> bytes | None:
        raw = self._reader.get(_charged_key(transaction_id))
        return self._reader.get(_skipped_key(transaction_id)) if raw is None else raw

    def index_entries(self, block_id: bytes, receipts: Sequence[Receipt]) -> list[tuple[bytes, bytes]]:
        """(store key, value) of the index entries that point to these receipts of a block. Errors: `StoreCorrupted`."""
        found = []
        for receipt in receipts:
            for key in (_charged_key(receipt.transaction_id), _skipped_key(receipt.transaction_id)):
                raw = self._reader.get(key)
                if raw is not None and self._decoded(LOCATION_CODEC, raw).accepting_block == block_id:
                    found.append((key, raw))
        return found

    def staged(self, batch: WriteBatch) -> StagedState:
        """The state with `batch` applied, to execute the next chain block upon. Later writes to the batch show."""
        return StagedState(self, batch)

    # staging ------------------------------------------------------------------------------------------------------

    def stage_genesis(self, batch: WriteBatch, state: Mapping[bytes, bytes]) -> None:
        """Put the state at genesis."""
        for key, value in state.items():
            batch.put(STATE_PREFIX + key, value)

    def stage_accept(self, batch: WriteBatch, block_id: bytes, outcome: Outcome) -> None:
        """Put what executing chain block `block_id` on the present (staged) sink gave."""
        previous = outcome.previous
        entries = tuple((key, previous[key], value) for key, value in outcome.changes.items())
        writes = batch.writes
        for key, value in outcome.changes.items():
            writes[STATE_PREFIX + key] = value
        writes[UNDO_PREFIX + block_id] = UNDO_CODEC.encode(entries)
        writes[RECEIPTS_PREFIX + block_id] = outcome.receipts_encoded
        self._stage_index(batch, block_id, outcome.receipts)

    def stage_undo(self, batch: WriteBatch, block_id: bytes) -> dict[bytes, bytes | None]:
        """Take back chain block `block_id`, which must be the (staged) sink. Its receipts and undo record stay.

        Returns the state keys restored with their old values (None: removed), for the state tree. Errors:
        `StoreCorrupted` when its records are missing or damaged.
        """
        restored: dict[bytes, bytes | None] = {}
        for key, old, _ in self._required(batch, UNDO_PREFIX, block_id, UNDO_CODEC):
            batch.writes[STATE_PREFIX + key] = old
            restored[key] = old
        for receipt in self._required(batch, RECEIPTS_PREFIX, block_id, RECEIPTS_CODEC):
            if receipt.status != SKIPPED:
                batch.delete(_charged_key(receipt.transaction_id))
                continue
            key = _skipped_key(receipt.transaction_id)
            raw = self._through(batch, key)
            if raw is not None and self._decoded(LOCATION_CODEC, raw).accepting_block == block_id:
                batch.delete(key)
        return restored

    def stage_redo(self, batch: WriteBatch, block_id: bytes) -> dict[bytes, bytes | None]:
        """Apply again a chain block that was undone, on the same (staged) sink, without executing it.

        Returns the state keys with their new values. Errors: `StoreCorrupted`.
        """
        restored: dict[bytes, bytes | None] = {}
        for key, _, new in self._required(batch, UNDO_PREFIX, block_id, UNDO_CODEC):
            batch.writes[STATE_PREFIX + key] = new
            restored[key] = new
        self._stage_index(batch, block_id, self._required(batch, RECEIPTS_PREFIX, block_id, RECEIPTS_CODEC))
        return restored

    def stage_prune_undo(self, batch: WriteBatch, block_id: bytes) -> None:
        """Drop the undo record of a final block, or of one that can never be on the chain again."""
        batch.delete(UNDO_PREFIX + block_id)

    def stage_prune_side_receipts(self, batch: WriteBatch, block_id: bytes) -> None:
        """Drop the receipts of a block that left the chain for good: no index entry points to them."""
        batch.delete(RECEIPTS_PREFIX + block_id)

    def stage_prune_receipts(
        self, batch: WriteBatch, block_id: bytes, *, first: int = 0, limit: int | None = None
    ) -> int | None:
        """Drop the index entries that point to a block's receipts from the `first` on, and after the last of them the
        receipts themselves. An entry that another block has replaced stays.

        At most `limit` receipts at a time: returns where to go on, None when all is done, which it also is for a block
        without receipts. Errors: `StoreCorrupted`.
        """
        raw = self._through(batch, RECEIPTS_PREFIX + block_id)
        if raw is None:
            return None
        receipts = self._decoded(RECEIPTS_CODEC, raw)
        end = len(receipts) if limit is None else min(len(receipts), first + limit)
        for receipt in receipts[first:end]:
            for key in (_charged_key(receipt.transaction_id), _skipped_key(receipt.transaction_id)):
                entry = self._through(batch, key)
                if entry is not None and self._decoded(LOCATION_CODEC, entry).accepting_block == block_id:
                    batch.delete(key)
        if end < len(receipts):
            return end
        batch.delete(RECEIPTS_PREFIX + block_id)
        return None

    def _stage_index(self, batch: WriteBatch, block_id: bytes, receipts: tuple[Receipt, ...]) -> None:
        writes = batch.writes
        encode = LOCATION_CODEC.encode
        for index, receipt in enumerate(receipts):
            location = TransactionLocation(block_id, index, receipt.block_id)
            if receipt.status != SKIPPED:
                writes[_charged_key(receipt.transaction_id)] = encode(location)
                continue
            key = _skipped_key(receipt.transaction_id)
            if self._through(batch, key) is None:
                writes[key] = encode(location)

    def _through(self, batch: WriteBatch, key: bytes) -> bytes | None:
        """The value at a store key once `batch` is written."""
        return batch.writes[key] if key in batch.writes else self._reader.get(key)

    def _required(self, batch: WriteBatch, prefix: bytes, block_id: bytes, codec: Codec[T]) -> T:
        raw = self._through(batch, prefix + block_id)
        if raw is None:
            raise StoreCorrupted(self._where, f"block {block_id.hex()} has no {codec.what}")
        return self._decoded(codec, raw)

    def _decoded(self, codec: Codec[T], raw: bytes) -> T:
        try:
            return codec.decode(raw)
        except CodecError as error:
            raise StoreCorrupted(self._where, str(error)) from None


def _charged_key(transaction_id: bytes) -> bytes:
    return INDEX_PREFIX + transaction_id


def _skipped_key(transaction_id: bytes) -> bytes:
    return INDEX_PREFIX + transaction_id + _SKIPPED_SUFFIX
