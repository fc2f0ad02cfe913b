"""The bundles in custody: an index in memory over the store, with quotas, eviction and the seen-set.

Records in the store (README, Custody): `b` id: envelope; `m` id: what we know of it; `s` id: until when the id of a
bundle delivered here is remembered. All integers big-endian.
"""

import struct
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b

from wnsp.mesh.bundles import BundleFacts
from wnsp.mesh.custody import Custody
from wnsp.mesh.errors import BundleExpired, CustodyCorrupted, ExpiryTooFar, QuotaExceeded, UnknownBundle
from wnsp.mesh.limits import (
    BUNDLE_ID_BYTES,
    CLOCK_SKEW_MS,
    MAX_LIFETIME_MS,
    Limits,
)
from wnsp.mesh.quotas import Usage, charged_bytes

LINK_KEY_BYTES = 8
OWN_LINK = b""
MAX_GIVEN = 64
"""Neighbours remembered per bundle as having it; beyond, the oldest is forgotten and may be offered it again."""

_META = struct.Struct(">BBBBB8s20s20sQQQI")
_OWN, _INBOX, _CARRYING = 1, 2, 4


def link_key(neighbour: str) -> bytes:
    """The neighbour link's name in the store and in accounts: BLAKE2b of it, 8 bytes."""
    return blake2b(neighbour.encode(), digest_size=LINK_KEY_BYTES).digest()


@dataclass(slots=True)
class UnderWay:
    """Copies that were sent and not yet answered for: they cannot be given to somebody else meanwhile."""

    copies: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    """By link: how many, and until when (ms) an answer is awaited."""

    def send(self, link: bytes, copies: int, until_ms: int) -> None:
        """They went out."""
        self.copies[link] = (copies, until_ms)

    def answered(self, link: bytes) -> None:
        """Whatever the answer was."""
        self.copies.pop(link, None)

    def count(self, link: bytes, now_ms: int) -> int:
        """Copies on their way to links other than `link`; those without an answer in time are ours again."""
        for other in [other for other, (_, until_ms) in self.copies.items() if until_ms <= now_ms]:
            del self.copies[other]
        return sum(copies for other, (copies, _) in self.copies.items() if other != link)


@dataclass(slots=True)
class Held:
    """One bundle in custody."""

    facts: BundleFacts
    envelope_bytes: int
    link: bytes
    """Whence it came; empty for our own."""
    hops: int
    """Transmissions left to us and those after us."""
    copies: int
    """That we may let loose, ours included."""
    inbox: bool
    """Delivered here, not yet taken by the application."""
    carrying: bool
    """To be passed on."""
    arrived_ms: int
    next_attempt_ms: int = 0
    """When the source sprays anew, or a relay tries another next hop."""
    attempts: int = 0
    focused: int = 0
    """Next hops that got it along a route since the last spray."""
    serial: int = 0
    """Of the last change that may make it interesting to a neighbour."""
    given: dict[bytes, None] = field(default_factory=dict)
    """Links that have it, oldest first. Not stored: after a restart they answer HELD."""
    under_way: UnderWay = field(default_factory=UnderWay)

    @property
    def own(self) -> bool:
        """Submitted here."""
        return self.link == OWN_LINK

    @property
    def size(self) -> int:
        """In charged bytes."""
        return charged_bytes(self.envelope_bytes)

    def give(self, link: bytes) -> None:
        """Remember that the link has it."""
        self.given[link] = None
        if len(self.given) > MAX_GIVEN:
            del self.given[next(iter(self.given))]


