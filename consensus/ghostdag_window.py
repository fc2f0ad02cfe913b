"""Colouring by sets of numbers over the most recent blocks: the fast way, exact whenever it answers.

Blocks are numbered as they arrive, and a set of blocks is an int with one *byte* per number (1 for a member, 0 for
others). Union, intersection and size are one operation each, and so is adding 1 to the anticone sizes of a whole set:
the sizes of a view are one int too, a byte per blue. For each of the last `span` to 2 × `span` blocks the window keeps
its past, the blues of its view and their sizes.

Arrival order is topological, so between two blocks of the window ancestry is known exactly: no path between them leaves
it. What the window cannot know, it says: `colour` returns None when a parent, a member of the merge set or a blue that
matters lies outside, and the caller walks the tables instead (`ghostdag.colour_by_walking`). So its content is free to
differ between nodes: it decides how fast an answer comes, never which. README.md, GHOSTDAG, gives the argument.
"""

from collections.abc import Callable, Iterable, Sequence

from consensus.errors import MergesetTooLarge
from consensus.ghostdag_records import GhostdagData, GhostdagRules, OrderKey

LEAST_SPAN = 144

SIZE_LIMIT = 128
"""A size is stored as size + (128 - k), so its byte's top bit is set exactly when the size is k. Greater k do not fit
in a byte: the window stays off for them."""


def default_span(k: int) -> int:
    """Blocks that the window keeps at least. A block's anticone has about k blocks, so this holds eight of them."""
    return max(LEAST_SPAN, 8 * k) if k < SIZE_LIMIT else 0


def members(block_set: int) -> list[int]:
    """The numbers in a set, ascending."""
    raw = block_set.to_bytes((block_set.bit_length() + 7) >> 3, "little")
    found = []
    number = raw.find(1)
    while number >= 0:
        found.append(number)
        number = raw.find(1, number + 1)
    return found


class View:
    """What the window knows about one block's own colouring."""

    __slots__ = ("blues", "oldest", "sizes")

    def __init__(self, blues: int, sizes: int, oldest: int) -> None:
        self.blues = blues
        """Blue blocks in the block's past, in its view."""
        self.sizes = sizes
        """Byte n: anticone size of blue block n, plus 128 - k; 0 for other blocks."""
        self.oldest = oldest
        """Least number in the merge set (with the selected parent); negative when a part of it lies outside."""


class Entry:
    """One block of the window."""

    __slots__ = ("anchors", "block", "closed", "data", "oldest_parent", "selected", "view")

    def __init__(
        self,
        block: bytes,
        data: GhostdagData,
        view: View,
        *,
        closed: int,
        anchors: int,
        selected: int,
        oldest_parent: int,
    ) -> None:
        self.block = block
        self.data = data
        self.view = view
        self.closed = closed
        """The block's past, and itself."""
        self.anchors = anchors
        """Those blocks X of its selected chain for which all merge sets on the chain above X lie inside: of a candidate
        with X in its past, every blue in its anticone is in `view.blues`."""
        self.selected = selected
        """Number of the selected parent; negative outside."""
        self.oldest_parent = oldest_parent
        """Least number among the parents; negative when one lies outside."""


