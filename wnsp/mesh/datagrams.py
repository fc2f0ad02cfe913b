"""The mesh's datagrams as bytes: six kinds, big-endian, every length checked. Byte table: README, Datagrams.

Decoding is exact: what decodes, encodes back to the same bytes, with one exception, the clamp of the hop limit (M2)
and of copies, which is done here so that no other code ever sees a larger number.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum

from wnsp.mesh.errors import DatagramMalformed, DatagramOversized
from wnsp.mesh.limits import (
    ADDRESS_BYTES,
    HOP_LIMIT,
    MAX_ENVELOPE_BYTES,
    SIGNATURE_BYTES,
    SPRAY_COPIES,
)

MAGIC = 0x4D
"""'M', first byte of a whole datagram. 0xAB, a frame's sync, begins a fragment of one."""
VERSION = 1
HEADER_BYTES = 2
BUNDLE_HEADER_BYTES = HEADER_BYTES + 2
MAX_DATAGRAM_BYTES = BUNDLE_HEADER_BYTES + MAX_ENVELOPE_BYTES

MAX_ENTRIES = 32
"""Of an offer or an answer: 32 fit an Ethernet frame's payload."""
MAX_PREKEYS = 4
FLAG_GATEWAY = 0x01
FLAG_ONE_TIME = 0x01


class Kind(IntEnum):
    """Low four bits of the second byte."""

    HELLO = 1
    ANNOUNCEMENT = 2
    OFFER = 3
    ANSWER = 4
    BUNDLE = 5
    RECEIPT = 6


class Status(IntEnum):
    """What a neighbour says of a bundle, or of its receipt."""

    WANTED = 1
    HELD = 2
    """Already there."""
    DELIVERED = 3
    """Its recipient has it; the receipt follows."""
    REFUSED = 4
    """No room, or not allowed; asking again in this contact is useless."""
    ACCEPTED = 5
    """Custody taken."""
    RECEIPTED = 6
    """Receipt taken."""


@dataclass(frozen=True, slots=True)
class Hello:
    """I am here. Unsigned: it opens a contact, and decides nothing but what is offered in it."""

    address: bytes
    gateway: bool


@dataclass(frozen=True, slots=True)
class Prekey:
    """A key to seal messages to."""

    public_key: bytes
    """X25519, 32 bytes."""
    expires_ms: int
    """After which nothing new should be sealed to it."""
    one_time: bool
    """To be used by one message only."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """Who is reachable through the neighbour that says so, at which cost. Cost and hops are outside the signature."""

    cost: int
    """Of the path from the sender of this datagram, u16."""
    hops: int
    """Left."""
    public_key: bytes
    sequence: int
    """Rises with every announcement of the identity, over restarts too."""
    expires_ms: int
    gateway: bool
    prekeys: tuple[Prekey, ...]
    signature: bytes


@dataclass(frozen=True, slots=True)
class Offer:
    """Bundles that the neighbour may have: (id, envelope bytes)."""

    entries: tuple[tuple[bytes, int], ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """To an offer, a bundle or a receipt: (id, status)."""

    entries: tuple[tuple[bytes, Status], ...]


@dataclass(frozen=True, slots=True)
class BundleDatagram:
    """A signed envelope on its way."""

    hops: int
    """Left, after this transmission."""
    copies: int
    """That the receiver may let loose, itself included."""
    envelope: bytes


@dataclass(frozen=True, slots=True)
class Receipt:
    """The recipient's word that a bundle arrived."""

    bundle_id: bytes
    sender: bytes
    """Address of the bundle's sender, where the receipt travels to."""
    public_key: bytes
    """The recipient's."""
    delivered_ms: int
    expires_ms: int
    """The bundle's own expiry."""
    signature: bytes


@dataclass(frozen=True, slots=True)
class ReceiptDatagram:
    """A receipt on its way."""

    copies: int
    receipt: Receipt


Datagram = Hello | Announcement | Offer | Answer | BundleDatagram | ReceiptDatagram

