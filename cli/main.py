"""The `nexus` command: finds the group, parses, calls, turns errors into exit codes.

Each group is a module that is imported only when its name is typed, and imports what it needs inside its functions:
`nexus --help` must start within three times the time of bare Python, and importing click alone takes longer. So
argparse (DECISIONS.md), and here, where every command passes, neither argparse nor typing before they are needed.
"""

from __future__ import annotations

import sys
from importlib import import_module

from cli.exits import CommandFailed, ExitCode

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

GROUPS = {
    "run": "start a node in this terminal",
    "devnet": "a private network on this machine: up, status, kill, heal, load, down",
    "wallet": "keys, balances, transfers",
    "chain": "head, blocks, the DAG, transactions",
    "token": "tokens: create, show, send, burn",
    "dex": "the exchange: pools, liquidity, quotes, swaps",
    "message": "messages on the chain, and what they burn",
    "floor": "the floor: citizens, what they are paid, how they spend it",
    "governance": "proposals, votes, parameters",
    "oracle": "what validators report of the world",
    "economy": "flows, monetary policy, debt backing",
    "validator": "validator keys, remote signer, slashing protection",
    "db": "check and audit a data directory",
    "lab": "experiments: replay a DAG file, play the economy's story",
    "config": "the configuration and where each value comes from",
}


USAGE = "usage: nexus [--version] GROUP ..."


def _help() -> str:
    width = max(map(len, GROUPS))
    listing = "\n".join(f"  {name.ljust(width)}  {text}" for name, text in GROUPS.items())
    return (
        f"{USAGE}\n\nThe NexusOS node and its clients.\n\noptions:\n"
        "  -h, --help  show this help message and exit\n"
        f"  --version   print the version and exit\n\ngroups:\n{listing}\n\n"
        "`nexus GROUP --help` shows the group's commands."
    )


def run_command(arguments: list[str]) -> int:
    """Run one command line (without the program's name); returns the exit code, never raises for user errors."""
    name = arguments[0] if arguments else "--help"
    if name in ("-h", "--help"):
        return _show(_help())
    if name == "--version":
        from importlib.metadata import version

        return _show(f"nexus {version('nexusos-node')}")
    if name.startswith("-"):
        print(f"{USAGE}\nnexus: error: unknown option {name!r}; see `nexus --help`", file=sys.stderr)
        return ExitCode.USAGE
    if name not in GROUPS:
        print(f"nexus: unknown group {name!r}{_nearest(name)}; see `nexus --help`", file=sys.stderr)
        return ExitCode.USAGE
    from cli.parsing import CommandParser

    parser = CommandParser(prog=f"nexus {name}", description=GROUPS[name])
    import_module(f"cli.{name}").add_commands(parser)
    try:
        options = parser.parse_args(arguments[1:])
    except SystemExit as ended:  # argparse: 0 after --help, 2 after a usage error that it has printed
        return int(ended.code or ExitCode.OK)
    if not hasattr(options, "call"):
        parser.print_help()
        return ExitCode.USAGE
    return _called(options)


def _show(text: str) -> int:
    print(text)
    return ExitCode.OK


def _called(options: argparse.Namespace) -> int:
    try:
        return int(options.call(options) or ExitCode.OK)
    except CommandFailed as error:
        if getattr(options, "debug", False):
            raise
        print(f"nexus: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output (`| head`) has gone; further writes at exit must not complain either.
        sys.stderr.close()
        return ExitCode.OK


def _nearest(name: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, GROUPS, n=1)
    return f", did you mean {near[0]!r}?" if near else ""