class Holdings:
    """Opens what the store holds. Errors: `CustodyCorrupted`."""

    def __init__(self, custody: Custody, limits: Limits) -> None:
        self._custody = custody
        self._limits = limits
        self.usage = Usage()
        self._held: dict[bytes, Held] = {}
        self._by_destination: dict[bytes, dict[bytes, None]] = {}
        self._changed: OrderedDict[bytes, int] = OrderedDict()
        self._serial = 0
        self._seen: dict[bytes, int] = {}
        for key, value in custody.iterate(b"s"):
            if len(key) != 1 + BUNDLE_ID_BYTES or len(value) != 8:
                raise CustodyCorrupted(key, f"{len(value)} bytes, expected 8")
            self._seen[key[1:]] = int.from_bytes(value, "big")
        for key, value in custody.iterate(b"m"):
            self._index(_decode_meta(key, value))

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Held]:
        return iter(self._held.values())

    @property
    def serial(self) -> int:
        """Of the latest change."""
        return self._serial

    def get(self, bundle_id: bytes) -> Held | None:
        """The bundle, if it is held."""
        return self._held.get(bundle_id)

    def require(self, bundle_id: bytes) -> Held:
        """The bundle. Errors: `UnknownBundle`."""
        held = self._held.get(bundle_id)
        if held is None:
            raise UnknownBundle(bundle_id)
        return held

    def envelope(self, held: Held) -> bytes:
        """The bundle's bytes. Errors: `CustodyCorrupted`."""
        key = b"b" + held.facts.bundle_id
        envelope = self._custody.get(key)
        if envelope is None or len(envelope) != held.envelope_bytes:
            found = None if envelope is None else len(envelope)
            raise CustodyCorrupted(key, f"envelope of {found} bytes, expected {held.envelope_bytes}")
        return envelope

    def seen(self, bundle_id: bytes) -> bool:
        """Whether a bundle with this id was delivered here before (M1)."""
        return bundle_id in self._seen

    def for_destination(self, address: bytes) -> Iterator[Held]:
        """What waits for the address."""
        return (self._held[bundle_id] for bundle_id in self._by_destination.get(address, ()))

    def changed_since(self, serial: int) -> Iterator[Held]:
        """Bundles with a change later than `serial`, latest first."""
        for bundle_id, changed in reversed(self._changed.items()):
            if changed <= serial:
                return
            yield self._held[bundle_id]

    def validate_offer(self, link: bytes, envelope_bytes: int) -> None:
        """Whether a bundle of this size from this link could be taken at all. Errors: `QuotaExceeded`."""
        size = charged_bytes(envelope_bytes)
        of_link = self.usage.link_bytes.get(link, 0) + size
        if of_link > self._limits.neighbour_bytes:
            raise QuotaExceeded("bytes from this neighbour", of_link, self._limits.neighbour_bytes)

    def admit(self, held: Held, envelope: bytes, now_ms: int) -> tuple[Held, ...]:
        """Take the bundle into custody, evicting what the quotas say; gives back what was evicted.

        With `held.inbox` its id joins the seen-set in the same write, so that a crash delivers it once.
        Errors: `BundleExpired`, `ExpiryTooFar`, `QuotaExceeded`, `CustodyFull`; nothing changed then.
        """
        facts = held.facts
        _validate_expiry(facts, now_ms)
        if held.inbox and len(self._seen) >= self._limits.seen:
            raise QuotaExceeded("remembered deliveries", len(self._seen) + 1, self._limits.seen)
        if not held.own:
            self.usage.validate_link_and_destination(held.link, facts.recipient, held.size, self._limits)
        victims = self._room_for(held)
        puts = [(b"b" + facts.bundle_id, envelope), (b"m" + facts.bundle_id, _encode_meta(held))]
        if held.inbox:
            forget_ms = facts.expires_ms + CLOCK_SKEW_MS
            puts.append((b"s" + facts.bundle_id, forget_ms.to_bytes(8, "big")))
        self._custody.write(puts, [key for victim in victims for key in _keys(victim)])
        for victim in victims:
            self._unindex(victim)
        if held.inbox:
            self._seen[facts.bundle_id] = facts.expires_ms + CLOCK_SKEW_MS
        self._index(held)
        return victims

    def store(self, held: Held) -> None:
        """Write a changed record, and show it to neighbours again."""
        self._custody.put(b"m" + held.facts.bundle_id, _encode_meta(held))
        self.touch(held)

    def touch(self, held: Held) -> None:
        """Show the bundle to neighbours again."""
        self._serial += 1
        held.serial = self._serial
        self._changed[held.facts.bundle_id] = self._serial
        self._changed.move_to_end(held.facts.bundle_id)

    def release(self, held: Held) -> None:
        """Out of custody."""
        self._custody.write((), _keys(held))
        self._unindex(held)

    def expire(self, now_ms: int) -> tuple[Held, ...]:
        """Lets go of what is past its time: bundles at their expiry (not those that wait in the inbox), ids after the
        skew. Gives back the bundles."""
        gone = tuple(
            held for held in self._held.values() if held.facts.expires_ms <= now_ms and not held.inbox
        )
        for held in gone:
            self.release(held)
        forgotten = [bundle_id for bundle_id, forget_ms in self._seen.items() if forget_ms <= now_ms]
        if forgotten:
            self._custody.write((), [b"s" + bundle_id for bundle_id in forgotten])
            for bundle_id in forgotten:
                del self._seen[bundle_id]
        return gone

    def _room_for(self, newcomer: Held) -> tuple[Held, ...]:
        """The bundles to evict: of the link that takes most, soonest to expire first. A relayed newcomer whose own
        link would take most evicts nothing. Errors: `QuotaExceeded`."""
        victims: list[Held] = []
        usage = self.usage
        try:
            while (exceeded := usage.overflow(newcomer.link, newcomer.size, self._limits)) is not None:
                heaviest = usage.heaviest_link()
                if heaviest is None:
                    raise exceeded
                newcomers_bytes = usage.link_bytes.get(newcomer.link, 0) + newcomer.size
                if not newcomer.own and usage.link_bytes[heaviest] <= newcomers_bytes:
                    raise exceeded
                chosen = {id(victim) for victim in victims}
                candidates = [
                    held
                    for held in self._held.values()
                    if held.link == heaviest and not held.inbox and id(held) not in chosen
                ]
                if not candidates:
                    raise exceeded
                victim = min(candidates, key=lambda held: (held.facts.expires_ms, held.facts.bundle_id))
                victims.append(victim)
                usage.remove(victim.link, victim.facts.recipient, victim.size)
        finally:
            for victim in victims:
                usage.add(victim.link, victim.facts.recipient, victim.size)
        return tuple(victims)

    def _index(self, held: Held) -> None:
        facts = held.facts
        self._held[facts.bundle_id] = held
        self._by_destination.setdefault(facts.recipient, {})[facts.bundle_id] = None
        self.usage.add(held.link, facts.recipient, held.size)
        self.touch(held)

    def _unindex(self, held: Held) -> None:
        facts = held.facts
        del self._held[facts.bundle_id]
        del self._changed[facts.bundle_id]
        waiting = self._by_destination[facts.recipient]
        del waiting[facts.bundle_id]
        if not waiting:
            del self._by_destination[facts.recipient]
        self.usage.remove(held.link, facts.recipient, held.size)


