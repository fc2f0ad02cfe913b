"""Cutting a damaged store back to the batches before the damage, beside an untouched copy of it.

A power cut may leave zeros or a torn page where the end of a log was: LevelDB, asked to be strict, then refuses the
whole store. Opened leniently it would skip what it cannot read and go on with what follows, a hole that nothing can
fill. So the logs are read here, record by record: what stands before the first fault is a prefix of the batches, in
their order, and is kept; everything after it goes, also in later logs. The strict opening that follows, and the
checks of whoever owns the content, decide whether the rest is whole. Tables are never repaired: they are synced
before anything relies on them, and no prefix of one is of use.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ledger.storage.directory_lock import LOCK_NAME, DirectoryLock
from ledger.storage.errors import DiskFull, StoreError, StoreInaccessible, StoreNotFound
from ledger.storage.fail_points import fail_point
from ledger.storage.log_check import LOG_NAME, MANIFEST_NAME, holds_database
from ledger.storage.log_records import current_manifest, first_needed_log, scan_log

COPY_NAME = "{name}.damaged-{number}"
"""Of the untouched copy, beside the store; the first free number from 1."""

_PARTIAL = ".partial"


class RepairImpossible(StoreError):
    """No file says any more what belongs to the store."""

    def __init__(self, directory: Path, reason: str) -> None:
        super().__init__(f"the store in {directory} cannot be repaired: {reason}", directory)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Cut:
    """A file that was changed."""

    name: str
    kept_bytes: int
    dropped_bytes: int
    reason: str


def copy_aside(directory: Path, *, spare_bytes: int) -> Path:
    """Copy the store's files beside it, whole and synced; the copy's directory. The store is not touched.

    `spare_bytes`: what has to stay free on the disk after the copy. Errors: `StoreNotFound`, `StoreLocked`,
    `StoreInaccessible`, `DiskFull`.
    """
    with _held(directory):
        fail_point("repair_copy_before")
        names = [
            path.name for path in sorted(directory.iterdir()) if path.is_file() and path.name != LOCK_NAME
        ]
        size = sum((directory / name).stat().st_size for name in names)
        free = shutil.disk_usage(directory).free
        if free < size + spare_bytes:
            raise DiskFull(directory, free, size + spare_bytes)
        number = 1
        while (target := directory.with_name(COPY_NAME.format(name=directory.name, number=number))).exists():
            number += 1
        partial = target.with_name(target.name + _PARTIAL)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(mode=0o700)
        for name in names:
            shutil.copy2(directory / name, partial / name)
            _sync(partial / name)
        _sync(partial)
        partial.rename(target)
        _sync(target.parent)
        fail_point("repair_copy_after")
        return target


def cut_back(directory: Path) -> tuple[Cut, ...]:
    """Cut manifest and logs at the first fault, and name the manifest again where CURRENT names none.

    Make a copy first. Ended at any instant, it can be repeated. Errors: `StoreNotFound`, `StoreLocked`,
    `StoreInaccessible`; `RepairImpossible`, with nothing changed.
    """
    with _held(directory):
        cuts: list[Cut] = []
        manifest = current_manifest(directory)
        if manifest is None:
            manifest = _newest_manifest(directory)
            _replace_current(directory, manifest)
            cuts.append(Cut("CURRENT", 0, 0, f"named no manifest; names {manifest.name} now"))
        scan = scan_log(manifest.read_bytes())
        if not scan.records:
            raise RepairImpossible(directory, f"{manifest.name} holds nothing that can be read")
        if scan.fault is not None:
            cuts.append(_cut(manifest, scan.whole_bytes, scan.fault))
        return (*cuts, *_cut_logs(directory, first_needed_log(scan.records) or 0))


def _cut_logs(directory: Path, needed: int) -> Iterator[Cut]:
    """Cut the first damaged log at its fault and empty all later ones. `needed`: number of the oldest that counts."""
    logs = {int(path.stem): path for path in directory.iterdir() if LOG_NAME.fullmatch(path.name)}
    broken: str | None = None
    for number, path in sorted(logs.items()):
        if number < needed:
            continue
        if broken is not None:
            if path.stat().st_size:
                yield _cut(path, 0, f"written after the damage in {broken}")
            continue
        scan = scan_log(path.read_bytes())
        if scan.fault is not None:
            yield _cut(path, scan.whole_bytes, scan.fault)
            broken = path.name


@contextmanager
def _held(directory: Path) -> Iterator[None]:
    """The store's lock; what the operating system refuses becomes `StoreInaccessible`."""
    if not holds_database(directory) and not _has_manifest(directory):
        raise StoreNotFound(directory)
    lock = DirectoryLock(directory)
    try:
        yield
    except OSError as error:
        raise StoreInaccessible(directory, str(error)) from error
    finally:
        lock.release()


def _cut(path: Path, size: int, reason: str) -> Cut:
    dropped = path.stat().st_size - size
    os.truncate(path, size)
    _sync(path)
    fail_point("repair_cut_after")
    return Cut(path.name, size, dropped, reason)


def _newest_manifest(directory: Path) -> Path:
    """The manifest with the greatest number that says anything. Raises `RepairImpossible`."""
    manifests = [path for path in directory.iterdir() if MANIFEST_NAME.fullmatch(path.name)]
    for path in sorted(manifests, key=lambda path: -int(path.name.removeprefix("MANIFEST-"))):
        if first_needed_log(scan_log(path.read_bytes()).records) is not None:
            return path
    raise RepairImpossible(directory, "CURRENT names no manifest and no other one is whole")


def _replace_current(directory: Path, manifest: Path) -> None:
    fresh = directory / "CURRENT.new"
    fresh.write_bytes(manifest.name.encode("ascii") + b"\n")
    _sync(fresh)
    fresh.rename(directory / "CURRENT")
    _sync(directory)


def _has_manifest(directory: Path) -> bool:
    return directory.is_dir() and any(MANIFEST_NAME.fullmatch(path.name) for path in directory.iterdir())


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
