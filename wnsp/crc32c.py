"""CRC-32C (Castagnoli): the checksum of every frame. Source: RFC 3720, section 12.1 and appendix B.4.

Polynomial 0x1EDC6F41, reflected; register begins with all ones and is complemented at the end. It finds every change
of up to 32 neighbouring bits and misses other noise once in 2^32; it is no protection against people.

The register is linear over GF(2): what a byte adds depends only on its value and its distance to the end. So rows of
64 bytes are looked up at once with numpy, and `RunningChecksum` gives the checksum of *any* slice of a stream at a
cost that does not depend on the slice's length. That is what keeps the streaming decoder O(n).
`crc32c_reference` is the plain definition; tests compare.
"""

from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

POLYNOMIAL: Final = 0x82F63B78
"""0x1EDC6F41 with its bits reversed."""

ROW_BYTES: Final = 64
"""Bytes looked up at once; the tables for them have 64 KiB."""

_PLAIN_BYTES: Final = 96
"""Up to here the plain loop is the faster one: numpy's calls cost some 8 µs."""

_LONGEST_SHIFT_BITS: Final = 17
"""Slices of up to 2^17 - 1 bytes: the longest frame and more."""

_ALL_ONES: Final = 0xFFFFFFFF


def _byte_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        register = byte
        for _ in range(8):
            register = register >> 1 ^ (POLYNOMIAL if register & 1 else 0)
        table.append(register)
    return tuple(table)


_TABLE: Final = _byte_table()


def _advance(register: int, data: bytes | bytearray | memoryview) -> int:
    """The register after `data`, one byte at a time."""
    table = _TABLE
    for byte in data:
        register = table[(register ^ byte) & 0xFF] ^ register >> 8
    return register


def crc32c_reference(data: bytes) -> int:
    """The plain definition, some 5 MB/s: 32-bit checksum of `data`."""
    return _advance(_ALL_ONES, data) ^ _ALL_ONES


@cache
def _row_tables() -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.intp]]:
    """What a byte adds to the register at the end of its row: uint32[ROW_BYTES · 256], and where each place begins."""
    table = np.array(_TABLE, dtype=np.uint32)
    rows = np.empty((ROW_BYTES, 256), dtype=np.uint32)
    rows[-1] = table
    for place in range(ROW_BYTES - 2, -1, -1):
        later = rows[place + 1]
        rows[place] = table[later & 0xFF] ^ later >> 8
    return rows.ravel(), np.arange(ROW_BYTES, dtype=np.intp) * 256


@cache
def _shift_table(power: int) -> tuple[tuple[int, ...], ...]:
    """Four tables, one per byte of the register: the register after 2^power zero bytes."""
    if power == 0:
        columns = [_advance(1 << bit, b"\0") for bit in range(32)]
    else:
        columns = [_shift_once(_shift_once(1 << bit, power - 1), power - 1) for bit in range(32)]
    tables = []
    for first_bit in (0, 8, 16, 24):
        table = [0] * 256
        for bit in range(8):
            for low in range(1 << bit):
                table[1 << bit | low] = table[low] ^ columns[first_bit + bit]
        tables.append(tuple(table))
    return tuple(tables)


def _shift_once(register: int, power: int) -> int:
    first, second, third, fourth = _shift_table(power)
    return (
        first[register & 0xFF]
        ^ second[register >> 8 & 0xFF]
        ^ third[register >> 16 & 0xFF]
        ^ fourth[register >> 24]
    )


def _shift(register: int, zero_bytes: int) -> int:
    """The register after `zero_bytes` zero bytes, below 2^17 of them."""
    power = 0
    while zero_bytes:
        if zero_bytes & 1:
            register = _shift_once(register, power)
        zero_bytes >>= 1
        power += 1
    return register


_ROW_POWER: Final = ROW_BYTES.bit_length() - 1


def _advance_rows(register: int, data: bytes | bytearray | memoryview) -> list[int]:
    """The register after each of the whole rows that `data` consists of."""
    table, offsets = _row_tables()
    rows = np.frombuffer(data, dtype=np.uint8).reshape(-1, ROW_BYTES)
    added = np.bitwise_xor.reduce(table.take(rows + offsets), axis=1).tolist()
    first, second, third, fourth = _shift_table(_ROW_POWER)
    after = []
    for addend in added:
        register = (
            first[register & 0xFF]
            ^ second[register >> 8 & 0xFF]
            ^ third[register >> 16 & 0xFF]
            ^ fourth[register >> 24]
            ^ addend
        )
        after.append(register)
    return after


def crc32c(data: bytes | bytearray | memoryview) -> int:
    """The 32-bit checksum of `data`."""
    if len(data) <= _PLAIN_BYTES:
        return _advance(_ALL_ONES, data) ^ _ALL_ONES
    # A register of zeros passes leading zeros unchanged, and one of ones is the first four bytes complemented.
    padded = bytearray(-len(data) % ROW_BYTES)
    start = len(padded)
    padded += data
    padded[start : start + 4] = (int.from_bytes(data[:4], "big") ^ _ALL_ONES).to_bytes(4, "big")
    return _advance_rows(0, padded)[-1] ^ _ALL_ONES


class RunningChecksum:
    """A stream's bytes from some place on, and the checksum of any slice of them.

    `append` costs O(bytes), `of` costs at most 2 · ROW_BYTES steps and a shift however long the slice is. Places count
    from the stream's first byte.
    """

    def __init__(self) -> None:
        self.buffer = bytearray()
        """The bytes from `begin` on."""
        self.begin = 0
        """Place of the first byte kept; a multiple of ROW_BYTES."""
        self._registers = [0]
        """Of the zero-started register, at each row's border from `begin` on."""
        self._known = [(0, 0), (0, 0)]
        """Places and registers where the last slice asked for begins and ends: the next one is often close behind."""

    @property
    def end(self) -> int:
        """The place after the last byte."""
        return self.begin + len(self.buffer)

    def append(self, data: bytes | bytearray | memoryview) -> None:
        """More of the stream."""
        self.buffer += data
        done = (len(self._registers) - 1) * ROW_BYTES
        whole = len(self.buffer) - len(self.buffer) % ROW_BYTES
        if whole > done:
            rows = bytes(memoryview(self.buffer)[done:whole])
            self._registers += _advance_rows(self._registers[-1], rows)

    def forget_before(self, place: int) -> None:
        """Give back the whole rows before `place`."""
        rows = (min(place, self.end) - self.begin) // ROW_BYTES
        if rows > 0:
            del self.buffer[: rows * ROW_BYTES]
            del self._registers[:rows]
            self.begin += rows * ROW_BYTES

    def _register_at(self, place: int) -> int:
        row = (place - self.begin) // ROW_BYTES
        known, register = self.begin + row * ROW_BYTES, self._registers[row]
        for other, its_register in self._known:
            if known < other <= place:
                known, register = other, its_register
        return _advance(register, self.buffer[known - self.begin : place - self.begin])

    def of(self, first: int, last: int) -> int:
        """`crc32c` of the bytes from place `first` up to, not including, `last`; at most 2^17 - 1 of them."""
        if not self.begin <= first <= last <= self.end or last - first >> _LONGEST_SHIFT_BITS:
            raise ValueError(f"slice {first} to {last} of a stream kept from {self.begin} to {self.end}")
        before, after = self._register_at(first), self._register_at(last)
        self._known = [(first, before), (last, after)]
        return _shift(before ^ _ALL_ONES, last - first) ^ after ^ _ALL_ONES
