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
from ledger.storage.log_records import (
    BLOCK_BYTES,
    HEADER_BYTES,
    LAST_FRAGMENT_TYPE,
    current_manifest,
    find_length_fault,
    first_needed_log,
    scan_log,
)

LOG_NAME = re.compile(r"\d+\.log")
MANIFEST_NAME = re.compile(r"MANIFEST-\d+")
FIRST_MANIFEST = "MANIFEST-000001"
_CONTENT_NAME = re.compile(r"\d+\.(log|ldb|sst)")


def holds_database(directory: Path) -> bool:
    """Whether `directory` exists and has files of a LevelDB, damaged or not."""
    return directory.is_dir() and any(
        path.name == "CURRENT" or _CONTENT_NAME.fullmatch(path.name) for path in directory.iterdir()
    )


def check_files(directory: Path) -> None:
    """Raise `StoreCorrupted` when a file in `directory` has one of the shapes above. Reads logs and manifest whole.

    A manifest alone is what a crash leaves during the creation of a database: nothing was in it yet.
    """
    names = sorted(path.name for path in directory.iterdir())
    content_names = [name for name in names if _CONTENT_NAME.fullmatch(name)]
    if content_names and "CURRENT" not in names:
        raise StoreCorrupted(
            directory, f"the file CURRENT is missing beside {len(content_names)} files with content"
        )
    for path in _relied_on(directory, names):
        reason = find_framing_fault(path.read_bytes())
        if reason is not None:
            raise StoreCorrupted(directory, f"{path.name}: {reason}")


def clear_unfinished(directory: Path) -> None:
    """Remove what LevelDB leaves when a power cut stops it while it makes a database: it refuses this afterwards.

    LevelDB names its first manifest in CURRENT before it syncs it, and the second one before the first opening returns,
    which our first synced write makes durable. So where CURRENT still names the first, and nothing of that reached the
    disk whole, no write was ever acknowledged. Does nothing in every other case, or when any file has content.
    """
    manifest = current_manifest(directory)
    if manifest is None or manifest.name != FIRST_MANIFEST or not _holds_nothing(manifest):
        return
    content = [path for path in directory.iterdir() if _CONTENT_NAME.fullmatch(path.name)]
    if all(map(_holds_nothing, content)):
        for path in [*content, directory / "CURRENT"]:
            path.unlink()


def _holds_nothing(path: Path) -> bool:
    return path.suffix in ("", ".log") and not scan_log(path.read_bytes()).records


def _relied_on(directory: Path, names: list[str]) -> list[Path]:
    """The framed files that LevelDB will read: the current manifest, and the logs that are not in tables yet.

    A power cut may bring others back, in any condition; LevelDB deletes them. Without a current manifest all count.
    """
    manifest = current_manifest(directory)
    logs = [directory / name for name in names if LOG_NAME.fullmatch(name)]
    if manifest is None:
        return [*logs, *(directory / name for name in names if MANIFEST_NAME.fullmatch(name))]
    needed = first_needed_log(scan_log(manifest.read_bytes()).records) or 0
    return [manifest, *(path for path in logs if int(path.stem) >= needed)]


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
            return find_length_fault(content, position, length)
        position += HEADER_BYTES + length
    return None
