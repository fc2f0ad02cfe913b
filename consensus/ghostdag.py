"""GHOSTDAG: which parent is selected, which blocks are blue, and in which order a block merges what is new to it.

`colour` answers for a block that has only parents yet, so validation and templates ask the same way; `Dag.add` then
stores. Both follow README.md, GHOSTDAG; source: Sompolinsky, Wyborski and Zohar, "PHANTOM GHOSTDAG" (AFT 2021),
algorithm 1 with the incremental colouring of rusty-kaspa, and one rule of our own: of the blocks of one lane in a view
the first in consensus order keeps its weight, every further one is red.
"""

from collections import deque
from collections.abc import Sequence

from consensus.errors import BlockAlreadyInDag, MergesetTooLarge
from consensus.ghostdag_records import GENESIS_DATA, GhostdagData, GhostdagRules, OrderKey
from consensus.ghostdag_window import ColouringWindow, default_span
from consensus.reachability import Reachability
from consensus.relations import Relations
from consensus.tables import DEFAULT_CAPACITY, Table
from ledger.storage.store import Reader, WriteBatch

__all__ = [
    "GENESIS_DATA",
    "Dag",
    "GhostdagData",
    "GhostdagRules",
    "OrderKey",
    "colour",
    "colour_by_walking",
    "ordered_mergeset",
    "select_parent",
]

GHOSTDAG_PREFIX = b"dg"
LANES_PREFIX = b"dl"


