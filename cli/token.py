"""`nexus token`: tokens that users create. Amounts are decimal, in the token's own decimals; in JSON units."""

from __future__ import annotations

import argparse

from cli.assets import MAX_LISTED_TOKENS, pages, resolve_asset, token_asset, token_only
from cli.connection import add_client_options, connected, print_result
from cli.exits import CommandFailed, ExitCode
from cli.figures import format_units, parse_units
from cli.keyfiles import read_wallet, resolve_address
from cli.submission import outcome_text, sending_command, submit

MAX_DECIMALS = 18


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Add the group's commands."""
    commands = parser.add_subparsers(metavar="COMMAND")
    create = sending_command(commands, "create", "create a token; the whole supply is the sender's", _create)
    create.add_argument("symbol", metavar="SYMBOL", help="1 to 12 of A-Z and 0-9, a letter first; not unique")
    create.add_argument("--name", required=True, help="up to 64 bytes")
    create.add_argument(
        "--decimals", type=int, default=8, metavar="N", help=f"0 to {MAX_DECIMALS} (default 8), for ever"
    )
    create.add_argument("--supply", required=True, metavar="AMOUNT", help="never more; burning makes it less")
    listing = commands.add_parser("list", help="all tokens")
    listing.add_argument("--symbol", help="only those that bear it")
    listing.add_argument("--limit", type=int, default=100, metavar="N", help="at most so many (default 100)")
    listing.set_defaults(call=_list)
    show = commands.add_parser("show", help="one token")
    show.add_argument("token", metavar="SYMBOL|ID")
    show.set_defaults(call=_show)
    balances = commands.add_parser("balances", help="what an address has of every token")
    balances.add_argument("account", metavar="NAME|ADDRESS")
    balances.set_defaults(call=_balances)
    send = sending_command(commands, "send", "send tokens", _send)
    send.add_argument("--to", dest="recipient", required=True, metavar="NAME|ADDRESS")
    send.add_argument("--memo", default="", help="up to 256 bytes, public for ever")
    burn = sending_command(commands, "burn", "destroy tokens of your own, for ever", _burn)
    for command in (send, burn):
        command.add_argument("token", metavar="SYMBOL|ID")
        command.add_argument("amount", metavar="AMOUNT")
    for command in (listing, show, balances):
        add_client_options(command)


def _create(options: argparse.Namespace) -> int:
    from ledger.addresses import address_of, token_id
    from ledger.tokens.kinds import TOKEN_CREATE, TokenCreate

    if not 0 <= options.decimals <= MAX_DECIMALS:
        raise CommandFailed(ExitCode.USAGE, f"--decimals {options.decimals}: expected 0 to {MAX_DECIMALS}")
    supply = parse_units(options.supply, options.decimals)
    key = read_wallet(options.dir, options.sender)
    with connected(options) as node:
        payload = TokenCreate(options.symbol, options.name, options.decimals, supply)
        result = submit(options, node, key, TOKEN_CREATE, payload)
    result["token"] = token_id(address_of(key.public_key), int(result["nonce"])).hex()
    what = f"{options.supply} {options.symbol} created, token {result['token']}"
    print_result(options, result, outcome_text(what, result))
    return ExitCode.OK


def _list(options: argparse.Namespace) -> int:
    found = []
    with connected(options) as node:
        for token in pages(node, "token_list", "tokens", MAX_LISTED_TOKENS):
            if options.symbol is None or token["symbol"] == options.symbol.upper():
                found.append(token)
                if len(found) == options.limit:
                    break
    lines = [f"{token['id']}  {token_asset(token).show(token['supply'])}  {token['name']}" for token in found]
    print_result(options, found, "\n".join(lines) or "no tokens")
    return ExitCode.OK


def _show(options: argparse.Namespace) -> int:
    with connected(options) as node:
        asset = token_only(resolve_asset(node, options.token), "`nexus economy status` shows its supply")
        token = node.call("token_get", id=asset.text)
    lines = [
        f"id        {token['id']}",
        f"symbol    {token['symbol']}",
        f"name      {token['name']}",
        f"decimals  {token['decimals']}",
        f"supply    {format_units(int(token['supply']), token['decimals'])}",
        f"burned    {format_units(int(token['burned']), token['decimals'])}",
        f"creator   {token['creator']}",
    ]
    print_result(options, token, "\n".join(lines))
    return ExitCode.OK


def _balances(options: argparse.Namespace) -> int:
    from ledger.addresses import encode_address

    with connected(options) as node:
        prefix = node.call("node_info")["address_prefix"]
        address = encode_address(prefix, resolve_address(options.dir, options.account, prefix))
        found = list(pages(node, "token_getBalances", "balances", MAX_LISTED_TOKENS, address=address))
    lines = [f"{token_asset(one).show(one['balance'])}  {one['token']}" for one in found]
    print_result(options, {"address": address, "balances": found}, "\n".join(lines) or "no tokens")
    return ExitCode.OK


def _send(options: argparse.Namespace) -> int:
    from ledger.tokens.kinds import TOKEN_TRANSFER, TokenTransfer

    key = read_wallet(options.dir, options.sender)
    with connected(options) as node:
        asset = token_only(resolve_asset(node, options.token), "`nexus wallet send` sends it")
        amount = asset.units(options.amount)
        recipient = resolve_address(options.dir, options.recipient, node.call("node_info")["address_prefix"])
        payload = TokenTransfer(asset.id, recipient, amount, options.memo.encode())
        result = submit(options, node, key, TOKEN_TRANSFER, payload)
    what = f"{asset.show(amount)} from {options.sender} to {options.recipient}"
    print_result(options, result, outcome_text(what, result))
    return ExitCode.OK


def _burn(options: argparse.Namespace) -> int:
    from ledger.tokens.kinds import TOKEN_BURN, TokenBurn

    key = read_wallet(options.dir, options.sender)
    with connected(options) as node:
        asset = token_only(resolve_asset(node, options.token), "fees and messages burn it")
        amount = asset.units(options.amount)
        result = submit(options, node, key, TOKEN_BURN, TokenBurn(asset.id, amount))
    left = result.get("result", {}).get("supply")
    what = f"{asset.show(amount)} burned" + (f", {asset.show(left)} left" if left else "")
    print_result(options, result, outcome_text(what, {**result, "result": {}}))
    return ExitCode.OK
