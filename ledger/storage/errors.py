"""What can go wrong with a store, each with what to do next. Exit codes are the daemon's matter."""

from pathlib import Path

from ledger.errors import LedgerError


class StoreError(LedgerError):
    """Base of the store's errors. `directory` is where the store lives, or a word such as `memory`."""

    def __init__(self, message: str, directory: Path | str) -> None:
        super().__init__(message)
        self.directory = directory


class StoreNotFound(StoreError):
    """There is no store in the directory and the caller did not ask for a new one."""

    def __init__(self, directory: Path | str) -> None:
        super().__init__(
            f"no store in {directory}: give the directory of a node that has run; `nexus run` makes one",
            directory,
        )


class StoreInaccessible(StoreError):
    """The operating system does not let us create, open or lock the files."""

    def __init__(self, directory: Path | str, reason: str) -> None:
        super().__init__(
            f"cannot open the store in {directory}: {reason}; check the path, its owner and the free space",
            directory,
        )
        self.reason = reason


class StoreLocked(StoreError):
    """Another open store holds the directory, in this process or in another."""

    def __init__(self, directory: Path | str, holder: str) -> None:
        super().__init__(
            f"the store in {directory} is in use by {holder}: stop that process first, or use another directory",
            directory,
        )
        self.holder = holder


class StoreCorrupted(StoreError):
    """Bytes on disk are not what was written. Nothing has been changed; the text names the command that repairs."""

    def __init__(self, directory: Path | str, reason: str) -> None:
        super().__init__(
            f"the store in {directory} is damaged: {reason}; nothing was changed, "
            f"next run `nexus db repair --dir {directory}`",
            directory,
        )
        self.reason = reason


class StoreReadFailed(StoreError):
    """The operating system could not read a file of the store."""

    def __init__(self, directory: Path | str, reason: str) -> None:
        super().__init__(f"reading from the store in {directory} failed: {reason}", directory)
        self.reason = reason


class StoreWriteFailed(StoreError):
    """A write failed, now or earlier. The store accepts no further call; the process must end and reopen it.

    A batch whose write failed may or may not be there after reopening; every batch acknowledged before it is.
    """

    def __init__(self, directory: Path | str, reason: str) -> None:
        super().__init__(
            f"writing to the store in {directory} failed: {reason}; the store stays shut until the process restarts",
            directory,
        )
        self.reason = reason


class DiskFull(StoreWriteFailed):
    """Less space is free than the limit; refused before anything was written."""

    def __init__(self, directory: Path | str, free_bytes: int, limit_bytes: int) -> None:
        super().__init__(
            directory,
            f"{free_bytes} bytes are free on its disk, at least {limit_bytes} are required; free space, then restart",
        )
        self.free_bytes = free_bytes
        self.limit_bytes = limit_bytes


class StoreClosed(StoreError):
    """A call on a store or snapshot that was closed."""

    def __init__(self, directory: Path | str) -> None:
        super().__init__(f"the store in {directory} (or this snapshot of it) is closed", directory)


class SchemaMismatch(StoreError):
    """The store was written by software with another layout of keys and values."""

    def __init__(self, directory: Path | str, expected: int, found: int | None) -> None:
        shown = "no version" if found is None else f"version {found}"
        super().__init__(
            f"the store in {directory} has {shown} of the schema, this software needs version {expected}: "
            "use the software that wrote it, or sync into an empty directory",
            directory,
        )
        self.expected = expected
        self.found = found


class WrongGenesis(StoreError):
    """The store belongs to another network."""

    def __init__(self, directory: Path | str, expected: bytes, found: bytes | None) -> None:
        shown = "no genesis hash" if found is None else f"genesis {found.hex()}"
        super().__init__(
            f"the store in {directory} has {shown}, this network has genesis {expected.hex()}: "
            "choose the right network, or another directory",
            directory,
        )
        self.expected = expected
        self.found = found


class ReservedKey(StoreError):
    """A batch names the empty key or one that begins with 0x00, which belong to the store itself."""

    def __init__(self, directory: Path | str, key: bytes) -> None:
        super().__init__(
            f"key {key[:16].hex() or '(empty)'} cannot be written: keys have 1 byte or more and do not begin with 00, "
            "the prefix of the store itself",
            directory,
        )
        self.key = key
