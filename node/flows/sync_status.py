"""Where the node stands towards its peers, in figures for the operator: what it is doing, how fast, until when."""

from collections import deque
from dataclasses import dataclass
from enum import Enum

from p2p.network import PeerId

RATE_WINDOW_S = 30.0
"""Rates are those of the last half minute: what was an hour ago says little about when we are done."""
RATE_EVERY_S = 0.5


class SyncState(Enum):
    """Where the node stands."""

    STARTING = "starting"
    """No peer has told its status yet."""
    SYNCHRONISED = "synchronised"
    SYNCHRONISING = "synchronising"
    STUCK = "stuck"
    """Peers claim to be ahead and none of them delivers."""


class SyncActivity(Enum):
    """What the last stage of catching up waits for."""

    NONE = "none"
    HEADERS = "headers"
    """A plan, or headers with their votes."""
    BODIES = "bodies"
    PROCESSING = "processing"
    """Bodies are judged, signatures verified, blocks executed."""


@dataclass(frozen=True, slots=True)
class SyncStatus:
    """For the operator."""

    state: SyncState
    activity: SyncActivity = SyncActivity.NONE
    peer: PeerId | None = None
    """Whom we synchronise with."""
    sources: int = 0
    """From how many peers bodies come."""
    blocks_done: int = 0
    """Added from this peer so far."""
    blocks_target: int = 0
    """About how many it will be."""
    blocks_per_second: float = 0.0
    transactions_per_second: float = 0.0
    slots_left: int | None = None
    """From our head to the slot of the peer's; None when we do not synchronise."""
    seconds_left: float | None = None
    """At the recent rate; None while there is none, or when the peer's chain grows as fast."""
    reason: str = ""
    """Why we are stuck; empty else."""


@dataclass(frozen=True, slots=True)
class _Sample:
    at_s: float
    blocks: int
    transactions: int
    blue_score: int


class Pacer:
    """Counts what is added, and tells the recent rates. Pure: time comes in."""

    def __init__(self, now_s: float, blue_score: int) -> None:
        self.blocks = 0
        self.transactions = 0
        self._samples: deque[_Sample] = deque([_Sample(now_s, 0, 0, blue_score)])

    def added(self, blocks: int, transactions: int, now_s: float, blue_score: int) -> None:
        """So many were added; `blue_score` is our head's now."""
        self.blocks += blocks
        self.transactions += transactions
        if now_s - self._samples[-1].at_s >= RATE_EVERY_S:
            self._samples.append(_Sample(now_s, self.blocks, self.transactions, blue_score))
        while len(self._samples) > 2 and self._samples[0].at_s < now_s - RATE_WINDOW_S:
            self._samples.popleft()

    def rates(self, now_s: float) -> tuple[float, float]:
        """Blocks and transactions per second."""
        first = self._samples[0]
        span_s = max(0.001, now_s - first.at_s)
        return (self.blocks - first.blocks) / span_s, (self.transactions - first.transactions) / span_s

    def seconds_left(
        self, target: int, blue_score: int, now_s: float, made_per_second: float
    ) -> float | None:
        """Until our blue score is `target`, which itself grows by `made_per_second`; None when it is not known."""
        first = self._samples[0]
        gained = (blue_score - first.blue_score) / max(0.001, now_s - first.at_s) - made_per_second
        if target <= blue_score:
            return 0.0
        return (target - blue_score) / gained if gained > 0 and blue_score > first.blue_score else None
