"""Frames out of a stream: in any pieces, after any garbage, at a bounded cost."""

from dataclasses import replace
from random import Random

import pytest

import wnsp.crc32c
from wnsp.crc32c import ROW_BYTES, crc32c
from wnsp.frame import MAX_FRAME_BYTES, FrameType, Modulation, WNSPFrame, encode_frame
from wnsp.streaming import FrameDecoder, Garbage

FRAME = WNSPFrame(2, FrameType.BYTES, 2, Modulation.PSK, True, False, 0, 7, 0, b"")


def _frames(rng: Random, count: int, greatest: int = 300) -> list[WNSPFrame]:
    return [
        replace(FRAME, sequence=number, payload=rng.randbytes(rng.randrange(greatest)))
        for number in range(count)
    ]


def _joined(found: list[WNSPFrame | Garbage]) -> list[WNSPFrame | Garbage]:
    """Neighbouring garbage as one, since its pieces depend on how the bytes came."""
    joined: list[WNSPFrame | Garbage] = []
    for item in found:
        last = joined[-1] if joined else None
        if isinstance(item, Garbage) and isinstance(last, Garbage):
            assert item.offset == last.offset + last.length
            joined[-1] = Garbage(last.offset, last.length + item.length)
        else:
            joined.append(item)
    return joined


def _decode(raw: bytes, pieces: list[int]) -> list[WNSPFrame | Garbage]:
    decoder = FrameDecoder()
    found: list[WNSPFrame | Garbage] = []
    place = turn = 0
    while place < len(raw):
        step = pieces[turn % len(pieces)]
        found += decoder.feed(raw[place : place + step])
        place += step
        turn += 1
    return _joined([*found, *decoder.finish()])


@pytest.mark.parametrize("pieces", [[1], [3, 1, 16], [1_000], [10**6]], ids=str)
def test_frames_come_out_in_order_whatever_the_pieces(pieces: list[int]) -> None:
    frames = _frames(Random(1), 40)
    assert _decode(b"".join(map(encode_frame, frames)), pieces) == frames


@pytest.mark.parametrize("pieces", [[1], [7], [10**6]], ids=str)
def test_garbage_between_frames_is_counted_to_the_byte_and_loses_none(pieces: list[int]) -> None:
    rng = Random(2)
    raw, expected = b"", []
    for frame in _frames(rng, 30):
        garbage = rng.randbytes(rng.randrange(1, 60))
        expected += [Garbage(len(raw), len(garbage)), frame]
        raw += garbage + encode_frame(frame)
    assert _decode(raw, pieces) == expected


def test_a_damaged_length_does_not_swallow_the_frames_that_follow() -> None:
    frames = _frames(Random(3), 5)
    first = bytearray(encode_frame(frames[0]))
    first[10] = 0xFF  # now it claims more than all that follows
    raw = bytes(first) + b"".join(map(encode_frame, frames[1:]))
    assert _decode(raw, [50]) == [Garbage(0, len(first)), *frames[1:]]


def test_a_cut_frame_is_garbage_and_the_next_one_is_found() -> None:
    frames = _frames(Random(4), 3, greatest=50)
    cut = encode_frame(frames[0])[:-6]
    assert _decode(cut + encode_frame(frames[1]), [10**6]) == [Garbage(0, len(cut)), frames[1]]


def test_a_frame_is_given_as_soon_as_its_last_byte_is_there() -> None:
    raw = encode_frame(replace(FRAME, payload=b"now"))
    decoder = FrameDecoder()
    assert [len(decoder.feed(raw[place : place + 1])) for place in range(len(raw))] == [0] * (
        len(raw) - 1
    ) + [1]
    assert decoder.finish() == ()


def test_a_frame_within_a_frame_is_payload() -> None:
    outer = replace(FRAME, payload=b"x" + encode_frame(FRAME) + b"y")
    assert _decode(encode_frame(outer), [1]) == [outer]


def test_right_checksum_and_wrong_fields_are_garbage_as_a_whole() -> None:
    body = bytearray(encode_frame(replace(FRAME, payload=b"\xff" + encode_frame(FRAME)))[:-4])
    body[1] = 0x11  # letters, of which 0xFF is none
    raw = bytes(body) + crc32c(bytes(body)).to_bytes(4, "big")
    assert _decode(raw + encode_frame(FRAME), [10**6]) == [Garbage(0, len(raw)), FRAME]


def test_after_finish_the_decoder_goes_on_behind_the_gap() -> None:
    raw = encode_frame(FRAME)
    decoder = FrameDecoder()
    assert decoder.feed(raw[:9]) == ()
    assert decoder.finish() == (Garbage(0, 9),)
    assert decoder.feed(raw) == (FRAME,)


def test_the_buffer_stays_within_one_longest_frame() -> None:
    decoder = FrameDecoder()
    endless = encode_frame(replace(FRAME, payload=bytes(0xFFFF)))[:12]
    rng = Random(5)
    greatest = 0
    for _ in range(60):
        decoder.feed(endless + rng.randbytes(4_000))
        greatest = max(greatest, decoder.buffered_bytes)
    assert 60_000 < greatest <= MAX_FRAME_BYTES + 4_012 + ROW_BYTES


def test_one_feed_of_a_megabyte_does_not_make_the_buffer_a_megabyte() -> None:
    decoder = FrameDecoder()
    decoder.feed(bytes(1 << 20))
    assert decoder.buffered_bytes < ROW_BYTES


@pytest.mark.parametrize(
    "pattern", [b"\xab\x23", b"\xab\x23\x00\x00" + bytes(6) + b"\xff\xff"], ids=["pairs", "headers"]
)
def test_a_flood_of_headers_costs_a_bounded_number_of_steps_per_byte(
    pattern: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = 0
    by_bytes, by_rows = wnsp.crc32c._advance, wnsp.crc32c._advance_rows

    def counted_bytes(register: int, data: bytes) -> int:
        nonlocal steps
        steps += len(data)
        return by_bytes(register, data)

    def counted_rows(register: int, data: bytes) -> list[int]:
        nonlocal steps
        steps += len(data)
        return by_rows(register, data)

    monkeypatch.setattr(wnsp.crc32c, "_advance", counted_bytes)
    monkeypatch.setattr(wnsp.crc32c, "_advance_rows", counted_rows)
    raw = pattern * (60_000 // len(pattern))
    assert _decode(raw, [5_000]) == [Garbage(0, len(raw))]
    assert steps <= 2 * ROW_BYTES * len(raw)
