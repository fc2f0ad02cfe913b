"""The `nexus` command: finds the group, parses, calls, turns errors into exit codes.

Each group is a module that is imported only when its name is typed, and imports what it needs inside its functions:
`nexus --help` and client commands must start in no more than three times the time of bare Python. argparse, not click,
for the same reason (DECISIONS.md).
"""

import argparse
import sys
from importlib import import_module

from cli.exits import CommandFailed, ExitCode

GROUPS = {
    "run": "start a node in this terminal",
    "devnet": "a private network on this machine: up, status, kill, heal, load, down",
    "wallet": "keys, balances, transfers",
    "chain": "head, blocks, the DAG, transactions",
    "validator": "validator keys",
    "db": "check and audit a data directory",
    "lab": "experiments: replay a DAG file",
    "config": "the configuration and where each value comes from",
}


def _top_parser() -> argparse.ArgumentParser:
    width = max(map(len, GROUPS))
    listing = "\n".join(f"  {name.ljust(width)}  {text}" for name, text in GROUPS.items())
    parser = argparse.ArgumentParser(
        prog="nexus",
        usage="nexus [--version] GROUP ...",
        description="The NexusOS node and its clients.",
        epilog=f"groups:\n{listing}\n\n`nexus GROUP --help` shows the group's commands.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    parser.add_argument("group", nargs="?", help=argparse.SUPPRESS)
    return parser


def run_command(arguments: list[str]) -> int:
    """Run one command line (without the program's name); returns the exit code, never raises for user errors."""
    try:
        return _run(arguments)
    except SystemExit as ended:  # argparse: 0 after --help, 2 after a usage error that it has printed
        return int(ended.code or ExitCode.OK)


def _run(arguments: list[str]) -> int:
    parser = _top_parser()
    if arguments and not arguments[0].startswith("-"):
        name, rest = arguments[0], arguments[1:]
    else:
        options = parser.parse_args(arguments)
        if options.version:
            from importlib.metadata import version

            print(f"nexus {version('nexusos-node')}")
            return ExitCode.OK
        parser.print_help()
        return ExitCode.OK if not arguments else ExitCode.USAGE
    if name not in GROUPS:
        print(f"nexus: unknown group {name!r}{_nearest(name)}; see `nexus --help`", file=sys.stderr)
        return ExitCode.USAGE
    group_parser = argparse.ArgumentParser(prog=f"nexus {name}", description=GROUPS[name])
    import_module(f"cli.{name}").add_commands(group_parser)
    options = group_parser.parse_args(rest)
    if not hasattr(options, "call"):
        group_parser.print_help()
        return ExitCode.USAGE
    return _called(options)


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
