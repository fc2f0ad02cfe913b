"""What a newcomer asks for, and what it is told to fetch. Pure functions over a `Reader`, for any thread.

The asker sends a *locator*: ids of its selected chain at growing distances, down to its base. The answer is a plan:
from the highest of them on the answerer's own selected chain, chain block by chain block, first what the block merges
and then the block itself; at the end what the sink does not have in its past. Parents always stand before their
children, or are in the past of the common block, which whoever names a block has. README, Sync plan, has the
protocol.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from consensus.errors import LocatorPruned, MissingRecord
from consensus.stores import (
    chain_index,
    index_on_chain,
    is_chain_ancestor,
    merging_index,
    read_base,
    read_ghostdag,
    read_head,
    read_header,
    read_parents,
    read_tips,
)
from ledger.storage.store import Reader

LOCATOR_DENSE = 8
"""Chain blocks at the top of a locator that are one apart; from there on the distance doubles."""

MAX_LOCATOR_IDS = 64
"""More than any chain needs (8 + log2 of its length), fewer than would cost anything."""


@dataclass(frozen=True, slots=True)
class SyncPlan:
    """Blocks to fetch, in an order in which they can be added."""

    common: bytes
    """The chain block that the plan starts from."""
    ids: tuple[bytes, ...]
    """Parents before children."""
    complete: bool
    """Whether nothing is left: with these the asker has all that the answerer has."""
    resume: bytes
    """The last chain block of the plan (`common` when it has none). Put it first in the next locator: the own chain
    may still be the better one then, so the own locator alone would start this over."""
    resume_antipast: tuple[int, bytes] | None
    """(slot, id) of the last planned block beyond the sink's past, to go on after it; None before that part."""


def locator(reader: Reader) -> tuple[bytes, ...]:
    """Ids of the selected chain from the sink down at exponentially growing distances, our base last (genesis, where
    nothing was pruned).

    Empty for an empty store.
    """
    head, base = read_head(reader), read_base(reader)
    if head is None or base is None:
        return ()
    ids = []
    index, step = head.chain_index, 1
    while index > base.chain_index:
        ids.append(_chain_block(reader, index))
        if len(ids) >= LOCATOR_DENSE:
            step *= 2
        index -= step
    ids.append(base.block_id)
    return tuple(ids)


def plan_after(
    reader: Reader,
    known: Sequence[bytes],
    limit: int,
    antipast_after: tuple[int, bytes] | None = None,
) -> SyncPlan:
    """Up to about `limit` blocks for whoever has the blocks `known` (a locator, best first) with their pasts.

    Give a snapshot as `reader`. A chain block is planned together with all that it merges, so a plan may exceed `limit`
    by one merge set, and always makes progress. `antipast_after` is the last plan's `resume_antipast`; it counts only
    when the plan begins at the sink. When no id of `known` is on the chain (a foreign or lying asker), the plan starts
    after genesis. Errors: `LocatorPruned` when what the asker lacks first is no longer here; `MissingRecord` on an
    empty or damaged store.
    """
    head = read_head(reader)
    if head is None:
        raise MissingRecord("head", b"")
    common, start = _common_block(reader, known)
    ids: list[bytes] = []
    resume = common
    for index in range(start + 1, head.chain_index + 1):
        if len(ids) >= limit:
            return SyncPlan(common, tuple(ids), False, resume, None)
        block = _chain_block(reader, index)
        data = read_ghostdag(reader, block)
        if data is None:
            raise MissingRecord("ghostdag data", block)
        ids.extend(data.mergeset[1:])
        ids.append(block)
        resume = block
    beyond = antipast(reader)
    if antipast_after is not None and start == head.chain_index:
        beyond = [entry for entry in beyond if entry > antipast_after]
    room = max(1, limit - len(ids))
    taken = beyond[:room]
    ids.extend(block for _, block in taken)
    return SyncPlan(
        common, tuple(ids), len(taken) == len(beyond), resume, taken[-1] if taken else antipast_after
    )


def antipast(reader: Reader) -> list[tuple[int, bytes]]:
    """(slot, id) of the blocks that are neither the sink nor in its past, ascending: a topological order, since slots
    rise from parent to child. Cost: their number and that of the tips.

    Tips without the base's floor on their chains are left out, with what only they stand on: nobody can merge them.
    """
    head, base = read_head(reader), read_base(reader)
    pending = [
        tip
        for tip in read_tips(reader)
        if (head is None or tip != head.id)
        and (base is None or is_chain_ancestor(reader, base.floor_id, tip))
    ]
    seen = set(pending)
    found = []
    while pending:
        block = pending.pop()
        if merging_index(reader, block) is not None:
            continue
        header = read_header(reader, block)
        parents = read_parents(reader, block)
        if header is None or parents is None:
            raise MissingRecord("headers", block)
        found.append((header.slot, block))
        for parent in parents:
            if parent not in seen and (head is None or parent != head.id):
                seen.add(parent)
                pending.append(parent)
    found.sort()
    return found


def _common_block(reader: Reader, known: Sequence[bytes]) -> tuple[bytes, int]:
    """The first of `known` on the selected chain above the base, with its index; genesis when there is none, while it
    is the base. Errors: `LocatorPruned`."""
    base = read_base(reader)
    if base is None:
        raise MissingRecord("base", b"")
    for block in known[:MAX_LOCATOR_IDS]:
        index = index_on_chain(reader, block)
        if index is not None and index >= base.chain_index:
            return block, index
    if base.chain_index:
        raise LocatorPruned(base.slot)
    return base.block_id, 0


def _chain_block(reader: Reader, index: int) -> bytes:
    block = chain_index(reader, index)
    if block is None:
        raise MissingRecord("selected chain", index.to_bytes(8, "big"))
    return block
