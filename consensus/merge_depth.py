"""Bounded merge: how deep below its selected parent a block may still merge reds.

The *merge root* of a selected parent is the last block on its chain whose slot is at least the merge depth before its
own slot (genesis when the chain is shorter), or the finalised checkpoint in its view where that is later. Depth is
counted from the selected parent and not from the new block, so that a chain that stood still does not age. Source:
consensus.md, Limits; the rule for blues is Kaspa's ("kosherizing blues", rusty-kaspa
consensus/src/processes/block_depth.rs).

The *merge floor* lies the merge depth below that finalised checkpoint: nothing that left the chain below it can be
merged by any rule.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from consensus.errors import MergeBelowFloor, MergeTooDeep

ROOTS_KEPT = 8_192
"""Merge roots kept in memory; a missing one costs a walk of at most the merge depth."""


class AncestorQueries(Protocol):
    """What is asked of `consensus.reachability`."""

    def is_ancestor(self, ancestor: bytes, descendant: bytes) -> bool:
        """Whether `ancestor` is in the past of `descendant`, or the same block."""
        ...

    def is_chain_ancestor(self, ancestor: bytes, descendant: bytes) -> bool:
        """Whether `ancestor` is on the selected-parent chain of `descendant`, or the same block."""
        ...


class MergeRoots:
    """The merge root of every block asked for, amortised constant time along a growing chain. One thread at a time."""

    def __init__(
        self,
        merge_depth_slots: int,
        slot_of: Callable[[bytes], int],
        selected_parent_of: Callable[[bytes], bytes],
        chain_child: Callable[[bytes, bytes], bytes],
        finalised_of: Callable[[bytes], bytes],
    ) -> None:
        """`slot_of(id)`; `selected_parent_of(id)` is never asked for genesis (slot 0); `chain_child(low, high)` is the
        block after `low` on the selected-parent chain that leads up to `high`; `finalised_of(id)` is the finalised
        block in the view of a block, which is on its chain."""
        self._depth = merge_depth_slots
        self._slot_of = slot_of
        self._selected_parent_of = selected_parent_of
        self._chain_child = chain_child
        self._finalised_of = finalised_of
        self._roots: dict[bytes, bytes] = {}
        """By the depth alone."""

    def root(self, selected_parent: bytes) -> bytes:
        """The merge root for blocks whose selected parent is `selected_parent`."""
        by_depth = self._by_depth(selected_parent)
        finalised = self._finalised_of(selected_parent)
        return finalised if self._slot_of(finalised) > self._slot_of(by_depth) else by_depth

    def floor(self, selected_parent: bytes) -> bytes:
        """The merge floor: the last block on its chain whose slot is at least the merge depth before the finalised
        checkpoint's in its view. What does not have it on its selected chain cannot be merged at all."""
        return self._by_depth(self._finalised_of(selected_parent))

    def _by_depth(self, selected_parent: bytes) -> bytes:
        known = self._roots.get(selected_parent)
        if known is not None:
            return known
        limit = self._slot_of(selected_parent) - self._depth
        root = self._advanced(self._start(selected_parent, limit), selected_parent, limit)
        if len(self._roots) >= ROOTS_KEPT:
            self._roots = {}
        self._roots[selected_parent] = root
        return root

    def _start(self, block: bytes, limit: int) -> bytes:
        """A block on the chain at or below the root, the nearest that the way down meets.

        Either the root that an earlier block of the chain had, or the root itself, or genesis.
        """
        while True:
            slot = self._slot_of(block)
            if slot <= limit or slot == 0:
                return block
            block = self._selected_parent_of(block)
            known = self._roots.get(block)
            if known is not None:
                return known

    def _advanced(self, root: bytes, block: bytes, limit: int) -> bytes:
        while root != block:
            following = self._chain_child(root, block)
            if self._slot_of(following) > limit:
                break
            root = following
        return root


def validate_merge_depth(
    mergeset_blues: Sequence[bytes],
    mergeset_reds: Sequence[bytes],
    merge_root: bytes,
    reachability: AncestorQueries,
) -> None:
    """Every merged red has the merge root in its past, or is in the past of a merged blue whose chain has the root.

    Errors: `MergeTooDeep`.
    """
    bringing_blues: list[bytes] | None = None
    for red in mergeset_reds:
        if reachability.is_ancestor(merge_root, red):
            continue
        if bringing_blues is None:
            bringing_blues = [
                blue for blue in mergeset_blues if reachability.is_chain_ancestor(merge_root, blue)
            ]
        if not any(reachability.is_ancestor(red, blue) for blue in bringing_blues):
            raise MergeTooDeep(red, merge_root)


def validate_merge_floor(
    mergeset: Sequence[bytes], merge_floor: bytes, reachability: AncestorQueries
) -> None:
    """Every merged block has the merge floor on its selected chain.

    This is what lets a node forget the past: whatever arrives and stands on something else can never be part of a chain
    that contains our finalised checkpoint (README, Pruning; reliability.md, L13). Errors: `MergeBelowFloor`.
    """
    for block in mergeset:
        if not reachability.is_chain_ancestor(merge_floor, block):
            raise MergeBelowFloor(block, merge_floor)
