"""Parents, children and tips of the blocks in the DAG.

A block is added after all its parents, once, and removed before them (a leaf) or after them (a root), so no list here
names a block that is not there. Nothing here knows about order or colour.
"""

from collections.abc import Sequence

from consensus.errors import BlockAlreadyInDag, BlockHasChildren, BlockHasParents, BlockIsTip
from consensus.tables import DEFAULT_CAPACITY, Table
from ledger.storage.store import Reader, WriteBatch

PARENTS_PREFIX = b"dp"
CHILDREN_PREFIX = b"dc"
TIPS_PREFIX = b"dt"


class Relations:
    """The edges of the DAG, both ways."""

    __slots__ = ("_tip_changes", "_tip_records", "_tips", "children", "parents")

    def __init__(self, store: Reader | None = None, *, capacity: int = DEFAULT_CAPACITY) -> None:
        """Over `store`, or in memory. Reads the tips that are stored."""
        ids = tuple[bytes, ...]
        self.parents: Table[tuple[bytes, ...]] = Table(
            "parents", ids, store=store, prefix=PARENTS_PREFIX, capacity=capacity
        )
        """id -> parents as the block names them, less those that were removed; () for genesis."""
        self.children: Table[tuple[bytes, ...]] = Table(
            "children", ids, store=store, prefix=CHILDREN_PREFIX, capacity=capacity
        )
        """id -> children in order of arrival, which differs from node to node: never let it into a result."""
        self._tip_records: Table[int] = Table("tips", int, store=store, prefix=TIPS_PREFIX, capacity=capacity)
        self._tips: dict[bytes, None] = dict.fromkeys(self._tip_records.stored_keys())
        self._tip_changes: list[tuple[bytes, bool]] = []
        """(id, whether it was made a tip) since the last commit, for `discard`."""

    def has(self, block: bytes) -> bool:
        """Whether `block` is in the DAG."""
        return self.parents.has(block)

    def missing_parents(self, parents: Sequence[bytes]) -> tuple[bytes, ...]:
        """Those of `parents` that are not in the DAG, in the same order."""
        known = self.parents
        return tuple(parent for parent in parents if not known.has(parent))

    def add(self, block: bytes, parents: Sequence[bytes]) -> None:
        """Add `block` under `parents`, which are all known. Raises `BlockAlreadyInDag`, `MissingRecord`."""
        if self.parents.has(block):
            raise BlockAlreadyInDag(block)
        children, tips = self.children, self._tips
        for parent, siblings in [(parent, children.get(parent)) for parent in parents]:
            children.put(parent, (*siblings, block))
            if parent in tips:
                del tips[parent]
                self._tip_records.delete(parent)
                self._tip_changes.append((parent, False))
        self.parents.put(block, tuple(parents))
        children.put(block, ())
        self._make_tip(block)

    def remove_leaf(self, block: bytes) -> None:
        """Remove a block without children. A parent whose last child it was becomes a tip again.

        Raises `BlockHasChildren`, `MissingRecord`.
        """
        if self.children.get(block):
            raise BlockHasChildren(block)
        for parent in self.parents.get(block):
            left = tuple(child for child in self.children.get(parent) if child != block)
            self.children.put(parent, left)
            if not left:
                self._make_tip(parent)
        self._forget(block)
        del self._tips[block]
        self._tip_records.delete(block)
        self._tip_changes.append((block, False))

    def remove_root(self, block: bytes) -> None:
        """Remove a block that has children and no parents any more; its children name it no longer as a parent.

        Raises `BlockHasParents`, `BlockIsTip`, `MissingRecord`.
        """
        if self.parents.get(block):
            raise BlockHasParents(block)
        children = self.children.get(block)
        if not children:
            raise BlockIsTip(block)
        for child in children:
            self.parents.put(child, tuple(one for one in self.parents.get(child) if one != block))
        self._forget(block)

    def tips(self) -> tuple[bytes, ...]:
        """Blocks without children, ascending by id."""
        return tuple(sorted(self._tips))

    def _forget(self, block: bytes) -> None:
        self.parents.delete(block)
        self.children.delete(block)

    def _make_tip(self, block: bytes) -> None:
        self._tips[block] = None
        self._tip_records.put(block, 1)
        self._tip_changes.append((block, True))

    def stage_into(self, batch: WriteBatch) -> None:
        """Add the staged writes to `batch`."""
        for table in (self.parents, self.children):
            table.stage_into(batch)
        self._tip_records.stage_into(batch)

    def commit(self) -> None:
        """The batch has been written."""
        for table in (self.parents, self.children):
            table.commit()
        self._tip_records.commit()
        self._tip_changes.clear()

    def discard(self) -> None:
        """Forget what was added and removed since the last `commit`."""
        for table in (self.parents, self.children):
            table.discard()
        self._tip_records.discard()
        for block, was_added in reversed(self._tip_changes):
            if was_added:
                del self._tips[block]
            else:
                self._tips[block] = None
        self._tip_changes.clear()
