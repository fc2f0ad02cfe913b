"""The engine: one door for blocks, one for templates, over one store.

Synchronous and single-threaded by contract: the node's chain writer calls it. `head` and `tips` are immutable values
that any thread may read; everything else is read from the store (`consensus.stores`, `ledger.storage.state_store`).

A call either succeeds wholly, which is one synced batch, or refuses blocks, which changes nothing. Any other failure
halts the engine, because memory may be ahead of the disk then; the disk holds the result of an earlier whole call.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

from consensus.blocks import Block
from consensus.commit_chain import CommitPoint, append_commit
from consensus.errors import (
    AnchorNotExecuted,
    BelowBase,
    BlockNotJudged,
    BodyMismatch,
    EngineHalted,
    InvalidBlock,
    KnownInvalid,
    MissingParents,
    NoParentUsable,
    ParentInvalid,
    RevealWrong,
    SlotNotAvailable,
)
from consensus.events import (
    AcceptedBlock,
    BlockAdded,
    BlockDisqualified,
    BlockRefused,
    ChainAdvanced,
    DuplicateLane,
    Event,
)
from consensus.finality_proofs import FinalityProof, ProofMaker
from consensus.finality_tracking import FinalityTracker
from consensus.ghostdag import colour, select_parent
from consensus.header_validation import HeaderContext, KnownReveals, validate_header_in_context
from consensus.merge_depth import MergeRoots
from consensus.mergeset_execution import MergesetExecutor
from consensus.node_finality import NodeFinality
from consensus.opening import check_identity, found, head_of, is_empty, load
from consensus.order import Ancestry, ghostdag_rules, lane_key
from consensus.params import Params, params_from_genesis
from consensus.parent_choice import ParentChoice
from consensus.prepare import PreparedBlock, prepare_block, prepare_decoded
from consensus.pruning import Pruner, PruningSlice
from consensus.pruning_forecast import PruningForecast, forecast
from consensus.retention import Retention
from consensus.schedule import Schedule, schedule_from_genesis
from consensus.stores import (
    GENERATION_BLOCKS,
    HEAD_CODEC,
    HEAD_KEY,
    Base,
    ConsensusStores,
    Head,
    chain_index,
    read_finalised,
)
from consensus.sync_plan import locator
from consensus.template import TemplateBuilder, UnsignedBlock
from consensus.virtual import ChangedState, VirtualChain, VirtualChange
from consensus.vote_validation import VerifiedVotes, validate_votes_in_context
from consensus.votes import Checkpoint, Vote
from ledger.accounts import EMPTY_ACCOUNT, Account, decode_account
from ledger.genesis import Genesis, chain_rules
from ledger.registry import KindRegistry
from ledger.rules import ChainRules
from ledger.state import StateReader, account_key
from ledger.state_commitment import StateTree
from ledger.storage.errors import StoreCorrupted
from ledger.storage.fail_points import fail_point
from ledger.storage.store import Store, WriteBatch
from ledger.transactions import SignedTransaction

SNAPSHOTS_READ = 8
"""Epochs down from the sink's whose validators' keys are known after a start."""

KNOWN_INVALID_KEPT = 4_096
"""Ids of refused blocks that are remembered, so that a flood of one costs a look-up each."""


class Engine:
    """The DAG, its order and its state on one store. `Engine.open` makes one."""

    def __init__(
        self,
        stores: ConsensusStores,
        params: Params,
        rules: ChainRules,
        registry: KindRegistry,
        schedule: Schedule,
        genesis_id: bytes,
        loaded: tuple[Head, CommitPoint, StateTree],
    ) -> None:
        """For `open`."""
        self.params = params
        self.rules = rules
        self.registry = registry
        self.schedule = schedule
        self.genesis_id = genesis_id
        self.stores = stores
        self.head, self._commit, tree = loaded
        """`head`: the sink. Immutable, replaced after each advance."""
        self.tips = stores.dag.relations.tips()
        """Blocks without children, ascending by id. Immutable, replaced after each call."""
        self._ancestry = Ancestry(stores.dag)
        self._merge_roots = MergeRoots(
            params.merge_depth_slots,
            lambda block: stores.headers.get(block).slot,
            lambda block: stores.dag.data.get(block).selected_parent,
            stores.dag.reachability.chain_child_towards,
            lambda block: stores.finality.get(block).view.finalised.block_id,
        )
        self.verified_votes = VerifiedVotes()
        """Shared with whoever judges votes in other threads (`consensus.vote_judging`)."""
        self._reveals = KnownReveals()
        self._tracker = FinalityTracker(stores, params, schedule, genesis_id, self._merge_roots.floor)
        executor = MergesetExecutor(params, rules, registry, stores.headers, stores.bodies, self._tracker)
        finalised = read_finalised(stores.store)
        if finalised is None:
            raise StoreCorrupted(stores.where, "there is no finalised checkpoint")
        proofs = ProofMaker(stores, params, self._tracker)
        self._finality = NodeFinality(stores, proofs, self.head.id, finalised)
        self._chain = VirtualChain(stores, executor, tree, self.head.id, finalised.block_id)
        self._templates = TemplateBuilder(
            self._chain,
            ParentChoice(self._chain, params, self._merge_roots),
            params,
            self._reveals,
            self.verified_votes,
        )
        self._retention = Retention(stores, params, genesis_id, self._merge_roots.floor)
        self._pruner = Pruner(stores, self._retention)
        self._learn_snapshots()
        self.schedule.see(self._tracker.anchors.seen_from(self.head.id))
        self._known_invalid: OrderedDict[bytes, str] = OrderedDict()
        self._virtual_state: StateReader | None = None
        self._halted: str | None = None

    @classmethod
    def open(
        cls, store: Store, genesis: Genesis, registry: KindRegistry, *, blocks_kept: int = GENERATION_BLOCKS
    ) -> "Engine":
        """Found the chain of `genesis` in an empty store, or continue the one that it holds.

        `blocks_kept`: records in memory per table. Errors: `GenesisInvalid`; `SchemaMismatch`, `WrongGenesis`,
        `StoreCorrupted`; `FinalityConflict`, when that is what the node stopped for; whatever the store raises.
        """
        params = params_from_genesis(genesis)
        schedule = schedule_from_genesis(genesis, params)
        is_new = is_empty(store)
        where = str(getattr(store, "directory", getattr(store, "name", "memory")))
        if not is_new:
            check_identity(store, genesis, where)
        stores = ConsensusStores(
            store,
            lambda headers, finality: ghostdag_rules(params, headers, finality),
            where,
            blocks_kept=blocks_kept,
        )
        loaded = found(stores, genesis) if is_new else load(stores)
        genesis_id = chain_index(store, 0)
        if genesis_id is None:
            raise StoreCorrupted(where, "the chain does not say which block it begins with")
        genesis_header = stores.headers.find(genesis_id)  # gone where it was pruned
        if genesis_header is not None and genesis_header.receipts_root != params.genesis_hash:
            raise StoreCorrupted(where, "the chain does not begin with the genesis block")
        return cls(stores, params, chain_rules(genesis), registry, schedule, genesis_id, loaded)

    # blocks -------------------------------------------------------------------------------------------------------

    def prepare_block(self, raw: bytes, now_slot: int) -> PreparedBlock:
        """Decode `raw` and judge it alone, in any thread. Errors as `consensus.prepare.prepare_block`."""
        return prepare_block(raw, self.params, self.rules, self.registry, self.schedule, now_slot)

    def prepare_decoded(self, block: Block, now_slot: int) -> PreparedBlock:
        """The same for a block that is decoded already. Errors as `consensus.prepare.prepare_decoded`."""
        return prepare_decoded(block, self.params, self.rules, self.registry, self.schedule, now_slot)

    def process_block(self, block: PreparedBlock) -> tuple[Event, ...]:
        """Add one block and advance the chain. A block that is known already gives no events.

        Errors: `InvalidBlock`, `MissingParents`, `BodyMismatch`, `BlockNotJudged`, `BelowBase`, after which nothing has
        changed; `EngineHalted`; faults, which halt.
        """
        events = self.process_blocks((block,))
        for event in events:
            if isinstance(event, BlockRefused):
                raise event.error
        return events

    def process_blocks(self, blocks: Sequence[PreparedBlock]) -> tuple[Event, ...]:
        """Add all `blocks` that can be added, in order of slots, then advance the chain once: one synced batch.

        A block that cannot be added gives `BlockRefused` and does not hinder the others. When a block's schedule rests
        on a state that the blocks before it lead to, the chain is advanced in between: a synced batch more. Errors:
        `EngineHalted`; faults, which halt.
        """
        with self._halting():
            events: list[Event] = []
            added: list[bytes] = []
            for block in sorted(blocks, key=lambda prepared: prepared.block.header.slot):
                try:
                    try:
                        is_new = self._add(block, events)
                    except AnchorNotExecuted:
                        if not added:
                            raise
                        events.extend(self._advance(added))
                        added.clear()
                        is_new = self._add(block, events)
                    if is_new:
                        added.append(block.block_id)
                except (InvalidBlock, MissingParents, BodyMismatch, BlockNotJudged, BelowBase) as error:
                    if isinstance(error, InvalidBlock):
                        self._remember_invalid(block.block_id, error)
                    events.append(BlockRefused(block.block_id, error))
            if added:
                events.extend(self._advance(added))
            return tuple(events)

    def has_block(self, block_id: bytes) -> bool:
        """Whether the block is part of the DAG."""
        return self.stores.dag.has(block_id)

    def _add(self, prepared: PreparedBlock, events: list[Event]) -> bool:
        """Judge a block in its context, then stage it: nothing is staged of an invalid one. False: known already."""
        header, block_id = prepared.block.header, prepared.block_id
        dag = self.stores.dag
        if dag.has(block_id):
            return False
        first = self._known_invalid.get(block_id)
        if first is not None:
            raise KnownInvalid(block_id, first)
        base = self._pruner.base
        if header.slot <= base.slot:
            raise BelowBase(block_id, header.slot, base.slot)
        missing = dag.relations.missing_parents(header.parents)
        for parent in missing:
            if parent in self._known_invalid:
                raise ParentInvalid(parent, self._known_invalid[parent])
        if missing:
            raise MissingParents(missing)
        if not dag.reachability.is_chain_ancestor(base.floor_id, select_parent(dag, header.parents)):
            raise BelowBase(block_id, header.slot, base.slot)
        data = colour(dag, header.parents, limit=self.params.mergeset_limit)
        context = HeaderContext(
            params=self.params,
            epoch_schedule=self._tracker.epoch_schedule(data.selected_parent, header.slot),
            parents=[self.stores.headers.get(parent) for parent in header.parents],
            reachability=self._ancestry,
            merge_root=self._merge_roots.root(data.selected_parent),
            merge_floor=self._merge_roots.floor(data.selected_parent),
            signer_key=prepared.signer_key,
            reveals=self._reveals,
        )
        validate_header_in_context(header, data, context)
        if prepared.block.votes:
            validate_votes_in_context(
                prepared.block.votes,
                data.selected_parent,
                self._tracker,
                self.params.genesis_hash,
                self.verified_votes,
            )
        finality = self._tracker.of_block(block_id, header, data)
        self.stores.add_block(prepared.block, data, finality)
        contradicted = self._finality.conflict_with(finality.view)
        if contradicted is not None:
            self._stop_for_conflict(contradicted, block_id)
        self._finality.note(block_id, finality)
        self._chain.executor.remember_transactions(block_id, prepared.transactions)
        events.append(BlockAdded(block_id, header.slot, header.band, header.proposer, header.blue_score))
        lane = dag.lanes.get(lane_key(header.slot, header.band))
        if len(lane) > 1:
            events.append(DuplicateLane(header.slot, header.band, lane))
        return True

    def _stop_for_conflict(self, ours: tuple[Checkpoint, bytes], block_id: bytes) -> NoReturn:
        """Keep both proofs and nothing else of this call, and halt. Raises `FinalityConflict`."""
        batch = WriteBatch()
        conflict = self._finality.stage_conflict(batch, ours, block_id)
        append_commit(batch, self._commit)
        self.stores.store.write(batch, sync=True)
        raise conflict

    def stop_for_foreign_finality(self, theirs: FinalityProof) -> NoReturn:
        """Keep `theirs`, a verified proof that a checkpoint is final which is not on our finalised chain, beside ours,
        and halt. Raises `FinalityConflict`."""
        with self._halting():
            batch = WriteBatch()
            conflict = self._finality.stage_foreign_conflict(batch, theirs)
            append_commit(batch, self._commit)
            self.stores.store.write(batch, sync=True)
            raise conflict

    def _advance(self, added: list[bytes]) -> list[Event]:
        """Choose the sink, then write everything that is staged."""
        stores, chain = self.stores, self._chain
        change = chain.resolve(added)
        events: list[Event] = [
            BlockDisqualified(found.block_id, found.fault.value, found.detail)
            for found in chain.take_disqualified()
        ]
        head = self.head if change is None else head_of(stores, change.sink)
        stores.dag.reachability.advance_root(head.id)
        batch = chain.batch
        stores.stage_into(batch)
        if change is not None:
            batch.put(HEAD_KEY, HEAD_CODEC.encode(head))
            if change.removed:
                chain.drop_unchanged_state()
            events.append(self._chain_advanced(head, change))
            joined = [block.block_id for block in change.added]
            events.extend(self._finality.advance(batch, joined, change.sink))
        commit = append_commit(batch, self._commit)
        stores.store.write(batch, sync=True)
        stores.commit()
        chain.committed(change)
        chain.finalised_id = self._finality.finalised.block_id
        for snapshot in chain.take_snapshots():
            self.schedule.learn_keys((one.index, one.consensus_key) for one in snapshot.validators)
        if change is not None:
            self.schedule.see(self._tracker.anchors.seen_from(head.id))
        self._commit = commit
        self._virtual_state = None
        self.tips = stores.dag.relations.tips()
        self.head = head
        return events

    def _chain_advanced(self, head: Head, change: VirtualChange) -> ChainAdvanced:
        headers = self.stores.headers
        added = tuple(
            AcceptedBlock(block.block_id, headers.get(block.block_id).slot, block.receipts)
            for block in change.added
        )
        return ChainAdvanced(head, change.removed, added)

    def _remember_invalid(self, block_id: bytes, error: InvalidBlock) -> None:
        self._known_invalid.setdefault(block_id, error.code)
        if len(self._known_invalid) > KNOWN_INVALID_KEPT:
            self._known_invalid.popitem(last=False)

    # templates ----------------------------------------------------------------------------------------------------

    def build_block(
        self,
        slot: int,
        band: int,
        proposer: int,
        candidates: Iterable[SignedTransaction] = (),
        votes: Sequence[Vote] = (),
        *,
        reveal: bytes,
    ) -> UnsignedBlock:
        """A block for the lane (slot, band) of validator `proposer`, on the best parents that are known.

        `candidates` come in the order in which they are preferred; their signatures are verified. Of `votes` those are
        carried that count and are not counted yet. `reveal`: the proposer's onion layer of the slot's epoch. Errors:
        `SlotNotAvailable` when the schedule names somebody else, `RevealWrong`, `NoParentUsable`, `EngineHalted`;
        faults, which halt.
        """
        if slot <= 0:
            raise SlotNotAvailable(slot, band, proposer, None)
        with self._halting():
            return self._templates.build(slot, band, proposer, candidates, votes, reveal)

    def virtual_account(self, address: bytes) -> Account:
        """The account at a 20-byte address after everything that the next block will merge.

        This is what new transactions must fit to. Errors: `EngineHalted`; faults, which halt.
        """
        raw = self.virtual_state().get(account_key(address))
        return EMPTY_ACCOUNT if raw is None else decode_account(raw)

    def virtual_state(self) -> StateReader:
        """State with the present tips merged, as far as one block can. Readable until the next block is processed."""
        with self._halting():
            if self._virtual_state is None:
                slot = 1 + max(self.stores.headers.get(tip).slot for tip in self.tips)
                try:
                    virtual = self._templates.virtual_block(slot, 0)
                    self._virtual_state = ChangedState(self._chain.state_copy(), virtual.outcome.changes)
                finally:
                    self._chain.drop()
            return self._virtual_state

    # the rest -----------------------------------------------------------------------------------------------------

    @property
    def justified(self) -> Checkpoint:
        """The highest justified checkpoint in the view of the sink. For any thread."""
        return self._finality.justified

    @property
    def finalised(self) -> Checkpoint:
        """The finalised checkpoint: no chain without it is ever selected, and it never falls. For any thread."""
        return self._finality.finalised

    @property
    def base(self) -> Base:
        """The lowest chain block that is kept. For any thread."""
        return self._pruner.base

    def newcomers_base(self, block_id: bytes) -> Base | None:
        """What a newcomer that begins at a final chain block must have; None where it is genesis, or pruned here."""
        with self._halting():
            base = self._retention.lowest_base(block_id)
            return None if base is None or base.chain_index < self.base.chain_index else base

    def prune(self, retention_slots: int = 0) -> PruningSlice | None:
        """Remove a slice of what nothing needs any more: one synced batch of some hundred keys. None: nothing is left.

        `retention_slots`: how much stays below the finalised checkpoint; never less than the network's own number.
        Errors: `EngineHalted`; faults, which halt.
        """
        with self._halting():
            batch = WriteBatch()
            done = self._pruner.stage_slice(batch, self.finalised.block_id, retention_slots)
            if done is None:
                return None
            self.stores.stage_into(batch)
            commit = append_commit(batch, self._commit)
            fail_point("pruning_slice_before")
            self.stores.store.write(batch, sync=True)
            fail_point("pruning_slice_after")
            self.stores.commit()
            self._commit = commit
            self.tips = self.stores.dag.relations.tips()
            return done

    def write_beside(self, batch: WriteBatch) -> None:
        """Write records that are not the engine's own in one synced batch, bound into the commit chain.

        Errors: `EngineHalted`; faults, which halt.
        """
        with self._halting():
            commit = append_commit(batch, self._commit)
            self.stores.store.write(batch, sync=True)
            self._commit = commit

    def pruning_forecast(self, retention_slots: int = 0) -> PruningForecast:
        """What `prune`, called until it has nothing to do, would remove. Errors: faults."""
        with self._halting():
            return forecast(self.stores, self._pruner, self.finalised.block_id, retention_slots)

    def _learn_snapshots(self) -> None:
        """The validators' keys of the last epochs of the chain."""
        stores = self.stores
        block = self.head.id
        for _ in range(SNAPSHOTS_READ):
            finality = stores.finality.find(block)
            if finality is None:  # pruned
                return
            transition = finality.transition
            snapshot = stores.epochs.find(transition)
            if snapshot is not None:
                self.schedule.learn_keys((one.index, one.consensus_key) for one in snapshot.validators)
            colouring = stores.dag.data.find(transition)
            if transition == self.genesis_id or colouring is None:
                return
            block = colouring.selected_parent

    def locator(self) -> tuple[bytes, ...]:
        """Ids of the selected chain at growing distances from the sink (`consensus.sync_plan`)."""
        return locator(self.stores.store)

    @contextmanager
    def _halting(self) -> Iterator[None]:
        """What goes wrong inside, but for a refused request, stops the engine for good."""
        if self._halted is not None:
            raise EngineHalted(self._halted)
        try:
            yield
        except (NoParentUsable, SlotNotAvailable, RevealWrong):
            raise
        except BaseException as error:
            self._halted = f"{type(error).__name__}: {error}"
            raise
