"""`nexus lab`: experiments. `story` starts or joins a devnet, the others need no node."""

import argparse
from pathlib import Path

from cli.connection import add_client_options, add_common_options, print_result
from cli.exits import CommandFailed, ExitCode

MAX_FILE_BYTES = 512 * 1024 * 1024
LEAST_SLOT_MS, GREATEST_SLOT_MS = 100, 60_000
MOST_NODES = 4


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
    story = commands.add_parser(
        "story",
        help="a scripted story on a devnet, with a book that explains every balance to the unit",
        description="In the running devnet of --dir, whose keys it uses, or in one of its own that it starts there and "
        "stops at the end. Nobody else should send meanwhile. Exit 4 when a figure of the chain differs from the book.",
    )
    story.add_argument("story", choices=("economy",), metavar="economy")
    story.add_argument(
        "--slot-ms", type=int, metavar="MS", help="slots of its own devnet (default 250; an epoch has 32)"
    )
    story.add_argument(
        "--nodes", dest="nodes", type=int, metavar="N", help="processes of its own devnet (default 2)"
    )
    add_client_options(story)
    story.set_defaults(call=_story)


def _story(options: argparse.Namespace) -> int:
    if options.rpc is not None:
        raise CommandFailed(
            ExitCode.USAGE, "--rpc: the story needs the directory of its devnet, for the keys in it"
        )
    if options.slot_ms is not None and not LEAST_SLOT_MS <= options.slot_ms <= GREATEST_SLOT_MS:
        raise CommandFailed(
            ExitCode.USAGE, f"--slot-ms {options.slot_ms}: expected {LEAST_SLOT_MS} to {GREATEST_SLOT_MS}"
        )
    if options.nodes is not None and not 1 <= options.nodes <= MOST_NODES:
        raise CommandFailed(ExitCode.USAGE, f"--nodes {options.nodes}: expected 1 to {MOST_NODES}")
    from cli.story.play import play

    return play(options)


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
