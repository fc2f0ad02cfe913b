"""`nexus governance`: proposals, votes, parameters, and what an address may say."""

from __future__ import annotations

import argparse

from cli.connection import Caller, add_client_options, connected, print_result
from cli.exits import CommandFailed, ExitCode
from cli.figures import format_percent
from cli.governance_proposals import add_proposing_commands
from cli.keyfiles import resolve_address
from cli.submission import outcome_text, sending_command, signing_key, submit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

PAGE = 100
CHOICES = ("no", "yes", "abstain")


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Add the group's commands."""
    commands = parser.add_subparsers(metavar="COMMAND")
    listing = commands.add_parser("list", help="proposals, the newest first")
    listing.add_argument(
        "--open", action="store_true", help="only those voted on or waiting for their effect"
    )
    listing.add_argument("--limit", type=int, default=20, metavar="N", help="at most so many (default 20)")
    listing.set_defaults(call=_list)
    show = commands.add_parser("show", help="one proposal and how it stands")
    show.add_argument("proposal", type=int, metavar="ID")
    show.add_argument("--votes", type=int, default=0, metavar="N", help="also its first N ballots")
    show.set_defaults(call=_show)
    parameters = commands.add_parser(
        "parameters", help="what votes may change, and the bounds that none can leave"
    )
    parameters.add_argument("name", nargs="?", metavar="NAME", help="only this one, or all that begin so")
    parameters.add_argument("--pool", metavar="ADDRESS", help="parameters of pools: of this one")
    parameters.set_defaults(call=_parameters)
    weight = commands.add_parser("weight", help="what an address may say, and whom it lets speak")
    weight.add_argument("account", metavar="NAME|ADDRESS")
    weight.add_argument("--proposal", type=int, metavar="ID", help="on this one (default: on one made now)")
    weight.set_defaults(call=_weight)
    add_proposing_commands(commands)
    vote = sending_command(
        commands, "vote", "vote with the stake that counts, locked until then", _vote, key_file=True
    )
    vote.add_argument("proposal", type=int, metavar="ID")
    vote.add_argument("choice", choices=CHOICES, metavar="yes|no|abstain")
    vote.add_argument(
        "--also-for",
        action="append",
        default=[],
        metavar="NAME|ADDRESS",
        help="its ballot too, handed over to you",
    )
    vote.add_argument("--not-own", action="store_true", help="cast only the ballots of --also-for")
    delegate = sending_command(
        commands, "delegate", "hand votes over, for proposals made later", _delegate, key_file=True
    )
    delegate.add_argument("to", metavar="NAME|ADDRESS|nobody", help="`nobody` takes them back")
    for command in (listing, show, parameters, weight):
        add_client_options(command)


# ---- reading


def _list(options: argparse.Namespace) -> int:
    found: list[Any] = []
    with connected(options) as node:
        after = None
        while len(found) < options.limit:
            asked: dict[str, object] = {"limit": min(PAGE, options.limit - len(found)), "open": options.open}
            if after is not None:
                asked["after"] = int(after)
            result = node.call("governance_list", **asked)
            found += result["proposals"]
            after = result["next_after"]
            if after is None:
                break
    lines = [
        f"{one['id']:>5}  {one['status']:<10} {one['class']:<14} yes {format_percent(one['approval_ppm'])} of "
        f"{format_percent(one['threshold_ppm'])}, turnout {format_percent(one['turnout_ppm'])}, closes in epoch "
        f"{one['closes_epoch']}  {one['title']}"
        for one in found
    ]
    print_result(options, found, "\n".join(lines) or "no proposals")
    return ExitCode.OK


def _show(options: argparse.Namespace) -> int:
    from ledger.amounts import format_nxt

    with connected(options) as node:
        one = node.call("governance_get", id=options.proposal, limit=min(PAGE, options.votes))
    action = ", ".join(f"{name} {value}" for name, value in one["action"].items() if value is not None)
    lines = [
        f"{one['class']} proposal {one['id']}: {one['title']}",
        f"status    {one['status']}{' ' + one['reason'] if one['reason'] else ''}",
        f"action    {action}",
        f"text      {one['text_hash']}",
        f"proposer  {one['proposer']}",
        f"paid      deposit {format_nxt(int(one['deposit']))} NXT, burned {format_nxt(int(one['burned']))}",
        f"epochs    created {one['created_epoch']}, closes {one['closes_epoch']}, takes effect "
        f"{one['effect_epoch'] or 'not yet decided'}; stake and delegations from before {one['before_epoch']} count",
        f"votes     yes {format_nxt(int(one['yes']))}, no {format_nxt(int(one['no']))}, abstain "
        f"{format_nxt(int(one['abstain']))} of {format_nxt(int(one['total_stake']))} NXT, {one['ballots']} ballots",
        f"approval  {format_percent(one['approval_ppm'])}, needed {format_percent(one['threshold_ppm'])}",
        f"turnout   {format_percent(one['turnout_ppm'])}, needed {format_percent(one['quorum_ppm'])}",
    ]
    if one["bands_populated"]:
        lines.append(f"bands     {one['bands_approving']} of {one['bands_populated']} approve")
    lines += [
        f"  {vote['address']} {vote['choice']} {format_nxt(int(vote['weight']))}, cast by {vote['cast_by']}"
        for vote in one["votes"]
    ]
    print_result(options, one, "\n".join(lines))
    return ExitCode.OK


