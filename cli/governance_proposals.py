"""`nexus governance propose …` and `campaign`: what is put to the vote.

The chain keeps the digest of a proposal's text: BLAKE2b with 32 bytes of output (`b2sum -l 256 FILE`). Where the text
lies is for people to agree on; without a text the title is digested.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cli.connection import Caller, connected, print_result
from cli.exits import CommandFailed, ExitCode
from cli.figures import percent_ppm
from cli.keyfiles import resolve_address
from cli.submission import amount_units, outcome_text, sending_command, signing_key, submit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ledger.governed.parameters import Parameter

FUND = "fund"
"""How a budget's source is typed when it is ECOSYSTEM_FUND."""


def add_proposing_commands(commands: Any) -> None:
    """Add `propose` and `campaign` to the group. `commands` is argparse's."""
    propose = commands.add_parser("propose", help="put something to the vote, with a deposit")
    actions = propose.add_subparsers(metavar="ACTION", required=True)
    text = _proposing(actions, "text", "policy: what the text says is decided", _text)
    constitution = _proposing(
        actions, "constitution", "constitutional: the text, by five bands of six", _constitution
    )
    add = _proposing(actions, "registrar-add", "policy: one more who may attest persons", _registrar_add)
    remove = _proposing(actions, "registrar-remove", "policy: one less", _registrar_remove)
    for command in (add, remove):
        command.add_argument("registrar", metavar="NAME|ADDRESS")
    sector = _proposing(actions, "sector-token", "budget: the token that stands for a sector", _sector_token)
    sector.add_argument("sector", metavar="SECTOR", help="such as WATER")
    sector.add_argument("token", metavar="SYMBOL|ID")
    budget = _proposing(actions, "budget", "budget: pay out of ECOSYSTEM_FUND or a sector", _budget)
    budget.add_argument("recipient", metavar="NAME|ADDRESS")
    budget.add_argument("amount", metavar="AMOUNT", help="in NXT")
    budget.add_argument(
        "--source", default=FUND, metavar="SECTOR", help="a sector such as WATER (default: ECOSYSTEM_FUND)"
    )
    parameter = _proposing(actions, "parameter", "a parameter's new value, within its bounds", _parameter)
    parameter.add_argument("name", metavar="NAME", help="see `nexus governance parameters`")
    parameter.add_argument("value", metavar="VALUE", help="in its unit; also 2.5%% for ppm, 300NXT for units")
    parameter.add_argument("--pool", metavar="ADDRESS", help="for which pool, where it is set by pool")
    pause = _proposing(actions, "pause", "emergency: refuse one kind of transaction for an epoch", _pause)
    pause.add_argument("kind", metavar="KIND", help="such as swap")
    campaign = _proposing(
        commands, "campaign", "promote an innovation of --validator; burns NXT at once", _campaign
    )
    campaign.add_argument("title", metavar="TITLE")
    campaign.add_argument("--burn", default="100", metavar="NXT", help="at least 100 (default)")
    for command in (text, constitution, add, remove, sector, budget, parameter, pause):
        command.add_argument(
            "--max-deposit",
            metavar="NXT",
            help="the greatest deposit to agree to; signed (default: twice what is needed now)",
        )
    for command in (text, constitution):
        command.add_argument("title", metavar="TITLE")
    for command in (add, remove, sector, budget, parameter, pause):
        command.add_argument("--title", metavar="TITLE", help="default: what it does, in words")


def _proposing(commands: Any, name: str, text: str, call: Any) -> argparse.ArgumentParser:
    command = sending_command(commands, name, text, call, key_file=True)
    source = command.add_mutually_exclusive_group()
    source.add_argument("--text", metavar="TEXT", help="the text whose digest stands on the chain")
    source.add_argument("--file", type=Path, metavar="FILE", help="the file that holds it")
    return command


def _digest(options: argparse.Namespace, title: str) -> bytes:
    from hashlib import blake2b

    try:
        content = (options.text or title).encode() if options.file is None else options.file.read_bytes()
    except OSError as error:
        raise CommandFailed(ExitCode.NOT_FOUND, f"cannot read {options.file}: {error.strerror}") from None
    return blake2b(content, digest_size=32).digest()


