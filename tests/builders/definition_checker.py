"""GHOSTDAG straight from its definition (consensus/README.md, GHOSTDAG), for comparison. Imports nothing of ours.

Sets of blocks are ints, bit n for the n-th block of a topological order. Nothing is incremental: the past of a block,
the blues of a view and every anticone size are counted over whole sets, so the cost grows with the DAG.
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DefinedBlock:
    """Input of the definition. `parents` are positions in the list of blocks; genesis has none and comes first."""

    id: bytes
    parents: tuple[int, ...]
    weight: int
    lane: Hashable | None


@dataclass(frozen=True, slots=True)
class Defined:
    """What the definition says about one block. Positions throughout."""

    past: int
    blue_past: int
    """Blues of the block's past, in its view."""
    blue_score: int
    blue_work: int
    selected_parent: int
    """-1 for genesis."""
    mergeset: tuple[int, ...]
    mergeset_blues: tuple[int, ...]
    mergeset_reds: tuple[int, ...]
    sizes: dict[int, int]
    """Of every blue in the view: blues in its anticone."""


def positions(bits: int) -> Iterator[int]:
    """Members of a set, ascending."""
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest


def blue_anticone(block: int, blues: int, pasts: Sequence[int]) -> int:
    """Those of `blues` that are neither `block`, nor in its past, nor have it in theirs."""
    found = 0
    for other in positions(blues & ~pasts[block] & ~(1 << block)):
        if not pasts[other] >> block & 1:
            found |= 1 << other
    return found


def consensus_order(block: int, defined: Sequence[Defined]) -> list[int]:
    """The past of `block` in the order of its view: that of its selected parent, then its merge set."""
    chain = []
    while defined[block].selected_parent >= 0:
        chain.append(block)
        block = defined[block].selected_parent
    order: list[int] = []
    for link in reversed(chain):
        order.extend(defined[link].mergeset)
    return order


def define(blocks: Sequence[DefinedBlock], k: int) -> list[Defined]:
    """All blocks, by ORDER = (blue work, id)."""
    defined: list[Defined] = []
    pasts: list[int] = []

    def order(position: int) -> tuple[int, bytes]:
        return defined[position].blue_work, blocks[position].id

    for block in blocks:
        if not block.parents:
            defined.append(Defined(0, 0, 0, 0, -1, (), (), (), {}))
            pasts.append(0)
            continue
        past = 0
        for parent in block.parents:
            past |= pasts[parent] | 1 << parent
        selected = max(block.parents, key=order)
        merged = sorted(positions(past & ~pasts[selected] & ~(1 << selected)), key=order)
        blues = defined[selected].blue_past | 1 << selected
        lanes = {blocks[earlier].lane for earlier in consensus_order(selected, defined)}
        lanes.add(blocks[selected].lane)
        lanes.discard(None)
        blue_list, red_list = [selected], []
        for candidate in merged:
            lane = blocks[candidate].lane
            is_second = lane is not None and lane in lanes
            lanes.add(lane)
            lanes.discard(None)
            anticone = blue_anticone(candidate, blues, pasts)
            is_cluster = anticone.bit_count() <= k and all(
                blue_anticone(blue, blues, pasts).bit_count() < k for blue in positions(anticone)
            )
            if is_second or not is_cluster:
                red_list.append(candidate)
            else:
                blue_list.append(candidate)
                blues |= 1 << candidate
        defined.append(
            Defined(
                past,
                blues,
                blues.bit_count(),
                sum(blocks[blue].weight for blue in positions(blues)),
                selected,
                (selected, *merged),
                tuple(blue_list),
                tuple(red_list),
                {blue: blue_anticone(blue, blues, pasts).bit_count() for blue in positions(blues)},
            )
        )
        pasts.append(past)
    return defined
