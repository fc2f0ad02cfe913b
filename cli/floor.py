"""`nexus floor`: who is a citizen, what everybody is paid, and how it is claimed or spent."""

from __future__ import annotations

import argparse

from cli.connection import add_client_options, connected, print_result
from cli.exits import CommandFailed, ExitCode
from cli.figures import format_percent
from cli.keyfiles import read_wallet, resolve_address
from cli.persons import add_person_options, person_of
from cli.submission import amount_units, outcome_text, sending_command, submit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CATEGORIES = ("food", "water", "housing", "energy", "healthcare", "connectivity", "recycling")


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Add the group's commands."""
    commands = parser.add_subparsers(metavar="COMMAND")
    status = commands.add_parser("status", help="population, what F_FLOOR holds, owes and pays")
    status.set_defaults(call=_status)
    citizen = commands.add_parser("citizen", help="one citizen's allowances")
    citizen.add_argument("account", metavar="NAME|ADDRESS")
    citizen.set_defaults(call=_citizen)
    person = commands.add_parser("person", help="what registrars say of a person")
    person.set_defaults(call=_person)
    attest = sending_command(
        commands, "attest", "as a registrar: say that an address is one person's", _attest
    )
    attest.add_argument("--subject", required=True, metavar="NAME|ADDRESS", help="the person's address")
    register = sending_command(
        commands, "register", "become the citizen that a registrar has attested", _register
    )
    for command in (person, attest, register):
        add_person_options(command)
    claim = sending_command(commands, "claim", "be paid allowances as money", _claim)
    claim.add_argument("amount", nargs="?", default="all", metavar="AMOUNT", help="in NXT (default: all)")
    spend = sending_command(commands, "spend", "pay somebody out of an allowance", _spend)
    spend.add_argument("category", choices=CATEGORIES, metavar="CATEGORY", help=", ".join(CATEGORIES))
    spend.add_argument("amount", metavar="AMOUNT", help="in NXT")
    spend.add_argument("--to", dest="recipient", required=True, metavar="NAME|ADDRESS")
    for command in (status, citizen, person):
        add_client_options(command)


def _status(options: argparse.Namespace) -> int:
    from ledger.amounts import format_nxt

    with connected(options) as node:
        result = node.call("floor_getStatus")
    nxt = {
        name: format_nxt(int(result[name]))
        for name in ("balance", "owed", "held_back", "waiting_income", "paid")
    }
    last, crisis = result["last_accrual"], result["crisis"]
    lines = [
        f"citizens    {result['population']}, room for {result['registrations_left']} more in epoch {result['epoch']}",
        f"F_FLOOR     {nxt['balance']} NXT: owed {nxt['owed']}, held back {nxt['held_back']}, "
        f"waits for the next epoch {nxt['waiting_income']}",
        f"paid        {nxt['paid']} NXT since genesis",
        f"entitled    {format_nxt(int(result['entitlement_month']))} NXT a citizen and month, "
        f"{format_nxt(int(result['entitlement_day']))} a day",
        f"last epoch  {format_nxt(int(last['payment']))} of {format_nxt(int(last['entitlement']))} NXT a citizen, "
        f"{format_percent(last['release_ppm'])} of the income released",
        f"stability   {format_percent(result['stability_ppm'])} of a month is there",
        f"crisis      {'yes' if crisis['active'] else 'no'}: has {format_nxt(int(crisis['have']))}, "
        f"needs {format_nxt(int(crisis['need']))} NXT for its horizon",
        f"limit       F_FLOOR would pay {result['citizens_payable_a_month']} citizens one month, all NXT that exist "
        f"{result['citizens_payable_a_month_by_supply']}",
        f"registrars  {', '.join(result['registrars']) or 'none'}",
    ]
    print_result(options, result, "\n".join(lines))
    return ExitCode.OK


