"""Intervals of the reachability tree: arithmetic, subtree counts and reindexing.

Every block of the selected-parent tree holds an inclusive interval `(start, end)` of integers; its tree children hold
disjoint intervals inside `(start, end - 1)`, ascending in the order in which they were added. So a block's `end` is its
own number, and `a` is on the chain of `b` exactly when `a.start <= b.end <= a.end`. An interval with
`end == start - 1` is empty; it occurs only between a block's insertion and the reindexing that follows.

When a parent has no room for a new child, intervals are dealt anew below the nearest ancestor with enough room. The
*reindex root* is a block some 100 to 200 below the tip of the selected chain: it holds nearly the whole number range,
and its ancestors keep only *slack* on both sides of the chain. A block that arrives below the root takes slack from the
chain between the fork and the root (`make_room`). Source: rusty-kaspa, consensus/src/processes/reachability.

Not as in the source: fractions are integers; a new child takes less the more siblings it has (`next_share`); dealing
leaves room behind the last child as if for one more child, or each further child of a wide fan would deal all its
siblings anew; and above the reindex root dealing starts where room is ample, not where it just fits (`AMPLE_BITS`).
"""

from collections.abc import Sequence

import msgspec

from consensus.errors import IntervalsExhausted, NotOnChain
from consensus.tables import Table

Interval = tuple[int, int]
"""(start, end), both inclusive."""

WHOLE_RANGE: Interval = (1, 2**63 - 1)
"""Genesis's interval: what a signed 64-bit number holds, as every integer that the node writes."""

SLACK = 4_096
"""Room left on each side of the chain below the reindex root, for late blocks. As in the source."""

AMPLE_BITS = 40
"""Above the reindex root an ancestor deals its interval anew when it has 2^40 times the room that its subtree needs.
What it deals lasts for some ten generations of wide layers; the first ancestor that just fits (as in the source) would
have to deal again at the next block: 100 interval writes per block instead of 3 at width 8."""

SHARE_BITS = 62
"""A subtree smaller than the largest sibling's by this many blocks gets its own size and nothing on top."""


