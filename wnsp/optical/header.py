"""The 16 bytes that every picture carries besides its part of the message.

[0] version 1 (4 bits) | bits per cell (4 bits); [1] redundancy in eighths; [2] picture's number from 0; [3]
pictures in all; [4..7] length of the whole message, u32 big-endian; [8..11] first bytes of the message's BLAKE2b
digest; [12..15] first bytes of BLAKE2b over bytes 0 to 11 and this picture's part. The digests find what error
correction missed and tell messages apart; they authenticate nothing: that is the envelope's business.
"""

import hashlib
import struct
from dataclasses import dataclass

from wnsp.optical.errors import PictureHeaderInvalid

VERSION = 1
HEADER_BYTES = 16
CHECK_BYTES = 4
LEAST_REDUNDANCY, MOST_REDUNDANCY = 1, 5
"""Eighths of the picture's bytes that are parity."""
MOST_PICTURES = 255
MOST_MESSAGE_BYTES = 1 << 20

_FIELDS = struct.Struct(">BBBBI4s")


@dataclass(frozen=True, slots=True)
class Header:
    """One picture's header without its check."""

    bits_per_cell: int
    redundancy: int
    number: int
    count: int
    message_bytes: int
    message_check: bytes

    @property
    def part_bytes(self) -> int:
        """Length of every part but the last: the message in `count` parts, rounded up."""
        return -(-self.message_bytes // self.count)

    def part_length(self) -> int:
        """Length of this picture's part."""
        start = min(self.number * self.part_bytes, self.message_bytes)
        return min(self.part_bytes, self.message_bytes - start)


def message_check(message: bytes) -> bytes:
    """Four bytes that name a message."""
    return hashlib.blake2b(message, digest_size=32, person=b"wnsp-picture").digest()[:CHECK_BYTES]


def encode_header(header: Header, part: bytes) -> bytes:
    """The 16 bytes, with the check of this picture's part."""
    fields = _fields(header)
    return fields + _part_check(fields, part)


def decode_header(data: bytes) -> tuple[Header, bytes]:
    """The header, and the check that `part_is_intact` wants. Raises PictureHeaderInvalid."""
    if len(data) != HEADER_BYTES:
        raise PictureHeaderInvalid(field="length", value=len(data))
    first, redundancy, number, count, message_bytes, check = _FIELDS.unpack(data[: _FIELDS.size])
    version, bits_per_cell = divmod(first, 16)
    if version != VERSION:
        raise PictureHeaderInvalid(field="version", value=version)
    if bits_per_cell not in (2, 3):
        raise PictureHeaderInvalid(field="bits per cell", value=bits_per_cell)
    if not LEAST_REDUNDANCY <= redundancy <= MOST_REDUNDANCY:
        raise PictureHeaderInvalid(field="redundancy", value=redundancy)
    if number >= count:
        raise PictureHeaderInvalid(field="number of the picture", value=number)
    if message_bytes > MOST_MESSAGE_BYTES:
        raise PictureHeaderInvalid(field="message length", value=message_bytes)
    return Header(bits_per_cell, redundancy, number, count, message_bytes, check), data[_FIELDS.size :]


def part_is_intact(header: Header, part: bytes, check: bytes) -> bool:
    """Whether the part is the one that the header was made for."""
    return _part_check(_fields(header), part) == check


def _fields(header: Header) -> bytes:
    return _FIELDS.pack(
        VERSION << 4 | header.bits_per_cell,
        header.redundancy,
        header.number,
        header.count,
        header.message_bytes,
        header.message_check,
    )


def _part_check(fields: bytes, part: bytes) -> bytes:
    digest = hashlib.blake2b(fields + part, digest_size=32, person=b"wnsp-pict-part").digest()
    return digest[:CHECK_BYTES]
