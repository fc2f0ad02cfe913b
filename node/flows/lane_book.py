"""Which blocks of each lane were relayed: two of a lane prove an equivocation, more would only be a flood (row L6)."""

BLOCKS_PER_LANE = 2

Lane = tuple[int, int]
"""Slot and band; for blocks that are not the scheduled proposer's in our view, bands from 6 on."""


class LaneBook:
    """Forgets lanes below a slot; so it holds two ids for each lane from the merge depth to the future horizon, and as
    many for blocks out of turn, at most."""

    def __init__(self) -> None:
        self._lanes: dict[Lane, list[bytes]] = {}
        self._forgotten_below = 0

    def __len__(self) -> int:
        return len(self._lanes)

    def admits(self, lane: Lane, block_id: bytes) -> bool:
        """Whether the block is, or may become, one of the lane's two."""
        known = self._lanes.get(lane, [])
        return block_id in known or len(known) < BLOCKS_PER_LANE

    def note(self, lane: Lane, block_id: bytes) -> None:
        """The block counts from now on."""
        known = self._lanes.setdefault(lane, [])
        if block_id not in known and len(known) < BLOCKS_PER_LANE:
            known.append(block_id)

    def forget_below(self, slot: int) -> None:
        """Drop lanes of slots below `slot`."""
        if slot > self._forgotten_below:
            self._forgotten_below = slot
            self._lanes = {lane: ids for lane, ids in self._lanes.items() if lane[0] >= slot}
