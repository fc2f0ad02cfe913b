"""The state of the selected chain, and the choice of its end.

state(B) = state(selected parent of B) + the merge set of B executed in consensus order. The merge set begins with the
selected parent, so a block's own transactions are executed by the block that merges it. B's header commits to state(B)
and to the receipts. On disk is state(sink). `VirtualChain` can stand at any other block in memory: it goes down by undo
records and up by stored results or by execution, and stages every step in a batch that the engine writes or drops.

README.md, Virtual state, gives the rules and why the sink does not depend on the order in which blocks arrive.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from consensus.ghostdag import GhostdagData
from consensus.mergeset_execution import MergesetExecutor
from consensus.stores import ConsensusStores, Status
from ledger.execution import SKIPPED, MergedBlock, Outcome, Receipt
from ledger.staking.snapshot import EpochSnapshot, read_snapshot
from ledger.state import StateReader
from ledger.state_commitment import StateTree
from ledger.storage.errors import StoreCorrupted
from ledger.storage.state_cache import StateCache
from ledger.storage.state_store import STATE_PREFIX, UNDO_PREFIX, StagedState
from ledger.storage.store import WriteBatch


class StateFault(StrEnum):
    """Why a block is disqualified from the chain."""

    RECEIPTS_ROOT_WRONG = "ReceiptsRootWrong"
    STATE_ROOT_WRONG = "StateRootWrong"
    OWN_TRANSACTION_SKIPPED = "OwnTransactionSkipped"
    """A transaction of its own does not apply in the block's own state."""
    SELECTED_PARENT_DISQUALIFIED = "SelectedParentDisqualified"


@dataclass(frozen=True, slots=True)
class Disqualification:
    """A block and what is wrong with the state that it claims."""

    block_id: bytes
    fault: StateFault
    detail: str


@dataclass(frozen=True, slots=True)
class ChainBlock:
    """A block that joined the selected chain."""

    block_id: bytes
    receipts: tuple[Receipt, ...]


@dataclass(frozen=True, slots=True)
class VirtualChange:
    """How the selected chain changes."""

    sink: bytes
    removed: tuple[bytes, ...]
    """From the old sink downwards."""
    added: tuple[ChainBlock, ...]
    """Ascending."""


class ChangedState:
    """A state with changes on top that are not applied to it."""

    __slots__ = ("_changes", "_state")

    def __init__(self, state: StateReader, changes: Mapping[bytes, bytes | None]) -> None:
        self._state = state
        self._changes = changes

    def get(self, key: bytes) -> bytes | None:
        """The value at a state key, or None."""
        return self._changes[key] if key in self._changes else self._state.get(key)


