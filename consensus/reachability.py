"""Who is whose ancestor: an interval tree over selected parents, and future covering sets for everything else.

`a` is an ancestor of `b` when `b` reaches `a` by following parents. Both questions here are **reflexive**: a block is
its own ancestor and its own chain ancestor. The selected chain of `b` is b, its selected parent, and so on to genesis.

The *future covering set* of `a` holds the blocks that merged `a`, each the root of a subtree of descendants, so `b` is
a descendant of `a` exactly when it lies in the subtree of `a` or of one of these. The set is kept in tree order: one
binary search answers. Insertion searches once per merged block. Source: rusty-kaspa, processes/reachability, and
README.md, Reachability.
"""

from collections.abc import Collection, Iterator, Sequence

from consensus.errors import BlockAlreadyInDag, BlockHasChildren, BlockHasParents
from consensus.reachability_intervals import (
    SLACK,
    WHOLE_RANGE,
    Interval,
    Reindexing,
    TreeLinks,
    chain_child_towards,
    next_share,
)
from consensus.tables import DEFAULT_CAPACITY, Table
from ledger.storage.store import Reader, WriteBatch

INTERVALS_PREFIX = b"di"
LINKS_PREFIX = b"dr"
COVERING_PREFIX = b"df"
ROOT_PREFIX = b"dm"

ROOT_KEY = b"reindex-root"

ROOT_DEPTH = 100
"""Chain blocks between the reindex root and the tip right after the root has moved."""

ROOT_STEP = 100
"""The least advance of the reindex root. One block at a time costs about 50 interval writes per block, this about 8."""


