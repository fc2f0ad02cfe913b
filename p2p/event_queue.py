"""The bounded queue behind `Network.next_event`."""

from collections import deque

import trio

from p2p.network import NetworkEvent, PeerConnected, PeerId, PeerMisbehaved

MAX_EVENTS = 1_024


class EventQueue:
    """Events in order, at most `capacity`.

    When it is full, the oldest connection event that a later one of the same peer makes obsolete is merged away; if
    there is none, the oldest event goes. Whoever must not miss a change reads `Network.peers()` as well.
    """

    __slots__ = ("_capacity", "_events", "_waiting", "merged")

    def __init__(self, capacity: int = MAX_EVENTS) -> None:
        self._capacity = capacity
        self._events: deque[NetworkEvent] = deque()
        self._waiting = trio.lowlevel.ParkingLot()
        self.merged = 0
        """Events lost so far because the queue was full."""

    def __len__(self) -> int:
        return len(self._events)

    def put(self, event: NetworkEvent) -> None:
        """Never waits."""
        self._events.append(event)
        if len(self._events) > self._capacity:
            self._merge_one_away()
        self._waiting.unpark(count=1)

    async def get(self) -> NetworkEvent:
        """The oldest event; waits for one."""
        await trio.lowlevel.checkpoint()
        while not self._events:
            await self._waiting.park()
        return self._events.popleft()

    def _merge_one_away(self) -> None:
        self.merged += 1
        later: set[PeerId] = set()
        obsolete: int | None = None
        for index in range(len(self._events) - 1, -1, -1):
            event = self._events[index]
            if isinstance(event, PeerMisbehaved):
                continue
            peer_id = _peer_of(event)
            if peer_id in later:
                obsolete = index
            later.add(peer_id)
        del self._events[obsolete or 0]


def _peer_of(event: NetworkEvent) -> PeerId:
    return event.peer.peer_id if isinstance(event, PeerConnected) else event.peer_id
