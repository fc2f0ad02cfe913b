"""The addresses of peers that we know: bounded, hard to fill by one neighbourhood, kept over a restart.

The table has `BUCKETS` buckets of `BUCKET_SLOTS` slots. A neighbourhood (/16 of IPv4, /32 of IPv6) owns, by a hash
keyed with our secret, `BUCKETS_PER_GROUP` of them and can fill no others (reliability N1; the idea is Bitcoin Core's
addrman, from Heilman et al., "Eclipse Attacks on Bitcoin's Peer-to-Peer Network", 2015). Time is an argument: seconds
of one clock that survives a restart, for instance Unix time.
"""

import hashlib
import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import msgspec

from p2p.addresses import MAX_ADDRESS_CHARACTERS, PeerAddress, Scope, diversity_group, parse_address
from p2p.errors import AddressBookMalformed, AddressMalformed
from p2p.network import PeerId
from p2p.peer_records import SIGNATURE_BYTES, PeerRecord

BUCKETS = 64
BUCKET_SLOTS = 16
BUCKETS_PER_GROUP = 8
"""8 of 64 buckets: one neighbourhood holds at most 12.5 % of the table's 1,024 places."""
MAX_ADDRESSES = BUCKETS * BUCKET_SLOTS
MAX_ANCHORS = 4
KEY_BYTES = 16
GIVE_UP_FAILURES = 3
"""An address that failed this often since its last success makes room for a new one."""
STALE_S = 7 * 86_400
"""So does one whose last success is older than this."""
RECORD_BYTES = 80
"""Of a saved record at most: its time and its signature."""
MAX_SAVED_BYTES = MAX_ADDRESSES * (MAX_ADDRESS_CHARACTERS + 32 + RECORD_BYTES)


@dataclass(frozen=True, slots=True)
class KnownAddress:
    """One place of the table."""

    address: str
    """Multiaddress with /p2p/."""
    peer_id: PeerId
    group: str | None
    """The neighbourhood; None for exempt ranges."""
    added_s: int
    last_success_s: int | None
    failures: int
    """Dials that failed since the last success."""
    record: PeerRecord | None = None
    """The newest that its node has signed, verified; without one the address is dialled but not told."""


class AddressBook:
    """Addresses by bucket. `key` is secret and random (16 bytes): with it one could aim at buckets."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"key of {len(key)} bytes, expected {KEY_BYTES}")
        self._key = key
        self._buckets: list[dict[str, KnownAddress]] = [{} for _ in range(BUCKETS)]
        self._places: dict[str, int] = {}
        self._anchors: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self._places)

    @property
    def anchors(self) -> tuple[str, ...]:
        """Addresses of the outbound peers that lasted longest before the restart: dialled first after it, so that an
        attacker who makes us restart gains nothing."""
        return self._anchors

    def known(self) -> tuple[KnownAddress, ...]:
        """All, sorted by address."""
        return tuple(self._entry(address) for address in sorted(self._places))

    def get(self, address: str) -> KnownAddress | None:
        """The entry of an address."""
        return self._entry(address) if address in self._places else None

    def add(self, address: str, now_s: float) -> bool:
        """Add an address with /p2p/; whether it is in the table afterwards. In a full bucket an address that failed
        `GIVE_UP_FAILURES` times, or else one that never worked or not for long, makes room; if all work, the new one
        loses.
        Errors: `AddressMalformed`."""
        parsed = parse_address(address)
        if parsed.peer_id is None:
            raise AddressMalformed(address)
        if address in self._places:
            return True
        entry = KnownAddress(address, parsed.peer_id, diversity_group(parsed), int(now_s), None, 0)
        return self._place(entry, parsed, now_s)

    def succeeded(self, address: str, now_s: float) -> None:
        """A dial of the address worked (or the peer is still connected through it)."""
        self._change(address, last_success_s=int(now_s), failures=0)

    def failed(self, address: str) -> None:
        """A dial of the address failed."""
        entry = self.get(address)
        if entry is not None:
            self._change(address, last_success_s=entry.last_success_s, failures=entry.failures + 1)

    def keep_record(self, record: PeerRecord) -> None:
        """Keep a verified record of a known address, unless a newer one is there."""
        entry = self.get(record.address)
        if entry is not None and (entry.record is None or entry.record.issued_s < record.issued_s):
            kept = replace(entry, record=record)
            self._buckets[self._places[record.address]][record.address] = kept

    def set_anchors(self, addresses: Sequence[str]) -> None:
        """At most `MAX_ANCHORS` are kept."""
        self._anchors = tuple(addresses[:MAX_ANCHORS])

    def draw(self, rng: random.Random, count: int, skip: Collection[str]) -> tuple[KnownAddress, ...]:
        """Up to `count` different addresses that are not in `skip`: a random bucket first, then an address in it. So a
        neighbourhood's chance follows its buckets, not the number of its addresses."""
        left = [
            [entry for _, entry in sorted(bucket.items()) if entry.address not in skip]
            for bucket in self._buckets
        ]
        filled = [entries for entries in left if entries]
        drawn: list[KnownAddress] = []
        while filled and len(drawn) < count:
            index = rng.randrange(len(filled))
            entries = filled[index]
            drawn.append(entries.pop(rng.randrange(len(entries))))
            if not entries:
                del filled[index]
        return tuple(drawn)

    def to_bytes(self) -> bytes:
        """For the node to keep; holds the key, so the file is for the owner's eyes only."""
        saved = _SavedBook(2, self._key, tuple(_saved(entry) for entry in self.known()), self._anchors)
        return msgspec.msgpack.encode(saved)

    @classmethod
    def from_bytes(cls, data: bytes) -> "AddressBook":
        """The inverse of `to_bytes`. Errors: `AddressBookMalformed`."""
        if len(data) > MAX_SAVED_BYTES:
            raise AddressBookMalformed(f"{len(data)} bytes, the limit is {MAX_SAVED_BYTES}")
        try:
            saved = msgspec.msgpack.decode(data, type=_SavedBook)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise AddressBookMalformed(str(error)) from error
        book = cls(saved.key)
        for line in saved.entries:
            parsed, peer_id = _checked(line.address)
            if line.address not in book._places:
                group = diversity_group(parsed)
                record = None
                if line.signature is not None:
                    record = PeerRecord(line.address, line.issued_s, line.signature)
                entry = KnownAddress(
                    line.address, peer_id, group, line.added_s, line.last_success_s, line.failures, record
                )
                book._place(entry, parsed, now_s=0)
        for anchor in saved.anchors:
            _checked(anchor)
        book.set_anchors(saved.anchors)
        return book

    def _entry(self, address: str) -> KnownAddress:
        return self._buckets[self._places[address]][address]

    def _change(self, address: str, *, last_success_s: int | None, failures: int) -> None:
        if address in self._places:
            entry = replace(self._entry(address), last_success_s=last_success_s, failures=failures)
            self._buckets[self._places[address]][address] = entry

    def _place(self, entry: KnownAddress, parsed: PeerAddress, now_s: float) -> bool:
        index = self._bucket_of(entry, parsed)
        bucket = self._buckets[index]
        if len(bucket) >= BUCKET_SLOTS:
            dispensable = [known for known in bucket.values() if _is_dispensable(known, now_s)]
            if not dispensable:
                return False
            goes = max(dispensable, key=_dispensability)
            del bucket[goes.address]
            del self._places[goes.address]
        bucket[entry.address] = entry
        self._places[entry.address] = index
        return True

    def _bucket_of(self, entry: KnownAddress, parsed: PeerAddress) -> int:
        """The group owns `BUCKETS_PER_GROUP` buckets, the endpoint chooses one of them. An exempt endpoint (loopback,
        private, /memory) is a group of its own."""
        group = entry.group or parsed.endpoint
        choice = self._hash(b"choice", group, parsed.endpoint) % BUCKETS_PER_GROUP
        return self._hash(b"bucket", group, str(choice)) % BUCKETS

    def _hash(self, purpose: bytes, *parts: str) -> int:
        text = "\x00".join(parts).encode()
        return int.from_bytes(hashlib.blake2b(text, key=self._key, person=purpose, digest_size=8).digest())


