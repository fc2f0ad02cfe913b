"""`nexus validator list|show|schedule|stakes|register|delegate|…`: stakes and their transactions."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.connection import add_client_options, chain_rules_of, connected, print_result
from cli.exits import CommandFailed, ExitCode
from cli.figures import percent_ppm
from cli.keyfiles import read_wallet
from cli.submission import amount_units, outcome_text, sending_command, submit

if TYPE_CHECKING:
    from ledger.keys import KeyPair
    from ledger.registry import Kind


def add_staking_commands(commands: Any) -> None:
    """Add the commands to the group. `commands` is argparse's."""
    listing = commands.add_parser("list", help="all validators: stake, status, band")
    listing.set_defaults(call=_list)
    show = commands.add_parser("show", help="one validator, its rewards and punishments")
    show.add_argument("index", type=int, metavar="INDEX")
    show.set_defaults(call=_show)
    schedule = commands.add_parser("schedule", help="who proposes in the next slots")
    schedule.add_argument(
        "--slots", type=int, default=16, metavar="N", help="how many (default 16, at most 512)"
    )
    schedule.add_argument("--validator", type=int, metavar="INDEX", help="this one's lanes only")
    schedule.set_defaults(call=_schedule)
    stakes = commands.add_parser("stakes", help="what an address has staked, earned and taken out")
    stakes.add_argument("account", metavar="NAME|ADDRESS")
    stakes.set_defaults(call=_stakes)
    register = sending_command(commands, "register", "become a validator: stakes the sender's NXT", _register)
    register.add_argument(
        "--key", type=Path, required=True, metavar="FILE", help="key file (nexus validator keys)"
    )
    register.add_argument("--stake", required=True, metavar="NXT", help="at least 1,000")
    register.add_argument("--commission", type=percent_ppm, default=0, metavar="PERCENT", help="default 0")
    register.add_argument("--withdraw-to", metavar="ADDRESS", help="who owns the stake (default: the sender)")
    delegate = sending_command(commands, "delegate", "stake on a validator", _delegate)
    undelegate = sending_command(
        commands, "undelegate", "take stake out; it is free after the unbonding time", _undelegate
    )
    for command, note in ((delegate, "at least 10"), (undelegate, "`all` for everything")):
        command.add_argument("index", type=int, metavar="INDEX")
        command.add_argument("amount", metavar="AMOUNT", help=f"in NXT; {note}")
    withdraw = sending_command(commands, "withdraw", "collect free stake and final rewards", _withdraw)
    commission = sending_command(
        commands, "commission", "change what the validator keeps of the rewards", _commission
    )
    commission.add_argument(
        "--percent", type=percent_ppm, required=True, metavar="PERCENT", dest="commission"
    )
    rotate = sending_command(
        commands, "rotate-key", "replace the consensus key, by the withdrawal key", _rotate
    )
    renew = sending_command(
        commands, "renew-onion", "commit to new randomness before the old runs out", _renew
    )
    for command in (rotate, renew):
        command.add_argument("--key", type=Path, required=True, metavar="FILE", help="key file with one key")
    leave = sending_command(commands, "exit", "stop validating and take the stake out", _exit)
    unjail = sending_command(commands, "unjail", "come back after the time in jail", _unjail)
    for command in (withdraw, commission, rotate, renew, leave, unjail):
        command.add_argument("index", type=int, metavar="INDEX")
    for command in (listing, show, schedule, stakes):
        add_client_options(command)


# ---- reading


def _list(options: argparse.Namespace) -> int:
    from ledger.amounts import format_nxt

    with connected(options) as node:
        result = node.call("validator_list")
    lines = [f"{result['mode']} mode, epoch {result['epoch']}"]
    lines.append(f"{'index':>5}  {'status':<10} {'band':<7} {'own NXT':>12} {'delegated':>12}  key")
    for one in result["validators"]:
        lines.append(
            f"{one['index']:>5}  {one['status']:<10} {one['band'] or '-':<7} {format_nxt(int(one['self_stake'])):>12} "
            f"{format_nxt(int(one['delegated'])):>12}  {one['consensus_key'][:16]}{'  (ours)' if one['ours'] else ''}"
        )
    print_result(options, result, "\n".join(lines))
    return ExitCode.OK


