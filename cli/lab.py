"""`nexus lab`: experiments that need no node."""

import argparse
from pathlib import Path

from cli.connection import add_common_options, print_result
from cli.exits import CommandFailed, ExitCode

MAX_FILE_BYTES = 512 * 1024 * 1024


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Add the group's commands."""
    commands = parser.add_subparsers(metavar="COMMAND")
    replay = commands.add_parser(
        "ghostdag-replay",
        help="colour a DAG file with GHOSTDAG and compare with the expectations in it",
        description="Exit 0 when every expectation matches, 4 when one does not. Plain or gzip'd JSON.",
    )
    replay.add_argument("file", type=Path, metavar="FILE")
    replay.add_argument("--k", type=int, help="the k of a file that holds only a topology")
    add_common_options(replay)
    replay.set_defaults(call=_replay)


def _replay(options: argparse.Namespace) -> int:
    from time import perf_counter

    from consensus.errors import ReplayFileMalformed
    from consensus.replay import replay_dag

    try:
        size = options.file.stat().st_size
        if size > MAX_FILE_BYTES:
            raise CommandFailed(ExitCode.USAGE, f"{options.file} has {size} bytes, at most {MAX_FILE_BYTES}")
        raw = options.file.read_bytes()
    except OSError as error:
        raise CommandFailed(ExitCode.NOT_FOUND, f"cannot read {options.file}: {error.strerror}") from None
    started = perf_counter()
    try:
        report = replay_dag(raw, options.k)
    except ReplayFileMalformed as error:
        raise CommandFailed(ExitCode.USAGE, f"{options.file}: {error}") from None
    seconds = perf_counter() - started
    mismatches = [str(mismatch) for mismatch in report.mismatches]
    lines = [f"{report.blocks} blocks in {seconds:.2f} s ({report.blocks / seconds:,.0f} blocks/s)"]
    lines += mismatches[:20]
    if len(mismatches) > 20:
        lines.append(f"… and {len(mismatches) - 20} more")
    lines.append("every expectation matches" if not mismatches else f"{len(mismatches)} mismatches")
    result = {
        "file": str(options.file),
        "blocks": report.blocks,
        "blocks_per_second": round(report.blocks / seconds),
        "mismatches": mismatches,
    }
    print_result(options, result, "\n".join(lines))
    return ExitCode.REJECTED if mismatches else ExitCode.OK
