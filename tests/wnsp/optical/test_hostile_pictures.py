"""Whatever the file, the decoder says WnspError, soon."""

import io
import random
import struct
import zlib
from time import perf_counter

import numpy as np
import pytest
from builders.pictures import Distortion, distorted
from PIL import Image

from wnsp.errors import WnspError
from wnsp.optical.decoder import decode_picture
from wnsp.optical.encoder import encode_animated_png, encode_picture
from wnsp.optical.error_correction import blocks, decode_body
from wnsp.optical.errors import MarksNotFound, PictureFileTooLarge, PictureUnreadable, TooManyErrors
from wnsp.optical.header import Header, decode_header, encode_header
from wnsp.optical.picture_file import MOST_FILE_BYTES, MOST_JPEG_SCANS

SECONDS = 20.0
"""Far above what is needed; a machine that runs other tests is slow."""


def _png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def _claiming(width: int, height: int) -> bytes:
    """A PNG file whose header claims a size, with next to no data."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


def test_mutated_files_raise_nothing_but_wnsp_errors() -> None:
    seeded = random.Random(7)
    picture = encode_picture(b"hello")
    sources = [picture, distorted(picture, Distortion(quality=50)), encode_animated_png(bytes(30), cells=24)]
    outcomes = {"read": 0, "refused": 0}
    for _ in range(100):
        data = bytearray(seeded.choice(sources))
        for _ in range(seeded.choice((1, 3, 12))):
            place = seeded.randrange(len(data))
            if seeded.random() < 0.7:
                data[place] = seeded.randrange(256)
            else:
                data[place : place + seeded.randrange(8)] = seeded.randbytes(seeded.randrange(8))
        try:
            decode_picture(bytes(data))
            outcomes["read"] += 1
        except WnspError:
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 5, outcomes


@pytest.mark.parametrize(
    "data", [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a" + bytes(50), bytes(1_000)]
)
def test_what_is_no_picture_is_unreadable(data: bytes) -> None:
    with pytest.raises(PictureUnreadable):
        decode_picture(data)


def test_a_decompression_bomb_is_refused_before_it_is_unpacked() -> None:
    began = perf_counter()
    with pytest.raises(PictureFileTooLarge, match="36000000 pixels"):
        decode_picture(_claiming(6_000, 6_000))
    with pytest.raises(PictureUnreadable, match="DecompressionBomb"):
        decode_picture(_claiming(60_000, 60_000))
    assert perf_counter() - began < 1.0


def test_too_large_a_file_is_refused_unopened() -> None:
    with pytest.raises(PictureFileTooLarge, match="bytes"):
        decode_picture(bytes(MOST_FILE_BYTES + 1))


def test_a_jpeg_of_endless_scans_is_refused_unopened() -> None:
    with pytest.raises(PictureFileTooLarge, match="scans"):
        decode_picture(b"\xff\xd8" + b"\xff\xda\x00\x02" * (MOST_JPEG_SCANS + 1))


def test_a_tiny_picture_is_refused() -> None:
    with pytest.raises(PictureUnreadable, match="1 by 1"):
        decode_picture(_png(np.zeros((1, 1, 3), dtype=np.uint8)))


def _tiled_marks() -> np.ndarray:
    mark = np.full((9, 9), 255, dtype=np.uint8)
    mark[1:8, 1:8], mark[2:7, 2:7], mark[3:6, 3:6] = 0, 255, 0
    return np.tile(np.kron(mark, np.ones((5, 5), dtype=np.uint8)), (22, 22))


@pytest.mark.parametrize(
    "pixels",
    [
        _tiled_marks(),
        np.random.default_rng(1).integers(0, 256, (1_000, 1_000, 3), dtype=np.uint8),
        np.tile(np.array([0, 255], dtype=np.uint8), (1_000, 500)),
        np.full((1_000, 1_000), 255, dtype=np.uint8),
    ],
    ids=["marks everywhere", "noise", "stripes", "white"],
)
def test_a_picture_without_a_message_costs_little(pixels: np.ndarray) -> None:
    began = perf_counter()
    with pytest.raises(MarksNotFound):
        decode_picture(_png(pixels))
    assert perf_counter() - began < SECONDS


def test_any_header_is_decoded_or_refused() -> None:
    seeded = random.Random(3)
    for _ in range(2_000):
        data = bytes([0x12 + seeded.randrange(3)]) + seeded.randbytes(15)
        try:
            header, check = decode_header(data)
        except WnspError:
            continue
        assert encode_header(header, b"")[:12] == data[:12] and check == data[12:]
        assert 0 <= header.part_length() <= header.part_bytes


def test_parts_of_a_message_add_up_to_it() -> None:
    for length in range(40):
        for count in range(1, 12):
            parts = [Header(3, 3, number, count, length, bytes(4)).part_length() for number in range(count)]
            assert sum(parts) == length


def test_error_correction_of_random_words_raises_nothing_else() -> None:
    seeded = random.Random(5)
    refused = 0
    for capacity in (24, 60, 300):
        for redundancy in (1, 3, 5):
            plan = blocks(capacity, redundancy)
            for _ in range(3):
                try:
                    part, _ = decode_body(seeded.randbytes(capacity), np.zeros(capacity), plan)
                    assert len(part) == plan.data_bytes
                except TooManyErrors:
                    refused += 1
    assert refused >= 18
