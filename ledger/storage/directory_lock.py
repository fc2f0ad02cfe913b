"""One open store per directory, across processes and inside one.

A `flock` on a file of our own: unlike the POSIX lock on LevelDB's LOCK file it belongs to the open file, so a second
opening by the same process is refused too, and opening and closing the file elsewhere does not drop it. The kernel
releases it when the process dies, however it dies.
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from ledger.storage.errors import StoreInaccessible, StoreLocked

LOCK_NAME = "store.lock"
"""In the store's directory. Holds the decimal id of the last process that had the lock; never deleted."""


class DirectoryLock:
    """The held lock of one directory, from construction to `release`."""

    def __init__(self, directory: Path) -> None:
        """Take the lock at once or raise `StoreLocked`; `StoreInaccessible` when the file cannot be made."""
        path = directory / LOCK_NAME
        self._descriptor: int | None = None
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreInaccessible(directory, str(error)) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(descriptor, 20).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise StoreLocked(directory, f"process {holder}" if holder else "another process") from error
        except OSError as error:
            os.close(descriptor)
            raise StoreInaccessible(directory, f"its file system cannot lock files: {error}") from error
        self._descriptor = descriptor
        with suppress(OSError):  # the number only serves the message of whoever is refused later
            os.ftruncate(descriptor, 0)
            os.write(descriptor, str(os.getpid()).encode("ascii"))

    def release(self) -> None:
        """Give the directory free. Idempotent."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
