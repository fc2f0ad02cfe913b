"""End-to-end receipts: the recipient's signed word that a bundle arrived, which frees custody on its way back.

In the store: `r` bundle id, recipient's address: receipt, copies. A receipt that a stranger made up names the stranger
as recipient, so it stands beside the true one and frees nothing.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

from wnsp.errors import SignatureInvalid
from wnsp.identity import Identity, identity_hash, verify
from wnsp.mesh.custody import Custody
from wnsp.mesh.datagrams import (
    RECEIPT_BYTES,
    Receipt,
    decode_receipt,
    encode_receipt,
    receipt_core,
)
from wnsp.mesh.errors import CustodyCorrupted, QuotaExceeded, ReceiptRefused
from wnsp.mesh.holdings import LINK_KEY_BYTES, MAX_GIVEN, UnderWay
from wnsp.mesh.limits import (
    ADDRESS_BYTES,
    BUNDLE_ID_BYTES,
    CLOCK_SKEW_MS,
    MAX_LIFETIME_MS,
    SIGNATURE_BYTES,
    SPRAY_COPIES,
    Limits,
)

RECEIPT_DOMAIN = b"nexus/mesh-receipt/v1"
NEIGHBOUR_FLOOR = 64
"""Receipts that a neighbour may leave here however small the table is."""


def receipt_preimage(genesis: bytes, receipt: Receipt) -> bytes:
    """What is signed: one length byte, the domain, the genesis hash, the signed fields."""
    return bytes((len(RECEIPT_DOMAIN),)) + RECEIPT_DOMAIN + genesis + receipt_core(receipt)


def sign_receipt(
    identity: Identity, genesis: bytes, bundle_id: bytes, sender: bytes, delivered_ms: int, expires_ms: int
) -> Receipt:
    """The receipt of the bundle's recipient."""
    unsigned = Receipt(
        bundle_id, sender, identity.public_key, delivered_ms, expires_ms, bytes(SIGNATURE_BYTES)
    )
    signature = identity.sign(receipt_preimage(genesis, unsigned))
    return Receipt(bundle_id, sender, identity.public_key, delivered_ms, expires_ms, signature)


def validate_receipt(receipt: Receipt, genesis: bytes, now_ms: int) -> None:
    """Errors: `ReceiptRefused` for its time or its signature."""
    if receipt.expires_ms + CLOCK_SKEW_MS <= now_ms:
        raise ReceiptRefused(f"its bundle expired at {receipt.expires_ms} ms, now is {now_ms} ms")
    latest_ms = now_ms + MAX_LIFETIME_MS + CLOCK_SKEW_MS
    if receipt.expires_ms > latest_ms:
        raise ReceiptRefused(f"its bundle expires at {receipt.expires_ms} ms, at the latest {latest_ms} ms")
    try:
        verify(receipt.public_key, receipt_preimage(genesis, receipt), receipt.signature)
    except SignatureInvalid:
        raise ReceiptRefused(f"not signed by {receipt.public_key.hex()}") from None


@dataclass(slots=True)
class CarriedReceipt:
    """A receipt in custody."""

    receipt: Receipt
    recipient: bytes
    """Address of the key that signed it."""
    link: bytes
    """Whence it came; empty for our own."""
    copies: int
    confirmed: bool = False
    """Signed by the recipient of a bundle that we held, or by ourselves. Others we carry unjudged."""
    focused: int = 0
    """Next hops that got it along a route."""
    holders: dict[bytes, None] = field(default_factory=dict)
    """Links that hold the bundle, as far as we know: they hear of it first."""
    given: dict[bytes, None] = field(default_factory=dict)
    under_way: UnderWay = field(default_factory=UnderWay)

    def hold(self, link: bytes) -> None:
        """Remember that the link holds the bundle."""
        self.holders[link] = None
        if len(self.holders) > MAX_GIVEN:
            del self.holders[next(iter(self.holders))]

    def give(self, link: bytes) -> None:
        """Remember that the link has it."""
        self.given[link] = None
        if len(self.given) > MAX_GIVEN:
            del self.given[next(iter(self.given))]


