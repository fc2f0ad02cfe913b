"""What validators did in the running epoch: blue blocks, timely votes, and the onion layer that they revealed.

One record per validator, touched once per chain block that merges something of it, read and removed by the epoch
transition. It is what rewards, downtime and the epoch's randomness are made of.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

from ledger.onion import NO_REVEAL
from ledger.rules import BlockContext
from ledger.staking.records import (
    ACTIVITY_CODEC,
    NO_ACTIVITY,
    Activity,
    activity_key,
    read_activity,
    read_list,
)
from ledger.state import Overlay


class MergedHeader(Protocol):
    """What of a merged block counts here (`ledger.execution.MergedBlock`)."""

    @property
    def proposer(self) -> int:
        """Validator index."""
        ...

    @property
    def blue(self) -> bool:
        """Only blue blocks are paid."""
        ...

    @property
    def epoch(self) -> int:
        """Of its slot."""
        ...

    @property
    def reveal(self) -> bytes:
        """32 bytes, or empty: genesis, which nobody is paid for."""
        ...


def note_activity(overlay: Overlay, merged: Iterable[MergedHeader], context: BlockContext) -> None:
    """Count the blocks of a merge set, and the votes that its chain block is the first to count.

    A reveal counts in the epoch of its own slot only, the first of a validator; late blocks are paid all the same.
    """
    found: dict[int, Activity] = {}
    for block in merged:
        if block.reveal:
            before = _of(overlay, found, block.proposer)
            counts = block.epoch == context.epoch and block.reveal != NO_REVEAL
            reveal = before.reveal or (block.reveal if counts else b"")
            found[block.proposer] = Activity(before.blocks + block.blue, before.votes, reveal)
    for index in context.timely_votes:
        before = _of(overlay, found, index)
        found[index] = Activity(before.blocks, before.votes + 1, before.reveal)
    for index in sorted(found):
        if found[index] != NO_ACTIVITY:
            overlay.put(activity_key(index), ACTIVITY_CODEC.encode(found[index]))


def _of(overlay: Overlay, found: dict[int, Activity], index: int) -> Activity:
    return found.get(index) or read_activity(overlay, index) or NO_ACTIVITY


def take_activity(overlay: Overlay) -> dict[int, Activity]:
    """The activity of the epoch that ends, by validator index, ascending; its records are removed."""
    taken = {}
    for index in read_list(overlay):
        activity = read_activity(overlay, index)
        if activity is not None:
            taken[index] = activity
            overlay.delete(activity_key(index))
    return taken


def reveals_of(activity: Sequence[tuple[int, Activity]]) -> bytes:
    """index u32 ‖ reveal of everyone who revealed, in the order given: what the epoch adds to the mix."""
    return b"".join(index.to_bytes(4, "big") + one.reveal for index, one in activity if one.reveal)
