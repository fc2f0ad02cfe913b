"""`nexus dex`: the exchange. Assets are `NXT`, a token's id, or a symbol that only one token bears.

What a command signs as its worst case (`min_out`, `max_in`, the amounts that removed shares must bring) comes from a
quote less `--slippage`, and is shown before anything is sent.
"""

from __future__ import annotations

import argparse

from cli.assets import NXT, Asset, pages, resolve_asset
from cli.connection import Caller, add_client_options, connected, print_result
from cli.dex_liquidity import (
    MAX_LISTED,
    add_liquidity_commands,
    add_slippage_option,
    announce,
    found_pool,
)
from cli.exits import ExitCode
from cli.figures import format_percent
from cli.keyfiles import read_wallet, resolve_address
from cli.submission import add_deadline_option, outcome_text, sending_command, submit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Add the group's commands."""
    commands = parser.add_subparsers(metavar="COMMAND")
    listing = commands.add_parser("pools", help="all pools: reserves, price, fee")
    listing.set_defaults(call=_pools)
    one = commands.add_parser("pool", help="one pool")
    one.set_defaults(call=_pool)
    mean = commands.add_parser("twap", help="average price over the last epochs, of the final state")
    mean.add_argument(
        "--epochs", type=int, default=1, metavar="N", help="how far back (default 1, at most 7)"
    )
    mean.set_defaults(call=_twap)
    for command in (one, mean):
        command.add_argument("first", metavar="ASSET")
        command.add_argument("second", metavar="ASSET")
    add_liquidity_commands(commands)
    quote = commands.add_parser("quote", help="what a swap would give now; nothing is sent")
    quote.set_defaults(call=_quote)
    swap = sending_command(commands, "swap", "swap one asset for another", _swap)
    for command in (quote, swap):
        command.add_argument("sell", metavar="ASSET")
        command.add_argument("amount", metavar="AMOUNT", help="of ASSET; with --exact-out, of what is bought")
        command.add_argument("buy", metavar="BOUGHT")
        command.add_argument("--exact-out", action="store_true", help="AMOUNT is what comes out")
        command.add_argument(
            "--via",
            action="append",
            default=[],
            metavar="ASSET",
            help="in between, in order; default: the best path",
        )
        add_slippage_option(command)
    positions = commands.add_parser("positions", help="what an address owns of the pools")
    positions.add_argument("account", metavar="NAME|ADDRESS")
    positions.set_defaults(call=_positions)
    add_deadline_option(swap)
    for command in (listing, one, mean, quote, positions):
        add_client_options(command)


# ---- reading


def _pools(options: argparse.Namespace) -> int:
    with connected(options) as node:
        found = list(pages(node, "dex_getPools", "pools", MAX_LISTED))
        lines = [_pool_line(node, pool) for pool in found]
    print_result(options, found, "\n".join(lines) or "no pools")
    return ExitCode.OK


def _pool_line(node: Caller, pool: Any) -> str:
    first, second = _assets_of(node, pool)
    return (
        f"{pool['address']}  {first.show(pool['reserve_first'])} : {second.show(pool['reserve_second'])}"
        f"  fee {format_percent(pool['fee_bp'] * 100)}"
    )


def _price_text(one: Asset, other: Asset, units_price: str) -> str:
    """`1 NXT = 95.62375513 TALE` of a price in units for a unit; for people, ten digits of it."""
    from decimal import Context, Decimal

    context = Context(prec=10)
    price = context.multiply(Decimal(units_price), Decimal(10) ** (one.decimals - other.decimals))
    return f"1 {one.symbol} = {price.normalize(context):f} {other.symbol}"


def _assets_of(node: Caller, pool: Any) -> tuple[Asset, Asset]:
    return resolve_asset(node, pool["first"]), resolve_asset(node, pool["second"])


def _pool(options: argparse.Namespace) -> int:
    with connected(options) as node:
        pool = found_pool(node, resolve_asset(node, options.first), resolve_asset(node, options.second))
        first, second = _assets_of(node, pool)
    lines = [
        f"address   {pool['address']}",
        f"reserves  {first.show(pool['reserve_first'])}, {second.show(pool['reserve_second'])}",
        f"price     {_price_text(first, second, pool['price'])}",
        f"fee       {format_percent(pool['fee_bp'] * 100)}",
        f"shares    {pool['shares']}, of these locked for ever {pool['locked_shares']}",
    ]
    print_result(options, pool, "\n".join(lines))
    return ExitCode.OK


