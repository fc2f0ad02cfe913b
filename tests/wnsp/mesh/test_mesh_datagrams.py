"""The six kinds of datagram, and what they refuse."""

from random import Random

import pytest
from builders.mesh import GENESIS, START_MS, identity

from wnsp.errors import WnspError
from wnsp.mesh.announcements import sign_announcement, validate_announcement
from wnsp.mesh.datagrams import (
    MAX_DATAGRAM_BYTES,
    Answer,
    BundleDatagram,
    Hello,
    Offer,
    Prekey,
    ReceiptDatagram,
    Status,
    decode_datagram,
    encode_datagram,
)
from wnsp.mesh.errors import AnnouncementRefused, DatagramMalformed, DatagramOversized, ReceiptRefused
from wnsp.mesh.receipts import sign_receipt, validate_receipt

ALICE, BOB = identity("alice"), identity("bob")
PREKEYS = (Prekey(b"\x01" * 32, START_MS + 9, False), Prekey(b"\x02" * 32, START_MS + 8, True))
RECEIPT = sign_receipt(BOB, GENESIS, b"\x07" * 32, ALICE.hash, START_MS, START_MS + 60_000)
ANNOUNCEMENT = sign_announcement(ALICE, GENESIS, 5, START_MS + 60_000, True, PREKEYS)
EXAMPLES = (
    Hello(ALICE.hash, gateway=True),
    ANNOUNCEMENT,
    Offer(((b"\x07" * 32, 400), (b"\x08" * 32, 65_536))),
    Answer(((b"\x07" * 32, Status.WANTED), (b"\x08" * 32, Status.DELIVERED))),
    BundleDatagram(15, 3, b"envelope"),
    ReceiptDatagram(3, RECEIPT),
)


@pytest.mark.parametrize("datagram", EXAMPLES, ids=lambda datagram: type(datagram).__name__)
def test_every_kind_comes_back_as_it_went(datagram: Hello) -> None:
    assert decode_datagram(encode_datagram(datagram)) == datagram


@pytest.mark.parametrize("datagram", EXAMPLES, ids=lambda datagram: type(datagram).__name__)
def test_every_cut_datagram_is_refused_or_a_shorter_envelope(datagram: Hello) -> None:
    whole = encode_datagram(datagram)
    for length in range(len(whole)):
        if isinstance(datagram, BundleDatagram) and length > 4:
            continue
        with pytest.raises(DatagramMalformed):
            decode_datagram(whole[:length])


def test_any_bytes_raise_nothing_but_errors_of_wnsp() -> None:
    rng = Random(1)
    wholes = [encode_datagram(datagram) for datagram in EXAMPLES]
    decoded = 0
    for _ in range(5_000):
        data = bytearray(rng.choice(wholes))
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            decode_datagram(bytes(data[: rng.randint(0, len(data))] if rng.random() < 0.3 else data))
            decoded += 1
        except WnspError:
            pass
    assert 0 < decoded < 5_000


def test_a_datagram_above_the_limit_is_refused_by_its_length() -> None:
    with pytest.raises(DatagramOversized) as refused:
        decode_datagram(b"\x4d\x15" + bytes(MAX_DATAGRAM_BYTES))
    assert (refused.value.found, refused.value.limit) == (MAX_DATAGRAM_BYTES + 2, MAX_DATAGRAM_BYTES)


def test_M2_hops_and_copies_beyond_the_limits_are_clamped() -> None:
    decoded = decode_datagram(encode_datagram(BundleDatagram(255, 255, b"envelope")))
    assert decoded == BundleDatagram(16, 3, b"envelope")


def test_an_offer_that_names_a_bundle_twice_is_refused() -> None:
    with pytest.raises(DatagramMalformed, match="twice"):
        decode_datagram(encode_datagram(Offer(((b"\x07" * 32, 1), (b"\x07" * 32, 2)))))


def test_every_signed_byte_of_an_announcement_counts() -> None:
    whole = encode_datagram(ANNOUNCEMENT)
    for position in range(5, len(whole)):
        changed = bytearray(whole)
        changed[position] ^= 1
        with pytest.raises((AnnouncementRefused, DatagramMalformed)):
            validate_announcement(decode_datagram(bytes(changed)), GENESIS, START_MS)


def test_an_announcement_of_another_network_is_refused() -> None:
    with pytest.raises(AnnouncementRefused):
        validate_announcement(ANNOUNCEMENT, bytes(32), START_MS)


def test_every_byte_of_a_receipt_counts() -> None:
    whole = encode_datagram(ReceiptDatagram(3, RECEIPT))
    for position in range(3, len(whole)):
        changed = bytearray(whole)
        changed[position] ^= 1
        with pytest.raises(ReceiptRefused):
            validate_receipt(decode_datagram(bytes(changed)).receipt, GENESIS, START_MS)
