"""The engine: one door for blocks, one for templates, over one store.

Synchronous and single-threaded by contract: the node's chain writer calls it. `head` and `tips` are immutable values
that any thread may read; everything else is read from the store (`consensus.stores`, `ledger.storage.state_store`).

A call either succeeds wholly, which is one synced batch, or refuses blocks, which changes nothing. Any other failure
halts the engine, because memory may be ahead of the disk then; the disk holds the result of an earlier whole call.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from consensus.blocks import Block
from consensus.commit_chain import CommitPoint, append_commit
from consensus.errors import (
    EngineHalted,
    InvalidBlock,
    KnownInvalid,
    MissingParents,
    NoParentUsable,
    ParentInvalid,
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
from consensus.ghostdag import colour
from consensus.header_validation import HeaderContext, validate_header_in_context
from consensus.merge_depth import MergeRoots
from consensus.mergeset_execution import MergesetExecutor
from consensus.opening import check_identity, found, head_of, is_empty, load
from consensus.order import Ancestry, ghostdag_rules, lane_key
from consensus.params import Params, params_from_genesis
from consensus.parent_choice import ParentChoice
from consensus.prepare import PreparedBlock, prepare_block, prepare_decoded
from consensus.schedule import Schedule, schedule_from_genesis
from consensus.stores import GENERATION_BLOCKS, HEAD_CODEC, HEAD_KEY, ConsensusStores, Head, chain_index
from consensus.sync_plan import locator
from consensus.template import UnsignedBlock, build_block, virtual_block
from consensus.virtual import ChangedState, VirtualChain, VirtualChange
from ledger.accounts import EMPTY_ACCOUNT, Account, decode_account
from ledger.genesis import Genesis, chain_rules
from ledger.registry import KindRegistry
from ledger.rules import ChainRules
from ledger.state import StateReader, account_key
from ledger.state_commitment import StateTree
from ledger.storage.errors import StoreCorrupted
from ledger.storage.store import Store
from ledger.transactions import SignedTransaction

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
        )
        executor = MergesetExecutor(params, rules, registry, stores.headers, stores.bodies)
        self._chain = VirtualChain(stores, executor, tree, self.head.id, genesis_id)
        self._parent_choice = ParentChoice(self._chain, params, self._merge_roots)
        self._known_invalid: OrderedDict[bytes, str] = OrderedDict()
        self._virtual_state: StateReader | None = None
        self._halted: str | None = None

    @classmethod
    def open(
        cls, store: Store, genesis: Genesis, registry: KindRegistry, *, blocks_kept: int = GENERATION_BLOCKS
    ) -> "Engine":
        """Found the chain of `genesis` in an empty store, or continue the one that it holds.

        `blocks_kept`: records in memory per table. Errors: `GenesisInvalid`; `SchemaMismatch`, `WrongGenesis`,
        `StoreCorrupted`; whatever the store raises.
        """
        params = params_from_genesis(genesis)
        schedule = schedule_from_genesis(genesis, params)
        is_new = is_empty(store)
        where = str(getattr(store, "directory", getattr(store, "name", "memory")))
        if not is_new:
            check_identity(store, genesis, where)
        stores = ConsensusStores(
            store, lambda headers: ghostdag_rules(params, schedule, headers), where, blocks_kept=blocks_kept
        )
        loaded = found(stores, genesis) if is_new else load(stores)
        genesis_id = chain_index(store, 0)
        if genesis_id is None or stores.headers.get(genesis_id).receipts_root != params.genesis_hash:
            raise StoreCorrupted(where, "the chain does not begin with the genesis block")
        return cls(stores, params, chain_rules(genesis), registry, schedule, genesis_id, loaded)

    # blocks -------------------------------------------------------------------------------------------------------

    def prepare_block(self, raw: bytes, now_slot: int) -> PreparedBlock:
        """Decode `raw` and judge it alone, in any thread. Errors as `consensus.prepare.prepare_block`."""
        return prepare_block(raw, self.params, self.rules, self.registry, self.schedule.validators, now_slot)

    def prepare_decoded(self, block: Block, now_slot: int) -> PreparedBlock:
        """The same for a block that is decoded already. Errors as `consensus.prepare.prepare_decoded`."""
        return prepare_decoded(
            block, self.params, self.rules, self.registry, self.schedule.validators, now_slot
        )

    def process_block(self, block: PreparedBlock) -> tuple[Event, ...]:
        """Add one block and advance the chain. A block that is known already gives no events.

        Errors: `InvalidBlock`, `MissingParents`, after which nothing has changed; `EngineHalted`; faults, which halt.
        """
        events = self.process_blocks((block,))
        for event in events:
            if isinstance(event, BlockRefused):
                raise event.error
        return events

    def process_blocks(self, blocks: Sequence[PreparedBlock]) -> tuple[Event, ...]:
        """Add all `blocks` that can be added, in order of slots, then advance the chain once: one synced batch.

        A block that cannot be added gives `BlockRefused` and does not hinder the others. Errors: `EngineHalted`;
        faults, which halt.
        """
        with self._halting():
            events: list[Event] = []
            added: list[bytes] = []
            for block in sorted(blocks, key=lambda prepared: prepared.block.header.slot):
                try:
                    if self._add(block, events):
                        added.append(block.block_id)
                except (InvalidBlock, MissingParents) as error:
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
        missing = dag.relations.missing_parents(header.parents)
        for parent in missing:
            if parent in self._known_invalid:
                raise ParentInvalid(parent, self._known_invalid[parent])
        if missing:
            raise MissingParents(missing)
        data = colour(dag, header.parents, limit=self.params.mergeset_limit)
        context = HeaderContext(
            params=self.params,
            epoch_schedule=self.schedule.of_slot(header.slot),
            parents=[self.stores.headers.get(parent) for parent in header.parents],
            reachability=self._ancestry,
            merge_root=self._merge_roots.root(data.selected_parent),
        )
        validate_header_in_context(header, data, context)
        self.stores.add_block(prepared.block, data)
        self._chain.executor.remember_transactions(block_id, prepared.transactions)
        events.append(BlockAdded(block_id, header.slot, header.band, header.proposer, header.blue_score))
        lane = dag.lanes.get(lane_key(header.slot, header.band))
        if len(lane) > 1:
            events.append(DuplicateLane(header.slot, header.band, lane))
        return True

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
        commit = append_commit(batch, self._commit)
        stores.store.write(batch, sync=True)
        stores.commit()
        chain.committed(change)
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
        self, slot: int, band: int, proposer: int, candidates: Iterable[SignedTransaction] = ()
    ) -> UnsignedBlock:
        """A block for the lane (slot, band) of validator `proposer`, on the best parents that are known.

        `candidates` come in the order in which they are preferred; their signatures are verified. Errors:
        `SlotNotAvailable` when the schedule names somebody else, `EngineHalted`; faults, which halt.
        """
        scheduled = self.schedule.proposer(slot, band) if slot > 0 else None
        if scheduled != proposer:
            raise SlotNotAvailable(slot, band, proposer, scheduled)
        with self._halting():
            return build_block(
                self._chain, self._parent_choice, self.params, slot, band, proposer, candidates
            )

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
                    virtual = virtual_block(self._chain, self._parent_choice, slot, 0)
                    self._virtual_state = ChangedState(self._chain.state_copy(), virtual.outcome.changes)
                finally:
                    self._chain.drop()
            return self._virtual_state

    # the rest -----------------------------------------------------------------------------------------------------

    @property
    def finalised_id(self) -> bytes:
        """The finalised block; genesis until `set_finalised`."""
        return self._chain.finalised_id

    def set_finalised(self, block_id: bytes) -> None:
        """Never again select a chain without `block_id`. Raises `FinalityConflict` when the present one lacks it."""
        with self._halting():
            self._chain.set_finalised(block_id)

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
        except NoParentUsable:
            raise
        except BaseException as error:
            self._halted = f"{type(error).__name__}: {error}"
            raise