class ReceiptTable:
    """Receipts in custody, bounded. Opens what the store holds. Errors: `CustodyCorrupted`."""

    def __init__(self, custody: Custody, limits: Limits) -> None:
        self._custody = custody
        self._limits = limits
        self._carried: dict[bytes, CarriedReceipt] = {}
        self._of_bundle: dict[bytes, list[bytes]] = {}
        self._of_link: dict[bytes, int] = {}
        self._changed: OrderedDict[bytes, int] = OrderedDict()
        self._serial = 0
        for key, value in custody.iterate(b"r"):
            self._index(_decode_record(key, value))

    def __len__(self) -> int:
        return len(self._carried)

    @property
    def serial(self) -> int:
        """Of the latest change."""
        return self._serial

    def get(self, bundle_id: bytes, recipient: bytes) -> CarriedReceipt | None:
        """The receipt of that recipient for that bundle."""
        return self._carried.get(bundle_id + recipient)

    def find(self, key: bytes) -> CarriedReceipt | None:
        """By bundle id ‖ recipient."""
        return self._carried.get(key)

    def of_bundle(self, bundle_id: bytes) -> tuple[CarriedReceipt, ...]:
        """Every receipt that names the bundle, true or not."""
        return tuple(self._carried[key] for key in self._of_bundle.get(bundle_id, ()))

    def changed_since(self, serial: int) -> Iterator[tuple[bytes, CarriedReceipt]]:
        """Receipts with a change later than `serial`, latest first, with their keys."""
        for key, changed in reversed(self._changed.items()):
            if changed <= serial:
                return
            yield key, self._carried[key]

    def admit(self, carried: CarriedReceipt) -> None:
        """Keep the receipt. Our own have no quota but the deliveries they follow. Errors: `QuotaExceeded`,
        `CustodyFull`."""
        if carried.link:
            of_link = self._of_link.get(carried.link, 0) + 1
            limit = NEIGHBOUR_FLOOR + self._limits.receipts // 16
            if of_link > limit:
                raise QuotaExceeded("receipts from this neighbour", of_link, limit)
            if len(self._carried) >= self._limits.receipts:
                raise QuotaExceeded("receipts", len(self._carried) + 1, self._limits.receipts)
        self._custody.put(*_record(carried))
        self._index(carried)

    def store(self, carried: CarriedReceipt) -> None:
        """Write a changed record, and show it to neighbours again."""
        self._custody.put(*_record(carried))
        self._touch(carried.receipt.bundle_id + carried.recipient)

    def expire(self, now_ms: int) -> None:
        """Forget receipts whose bundle cannot be accepted anywhere any more."""
        gone = [
            key
            for key, carried in self._carried.items()
            if carried.receipt.expires_ms + CLOCK_SKEW_MS <= now_ms
        ]
        self._custody.write((), [b"r" + key for key in gone])
        for key in gone:
            carried = self._carried.pop(key)
            del self._changed[key]
            keys = self._of_bundle[carried.receipt.bundle_id]
            keys.remove(key)
            if not keys:
                del self._of_bundle[carried.receipt.bundle_id]
            self._of_link[carried.link] -= 1
            if not self._of_link[carried.link]:
                del self._of_link[carried.link]

    def _index(self, carried: CarriedReceipt) -> None:
        key = carried.receipt.bundle_id + carried.recipient
        self._carried[key] = carried
        self._of_bundle.setdefault(carried.receipt.bundle_id, []).append(key)
        self._of_link[carried.link] = self._of_link.get(carried.link, 0) + 1
        self._touch(key)

    def _touch(self, key: bytes) -> None:
        self._serial += 1
        self._changed[key] = self._serial
        self._changed.move_to_end(key)


def carried_receipt(receipt: Receipt, link: bytes, copies: int) -> CarriedReceipt:
    """A receipt that just came, or was just made (empty link, all copies)."""
    return CarriedReceipt(receipt, identity_hash(receipt.public_key), link, copies)


def _record(carried: CarriedReceipt) -> tuple[bytes, bytes]:
    key = b"r" + carried.receipt.bundle_id + carried.recipient
    link = carried.link or bytes(LINK_KEY_BYTES)
    return key, encode_receipt(carried.receipt) + bytes((carried.copies,)) + link


def _decode_record(key: bytes, value: bytes) -> CarriedReceipt:
    expected = RECEIPT_BYTES + 1 + LINK_KEY_BYTES
    if len(key) != 1 + BUNDLE_ID_BYTES + ADDRESS_BYTES or len(value) != expected:
        raise CustodyCorrupted(key, f"{len(value)} bytes, expected {expected}")
    link = value[-LINK_KEY_BYTES:]
    own = link == bytes(LINK_KEY_BYTES)
    copies = min(value[RECEIPT_BYTES], SPRAY_COPIES)
    receipt = decode_receipt(value[:RECEIPT_BYTES])
    recipient = key[1 + BUNDLE_ID_BYTES :]
    return CarriedReceipt(receipt, recipient, b"" if own else link, copies, confirmed=own)
