"""Founding a chain in an empty store, and the checks of a store that holds one.

Nothing is repaired here: a store that does not hold together raises `StoreCorrupted` and is left as it is.
"""

from consensus.blocks import genesis_block
from consensus.commit_chain import EMPTY, CommitPoint, append_commit, read_commit_chain
from consensus.errors import CommitChainBroken, FinalityConflict, MissingRecord, RecordDamaged
from consensus.finality import CHECKPOINT_CODEC, genesis_finality
from consensus.finality_proofs import read_conflict
from consensus.ghostdag import GENESIS_DATA
from consensus.import_marker import ImportUnfinished, is_importing
from consensus.pruning import read_progress
from consensus.stores import (
    BODIES_PREFIX,
    EPOCHS_PREFIX,
    FINALISED_KEY,
    HEAD_CODEC,
    HEAD_KEY,
    IDENTITY_CODEC,
    IDENTITY_KEY,
    SCHEMA_VERSION,
    VOTES_PREFIX,
    Base,
    ConsensusStores,
    Head,
    Identity,
    Status,
    chain_index,
    merging_index,
    read_base,
    read_finalised,
    read_head,
    read_identity,
)
from consensus.votes import NO_VOTES_ROOT
from ledger.errors import LedgerError
from ledger.genesis import Genesis, genesis_hash, genesis_state
from ledger.staking.snapshot import SNAPSHOT_CODEC, SNAPSHOT_KEY
from ledger.state_commitment import StateTree
from ledger.storage.errors import SchemaMismatch, StoreCorrupted, StoreError, WrongGenesis
from ledger.storage.store import Store, WriteBatch

CHECKED_CHAIN_BLOCKS = 256
"""Chain blocks below the sink whose records, merge sets included, are looked at when a store is opened. They are what
the next blocks are coloured against and what a reorganisation within the promised bounds undoes."""


def is_empty(store: Store) -> bool:
    """Whether nothing was ever written to the store."""
    return next(store.iterate(b""), None) is None


def check_identity(store: Store, genesis: Genesis, where: str) -> None:
    """The store is of this layout and this chain. Raises `ImportUnfinished`, `SchemaMismatch`, `WrongGenesis`,
    `StoreCorrupted`."""
    if is_importing(store):
        raise ImportUnfinished(where)
    try:
        identity = read_identity(store)
    except RecordDamaged as error:
        raise StoreCorrupted(where, str(error)) from None
    if identity is None or identity.schema_version != SCHEMA_VERSION:
        raise SchemaMismatch(where, SCHEMA_VERSION, None if identity is None else identity.schema_version)
    expected = genesis_hash(genesis)
    if identity.genesis_hash != expected:
        raise WrongGenesis(where, expected, identity.genesis_hash)


def found(stores: ConsensusStores, genesis: Genesis) -> tuple[Head, CommitPoint, StateTree]:
    """Write genesis block and state into an empty store, in one synced batch."""
    state = genesis_state(genesis)
    tree = StateTree()  # a bulk build would deal 65,536 buckets for these few keys
    tree.commit(tree.prepare(state))
    block = genesis_block(genesis, tree.root)
    finality = genesis_finality(block.header_id)
    stores.add_block(block, GENESIS_DATA, finality)
    stores.epochs.put(block.header_id, SNAPSHOT_CODEC.decode(state[SNAPSHOT_KEY]))
    stores.append_to_chain(block.header_id, 0)
    stores.set_status(block.header_id, Status.VALID)
    head = head_of(stores, block.header_id)
    batch = WriteBatch()
    batch.put(IDENTITY_KEY, IDENTITY_CODEC.encode(Identity(SCHEMA_VERSION, genesis_hash(genesis))))
    batch.put(HEAD_KEY, HEAD_CODEC.encode(head))
    batch.put(FINALISED_KEY, CHECKPOINT_CODEC.encode(finality.view.finalised))
    stores.ledger.stage_genesis(batch, state)
    stores.stage_into(batch)
    commit = append_commit(batch, EMPTY)
    stores.store.write(batch, sync=True)
    stores.commit()
    return head, commit, tree


def load(stores: ConsensusStores) -> tuple[Head, CommitPoint, StateTree]:
    """Check what the store holds and read what the engine keeps in memory.

    Errors: `StoreCorrupted`; `FinalityConflict` when that is what the node stopped for.
    """
    conflict = read_conflict(stores.store)
    if conflict is not None:
        raise FinalityConflict(conflict.ours.checkpoint.block_id, conflict.theirs.checkpoint.block_id)
    try:
        commit = read_commit_chain(stores.store)
        head = read_head(stores.store)
        if head is None:
            raise StoreCorrupted(stores.where, "there is no head")
        tree = StateTree.build(stores.ledger.state())
        if tree.root != head.state_root:
            raise StoreCorrupted(
                stores.where,
                f"the state has root {tree.root.hex()}, block {head.id.hex()} commits to {head.state_root.hex()}",
            )
        _check_records(stores, head)
    except (MissingRecord, RecordDamaged, CommitChainBroken) as error:
        raise StoreCorrupted(stores.where, str(error)) from error
    except LedgerError as error:
        if isinstance(error, StoreError):
            raise
        raise StoreCorrupted(stores.where, str(error)) from error
    return head, commit, tree