def _citizen(options: argparse.Namespace) -> int:
    from ledger.addresses import encode_address
    from ledger.amounts import format_nxt

    with connected(options) as node:
        prefix = node.call("node_info")["address_prefix"]
        address = encode_address(prefix, resolve_address(options.dir, options.account, prefix))
        result = node.call("floor_getCitizen", address=address)
    lines = [
        f"citizen since epoch {result['registered_epoch']}, person {result['person']}",
        f"left {format_nxt(int(result['left']))} NXT, claimable {format_nxt(int(result['claimable']))}; "
        f"claimed {format_nxt(int(result['claimed']))}, spent {format_nxt(int(result['spent']))}",
    ]
    lines += [f"  {name:<13} {format_nxt(int(units))}" for name, units in result["left_by_category"].items()]
    print_result(options, result, "\n".join(lines))
    return ExitCode.OK


def _person(options: argparse.Namespace) -> int:
    commitment, _ = person_of(options)
    with connected(options) as node:
        result = node.call("floor_getAttestation", person=commitment.hex())
    if result["citizen"] is not None:
        text = f"registered: the citizen at {result['citizen']}"
    else:
        lines = [
            f"registrar {one['registrar']} says {one['subject']}, epoch {one['epoch']}"
            for one in result["statements"]
        ]
        lines.append(
            f"{result['needed']} must agree; {'ready to register' if result['ready'] else 'not ready'}"
        )
        text = "\n".join(lines)
    print_result(options, result, text)
    return ExitCode.OK


def _attest(options: argparse.Namespace) -> int:
    from ledger.economy.floor.attestation import CITIZEN_ATTEST, CitizenAttest

    commitment, blinding = person_of(options, make=True)
    key = read_wallet(options.dir, options.sender)
    with connected(options) as node:
        subject = resolve_address(options.dir, options.subject, node.call("node_info")["address_prefix"])
        result = submit(options, node, key, CITIZEN_ATTEST, CitizenAttest(commitment, subject))
    result["commitment"] = commitment.hex()
    lines = [outcome_text(f"{options.subject} attested as person {commitment.hex()}", result)]
    if blinding is not None:
        result["blinding"] = blinding.hex()
        lines.append(
            f"blinding secret {blinding.hex()}: keep it with the person's file and give it to the person; other "
            "registrars need it to attest the same person, and with it anybody can test guesses who that is"
        )
    print_result(options, result, "\n".join(lines))
    return ExitCode.OK


def _register(options: argparse.Namespace) -> int:
    from ledger.economy.floor.registration import CITIZEN_REGISTER, CitizenRegister

    commitment, _ = person_of(options)
    return _send(options, CITIZEN_REGISTER, CitizenRegister(commitment), f"{options.sender} is a citizen")


def _send(options: argparse.Namespace, kind: Any, payload: Any, what: str) -> int:
    key = read_wallet(options.dir, options.sender)
    with connected(options) as node:
        result = submit(options, node, key, kind, payload)
    print_result(options, result, outcome_text(what, result))
    return ExitCode.OK


def _claim(options: argparse.Namespace) -> int:
    from ledger.amounts import format_nxt
    from ledger.economy.floor.spending import FLOOR_CLAIM, FloorClaim

    units = 0 if options.amount == "all" else amount_units(options.amount)
    if units == 0 and options.amount != "all":
        # On the chain 0 means everything.
        raise CommandFailed(ExitCode.USAGE, "0 NXT is nothing to claim; write `all` for everything")
    key = read_wallet(options.dir, options.sender)
    with connected(options) as node:
        result = submit(options, node, key, FLOOR_CLAIM, FloorClaim(units))
    real = (result.get("result") or {}).get("units")
    what = f"claim of {format_nxt(int(real))} NXT" if real else f"claim of {options.amount}"
    print_result(options, result, outcome_text(what, {**result, "result": {}}))
    return ExitCode.OK


def _spend(options: argparse.Namespace) -> int:
    from ledger.economy.floor.spending import FLOOR_SPEND, FloorSpend

    units = amount_units(options.amount)
    key = read_wallet(options.dir, options.sender)
    with connected(options) as node:
        recipient = resolve_address(options.dir, options.recipient, node.call("node_info")["address_prefix"])
        payload = FloorSpend(CATEGORIES.index(options.category), recipient, units)
        result = submit(options, node, key, FLOOR_SPEND, payload)
    what = (
        f"{options.amount} NXT of {options.category} from {options.sender}'s allowance to {options.recipient}"
    )
    print_result(options, result, outcome_text(what, {**result, "result": {}}))
    return ExitCode.OK
