"""The worked example of wnsp/mesh/README.md, made anew."""

from pathlib import Path

import pytest

from wnsp.identity import Identity
from wnsp.mesh.datagrams import (
    Answer,
    BundleDatagram,
    Datagram,
    Hello,
    Offer,
    ReceiptDatagram,
    Status,
    decode_datagram,
    encode_datagram,
)
from wnsp.mesh.limits import Limits
from wnsp.mesh.receipts import sign_receipt

README = (Path(__file__).parents[3] / "wnsp" / "mesh" / "README.md").read_text()
ALICE, BOB = Identity.from_seed(b"\x01" * 32), Identity.from_seed(b"\x02" * 32)
BUNDLE_ID = b"\x22" * 32
RECEIPT = sign_receipt(BOB, b"\x11" * 32, BUNDLE_ID, ALICE.hash, 1_800_000_000_000, 1_800_000_600_000)


@pytest.mark.parametrize(
    ("datagram", "shown_bytes"),
    [
        (Hello(ALICE.hash, gateway=False), 23),
        (Offer(((BUNDLE_ID, 423),)), 39),
        (Answer(((BUNDLE_ID, Status.WANTED),)), 36),
        (BundleDatagram(15, 3, b"envelope"), 12),
        (ReceiptDatagram(3, RECEIPT), 95),
    ],
)
def test_the_worked_example_holds(datagram: Datagram, shown_bytes: int) -> None:
    data = encode_datagram(datagram)
    assert f"`{data[:shown_bytes].hex()}`" in README
    assert decode_datagram(data) == datagram


def test_the_limits_in_the_readme_are_those_of_the_code() -> None:
    limits = Limits()
    assert limits.custody_bytes == 64 << 20 and "64 MiB" in README
    for number in (limits.bundles, limits.seen, limits.receipts, limits.routes, 64 + limits.receipts // 16):
        assert f"{number:,}" in README
