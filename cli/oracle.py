"""`nexus oracle`: what validators report of the world, and what the chain makes of it."""

from __future__ import annotations

import argparse

from cli.connection import Caller, add_client_options, connected, print_result
from cli.exits import CommandFailed, ExitCode
from cli.submission import outcome_text, sending_command, signing_key, submit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Add the group's commands."""
    commands = parser.add_subparsers(metavar="COMMAND")
    feeds = commands.add_parser("feeds", help="all feeds: value, age, who reported")
    feeds.add_argument("--outliers", action="store_true", help="also who was far off the medians")
    feeds.set_defaults(call=_feeds)
    report = sending_command(
        commands,
        "report",
        "report a value for --validator, with its key or its withdrawal wallet",
        _report,
        key_file=True,
    )
    report.add_argument("feed", metavar="FEED", help="name or number (`nexus oracle feeds`)")
    report.add_argument("value", type=int, metavar="VALUE", help="a whole number in the feed's unit")
    add_client_options(feeds)


def _feeds(options: argparse.Namespace) -> int:
    with connected(options) as node:
        result = node.call("oracle_getFeeds")
    lines = []
    for one in result["feeds"]:
        told = "never reported"
        if one["value"] is not None:
            fresh = "fresh" if one["fresh"] else "stale"
            told = (
                f"{one['value']} {one['unit']}, {fresh}, of epoch {one['value_epoch']} "
                f"by {one['reporters']} validators"
            )
        lines.append(
            f"{one['number']:>3}  {one['name']:<22} {told}; {one['reports_count']} reports in this epoch"
        )
    if options.outliers:
        lines += [
            f"validator {one['validator']} was far off {one['times']} times, last in epoch {one['last_epoch']} "
            f"with {one['last_value']} for feed {one['last_feed']}"
            for one in result["outliers"]
        ] or ["nobody was far off"]
    print_result(options, result, "\n".join(lines))
    return ExitCode.OK


def _feed(node: Caller, text: str) -> Any:
    feeds = node.call("oracle_getFeeds")["feeds"]
    for one in feeds:
        if text in (one["name"], str(one["number"])):
            return one
    from difflib import get_close_matches

    near = get_close_matches(text, [one["name"] for one in feeds], n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise CommandFailed(ExitCode.USAGE, f"no feed {text!r}; {hint}`nexus oracle feeds` shows all of them")


def _report(options: argparse.Namespace) -> int:
    from ledger.oracle.reports import ORACLE_REPORT, OracleReport

    if options.validator is None:
        raise CommandFailed(ExitCode.USAGE, "say for which validator with --validator INDEX")
    with connected(options) as node:
        key = signing_key(options, node)
        feed = _feed(node, options.feed)
        payload = OracleReport(options.validator, feed["number"], options.value)
        result = submit(options, node, key, ORACLE_REPORT, payload)
    what = f"validator {options.validator} reports {feed['name']} {options.value} {feed['unit']}"
    print_result(options, result, outcome_text(what, result))
    return ExitCode.OK
