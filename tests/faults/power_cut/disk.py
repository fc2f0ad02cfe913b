"""What a power cut leaves of the files below a directory, computed from the trace that the shim has written.

The model is a file system that promises no more than POSIX does, but that journals its metadata in order, as ext4, XFS
and btrfs do:

- the bytes of a file are durable when the file was synced after they were written. Syncing a file does not make its
  name durable: names (creations, renames, removals) are durable when their directory was synced after the change;
- of what was not synced, the journal has got to some instant: all changes of names before it survive, none after it. Of
  the bytes that were written before it, each file keeps what `Loss` says, file by file, whatever their order; none
  after it, because a file grows by a change of its metadata. LevelDB relies on this much: it writes the name of a
  table into its manifest, and syncs the directory only then.
"""

import math
import os
import random
import shutil
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path

_RECORD = struct.Struct("<cQQQII")


class Loss(Enum):
    """What becomes of what was not synced."""

    DROP = auto()
    """All of it is gone."""
    TORN = auto()
    """The journal stopped at a random instant. Each file keeps a random number of its unsynced changes before that, the
    last of them in part."""
    ZEROS = auto()
    """The journal got to the end, some bytes did not: where `TORN` would end a file, zeros stand up to its size."""


@dataclass(frozen=True, slots=True)
class Change:
    """Bytes of a file that were written or cut off, and the file was not synced since."""

    at: int
    """Its place in the order of all changes."""
    offset: int
    length: int
    saved: bytes
    """What stood there; less than `length` bytes where the file ended."""
    is_cut: bool


@dataclass(slots=True)
class Folder:
    """A directory: its durable names and the changes to them that are not durable yet."""

    names: dict[str, int] = field(default_factory=dict)
    """Name -> inode."""
    pending: list[tuple[int, str, int | None]] = field(default_factory=list)
    """(place in the order of all changes, name, its new inode or None); a rename is two of them at one place."""

    def before(self, instant: float) -> dict[str, int]:
        """The names after the pending changes before an instant."""
        names = dict(self.names)
        for at, name, inode in self.pending:
            if at >= instant:
                break
            if inode is None:
                names.pop(name, None)
            else:
                names[name] = inode
        return names

    def now(self) -> dict[str, int]:
        """The names as the processes see them."""
        return self.before(math.inf)

    def sync(self) -> None:
        """Everything is durable now."""
        self.names = self.now()
        self.pending.clear()


