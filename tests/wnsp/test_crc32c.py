"""CRC-32C against the standard's vectors and the plain definition."""

from random import Random

import pytest

from wnsp.crc32c import ROW_BYTES, RunningChecksum, crc32c, crc32c_reference

RFC_3720_VECTORS = {
    bytes(32): 0x8A9136AA,
    b"\xff" * 32: 0x62A8AB43,
    bytes(range(32)): 0x46DD794E,
    bytes(range(31, -1, -1)): 0x113FDB5C,
    bytes.fromhex(
        "01c00000000000000000000000000000140000000000040000000014000000182800000000000000020000000000000000"[
            :96
        ]
    ): 0xD9963A56,
    b"123456789": 0xE3069283,
}
"""Appendix B.4, its bytes on the wire read as little-endian numbers; the last is the catalogue's check value."""


@pytest.mark.parametrize("data", RFC_3720_VECTORS, ids=lambda data: data[:4].hex())
def test_the_vectors_of_rfc_3720(data: bytes) -> None:
    assert crc32c(data) == crc32c_reference(data) == RFC_3720_VECTORS[data]


def test_whole_rows_at_once_equal_the_plain_definition_at_every_length() -> None:
    data = Random(1).randbytes(3 * ROW_BYTES + 200)
    for length in range(len(data) + 1):
        assert crc32c(data[:length]) == crc32c_reference(data[:length])


def test_long_data_too() -> None:
    data = Random(2).randbytes(200_001)
    assert crc32c(data) == crc32c_reference(data) == crc32c(memoryview(data)) == crc32c(bytearray(data))


def test_a_running_checksum_knows_every_slice_of_what_it_keeps() -> None:
    rng = Random(3)
    data = rng.randbytes(60_000)
    running = RunningChecksum()
    place = 0
    while place < len(data):
        step = rng.choice((1, 3, ROW_BYTES, 1_000, 9_000))
        running.append(data[place : place + step])
        place += step
    running.forget_before(20_000)
    assert running.begin == 20_000 - 20_000 % ROW_BYTES and running.end == len(data)
    for _ in range(300):
        first = rng.randrange(running.begin, len(data))
        last = rng.randrange(first, len(data) + 1)
        assert running.of(first, last) == crc32c(data[first:last])


def test_what_was_forgotten_is_refused() -> None:
    running = RunningChecksum()
    running.append(bytes(1_000))
    running.forget_before(500)
    with pytest.raises(ValueError):
        running.of(0, 900)
