"""What GHOSTDAG stores per block, and what it must be told about blocks."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

OrderKey: TypeAlias = tuple[int | bytes, ...]
"""A block's place in ORDER: compared as a tuple, the larger wins. No two blocks have equal keys."""


class GhostdagData(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A block's view of the order below it: a function of its past alone, stored once, never changed."""

    blue_score: int
    """Blue blocks in the block's past, in its own view."""
    blue_work: int
    """Sum of these blocks' weights; the block's own weight is not in it. Below 2^64 where it is stored."""
    selected_parent: bytes
    """The parent that is greatest by ORDER; empty for genesis."""
    mergeset: tuple[bytes, ...]
    """Consensus order: the selected parent, then what is in the past and not in the selected parent's past, blue and
    red together, ascending by ORDER. Empty for genesis."""
    mergeset_blues: tuple[bytes, ...]
    """The blue blocks of `mergeset`, in its order, so the selected parent comes first."""
    mergeset_reds: tuple[bytes, ...]
    """The red ones, in its order."""
    blues_anticone_sizes: dict[bytes, int]
    """Blue block -> how many blue blocks are neither in its past nor in its future, in this view. Only for the blues of
    this merge set, and for earlier ones whose number has grown with it; the newest map on the selected chain that holds
    a block is right for it."""


GENESIS_DATA = GhostdagData(0, 0, b"", (), (), (), {})
"""The one block without parents."""


@dataclass(frozen=True, slots=True)
class GhostdagRules:
    """What the colouring depends on besides the edges. The functions are asked about blocks of the DAG only, their
    answers never change, and ORDER places a block above all its ancestors."""

    k: int
    """Greatest number of blue blocks in a blue block's anticone."""
    order_key: Callable[[bytes, GhostdagData], OrderKey]
    """(id, data of that block) -> its place in ORDER."""
    weight: Callable[[bytes], int]
    """id -> what the block adds to blue work when it is blue."""
    lane: Callable[[bytes], bytes | None]
    """id -> a key for its (slot, band), or None for a block without a lane. A block has no block of its own lane in its
    past (slots rise from parent to child)."""