class TreeLinks(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A block's place in the selected-parent tree."""

    parent: bytes
    """Selected parent; empty for genesis, and where it was removed."""
    height: int
    """Selected parents down to genesis."""
    children: tuple[bytes, ...]
    """Tree children, ascending by interval (the order of their arrival)."""


def next_share(room: Interval, siblings: int) -> Interval:
    """What a new child takes of non-empty `room` behind its `siblings`: one part of siblings + 2, rounded up.

    So the n-th child of a block gets about 1 / n^2 of all, and neither a long chain nor a wide fan is soon out of room.
    (The source halves the room each time, which gives 1 / 2^n.)
    """
    start, end = room
    return start, start + (end - start) // (siblings + 2)


def packed_size(size: int, siblings: int, slack: int) -> int:
    """Numbers for a subtree of `size` blocks beside the chain, below the reindex root: its own, and as many times more
    as it has siblings, `slack` times at most.

    Room below the root is made by shifting siblings, so it costs their number, and this much of it lasts for as many
    blocks: n late children of one old block cost n writes or so, and so do branches that the root has left behind and
    that grow in turn. (Packed to the exact size as in the source, both cost n^2.)
    """
    return size * (1 + min(siblings, slack))


def split_exact(interval: Interval, sizes: Sequence[int]) -> list[Interval]:
    """Consecutive intervals of exactly `sizes`, from the start of `interval`, which holds them all."""
    start = interval[0]
    parts = []
    for size in sizes:
        parts.append((start, start + size - 1))
        start += size
    return parts


def split_by_growth(interval: Interval, sizes: Sequence[int]) -> list[Interval]:
    """Consecutive intervals, each of at least its size; what is left goes in proportion to 2^size.

    The part with the largest subtree is the one that grows, so it gets nearly everything. One further share, as for a
    child of size 1, stays free at the end. Source: Interval::split_exponential.
    """
    start, end = interval
    spare = end - start + 1 - sum(sizes)
    largest = max(sizes)
    weights = [1 << (SHARE_BITS - (largest - size)) if largest - size <= SHARE_BITS else 0 for size in sizes]
    total = sum(weights) + (1 << max(0, SHARE_BITS - (largest - 1)))
    parts = []
    for size, weight in zip(sizes, weights, strict=True):
        width = size + spare * weight // total
        parts.append((start, start + width - 1))
        start += width
    return parts


def chain_child_towards(
    intervals: Table[Interval], links: Table[TreeLinks], ancestor: bytes, descendant: bytes
) -> bytes:
    """The tree child of `ancestor` on whose chain `descendant` lies (or which it is). Raises `NotOnChain`."""
    number = intervals.get(descendant)[1]
    children = links.get(ancestor).children
    low, high = 0, len(children)
    while low < high:
        middle = (low + high) >> 1
        if intervals.get(children[middle])[1] < number:
            low = middle + 1
        else:
            high = middle
    if low == len(children) or intervals.get(children[low])[0] > number:
        raise NotOnChain(ancestor, descendant)
    return children[low]


class Reindexing:
    """One operation on the tree's intervals. Subtree sizes are counted once per operation, without recursion."""

    __slots__ = ("_intervals", "_links", "_sizes", "_slack")

    def __init__(self, intervals: Table[Interval], links: Table[TreeLinks], slack: int) -> None:
        self._intervals = intervals
        self._links = links
        self._slack = slack
        self._sizes: dict[bytes, int] = {}

    def make_room(self, new_block: bytes, root: bytes) -> None:
        """Give `new_block`, whose interval is empty, and the subtrees around it room. Raises `IntervalsExhausted`.

        Climbs to the first ancestor with ample room for its subtree, at most to the reindex root. At the chain below
        the root it stops, since dealing from there would touch everything since: there the first ancestor whose
        subtree just fits must do, or else slack.
        """
        fitting: bytes | None = None
        current = new_block
        while True:
            size = self._subtree_size(current)
            start, end = self._intervals.get(current)
            room = end - start + 1
            if room >= size << AMPLE_BITS or (current == root and room >= size):
                self._deal(current)
                return
            if room >= size and fitting is None:
                fitting = current
            parent = self._links.get(current).parent
            if not parent or current == root:
                raise IntervalsExhausted(size, room)
            if parent != root and self._is_on_chain(parent, root):
                if fitting is None:
                    self._make_room_behind_root(current, root, parent, size)
                else:
                    self._deal(fitting)
                return
            current = parent

    def concentrate(self, parent: bytes, chosen: bytes, *, is_root: bool) -> None:
        """Squeeze the other children of `parent` to `packed_size` and give everything else to `chosen`.

        `is_root`: `chosen` becomes the reindex root, so its subtree is dealt anew if it no longer fits.
        """
        children = self._links.get(parent).children
        position = children.index(chosen)
        start, end = self._intervals.get(parent)
        before = self._packed_sizes(children[:position], len(children))
        after = self._packed_sizes(children[position + 1 :], len(children))
        first = start + self._slack
        last = end - self._slack - 1
        allocation = (first + sum(before), last - sum(after))
        self._place_packed(children[:position], before, first)
        self._place_packed(children[position + 1 :], after, allocation[1] + 1)
        current = self._intervals.get(chosen)
        fits = allocation[0] <= current[0] and current[1] <= allocation[1]
        if is_root and not fits:
            # Dealt within a margin, so that the next move of the root finds the subtree fitting and deals nothing.
            self._intervals.put(chosen, (allocation[0] + self._slack, allocation[1] - self._slack))
            self._deal(chosen)
        self._intervals.put(chosen, allocation)

    def _packed_sizes(self, blocks: Sequence[bytes], siblings: int) -> list[int]:
        return [packed_size(self._subtree_size(block), siblings, self._slack) for block in blocks]

    def _place_packed(self, blocks: Sequence[bytes], sizes: Sequence[int], start: int) -> None:
        for block, interval in zip(blocks, split_exact((start, start), sizes), strict=True):
            self._intervals.put(block, interval)
            self._deal(block)

    def _make_room_behind_root(self, allocated: bytes, root: bytes, fork: bytes, required: int) -> None:
        """Widen `allocated`, a child of the chain block `fork` below the root, by at least `required`.

        The room is the slack inside the chain's blocks from the child of `fork` up to the root, taken nearest first.
        Those blocks shrink on that side, and the subtrees on that side of the chain shift as a whole.
        """
        links = self._links
        children = links.get(fork).children
        if allocated == children[-1]:  # room for further late children too
            required = len(children) * packed_size(required, len(children), self._slack)
        chosen = chain_child_towards(self._intervals, links, fork, root)
        is_before = self._intervals.get(allocated)[0] < self._intervals.get(chosen)[0]
        slack_sum = 0
        steps = 0
        kept = 0
        current = chosen
        while True:
            if current == root:
                # The root has room for all: refill the slack of every chain block that was passed.
                kept = self._slack
                offset = required + kept * steps - slack_sum
                self._shrink(current, offset, is_before)
                self._deal(current)
                self._shift_siblings(allocated, current, offset, is_before)
                break
            slack = self._free_beside(current, is_before)
            slack_sum += slack
            if slack_sum >= required:
                offset = slack - (slack_sum - required)
                self._shrink(current, offset, is_before)
                self._shift_siblings(allocated, current, offset, is_before)
                break
            current = chain_child_towards(self._intervals, links, current, root)
            steps += 1
        while (current := links.get(current).parent) != fork:
            offset = self._free_beside(current, is_before) - kept
            self._shrink(current, offset, is_before)
            self._shift_siblings(allocated, current, offset, is_before)

    def _shift_siblings(self, allocated: bytes, current: bytes, offset: int, is_before: bool) -> None:
        """Move the siblings of chain block `current` on the given side by `offset` towards it; if `allocated` is met,
        widen it by `offset` instead and stop."""
        children = self._links.get(self._links.get(current).parent).children
        position = children.index(current)
        siblings = reversed(children[:position]) if is_before else iter(children[position + 1 :])
        for sibling in siblings:
            start, end = self._intervals.get(sibling)
            if sibling == allocated:
                widened = (start, end + offset) if is_before else (start - offset, end)
                if end < start:  # new, the last child: what it leaves is for those to come
                    widened = next_share(widened, len(children) - 1)
                self._intervals.put(sibling, widened)
                self._deal(sibling)
                return
            shifted = (start + offset, end + offset) if is_before else (start - offset, end - offset)
            self._intervals.put(sibling, shifted)
            self._deal(sibling)

    def _shrink(self, block: bytes, offset: int, is_before: bool) -> None:
        start, end = self._intervals.get(block)
        self._intervals.put(block, (start + offset, end) if is_before else (start, end - offset))

    def _free_beside(self, parent: bytes, is_before: bool) -> int:
        """Numbers free inside `parent` before its first child, or after its last one. It has children."""
        start, end = self._intervals.get(parent)
        children = self._links.get(parent).children
        if is_before:
            return self._intervals.get(children[0])[0] - start
        return end - 1 - self._intervals.get(children[-1])[1]

    def _deal(self, block: bytes) -> None:
        """Deal the intervals of the whole subtree of `block` anew, from its own interval downwards."""
        self._subtree_size(block)
        intervals, links, sizes = self._intervals, self._links, self._sizes
        pending = [block]
        while pending:
            current = pending.pop()
            children = links.get(current).children
            if children:
                start, end = intervals.get(current)
                parts = split_by_growth((start, end - 1), [sizes[child] for child in children])
                for child, part in zip(children, parts, strict=True):
                    intervals.put(child, part)
                pending.extend(children)

    def _subtree_size(self, block: bytes) -> int:
        """Blocks in the subtree of `block`, itself included."""
        sizes = self._sizes
        if block not in sizes:
            links = self._links
            found = [block]
            for current in found:  # grows while it is walked: parents before their children
                found.extend(child for child in links.get(current).children if child not in sizes)
            for current in reversed(found):
                sizes[current] = 1 + sum(sizes[child] for child in links.get(current).children)
        return sizes[block]

    def _is_on_chain(self, ancestor: bytes, descendant: bytes) -> bool:
        start, end = self._intervals.get(ancestor)
        return start <= self._intervals.get(descendant)[1] <= end
