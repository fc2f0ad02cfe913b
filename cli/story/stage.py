"""The stage: a devnet that runs, or one of the story's own; and the cast, whose keys are read from it or made."""

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cli.devnet_files import REGISTRAR, create_devnet, devnet_lock, devnet_path, read_devnet
from cli.devnet_processes import is_alive, start_node, stop_nodes
from cli.exits import CommandFailed, ExitCode
from cli.keyfiles import read_wallet, wallet_path, write_wallet
from ledger.addresses import address_of
from ledger.keys import KeyPair

OWN_VALIDATORS = 12
OWN_NODES = 2
PATRON = "alice"
"""The devnet's wallet that pays the cast."""
ROLES = ("ada", "ben", "cleo")
"""A maker of a token, a trader, a provider of liquidity; the last two become citizens."""


class Cast:
    """Everybody who signs in the story, by name."""

    def __init__(self, directory: Path) -> None:
        """The devnet's patron and registrar; new wallets for the roles, so that a story can be told again."""
        self.keys: dict[str, KeyPair] = {}
        turn = 1
        while any(wallet_path(directory, f"{role}{turn}").exists() for role in ROLES):
            turn += 1
        for role in ROLES:
            write_wallet(directory, f"{role}{turn}", os.urandom(32))
            self.keys[role] = read_wallet(directory, f"{role}{turn}")
        for name in (PATRON, REGISTRAR):
            self.keys[name] = read_wallet(directory, name)
        self.wallets = {role: f"{role}{turn}" for role in ROLES}
        self.symbol = f"TALE{turn}"
        """Of the token that the story makes."""

    def add_validators(self, directory: Path, validators: list[Any]) -> None:
        """Validators of the story, by their entries in `validator_list`; their keys lie in the nodes' directories."""
        from node.keystore import KeyFileError, read_validator_keys

        known = {}
        for file in sorted(directory.glob("node*/validators.json")):
            try:
                known.update({key.public_key.hex(): key for key in read_validator_keys(file)})
            except KeyFileError as error:
                raise CommandFailed(ExitCode.CONFIG, str(error)) from None
        for one in validators:
            if one["consensus_key"] not in known:
                raise CommandFailed(
                    ExitCode.NOT_FOUND,
                    f"no node*/validators.json in {directory} holds the key of validator {one['index']}; "
                    "the story needs a devnet's directory",
                )
            self.keys[validator_name(one["index"])] = known[one["consensus_key"]]

    def addresses(self) -> dict[str, bytes]:
        """Address of everybody."""
        return {name: address_of(key.public_key) for name, key in self.keys.items()}


def validator_name(index: int) -> str:
    """How the story calls a validator."""
    return f"validator {index}"


@contextmanager
def devnet_of_story(options: argparse.Namespace, now_ms: int) -> Iterator[bool]:
    """A running devnet in the directory; whether it is the story's own, which is stopped at the end.

    Errors: `CommandFailed` when the directory's devnet is stopped, or a node of the new one does not start.
    """
    directory = options.dir.resolve()
    if devnet_path(directory).exists():
        devnet = read_devnet(directory)
        if not any(is_alive(directory, node) for node in devnet["nodes"]):
            raise CommandFailed(
                ExitCode.UNREACHABLE,
                f"the devnet in {directory} is stopped; start it with `nexus devnet up --dir {options.dir}`, or choose "
                "another --dir, where the story starts one of its own",
            )
        present = {"--slot-ms": devnet["slot_ms"], "--nodes": len(devnet["nodes"])}
        for name, asked in (("--slot-ms", options.slot_ms), ("--nodes", options.nodes)):
            if asked is not None and asked != present[name]:
                raise CommandFailed(
                    ExitCode.USAGE, f"{name} {asked}: the devnet in {directory} has {present[name]}"
                )
        yield False
        return
    devnet = create_devnet(
        directory,
        validators=OWN_VALIDATORS,
        nodes=options.nodes or OWN_NODES,
        slot_ms=options.slot_ms or 250,
        now_ms=now_ms,
    )
    try:
        with devnet_lock(directory):
            for node in devnet["nodes"]:
                start_node(directory, devnet, node["number"])
        yield True
    finally:
        with devnet_lock(directory):
            stop_nodes(directory, read_devnet(directory))


@contextmanager
def stopped_nodes(directory: Path, *, all_stopped: bool) -> Iterator[list[Path]]:
    """Data directories of nodes that do not run: of all, or of a devnet that goes on the last, which comes back."""
    devnet = read_devnet(directory)
    if all_stopped:
        yield [directory / node["dir"] for node in devnet["nodes"]]
        return
    last = devnet["nodes"][-1]
    with devnet_lock(directory):
        stop_nodes(directory, {**devnet, "nodes": [last]})
    try:
        yield [directory / last["dir"]]
    finally:
        with devnet_lock(directory):
            start_node(directory, read_devnet(directory), last["number"])
