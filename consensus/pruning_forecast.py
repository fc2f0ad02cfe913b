"""What pruning would remove, counted before anything is: for operators who want to know first."""

from collections.abc import Iterator
from dataclasses import dataclass

from consensus.ghostdag import GHOSTDAG_PREFIX
from consensus.pruning import Pruner
from consensus.reachability import COVERING_PREFIX, INTERVALS_PREFIX, LINKS_PREFIX
from consensus.relations import CHILDREN_PREFIX, PARENTS_PREFIX, TIPS_PREFIX
from consensus.stores import (
    BODIES_PREFIX,
    CHAIN_PREFIX,
    FINALITY_PREFIX,
    HEADERS_PREFIX,
    MERGED_PREFIX,
    SLOTS_PREFIX,
    STATUSES_PREFIX,
    VOTES_PREFIX,
    Base,
    ConsensusStores,
    number_key,
)
from ledger.storage.state_store import RECEIPTS_PREFIX, UNDO_PREFIX

BLOCK_PREFIXES = (
    HEADERS_PREFIX,
    BODIES_PREFIX,
    VOTES_PREFIX,
    FINALITY_PREFIX,
    STATUSES_PREFIX,
    MERGED_PREFIX,
    GHOSTDAG_PREFIX,
    PARENTS_PREFIX,
    CHILDREN_PREFIX,
    TIPS_PREFIX,
    INTERVALS_PREFIX,
    LINKS_PREFIX,
    COVERING_PREFIX,
    RECEIPTS_PREFIX,
    UNDO_PREFIX,
)
"""Of every record that has a block's id as its key."""


@dataclass(frozen=True, slots=True)
class PruningForecast:
    """What would go."""

    base: Base
    """The lowest chain block that would stay."""
    blocks: int
    records: int
    """Keys of the store."""
    record_bytes: int
    """Keys and values together, before compression: about what the disk gains once the store is compacted."""


def forecast(
    stores: ConsensusStores, pruner: Pruner, finalised: bytes, retention_slots: int
) -> PruningForecast:
    """What is left to remove now. Reads every record concerned; changes nothing. Errors: faults of the store."""
    base = pruner.next_base(finalised, retention_slots) or pruner.base
    blocks = records = record_bytes = 0
    top = pruner.settles_up_to(base, finalised)
    for found in (*_entries(stores, pruner, base), *_settled_entries(stores, pruner, base, top)):
        blocks += bool(found) and found[0][0].startswith(HEADERS_PREFIX)
        records += len(found)
        record_bytes += sum(len(key) + len(value) for key, value in found)
    return PruningForecast(base, blocks, records, record_bytes)


def _entries(stores: ConsensusStores, pruner: Pruner, base: Base) -> Iterator[list[tuple[bytes, bytes]]]:
    """(key, value) of all that goes, block by block, its header first; then what goes of the base itself."""
    for index, block in _removable(stores, pruner, base):
        keys = [prefix + block for prefix in BLOCK_PREFIXES]
        keys.append(SLOTS_PREFIX + number_key(stores.headers.get(block).slot) + block)
        if index:
            keys.append(CHAIN_PREFIX + number_key(index))
        yield _present(stores, keys) + (_index_entries(stores, block) if index else [])
    if pruner.progress.swept < base.chain_index:
        yield _present(stores, [RECEIPTS_PREFIX + base.block_id]) + _index_entries(stores, base.block_id)


def _settled_entries(
    stores: ConsensusStores, pruner: Pruner, base: Base, top: int
) -> Iterator[list[tuple[bytes, bytes]]]:
    """What goes of the chain blocks above the base up to the one of index `top`."""
    for index in range(max(pruner.progress.settled, base.chain_index) + 1, top + 1):
        mergeset = stores.dag.data.get(stores.chain.get(number_key(index))).mergeset
        keys = [UNDO_PREFIX + block for block in mergeset]
        yield _present(stores, keys + [RECEIPTS_PREFIX + block for block in mergeset[1:]])


def _present(stores: ConsensusStores, keys: list[bytes]) -> list[tuple[bytes, bytes]]:
    found = ((key, stores.store.get(key)) for key in keys)
    return [(key, value) for key, value in found if value is not None]


def _index_entries(stores: ConsensusStores, chain_block: bytes) -> list[tuple[bytes, bytes]]:
    return stores.ledger.index_entries(chain_block, stores.ledger.receipts(chain_block) or ())


def _removable(stores: ConsensusStores, pruner: Pruner, base: Base) -> Iterator[tuple[int, bytes]]:
    """(chain index, or 0 beside the chain; id) of the blocks that go when the base is `base`."""
    for index in range(pruner.progress.swept + 1, base.chain_index + 1):
        chain_block = stores.chain.get(number_key(index))
        for position, block in enumerate(stores.dag.data.get(chain_block).mergeset):
            if stores.dag.has(block):
                yield (0 if position else index - 1), block
    children_left: dict[bytes, int] = {}
    dead = list(stores.dag.relations.tips())
    while dead:
        block = dead.pop()
        if stores.dag.reachability.is_chain_ancestor(base.block_id, block):
            continue
        yield 0, block
        for parent in stores.dag.relations.parents.get(block):
            if stores.merged.has(parent):
                continue
            left = children_left.get(parent, len(stores.dag.relations.children.get(parent))) - 1
            children_left[parent] = left
            if not left:
                dead.append(parent)
