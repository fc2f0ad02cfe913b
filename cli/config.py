"""`nexus config`: the configuration a node would run with."""

import argparse
import os
from pathlib import Path

from cli.connection import DIR_VARIABLE, add_common_options, print_result
from cli.exits import CommandFailed, ExitCode


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Add the group's commands."""
    commands = parser.add_subparsers(metavar="COMMAND")
    show = commands.add_parser("show", help="each value and, with --origin, where it comes from")
    show.add_argument("--config", type=Path, metavar="FILE", help="TOML file (default: nexus.toml in --dir)")
    show.add_argument("--origin", action="store_true", help="also print where each value comes from")
    add_common_options(show)
    show.set_defaults(call=_show)


def config_file(options: argparse.Namespace) -> Path | None:
    """The TOML file to read: `--config`, else `nexus.toml` in the directory when it exists."""
    if options.config is not None:
        return Path(options.config)
    default: Path = options.dir / "nexus.toml"
    return default if default.exists() else None


def directory_flag(options: argparse.Namespace) -> dict[str, object]:
    """`--dir` as a layer of the configuration; nothing when the value is the environment's, a layer of its own."""
    directory = str(options.dir)
    return {} if os.environ.get(DIR_VARIABLE) == directory else {"dir": directory}


def _show(options: argparse.Namespace) -> int:
    import json
    from dataclasses import asdict

    from node.config import ConfigError, load_config

    try:
        layered = load_config(
            file=config_file(options), environment=os.environ, flags=directory_flag(options)
        )
    except ConfigError as error:
        raise CommandFailed(ExitCode.CONFIG, str(error)) from None
    values = asdict(layered.config)
    lines = []
    for name, value in values.items():
        origin = f"    # {layered.origins[name]}" if options.origin else ""
        lines.append(f"{name} = {json.dumps(value)}{origin}")  # as TOML spells it
    result = {name: {"value": value, "origin": layered.origins[name]} for name, value in values.items()}
    print_result(options, result if options.origin else values, "\n".join(lines))
    return ExitCode.OK
