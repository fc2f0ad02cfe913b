"""Which parents a new block names.

The selected parent is the best block that qualifies; then, in descending ORDER, every other tip that fits into the
merge set. Whatever is not usable gives way to its own parents: a tip of the template's slot or later, a later block of
a lane that was seen twice, a disqualified tip above the selected parent. A tip that is too far away for one merge set
gives way to the nearest block of its selected chain that fits, so two long sides merge in pieces. Reasons: README,
Templates.
"""

from bisect import insort
from collections.abc import Iterable

from consensus.errors import MergeBelowFloor, MergesetTooLarge, MergeTooDeep, NoParentUsable
from consensus.finality_tracking import FinalityTracker
from consensus.ghostdag import GhostdagData, OrderKey, colour, ordered_mergeset, select_parent
from consensus.merge_depth import MergeRoots, validate_merge_depth, validate_merge_floor
from consensus.order import Ancestry, lane_key
from consensus.params import Params
from consensus.stores import ConsensusStores
from consensus.virtual import VirtualChain
from consensus.votes import Checkpoint

MAX_FRUITLESS_TIPS = 24
"""Tips tried in vain for one template. Each costs up to nine walks over a merge set, and whoever kept back its lanes
can make thousands of tips that do not fit; what is left waits for the next template."""


MAX_CERTIFIED_BLOCKS = 512
"""Blocks looked at for the best one of a certified chain: those of the periods in which votes count, and more."""


class Frontier:
    """Blocks to look at, the greatest by ORDER first; each at most once."""

    __slots__ = ("_entries", "_seen", "_stores")

    def __init__(self, stores: ConsensusStores, blocks: Iterable[bytes]) -> None:
        self._stores = stores
        self._entries: list[tuple[OrderKey, bytes]] = []
        self._seen: set[bytes] = set()
        self.add(blocks)

    def add(self, blocks: Iterable[bytes]) -> None:
        """Look at `blocks` too."""
        for block in blocks:
            if block not in self._seen:
                self._seen.add(block)
                insort(self._entries, (self._stores.dag.order_key(block), block))

    def take(self) -> bytes | None:
        """The greatest block, which leaves; None when there is none."""
        return self._entries.pop()[1] if self._entries else None

    def replace(self, block: bytes) -> None:
        """Look at the parents of `block` in its place."""
        self.add(self._stores.dag.relations.parents.get(block))


