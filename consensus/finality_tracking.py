"""Finality and schedules of new blocks, over the writer's tables: the rules of `finality` and `anchors` applied.

One thread at a time. What a block carries and merges is known when it is asked about; the block itself need not be
part of the DAG yet, so templates and validation ask the same way.
"""

from collections.abc import Callable

from consensus.anchors import Anchors
from consensus.blocks import Header
from consensus.finality import BlockFinality, FinalityView, count_votes, newly_counted
from consensus.ghostdag import GhostdagData
from consensus.params import Params, checkpoint_end_slot, epoch_at, period_at
from consensus.schedule import EpochSchedule, Schedule
from consensus.stores import ConsensusStores
from consensus.votes import NO_VOTES_ROOT, Checkpoint
from ledger.staking.snapshot import EpochSnapshot

TIMELY_PERIODS = 1
"""A vote is in time, and earns its share, in a block of its target's period or of this many later ones."""


class TableRecords:
    """`anchors.ChainRecords` over the writer's tables."""

    __slots__ = ("_stores",)

    def __init__(self, stores: ConsensusStores) -> None:
        self._stores = stores

    def slot_of(self, block: bytes) -> int:
        """Slot of a block."""
        return self._stores.headers.get(block).slot

    def selected_parent_of(self, block: bytes) -> bytes:
        """Selected parent of a block other than genesis."""
        return self._stores.dag.data.get(block).selected_parent

    def finality_of(self, block: bytes) -> BlockFinality:
        """The block's finality record."""
        return self._stores.finality.get(block)

    def snapshot_of(self, transition: bytes) -> EpochSnapshot | None:
        """The snapshot that a transition block wrote; None while it is not executed."""
        return self._stores.epochs.find(transition)


class FinalityTracker:
    """Answers about blocks whose past is in the DAG."""

    def __init__(
        self,
        stores: ConsensusStores,
        params: Params,
        schedule: Schedule,
        genesis_id: bytes,
        merge_floor: Callable[[bytes], bytes],
    ) -> None:
        """`merge_floor(selected parent)`: `merge_depth.MergeRoots.floor`."""
        self._merge_floor = merge_floor
        self._stores = stores
        self._params = params
        self.anchors = Anchors(params, schedule, TableRecords(stores), genesis_id)

    def epoch_schedule(self, selected_parent: bytes, slot: int) -> EpochSchedule:
        """The schedule by which a block of `slot` on `selected_parent` is judged. Errors: `AnchorNotExecuted`."""
        epoch = epoch_at(self._params, slot)
        return self.anchors.schedule(self.anchors.anchor_block(selected_parent, epoch), epoch)

    def view_of(self, data: GhostdagData, slot: int) -> FinalityView:
        """The finality view of a block with colouring `data`. Errors: `AnchorNotExecuted`, never for valid blocks."""
        stores, selected_parent = self._stores, data.selected_parent
        before = stores.finality.get(selected_parent).view
        headers = stores.headers
        votes = [
            vote
            for block in data.mergeset
            if headers.get(block).votes_root != NO_VOTES_ROOT
            for vote in stores.votes.get(block)
        ]
        if not votes:
            return before
        return count_votes(
            before,
            votes,
            period_at(self._params, slot),
            lambda checkpoint: self.is_checkpoint(selected_parent, checkpoint),
            self.anchors.schedule_of_target,
        )

    def of_block(self, block_id: bytes, header: Header, data: GhostdagData) -> BlockFinality:
        """The finality record of a block whose header and votes are valid. Errors: `AnchorNotExecuted`."""
        params, parent = self._params, data.selected_parent
        epoch = epoch_at(params, header.slot)
        transition = block_id
        if epoch_at(params, self._stores.headers.get(parent).slot) == epoch:
            transition = self._stores.finality.get(parent).transition
        anchor = self.anchors.anchor_block(parent, epoch)
        tie = self.anchors.schedule(anchor, epoch).lane_tie(header.slot, header.band)
        return BlockFinality(self.view_of(data, header.slot), transition, anchor, tie)

    def is_checkpoint(self, tip: bytes, checkpoint: Checkpoint) -> bool:
        """Whether `checkpoint` is that of its period on the selected chain of `tip`, which reaches beyond it or will:
        the chain's last block of slot < 8 period − look-back.

        Not below the merge floor: what lies there may be forgotten, so no source of a vote may.
        """
        block, headers = checkpoint.block_id, self._stores.headers
        header = headers.find(block)
        end = checkpoint_end_slot(self._params, checkpoint.period)
        if header is None or header.slot >= end or header.slot < headers.get(self._merge_floor(tip)).slot:
            return False
        reachability = self._stores.dag.reachability
        if block == tip:
            return True
        if not reachability.is_chain_ancestor(block, tip):
            return False
        return headers.get(reachability.chain_child_towards(block, tip)).slot >= end

    def schedule_of_target(self, target: Checkpoint) -> EpochSchedule:
        """Set and bands by which votes for `target` count. Errors: `AnchorNotExecuted`."""
        return self.anchors.schedule_of_target(target)

    def finalised_epoch(self, view: FinalityView) -> int:
        """The epoch of the finalised block: everything before that epoch's first chain block is final."""
        return epoch_at(self._params, self._stores.headers.get(view.finalised.block_id).slot)

    def timely_votes(self, selected_parent: bytes, view: FinalityView, slot: int) -> tuple[int, ...]:
        """Validators whose votes a block of `slot` with `view` on `selected_parent` is the first to count, in time."""
        before = self._stores.finality.get(selected_parent).view
        oldest = period_at(self._params, slot) - TIMELY_PERIODS
        return newly_counted(before, view, oldest, self.anchors.schedule_of_target)
