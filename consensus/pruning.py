"""Pruning: what lies below the base leaves the store, a slice at a time.

First the base rises (one batch: from then on nothing below it is read), then *dead* tips go, those without the base on
their selected chains, from the top down, then the base's past, from the bottom up in the order in which the chain
merged it. After every slice no list names a block that is gone, so a crash between two slices leaves a whole store, and
the work goes on where it stopped. README, Pruning, says why no answer needs what is gone.

What can never be undone needs no undo record: those go once a chain block is final and has some periods of final blocks
above it (`settled`), and with them the receipts of blocks that were executed beside the chain.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from consensus.errors import RecordDamaged
from consensus.retention import Retention
from consensus.stores import BASE_CODEC, BASE_KEY, META_PREFIX, Base, ConsensusStores, number_key, read_base
from ledger.encoding import Codec, Count, Record
from ledger.errors import CodecError
from ledger.storage.errors import StoreCorrupted
from ledger.storage.store import Reader, WriteBatch

PROGRESS_KEY: Final = META_PREFIX + b"pruning"

SLICE_KEYS = 512
"""About how many keys a slice changes: some milliseconds of the writer's time."""

UNDO_BLOCKS_KEPT = 64
"""Chain blocks below the finalised one, but above the base, whose undo records stay: by them the finalised state that
proofs are made from follows (`finalised_state`), some periods behind at the most."""

KEYS_PER_BLOCK = 18
"""Records of a block, and those of its neighbours that name it."""

KEYS_PER_RECEIPT = 2


class Progress(Record, frozen=True):
    """How far pruning has come, in chain indices."""

    settled: Count
    """Up to this chain block there are no undo records and no receipts beside the chain."""
    swept: Count
    """What this chain block and those below it merge is gone; the base's own index when nothing is left to sweep."""
    receipts: Count
    """Receipts of the chain block above `swept` whose index entries are gone."""


PROGRESS_CODEC: Final = Codec(Progress, "pruning progress", 64)


@dataclass(frozen=True, slots=True)
class PruningSlice:
    """What one slice did."""

    base: Base
    """The base after it."""
    removed_blocks: int


def read_progress(reader: Reader) -> Progress:
    """How far pruning has come. Errors: `RecordDamaged`."""
    raw = reader.get(PROGRESS_KEY)
    if raw is None:
        return Progress(0, 0, 0)
    try:
        return PROGRESS_CODEC.decode(raw)
    except CodecError as error:
        raise RecordDamaged(PROGRESS_CODEC.what, PROGRESS_KEY, str(error)) from None