class ParentChoice:
    """Chooses parents for the block of a slot. Moves the virtual chain to the selected parent."""

    def __init__(self, chain: VirtualChain, params: Params, merge_roots: MergeRoots) -> None:
        self._chain = chain
        self._stores = chain.stores
        self._dag = chain.stores.dag
        self._params = params
        self._merge_roots = merge_roots
        self._ancestry = Ancestry(self._dag)

    def choose(self, slot: int) -> tuple[tuple[bytes, ...], GhostdagData]:
        """Parents, ascending by id, and the colouring that they give; `chain` stands at the selected parent then.

        Raises `NoParentUsable` when even genesis is not older than `slot`.
        """
        frontier = Frontier(self._stores, self._dag.relations.tips())
        selected_parent = self._take_selected_parent(frontier, slot)
        merge_root = self._merge_roots.root(selected_parent)
        parents = [selected_parent]
        data = colour(self._dag, parents, limit=self._params.mergeset_limit)
        fruitless = 0
        while len(parents) < self._params.max_parents and fruitless < MAX_FRUITLESS_TIPS:
            block = frontier.take()
            if block is None or len(data.mergeset) > self._params.mergeset_limit:  # nothing left, or no room
                break
            if self._in_past_of(block, parents) or self._is_out_of_reach(block, selected_parent, merge_root):
                continue
            if not self._is_usable(block, slot):
                frontier.replace(block)
                continue
            fitting = self._nearest_fitting(block, parents, slot)
            if fitting is None:
                fruitless += 1
                continue
            widened = [parent for parent in parents if not self._dag.is_ancestor(parent, fitting)]
            widened.append(fitting)
            wider = self._coloured(widened, merge_root)
            if wider is None:
                fruitless += 1
            else:
                parents, data = widened, wider
        return tuple(sorted(parents)), data

    def choose_certified(
        self, slot: int, source: Checkpoint, target: Checkpoint, tracker: FinalityTracker
    ) -> tuple[tuple[bytes, ...], GhostdagData] | None:
        """The best block whose chain has `target` as its checkpoint and whose view has justified `source`, as the only
        parent; `chain` stands there then. None when there is no such block among those looked at."""
        frontier = Frontier(self._stores, self._dag.relations.tips())
        lowest = self._stores.headers.get(target.block_id).slot
        for _ in range(MAX_CERTIFIED_BLOCKS):
            block = frontier.take()
            if block is None:
                return None
            if (
                self._is_usable(block, slot)
                and self._counts_there(block, source, target, tracker)
                and self._chain.qualifies(block)
            ):
                return (block,), colour(self._dag, [block], limit=self._params.mergeset_limit)
            if self._stores.headers.get(block).slot > lowest:
                frontier.replace(block)
        return None

    def _counts_there(
        self, block: bytes, source: Checkpoint, target: Checkpoint, tracker: FinalityTracker
    ) -> bool:
        """Whether a block on `block` alone may carry votes for the link, and its children count them."""
        view = self._stores.finality.get(block).view
        return source in view.justified_chain and tracker.is_checkpoint(block, target)

    def _take_selected_parent(self, frontier: Frontier, slot: int) -> bytes:
        while True:
            block = frontier.take()
            if block is None:
                raise NoParentUsable(slot)
            if self._is_usable(block, slot) and self._chain.qualifies(block):
                return block
            frontier.replace(block)

    def _is_usable(self, block: bytes, slot: int) -> bool:
        """Older than the new block, and the first of its lane that this node saw."""
        header = self._stores.headers.get(block)
        if header.slot >= slot:
            return False
        return not header.parents or self._dag.lanes.get(lane_key(header.slot, header.band))[0] == block

    def _in_past_of(self, block: bytes, parents: Iterable[bytes]) -> bool:
        return any(self._dag.is_ancestor(block, parent) for parent in parents)

    def _is_out_of_reach(self, block: bytes, selected_parent: bytes, merge_root: bytes) -> bool:
        """Whether `block`, which is not in the past of `selected_parent`, is red and too deep: the fate of old tips.

        Without the merge root in its past, all chain blocks from there on are in its anticone, and more than k make it
        red. Told without colouring, which would be done for each of them in every template.
        """
        if self._dag.is_ancestor(merge_root, block):
            return False
        height = self._dag.reachability.height
        return height(selected_parent) - height(merge_root) >= self._params.ghostdag_k

    def _nearest_fitting(self, block: bytes, parents: list[bytes], slot: int) -> bytes | None:
        """`block`, or the first usable one on its selected chain with which the merge set is small enough.

        A lower block merges a subset of what a higher one does, so bisection finds where fitting begins.
        """
        if self._fits(block, parents):
            return block
        steps = []
        for lower in self._dag.reachability.chain_down(block):
            if self._in_past_of(lower, parents):
                break
            steps.append(lower)
        low, high = 1, len(steps)
        while low < high:
            middle = (low + high) >> 1
            if self._fits(steps[middle], parents):
                high = middle
            else:
                low = middle + 1
        return next((step for step in steps[low:] if self._is_usable(step, slot)), None)

    def _fits(self, block: bytes, parents: list[bytes]) -> bool:
        wider = [*parents, block]
        try:
            ordered_mergeset(
                self._dag, select_parent(self._dag, wider), wider, limit=self._params.mergeset_limit
            )
        except MergesetTooLarge:
            return False
        return True

    def _coloured(self, parents: list[bytes], merge_root: bytes) -> GhostdagData | None:
        """The colouring of a block with `parents`, or None when it merges too deep."""
        data = colour(self._dag, parents, limit=self._params.mergeset_limit)
        try:
            validate_merge_depth(data.mergeset_blues, data.mergeset_reds, merge_root, self._ancestry)
            merge_floor = self._merge_roots.floor(data.selected_parent)
            validate_merge_floor(data.mergeset[1:], merge_floor, self._ancestry)
        except (MergeTooDeep, MergeBelowFloor):
            return None
        return data
