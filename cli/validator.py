"""`nexus validator`: the keys a node signs with, the signer that holds them, and what it signed."""

import argparse
from pathlib import Path

from cli.connection import add_common_options, print_result
from cli.exits import CommandFailed, ExitCode
from cli.validator_signing import add_signing_commands
from cli.validator_staking import add_staking_commands


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Add the group's commands."""
    commands = parser.add_subparsers(metavar="COMMAND")
    keys = commands.add_parser("keys", help="public keys of a data directory, or with --create new ones")
    keys.add_argument(
        "--create", type=int, metavar="N", help="create a key file with N keys; never replaces one"
    )
    add_common_options(keys)
    keys.set_defaults(call=_keys)
    add_signing_commands(commands)
    add_staking_commands(commands)


def _keys(options: argparse.Namespace) -> int:
    import os

    from ledger.keys import KeyPair
    from node.keystore import KeyFileError, read_validator_keys, write_validator_keys

    listing = []
    try:
        if options.create is not None:
            if not 1 <= options.create <= 1_000:
                raise CommandFailed(ExitCode.USAGE, f"--create {options.create}: expected 1 to 1000")
            options.dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            new = [KeyPair.from_seed(os.urandom(32)) for _ in range(options.create)]
            write_validator_keys(options.dir / "validators.json", new)
        for file in _key_files(options.dir):
            indices = _indices(file.parent / "genesis.json")
            for key in read_validator_keys(file):
                text = key.public_key.hex()
                listing.append({"file": str(file), "public_key": text, "index": indices.get(text)})
    except KeyFileError as error:
        raise CommandFailed(ExitCode.CONFIG, str(error)) from None
    except OSError as error:
        raise CommandFailed(ExitCode.STORE, f"cannot create {options.dir}: {error.strerror}") from None
    lines = []
    for row in listing:
        place = "not in genesis" if row["index"] is None else f"validator {row['index']}"
        lines.append(f"{row['public_key']}  {place}  {row['file']}")
    print_result(options, listing, "\n".join(lines))
    return ExitCode.OK


def _key_files(directory: Path) -> list[Path]:
    """The key file of a node's directory, or those of a devnet's nodes."""
    own = directory / "validators.json"
    if own.exists():
        return [own]
    files = sorted(directory.glob("node*/validators.json"))
    if not files:
        raise CommandFailed(
            ExitCode.NOT_FOUND,
            f"no validators.json in {directory}; create one with `nexus validator keys --create 1 --dir {directory}`",
        )
    return files


def _indices(genesis_file: Path) -> dict[str, int]:
    """Validator index by public key in hex; empty without a genesis."""
    from ledger.errors import LedgerError
    from ledger.genesis_text import genesis_from_json

    if not genesis_file.exists():
        return {}
    try:
        genesis = genesis_from_json(genesis_file.read_text(encoding="utf-8"))
    except (OSError, LedgerError, UnicodeDecodeError) as error:
        raise CommandFailed(ExitCode.CONFIG, f"{genesis_file}: {error}") from None
    return {validator.consensus_key.hex(): index for index, validator in enumerate(genesis.validators)}
