"""Reading LevelDB's logs and manifests record by record, with every checksum, without LevelDB.

A record (a batch in `*.log`, a version edit in `MANIFEST-*`) is one full fragment, or a first, middle and last ones.
Format: `doc/log_format.md` and `db/version_edit.cc` of LevelDB.
"""

from dataclasses import dataclass
from pathlib import Path

BLOCK_BYTES = 32_768
"""A log is a sequence of blocks; a record fragment never crosses the end of one."""

HEADER_BYTES = 7
"""Masked CRC-32C (4, little-endian), length (2, little-endian), fragment type (1)."""

FULL_FRAGMENT, FIRST_FRAGMENT, LAST_FRAGMENT = 1, 2, 4
LAST_FRAGMENT_TYPE = 4
"""Types are 1 full, 2 first, 3 middle, 4 last; a writer never uses 0."""

_CRC32C_POLYNOMIAL = 0x82F63B78
_CRC_MASK_DELTA = 0xA282EAD8

_COMPARATOR, _LOG_NUMBER, _NEXT_FILE, _LAST_SEQUENCE = 1, 2, 3, 4
_COMPACT_POINTER, _DELETED_FILE, _NEW_FILE, _PREVIOUS_LOG = 5, 6, 7, 9


@dataclass(frozen=True, slots=True)
class LogScan:
    """What a log holds before its first fault."""

    records: tuple[bytes, ...]
    whole_bytes: int
    """Where the last whole record ends: what can be kept."""
    fault: str | None
    """What is wrong after that; None when the log merely ends, be it in the midst of a record."""


def scan_log(content: bytes) -> LogScan:
    """All whole records before the first fault. 0.1 µs a byte."""
    records: list[bytes] = []
    parts: list[bytes] | None = None
    whole = position = 0
    while position + HEADER_BYTES <= len(content):
        left_in_block = BLOCK_BYTES - position % BLOCK_BYTES
        if left_in_block < HEADER_BYTES:
            if any(content[position : position + left_in_block]):
                return LogScan(tuple(records), whole, f"non-zero filler at byte {position}")
            position += left_in_block
            continue
        length = content[position + 4] | content[position + 5] << 8
        kind = content[position + 6]
        end = position + HEADER_BYTES + length
        if not 1 <= kind <= LAST_FRAGMENT_TYPE:
            return LogScan(tuple(records), whole, f"record type {kind} at byte {position}")
        if HEADER_BYTES + length > left_in_block:
            return LogScan(tuple(records), whole, f"record length {length} at byte {position}")
        if end > len(content):
            return LogScan(tuple(records), whole, find_length_fault(content, position, length))
        if masked_crc32c(content[position + 6 : end]) != int.from_bytes(
            content[position : position + 4], "little"
        ):
            return LogScan(tuple(records), whole, f"wrong checksum at byte {position}")
        if (parts is None) is not (kind in (FULL_FRAGMENT, FIRST_FRAGMENT)):
            return LogScan(tuple(records), whole, f"a fragment out of its order at byte {position}")
        parts = [*(parts or ()), content[position + HEADER_BYTES : end]]
        position = end
        if kind in (FULL_FRAGMENT, LAST_FRAGMENT):
            records.append(b"".join(parts))
            parts = None
            whole = end
    return LogScan(tuple(records), whole, None)


def find_length_fault(content: bytes, position: int, length: int) -> str | None:
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


def first_needed_log(edits: tuple[bytes, ...]) -> int | None:
    """The number of the oldest log that is not in tables yet, by the version edits of a manifest.

    LevelDB replays this one and all later ones; older ones are leftovers. None when the edits do not say, or are none.
    """
    log_number = previous = None
    for edit in edits:
        found = _read_edit(edit)
        if found is None:
            return None
        log_number = found[0] if found[0] is not None else log_number
        previous = found[1] if found[1] is not None else previous
    if log_number is None:
        return None
    return min(log_number, previous) if previous else log_number


def current_manifest(directory: Path) -> Path | None:
    """The manifest that CURRENT names; None when there is no such file."""
    try:
        name = (directory / "CURRENT").read_bytes()
    except FileNotFoundError:
        return None
    if not name.startswith(b"MANIFEST-") or not name.endswith(b"\n") or not name[9:-1].isdigit():
        return None
    path = directory / name[:-1].decode("ascii")
    return path if path.exists() else None


def _read_edit(edit: bytes) -> tuple[int | None, int | None] | None:
    """(log number, previous log number) of one edit, None for what it does not say; None for no edit of LevelDB's."""
    reader = _Reader(edit)
    log_number = previous = None
    try:
        while reader.left():
            tag = reader.number()
            if tag == _COMPARATOR:
                reader.text()
            elif tag == _LOG_NUMBER:
                log_number = reader.number()
            elif tag in (_NEXT_FILE, _LAST_SEQUENCE):
                reader.number()
            elif tag == _PREVIOUS_LOG:
                previous = reader.number()
            elif tag == _COMPACT_POINTER:
                reader.number()
                reader.text()
            elif tag == _DELETED_FILE:
                reader.number()
                reader.number()
            elif tag == _NEW_FILE:
                for _ in range(3):  # level, file number, size
                    reader.number()
                reader.text()
                reader.text()
            else:
                return None
    except IndexError:
        return None
    return log_number, previous


class _Reader:
    """Varints and length-prefixed texts of LevelDB's coding. Raises `IndexError` at the end."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def left(self) -> bool:
        return self._at < len(self._content)

    def number(self) -> int:
        value = shift = 0
        while True:
            byte = self._content[self._at]
            self._at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def text(self) -> bytes:
        length = self.number()
        if self._at + length > len(self._content):
            raise IndexError
        self._at += length
        return self._content[self._at - length : self._at]