def _twap(options: argparse.Namespace) -> int:
    with connected(options) as node:
        first, second = resolve_asset(node, options.first), resolve_asset(node, options.second)
        mean = node.call("dex_getTwap", first=first.text, second=second.text, window_epochs=options.epochs)
        one, other = _assets_of(node, mean)
    lines = [
        f"over {mean['slots']} slots up to the final slot {mean['finalised_slot']}",
        _price_text(one, other, mean["first_price"]),
        _price_text(other, one, mean["second_price"]),
    ]
    print_result(options, mean, "\n".join(lines))
    return ExitCode.OK


def _positions(options: argparse.Namespace) -> int:
    from ledger.addresses import encode_address

    with connected(options) as node:
        prefix = node.call("node_info")["address_prefix"]
        address = encode_address(prefix, resolve_address(options.dir, options.account, prefix))
        found = list(pages(node, "dex_getPositions", "positions", MAX_LISTED, address=address))
        lines = []
        for one in found:
            first, second = _assets_of(node, one)
            locked = int(one["locked_until_epoch"])
            lines.append(
                f"{one['shares']} shares ({format_percent(one['share_ppm'])}) of {one['pool']}: "
                f"{first.show(one['amount_first'])}, {second.show(one['amount_second'])}"
                + (f", locked until epoch {locked}" if locked else "")
            )
    print_result(options, {"address": address, "positions": found}, "\n".join(lines) or "no positions")
    return ExitCode.OK


# ---- quotes and swaps


def _quoted(options: argparse.Namespace, node: Caller) -> tuple[Any, Asset, Asset]:
    """(the quote, what goes in, what comes out)."""
    sell, buy = resolve_asset(node, options.sell), resolve_asset(node, options.buy)
    exact, counted = ("out", buy) if options.exact_out else ("in", sell)
    asked: dict[str, object] = {
        "amount": str(counted.units(options.amount)),
        "exact": exact,
        "slippage_ppm": options.slippage,
    }
    if options.via:
        between = [resolve_asset(node, text).text for text in options.via]
        asked["path"] = [sell.text, *between, buy.text]
    else:
        asked |= {"sell": sell.text, "buy": buy.text}
    return node.call("dex_quote", **asked), sell, buy


def _quote_text(quote: Any, sell: Asset, buy: Asset) -> str:
    if quote["exact"] == "in":
        bound = f"at least {buy.show(quote['min_out'])}"
    else:
        bound = f"for at most {sell.show(quote['max_in'])}"
    impact = format_percent(quote["price_impact_ppm"])
    return (
        f"{sell.show(quote['amount_in'])} for {buy.show(quote['amount_out'])} through {len(quote['hops'])} "
        f"pool{'s' if len(quote['hops']) > 1 else ''}, price impact {impact}; with a slippage of "
        f"{format_percent(quote['slippage_ppm'])} {bound}"
    )


def _quote(options: argparse.Namespace) -> int:
    with connected(options) as node:
        quote, sell, buy = _quoted(options, node)
    print_result(options, quote, _quote_text(quote, sell, buy))
    return ExitCode.OK


def _swap(options: argparse.Namespace) -> int:
    from ledger.exchange.kinds import SWAP, Swap
    from ledger.exchange.swapping import EXACT_IN, EXACT_OUT

    key = read_wallet(options.dir, options.sender)
    with connected(options) as node:
        quote, sell, buy = _quoted(options, node)
        announce(options, f"quoted: {_quote_text(quote, sell, buy)}")
        exact_in = quote["exact"] == "in"
        path = tuple(bytes(20) if asset == NXT else bytes.fromhex(asset) for asset in quote["path"])
        amount = int(quote["amount_in"] if exact_in else quote["amount_out"])
        limit = int(quote["min_out"] if exact_in else quote["max_in"])
        payload = Swap(path, EXACT_IN if exact_in else EXACT_OUT, amount, limit)
        result = submit(options, node, key, SWAP, payload)
    real = result.get("result") or {}
    if real:
        what = f"{sell.show(real['amount_in'])} swapped for {buy.show(real['amount_out'])}"
    else:
        what = f"swap of {sell.symbol} for {buy.symbol}"
    print_result(options, {**result, "quote": quote}, outcome_text(what, {**result, "result": {}}))
    return ExitCode.OK
