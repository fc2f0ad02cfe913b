"""`nexus message`: messages on the chain. Each burns units by its length, wavelength region and priority."""

from __future__ import annotations

import argparse
from pathlib import Path

from cli.connection import add_client_options, connected, print_result
from cli.exits import CommandFailed, ExitCode
from cli.keyfiles import read_wallet
from cli.submission import amount_units, outcome_text, sending_command, submit

REGIONS = ("VIOLET", "BLUE", "GREEN", "YELLOW", "ORANGE", "RED")
PRIORITIES = ("low", "normal", "high", "critical")
MAX_CONTENT_BYTES = 8_192
PRICE_MARGIN_PERCENT = 10
"""So much dearer than now a message may become until it is taken, where --max-price says nothing."""


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Add the group's commands."""
    commands = parser.add_subparsers(metavar="COMMAND")
    price = commands.add_parser("price", help="what a message would burn now")
    price.add_argument("--bytes", type=int, default=1_024, metavar="N", help="its length (default 1024)")
    price.set_defaults(call=_price)
    send = sending_command(commands, "send", "put a message on the chain, public for ever", _send)
    content = send.add_mutually_exclusive_group(required=True)
    content.add_argument("text", nargs="?", metavar="TEXT")
    content.add_argument("--file", type=Path, metavar="FILE", help="its bytes, up to 8192, instead of TEXT")
    send.add_argument(
        "--max-price",
        metavar="NXT",
        help=f"burn no more (default: the present price and {PRICE_MARGIN_PERCENT} %%)",
    )
    for command in (price, send):
        command.add_argument(
            "--region", type=str.upper, choices=REGIONS, default=None if command is price else "GREEN"
        )
        command.add_argument("--priority", choices=PRIORITIES, default="normal")
    stats = commands.add_parser("stats", help="what the messages of each region have burned")
    stats.set_defaults(call=_stats)
    for command in (price, stats):
        add_client_options(command)


def _price(options: argparse.Namespace) -> int:
    from ledger.amounts import format_nxt

    asked = {"size_bytes": options.bytes, "priority": options.priority}
    if options.region is not None:
        asked["region"] = options.region
    with connected(options) as node:
        result = node.call("message_getPrice", **asked)
    lines = [f"{options.bytes} bytes at priority {options.priority}"]
    lines += [
        f"{one['region']:<7} {one['centre_pm'] / 1000:g} nm  {format_nxt(int(one['price']))} NXT"
        for one in result["prices"]
    ]
    if result["price_rise_ppm"]:
        lines.append(f"the monetary policy has raised prices by {result['price_rise_ppm'] / 10_000:g} %")
    print_result(options, result, "\n".join(lines))
    return ExitCode.OK


def _send(options: argparse.Namespace) -> int:
    from ledger.amounts import format_nxt
    from ledger.economy.message_burn import MESSAGE, Message

    content = _content(options)
    agreed = None if options.max_price is None else amount_units(options.max_price)
    key = read_wallet(options.dir, options.sender)
    with connected(options) as node:
        if agreed is None:
            quoted = node.call(
                "message_getPrice", size_bytes=len(content), region=options.region, priority=options.priority
            )
            agreed = -(-int(quoted["prices"][0]["price"]) * (100 + PRICE_MARGIN_PERCENT) // 100)
        region, priority = REGIONS.index(options.region), PRIORITIES.index(options.priority)
        result = submit(options, node, key, MESSAGE, Message(region, priority, content, agreed))
    burned = (result.get("result") or {}).get("burned_units")
    what = f"message of {len(content)} bytes"
    what += (
        f", {format_nxt(int(burned))} NXT burned" if burned else f", burns at most {format_nxt(agreed)} NXT"
    )
    print_result(options, result, outcome_text(what, {**result, "result": {}}))
    return ExitCode.OK


def _content(options: argparse.Namespace) -> bytes:
    try:
        content = options.text.encode() if options.file is None else options.file.read_bytes()
    except OSError as error:
        raise CommandFailed(ExitCode.NOT_FOUND, f"cannot read {options.file}: {error.strerror}") from None
    if not 1 <= len(content) <= MAX_CONTENT_BYTES:
        raise CommandFailed(
            ExitCode.USAGE, f"the message has {len(content)} bytes, expected 1 to {MAX_CONTENT_BYTES}"
        )
    return bytes(content)


def _stats(options: argparse.Namespace) -> int:
    from ledger.amounts import format_nxt

    with connected(options) as node:
        result = node.call("economy_getStatus")["messages"]
    lines = [f"{'region':<7} {'messages':>10} {'bytes':>12} {'burned NXT':>16}  1 kB costs"]
    lines += [
        f"{one['region']:<7} {one['messages']:>10} {one['content_bytes']:>12} {format_nxt(int(one['burned'])):>16}"
        f"  {format_nxt(int(one['price_of_1024_bytes']))} NXT"
        for one in result
    ]
    print_result(options, result, "\n".join(lines))
    return ExitCode.OK
