"""A state snapshot as files: made once, served many times.

`DIR/snapshots/<period>-<id>/` holds `manifest` and `chunks`, the chunks' encodings one after the other, and `index`,
the end of each in 8 bytes big-endian. A directory is made under another name and renamed when it is whole and synced,
so one with the right name is complete. Memory: a large state is first dealt to 256 files by the first byte of its keys'
digests; of these one at a time is sorted.
"""

import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec

from consensus.finalised_state import FinalisedState
from consensus.window import MANIFEST_CODEC, SnapshotManifest
from ledger.errors import CodecError
from ledger.state_commitment import StateTree
from ledger.state_snapshot import (
    CHUNK_CODEC,
    StateChunk,
    StateEntry,
    chunk_count,
    chunk_level,
    chunk_number,
    key_digest,
    make_chunk,
    make_chunks,
)
from ledger.storage.store import Reader

SNAPSHOTS_KEPT = 2
"""The newest ones: who began with the one before can still end."""

IN_MEMORY_ENTRIES = 16_000
"""A state of so many entries is dealt in memory; of more, every chunk lies within one of the 256 files."""

_PARTS = 256
_END_BYTES = 8
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(tuple[bytes, bytes])


@dataclass(frozen=True, slots=True)
class OfferedSnapshot:
    """One that is on disk."""

    manifest: SnapshotManifest
    raw_manifest: bytes
    directory: Path
    ends: tuple[int, ...]

    @property
    def block_id(self) -> bytes:
        """Of the checkpoint."""
        return self.manifest.checkpoint.block_id

    def chunk(self, number: int) -> bytes | None:
        """A chunk's encoding. Errors: `OSError`."""
        if number >= len(self.ends):
            return None
        start = self.ends[number - 1] if number else 0
        with (self.directory / "chunks").open("rb") as file:
            file.seek(start)
            return file.read(self.ends[number] - start)


def write_snapshot(
    root: Path, manifest: SnapshotManifest, state: FinalisedState, reader: Reader
) -> OfferedSnapshot:
    """Make the files, and remove all but the newest. Errors: `OSError`; `CodecError` for a chunk above its limit; those
    of the state."""
    checkpoint = manifest.checkpoint
    directory = root / f"{checkpoint.period:012}-{checkpoint.block_id.hex()[:16]}"
    fresh = directory.with_name(directory.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    ends: list[int] = []
    with (fresh / "chunks").open("wb") as file:
        for chunk in _chunks(state.tree, state.entries(reader), fresh):
            file.write(CHUNK_CODEC.encode(chunk))
            ends.append(file.tell())
        _sync(file)
    raw = MANIFEST_CODEC.encode(manifest)
    for name, content in (
        ("index", b"".join(end.to_bytes(_END_BYTES, "big") for end in ends)),
        ("manifest", raw),
    ):
        with (fresh / name).open("wb") as file:
            file.write(content)
            _sync(file)
    shutil.rmtree(directory, ignore_errors=True)
    fresh.rename(directory)
    for old in sorted(one for one in root.iterdir() if one.is_dir())[:-SNAPSHOTS_KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return OfferedSnapshot(manifest, raw, directory, tuple(ends))


def read_snapshots(root: Path) -> tuple[OfferedSnapshot, ...]:
    """The whole ones on disk, ascending by period; what cannot be read, or was not finished, is left out."""
    found = []
    if root.is_dir():
        for directory in sorted(root.iterdir()):
            if directory.name.endswith(".new"):
                shutil.rmtree(directory, ignore_errors=True)
                continue
            try:
                raw, index = (directory / "manifest").read_bytes(), (directory / "index").read_bytes()
                manifest = MANIFEST_CODEC.decode(raw)
            except (OSError, CodecError):
                continue
            ends = tuple(
                int.from_bytes(index[at : at + _END_BYTES], "big") for at in range(0, len(index), _END_BYTES)
            )
            if len(ends) == chunk_count(chunk_level(manifest.entry_count)):
                found.append(OfferedSnapshot(manifest, raw, directory, ends))
    return tuple(found)


def _chunks(tree: StateTree, entries: Iterable[StateEntry], scratch: Path) -> Iterator[StateChunk]:
    """All chunks, ascending."""
    level = chunk_level(len(tree))
    if len(tree) <= IN_MEMORY_ENTRIES or chunk_count(level) < _PARTS:
        yield from make_chunks(tree, entries)
        return
    paths = [scratch / f"part-{number:03}" for number in range(_PARTS)]
    _deal(entries, paths)
    of_part = chunk_count(level) // _PARTS
    for part, path in enumerate(paths):
        grouped: list[list[StateEntry]] = [[] for _ in range(of_part)]
        with path.open("rb") as file:
            while head := file.read(4):
                key, value = _decoder.decode(file.read(int.from_bytes(head, "big")))
                grouped[chunk_number(key, level) - part * of_part].append((key, value))
        path.unlink()
        for number, group in enumerate(grouped):
            yield make_chunk(tree, level, part * of_part + number, group)


def _deal(entries: Iterable[StateEntry], paths: list[Path]) -> None:
    files = [path.open("wb") for path in paths]
    try:
        for entry in entries:
            raw = _encoder.encode(entry)
            files[key_digest(entry[0])[0]].write(len(raw).to_bytes(4, "big") + raw)
    finally:
        for file in files:
            file.close()


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