class Dag:
    """Edges, ancestry and colouring of all blocks, changed together and persisted together.

    Keys in the store begin with `d`. One thread at a time.
    """

    __slots__ = ("_is_in_memory", "data", "lanes", "reachability", "relations", "rules", "window")

    def __init__(
        self,
        rules: GhostdagRules,
        store: Reader | None = None,
        *,
        capacity: int = DEFAULT_CAPACITY,
        window_span: int | None = None,
    ) -> None:
        """Over `store`, or in memory. `capacity`: records in memory per table. `window_span`: see `ghostdag_window`;
        None derives it from k, 0 always walks the tables."""
        self.rules = rules
        self._is_in_memory = store is None
        self.relations = Relations(store, capacity=capacity)
        self.reachability = Reachability(store, capacity=capacity)
        self.data: Table[GhostdagData] = Table(
            "ghostdag data", GhostdagData, store=store, prefix=GHOSTDAG_PREFIX, capacity=capacity
        )
        self.lanes: Table[tuple[bytes, ...]] = Table(
            "lanes", tuple[bytes, ...], store=store, prefix=LANES_PREFIX, capacity=capacity
        )
        """Lane key -> the blocks of that lane, in order of arrival. More than one is evidence."""
        self.window = ColouringWindow(rules, default_span(rules.k) if window_span is None else window_span)

    def has(self, block: bytes) -> bool:
        """Whether `block` was added."""
        return self.data.has(block)

    def order_key(self, block: bytes) -> OrderKey:
        """Place in ORDER of a block that was added."""
        return self.rules.order_key(block, self.data.get(block))

    def is_ancestor(self, ancestor: bytes, descendant: bytes) -> bool:
        """As `Reachability.is_ancestor` (reflexive), faster for recent blocks."""
        answer = self.window.is_ancestor(ancestor, descendant)
        return self.reachability.is_ancestor(ancestor, descendant) if answer is None else answer

    def find_related(self, blocks: Sequence[bytes]) -> tuple[bytes, bytes] | None:
        """A pair (ancestor, descendant) among distinct `blocks`, or None when they are an antichain."""
        for descendant in blocks:
            for ancestor in blocks:
                if ancestor != descendant and self.is_ancestor(ancestor, descendant):
                    return ancestor, descendant
        return None

    def add_genesis(self, block: bytes) -> None:
        """Add the one block without parents, first of all."""
        self.reachability.add_genesis(block)
        self.relations.add(block, ())
        self._record(block, (), GENESIS_DATA)

    def add(self, block: bytes, parents: Sequence[bytes], data: GhostdagData) -> None:
        """Add `block` with the colouring that `colour` gave for `parents`. What the rules answer about `block` must be
        known by now, except its ORDER key, which is asked for when it is a parent or merged.

        Raises `BlockAlreadyInDag`, `MissingRecord`.
        """
        if self.data.has(block):
            raise BlockAlreadyInDag(block)
        self.relations.add(block, parents)
        self.reachability.add_block(block, data.selected_parent, data.mergeset[1:])
        self._record(block, parents, data)

    def restore(
        self,
        block: bytes,
        parents: Sequence[bytes],
        chain_parent: bytes,
        merged: Sequence[bytes],
        data: GhostdagData,
    ) -> None:
        """Add `block` with a colouring from elsewhere, of whose past only a part is here: `parents` and `merged` are
        what is, `chain_parent` the selected parent or what stands for it in the tree. Only for importing a window.

        Raises `BlockAlreadyInDag`, `MissingRecord`.
        """
        self.relations.add(block, parents)
        self.reachability.add_block(block, chain_parent, merged)
        self.data.put(block, data)
        lane = self.rules.lane(block)
        if lane is not None:
            self.lanes.put(lane, (*(self.lanes.find(lane) or ()), block))

    def _record(self, block: bytes, parents: Sequence[bytes], data: GhostdagData) -> None:
        self.data.put(block, data)
        self.window.add(block, parents, data)
        lane = self.rules.lane(block)
        if lane is not None:
            earlier = self.lanes.find(lane)
            if earlier is None:
                self.lanes.put(lane, (block,))
            else:
                self.lanes.put(lane, (*earlier, block))
                self.window.mark_doubled((*earlier, block))

    def remove_leaf(self, block: bytes) -> None:
        """Remove a block without children. Raises `BlockHasChildren`, `MissingRecord`."""
        data = self.data.get(block)
        self.relations.remove_leaf(block)
        self.reachability.remove_leaf(block, data.mergeset[1:])
        self._forget(block)

    def remove_root(self, block: bytes) -> None:
        """Remove a block whose parents are all removed. `README.md`, Pruning, says which blocks no answer needs.

        Raises `BlockHasParents`, `BlockIsTip`, `MissingRecord`.
        """
        self.relations.remove_root(block)
        self.reachability.remove_root(block)
        self._forget(block)

    def _forget(self, block: bytes) -> None:
        """The window keeps what it holds: it answers about blocks that are there, and those it answers right."""
        self.data.delete(block)
        lane = self.rules.lane(block)
        if lane is None:
            return
        left = tuple(one for one in self.lanes.get(lane) if one != block)
        if left:
            self.lanes.put(lane, left)
        else:
            self.lanes.delete(lane)

    def stage_into(self, batch: WriteBatch) -> None:
        """Add the staged writes to `batch`."""
        self.relations.stage_into(batch)
        self.reachability.stage_into(batch)
        self.data.stage_into(batch)
        self.lanes.stage_into(batch)

    def commit(self) -> None:
        """The batch has been written. Nothing to do in memory."""
        if self._is_in_memory:
            return
        self.relations.commit()
        self.reachability.commit()
        self.data.commit()
        self.lanes.commit()
        self.window.commit()

    def discard(self) -> None:
        """Forget what was added and removed since the last `commit`. Raises `WritesAreFinal` in memory, having changed
        nothing."""
        self.data.discard()
        self.relations.discard()
        self.reachability.discard()
        self.lanes.discard()
        self.window.discard()


def select_parent(dag: Dag, parents: Sequence[bytes]) -> bytes:
    """The greatest of one or more `parents` by ORDER. Raises `MissingRecord`."""
    return parents[0] if len(parents) == 1 else max(parents, key=dag.order_key)


def ordered_mergeset(
    dag: Dag, selected_parent: bytes, parents: Sequence[bytes], *, limit: int | None = None
) -> tuple[bytes, ...]:
    """Consensus order of what a block with `parents` merges: `selected_parent`, then the rest ascending by ORDER.

    `limit` bounds the rest. Raises `MergesetTooLarge` at the first block beyond it, and `MissingRecord`.
    """
    merged = dag.window.mergeset(selected_parent, parents, limit)
    if merged is None:
        merged = sorted(_unordered_mergeset(dag, selected_parent, parents, limit), key=dag.order_key)
    return (selected_parent, *merged)


