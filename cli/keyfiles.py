"""Wallet key files: `DIR/wallets/NAME.json`, mode 0600, one Ed25519 seed each.

The seed is stored as it is: these files are for devnets and tests (README, "What this is not yet").
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from cli.connection import read_json_file
from cli.exits import CommandFailed, ExitCode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ledger.keys import KeyPair

MAX_NAME_CHARACTERS = 32
_NAME = re.compile(rf"[a-z][a-z0-9_-]{{0,{MAX_NAME_CHARACTERS - 1}}}", re.ASCII)


def wallet_path(directory: Path, name: str) -> Path:
    """Where the wallet of this name lives. Errors: `CommandFailed` USAGE for a name that is none."""
    if _NAME.fullmatch(name) is None:
        raise CommandFailed(
            ExitCode.USAGE,
            f"{name!r} is no wallet name: a lower-case letter, then up to 31 letters, digits, - or _",
        )
    return directory / "wallets" / f"{name}.json"


def write_wallet(directory: Path, name: str, seed: bytes) -> Path:
    """Create the wallet file; never replaces one. Errors: `CommandFailed`."""
    path = wallet_path(directory, name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise CommandFailed(ExitCode.STORE, f"cannot create {path.parent}: {error.strerror}") from None
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise CommandFailed(
            ExitCode.REJECTED, f"wallet {name!r} exists already in {path.parent}; choose another name"
        ) from None
    except OSError as error:
        raise CommandFailed(ExitCode.STORE, f"cannot write {path}: {error.strerror}") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump({"name": name, "seed": seed.hex()}, file)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    return path


def read_wallet(directory: Path, name: str) -> KeyPair:
    """The key of a wallet. Errors: `CommandFailed` NOT_FOUND (with the names there are), CONFIG."""
    from ledger.errors import KeyRefused
    from ledger.keys import KeyPair

    path = wallet_path(directory, name)
    if not path.exists():
        present = ", ".join(wallet_names(directory)) or "none"
        raise CommandFailed(
            ExitCode.NOT_FOUND,
            f"no wallet {name!r} in {directory}; there are: {present} (`nexus wallet new {name}`)",
        )
    document = read_json_file(path)
    try:
        return KeyPair.from_seed(bytes.fromhex(document["seed"]))
    except (KeyError, TypeError, ValueError, KeyRefused):
        raise CommandFailed(ExitCode.CONFIG, f"{path} is no wallet file: no 32-byte hex seed in it") from None


def wallet_names(directory: Path) -> list[str]:
    """Names of the wallets in the directory, sorted."""
    return sorted(path.stem for path in (directory / "wallets").glob("*.json"))


def resolve_address(directory: Path, account: str, prefix: str) -> bytes:
    """The 20-byte address of a wallet's name or of an address in text. Errors: `CommandFailed`."""
    from ledger.addresses import address_of, decode_address
    from ledger.errors import AddressMalformed

    # An address is longer than a wallet's name may be, so the two don't meet.
    if len(account) <= MAX_NAME_CHARACTERS:
        return address_of(read_wallet(directory, account).public_key)
    try:
        return decode_address(prefix, account)
    except AddressMalformed as error:
        raise CommandFailed(ExitCode.USAGE, str(error)) from None
