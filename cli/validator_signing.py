"""`nexus validator signer` and `nexus validator protection`: who signs, and what was signed."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.connection import add_common_options, print_result
from cli.exits import CommandFailed, ExitCode

if TYPE_CHECKING:
    from ledger.genesis import Genesis
    from node.signing.protection import SigningProtection


def add_signing_commands(commands: Any) -> None:
    """Add `signer` and `protection` to the group. `commands` is argparse's."""
    signer = commands.add_parser(
        "signer", help="hold the keys in a process of their own, for a node with signer_socket"
    )
    signer.add_argument(
        "--keys", type=Path, required=True, metavar="FILE", help="key file; nobody else has a copy"
    )
    signer.add_argument(
        "--socket", type=Path, required=True, metavar="PATH", help="Unix socket to serve, made with mode 0600"
    )
    signer.add_argument("--log-level", default="info", choices=("debug", "info", "warning", "error"))
    signer.add_argument("--log-format", default="console", choices=("console", "json"))
    signer.set_defaults(call=_signer)
    protection = commands.add_parser(
        "protection", help="slashing protection: what the keys signed, to and from a file (EIP-3076)"
    )
    directions = protection.add_subparsers(metavar="DIRECTION", required=True)
    exporting = directions.add_parser(
        "export", help="write the last block and vote of each key to a new file"
    )
    exporting.set_defaults(call=_export)
    importing = directions.add_parser("import", help="take a file in; never allows what was forbidden before")
    importing.set_defaults(call=_import)
    for direction in (exporting, importing):
        direction.add_argument("file", type=Path, metavar="FILE")
    for command in (signer, exporting, importing):
        command.add_argument(
            "--protection",
            type=Path,
            metavar="DIR",
            help="slashing-protection store (default: signer in the directory)",
        )
        command.add_argument(
            "--genesis", type=Path, metavar="FILE", help="genesis document (default: genesis.json in --dir)"
        )
        add_common_options(command)


def _signer(options: argparse.Namespace) -> int:
    from node.signing.signer_process import SignerOptions, run_signer_process

    return run_signer_process(
        SignerOptions(
            genesis=_genesis(options),
            keys=options.keys,
            socket=options.socket,
            protection=_store_directory(options),
            log_level=options.log_level,
            log_format=options.log_format,
        )
    )


def _export(options: argparse.Namespace) -> int:
    import os

    from node.signing.interchange import export_interchange

    with _opened(options, create=False) as protection:
        content = export_interchange(protection)
        keys = sum(1 for _ in protection.histories())
    try:
        descriptor = os.open(options.file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise CommandFailed(
            ExitCode.REJECTED, f"{options.file} exists already; choose another name"
        ) from None
    except OSError as error:
        raise CommandFailed(ExitCode.STORE, f"cannot write {options.file}: {error.strerror}") from None
    text = f"history of {keys} keys written to {options.file}; do not sign with them here any more if you move them"
    print_result(options, {"file": str(options.file), "keys": keys}, text)
    return ExitCode.OK


def _import(options: argparse.Namespace) -> int:
    from node.signing.interchange import MAX_INTERCHANGE_BYTES, InterchangeRefused, import_interchange

    try:
        with options.file.open("rb") as file:
            content = file.read(MAX_INTERCHANGE_BYTES + 1)
    except OSError as error:
        raise CommandFailed(ExitCode.NOT_FOUND, f"cannot read {options.file}: {error.strerror}") from None
    with _opened(options, create=True) as protection:
        try:
            keys, raised = import_interchange(protection, content)
        except InterchangeRefused as error:
            raise CommandFailed(ExitCode.REJECTED, f"{options.file}: {error}") from None
    text = f"history of {keys} keys taken in, {raised} of them signed more there than was known here"
    print_result(options, {"keys": keys, "raised": raised}, text)
    return ExitCode.OK


@contextmanager
def _opened(options: argparse.Namespace, *, create: bool) -> "Iterator[SigningProtection]":
    """The protection, while no node and no signer has it. A new one is bound to the genesis document.

    Errors: `CommandFailed` STORE with the store's own words, CONFIG without a genesis.
    """
    from contextlib import closing

    from ledger.genesis import genesis_hash
    from ledger.storage.errors import StoreError
    from node.signing.errors import SigningRecordCorrupted
    from node.signing.protection import SigningProtection, bound_genesis, open_protection_store

    directory = _store_directory(options)
    # Read first: a store that nothing can be bound to is not made.
    named = genesis_hash(_genesis(options)) if create or options.genesis is not None else None
    try:
        with closing(open_protection_store(directory, create=create)) as store:
            chain = named or bound_genesis(store)
            if chain is None:
                chain = genesis_hash(_genesis(options))
            yield SigningProtection(store, chain, directory)
    except (StoreError, SigningRecordCorrupted) as error:
        raise CommandFailed(ExitCode.STORE, str(error)) from None


def _store_directory(options: argparse.Namespace) -> Path:
    from node.layout import SIGNER_DIRECTORY

    directory: Path = options.dir / SIGNER_DIRECTORY if options.protection is None else options.protection
    return directory


def _genesis(options: argparse.Namespace) -> "Genesis":
    from ledger.errors import GenesisInvalid
    from node.config import ConfigError
    from node.opening import read_genesis_file

    path = options.dir / "genesis.json" if options.genesis is None else options.genesis
    try:
        return read_genesis_file(path)
    except (ConfigError, GenesisInvalid) as error:
        raise CommandFailed(ExitCode.CONFIG, str(error)) from None
