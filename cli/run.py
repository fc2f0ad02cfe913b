"""`nexus run`: one node in this terminal."""

import argparse
import os
from pathlib import Path

from cli.config import config_file, directory_flag
from cli.connection import add_common_options
from cli.exits import CommandFailed, ExitCode

_FLAGS = {
    "genesis": "path of the genesis document",
    "validator_keys": "path of the validator key file",
    "signer_socket": "Unix socket of a remote signer (`nexus validator signer`)",
    "p2p_listen": "multiaddresses to listen on, comma-separated",
    "p2p_announce": "multiaddresses that others reach us at, comma-separated, if not those we listen on",
    "bootstrap": "multiaddresses of peers to join by, comma-separated",
    "max_connections": "greatest number of connections",
    "outbound_peers": "how many peers to dial ourselves",
    "rpc_host": "address to serve the RPC on",
    "rpc_port": "0: any free port, -1: off",
    "rpc_allowed_hosts": "further Host headers that are answered, comma-separated",
    "metrics_host": "address to serve metrics on",
    "metrics_port": "0: any free port, -1: off",
    "checkpoint": "PERIOD:ID of a checkpoint that you trust, for a node that has no chain yet",
    "retention_slots": "slots below the finalised checkpoint to keep, if more than the network's own number",
    "mempool_max_transactions": "greatest number of pending transactions",
    "mempool_max_bytes": "greatest size of all pending transactions",
    "log_level": "debug, info, warning or error",
    "log_format": "console or json",
}


def add_commands(parser: argparse.ArgumentParser) -> None:
    """`run` is a command itself."""
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="TOML file (default: nexus.toml in --dir)"
    )
    for name, text in _FLAGS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", help=text)
    parser.add_argument("--archive", action="store_const", const=True, help="keep every block for ever")
    add_common_options(parser)
    parser.set_defaults(call=_run)


def _run(options: argparse.Namespace) -> int:
    from node.config import ConfigError, load_config

    flags = directory_flag(options)
    for name in (*_FLAGS, "archive"):
        value = getattr(options, name)
        if value is not None:
            flags[name] = value
    try:
        layered = load_config(file=config_file(options), environment=os.environ, flags=flags)
    except ConfigError as error:
        raise CommandFailed(ExitCode.CONFIG, str(error)) from None
    from node.main import run_process

    return run_process(layered.config)