def _show(options: argparse.Namespace) -> int:
    with connected(options) as node:
        result = node.call("validator_get", index=options.index)
    width = max(map(len, result))
    lines = []
    for key, value in result.items():
        if isinstance(value, list):
            shown = (
                "".join(f"\n    {' '.join(f'{name}={part}' for name, part in one.items())}" for one in value)
                or "none"
            )
        else:
            shown = str(value)
        lines.append(f"{key.ljust(width)}  {shown}")
    print_result(options, result, "\n".join(lines))
    return ExitCode.OK


def _schedule(options: argparse.Namespace) -> int:
    params = {"slots": options.slots}
    if options.validator is not None:
        params["validator"] = options.validator
    with connected(options) as node:
        result = node.call("validator_schedule", **params)
    lines = [f"slot {result['slot_now']}, epoch {result['epoch']}, {result['mode']} mode"]
    for slot in result["slots"]:
        lanes = "  ".join(f"{lane['band'].lower()} {lane['validator']}" for lane in slot["lanes"])
        lines.append(f"{slot['slot']:>8}  {lanes}")
    print_result(options, result, "\n".join(lines))
    return ExitCode.OK


def _stakes(options: argparse.Namespace) -> int:
    from ledger.amounts import format_nxt

    with connected(options) as node:
        result = node.call("staking_getStakes", address=_address(options, node, options.account))
    lines = [
        f"validator {one['validator']}: {'own' if one['own'] else 'delegated'} {format_nxt(int(one['stake']))} NXT, "
        f"rewards {format_nxt(int(one['rewards']))}, of these claimable {format_nxt(int(one['claimable']))}"
        for one in result["stakes"]
    ]
    lines += [
        f"validator {one['validator']}: {format_nxt(int(one['units']))} NXT free from epoch {one['free_epoch']}"
        for one in result["unbonding"]
    ]
    print_result(options, result, "\n".join(lines) or "no stakes")
    return ExitCode.OK


# ---- sending


def _send(options: argparse.Namespace, kind: "Kind", payload: Any, what: str) -> int:
    key = read_wallet(options.dir, options.sender)
    with connected(options) as node:
        result = submit(options, node, key, kind, payload)
    print_result(options, result, outcome_text(what, result))
    return ExitCode.OK


def _address(options: argparse.Namespace, node: Any, account: str) -> str:
    """An address in text, of a wallet's name or of itself."""
    from ledger.addresses import address_of, encode_address

    prefix = str(node.call("node_info")["address_prefix"])
    if account.startswith(prefix + "1"):
        return account
    return encode_address(prefix, address_of(read_wallet(options.dir, account).public_key))


def _one_key(path: Path) -> "KeyPair":
    from node.keystore import KeyFileError, read_validator_keys

    try:
        keys = read_validator_keys(path)
    except KeyFileError as error:
        raise CommandFailed(ExitCode.CONFIG, str(error)) from None
    if len(keys) != 1:
        raise CommandFailed(ExitCode.USAGE, f"{path} holds {len(keys)} keys, expected one")
    return keys[0]


def _register(options: argparse.Namespace) -> int:
    from ledger.addresses import address_of, decode_address
    from ledger.errors import AddressMalformed
    from ledger.onion import MAX_ONION_LAYERS, onion_layer, onion_secret
    from ledger.staking.validator_kinds import VALIDATOR_REGISTER, RegistrationCore, sign_registration

    consensus_key, sender = _one_key(options.key), read_wallet(options.dir, options.sender)
    with connected(options) as node:
        rules = chain_rules_of(node.call("node_info"))
        try:
            owner = (
                address_of(sender.public_key)
                if options.withdraw_to is None
                else decode_address(rules.address_prefix, options.withdraw_to)
            )
        except AddressMalformed as error:
            raise CommandFailed(ExitCode.USAGE, str(error)) from None
        core = RegistrationCore(
            consensus_key.public_key,
            owner,
            amount_units(options.stake),
            options.commission,
            onion_layer(onion_secret(consensus_key.seed, 0), MAX_ONION_LAYERS),
            MAX_ONION_LAYERS,
        )
        result = submit(
            options, node, sender, VALIDATOR_REGISTER, sign_registration(core, consensus_key, rules)
        )
    text = outcome_text(f"validator {consensus_key.public_key.hex()[:16]} registered", result)
    print_result(options, result, text)
    return ExitCode.OK