def _propose(options: argparse.Namespace, node: Caller, class_: int, title: str, action: Any) -> int:
    from ledger.governance.proposals import PROPOSAL_CREATE, ProposalCreate

    title = options.title or title
    digest = _digest(options, title)
    needed = deposit_needed(node.call("governance_getParameters"), class_)
    limit = deposit_limit(options.max_deposit, needed)
    payload = ProposalCreate(class_, title, digest, action, limit)
    result = submit(options, node, signing_key(options, node), PROPOSAL_CREATE, payload)
    result |= {"text_hash": digest.hex(), "max_deposit": str(limit)}
    print_result(options, result, outcome_text(f"{_paid_text(result, needed, limit)}: {title}", result))
    return ExitCode.OK


def deposit_needed(answer: Any, class_: int) -> int:
    """Units that a proposal of `class_` deposits now; `answer` is that of governance_getParameters."""
    from ledger.governance.classes import EMERGENCY

    if class_ != EMERGENCY:
        return int(answer["next_deposit"])
    return next(int(one["value"]) for one in answer["parameters"] if one["name"] == "proposal_deposit")


def deposit_limit(given: str | None, needed_units: int) -> int:
    """Units to sign as the greatest deposit: what was typed in NXT, else twice what is needed now.

    Errors: `CommandFailed` USAGE when less was typed than is needed now.
    """
    from ledger.amounts import MAX_SUPPLY_UNITS, format_nxt

    if given is None:
        return min(MAX_SUPPLY_UNITS, 2 * needed_units)
    limit = amount_units(given)
    if limit < needed_units:
        raise CommandFailed(
            ExitCode.USAGE,
            f"--max-deposit {given} NXT is less than the {format_nxt(needed_units)} NXT that a proposal needs now; it "
            "doubles for every eight that are open, so raise it or wait until some close",
        )
    return limit


def _paid_text(result: Any, needed_units: int, limit_units: int) -> str:
    """What the deposit is, or will be while nothing is known of the transaction yet."""
    from ledger.amounts import format_nxt

    told = result.get("result") or {}
    if "deposit_units" in told:
        return f"proposed with a deposit of {format_nxt(int(told['deposit_units']))} NXT"
    now, most = format_nxt(needed_units), format_nxt(limit_units)
    return f"proposed with a deposit of {now} NXT as it stands now, at most {most} NXT"


def _text(options: argparse.Namespace) -> int:
    from ledger.governance.actions import TextOnly
    from ledger.governance.classes import POLICY

    with connected(options) as node:
        return _propose(options, node, POLICY, options.title, TextOnly())


def _constitution(options: argparse.Namespace) -> int:
    from ledger.governance.actions import TextOnly
    from ledger.governance.classes import CONSTITUTIONAL

    with connected(options) as node:
        return _propose(options, node, CONSTITUTIONAL, options.title, TextOnly())


def _registrar_add(options: argparse.Namespace) -> int:
    from ledger.governance.actions import RegistrarAdd
    from ledger.governance.classes import POLICY

    with connected(options) as node:
        address = resolve_address(options.dir, options.registrar, node.call("node_info")["address_prefix"])
        return _propose(
            options, node, POLICY, f"registrar {options.registrar} is added", RegistrarAdd(address)
        )


def _registrar_remove(options: argparse.Namespace) -> int:
    from ledger.governance.actions import RegistrarRemove
    from ledger.governance.classes import POLICY

    with connected(options) as node:
        address = resolve_address(options.dir, options.registrar, node.call("node_info")["address_prefix"])
        title = f"registrar {options.registrar} is removed"
        return _propose(options, node, POLICY, title, RegistrarRemove(address))


def _sector(text: str) -> int:
    from ledger.accounts import SECTORS

    if text.upper() not in SECTORS:
        raise CommandFailed(ExitCode.USAGE, f"no sector {text!r}; there are: {', '.join(SECTORS)}")
    return SECTORS.index(text.upper())


