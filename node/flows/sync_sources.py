"""Whom to synchronise with: how each peer did as a source, and for how long it is left alone after a failure."""

from collections import OrderedDict
from dataclasses import dataclass

import trio

from consensus.params import Params
from node.flows.asking import PeerServedJunk
from node.flows.peer_status import PeerStatuses
from node.flows.wire import Status
from p2p.network import PeerId
from wnsp.spectrum import BAND_COUNT

GAP_SLOTS = 4
GAP_BLOCKS = GAP_SLOTS * BAND_COUNT
"""Gossip and fetching parents bridge less than this."""
HEAD_UNKNOWN_S = 8.0
"""A peer's head that is unknown in two statuses that far apart is on a side that gossip does not bring us."""
SLOW_AFTER_S = 5.0
"""After so much waiting for a peer it must have delivered more than the network made meanwhile, or enough bytes."""
SLOW_BYTES_PER_S = 64 * 1024
MAX_RECORDS = 256
FIRST_AVOIDANCE_S = 15.0
LONGEST_AVOIDANCE_S = 600.0


@dataclass(slots=True)
class SourceRecord:
    """How a peer did."""

    failures: int = 0
    avoid_until_s: float = 0.0
    reason: str = ""
    """Of the last failure."""

    def avoid(self, reason: str) -> None:
        """Leave the peer alone: 15 s, doubled with each failure."""
        wait_s = min(LONGEST_AVOIDANCE_S, FIRST_AVOIDANCE_S * 2.0 ** min(self.failures, 10))
        self.failures += 1
        self.avoid_until_s = trio.current_time() + wait_s
        self.reason = reason


class SyncSources:
    """One per node."""

    def __init__(self, statuses: PeerStatuses) -> None:
        self._statuses = statuses
        self._records: OrderedDict[PeerId, SourceRecord] = OrderedDict()
        self._lagging: dict[PeerId, None] = {}
        """Peers whose blocks have ancestors that are too far from ours."""

    def record(self, peer: PeerId) -> SourceRecord:
        """Kept over reconnections, so that leaving and coming back does not clear it; bounded."""
        record = self._records.setdefault(peer, SourceRecord())
        self._records.move_to_end(peer)
        if len(self._records) > MAX_RECORDS:
            self._records.popitem(last=False)
        return record

    def note_lagging(self, peer: PeerId) -> None:
        """The peer has ancestors of its blocks that fetching does not bring us."""
        if self._statuses.of(peer) is not None:
            self._lagging[peer] = None

    def caught_up(self, peer: PeerId) -> None:
        """We have what it has."""
        self._lagging.pop(peer, None)
        self._statuses.head_is_known(peer)

    def wanted(self, blue_score: int) -> dict[PeerId, Status]:
        """Peers that have something for us whose head has `blue_score`, as far as their statuses tell."""
        self._lagging = {peer: None for peer in self._lagging if self._statuses.of(peer) is not None}
        long_ago_s = trio.current_time() - HEAD_UNKNOWN_S
        return {
            peer: status
            for peer, status, unknown_since_s in self._statuses
            if status.blue_score > blue_score + GAP_BLOCKS
            or peer in self._lagging
            or (unknown_since_s is not None and unknown_since_s <= long_ago_s)
        }

    def choose(self, blue_score: int) -> PeerId | None:
        """The wanted peer that is farthest ahead and has not failed us lately."""
        best: PeerId | None = None
        best_score = -1
        for peer, status in self.wanted(blue_score).items():
            if not self.is_avoided(peer) and status.blue_score > best_score:
                best, best_score = peer, status.blue_score
        return best

    def is_avoided(self, peer: PeerId) -> bool:
        """Whether it has failed us lately."""
        found = self._records.get(peer)
        return found is not None and found.avoid_until_s > trio.current_time()

    def at_least(self, blue_score: int) -> tuple[PeerId, ...]:
        """Peers whose chains have that many blue blocks by their word, and that have not failed us lately."""
        return tuple(peer for peer, _, _ in self._statuses if self.claim(peer) >= blue_score)

    def claim(self, peer: PeerId) -> int:
        """The blue score of the peer's head by its word; -1 when it has told none or failed us lately."""
        status = self._statuses.of(peer)
        return -1 if status is None or self.is_avoided(peer) else status.blue_score


@dataclass(slots=True)
class Pace:
    """What a peer delivered while we waited for it."""

    params: Params
    waited_s: float = 0.0
    blocks: int = 0
    size: int = 0

    def note(self, peer: PeerId, waited_s: float, blocks: int, size: int) -> None:
        """It took so long to deliver this. Errors: `PeerServedJunk` for a peer with which we would never be done."""
        self.waited_s += waited_s
        self.blocks += blocks
        self.size += size
        if self.waited_s < SLOW_AFTER_S:
            return
        made = self.waited_s * BAND_COUNT * 1_000 / self.params.slot_ms
        if self.blocks < made and self.size < self.waited_s * SLOW_BYTES_PER_S:
            raise PeerServedJunk(
                peer,
                f"{self.blocks} blocks in {self.waited_s:.0f} s, the network makes up to {made:.0f} meanwhile",
            )
        self.waited_s, self.blocks, self.size = 0.0, 0, 0