def _validate_expiry(facts: BundleFacts, now_ms: int) -> None:
    if facts.expires_ms <= now_ms:
        raise BundleExpired(facts.expires_ms, now_ms)
    latest_ms = now_ms + MAX_LIFETIME_MS + CLOCK_SKEW_MS
    if facts.expires_ms > latest_ms:
        raise ExpiryTooFar(facts.expires_ms, latest_ms)


def _keys(held: Held) -> tuple[bytes, bytes]:
    return b"b" + held.facts.bundle_id, b"m" + held.facts.bundle_id


def _encode_meta(held: Held) -> bytes:
    flags = (_OWN if held.own else 0) | (_INBOX if held.inbox else 0) | (_CARRYING if held.carrying else 0)
    facts = held.facts
    return _META.pack(
        flags,
        held.hops,
        held.copies,
        held.attempts,
        facts.priority,
        held.link or bytes(LINK_KEY_BYTES),
        facts.sender,
        facts.recipient,
        facts.expires_ms,
        held.arrived_ms,
        held.next_attempt_ms,
        held.envelope_bytes,
    )


def _decode_meta(key: bytes, value: bytes) -> Held:
    if len(key) != 1 + BUNDLE_ID_BYTES or len(value) != _META.size:
        raise CustodyCorrupted(key, f"{len(value)} bytes, expected {_META.size}")
    (
        flags,
        hops,
        copies,
        attempts,
        priority,
        link,
        sender,
        recipient,
        expires_ms,
        arrived_ms,
        next_attempt_ms,
        envelope_bytes,
    ) = _META.unpack(value)
    return Held(
        facts=BundleFacts(key[1:], sender, recipient, expires_ms, priority),
        envelope_bytes=envelope_bytes,
        link=OWN_LINK if flags & _OWN else link,
        hops=hops,
        copies=copies,
        inbox=bool(flags & _INBOX),
        carrying=bool(flags & _CARRYING),
        arrived_ms=arrived_ms,
        next_attempt_ms=next_attempt_ms,
        attempts=attempts,
    )
