"""Does anybody else sign with our keys? Watched for a while before the first signature, and afterwards.

At the start a node signs nothing for `doppelganger_periods` finality periods and looks out for blocks and votes that
its keys signed meanwhile. Whatever it sees is somebody else's: the same keys on a second machine would sign against
each other sooner or later, and be slashed (reliability.md L22). The wait is off where the preset says 0, and in the
first period of a chain, which could not begin otherwise. Once a foreign signature was seen nothing is signed until the
process starts anew; that holds after the wait too, for what we did not sign ourselves.

A message of ours is known by what is on record: slots and periods up to the last that the key signed before the watch
began are history, and so is everything of slots that had begun by then (a block of our previous life may still travel).
What we sign during this life is remembered by id. The wait runs on a clock that is never set; the wall clock only says
where it began, and begins it anew when it is set back to before that, because what was seen in between proves nothing.

Pure: slots and seconds come in as arguments. For one thread: `node.signing.guard` uses it on the event loop.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from consensus.params import Params
from node.signing.errors import DoppelgangerSeen, DoppelgangerWait, SigningRefused
from node.signing.protection import KeyHistory

REMEMBERED: Final = 256
"""Own messages of a kind and key that are known by id; older ones are not judged any more."""
CLOCK_SLACK_SLOTS: Final = 2
"""How far the wall clock may be set back without beginning the wait anew."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A message by one of our keys that we did not sign."""

    public_key: bytes
    kind: str
    """block or vote"""
    at: int
    """Slot of the block, target period of the vote."""
    message: bytes
    """Block id or signing root of the vote, 32 bytes."""

    def __str__(self) -> str:
        place = "slot" if self.kind == "block" else "period"
        return (
            f"{self.kind} {self.message.hex()[:16]} of {place} {self.at} by key {self.public_key.hex()[:16]}"
        )


@dataclass(slots=True)
class _Kind:
    """What is known of one key's blocks, or of its votes."""

    history_up_to: int
    """Slots (periods) up to here are not judged: on record before the watch began, or begun by then."""
    own: OrderedDict[int, bytes] = field(default_factory=OrderedDict)
    """slot or period -> id of what we signed in this life."""

    def is_foreign(self, at: int, message: bytes) -> bool:
        if at <= self.history_up_to:
            return False
        own = self.own.get(at)
        return own != message

    def remember(self, at: int, message: bytes) -> None:
        self.own[at] = message
        while len(self.own) > REMEMBERED:
            forgotten, _ = self.own.popitem(last=False)
            self.history_up_to = max(self.history_up_to, forgotten)


@dataclass(slots=True)
class _Key:
    blocks: _Kind
    votes: _Kind


class DoppelgangerWatch:
    """One per node that signs."""

    def __init__(self, params: Params) -> None:
        self._period_slots = params.period_slots
        self._vote_offset_slots = params.vote_offset_slots
        self._slot_ms = params.slot_ms
        self.wait_slots = params.doppelganger_periods * params.period_slots
        """0: nothing is watched."""
        self._keys: dict[bytes, _Key] = {}
        self._began_slot: int | None = None
        self._until_ms = 0
        """Of the clock that is never set."""
        self.seen: Sighting | None = None
        """The first foreign message."""

    def track(self, histories: Iterable[KeyHistory], now_slot: int, now_s: float) -> None:
        """These are our keys, and what they signed so far. The wait begins (anew) when one of them was not known.

        `now_slot` is the wall clock's, `now_s` the seconds of a clock that is never set."""
        new = False
        for history in histories:
            new |= history.public_key not in self._keys
            slot = 0 if history.block is None else history.block.slot
            period = 0 if history.vote is None else history.vote.target_period
            if history.public_key not in self._keys:
                self._keys[history.public_key] = _Key(_Kind(slot), _Kind(period))
        if new:
            self._begin(now_slot, now_s)

    def is_tracked(self, public_key: bytes) -> bool:
        """Whether the wait covers this key: a remote signer may come back with keys that were not watched for."""
        return public_key in self._keys

    def observed_block(self, public_key: bytes, slot: int, block_id: bytes) -> Sighting | None:
        """A block whose signature by `public_key` is verified. The sighting, when it is the first one."""
        key = self._keys.get(public_key)
        if key is None or not key.blocks.is_foreign(slot, block_id) or self._had_begun(slot):
            return None
        return self._sighted(Sighting(public_key, "block", slot, block_id))

    def observed_vote(self, public_key: bytes, target_period: int, signing_root: bytes) -> Sighting | None:
        """A vote whose signature by `public_key` is verified. The sighting, when it is the first one."""
        key = self._keys.get(public_key)
        cast_slot = target_period * self._period_slots + self._vote_offset_slots
        if key is None or not key.votes.is_foreign(target_period, signing_root) or self._had_begun(cast_slot):
            return None
        return self._sighted(Sighting(public_key, "vote", target_period, signing_root))

    def signed_block(self, public_key: bytes, slot: int, block_id: bytes) -> None:
        """We are about to give this block away."""
        self._keys[public_key].blocks.remember(slot, block_id)

    def signed_vote(self, public_key: bytes, target_period: int, signing_root: bytes) -> None:
        """We are about to give this vote away."""
        self._keys[public_key].votes.remember(target_period, signing_root)

    def remaining_slots(self, now_slot: int, now_s: float) -> int:
        """How many slots the wait still takes, rounded up; 0 when it is over or off. Begins it anew after a step back
        of the wall clock to before its beginning."""
        if self._began_slot is not None and now_slot < self._began_slot - CLOCK_SLACK_SLOTS:
            self._begin(now_slot, now_s)
        return max(0, -((_milliseconds(now_s) - self._until_ms) // self._slot_ms))

    def refusal(self, now_slot: int, now_s: float) -> SigningRefused | None:
        """Why nothing may be signed now; None when it may. Arguments as of `track`."""
        if self.seen is not None:
            return DoppelgangerSeen(str(self.seen))
        remaining_slots = self.remaining_slots(now_slot, now_s)
        return DoppelgangerWait(remaining_slots) if remaining_slots else None

    def _begin(self, now_slot: int, now_s: float) -> None:
        self._began_slot = now_slot
        # Before the first period is over nobody can have started earlier than the chain itself.
        wait_slots = self.wait_slots if now_slot >= self._period_slots else 0
        self._until_ms = _milliseconds(now_s) + wait_slots * self._slot_ms

    def _had_begun(self, slot: int) -> bool:
        return self._began_slot is not None and slot <= self._began_slot

    def _sighted(self, sighting: Sighting) -> Sighting | None:
        if self.wait_slots == 0 or self.seen is not None:
            return None
        self.seen = sighting
        return sighting


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
