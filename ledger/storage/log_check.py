"""What LevelDB would overlook when it opens: damage that passes for the end of a log.

LevelDB with `paranoid_checks` refuses a wrong checksum, but takes these shapes for "nothing more was written" and drops
acknowledged batches in silence:

- a record header of zeros (a zero-filled page): the rest of its 32 KiB block is skipped, later blocks are read;
- a damaged length that points past the end of the file: taken for a write that a crash cut short;
- a missing CURRENT file: taken for a new database.

This module refuses them before LevelDB sees the files. A log that simply ends early, as after a crash, stays allowed.
Format: the log format notes of LevelDB (`doc/log_format.md`), the same for `*.log` and `MANIFEST-*`.
"""

import re
from pathlib import Path

from ledger.storage.errors import StoreCorrupted

BLOCK_BYTES = 32_768
"""A log is a sequence of blocks; a record fragment never crosses the end of one."""

HEADER_BYTES = 7
"""Masked CRC-32C (4, little-endian), length (2, little-endian), fragment type (1)."""

LAST_FRAGMENT_TYPE = 4
"""Types are 1 full, 2 first, 3 middle, 4 last; a writer never uses 0."""

LOG_NAME = re.compile(r"\d+\.log")
_CONTENT_NAME = re.compile(r"\d+\.(log|ldb|sst)")
_FRAMED_NAME = re.compile(r"\d+\.log|MANIFEST-\d+")
_CRC32C_POLYNOMIAL = 0x82F63B78
_CRC_MASK_DELTA = 0xA282EAD8


def holds_database(directory: Path) -> bool:
    """Whether `directory` exists and has files of a LevelDB, damaged or not."""
    return directory.is_dir() and any(
        path.name == "CURRENT" or _CONTENT_NAME.fullmatch(path.name) for path in directory.iterdir()
    )


def check_files(directory: Path) -> None:
    """Raise `StoreCorrupted` when a file in `directory` has one of the shapes above. Reads logs and manifests whole.

    A manifest alone is what a crash leaves during the creation of a database: nothing was in it yet.
    """
    names = sorted(path.name for path in directory.iterdir())
    content_names = [name for name in names if _CONTENT_NAME.fullmatch(name)]
    if content_names and "CURRENT" not in names:
        raise StoreCorrupted(
            directory, f"the file CURRENT is missing beside {len(content_names)} files with content"
        )
    for name in names:
        if _FRAMED_NAME.fullmatch(name):
            reason = find_framing_fault((directory / name).read_bytes())
            if reason is not None:
                raise StoreCorrupted(directory, f"{name}: {reason}")


def find_framing_fault(content: bytes) -> str | None:
    """What is wrong with the record framing of a log's content, or None. An early end is not wrong."""
    position, size = 0, len(content)
    while position + HEADER_BYTES <= size:
        left_in_block = BLOCK_BYTES - position % BLOCK_BYTES
        if left_in_block < HEADER_BYTES:
            if any(content[position : position + left_in_block]):
                return f"non-zero filler at byte {position}"
            position += left_in_block
            continue
        length = content[position + 4] | content[position + 5] << 8
        fragment_type = content[position + 6]
        if not 1 <= fragment_type <= LAST_FRAGMENT_TYPE:
            return f"record type {fragment_type} at byte {position}, expected 1 to {LAST_FRAGMENT_TYPE}"
        if HEADER_BYTES + length > left_in_block:
            return f"record length {length} at byte {position}, at most {left_in_block - HEADER_BYTES} fit its block"
        if position + HEADER_BYTES + length > size:
            return _find_length_fault(content, position, length)
        position += HEADER_BYTES + length
    return None


def _find_length_fault(content: bytes, position: int, length: int) -> str | None:
    """Tell a damaged length from a cut-off record: with one bit of the length flipped back the checksum fits."""
    stored_crc = int.from_bytes(content[position : position + 4], "little")
    body = position + HEADER_BYTES
    for bit in range(16):
        candidate = length ^ (1 << bit)
        if (
            body + candidate <= len(content)
            and masked_crc32c(content[body - 1 : body + candidate]) == stored_crc
        ):
            return f"record length {length} at byte {position}, the checksum says {candidate}"
    return None


def masked_crc32c(content: bytes) -> int:
    """LevelDB's masked CRC-32C (Castagnoli) of `content`. Slow (0.1 µs a byte); meant for one block at most."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc = (crc >> 8) ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + _CRC_MASK_DELTA) & 0xFFFFFFFF


def _crc_table_entry(byte: int) -> int:
    crc = byte
    for _ in range(8):
        crc = crc >> 1 ^ (_CRC32C_POLYNOMIAL if crc & 1 else 0)
    return crc


_CRC_TABLE = tuple(_crc_table_entry(byte) for byte in range(256))