def _delegate(options: argparse.Namespace) -> int:
    from ledger.staking.delegation_kinds import DELEGATE, Delegate

    payload = Delegate(options.index, amount_units(options.amount))
    return _send(options, DELEGATE, payload, f"{options.amount} NXT staked on validator {options.index}")


def _undelegate(options: argparse.Namespace) -> int:
    from ledger.staking.delegation_kinds import UNDELEGATE, Undelegate

    units = 0 if options.amount == "all" else amount_units(options.amount)
    if units == 0 and options.amount != "all":
        # On the chain 0 means everything.
        raise CommandFailed(ExitCode.USAGE, "0 NXT is nothing to take out; write `all` for everything")
    payload = Undelegate(options.index, units)
    return _send(options, UNDELEGATE, payload, f"{options.amount} NXT leaving validator {options.index}")


def _withdraw(options: argparse.Namespace) -> int:
    from ledger.staking.delegation_kinds import WITHDRAW, Withdraw

    return _send(options, WITHDRAW, Withdraw(options.index), f"withdrawal from validator {options.index}")


def _commission(options: argparse.Namespace) -> int:
    from ledger.staking.validator_kinds import COMMISSION_SET, CommissionSet

    payload = CommissionSet(options.index, options.commission)
    return _send(
        options, COMMISSION_SET, payload, f"commission of validator {options.index} changes next epoch"
    )


def _rotate(options: argparse.Namespace) -> int:
    from ledger.onion import MAX_ONION_LAYERS, onion_layer, onion_secret
    from ledger.staking.validator_kinds import KEY_ROTATE, RotationCore, sign_rotation

    new, sender = _one_key(options.key), read_wallet(options.dir, options.sender)
    tip = onion_layer(onion_secret(new.seed, 0), MAX_ONION_LAYERS)
    with connected(options) as node:
        rules = chain_rules_of(node.call("node_info"))
        core = RotationCore(options.index, new.public_key, tip, MAX_ONION_LAYERS)
        result = submit(options, node, sender, KEY_ROTATE, sign_rotation(core, new, rules))
    print_result(options, result, outcome_text(f"key of validator {options.index} replaced", result))
    return ExitCode.OK


def _renew(options: argparse.Namespace) -> int:
    from ledger.onion import MAX_ONION_LAYERS, onion_layer, onion_secret
    from ledger.staking.validator_kinds import ONION_RENEW, OnionRenew

    key, sender = _one_key(options.key), read_wallet(options.dir, options.sender)
    with connected(options) as node:
        generation = int(node.call("validator_get", index=options.index)["onion_generation"]) + 1
        tip = onion_layer(onion_secret(key.seed, generation), MAX_ONION_LAYERS)
        payload = OnionRenew(options.index, tip, MAX_ONION_LAYERS)
        result = submit(options, node, sender, ONION_RENEW, payload)
    print_result(options, result, outcome_text(f"new randomness of validator {options.index}", result))
    return ExitCode.OK


def _exit(options: argparse.Namespace) -> int:
    from ledger.staking.validator_kinds import VALIDATOR_EXIT, ValidatorExit

    return _send(options, VALIDATOR_EXIT, ValidatorExit(options.index), f"validator {options.index} leaves")


def _unjail(options: argparse.Namespace) -> int:
    from ledger.staking.validator_kinds import UNJAIL, Unjail

    return _send(options, UNJAIL, Unjail(options.index), f"validator {options.index} out of jail")