_ANNOUNCEMENT_PATH = struct.Struct(">HB")
_ANNOUNCEMENT_CORE = struct.Struct(">32sQQBB")
_PREKEY = struct.Struct(">B32sQ")
_OFFER_ENTRY = struct.Struct(">32sI")
_ANSWER_ENTRY = struct.Struct(">32sB")
_RECEIPT_CORE = struct.Struct(">32s20s32sQQ")
RECEIPT_BYTES = _RECEIPT_CORE.size + SIGNATURE_BYTES


def _header(kind: Kind) -> bytes:
    return bytes((MAGIC, VERSION << 4 | kind))


def announcement_core(announcement: Announcement) -> bytes:
    """What the announcing identity signs, without tag and genesis."""
    core = _ANNOUNCEMENT_CORE.pack(
        announcement.public_key,
        announcement.sequence,
        announcement.expires_ms,
        FLAG_GATEWAY if announcement.gateway else 0,
        len(announcement.prekeys),
    )
    return core + b"".join(
        _PREKEY.pack(FLAG_ONE_TIME if prekey.one_time else 0, prekey.public_key, prekey.expires_ms)
        for prekey in announcement.prekeys
    )


def receipt_core(receipt: Receipt) -> bytes:
    """What the recipient signs, without tag and genesis: 100 bytes."""
    return _RECEIPT_CORE.pack(
        receipt.bundle_id, receipt.sender, receipt.public_key, receipt.delivered_ms, receipt.expires_ms
    )


def encode_receipt(receipt: Receipt) -> bytes:
    """`RECEIPT_BYTES`, as in a datagram and in custody."""
    return receipt_core(receipt) + receipt.signature


def decode_receipt(data: bytes) -> Receipt:
    """Errors: `DatagramMalformed`."""
    if len(data) != RECEIPT_BYTES:
        raise DatagramMalformed("receipt", f"{len(data)} bytes, expected {RECEIPT_BYTES}")
    bundle_id, sender, public_key, delivered_ms, expires_ms = _RECEIPT_CORE.unpack_from(data)
    return Receipt(bundle_id, sender, public_key, delivered_ms, expires_ms, data[_RECEIPT_CORE.size :])


def encode_datagram(datagram: Datagram) -> bytes:
    """The whole datagram, header included."""
    if isinstance(datagram, Hello):
        return _header(Kind.HELLO) + datagram.address + bytes((FLAG_GATEWAY if datagram.gateway else 0,))
    if isinstance(datagram, Announcement):
        path = _ANNOUNCEMENT_PATH.pack(datagram.cost, datagram.hops)
        return _header(Kind.ANNOUNCEMENT) + path + announcement_core(datagram) + datagram.signature
    if isinstance(datagram, Offer):
        offered = b"".join(_OFFER_ENTRY.pack(*entry) for entry in datagram.entries)
        return _header(Kind.OFFER) + bytes((len(datagram.entries),)) + offered
    if isinstance(datagram, Answer):
        answered = b"".join(_ANSWER_ENTRY.pack(*entry) for entry in datagram.entries)
        return _header(Kind.ANSWER) + bytes((len(datagram.entries),)) + answered
    if isinstance(datagram, BundleDatagram):
        return _header(Kind.BUNDLE) + bytes((datagram.hops, datagram.copies)) + datagram.envelope
    return _header(Kind.RECEIPT) + bytes((datagram.copies,)) + encode_receipt(datagram.receipt)


def decode_datagram(data: bytes) -> Datagram:
    """The datagram in `data`, hops and copies clamped.

    Errors: `DatagramOversized`, `DatagramMalformed`.
    """
    if len(data) > MAX_DATAGRAM_BYTES:
        raise DatagramOversized("datagram", len(data), MAX_DATAGRAM_BYTES)
    if len(data) < HEADER_BYTES or data[0] != MAGIC:
        raise DatagramMalformed("datagram", f"it does not begin with 0x{MAGIC:02X}")
    if data[1] >> 4 != VERSION:
        raise DatagramMalformed("datagram", f"version {data[1] >> 4}, expected {VERSION}")
    body = data[HEADER_BYTES:]
    match data[1] & 0x0F:
        case Kind.HELLO:
            return _decode_hello(body)
        case Kind.ANNOUNCEMENT:
            return _decode_announcement(body)
        case Kind.OFFER:
            return Offer(tuple(_entries("offer", body, _OFFER_ENTRY)))
        case Kind.ANSWER:
            return _decode_answer(body)
        case Kind.BUNDLE:
            return _decode_bundle(body)
        case Kind.RECEIPT:
            if not body:
                raise DatagramMalformed("receipt", "it is empty")
            return ReceiptDatagram(_clamped_copies(body[0]), decode_receipt(body[1:]))
        case kind:
            raise DatagramMalformed("datagram", f"kind {kind} is unknown")


