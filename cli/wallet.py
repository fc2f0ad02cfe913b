"""`nexus wallet`: keys, balances, transfers. Amounts are decimal NXT here, integer strings of units in JSON."""

from __future__ import annotations

import argparse
import os

from cli.assets import MAX_LISTED_TOKENS, pages, token_asset
from cli.connection import (
    add_client_options,
    add_common_options,
    connected,
    print_result,
)
from cli.exits import ExitCode
from cli.keyfiles import read_wallet, resolve_address, write_wallet
from cli.submission import add_sending_options, amount_units, outcome_text, submit

TYPE_CHECKING = False  # importing typing costs a third of bare Python's start
if TYPE_CHECKING:
    pass


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Add the group's commands."""
    commands = parser.add_subparsers(metavar="COMMAND")
    new = commands.add_parser("new", help="create a key")
    new.add_argument("name", metavar="NAME")
    add_client_options(new)
    new.set_defaults(call=_new)
    address = commands.add_parser("address", help="the address of a wallet")
    address.add_argument("name", metavar="NAME")
    add_client_options(address)
    address.set_defaults(call=_address)
    balance = commands.add_parser("balance", help="NXT, tokens, and what stands behind one NXT")
    balance.add_argument("account", metavar="NAME|ADDRESS")
    add_client_options(balance)
    balance.set_defaults(call=_balance)
    send = commands.add_parser("send", help="sign a transfer and submit it")
    send.add_argument("--from", dest="sender", required=True, metavar="NAME")
    send.add_argument("--to", dest="recipient", required=True, metavar="NAME|ADDRESS")
    send.add_argument("amount", metavar="AMOUNT", help="in NXT, for example 12.5")
    send.add_argument("--memo", default="", help="up to 256 bytes, public for ever")
    add_sending_options(send)
    add_client_options(send)
    send.set_defaults(call=_send)
    names = commands.add_parser("list", help="the wallets in the directory")
    add_common_options(names)
    names.set_defaults(call=_list)


def _list(options: argparse.Namespace) -> int:
    from cli.keyfiles import wallet_names

    names = wallet_names(options.dir)
    print_result(options, names, "\n".join(names))
    return ExitCode.OK


def _new(options: argparse.Namespace) -> int:
    path = write_wallet(options.dir, options.name, os.urandom(32))
    result = {"name": options.name, "file": str(path)}
    print_result(options, result, f"created {path}; `nexus wallet address {options.name}` shows its address")
    return ExitCode.OK


def _address(options: argparse.Namespace) -> int:
    from ledger.addresses import address_of, encode_address

    key = read_wallet(options.dir, options.name)
    with connected(options) as node:
        prefix = node.call("node_info")["address_prefix"]
    text = encode_address(prefix, address_of(key.public_key))
    print_result(options, {"name": options.name, "address": text}, text)
    return ExitCode.OK


def _balance(options: argparse.Namespace) -> int:
    from ledger.addresses import encode_address
    from ledger.amounts import format_nxt

    with connected(options) as node:
        prefix = node.call("node_info")["address_prefix"]
        address = encode_address(prefix, resolve_address(options.dir, options.account, prefix))
        account = node.call("ledger_getAccount", address=address)
        tokens = list(pages(node, "token_getBalances", "balances", MAX_LISTED_TOKENS, address=address))
        backing = node.call("economy_getDebtBacking")
    lines = [f"{format_nxt(int(account['balance']))} NXT"]
    lines += [f"{token_asset(one).show(one['balance'])}  {one['token']}" for one in tokens]
    lines.append(f"one NXT stands for {backing['display']} of the world's debt")
    shown = {
        **account,
        "tokens": tokens,
        "debt_backing": {name: backing[name] for name in ("micro_usd_per_nxt", "display", "source")},
    }
    print_result(options, shown, "\n".join(lines))
    return ExitCode.OK


def _send(options: argparse.Namespace) -> int:
    from ledger.amounts import format_nxt
    from ledger.transfer import TRANSFER, Transfer

    amount = amount_units(options.amount)
    key = read_wallet(options.dir, options.sender)
    with connected(options) as node:
        prefix = node.call("node_info")["address_prefix"]
        recipient = resolve_address(options.dir, options.recipient, prefix)
        result = submit(options, node, key, TRANSFER, Transfer(recipient, amount, options.memo.encode()))
    what = f"{format_nxt(amount)} NXT from {options.sender} to {options.recipient}"
    print_result(options, result, outcome_text(what, result))
    return ExitCode.OK