def head_of(stores: ConsensusStores, sink: bytes) -> Head:
    """The head record of a chain that ends with `sink`."""
    header = stores.headers.get(sink)
    return Head(
        sink,
        header.slot,
        header.blue_score,
        header.blue_work,
        header.state_root,
        stores.dag.reachability.height(sink),
    )


def _check_records(stores: ConsensusStores, head: Head) -> None:
    """The head is what its records say, and nothing that the next blocks need is missing."""
    dag = stores.dag
    if head != head_of(stores, head.id):
        raise StoreCorrupted(stores.where, f"the head differs from the records of block {head.id.hex()}")
    _check_finality(stores, head)
    base = _checked_base(stores, head)
    block = head.id
    for index in range(head.chain_index, max(-1, head.chain_index - CHECKED_CHAIN_BLOCKS), -1):
        if index == base.chain_index > 0:  # what it merges is pruned
            break
        if chain_index(stores.store, index) != block:
            raise StoreCorrupted(stores.where, f"chain index {index} is not block {block.hex()}")
        data = dag.data.get(block)
        for merged in data.mergeset:
            if merging_index(stores.store, merged) != index:
                raise StoreCorrupted(stores.where, f"block {merged.hex()} is not marked as merged at {index}")
            _check_block(stores, merged)
        if index:
            block = data.selected_parent
    tips = dag.relations.tips()
    if not tips:
        raise StoreCorrupted(stores.where, "there are no tips")
    pending = list(tips)
    seen = set(pending)
    while pending:  # the antipast of the sink, and the sink
        block = pending.pop()
        _check_block(stores, block)
        for parent in dag.relations.parents.get(block):
            if parent not in seen and merging_index(stores.store, parent) is None:
                seen.add(parent)
                pending.append(parent)
    if head.id not in seen:
        raise StoreCorrupted(stores.where, f"no tip descends from the sink {head.id.hex()}")


def _checked_base(stores: ConsensusStores, head: Head) -> Base:
    """The base and its floor are blocks of the selected chain, where they say."""
    base = read_base(stores.store)
    if base is None:
        raise StoreCorrupted(stores.where, "there is no base")
    if chain_index(stores.store, base.chain_index) != base.block_id:
        raise StoreCorrupted(
            stores.where, f"chain index {base.chain_index} is not the base {base.block_id.hex()}"
        )
    _check_block(stores, base.block_id)
    swept = read_progress(stores.store).swept
    if swept > base.chain_index or chain_index(stores.store, swept) is None:
        raise StoreCorrupted(
            stores.where, f"pruning stands at chain index {swept}, which is not on the chain"
        )
    reachability = stores.dag.reachability
    if not (
        reachability.is_chain_ancestor(base.block_id, base.floor_id)
        and reachability.is_chain_ancestor(base.floor_id, head.id)
    ):
        raise StoreCorrupted(
            stores.where, f"the floor {base.floor_id.hex()} is not on the chain above the base"
        )
    return base


def _check_finality(stores: ConsensusStores, head: Head) -> None:
    """The finalised checkpoint is on the chain, and the snapshots of the sink's epochs are there."""
    finalised = read_finalised(stores.store)
    if finalised is None:
        raise StoreCorrupted(stores.where, "there is no finalised checkpoint")
    if not stores.dag.reachability.is_chain_ancestor(finalised.block_id, head.id):
        raise StoreCorrupted(
            stores.where, f"finalised block {finalised.block_id.hex()} is not on the chain of the sink"
        )
    of_head = stores.finality.get(head.id)
    for block in (
        of_head.view.finalised.block_id,
        stores.finality.get(of_head.anchor).view.finalised.block_id,
    ):
        transition = stores.finality.get(block).transition
        if stores.store.get(EPOCHS_PREFIX + transition) is None:
            raise StoreCorrupted(stores.where, f"transition block {transition.hex()} has no snapshot")


def _check_block(stores: ConsensusStores, block: bytes) -> None:
    """All records of one block are there."""
    dag = stores.dag
    header = stores.headers.get(block)
    dag.data.get(block)
    stores.finality.get(block)
    dag.relations.children.get(block)
    for parent in dag.relations.parents.get(block):
        if not dag.reachability.is_ancestor(parent, block):
            raise StoreCorrupted(
                stores.where, f"block {block.hex()} does not descend from its parent {parent.hex()}"
            )
    if stores.store.get(BODIES_PREFIX + block) is None:
        raise StoreCorrupted(stores.where, f"block {block.hex()} has no body")
    if header.votes_root != NO_VOTES_ROOT and stores.store.get(VOTES_PREFIX + block) is None:
        raise StoreCorrupted(stores.where, f"block {block.hex()} has no votes")
