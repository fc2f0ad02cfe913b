"""Which validators, bands and proposers judge a block: its anchor.

The anchor of epoch e on a chain is the chain's last block of slot < start(e) − 8. Its finality view names a finalised
block F. The *transition block* of F's epoch (the first chain block of that epoch on F's chain) wrote the epoch's
snapshot when it was executed; the snapshot's set and mix deal bands and proposers of epoch e. Epochs 0 and 1 rest on
genesis. So every node judges a block by the block's own past, never by its own tip. Source: consensus.md, Validators.
"""

from typing import Protocol

from consensus.errors import AnchorNotExecuted
from consensus.finality import BlockFinality
from consensus.params import Params, epoch_at, first_slot_of_epoch
from consensus.schedule import GENESIS_EPOCHS, Anchor, EpochSchedule, Schedule, SinkAnchors, anchor_of
from consensus.votes import Checkpoint
from ledger.staking.snapshot import EpochSnapshot

ANCHOR_DISTANCE_SLOTS = 8
"""Slots between an anchor and its epoch, so that tips that still differ between nodes do not decide."""

SEEN_EPOCHS = 4
"""Epochs up to the sink's of which its anchors are known at a look."""

ANCHORS_KEPT = 64
"""Sets kept in memory: at 1,000 validators 25 MB at most."""


class ChainRecords(Protocol):
    """What is read of blocks of the DAG; none of it ever changes."""

    def slot_of(self, block: bytes) -> int:
        """Slot of a block."""
        ...

    def selected_parent_of(self, block: bytes) -> bytes:
        """Selected parent of a block other than genesis."""
        ...

    def finality_of(self, block: bytes) -> BlockFinality:
        """The block's finality record."""
        ...

    def snapshot_of(self, transition: bytes) -> EpochSnapshot | None:
        """The snapshot that a transition block wrote; None while it is not executed."""
        ...


class Anchors:
    """Finds anchors and what follows from them. As safe in threads as its records are."""

    def __init__(self, params: Params, schedule: Schedule, records: ChainRecords, genesis_id: bytes) -> None:
        self._params = params
        self._schedule = schedule
        self._records = records
        self._genesis_id = genesis_id
        self._of_transition: dict[bytes, Anchor] = {}
        self._of_block: dict[bytes, Anchor] = {}

    def anchor_block(self, block: bytes, epoch: int) -> bytes:
        """The anchor of `epoch` on the chain that ends with `block`, which may be the anchor itself."""
        if epoch < GENESIS_EPOCHS:
            return self._genesis_id
        records, params = self._records, self._params
        slot = records.slot_of(block)
        while epoch_at(params, slot) > epoch:
            block = records.selected_parent_of(records.finality_of(block).transition)
            slot = records.slot_of(block)
        if epoch_at(params, slot) == epoch:
            return records.finality_of(block).anchor
        end = first_slot_of_epoch(params, epoch) - ANCHOR_DISTANCE_SLOTS
        while slot >= end and slot > 0:
            block = records.selected_parent_of(block)
            slot = records.slot_of(block)
        return block

    def anchor(self, anchor_block: bytes, epoch: int) -> Anchor:
        """Set and mix that `anchor_block` gives to `epoch`. Errors: `AnchorNotExecuted`."""
        if epoch < GENESIS_EPOCHS:
            return self._schedule.genesis_anchor
        known = self._of_block.get(anchor_block)
        if known is not None:
            return known
        finalised = self._records.finality_of(anchor_block).view.finalised.block_id
        transition = self._records.finality_of(finalised).transition
        anchor = self._of_transition.get(transition)
        if anchor is None:
            snapshot = self._records.snapshot_of(transition)
            if snapshot is None:
                raise AnchorNotExecuted(transition, epoch)
            anchor = anchor_of(snapshot)
            if len(self._of_transition) >= ANCHORS_KEPT:
                self._of_transition = {}
            self._of_transition[transition] = anchor
        if len(self._of_block) >= ANCHORS_KEPT:
            self._of_block = {}
        self._of_block[anchor_block] = anchor
        return anchor

    def schedule(self, anchor_block: bytes, epoch: int) -> EpochSchedule:
        """Bands and proposers of `epoch` by its anchor. Errors: `AnchorNotExecuted`."""
        return self._schedule.of_epoch(epoch, self.anchor(anchor_block, epoch))

    def anchor_of_target(self, target: Checkpoint) -> Anchor:
        """Set and mix by which votes for `target` are counted. Errors: `AnchorNotExecuted`."""
        epoch = self.epoch_of_target(target)
        return self.anchor(self.anchor_block(target.block_id, epoch), epoch)

    def schedule_of_target(self, target: Checkpoint) -> EpochSchedule:
        """Set and bands by which votes for `target` are counted: of the epoch in which its period begins, read by the
        anchor on the target's own chain. Errors: `AnchorNotExecuted`."""
        return self._schedule.of_epoch(self.epoch_of_target(target), self.anchor_of_target(target))

    def epoch_of_target(self, target: Checkpoint) -> int:
        """The epoch in which the period of `target` begins."""
        return epoch_at(self._params, target.period * self._params.period_slots)

    def seen_from(self, sink: bytes) -> SinkAnchors:
        """The anchors of the last epochs of the chain that ends with `sink`, of the next one and of all later ones.

        Errors: `AnchorNotExecuted`, never for a sink that was executed.
        """
        records, params = self._records, self._params
        sink_epoch = epoch_at(params, records.slot_of(sink))
        found: dict[int, Anchor] = {}
        for epoch in (sink_epoch + 2, sink_epoch + 1):
            found[epoch] = self.anchor(self.anchor_block(sink, epoch), epoch)
        block = sink
        for _ in range(SEEN_EPOCHS):
            finality = records.finality_of(block)
            epoch = epoch_at(params, records.slot_of(block))
            found[epoch] = self.anchor(finality.anchor, epoch)
            if finality.transition == self._genesis_id:
                break
            block = records.selected_parent_of(finality.transition)
        epochs = tuple(sorted(found))
        return SinkAnchors(sink_epoch, epochs, tuple(found[epoch] for epoch in epochs))
