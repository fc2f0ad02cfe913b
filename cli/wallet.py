"""`nexus wallet`: keys, balances, transfers. Amounts are decimal NXT here, integer strings of units in JSON."""

from __future__ import annotations

import argparse
import os

from cli.connection import (
    Caller,
    add_client_options,
    add_common_options,
    chain_rules_of,
    connected,
    print_result,
)
from cli.exits import CommandFailed, ExitCode
from cli.keyfiles import MAX_NAME_CHARACTERS, read_wallet, write_wallet

TYPE_CHECKING = False  # importing typing costs a third of bare Python's start
if TYPE_CHECKING:
    from typing import Any

EXPIRY_SLOTS = 600
"""How long a transfer made here may wait for a block."""
POLL_S = 0.1


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
    balance = commands.add_parser("balance", help="balance and nonce, as a node has committed them")
    balance.add_argument("account", metavar="NAME|ADDRESS")
    add_client_options(balance)
    balance.set_defaults(call=_balance)
    send = commands.add_parser("send", help="sign a transfer and submit it")
    send.add_argument("--from", dest="sender", required=True, metavar="NAME")
    send.add_argument("--to", dest="recipient", required=True, metavar="NAME|ADDRESS")
    send.add_argument("amount", metavar="AMOUNT", help="in NXT, for example 12.5")
    send.add_argument("--fee", metavar="NXT", help="default: the least that the transfer's size needs")
    send.add_argument("--memo", default="", help="up to 256 bytes, public for ever")
    send.add_argument("--wait", action="store_true", help="until a committed chain block has accepted it")
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


def _resolve(options: argparse.Namespace, account: str, prefix: str) -> bytes:
    """The 20-byte address of a wallet's name or of an address in text."""
    from ledger.addresses import address_of, decode_address
    from ledger.errors import AddressMalformed

    # An address is longer than a wallet's name may be, so the two don't meet.
    if len(account) <= MAX_NAME_CHARACTERS:
        return address_of(read_wallet(options.dir, account).public_key)
    try:
        return decode_address(prefix, account)
    except AddressMalformed as error:
        raise CommandFailed(ExitCode.USAGE, str(error)) from None


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
        address = encode_address(prefix, _resolve(options, options.account, prefix))
        account = node.call("ledger_getAccount", address=address)
    print_result(options, account, f"{format_nxt(int(account['balance']))} NXT")
    return ExitCode.OK


def _amount(text: str) -> int:
    from ledger.amounts import parse_nxt
    from ledger.errors import AmountError

    try:
        return parse_nxt(text)
    except AmountError as error:
        raise CommandFailed(ExitCode.USAGE, str(error)) from None


def _send(options: argparse.Namespace) -> int:
    from ledger.addresses import address_of, encode_address
    from ledger.amounts import format_nxt
    from ledger.errors import LedgerError
    from ledger.transactions import sign_transaction
    from ledger.transfer import TRANSFER, Transfer

    amount = _amount(options.amount)
    fee = None if options.fee is None else _amount(options.fee)
    key = read_wallet(options.dir, options.sender)
    with connected(options) as node:
        info = node.call("node_info")
        rules = chain_rules_of(info)
        recipient = _resolve(options, options.recipient, rules.address_prefix)
        sender = encode_address(rules.address_prefix, address_of(key.public_key))
        account = node.call("ledger_getAccount", address=sender)
        try:
            transaction = sign_transaction(
                key,
                rules,
                nonce=int(account["next_nonce"]),
                expiry_slot=int(info["slot"]) + EXPIRY_SLOTS,
                fee=fee,
                kind=TRANSFER,
                payload_record=Transfer(recipient, amount, options.memo.encode()),
            )
        except LedgerError as error:
            raise CommandFailed(ExitCode.USAGE, str(error)) from None
        result = node.call("tx_submit", raw=transaction.raw.hex())
        if options.wait:
            result = _await_acceptance(node, transaction.id.hex(), options.timeout)
    text = (
        f"{result['status']}: {format_nxt(amount)} NXT from {options.sender} to {options.recipient}, "
        f"fee {format_nxt(transaction.body.fee)}, transaction {transaction.id.hex()}"
    )
    if result.get("block"):
        text += f", block {result['block']}"
    print_result(options, result, text)
    return ExitCode.OK


def _await_acceptance(node: Caller, transaction_id: str, timeout_s: float) -> Any:
    """The status once a committed chain block holds the transaction. Errors: REJECTED, TIMEOUT."""
    from time import monotonic, sleep

    deadline = monotonic() + timeout_s
    while True:
        status = node.call("tx_status", id=transaction_id)
        if status["status"] == "accepted":
            return status
        if status["status"] in ("failed", "rejected", "unknown"):
            raise CommandFailed(
                ExitCode.REJECTED, f"transaction {transaction_id}: {status['status']}, {status.get('reason')}"
            )
        if monotonic() > deadline:
            raise CommandFailed(
                ExitCode.TIMEOUT,
                f"transaction {transaction_id} is still {status['status']} after {timeout_s:g} s; "
                f"`nexus chain tx {transaction_id}` asks again",
            )
        sleep(POLL_S)