def _is_dispensable(entry: KnownAddress, now_s: float) -> bool:
    worked_s = entry.last_success_s
    return worked_s is None or entry.failures >= GIVE_UP_FAILURES or now_s - worked_s > STALE_S


def _dispensability(entry: KnownAddress) -> tuple[bool, int, int, str]:
    """Greater goes first: given up, then more failures, then older; the address only makes it one order."""
    return entry.failures >= GIVE_UP_FAILURES, entry.failures, -entry.added_s, entry.address


_Seconds = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_Text = Annotated[str, msgspec.Meta(max_length=MAX_ADDRESS_CHARACTERS)]


class _SavedAddress(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    address: _Text
    added_s: _Seconds
    last_success_s: _Seconds | None
    failures: Annotated[int, msgspec.Meta(ge=0, le=2**31)]
    issued_s: _Seconds
    """Of the record; 0 without one."""
    signature: Annotated[bytes, msgspec.Meta(min_length=SIGNATURE_BYTES, max_length=SIGNATURE_BYTES)] | None


class _SavedBook(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    version: Literal[2]
    key: Annotated[bytes, msgspec.Meta(min_length=KEY_BYTES, max_length=KEY_BYTES)]
    entries: Annotated[tuple[_SavedAddress, ...], msgspec.Meta(max_length=MAX_ADDRESSES)]
    anchors: Annotated[tuple[_Text, ...], msgspec.Meta(max_length=MAX_ANCHORS)]


def _saved(entry: KnownAddress) -> _SavedAddress:
    record = entry.record
    issued_s, signature = (0, None) if record is None else (record.issued_s, record.signature)
    return _SavedAddress(
        entry.address, entry.added_s, entry.last_success_s, entry.failures, issued_s, signature
    )


def _checked(address: str) -> tuple[PeerAddress, PeerId]:
    try:
        parsed = parse_address(address)
    except AddressMalformed as error:
        raise AddressBookMalformed(str(error)) from error
    if parsed.peer_id is None:
        raise AddressBookMalformed(f"{address} has no peer id")
    return parsed, parsed.peer_id


def shareable(entry: KnownAddress) -> bool:
    """Whether the address may be told to others at all: it worked once, and is no name that they would resolve."""
    return entry.last_success_s is not None and parse_address(entry.address).scope is not Scope.NAME
