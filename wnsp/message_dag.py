"""Messages and those that they answer: the DAG that envelopes' parents span. Source: README, The message DAG.

A message is created strictly later than its parents, so order by (created slot, id) puts parents first, is the same for
everybody whatever came first, and excludes cycles. Messages whose parents have not come are shown, and say what is
missing: on a mesh a parent may never come.
"""

from bisect import bisect_left, insort
from dataclasses import dataclass

from wnsp.errors import ParentNotEarlier, SelfParent


@dataclass(frozen=True, slots=True)
class Added:
    """What adding a message did."""

    missing: tuple[bytes, ...]
    """Parents that are not known."""
    refuted: tuple[bytes, ...] = ()
    """Messages known before that claim this one as parent but are not younger; they are removed."""
    forgotten: tuple[bytes, ...] = ()
    """The earliest messages, removed to stay within the limit."""


@dataclass(frozen=True, slots=True)
class _Message:
    parents: tuple[bytes, ...]
    created_slot: int


class MessageDag:
    """At most `greatest` messages; the earliest go first."""

    def __init__(self, greatest: int = 10_000) -> None:
        self.greatest = greatest
        self._messages: dict[bytes, _Message] = {}
        self._children: dict[bytes, list[bytes]] = {}
        """By parent, known or not."""
        self._order: list[tuple[int, bytes]] = []

    def __len__(self) -> int:
        return len(self._messages)

    def __contains__(self, envelope_id: bytes) -> bool:
        return envelope_id in self._messages

    def add(self, envelope_id: bytes, parents: tuple[bytes, ...], created_slot: int) -> Added:
        """Add a message of an opened envelope; again is nothing. Errors: `SelfParent`, `ParentNotEarlier`."""
        if envelope_id in self._messages:
            return Added(self.missing_parents(envelope_id))
        if envelope_id in parents:
            raise SelfParent(envelope_id)
        for parent in parents:
            known = self._messages.get(parent)
            if known is not None and known.created_slot >= created_slot:
                raise ParentNotEarlier(created_slot, known.created_slot)
        refuted = tuple(
            child
            for child in self._children.get(envelope_id, ())
            if self._messages[child].created_slot <= created_slot
        )
        for child in refuted:
            self._remove(child)
        self._messages[envelope_id] = _Message(parents, created_slot)
        for parent in parents:
            self._children.setdefault(parent, []).append(envelope_id)
        insort(self._order, (created_slot, envelope_id))
        forgotten = [key for _, key in self._order[: max(len(self._order) - self.greatest, 0)]]
        for key in forgotten:
            self._remove(key)
        missing = () if envelope_id in forgotten else self.missing_parents(envelope_id)
        return Added(missing, refuted, tuple(forgotten))

    def missing_parents(self, envelope_id: bytes) -> tuple[bytes, ...]:
        """Parents of a known message that are not here."""
        return tuple(parent for parent in self._messages[envelope_id].parents if parent not in self._messages)

    def order(self) -> tuple[bytes, ...]:
        """All ids, parents before children, the same whatever came first."""
        return tuple([key for _, key in self._order])

    def tips(self) -> tuple[bytes, ...]:
        """Ids that nothing answers, in order: the parents of a new message, as far as they fit."""
        return tuple([key for _, key in self._order if not self._children.get(key)])

    def thread(self, envelope_id: bytes) -> tuple[bytes, ...]:
        """A known message and all known ones that it follows, directly or not, in order."""
        found: dict[bytes, None] = {}
        waiting = [envelope_id]
        while waiting:
            key = waiting.pop()
            if key in self._messages and key not in found:
                found[key] = None
                waiting.extend(self._messages[key].parents)
        return tuple(sorted(found, key=lambda key: (self._messages[key].created_slot, key)))

    def _remove(self, envelope_id: bytes) -> None:
        message = self._messages.pop(envelope_id)
        for parent in message.parents:
            siblings = self._children[parent]
            siblings.remove(envelope_id)
            if not siblings:
                del self._children[parent]
        del self._order[bisect_left(self._order, (message.created_slot, envelope_id))]
