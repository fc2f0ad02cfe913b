"""`nexus db`: a data directory, while no node runs on it. Reads only."""

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
    for command in (check, audit):
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


@contextmanager
def _opened(options: argparse.Namespace) -> Iterator["Database"]:
    """The database, opened without creating one. Errors: `CommandFailed` STORE with the store's own words."""
    from consensus.stores import SCHEMA_VERSION
    from ledger.storage.database import Database
    from ledger.storage.errors import StoreError
    from node.layout import database_directory

    try:
        database = Database(
            database_directory(_node_directory(options)), schema_version=SCHEMA_VERSION, create=False
        )
        try:
            yield database
        finally:
            database.close()
    except StoreError as error:
        raise CommandFailed(ExitCode.STORE, str(error)) from None


def _check(options: argparse.Namespace) -> int:
    from consensus.commit_chain import read_commit_chain
    from consensus.errors import ConsensusFault
    from consensus.stores import blocks_by_slot, read_block, read_ghostdag, read_head
    from ledger.state_commitment import StateTree
    from ledger.storage.state_store import LedgerStore

    with _opened(options) as database:
        faults: list[str] = []
        result: dict[str, Any] = {"keys": database.verify()}
        try:
            result["commits"] = read_commit_chain(database).sequence
            head = read_head(database)
            blocks = 0
            for entry in blocks_by_slot(database):
                blocks += 1
                if read_block(database, entry.block_id) is None:
                    faults.append(f"block {entry.block_id.hex()} of slot {entry.slot} has no header or body")
                if read_ghostdag(database, entry.block_id) is None:
                    faults.append(f"block {entry.block_id.hex()} of slot {entry.slot} has no colouring")
            result["blocks"] = blocks
            if head is None:
                faults.append("there is no chain head")
            else:
                tree = StateTree.build(LedgerStore(database).state())
                result |= {"head": head.id.hex(), "state_keys": len(tree), "state_root": tree.root.hex()}
                if tree.root != head.state_root:
                    faults.append(
                        f"the state's root is {tree.root.hex()}, the head says {head.state_root.hex()}"
                    )
        except ConsensusFault as error:
            faults.append(str(error))
    result["faults"] = faults
    lines = [f"{name.replace('_', ' ')}: {value}" for name, value in result.items() if name != "faults"]
    lines += faults or ["whole"]
    print_result(options, result, "\n".join(lines))
    if faults:
        raise CommandFailed(
            ExitCode.STORE,
            f"{len(faults)} faults; move the db folder of {_node_directory(options)} aside, keep the rest: "
            "the node then syncs the chain again from its peers",
        )
    return ExitCode.OK


def _audit(options: argparse.Namespace) -> int:
    from ledger.amounts import MAX_SUPPLY_UNITS, format_nxt
    from ledger.storage.audit import audit

    with _opened(options) as database:
        report = audit(database)
    result = {
        "accounts": report.accounts,
        "total_units": str(report.total_units),
        "expected_units": str(MAX_SUPPLY_UNITS),
        "reserved_units": str(report.reserved_units),
        "circulating_units": str(report.circulating_units),
        "fee_credits_units": str(report.fee_credits_units),
        "system_accounts": {name: str(units) for name, units in report.system_balances.items()},
        "faults": list(report.faults),
    }
    lines = [
        f"{report.accounts} accounts hold {format_nxt(report.total_units)} NXT, "
        f"{format_nxt(MAX_SUPPLY_UNITS)} exist",
        f"in reserves {format_nxt(report.reserved_units)}, circulating {format_nxt(report.circulating_units)}",
        f"fee credits {format_nxt(report.fee_credits_units)}",
    ]
    lines += list(report.faults) or ["exact to the unit"]
    print_result(options, result, "\n".join(lines))
    return ExitCode.REJECTED if report.faults else ExitCode.OK
