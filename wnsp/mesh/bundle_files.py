"""A file of datagrams for a directory, a stick or a mail: header, entries, BLAKE2b-256 over both. README, Bundle files.

The digest finds a cut or damaged file before anything of it is used. It proves nothing about who wrote it: every
bundle, receipt and announcement inside is judged as if it came over the air.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

from wnsp.mesh.datagrams import MAX_DATAGRAM_BYTES
from wnsp.mesh.errors import BundleFileMalformed

FILE_MAGIC = b"NXMESH"
FILE_VERSION = 1
MAX_FILE_BYTES = 16 * 1024 * 1024
"""Read into memory as a whole, so it has a bound."""
DIGEST_BYTES = 32

_HEADER = struct.Struct(">6sH20sI")
_LENGTH = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class DirectoryFile:
    """What a file holds."""

    exporter: bytes
    """Address of the node that claims to have written it."""
    datagrams: tuple[bytes, ...]


def encode_file(exporter: bytes, datagrams: Sequence[bytes], limit_bytes: int) -> bytes:
    """As many of the datagrams, in order, as fit `limit_bytes` (at most `MAX_FILE_BYTES`); larger ones are passed over.

    Errors: `BundleFileMalformed` when not even an empty file fits.
    """
    limit_bytes = min(limit_bytes, MAX_FILE_BYTES)
    size = _HEADER.size + DIGEST_BYTES
    if size > limit_bytes:
        raise BundleFileMalformed(f"a file has at least {size} bytes, the limit is {limit_bytes}")
    entries: list[bytes] = []
    for datagram in datagrams:
        entry_bytes = _LENGTH.size + len(datagram)
        if size + entry_bytes <= limit_bytes:
            entries.append(_LENGTH.pack(len(datagram)) + datagram)
            size += entry_bytes
    content = _HEADER.pack(FILE_MAGIC, FILE_VERSION, exporter, len(entries)) + b"".join(entries)
    return content + blake2b(content, digest_size=DIGEST_BYTES).digest()


def decode_file(data: bytes) -> DirectoryFile:
    """The file's datagrams, not yet judged. Errors: `BundleFileMalformed`."""
    if len(data) > MAX_FILE_BYTES:
        raise BundleFileMalformed(f"{len(data)} bytes, at most {MAX_FILE_BYTES}")
    if len(data) < _HEADER.size + DIGEST_BYTES:
        raise BundleFileMalformed(f"{len(data)} bytes, at least {_HEADER.size + DIGEST_BYTES}")
    content, digest = data[:-DIGEST_BYTES], data[-DIGEST_BYTES:]
    magic, version, exporter, count = _HEADER.unpack_from(content)
    if magic != FILE_MAGIC or version != FILE_VERSION:
        raise BundleFileMalformed(
            f"it begins with {magic!r}, version {version}, expected {FILE_MAGIC!r}, {FILE_VERSION}"
        )
    if blake2b(content, digest_size=DIGEST_BYTES).digest() != digest:
        raise BundleFileMalformed("its digest does not fit")
    datagrams: list[bytes] = []
    position = _HEADER.size
    while position < len(content):
        if position + _LENGTH.size > len(content):
            raise BundleFileMalformed("an entry's length is cut")
        (length,) = _LENGTH.unpack_from(content, position)
        position += _LENGTH.size
        if length > MAX_DATAGRAM_BYTES or position + length > len(content):
            raise BundleFileMalformed(f"an entry of {length} bytes does not fit")
        datagrams.append(content[position : position + length])
        position += length
    if len(datagrams) != count:
        raise BundleFileMalformed(f"{len(datagrams)} entries, its header says {count}")
    return DirectoryFile(exporter, tuple(datagrams))