def _flag(what: str, value: int, flag: int) -> bool:
    if value & ~flag:
        raise DatagramMalformed(what, f"flags 0x{value:02X}, only 0x{flag:02X} is known")
    return bool(value)


def _clamped_copies(copies: int) -> int:
    """A source gives away at most half of its copies, so no honest datagram carries more."""
    return max(1, min(copies, SPRAY_COPIES // 2))


def _decode_hello(body: bytes) -> Hello:
    if len(body) != ADDRESS_BYTES + 1:
        raise DatagramMalformed("hello", f"{len(body)} bytes, expected {ADDRESS_BYTES + 1}")
    return Hello(body[:ADDRESS_BYTES], _flag("hello", body[ADDRESS_BYTES], FLAG_GATEWAY))


def _decode_announcement(body: bytes) -> Announcement:
    prekeys_at = _ANNOUNCEMENT_PATH.size + _ANNOUNCEMENT_CORE.size
    if len(body) < prekeys_at + SIGNATURE_BYTES:
        raise DatagramMalformed("announcement", f"{len(body)} bytes, at least {prekeys_at + SIGNATURE_BYTES}")
    cost, hops = _ANNOUNCEMENT_PATH.unpack_from(body)
    public_key, sequence, expires_ms, flags, count = _ANNOUNCEMENT_CORE.unpack_from(
        body, _ANNOUNCEMENT_PATH.size
    )
    if count > MAX_PREKEYS:
        raise DatagramMalformed("announcement", f"{count} prekeys, at most {MAX_PREKEYS}")
    expected = prekeys_at + count * _PREKEY.size + SIGNATURE_BYTES
    if len(body) != expected:
        raise DatagramMalformed("announcement", f"{len(body)} bytes, expected {expected}")
    prekeys = tuple(
        Prekey(key, key_expires_ms, _flag("prekey", key_flags, FLAG_ONE_TIME))
        for key_flags, key, key_expires_ms in _PREKEY.iter_unpack(body[prekeys_at:-SIGNATURE_BYTES])
    )
    gateway = _flag("announcement", flags, FLAG_GATEWAY)
    signature = body[-SIGNATURE_BYTES:]
    return Announcement(
        cost, min(hops, HOP_LIMIT), public_key, sequence, expires_ms, gateway, prekeys, signature
    )


def _entries(what: str, body: bytes, entry: struct.Struct) -> list[tuple[bytes, int]]:
    """The counted entries of an offer or an answer, 1 to `MAX_ENTRIES`, none twice."""
    count = body[0] if body else 0
    if not 1 <= count <= MAX_ENTRIES:
        raise DatagramMalformed(what, f"{count} entries, expected 1 to {MAX_ENTRIES}")
    if len(body) != 1 + count * entry.size:
        raise DatagramMalformed(what, f"{len(body)} bytes, expected {1 + count * entry.size}")
    entries = [(bundle_id, number) for bundle_id, number in entry.iter_unpack(body[1:])]
    if len({bundle_id for bundle_id, _ in entries}) != count:
        raise DatagramMalformed(what, "it names a bundle twice")
    return entries


def _decode_answer(body: bytes) -> Answer:
    entries = _entries("answer", body, _ANSWER_ENTRY)
    for _, status in entries:
        if not Status.WANTED <= status <= Status.RECEIPTED:
            raise DatagramMalformed("answer", f"status {status} is unknown")
    return Answer(tuple((bundle_id, Status(status)) for bundle_id, status in entries))


def _decode_bundle(body: bytes) -> BundleDatagram:
    if len(body) <= 2:
        raise DatagramMalformed("bundle", "there is no envelope in it")
    return BundleDatagram(min(body[0], HOP_LIMIT), _clamped_copies(body[1]), body[2:])