class Pruner:
    """Stages slices over the writer's tables. One thread at a time; whoever calls writes each before the next."""

    def __init__(self, stores: ConsensusStores, retention: Retention) -> None:
        base = read_base(stores.store)
        if base is None:
            raise StoreCorrupted(stores.where, "there is no chain")
        self.base = base
        """The lowest chain block that is kept."""
        self._stores = stores
        self._retention = retention
        self.progress = read_progress(stores.store)

    def next_base(self, finalised: bytes, retention_slots: int) -> Base | None:
        """As `Retention.next_base` for the present one."""
        return self._retention.next_base(self.base, finalised, retention_slots)

    def settles_up_to(self, base: Base, finalised: bytes) -> int:
        """Chain index up to which undo records go: `UNDO_BLOCKS_KEPT` below the finalised block, the base at least."""
        return max(base.chain_index, self._stores.dag.reachability.height(finalised) - UNDO_BLOCKS_KEPT)

    def stage_slice(self, batch: WriteBatch, finalised: bytes, retention_slots: int) -> PruningSlice | None:
        """Stage the next slice below `finalised`, the node's finalised block: partly in the tables, partly in `batch`.

        None, and nothing is staged, when all is done for now. `retention_slots`: as `Retention.next_base`. Errors:
        `MissingRecord`, `StoreCorrupted`.
        """
        progress, removed = self.progress, 0
        top = self.settles_up_to(self.base, finalised)
        if progress.settled < top:
            self._settle(batch, top)
        elif progress.swept < self.base.chain_index:
            removed = self._remove_dead(batch) or self._sweep(batch)
        elif not self._raise_base(batch, finalised, retention_slots):
            return None
        if self.progress != progress:
            batch.put(PROGRESS_KEY, PROGRESS_CODEC.encode(self.progress))
        return PruningSlice(self.base, removed)

    # settling -----------------------------------------------------------------------------------------------------

    def _settle(self, batch: WriteBatch, top: int) -> None:
        """Drop what undoing needs of the next chain blocks up to index `top`, which is final."""
        index = self.progress.settled
        room = SLICE_KEYS
        while index < top and room > 0:
            index += 1
            room -= self._settle_block(batch, index)
        self.progress = Progress(index, self.progress.swept, self.progress.receipts)

    def _settle_block(self, batch: WriteBatch, index: int) -> int:
        ledger = self._stores.ledger
        mergeset = self._stores.dag.data.get(self._chain_block(index)).mergeset
        for block in mergeset:
            ledger.stage_prune_undo(batch, block)
        for block in mergeset[1:]:  # the first one is the chain block below, whose receipts are the chain's
            ledger.stage_prune_side_receipts(batch, block)
        return 2 * len(mergeset)

    # the base -----------------------------------------------------------------------------------------------------

    def _raise_base(self, batch: WriteBatch, finalised: bytes, retention_slots: int) -> bool:
        """Everything below the next base stops being read."""
        base = self.next_base(finalised, retention_slots)
        if base is None:
            return False
        stores = self._stores
        stores.dag.reachability.raise_root(base.block_id)
        before = self._kept_transition()
        self.base = base
        if before != self._kept_transition() and not stores.dag.has(before):
            stores.epochs.delete(before)
        batch.put(BASE_KEY, BASE_CODEC.encode(base))
        return True

    def _kept_transition(self) -> bytes:
        """The block whose epoch snapshot is kept although it may be gone itself: blocks above the base may have the
        base's epoch finalised."""
        return self._stores.finality.get(self.base.block_id).transition

    # removal ------------------------------------------------------------------------------------------------------

    def _remove_dead(self, batch: WriteBatch) -> int:
        """Remove tips without the base on their chains, and what becomes one by that. How many; 0 when none is left."""
        stores = self._stores
        reachability, relations = stores.dag.reachability, stores.dag.relations
        removed = 0
        while KEYS_PER_BLOCK * removed < SLICE_KEYS:
            dead = [
                tip for tip in relations.tips() if not reachability.is_chain_ancestor(self.base.block_id, tip)
            ][: SLICE_KEYS // KEYS_PER_BLOCK]
            if not dead:
                break
            for block in dead:
                stores.remove_leaf(block)
                stores.ledger.stage_prune_undo(batch, block)
                stores.ledger.stage_prune_side_receipts(batch, block)
            removed += len(dead)
        return removed

    def _sweep(self, batch: WriteBatch) -> int:
        """Remove the next blocks of the base's past, in the order in which the chain merged them."""
        removed = 0
        room = SLICE_KEYS
        while room > 0 and self.progress.swept < self.base.chain_index:
            index = self.progress.swept + 1
            chain_block = self._chain_block(index)
            room, is_done = self._sweep_receipts(batch, chain_block, room)
            if not is_done:
                break
            for block in self._present(self._stores.dag.data.get(chain_block).mergeset):
                if room <= 0:
                    return removed
                self._remove(block)
                removed += 1
                room -= KEYS_PER_BLOCK
            if index > 1:  # the first entry stays: it names genesis
                self._stores.chain.delete(number_key(index - 1))
            self.progress = Progress(self.progress.settled, index, 0)
        return removed

    def _sweep_receipts(self, batch: WriteBatch, chain_block: bytes, room: int) -> tuple[int, bool]:
        """(keys that are left of the slice, whether the block's receipts are gone)."""
        first = self.progress.receipts
        limit = max(1, room // KEYS_PER_RECEIPT)
        then = self._stores.ledger.stage_prune_receipts(batch, chain_block, first=first, limit=limit)
        if then is None:
            return room - 1, True
        self.progress = Progress(self.progress.settled, self.progress.swept, then)
        return 0, False

    def _present(self, blocks: tuple[bytes, ...]) -> Iterator[bytes]:
        """Those of `blocks` that an earlier slice has not removed."""
        return (block for block in blocks if self._stores.dag.has(block))

    def _remove(self, block: bytes) -> None:
        stores = self._stores
        if stores.finality.get(block).transition == block != self._kept_transition():
            stores.epochs.delete(block)
        stores.remove_root(block)

    def _chain_block(self, index: int) -> bytes:
        return self._stores.chain.get(number_key(index))
