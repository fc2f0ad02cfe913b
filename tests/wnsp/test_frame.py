"""The frame's bytes, field by field, and what is refused."""

from dataclasses import replace
from random import Random

import pytest

from wnsp.crc32c import crc32c
from wnsp.errors import (
    ChecksumMismatch,
    FrameFieldRefused,
    FrameLengthWrong,
    FrameTooShort,
    MessageTooLong,
    SymbolOutOfRange,
    SyncMissing,
    WnspError,
)
from wnsp.frame import (
    MAX_FRAME_BYTES,
    MAX_PAYLOAD_BYTES,
    OVERHEAD_BYTES,
    FrameType,
    Modulation,
    WNSPFrame,
    carrier_symbols,
    decode_frame,
    display_ms,
    encode_frame,
    letters_frame,
    light_symbols,
    text_frame,
)

FRAME = WNSPFrame(
    version=2,
    type=FrameType.BYTES,
    region=5,
    modulation=Modulation.QAM64,
    last=True,
    encrypted=True,
    scheme=4,
    sequence=0x01020304,
    fragment=0x0506,
    payload=b"light",
)


def _sealed(header_and_payload: bytes) -> bytes:
    return header_and_payload + crc32c(header_and_payload).to_bytes(4, "big")


def test_every_field_stands_where_the_specification_says() -> None:
    raw = encode_frame(FRAME)
    assert raw[:12].hex(" ") == "ab 23 bb 04 01 02 03 04 05 06 00 05"
    assert raw[12:17] == b"light"
    assert raw == _sealed(raw[:-4])
    assert decode_frame(raw) == FRAME


def test_the_overhead_is_16_bytes() -> None:
    assert len(encode_frame(replace(FRAME, payload=b""))) == OVERHEAD_BYTES == 16


def test_the_longest_frame_comes_back() -> None:
    frame = replace(FRAME, payload=Random(1).randbytes(MAX_PAYLOAD_BYTES))
    raw = encode_frame(frame)
    assert len(raw) == MAX_FRAME_BYTES and decode_frame(raw) == frame


def test_letters_are_a_frame_type_of_their_own() -> None:
    frame = letters_frame("NEXUS", intensity=6, sequence=1)
    raw = encode_frame(frame)
    assert raw[1] == 0x11
    assert decode_frame(raw) == frame
    assert (light_symbols(frame), display_ms(frame)) == (5, 500)


def test_text_of_the_64_symbols_is_carried_one_byte_a_symbol() -> None:
    frame = text_frame("E = H*C/L!")
    assert decode_frame(encode_frame(frame)) == frame
    assert (light_symbols(frame), display_ms(frame)) == (10, 50)


def test_bytes_are_four_symbols_for_three() -> None:
    assert [light_symbols(replace(FRAME, payload=bytes(size))) for size in range(5)] == [0, 2, 3, 4, 6]


def test_carriers_hold_one_one_one_one_two_four_and_six_bits() -> None:
    assert [modulation.bits_per_symbol for modulation in Modulation] == [1, 1, 1, 1, 2, 4, 6]
    assert [carrier_symbols(replace(FRAME, modulation=modulation)) for modulation in Modulation] == [
        168,
        168,
        168,
        168,
        84,
        42,
        28,
    ]


def test_every_single_bit_of_a_frame_is_guarded() -> None:
    raw = encode_frame(FRAME)
    for bit in range(8 * len(raw)):
        changed = bytearray(raw)
        changed[bit >> 3] ^= 1 << (bit & 7)
        with pytest.raises(WnspError):
            decode_frame(bytes(changed))


def test_every_single_byte_of_a_frame_is_guarded() -> None:
    raw = encode_frame(FRAME)
    for place in range(len(raw)):
        for value in range(256):
            if value != raw[place]:
                with pytest.raises(WnspError):
                    decode_frame(raw[:place] + bytes([value]) + raw[place + 1 :])


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"", FrameTooShort),
        (encode_frame(FRAME)[:15], FrameTooShort),
        (b"\x00" + encode_frame(FRAME)[1:], SyncMissing),
        (encode_frame(FRAME)[:-1], FrameLengthWrong),
        (encode_frame(FRAME) + b"\x00", FrameLengthWrong),
        (encode_frame(FRAME)[:-1] + b"\x00", ChecksumMismatch),
    ],
)
def test_noise_is_named(raw: bytes, error: type[WnspError]) -> None:
    with pytest.raises(error):
        decode_frame(raw)


@pytest.mark.parametrize(
    ("place", "value", "field"),
    [
        (1, 0x13, "version and type"),
        (1, 0x21, "version and type"),
        (1, 0x03, "version and type"),
        (2, 0b110_000_11, "region"),
        (2, 0b000_111_11, "modulation"),
        (2, 0b000_000_10, "scheme"),
        (3, 0, "scheme"),
    ],
)
def test_fields_without_meaning_are_refused_under_a_right_checksum(
    place: int, value: int, field: str
) -> None:
    body = bytearray(encode_frame(FRAME)[:-4])
    body[place] = value
    with pytest.raises(FrameFieldRefused) as caught:
        decode_frame(_sealed(bytes(body)))
    assert caught.value.field == field


@pytest.mark.parametrize(
    "change",
    [
        {"region": 6},
        {"region": -1},
        {"modulation": 7},
        {"scheme": 256},
        {"scheme": 0},
        {"encrypted": False},
        {"sequence": 2**32},
        {"fragment": 2**16},
        {"version": 1},
        {"type": 0},
        {"payload": bytes(MAX_PAYLOAD_BYTES + 1)},
    ],
    ids=str,
)
def test_a_frame_that_could_not_be_read_is_not_written(change: dict[str, object]) -> None:
    with pytest.raises(FrameFieldRefused):
        encode_frame(replace(FRAME, **change))  # type: ignore[arg-type]


@pytest.mark.parametrize(("kind", "version", "payload"), [(1, 1, b"\xd0"), (2, 2, b"\x40")])
def test_payloads_off_the_alphabet_are_refused(kind: int, version: int, payload: bytes) -> None:
    frame = replace(FRAME, type=kind, version=version, payload=payload)
    with pytest.raises(SymbolOutOfRange):
        encode_frame(frame)
    body = bytearray(encode_frame(replace(FRAME, payload=payload))[:-4])
    body[1] = version << 4 | kind
    with pytest.raises(SymbolOutOfRange):
        decode_frame(_sealed(bytes(body)))


def test_a_text_longer_than_a_frame_is_refused() -> None:
    with pytest.raises(MessageTooLong):
        letters_frame("A" * (MAX_PAYLOAD_BYTES + 1))