def _parameters(options: argparse.Namespace) -> int:
    with connected(options) as node:
        asked = {} if options.pool is None else {"subject": options.pool}
        found = [
            one
            for one in node.call("governance_getParameters", **asked)["parameters"]
            if options.name is None or one["name"].startswith(options.name)
        ]
    if not found:
        raise CommandFailed(
            ExitCode.NOT_FOUND, f"no parameter begins with {options.name!r}; without NAME all are shown"
        )
    lines = [
        f"{one['name']:<22} {one['value']:>18}  {one['least']} to {one['greatest']} {one['unit']}"
        f"{', constitutional' if one['class'] == 'constitutional' else ''}: {one['meaning']}"
        for one in found
    ]
    print_result(options, found, "\n".join(lines))
    return ExitCode.OK


def _voter(node: Caller, address: str, proposal: int | None) -> Any:
    asked: dict[str, object] = {"address": address}
    if proposal is not None:
        asked["proposal"] = proposal
    return node.call("governance_getVoter", **asked)


def _weight(options: argparse.Namespace) -> int:
    from ledger.addresses import encode_address
    from ledger.amounts import format_nxt

    with connected(options) as node:
        prefix = node.call("node_info")["address_prefix"]
        address = encode_address(prefix, resolve_address(options.dir, options.account, prefix))
        one = _voter(node, address, options.proposal)
    lines = [
        f"weight {format_nxt(int(one['weight']))} NXT, from stake held since before epoch {one['before_epoch']}"
    ]
    lines += [f"  validator {part['validator']}: {format_nxt(int(part['units']))}" for part in one["weights"]]
    if int(one["community"]):
        lines.append(f"  as provider of the sector's liquidity: {format_nxt(int(one['community']))}")
    if one["locked"]:
        lines.append(f"its stake is locked until epoch {one['locked_until_epoch']}")
    if one["delegate"]:
        lines.append(
            f"its votes are handed over to {one['delegate']} since epoch {one['delegate_since_epoch']}"
        )
    lines += [
        f"may speak for {other['address']}, since epoch {other['since_epoch']}"
        f"{'' if other['counts'] else ' (too late for this)'}"
        for other in one["delegators"]
    ]
    if one["vote"]:
        lines.append(f"has voted {one['vote']['choice']}, cast by {one['vote']['cast_by']}")
    print_result(options, one, "\n".join(lines))
    return ExitCode.OK


# ---- sending


def _vote(options: argparse.Namespace) -> int:
    from ledger.addresses import address_of
    from ledger.amounts import format_nxt
    from ledger.governance.voting import VOTE, Vote

    if options.not_own and not options.also_for:
        raise CommandFailed(ExitCode.USAGE, "--not-own without --also-for casts no ballot")
    with connected(options) as node:
        key = signing_key(options, node)
        prefix = str(node.call("node_info")["address_prefix"])
        voters = {resolve_address(options.dir, account, prefix) for account in options.also_for}
        if not options.not_own:
            voters.add(address_of(key.public_key))
        ballots = tuple(_ballots(node, prefix, sorted(voters), options.proposal))
        payload = Vote(options.proposal, CHOICES.index(options.choice), ballots)
        result = submit(options, node, key, VOTE, payload)
    weight = (result.get("result") or {}).get("weight")
    what = f"voted {options.choice} on proposal {options.proposal}"
    what += f" with {format_nxt(int(weight))} NXT" if weight else ""
    print_result(options, result, outcome_text(what, {**result, "result": {}}))
    return ExitCode.OK


def _ballots(node: Caller, prefix: str, voters: list[bytes], proposal: int) -> Iterator[Any]:
    """A ballot for each address that has weight, with the validators in which its greatest stakes are.

    Errors: `CommandFailed` REJECTED when one has none.
    """
    from ledger.addresses import encode_address
    from ledger.governance.voting import Ballot

    for address in voters:
        text = encode_address(prefix, address)
        one = _voter(node, text, proposal)
        if not int(one["weight"]):
            raise CommandFailed(
                ExitCode.REJECTED,
                f"{text} has no stake from before epoch {one['before_epoch']}, which alone counts for proposal "
                f"{proposal}; see `nexus governance weight`",
            )
        greatest = sorted(one["weights"], key=lambda part: -int(part["units"]))[
            : one["max_ballot_validators"]
        ]
        yield Ballot(address, tuple(sorted(part["validator"] for part in greatest)))


def _delegate(options: argparse.Namespace) -> int:
    from ledger.governance.voting import VOTE_DELEGATE, VoteDelegate

    with connected(options) as node:
        key = signing_key(options, node)
        delegate = b""
        if options.to != "nobody":
            delegate = resolve_address(options.dir, options.to, node.call("node_info")["address_prefix"])
        result = submit(options, node, key, VOTE_DELEGATE, VoteDelegate(delegate))
    what = f"votes handed over to {options.to}" if delegate else "votes taken back"
    print_result(options, result, outcome_text(what, result))
    return ExitCode.OK