def colour(dag: Dag, parents: Sequence[bytes], *, limit: int | None = None) -> GhostdagData:
    """The colouring of a block with these one or more distinct parents. Changes nothing.

    `limit`: greatest size of the merge set, the selected parent not counted. Raises `MergesetTooLarge` after bounded
    work, `MissingRecord` when a parent is unknown.
    """

    def is_second_of_lane(selected_parent: bytes, candidate: bytes, lanes_met: set[bytes]) -> bool:
        return _is_second_of_lane(dag, selected_parent, candidate, lanes_met)

    data = dag.window.colour(parents, limit, is_second_of_lane)
    if data is None:
        data = colour_by_walking(dag, select_parent(dag, parents), parents, limit=limit)
    return data


def colour_by_walking(
    dag: Dag, selected_parent: bytes, parents: Sequence[bytes], *, limit: int | None = None
) -> GhostdagData:
    """`colour` from the tables alone: at any age of the blocks, slower. Same errors."""
    mergeset = ordered_mergeset(dag, selected_parent, parents, limit=limit)
    blues = [selected_parent]
    reds = []
    sizes = {selected_parent: 0}
    lanes_met: set[bytes] = set()
    for candidate in mergeset[1:]:
        # The lane is asked of every candidate, red or not: the first of a lane is first whatever its colour.
        is_second = _is_second_of_lane(dag, selected_parent, candidate, lanes_met)
        anticone = None if is_second else _blue_anticone(dag, candidate, blues, sizes)
        if anticone is None:
            reds.append(candidate)
            continue
        blues.append(candidate)
        sizes[candidate] = len(anticone)
        for blue, size in anticone:
            sizes[blue] = size + 1
    before = dag.data.get(selected_parent)
    return GhostdagData(
        before.blue_score + len(blues),
        before.blue_work + sum(map(dag.rules.weight, blues)),
        selected_parent,
        mergeset,
        tuple(blues),
        tuple(reds),
        sizes,
    )


def _unordered_mergeset(
    dag: Dag, selected_parent: bytes, parents: Sequence[bytes], limit: int | None
) -> list[bytes]:
    """Past of `parents` minus past of `selected_parent` minus itself: breadth first, cut at the latter's ancestors."""
    found: list[bytes] = []
    seen = {selected_parent}
    pending = deque(parents)
    while pending:
        block = pending.popleft()
        if block in seen:
            continue
        seen.add(block)
        if dag.is_ancestor(block, selected_parent):
            continue
        found.append(block)
        if limit is not None and len(found) > limit:
            raise MergesetTooLarge(limit + 1, limit)
        pending.extend(dag.relations.parents.get(block))
    return found


def _is_second_of_lane(dag: Dag, selected_parent: bytes, candidate: bytes, lanes_met: set[bytes]) -> bool:
    """Whether another block of the candidate's lane comes before it in consensus order.

    That is one in the past of the selected parent, or one merged before the candidate (`lanes_met`, added to here).
    """
    lane = dag.rules.lane(candidate)
    if lane is None:
        return False
    if lane in lanes_met:
        return True
    lanes_met.add(lane)
    rivals = dag.lanes.get(lane)
    return len(rivals) > 1 and any(
        dag.is_ancestor(rival, selected_parent) for rival in rivals if rival != candidate
    )


def _blue_anticone(
    dag: Dag, candidate: bytes, blues: Sequence[bytes], sizes: dict[bytes, int]
) -> list[tuple[bytes, int]] | None:
    """The blues in the candidate's anticone with their own sizes, or None when the candidate is red.

    Walks the selected chain from the new block (whose `blues` and `sizes` so far are given) down to the first block in
    the candidate's past: at most k + 1 chain blocks, since each brings a blue of the anticone, its selected parent.
    """
    k = dag.rules.k
    anticone: list[tuple[bytes, int]] = []
    maps = [sizes]
    merged = blues
    chain_block = blues[0]
    while True:
        for blue in merged:
            if dag.is_ancestor(blue, candidate):
                continue
            size = next(known[blue] for known in maps if blue in known)
            if size == k or len(anticone) == k:
                return None
            anticone.append((blue, size))
        if dag.is_ancestor(chain_block, candidate):
            return anticone
        data = dag.data.get(chain_block)
        maps.append(data.blues_anticone_sizes)
        merged = data.mergeset_blues
        chain_block = data.selected_parent