class Reachability:
    """Ancestry of the blocks added so far."""

    __slots__ = ("_covering", "_depth", "_intervals", "_links", "_root", "_slack", "_step")

    def __init__(
        self,
        store: Reader | None = None,
        *,
        capacity: int = DEFAULT_CAPACITY,
        root_depth: int = ROOT_DEPTH,
        root_step: int = ROOT_STEP,
        slack: int = SLACK,
    ) -> None:
        """Over `store`, or in memory. Depth, step and slack change costs, never answers."""
        self._intervals: Table[Interval] = Table(
            "reachability intervals", tuple[int, int], store=store, prefix=INTERVALS_PREFIX, capacity=capacity
        )
        self._links: Table[TreeLinks] = Table(
            "reachability tree", TreeLinks, store=store, prefix=LINKS_PREFIX, capacity=capacity
        )
        self._covering: Table[tuple[bytes, ...]] = Table(
            "future covering sets", tuple[bytes, ...], store=store, prefix=COVERING_PREFIX, capacity=capacity
        )
        self._root: Table[bytes] = Table(
            "reindex root", bytes, store=store, prefix=ROOT_PREFIX, capacity=capacity
        )
        self._depth = root_depth
        self._step = root_step
        self._slack = slack

    def has(self, block: bytes) -> bool:
        """Whether `block` was added."""
        return self._intervals.has(block)

    def add_genesis(self, block: bytes) -> None:
        """Add the one block without parents, first of all."""
        if self._root.has(ROOT_KEY):
            raise BlockAlreadyInDag(block)
        self._intervals.put(block, WHOLE_RANGE)
        self._links.put(block, TreeLinks(b"", 0, ()))
        self._covering.put(block, ())
        self._root.put(ROOT_KEY, block)

    def add_placeholder(self, block: bytes, height: int) -> None:
        """As `add_genesis`, at another height: something for blocks to stand on whose selected parents are not here.
        Remove it with `remove_root` once the root is raised."""
        self.add_genesis(block)
        self._links.put(block, TreeLinks(b"", height, ()))

    def add_block(self, block: bytes, selected_parent: bytes, mergeset: Collection[bytes]) -> None:
        """Add `block` under its selected parent; `mergeset` (in any order, without the selected parent) is what else it
        has in its past and its selected parent has not. Raises `BlockAlreadyInDag`, `MissingRecord`.
        """
        intervals = self._intervals
        if intervals.has(block):
            raise BlockAlreadyInDag(block)
        links = self._links.get(selected_parent)
        start, end = intervals.get(selected_parent)
        if links.children:
            start = intervals.get(links.children[-1])[1] + 1
        room = (start, end - 1)
        is_full = room[1] < room[0]
        intervals.put(block, room if is_full else next_share(room, len(links.children)))
        self._links.put(selected_parent, TreeLinks(links.parent, links.height, (*links.children, block)))
        self._links.put(block, TreeLinks(selected_parent, links.height + 1, ()))
        self._covering.put(block, ())
        if is_full:
            root = self._root.get(ROOT_KEY)
            Reindexing(intervals, self._links, self._slack).make_room(block, root)
        if mergeset:
            self._cover(block, mergeset)

    def _cover(self, block: bytes, mergeset: Collection[bytes]) -> None:
        """Put `block` into the future covering set of every block that it merges.

        None of the set's members is on the chain of `block`: the merged one would be in the selected parent's past.
        """
        intervals, covering = self._intervals, self._covering
        number = intervals.get(block)[1]
        for merged in mergeset:
            items = covering.get(merged)
            if not items or intervals.get(items[-1])[1] < number:
                items = (*items, block)
            else:
                position = self._first_not_below(items, number)
                items = (*items[:position], block, *items[position:])
            covering.put(merged, items)

    def _first_not_below(self, items: Sequence[bytes], number: int) -> int:
        """Position of the first of `items` (in tree order) whose own number is at least `number`."""
        intervals = self._intervals
        low, high = 0, len(items)
        while low < high:
            middle = (low + high) >> 1
            if intervals.get(items[middle])[1] < number:
                low = middle + 1
            else:
                high = middle
        return low

    def is_chain_ancestor(self, ancestor: bytes, descendant: bytes) -> bool:
        """Whether `ancestor` is on the selected chain of `descendant`; true for a block and itself."""
        start, end = self._intervals.get(ancestor)
        return start <= self._intervals.get(descendant)[1] <= end

    def is_ancestor(self, ancestor: bytes, descendant: bytes) -> bool:
        """Whether `ancestor` is in the past of `descendant`; true for a block and itself."""
        intervals = self._intervals
        start, end = intervals.get(ancestor)
        number = intervals.get(descendant)[1]
        if start <= number <= end:
            return True
        items = self._covering.get(ancestor)
        if not items:
            return False
        position = self._first_not_below(items, number)
        return position < len(items) and intervals.get(items[position])[0] <= number

    def find_related(self, blocks: Sequence[bytes]) -> tuple[bytes, bytes] | None:
        """A pair (ancestor, descendant) among distinct `blocks`, or None when they are an antichain."""
        for descendant in blocks:
            for ancestor in blocks:
                if ancestor != descendant and self.is_ancestor(ancestor, descendant):
                    return ancestor, descendant
        return None

    def height(self, block: bytes) -> int:
        """Length of the selected chain from genesis (0) to `block`."""
        return self._links.get(block).height

    def chain_parent(self, block: bytes) -> bytes | None:
        """The selected parent, or None for genesis and where it was removed."""
        return self._links.get(block).parent or None

    def chain_child_towards(self, ancestor: bytes, descendant: bytes) -> bytes:
        """The next block after `ancestor` on the selected chain of `descendant`. O(log children).

        Raises `NotOnChain` if `ancestor` is not on that chain, or is `descendant` itself.
        """
        return chain_child_towards(self._intervals, self._links, ancestor, descendant)

    def chain_up(self, ancestor: bytes, descendant: bytes) -> Iterator[bytes]:
        """The selected chain of `descendant` after `ancestor`, ascending, ending with `descendant`."""
        current = ancestor
        while current != descendant:
            current = self.chain_child_towards(current, descendant)
            yield current

    def chain_down(self, block: bytes) -> Iterator[bytes]:
        """The selected chain of `block`, from itself down to genesis, or to the last one that was not removed."""
        current: bytes | None = block
        while current is not None:
            yield current
            current = self.chain_parent(current)

    def common_chain_ancestor(self, first: bytes, second: bytes) -> bytes:
        """The highest block on both selected chains. Steps: its depth below `first`."""
        current = first
        while not self.is_chain_ancestor(current, second):
            current = self._links.get(current).parent
        return current

    def advance_root(self, selected_tip: bytes) -> None:
        """Let the reindex root follow the selected chain; call it with the best tip after blocks were added.

        The root moves only when it can advance `root_step` at once. After a reorganisation it stays on the old chain
        until the new one is `slack` higher. Leaving the calls out costs time, never an answer.
        """
        root = self._root.get(ROOT_KEY)
        height = self.height(selected_tip)
        ahead = height - self.height(root)
        if ahead < self._depth + self._step:
            return
        fork = root
        if not self.is_chain_ancestor(root, selected_tip):
            if ahead < self._slack:
                return
            fork = self.common_chain_ancestor(root, selected_tip)
        self._move_root(fork, selected_tip, height - self._depth)

    def raise_root(self, base: bytes) -> None:
        """Move the reindex root up to `base`, wherever it was, unless it is `base` or has it on its chain already.

        After this no operation on the chain descendants of `base` needs a block that is not one of them, so all others
        can be removed. Proof. New blocks are chain descendants of `base`, and so is the root r, from now on: it only
        moves along chains of such blocks. Intervals are dealt anew in `make_room` and in `advance_root` alone:

        * `make_room(x)` climbs from x at most to r, or to the first ancestor of x whose parent f is on r's chain.
          `base` is on the chains of both x and r, so f is `base` or above it. From f on it goes up, to chain blocks
          between f and r and to subtrees beside them: tree descendants of f all.
        * `advance_root` goes up from r, or from the common chain ancestor of r and a tip, which is `base` or above it,
          and packs children of the blocks that it passes.

        Neither changes the interval of `base` itself, so it stays disjoint from those of blocks beside it, which stay
        as they are: ancestry between any two blocks that are left is answered as before.
        """
        root = self._root.get(ROOT_KEY)
        if not self.is_chain_ancestor(base, root):
            self._move_root(self.common_chain_ancestor(root, base), base, self.height(base))

    def _move_root(self, fork: bytes, tip: bytes, height: int) -> None:
        """Make the block of `height` on the chain of `tip` the root; `fork`, on that chain below it, is or was on the
        chain of the present one."""
        path = []
        for block in self.chain_up(fork, tip):
            if self.height(block) > height:
                break
            path.append(block)
        reindexing = Reindexing(self._intervals, self._links, self._slack)
        parent = fork
        for block in path:
            reindexing.concentrate(parent, block, is_root=block is path[-1])
            parent = block
        self._root.put(ROOT_KEY, parent)

    def remove_leaf(self, block: bytes, mergeset: Collection[bytes]) -> None:
        """Remove a block that is nobody's ancestor. `mergeset`: as it was added; what of it is gone already is passed
        over. Raises `MissingRecord`, `BlockHasChildren`."""
        links = self._links.get(block)
        if links.children or self._covering.get(block):
            raise BlockHasChildren(block)
        for merged in mergeset:
            items = self._covering.find(merged)
            if items is not None:
                self._covering.put(merged, tuple(item for item in items if item != block))
        below = self._links.find(links.parent) if links.parent else None
        if below is not None:
            left = tuple(child for child in below.children if child != block)
            self._links.put(links.parent, TreeLinks(below.parent, below.height, left))
        self._forget(block)

    def remove_root(self, block: bytes) -> None:
        """Remove a block whose ancestors are all removed. Its tree children become roots of their own and keep their
        heights. It must not be a chain descendant of the block that the reindex root was raised to.

        Raises `MissingRecord`, `BlockHasParents`.
        """
        links = self._links.get(block)
        if links.parent:
            raise BlockHasParents(block)
        for child in links.children:
            above = self._links.get(child)
            self._links.put(child, TreeLinks(b"", above.height, above.children))
        self._forget(block)

    def _forget(self, block: bytes) -> None:
        self._intervals.delete(block)
        self._links.delete(block)
        self._covering.delete(block)

    def stage_into(self, batch: WriteBatch) -> None:
        """Add the staged writes to `batch`."""
        self._intervals.stage_into(batch)
        self._links.stage_into(batch)
        self._covering.stage_into(batch)
        self._root.stage_into(batch)

    def commit(self) -> None:
        """The batch has been written."""
        self._intervals.commit()
        self._links.commit()
        self._covering.commit()
        self._root.commit()

    def discard(self) -> None:
        """Forget what was added and removed since the last `commit`."""
        self._intervals.discard()
        self._links.discard()
        self._covering.discard()
        self._root.discard()