class VirtualChain:
    """The selected chain's state, movable in memory. One thread at a time."""

    def __init__(
        self,
        stores: ConsensusStores,
        executor: MergesetExecutor,
        tree: StateTree,
        sink: bytes,
        genesis_id: bytes,
    ) -> None:
        """`tree` holds the state on disk, which is that of `sink`."""
        self.stores = stores
        self.executor = executor
        self.tree = tree
        self.sink = sink
        """End of the selected chain as it is on disk."""
        self.finalised_id = genesis_id
        """No block without this one on its chain is ever selected."""
        self.position = sink
        """The chain block whose state `state` is: that on disk, changed by `batch`."""
        self.batch = WriteBatch()
        self._disk = StateCache(stores.ledger)
        self._tree_position = sink
        self._tree_changes: dict[bytes, bytes | None] = {}
        """What leads from the state in `tree` to the one at `position`."""
        self._disqualified: list[Disqualification] = []
        self._receipts: dict[bytes, tuple[Receipt, ...]] = {}
        """Of the blocks executed since the last commit."""
        self._snapshots: list[EpochSnapshot] = []

    @property
    def state(self) -> StateReader:
        """The state at `position`, as long as that does not change."""
        return StagedState(self._disk, self.batch)

    def state_copy(self) -> StateReader:
        """The state at `position` as it is now, wherever this moves; readable until the store is written."""
        return StagedState(self._disk, WriteBatch(dict(self.batch.writes)))

    def take_snapshots(self) -> tuple[EpochSnapshot, ...]:
        """The epoch snapshots that were written since the last call, in order."""
        found = tuple(self._snapshots)
        self._snapshots.clear()
        return found

    # choice -------------------------------------------------------------------------------------------------------

    def resolve(self, new_blocks: Iterable[bytes]) -> VirtualChange | None:
        """Choose the sink after `new_blocks` joined the DAG, stage what changes, and stand there. None: no change.

        The sink is the greatest block by ORDER that qualifies. Of the blocks known before, all above the present sink
        are disqualified or lack the finalised block, so only new ones can be greater: they are tried from the top, and
        none is executed that does not lead to one above the present sink.
        """
        dag = self.stores.dag
        lowest = dag.order_key(self.sink)
        keyed = ((dag.order_key(block), block) for block in new_blocks)
        candidates = sorted(((key, block) for key, block in keyed if key > lowest), reverse=True)
        for _, candidate in candidates:
            if self.qualifies(candidate):
                return self._change(candidate)
        self.go_home()
        return None

    def qualifies(self, candidate: bytes) -> bool:
        """Whether `candidate` may end the chain. When it does, this stands there; else anywhere."""
        if self.stores.status(candidate) is Status.DISQUALIFIED:
            return False
        if not self.stores.dag.reachability.is_chain_ancestor(self.finalised_id, candidate):
            return False
        return self._move_to(candidate)

    def drop_unchanged_state(self) -> None:
        """Leave state out of `batch` that a reorganisation took away and brought back, as siblings of one slot do."""
        writes = self.batch.writes
        prefix_bytes = len(STATE_PREFIX)
        unchanged = [
            key
            for key, value in writes.items()
            if key.startswith(STATE_PREFIX) and self._disk.get(key[prefix_bytes:]) == value
        ]
        for key in unchanged:
            del writes[key]

    def take_disqualified(self) -> tuple[Disqualification, ...]:
        """The disqualifications found since the last call, in order."""
        found = tuple(self._disqualified)
        self._disqualified.clear()
        return found

    def committed(self, change: VirtualChange | None) -> None:
        """`batch` has been written, and `change` with it."""
        self._disk.written(self.batch)
        if change is not None:
            self.sink = change.sink
        self.batch = WriteBatch()
        self._receipts.clear()

    def go_home(self) -> None:
        """Stand at the sink on disk again."""
        if self.position != self.sink and not self._move_to(self.sink):
            raise StoreCorrupted(self.stores.where, f"sink {self.sink.hex()} does not qualify any more")

    def drop(self) -> None:
        """Forget everything staged since the last commit, and stand at the sink. For templates."""
        self.go_home()
        self.batch = WriteBatch()
        self._receipts.clear()

    def _change(self, sink: bytes) -> VirtualChange:
        """Stage the selected chain's records for its new end, where this stands."""
        stores = self.stores
        reachability = stores.dag.reachability
        common = reachability.common_chain_ancestor(self.sink, sink)
        removed = []
        for block in reachability.chain_down(self.sink):
            if block == common:
                break
            stores.remove_from_chain(block, reachability.height(block))
            removed.append(block)
        added = []
        for block in reachability.chain_up(common, sink):
            stores.append_to_chain(block, reachability.height(block))
            stores.set_status(block, Status.VALID)
            added.append(ChainBlock(block, self._receipts_of(block)))
        return VirtualChange(sink, tuple(removed), tuple(added))

    def _receipts_of(self, block: bytes) -> tuple[Receipt, ...]:
        known = self._receipts.get(block)
        if known is None:
            known = self.stores.ledger.receipts(block)
            if known is None:
                raise StoreCorrupted(self.stores.where, f"chain block {block.hex()} has no receipts")
        return known

    # movement -----------------------------------------------------------------------------------------------------

    def _move_to(self, target: bytes) -> bool:
        """Stand at `target`. When a block on the way does not qualify: stand below it, note it and all above it."""
        reachability = self.stores.dag.reachability
        common = reachability.common_chain_ancestor(self.position, target)
        path = tuple(reachability.chain_up(common, target))
        for at, block in enumerate(path):
            if self.stores.status(block) is Status.DISQUALIFIED:
                self._disqualify_above(path, at)
                return False
        while self.position != common:
            self._undo()
        for at, block in enumerate(path):
            found = self._advance(block)
            if found is not None:
                self._disqualify(found)
                self._disqualify_above(path, at)
                return False
        return True

    def _undo(self) -> None:
        """One chain block down."""
        block = self.position
        restored = self.stores.ledger.stage_undo(self.batch, block)
        self._arrive(self.stores.dag.data.get(block).selected_parent, restored)

    def _advance(self, block: bytes) -> Disqualification | None:
        """One chain block up, or what is wrong with it."""
        ledger = self.stores.ledger
        if self._was_executed(block):
            self._arrive(block, ledger.stage_redo(self.batch, block))
            return None
        header = self.stores.headers.get(block)
        outcome = self.executor.outcome(
            self.stores.dag.data.get(block), header.slot, header.proposer, lambda: self.state
        )
        if outcome.receipts_root != header.receipts_root:
            return _root_wrong(
                block, StateFault.RECEIPTS_ROOT_WRONG, "receipts", header.receipts_root, outcome.receipts_root
            )
        update = self.tree.prepare({**self._tree_changes, **outcome.changes})
        if update.root != header.state_root:
            return _root_wrong(block, StateFault.STATE_ROOT_WRONG, "state", header.state_root, update.root)
        skipped = self._skipped_own(block, header.slot, header.proposer, outcome)
        if skipped is not None:
            return skipped
        if self.stores.finality.get(block).transition == block:
            snapshot = read_snapshot(ChangedState(self.state, outcome.changes))
            self.stores.epochs.put(block, snapshot)
            self._snapshots.append(snapshot)
        self.tree.commit(update)
        self._tree_position = block
        ledger.stage_accept(self.batch, block, outcome)
        self._receipts[block] = outcome.receipts
        self._arrive(block, {})
        return None

    def _was_executed(self, block: bytes) -> bool:
        """Whether the block's result is stored or staged."""
        key = UNDO_PREFIX + block
        return key in self.batch.writes or self.stores.store.get(key) is not None

    def _arrive(self, block: bytes, changes: Mapping[bytes, bytes | None]) -> None:
        self.position = block
        if block == self._tree_position:
            self._tree_changes.clear()
        else:
            self._tree_changes.update(changes)

    def _skipped_own(
        self, block: bytes, slot: int, proposer: int, outcome: Outcome
    ) -> Disqualification | None:
        """A block carries only what applies (or fails and pays) in its own state; else it has no business there."""
        transactions = self.executor.transactions(block)
        if not transactions:
            return None
        own = MergedBlock(block, proposer, True, transactions)
        tracker = self.executor.tracker
        result = self.executor.execute(
            ChangedState(self.state, outcome.changes),
            [own],
            slot,
            proposer,
            finalised_epoch=tracker.finalised_epoch(self.stores.finality.get(block).view),
        )
        for position, receipt in enumerate(result.receipts):
            if receipt.status == SKIPPED:
                return Disqualification(
                    block,
                    StateFault.OWN_TRANSACTION_SKIPPED,
                    f"transaction {position} is skipped in the block's own state: {receipt.reason}",
                )
        return None

    def _disqualify(self, found: Disqualification) -> None:
        self.stores.set_status(found.block_id, Status.DISQUALIFIED)
        self._disqualified.append(found)

    def _disqualify_above(self, path: tuple[bytes, ...], at: int) -> None:
        """Disqualify the blocks of `path` above position `at`, where one is disqualified."""
        for block in path[at + 1 :]:
            if self.stores.status(block) is not Status.DISQUALIFIED:
                parent = self.stores.dag.data.get(block).selected_parent
                detail = f"selected parent {parent.hex()[:16]} is disqualified"
                self._disqualify(Disqualification(block, StateFault.SELECTED_PARENT_DISQUALIFIED, detail))

    # on top -------------------------------------------------------------------------------------------------------

    def merged(self, data: GhostdagData, slot: int, proposer: int) -> tuple[Outcome, bytes]:
        """Outcome and state root of a block with colouring `data` whose selected parent is where this stands."""
        outcome = self.executor.outcome(data, slot, proposer, lambda: self.state)
        return outcome, self.tree.prepare({**self._tree_changes, **outcome.changes}).root


def _root_wrong(
    block: bytes, fault: StateFault, what: str, found: bytes, expected: bytes
) -> Disqualification:
    detail = f"{what} root {found.hex()[:16]}, execution gives {expected.hex()[:16]}"
    return Disqualification(block, fault, detail)
