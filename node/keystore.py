"""Key files: the validators' signing keys and the peer identity. JSON, readable by their owner alone.

    validators.json   {"version": 1, "keys": [{"public_key": HEX64, "seed": HEX64}, ...]}
    identity.json     {"version": 1, "seed": HEX64}

A file that others may read is refused, a public key that does not belong to its seed too. Files come into being whole
(written beside, synced, linked) and are never overwritten. Nothing here ever puts a seed into an error text.
"""

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec

from ledger.keys import KeyPair
from ledger.storage.fail_points import fail_point

KEY_FILE_VERSION = 1
MAX_KEYS = 1_024
MAX_KEY_FILE_BYTES = 1024 * 1024

Hex32 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class KeyFileError(Exception):
    """Base of what can be wrong with a key file. The text names the file and the next step, never a secret."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path


class KeyFileMissing(KeyFileError):
    """There is no such file."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "no such key file; create one with `nexus validator keys --create N`")


class KeyFileExists(KeyFileError):
    """Keys are never overwritten."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "the key file exists already and is not overwritten; move it away first")


class KeyFilePermissions(KeyFileError):
    """Others than the owner may read or write it."""

    def __init__(self, path: Path, mode: int) -> None:
        super().__init__(path, f"mode {mode:04o} lets others in, expected 0600; run `chmod 600 {path}`")
        self.mode = mode


class KeyFileUnreadable(KeyFileError):
    """The operating system refuses."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, f"cannot be read or written: {reason}")


class KeyFileMalformed(KeyFileError):
    """Not the JSON described above."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, f"is no key file: {reason}; restore it from a backup")
        self.reason = reason


class KeyMismatch(KeyFileError):
    """A public key that is not its seed's: a damaged or edited file."""

    def __init__(self, path: Path, position: int, found: str, expected: str) -> None:
        super().__init__(path, f"key {position} names public key {found}, its seed gives {expected}")
        self.position = position


class _KeyEntry(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    public_key: Hex32
    seed: Hex32


class _KeyFile(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    version: int
    keys: Annotated[list[_KeyEntry], msgspec.Meta(max_length=MAX_KEYS)]


class _IdentityFile(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    version: int
    seed: Hex32


_File = TypeVar("_File", _KeyFile, _IdentityFile)


def write_validator_keys(path: Path, keys: Sequence[KeyPair]) -> None:
    """Create the file with mode 0600. Errors: `KeyFileExists`, `KeyFileUnreadable`."""
    entries = [_KeyEntry(public_key=key.public_key.hex(), seed=key.seed.hex()) for key in keys]
    _create(path, msgspec.json.encode(_KeyFile(version=KEY_FILE_VERSION, keys=entries)))


def read_validator_keys(path: Path) -> tuple[KeyPair, ...]:
    """The keys in the file's order.

    Errors: `KeyFileMissing`, `KeyFilePermissions`, `KeyFileUnreadable`, `KeyFileMalformed`, `KeyMismatch`.
    """
    document = _read(path, _KeyFile)
    keys: list[KeyPair] = []
    for position, entry in enumerate(document.keys):
        key = KeyPair.from_seed(bytes.fromhex(entry.seed))
        if key.public_key.hex() != entry.public_key:
            raise KeyMismatch(path, position, entry.public_key, key.public_key.hex())
        if any(other.public_key == key.public_key for other in keys):
            raise KeyFileMalformed(path, f"key {position} stands in it twice")
        keys.append(key)
    return tuple(keys)


def write_identity(path: Path, seed: bytes) -> None:
    """Create the peer identity's file. `seed`: 32 bytes. Errors: `KeyFileExists`, `KeyFileUnreadable`."""
    _create(path, msgspec.json.encode(_IdentityFile(version=KEY_FILE_VERSION, seed=seed.hex())))


def read_identity(path: Path) -> bytes:
    """The 32-byte seed of the peer identity. Errors as `read_validator_keys`."""
    return bytes.fromhex(_read(path, _IdentityFile).seed)


def _create(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        try:
            os.fchmod(descriptor, 0o600)
            with os.fdopen(descriptor, "wb", closefd=False) as file:
                file.write(content + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        try:
            fail_point("key_file_link_before")
            # A link, unlike a rename, fails when the name is taken.
            os.link(temporary, path)
            fail_point("key_file_link_after")
        finally:
            temporary.unlink(missing_ok=True)
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except FileExistsError:
        raise KeyFileExists(path) from None
    except OSError as error:
        raise KeyFileUnreadable(path, error.strerror or str(error)) from None


def _read(path: Path, document: type[_File]) -> _File:
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if stat.S_IMODE(status.st_mode) & 0o077:
                raise KeyFilePermissions(path, stat.S_IMODE(status.st_mode))
            content = file.read(MAX_KEY_FILE_BYTES + 1)
    except FileNotFoundError:
        raise KeyFileMissing(path) from None
    except OSError as error:
        raise KeyFileUnreadable(path, error.strerror or str(error)) from None
    if len(content) > MAX_KEY_FILE_BYTES:
        raise KeyFileMalformed(path, f"more than {MAX_KEY_FILE_BYTES} bytes")
    try:
        decoded = msgspec.json.decode(content, type=document)
    except msgspec.ValidationError as error:
        raise KeyFileMalformed(path, _without_values(str(error))) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise KeyFileMalformed(path, "not JSON") from None
    if decoded.version != KEY_FILE_VERSION:
        raise KeyFileMalformed(path, f"version {decoded.version}, this node knows {KEY_FILE_VERSION}")
    return decoded


def _without_values(text: str) -> str:
    """The decoder's complaint; msgspec names types, fields and rules, never values, and a test holds it to that."""
    return text