class WatchedDisk:
    """The files below `root`, durable as they stand; `side` is an empty directory on the same file system, for us."""

    def __init__(self, root: Path, side: Path) -> None:
        self.root = root
        self.graveyard = side / "graveyard"
        self.trace = side / "trace"
        shutil.rmtree(self.graveyard, ignore_errors=True)
        self.graveyard.mkdir(parents=True)
        self.trace.unlink(missing_ok=True)
        self._folders: dict[int, Folder] = {}
        self._changes: dict[int, list[Change]] = {}
        self._take_in(root)

    def cut(self, loss: Loss, generator: random.Random) -> int:
        """The power was cut: leave below `root` what survives. The number of unsynced bytes that were at risk."""
        for at, record in enumerate(self._records()):
            self._replay(at, *record)
        instants = {
            Loss.DROP: [0.0],
            Loss.TORN: [*self._pending(), math.inf],
            Loss.ZEROS: [math.inf],
        }
        instant = generator.choice(instants[loss])
        at_risk = sum(change.length for changes in self._changes.values() for change in changes)
        survivors = self._surviving(self.root.stat().st_ino, instant)
        kept = self.root.with_name(self.root.name + ".kept")
        kept.mkdir()
        for path, inode in survivors:
            target = kept / path
            if inode in self._folders:
                target.mkdir()
            else:
                target.write_bytes(self._content(inode, instant, loss, generator))
        shutil.rmtree(self.root)
        kept.rename(self.root)
        return at_risk

    def _take_in(self, directory: Path) -> None:
        folder = self._folders[directory.stat().st_ino] = Folder()
        for path in sorted(directory.iterdir()):
            inode = path.stat().st_ino
            folder.names[path.name] = inode
            if path.is_dir():
                self._take_in(path)
            else:
                os.link(path, self.graveyard / str(inode))

    def _records(self) -> Iterator[tuple[bytes, int, int, int, bytes, bytes]]:
        content = self.trace.read_bytes() if self.trace.exists() else b""
        at = 0
        while at < len(content):
            operation, a, b, c, x_bytes, y_bytes = _RECORD.unpack_from(content, at)
            at += _RECORD.size
            x = content[at : at + x_bytes]
            at += x_bytes
            y = content[at : at + y_bytes]
            at += y_bytes
            yield operation, a, b, c, x, y

    def _replay(self, at: int, operation: bytes, a: int, b: int, c: int, x: bytes, y: bytes) -> None:
        if operation == b"S":
            if a in self._folders:
                self._folders[a].sync()
            self._changes.pop(a, None)
        elif operation == b"W":
            self._changes.setdefault(a, []).append(Change(at, b, c, x, is_cut=False))
        elif operation == b"T":
            assert b <= c, "a file was lengthened without a write"
            self._changes.setdefault(a, []).append(Change(at, b, c - b, x, is_cut=True))
        elif operation in (b"C", b"M"):
            folder, name = self._place(x)
            folder.pending.append((at, name, a))
            if operation == b"M":
                self._folders[a] = Folder()
        elif operation == b"U":
            folder, name = self._place(x)
            folder.pending.append((at, name, None))
        else:
            folder, name = self._place(x)
            target, new_name = self._place(y)
            inode = folder.now().get(name)
            if inode is None:  # a file that the shim does not follow: LevelDB's LOG, written by stdio
                target.pending.append((at, new_name, None))
            elif operation == b"L":
                target.pending.append((at, new_name, inode))
            else:
                assert folder is target, f"{x!r} was moved to another directory"
                folder.pending += [(at, name, None), (at, new_name, inode)]

    def _place(self, path: bytes) -> tuple[Folder, str]:
        """The folder of a path, and the name in it."""
        parts = Path(os.fsdecode(path)).relative_to(self.root).parts
        folder = self._folders[self.root.stat().st_ino]
        for part in parts[:-1]:
            folder = self._folders[folder.now()[part]]
        return folder, parts[-1]

    def _pending(self) -> list[int]:
        """The places of all changes that are not durable."""
        places = {change.at for changes in self._changes.values() for change in changes}
        return sorted(places.union(at for folder in self._folders.values() for at, _, _ in folder.pending))

    def _surviving(self, inode: int, instant: float, prefix: Path = Path()) -> Iterator[tuple[Path, int]]:
        """(relative path, inode) of all that survives, directories before what is in them."""
        for name, child in sorted(self._folders[inode].before(instant).items()):
            yield prefix / name, child
            if child in self._folders:
                yield from self._surviving(child, instant, prefix / name)

    def _content(self, inode: int, instant: float, loss: Loss, generator: random.Random) -> bytes:
        """The bytes of a file that survive."""
        content = bytearray((self.graveyard / str(inode)).read_bytes())
        changes = self._changes.get(inode, [])
        if not changes:
            return bytes(content)
        live = bytes(content)
        for change in reversed(changes):
            end = len(content) if change.is_cut else change.offset + change.length
            content[change.offset : end] = change.saved
        if loss is Loss.DROP:
            return bytes(content)
        changes = [change for change in changes if change.at < instant]
        kept = generator.randrange(len(changes) + (loss is Loss.TORN))
        # Bytes that a later change overwrote are gone from `live`; files here grow at their end only, or are emptied.
        for number, change in enumerate(changes[: kept + 1]):
            if change.is_cut:
                if number != kept:
                    del content[change.offset :]
                continue
            written = live[change.offset : change.offset + change.length]
            if number == kept:
                written = written[: generator.randrange(len(written) + 1)]
            content[change.offset : change.offset + len(written)] = written
        if loss is Loss.ZEROS:
            content += bytes(max(0, changes[-1].offset + changes[-1].length - len(content)))
        return bytes(content)