class ColouringWindow:
    """Sets over the last blocks. `span` 0 switches it off."""

    __slots__ = (
        "_bias",
        "_committed",
        "_doubled",
        "_entries",
        "_keys",
        "_last",
        "_numbers",
        "_outside",
        "_rules",
        "_span",
    )

    def __init__(self, rules: GhostdagRules, span: int) -> None:
        self._rules = rules
        self._span = span
        self._bias = SIZE_LIMIT - rules.k
        self._entries: list[Entry] = []
        self._numbers: dict[bytes, int] = {}
        self._keys: list[OrderKey | None] = []
        """ORDER keys, asked for when first needed: the caller may store what they depend on after the block."""
        self._outside = 0
        """Blocks with a parent outside."""
        self._doubled = 0
        """Blocks of whose lane more than one is known; a few too many after `discard`."""
        self._last: tuple[GhostdagData, View] | None = None
        """What `colour` found last, for the `add` that usually follows."""
        self._committed = 0

    def is_ancestor(self, ancestor: bytes, descendant: bytes) -> bool | None:
        """Whether `ancestor` is in the past of `descendant` (or is it); None when one of them lies outside."""
        above = self._numbers.get(descendant)
        below = self._numbers.get(ancestor)
        if above is None or below is None:
            return None
        return self._entries[above].closed >> (below << 3) & 1 == 1

    def mergeset(
        self, selected_parent: bytes, parents: Sequence[bytes], limit: int | None
    ) -> list[bytes] | None:
        """Blocks in the past of `parents` and not in that of `selected_parent`, without the latter, ascending by ORDER;
        None when a part may lie outside. Raises `MergesetTooLarge`."""
        numbers = self._numbers_of((selected_parent, *parents))
        if numbers is None:
            return None
        merged = self._merge(numbers[0], numbers, limit)
        return None if merged is None else [self._entries[number].block for number in merged]

    def colour(
        self,
        parents: Sequence[bytes],
        limit: int | None,
        is_second_of_lane: Callable[[bytes, bytes, set[bytes]], bool],
    ) -> GhostdagData | None:
        """The colouring of a block with `parents`, or None when the window cannot know it.

        `is_second_of_lane(selected parent, candidate, lanes met)` answers the lane rule; it is asked about lanes of
        several blocks only, candidate by candidate in ORDER. Raises `MergesetTooLarge`.
        """
        numbers = self._numbers_of(parents)
        if numbers is None:
            return None
        selected = numbers[0] if len(numbers) == 1 else self._greatest(numbers)
        merged = self._merge(selected, numbers, limit)
        if merged is None:
            return None
        entries, k, bias, doubled = self._entries, self._rules.k, self._bias, self._doubled
        below = entries[selected]
        anchors = below.anchors
        blues = changed = 1 << (selected << 3)
        blues |= below.view.blues
        sizes = below.view.sizes + (bias << (selected << 3))
        blue_ids = [below.block]
        red_ids = []
        lanes_met: set[bytes] = set()
        for number in merged:
            entry = entries[number]
            past = entry.closed
            if not past & anchors:
                return None
            anticone = blues ^ (blues & past)
            size = anticone.bit_count()
            position = number << 3
            # The lane is asked first: the first of a lane is first whatever its colour.
            is_second = (
                doubled and doubled >> position & 1 and is_second_of_lane(below.block, entry.block, lanes_met)
            )
            if is_second or size > k or sizes & anticone << 7:
                red_ids.append(entry.block)
                continue
            blue_ids.append(entry.block)
            candidate = 1 << position
            blues |= candidate
            changed |= candidate | anticone
            sizes += anticone | size + bias << position
        mergeset_blues = tuple(blue_ids)
        mergeset = mergeset_blues
        if red_ids:
            mergeset = (below.block, *[entries[number].block for number in merged])
        data = GhostdagData(
            below.data.blue_score + len(blue_ids),
            below.data.blue_work + sum(map(self._rules.weight, blue_ids)),
            below.block,
            mergeset,
            mergeset_blues,
            tuple(red_ids),
            self._sizes_of(changed, sizes),
        )
        self._last = (data, View(blues, sizes, min(selected, *merged) if merged else selected))
        return data

    def add(self, block: bytes, parents: Sequence[bytes], data: GhostdagData) -> None:
        """Append a block whose parents were added before, with its colouring."""
        if not self._span:
            return
        entries, numbers = self._entries, self._numbers
        number = len(entries)
        own = closed = 1 << (number << 3)
        oldest_parent = number
        for parent in parents:
            below = numbers.get(parent, -1)
            if below < oldest_parent:
                oldest_parent = below
            if below >= 0:
                closed |= entries[below].closed
        if oldest_parent < 0:
            self._outside |= own
        selected = numbers.get(data.selected_parent, -1)
        last = self._last
        view = last[1] if last is not None and last[0] is data else self._view_of(data, selected)
        anchors = own | entries[selected].anchors if view.oldest >= 0 else own
        numbers[block] = number
        entries.append(
            Entry(
                block,
                data,
                view,
                closed=closed,
                anchors=anchors,
                selected=selected,
                oldest_parent=oldest_parent,
            )
        )
        self._keys.append(None)
        if number >= 2 * self._span:
            self._drop_oldest(number + 1 - self._span)

    def mark_doubled(self, blocks: Iterable[bytes]) -> None:
        """These blocks share a lane."""
        for block in blocks:
            number = self._numbers.get(block)
            if number is not None:
                self._doubled |= 1 << (number << 3)

    def commit(self) -> None:
        """What was added stays."""
        self._committed = len(self._entries)

    def discard(self) -> None:
        """Forget what was added since the last `commit`."""
        kept = self._committed
        for entry in self._entries[kept:]:
            del self._numbers[entry.block]
        del self._entries[kept:], self._keys[kept:]
        inside = (1 << (kept << 3)) - 1
        self._outside &= inside
        self._doubled &= inside
        self._last = None

    def _numbers_of(self, blocks: Iterable[bytes]) -> list[int] | None:
        """The numbers of all `blocks`, in the same order, or None when one lies outside."""
        numbers = self._numbers
        found = []
        for block in blocks:
            number = numbers.get(block)
            if number is None:
                return None
            found.append(number)
        return found

    def _learn_keys(self, numbers: Iterable[int]) -> None:
        """Ask for the ORDER keys of these blocks, once each."""
        keys = self._keys
        for number in numbers:
            if keys[number] is None:
                entry = self._entries[number]
                keys[number] = self._rules.order_key(entry.block, entry.data)

    def _greatest(self, numbers: Sequence[int]) -> int:
        self._learn_keys(numbers)
        return max(numbers, key=self._keys.__getitem__)  # type: ignore[arg-type]

    def _merge(self, selected: int, parents: Iterable[int], limit: int | None) -> list[int] | None:
        """Numbers of the merge set without the selected parent, ascending by ORDER; None when a part may be outside."""
        entries = self._entries
        union = 0
        for parent in parents:
            union |= entries[parent].closed
        merged = union ^ (union & entries[selected].closed)
        if merged & self._outside:
            return None
        if limit is not None and merged.bit_count() > limit:
            raise MergesetTooLarge(limit + 1, limit)
        numbers = members(merged)
        if len(numbers) > 1:
            self._learn_keys(numbers)
            numbers.sort(key=self._keys.__getitem__)  # type: ignore[arg-type]
        return numbers

    def _sizes_of(self, changed: int, sizes: int) -> dict[bytes, int]:
        """The anticone sizes of the blocks in `changed`."""
        entries, bias = self._entries, self._bias
        raw = sizes.to_bytes((sizes.bit_length() + 7) >> 3, "little")
        return {entries[number].block: raw[number] - bias for number in members(changed)}

    def _view_of(self, data: GhostdagData, selected: int) -> View:
        """The view of a block that this window did not colour just now, as far as it lies inside."""
        numbers = self._numbers
        before = self._entries[selected].view if selected >= 0 else View(0, 0, -1)
        blues, sizes = before.blues, before.sizes
        for block, size in data.blues_anticone_sizes.items():
            number = numbers.get(block)
            if number is not None:
                position = number << 3
                blues |= 1 << position
                sizes += size + self._bias - (sizes >> position & 255) << position
        return View(blues, sizes, min((numbers.get(block, -1) for block in data.mergeset), default=-1))

    def _drop_oldest(self, count: int) -> None:
        """Move the window up by `count` blocks: a shift of every set, once per `span` blocks."""
        shift = count << 3
        kept = self._entries[count:]
        self._numbers = {entry.block: number for number, entry in enumerate(kept)}
        self._keys = self._keys[count:]
        self._entries = []
        self._outside = 0
        for number, old in enumerate(kept):
            view = View(old.view.blues >> shift, old.view.sizes >> shift, old.view.oldest - count)
            own = 1 << (number << 3)
            selected = old.selected - count
            oldest_parent = old.oldest_parent - count
            if oldest_parent < 0:
                self._outside |= own
            anchors = own | self._entries[selected].anchors if view.oldest >= 0 else own
            self._entries.append(
                Entry(
                    old.block,
                    old.data,
                    view,
                    closed=old.closed >> shift,
                    anchors=anchors,
                    selected=selected,
                    oldest_parent=oldest_parent,
                )
            )
        self._doubled >>= shift
        self._committed = max(0, self._committed - count)
        self._last = None
