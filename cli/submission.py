"""Signing a transaction, submitting it, and waiting for what becomes of it; for every command that sends one."""

from __future__ import annotations

import argparse
from pathlib import Path

from cli.connection import DEFAULT_TIMEOUT_S, Caller, add_client_options, chain_rules_of
from cli.exits import CommandFailed, ExitCode
from cli.keyfiles import read_wallet

TYPE_CHECKING = False  # importing typing costs a third of bare Python's start
if TYPE_CHECKING:
    from typing import Any

    from ledger.keys import KeyPair
    from ledger.registry import Kind

EXPIRY_SLOTS = 600
"""How long a transaction made here may wait for a block."""
FINAL_SLOTS = 60
"""Twice what a healthy network needs: how long `--wait final` waits where no --timeout says otherwise."""
POLL_S = 0.1
UNKNOWN_S = 5.0
"""While a reorganisation moves a transaction back to the mempool, a node may know of it in neither place."""


def add_sending_options(parser: argparse.ArgumentParser) -> None:
    """`--fee --wait`: every command that sends a transaction has them."""
    parser.add_argument(
        "--fee", type=_fee_units, metavar="NXT", help="default: the least that the transaction needs"
    )
    parser.add_argument(
        "--wait",
        nargs="?",
        const="accepted",
        choices=("accepted", "final"),
        help="until a committed chain block has accepted it, or with `final` until nothing can undo it",
    )


def add_deadline_option(parser: argparse.ArgumentParser) -> None:
    """`--deadline`: for commands whose price may be gone tomorrow."""
    parser.add_argument(
        "--deadline",
        type=int,
        default=EXPIRY_SLOTS,
        metavar="SLOTS",
        help=f"no block after so many slots may take it; signed (default {EXPIRY_SLOTS})",
    )


def sending_command(
    commands: Any, name: str, text: str, call: Any, *, key_file: bool = False
) -> argparse.ArgumentParser:
    """A command that signs and sends: `--from NAME`, and with `key_file` also `--key FILE [--validator INDEX]`.

    `commands` is argparse's. The options of clients and of sending are added.
    """
    command: argparse.ArgumentParser = commands.add_parser(name, help=text)
    if key_file:
        signer = command.add_mutually_exclusive_group(required=True)
        signer.add_argument("--from", dest="sender", metavar="NAME", help="wallet that signs and pays")
        signer.add_argument(
            "--key", type=Path, metavar="FILE", help="or a validator's key file; its address signs and pays"
        )
        command.add_argument(
            "--validator",
            type=int,
            metavar="INDEX",
            help="for which validator; of several keys in FILE its own",
        )
    else:
        command.add_argument(
            "--from", dest="sender", required=True, metavar="NAME", help="wallet that signs and pays"
        )
    add_sending_options(command)
    add_client_options(command)
    command.set_defaults(call=call)
    return command


def signing_key(options: argparse.Namespace, node: Caller) -> KeyPair:
    """The key that `--from`, or `--key` with `--validator`, means. Errors: `CommandFailed`."""
    if options.sender is not None:
        return read_wallet(options.dir, options.sender)
    from node.keystore import KeyFileError, read_validator_keys

    try:
        keys = read_validator_keys(options.key)
    except KeyFileError as error:
        raise CommandFailed(ExitCode.CONFIG, str(error)) from None
    if options.validator is None:
        if len(keys) != 1:
            raise CommandFailed(
                ExitCode.USAGE, f"{options.key} holds {len(keys)} keys; say which with --validator INDEX"
            )
        return keys[0]
    wanted = node.call("validator_get", index=options.validator)["consensus_key"]
    for key in keys:
        if key.public_key.hex() == wanted:
            return key
    raise CommandFailed(
        ExitCode.USAGE,
        f"{options.key} does not hold the key of validator {options.validator}, {wanted[:16]}…",
    )


def amount_units(text: str) -> int:
    """Units of an amount in NXT. Errors: `CommandFailed` USAGE."""
    from ledger.amounts import parse_nxt
    from ledger.errors import AmountError

    try:
        return parse_nxt(text)
    except AmountError as error:
        raise CommandFailed(ExitCode.USAGE, str(error)) from None


def _fee_units(text: str) -> int:
    try:
        return amount_units(text)
    except CommandFailed as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def submit(options: argparse.Namespace, node: Caller, key: KeyPair, kind: Kind, payload: Any) -> Any:
    """Sign `payload` with `key`, submit it, wait as `--wait` says. The status, with `id`, nonce and the fee offered.

    Errors: `CommandFailed` USAGE, REJECTED, TIMEOUT.
    """
    from ledger.addresses import address_of, encode_address
    from ledger.errors import LedgerError
    from ledger.transactions import sign_transaction

    info = node.call("node_info")
    rules = chain_rules_of(info)
    sender = encode_address(rules.address_prefix, address_of(key.public_key))
    account = node.call("ledger_getAccount", address=sender)
    try:
        kind.check_payload(payload, rules)
        transaction = sign_transaction(
            key,
            rules,
            nonce=int(account["next_nonce"]),
            expiry_slot=int(info["slot"]) + getattr(options, "deadline", EXPIRY_SLOTS),
            fee=options.fee,
            kind=kind,
            payload_record=payload,
        )
    except LedgerError as error:
        raise CommandFailed(ExitCode.USAGE, str(error)) from None
    result = node.call("tx_submit", raw=transaction.raw.hex())
    if options.wait:
        final, timeout_s = options.wait == "final", options.timeout
        if final and timeout_s == DEFAULT_TIMEOUT_S:
            timeout_s = max(timeout_s, FINAL_SLOTS * int(info["slot_ms"]) / 1000)
        result = await_outcome(node, transaction.id.hex(), timeout_s, final=final)
    return {**result, "fee": str(transaction.body.fee), "nonce": str(transaction.body.nonce)}


def await_outcome(node: Caller, transaction_id: str, timeout_s: float, *, final: bool) -> Any:
    """The status once a committed chain block holds the transaction, or that block is final.

    Errors: `CommandFailed` REJECTED, TIMEOUT.
    """
    from time import monotonic, sleep

    deadline = monotonic() + timeout_s
    known_at = monotonic()
    while True:
        status = node.call("tx_status", id=transaction_id)
        if status["status"] == "accepted" and (status["final"] or not final):
            return status
        if status["status"] != "unknown":
            known_at = monotonic()
        if status["status"] in ("failed", "rejected") or monotonic() - known_at > UNKNOWN_S:
            raise CommandFailed(
                ExitCode.REJECTED, f"transaction {transaction_id}: {status['status']}, {status.get('reason')}"
            )
        if monotonic() > deadline:
            paused = ""
            if status["status"] == "accepted":
                finality = node.call("finality_status")
                paused = f" and not final: {finality['reason'] or 'finality is advancing'};"
            raise CommandFailed(
                ExitCode.TIMEOUT,
                f"transaction {transaction_id} is still {status['status']}{paused} after {timeout_s:g} s; "
                f"`nexus chain tx {transaction_id}` asks again",
            )
        sleep(POLL_S)


def outcome_text(what: str, result: Any) -> str:
    """One line for people."""
    from ledger.amounts import format_nxt

    state = "final" if result.get("final") else result["status"]
    told = ", ".join(
        f"{name.replace('_', ' ')} {value}" for name, value in (result.get("result") or {}).items()
    )
    text = f"{state}: {what}{f' ({told})' if told else ''}"
    text += f", fee {format_nxt(int(result['fee']))}, transaction {result['id']}"
    if result.get("block"):
        text += f", block {result['block']}"
    return text
