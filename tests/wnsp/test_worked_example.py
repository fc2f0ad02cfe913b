"""The worked example of wnsp/README.md: decoded by this package, and by hand with other libraries."""

import re
from hashlib import blake2b
from pathlib import Path

import msgpack
from nacl.signing import SigningKey, VerifyKey

from wnsp.alphabet import bytes_to_symbols, wavelengths_pm
from wnsp.envelope import open_envelope
from wnsp.fragments import Reassembler
from wnsp.frame import WNSPFrame, decode_frame, encode_frame
from wnsp.identity import Identity
from wnsp.streaming import FrameDecoder

README = (Path(__file__).resolve().parents[2] / "wnsp" / "README.md").read_text(encoding="utf-8")
SECTION = README.partition("## Worked example")[2].partition("\n## ")[0]
LINES = SECTION.split("```")[1].strip().splitlines()
WIRE = bytes.fromhex("".join(line.partition("#")[0] for line in LINES))
ENVELOPE_ID = re.search(r"id is `([0-9a-f]{64})`", SECTION).group(1)  # type: ignore[union-attr]
GENESIS = bytes(range(32))


def _parts() -> dict[str, bytes]:
    """The bytes under each comment."""
    parts: dict[str, bytes] = {}
    title = ""
    for line in LINES:
        text, _, comment = line.partition("#")
        title = comment.strip() or title
        parts[title] = parts.get(title, b"") + bytes.fromhex(text)
    return parts


def test_the_package_decodes_it() -> None:
    (frame,) = FrameDecoder().feed(WIRE)
    assert isinstance(frame, WNSPFrame) and frame == decode_frame(WIRE) and encode_frame(frame) == WIRE
    assert (frame.version, frame.type, frame.region, frame.modulation, frame.sequence) == (2, 3, 2, 4, 1)
    message = Reassembler().add(frame, "neighbour", 0)
    assert message is not None
    opened = open_envelope(message, GENESIS)
    assert opened.envelope.payload.decode() == "light é"
    assert (opened.envelope.created_slot, opened.envelope.expiry_slot) == (1_000, 605_800)
    assert opened.sender_hash == Identity.from_seed(b"a" * 32).hash
    assert opened.envelope.recipient == Identity.from_seed(b"b" * 32).hash
    assert opened.id.hex() == ENVELOPE_ID


def test_it_is_decoded_by_hand() -> None:
    assert WIRE[0] == 0xAB and divmod(WIRE[1], 16) == (2, 3)
    assert (WIRE[2] >> 5, WIRE[2] >> 2 & 7, WIRE[2] >> 1 & 1, WIRE[2] & 1) == (2, 4, 1, 0)
    length = int.from_bytes(WIRE[10:12], "big")
    assert length == 182 and len(WIRE) == 16 + length
    assert _plain_crc32c(WIRE[:-4]) == int.from_bytes(WIRE[-4:], "big")
    raw = WIRE[12:-4]
    envelope, signature = msgpack.unpackb(raw)
    sender = bytes(SigningKey(b"a" * 32).verify_key)
    assert envelope[:3] == [1, GENESIS, sender]
    assert envelope[4:] == [1_000, 605_800, 2, 4, 0, [], 1, "light é".encode()]
    preimage = _tag("nexus/wnsp-envelope/v1") + GENESIS + msgpack.packb(envelope)
    VerifyKey(sender).verify(preimage, signature)
    assert blake2b(_tag("nexus/wnsp-envelope-id/v1") + raw, digest_size=32).hexdigest() == ENVELOPE_ID
    recipient = bytes(SigningKey(b"b" * 32).verify_key)
    assert envelope[3] == blake2b(_tag("nexus/address/v1") + recipient, digest_size=32).digest()[:20]


def test_each_line_says_what_its_bytes_are() -> None:
    parts = _parts()
    assert parts["payload: “light é” in UTF-8"] == b"\xc4\x08" + "light é".encode()
    assert parts["CRC-32C of all before"] == WIRE[-4:]
    assert len(parts["signature"]) == 66 and len(parts["sender: public key"]) == 34


def test_the_payload_on_light_begins_as_written() -> None:
    written = re.search(r"begins ([0-9, ]+) nm", SECTION)
    assert written is not None
    assert [1_000 * int(number) for number in written.group(1).split(",")] == list(
        wavelengths_pm(bytes_to_symbols(WIRE[12:15]))
    )


def _tag(domain: str) -> bytes:
    return bytes([len(domain)]) + domain.encode()


def _plain_crc32c(data: bytes) -> int:
    """Bit by bit, from the polynomial."""
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    return register ^ 0xFFFFFFFF
