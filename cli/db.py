"""`nexus db`: a data directory, while no node runs on it. Only `repair` and `prune` write."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.connection import add_common_options, print_result
from cli.exits import CommandFailed, ExitCode

if TYPE_CHECKING:
    from ledger.storage.database import Database


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Add the group's commands."""
    commands = parser.add_subparsers(metavar="COMMAND")
    check = commands.add_parser(
        "check", help="is every file readable, every record whole, the state root right"
    )
    check.set_defaults(call=_check)
    audit = commands.add_parser("audit", help="count every balance again; exit 4 when a unit is missing")
    audit.set_defaults(call=_audit)
    repair = commands.add_parser(
        "repair", help="copy a refused store aside and cut it back to what is whole; or say how to sync anew"
    )
    repair.set_defaults(call=_repair)
    prune = commands.add_parser(
        "prune", help="remove the blocks that nothing needs any more; or say what would go"
    )
    prune.set_defaults(call=_prune)
    prune.add_argument("--dry-run", action="store_true", help="change nothing: say what would go")
    prune.add_argument(
        "--retention-slots",
        type=int,
        default=0,
        metavar="N",
        help="slots below the finalised checkpoint to keep, if more than the network's own number",
    )
    for command in (check, audit, repair, prune):
        command.add_argument("--node", type=int, metavar="N", help="the devnet's node number, from 1")
        add_common_options(command)


def _node_directory(options: argparse.Namespace) -> Path:
    """The data directory: `--dir` itself, or that of a devnet's node."""
    directory: Path = options.dir
    if options.node is None:
        if (directory / "devnet.json").exists():
            raise CommandFailed(
                ExitCode.USAGE, f"{directory} is a devnet: name one of its nodes with --node N"
            )
        return directory
    return directory / f"node{options.node}"


def _store_directory(options: argparse.Namespace) -> tuple[Path, Path]:
    """(data directory, its store). `--dir` may also name the store itself, as the store's own errors do."""
    from ledger.storage.log_check import holds_database
    from node.layout import database_directory

    directory = _node_directory(options)
    if holds_database(directory) and not database_directory(directory).exists():
        return directory.parent, directory
    return directory, database_directory(directory)


@contextmanager
def _opened(options: argparse.Namespace) -> Iterator["Database"]:
    """The database, opened without creating one. Errors: `CommandFailed` STORE with the store's own words."""
    from consensus.stores import SCHEMA_VERSION
    from ledger.storage.database import Database
    from ledger.storage.errors import StoreError

    try:
        database = Database(_store_directory(options)[1], schema_version=SCHEMA_VERSION, create=False)
        try:
            yield database
        finally:
            database.close()
    except StoreError as error:
        raise CommandFailed(ExitCode.STORE, str(error)) from None


def _check(options: argparse.Namespace) -> int:
    from consensus.finality_proofs import read_conflict
    from consensus.store_check import check_store

    with _opened(options) as database:
        keys = database.verify()
        checked = check_store(database)
        conflict = read_conflict(database)
    result: dict[str, Any] = {"keys": keys}
    if checked.commits is not None:
        result["commits"] = checked.commits
    if checked.blocks is not None:
        result["blocks"] = checked.blocks
    if checked.head is not None and checked.state_root is not None:
        result |= {
            "head": checked.head.id.hex(),
            "state_keys": checked.state_keys,
            "state_root": checked.state_root.hex(),
        }
    if conflict is not None:
        result["finality_conflict"] = " and ".join(
            f"period {proof.checkpoint.period} block {proof.checkpoint.block_id.hex()}"
            for proof in (conflict.ours, conflict.theirs)
        )
    result["faults"] = list(checked.faults)
    lines = [f"{name.replace('_', ' ')}: {value}" for name, value in result.items() if name != "faults"]
    lines += checked.faults or ["whole"]
    print_result(options, result, "\n".join(lines))
    if checked.faults:
        raise CommandFailed(
            ExitCode.STORE,
            f"{len(checked.faults)} faults; next run `nexus db repair --dir {_node_directory(options)}`",
        )
    return ExitCode.OK


def _repair(options: argparse.Namespace) -> int:
    from cli.db_repair import repair

    return repair(options, *_store_directory(options))


def _prune(options: argparse.Namespace) -> int:
    from cli.db_prune import prune

    return prune(options, *_store_directory(options))


def _audit(options: argparse.Namespace) -> int:
    from ledger.amounts import MAX_SUPPLY_UNITS, format_nxt
    from ledger.storage.audit import audit

    with _opened(options) as database:
        report = audit(database)
    economy = report.economy
    result = {
        "accounts": report.accounts,
        "total_units": str(report.total_units),
        "expected_units": str(MAX_SUPPLY_UNITS),
        "reserved_units": str(report.reserved_units),
        "circulating_units": str(report.circulating_units),
        "fee_credits_units": str(report.fee_credits_units),
        "staked_units": str(report.staked_units),
        "system_accounts": {name: str(units) for name, units in report.system_balances.items()},
        "issued_units": str(economy.issued_units),
        "burned_units": str(economy.burned_units),
        "message_burned_units": str(economy.message_burned_units),
        "tokens": economy.tokens,
        "pools": economy.pools,
        "positions": economy.positions,
        "pooled_units": str(economy.pooled_units),
        "citizens": economy.citizens,
        "floor_owed_units": str(economy.floor_owed_units),
        "proposals": economy.proposals,
        "open_proposals": economy.open_proposals,
        "deposits_units": str(economy.deposits_units),
        "faults": list(report.faults),
    }
    lines = [
        f"{report.accounts} accounts hold {format_nxt(report.total_units)} NXT, "
        f"{format_nxt(MAX_SUPPLY_UNITS)} exist",
        f"in reserves {format_nxt(report.reserved_units)}, circulating {format_nxt(report.circulating_units)}",
        f"fee credits {format_nxt(report.fee_credits_units)}, "
        f"stakes and their rewards {format_nxt(report.staked_units)}",
        f"out of reserves since genesis {format_nxt(economy.issued_units)}, "
        f"into them {format_nxt(economy.burned_units)}, by messages {format_nxt(economy.message_burned_units)}",
        f"{economy.tokens} tokens, {economy.pools} pools with {economy.positions} positions "
        f"and {format_nxt(economy.pooled_units)} NXT",
        f"{economy.citizens} citizens are owed {format_nxt(economy.floor_owed_units)}",
        f"{economy.proposals} proposals, {economy.open_proposals} open with deposits of "
        f"{format_nxt(economy.deposits_units)}",
    ]
    lines += list(report.faults) or ["exact to the unit"]
    print_result(options, result, "\n".join(lines))
    return ExitCode.REJECTED if report.faults else ExitCode.OK
