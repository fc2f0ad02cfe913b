"""Messages in pieces that fit a link, and back. Source: README, Fragments.

The reassembler keeps what strangers send, so everything in it is bounded: bytes and messages in all, messages per
source, bytes and time per message. What it gives up is counted by reason. It authenticates nothing: a message that
comes out is opened as an envelope, which does.
"""

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from wnsp.errors import MessageTooLong, MtuOutOfRange
from wnsp.frame import MAX_FRAGMENT, MAX_FRAME_BYTES, OVERHEAD_BYTES, FrameType, Modulation, WNSPFrame

FRAGMENT_COST_BYTES: Final = 128
"""What a waiting fragment counts beside its payload, so that empty ones are not free."""


def fragment(
    message: bytes,
    mtu: int,
    sequence: int,
    *,
    region: int = 0,
    modulation: int = Modulation.OOK,
    scheme: int = 0,
) -> tuple[WNSPFrame, ...]:
    """`message` as frames of at most `mtu` bytes each, in order, the last one marked. One frame for an empty message.

    Errors: `MtuOutOfRange` (17 to 65,551), `MessageTooLong` (more than 65,536 fragments).
    """
    if not OVERHEAD_BYTES < mtu <= MAX_FRAME_BYTES:
        raise MtuOutOfRange(mtu, OVERHEAD_BYTES + 1, MAX_FRAME_BYTES)
    room = mtu - OVERHEAD_BYTES
    if len(message) > room * (MAX_FRAGMENT + 1):
        raise MessageTooLong(len(message), room * (MAX_FRAGMENT + 1))
    starts = range(0, max(len(message), 1), room)
    return tuple(
        WNSPFrame(
            version=2,
            type=FrameType.BYTES,
            region=region,
            modulation=modulation,
            last=start == starts[-1],
            encrypted=scheme != 0,
            scheme=scheme,
            sequence=sequence,
            fragment=place,
            payload=message[start : start + room],
        )
        for place, start in enumerate(starts)
    )


@dataclass(frozen=True, slots=True)
class ReassemblyLimits:
    """What the reassembler may hold. Bytes count payloads and `FRAGMENT_COST_BYTES` each."""

    message_bytes: int = 1 << 20
    total_bytes: int = 8 << 20
    messages: int = 256
    messages_per_source: int = 16
    expiry_ms: int = 30_000
    """From a message's first fragment on."""


class Loss(StrEnum):
    """Why a message was given up."""

    EXPIRED = "expired"
    """Its fragments did not all come in time."""
    CONFLICT = "conflict"
    """A fragment contradicted an earlier one: the sender counts from the start again, or somebody interferes."""
    TOO_LONG = "too long"
    NO_ROOM = "no room"
    """Displaced by newer messages."""


@dataclass(slots=True)
class _Partial:
    """A message of which something is missing."""

    header: tuple[int, ...]
    """What all of its frames have in common."""
    began_ms: int
    payloads: dict[int, bytes]
    count: int | None = None
    """How many fragments it has, once the last one is here."""
    cost: int = 0


_Key = tuple[Hashable, int]


class Reassembler:
    """Puts messages together, per source and sequence."""

    def __init__(self, limits: ReassemblyLimits | None = None) -> None:
        self.limits = limits or ReassemblyLimits()
        self.lost: Counter[Loss] = Counter()
        """Messages given up so far, by reason."""
        self.held_bytes = 0
        """Cost of all that waits."""
        self._partials: dict[_Key, _Partial] = {}
        """In order of their first fragment."""
        self._of_source: dict[Hashable, dict[_Key, None]] = {}
        self._cost_of_source: Counter[Hashable] = Counter()

    def __len__(self) -> int:
        """Messages that wait."""
        return len(self._partials)

    def add(self, frame: WNSPFrame, source: Hashable, now_ms: int) -> bytes | None:
        """The whole message, when `frame` (as decoded) from `source` completes it. Fragments may come in any order.

        `source` is whatever tells neighbours apart; messages of two sources never mix. A fragment that is there already
        changes nothing; one that contradicts what is there begins the message anew.
        """
        self.expire(now_ms)
        if frame.last and frame.fragment == 0:
            if (source, frame.sequence) in self._partials:
                self._give_up((source, frame.sequence), Loss.CONFLICT)
            return frame.payload
        key = (source, frame.sequence)
        partial = self._partials.get(key)
        if partial is not None and _contradicts(partial, frame):
            self._give_up(key, Loss.CONFLICT)
            partial = None
        if partial is None:
            partial = self._begin(key, frame, now_ms)
        elif frame.fragment in partial.payloads:
            return None
        self._keep(key, partial, frame)
        if partial.count == len(partial.payloads):
            self._forget(key)
            return b"".join([partial.payloads[place] for place in range(partial.count)])
        if partial.cost > self.limits.message_bytes:
            self._give_up(key, Loss.TOO_LONG)
        else:
            self._make_room()
        return None

    def expire(self, now_ms: int) -> None:
        """Give up what has waited too long."""
        while self._partials:
            key, oldest = next(iter(self._partials.items()))
            if now_ms - oldest.began_ms < self.limits.expiry_ms:
                return
            self._give_up(key, Loss.EXPIRED)

    def _begin(self, key: _Key, frame: WNSPFrame, now_ms: int) -> _Partial:
        own = self._of_source.get(key[0], {})
        if len(own) >= self.limits.messages_per_source:
            self._give_up(next(iter(own)), Loss.NO_ROOM)
        partial = _Partial(_common_header(frame), now_ms, {})
        self._partials[key] = partial
        self._of_source.setdefault(key[0], {})[key] = None
        return partial

    def _keep(self, key: _Key, partial: _Partial, frame: WNSPFrame) -> None:
        cost = len(frame.payload) + FRAGMENT_COST_BYTES
        partial.payloads[frame.fragment] = frame.payload
        partial.cost += cost
        if frame.last:
            partial.count = frame.fragment + 1
        self.held_bytes += cost
        self._cost_of_source[key[0]] += cost

    def _make_room(self) -> None:
        """While there is too much, the source that holds most gives up its oldest message."""
        while self.held_bytes > self.limits.total_bytes or len(self._partials) > self.limits.messages:
            greediest = max(self._cost_of_source, key=self._cost_of_source.__getitem__)
            self._give_up(next(iter(self._of_source[greediest])), Loss.NO_ROOM)

    def _give_up(self, key: _Key, reason: Loss) -> None:
        self.lost[reason] += 1
        self._forget(key)

    def _forget(self, key: _Key) -> None:
        partial = self._partials.pop(key)
        source = key[0]
        self.held_bytes -= partial.cost
        self._cost_of_source[source] -= partial.cost
        del self._of_source[source][key]
        if not self._of_source[source]:
            del self._of_source[source], self._cost_of_source[source]


def _common_header(frame: WNSPFrame) -> tuple[int, ...]:
    return (frame.version, frame.type, frame.region, frame.modulation, frame.encrypted, frame.scheme)


def _contradicts(partial: _Partial, frame: WNSPFrame) -> bool:
    """Whether `frame` cannot belong to the message begun."""
    if partial.header != _common_header(frame):
        return True
    known = partial.payloads.get(frame.fragment)
    if known is not None and known != frame.payload:
        return True
    if frame.last:
        if partial.count is None:
            return max(partial.payloads) >= frame.fragment
        return partial.count != frame.fragment + 1
    return partial.count is not None and frame.fragment >= partial.count - 1
