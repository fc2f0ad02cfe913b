"""`nexus dex create|add|remove`: liquidity. What is signed as the worst case is shown before anything is sent."""

from __future__ import annotations

import argparse
import sys

from cli.assets import Asset, pages, resolve_asset
from cli.connection import Caller, connected, print_result
from cli.exits import CommandFailed, ExitCode
from cli.figures import format_percent, percent_ppm
from cli.keyfiles import read_wallet
from cli.submission import add_deadline_option, outcome_text, sending_command, submit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ledger.registry import Kind

PPM = 1_000_000
DEFAULT_SLIPPAGE_PPM = 5_000
MAX_LISTED = 1_000


def add_liquidity_commands(commands: Any) -> None:
    """Add the commands to the group. `commands` is argparse's."""
    create = sending_command(commands, "create", "found a pool; both amounts set its price", _create)
    create.add_argument(
        "--pool-fee", type=percent_ppm, default=3_000, metavar="PERCENT", help="0.1 to 0.5 (default 0.3)"
    )
    add = sending_command(commands, "add", "add liquidity, at most these amounts", _add)
    for command in (create, add):
        command.add_argument("first", metavar="ASSET")
        command.add_argument("first_amount", metavar="AMOUNT")
        command.add_argument("second", metavar="ASSET")
        command.add_argument("second_amount", metavar="AMOUNT")
    remove = sending_command(commands, "remove", "take liquidity out", _remove)
    remove.add_argument("first", metavar="ASSET")
    remove.add_argument("second", metavar="ASSET")
    remove.add_argument("shares", metavar="SHARES", help="whole shares (`nexus dex positions`), or `all`")
    for command in (add, remove):
        add_slippage_option(command)
    for command in (create, add, remove):
        add_deadline_option(command)


def add_slippage_option(command: argparse.ArgumentParser) -> None:
    """`--slippage`."""
    command.add_argument(
        "--slippage",
        type=percent_ppm,
        default=DEFAULT_SLIPPAGE_PPM,
        metavar="PERCENT",
        help="how much worse than quoted it may become (default 0.5)",
    )


def found_pool(node: Caller, first: Asset, second: Asset) -> Any:
    """The pool of two assets in any order. Errors: `CommandFailed` NOT_FOUND."""
    return node.call("dex_getPool", first=first.text, second=second.text)


def announce(options: argparse.Namespace, text: str) -> None:
    """What is about to be signed; on stderr, where it does not mix with JSON."""
    print(text, file=sys.stderr if options.output == "json" else sys.stdout, flush=True)


def _pair(options: argparse.Namespace, node: Caller) -> tuple[tuple[Asset, Asset], bool]:
    """Both assets in the pool's order, and whether that is the other way round than they were typed."""
    one, other = resolve_asset(node, options.first), resolve_asset(node, options.second)
    if one.id == other.id:
        raise CommandFailed(ExitCode.USAGE, f"{one.symbol} twice; a pool has two different assets")
    return ((one, other), False) if one.id < other.id else ((other, one), True)


def _amounts(options: argparse.Namespace, pair: tuple[Asset, Asset], turned: bool) -> tuple[int, int]:
    texts = (options.first_amount, options.second_amount)
    first, second = reversed(texts) if turned else texts
    return pair[0].units(first), pair[1].units(second)


def _create(options: argparse.Namespace) -> int:
    from ledger.exchange.kinds import POOL_CREATE, PoolCreate
    from ledger.exchange.math import GREATEST_FEE_BP, LEAST_FEE_BP

    fee_bp, rest = divmod(options.pool_fee, 100)
    if rest or not LEAST_FEE_BP <= fee_bp <= GREATEST_FEE_BP:
        raise CommandFailed(
            ExitCode.USAGE,
            f"--pool-fee {format_percent(options.pool_fee)}: expected 0.1 to 0.5 in steps of 0.01",
        )
    with connected(options) as node:
        pair, turned = _pair(options, node)
        first, second = _amounts(options, pair, turned)
        payload = PoolCreate(pair[0].id, pair[1].id, fee_bp, first, second)
        return _liquidity(options, node, POOL_CREATE, payload, pair, "pool founded with")


def _add(options: argparse.Namespace) -> int:
    from ledger.exchange.kinds import LIQUIDITY_ADD, LiquidityAdd
    from ledger.exchange.math import added_shares
    from ledger.registry import Rejected

    with connected(options) as node:
        pair, turned = _pair(options, node)
        most = _amounts(options, pair, turned)
        pool = found_pool(node, *pair)
        reserves = int(pool["reserve_first"]), int(pool["reserve_second"])
        try:
            shares, first, second = added_shares(*most, *reserves, int(pool["shares"]))
        except Rejected as rejected:
            raise CommandFailed(ExitCode.USAGE, str(rejected)) from None
        least = max(1, shares * (PPM - options.slippage) // PPM)
        announce(
            options,
            f"quoted: {pair[0].show(first)} and {pair[1].show(second)} for {shares} shares; at least {least}",
        )
        payload = LiquidityAdd(pair[0].id, pair[1].id, *most, least)
        return _liquidity(options, node, LIQUIDITY_ADD, payload, pair, "liquidity added:")


def _remove(options: argparse.Namespace) -> int:
    from ledger.addresses import address_of, encode_address
    from ledger.exchange.kinds import LIQUIDITY_REMOVE, LiquidityRemove
    from ledger.exchange.math import removed_amounts
    from ledger.registry import Rejected

    key = read_wallet(options.dir, options.sender)
    with connected(options) as node:
        pair, _ = _pair(options, node)
        pool = found_pool(node, *pair)
        if options.shares == "all":
            address = encode_address(node.call("node_info")["address_prefix"], address_of(key.public_key))
            held = pages(node, "dex_getPositions", "positions", MAX_LISTED, address=address)
            shares = next((int(one["shares"]) for one in held if one["pool"] == pool["address"]), 0)
        else:
            shares = int(options.shares) if options.shares.isascii() and options.shares.isdigit() else 0
        if not shares:
            raise CommandFailed(
                ExitCode.USAGE,
                f"{options.shares!r} shares: expected a number from 1 on, or `all` of at least one",
            )
        reserves = int(pool["reserve_first"]), int(pool["reserve_second"])
        try:
            first, second = removed_amounts(shares, *reserves, int(pool["shares"]))
        except Rejected as rejected:
            raise CommandFailed(ExitCode.USAGE, str(rejected)) from None
        least = [units * (PPM - options.slippage) // PPM for units in (first, second)]
        announce(
            options,
            f"quoted: {shares} shares for {pair[0].show(first)} and {pair[1].show(second)}; at least "
            f"{pair[0].show(least[0])} and {pair[1].show(least[1])}",
        )
        payload = LiquidityRemove(pair[0].id, pair[1].id, shares, least[0], least[1])
        return _liquidity(options, node, LIQUIDITY_REMOVE, payload, pair, "liquidity removed:")


def _liquidity(
    options: argparse.Namespace, node: Caller, kind: Kind, payload: Any, pair: tuple[Asset, Asset], what: str
) -> int:
    key = read_wallet(options.dir, options.sender)
    result = submit(options, node, key, kind, payload)
    real = result.get("result") or {}
    if real:
        what += f" {pair[0].show(real['first'])} and {pair[1].show(real['second'])}, {real['shares']} shares"
    else:
        what += f" {pair[0].symbol} and {pair[1].symbol}"
    print_result(options, result, outcome_text(what, {**result, "result": {}}))
    return ExitCode.OK