def _sector_token(options: argparse.Namespace) -> int:
    from cli.assets import resolve_asset, token_only
    from ledger.governance.actions import SectorToken
    from ledger.governance.classes import BUDGET

    sector = _sector(options.sector)
    with connected(options) as node:
        asset = token_only(resolve_asset(node, options.token), "it stands for no sector")
        title = f"{asset.symbol} stands for {options.sector.upper()}"
        return _propose(options, node, BUDGET, title, SectorToken(sector, asset.id))


def _budget(options: argparse.Namespace) -> int:
    from ledger.governance.actions import Payment
    from ledger.governance.classes import BUDGET

    source = 0 if options.source == FUND else _sector(options.source) + 1
    units = amount_units(options.amount)
    with connected(options) as node:
        recipient = resolve_address(options.dir, options.recipient, node.call("node_info")["address_prefix"])
        title = f"{options.amount} NXT for {options.recipient}"
        return _propose(options, node, BUDGET, title, Payment(source, recipient, units))


def _parameter(options: argparse.Namespace) -> int:
    from ledger.addresses import decode_address
    from ledger.errors import AddressMalformed
    from ledger.governance.actions import ParameterChange
    from ledger.governance.classes import CONSTITUTIONAL, PARAMETER
    from ledger.governed.parameters import PARAMETER_NAMED

    parameter = PARAMETER_NAMED.get(options.name)
    if parameter is None:
        from difflib import get_close_matches

        near = get_close_matches(options.name, PARAMETER_NAMED, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise CommandFailed(
            ExitCode.USAGE,
            f"no parameter {options.name!r}; {hint}`nexus governance parameters` shows all of them",
        )
    value = parameter_value(parameter, options.value)
    class_ = CONSTITUTIONAL if parameter.constitutional else PARAMETER
    with connected(options) as node:
        subject = b""
        if options.pool is not None:
            try:
                subject = decode_address(node.call("node_info")["address_prefix"], options.pool)
            except AddressMalformed as error:
                raise CommandFailed(ExitCode.USAGE, str(error)) from None
        title = f"{parameter.name} becomes {options.value}"
        return _propose(options, node, class_, title, ParameterChange(parameter.number, subject, value))


def parameter_value(parameter: Parameter, text: str) -> int:
    """A parameter's value in its unit; `2.5%` of ppm and `300NXT` of units too. Errors: `CommandFailed` USAGE."""
    if text.endswith("%") and parameter.unit.startswith("ppm"):
        try:
            return percent_ppm(text.removesuffix("%").strip())
        except argparse.ArgumentTypeError as error:
            raise CommandFailed(ExitCode.USAGE, str(error)) from None
    if text.upper().endswith("NXT") and parameter.unit.startswith("units"):
        return amount_units(text[:-3].strip())
    if not (text.isascii() and text.isdigit() and len(text) <= 19):
        raise CommandFailed(
            ExitCode.USAGE, f"value {text!r} of {parameter.name}: expected a whole number of {parameter.unit}"
        )
    return int(text)


def _pause(options: argparse.Namespace) -> int:
    from ledger.governance.actions import KindPause
    from ledger.governance.classes import EMERGENCY
    from ledger.kinds import ledger_kinds

    pausable = {kind.name: kind.number for kind in ledger_kinds().kinds() if kind.may_pause}
    if options.kind not in pausable:
        raise CommandFailed(
            ExitCode.USAGE, f"{options.kind!r} cannot be paused; these can: {', '.join(sorted(pausable))}"
        )
    with connected(options) as node:
        title = f"{options.kind} is paused for an epoch"
        return _propose(options, node, EMERGENCY, title, KindPause(pausable[options.kind]))


def _campaign(options: argparse.Namespace) -> int:
    from ledger.governance.proposals import CAMPAIGN_CREATE, CampaignCreate

    if options.validator is None:
        raise CommandFailed(ExitCode.USAGE, "say for which validator with --validator INDEX")
    burn = amount_units(options.burn)
    digest = _digest(options, options.title)
    with connected(options) as node:
        payload = CampaignCreate(options.validator, options.title, digest, burn)
        result = submit(options, node, signing_key(options, node), CAMPAIGN_CREATE, payload)
    result["text_hash"] = digest.hex()
    what = f"campaign of validator {options.validator}, {options.burn} NXT burned: {options.title}"
    print_result(options, result, outcome_text(what, result))
    return ExitCode.OK
