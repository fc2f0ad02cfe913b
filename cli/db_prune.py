"""`nexus db prune`: remove what nothing needs any more from the store of a stopped node, or say what would go."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.connection import print_result
from cli.exits import CommandFailed, ExitCode

if TYPE_CHECKING:
    from consensus.engine import Engine
    from ledger.storage.database import Database

NOT_SERVED = {
    "chain_getBlock": "blocks below that slot: error Pruned by index, BlockNotFound by id",
    "chain_getDag": "with last_slot below it: error Pruned",
    "tx_get": "transactions accepted up to it: error TransactionNotFound",
    "tx_status": "the same transactions: unknown",
    "/nexus/sync/1": "peers that know nothing above it: refused, they start from a checkpoint",
}
"""What a node stops answering: method or protocol -> for what."""


def prune(options: argparse.Namespace, node_directory: Path, store: Path) -> int:
    """Prune, or with `--dry-run` count. Errors: `CommandFailed`."""
    from consensus.errors import ConsensusFault
    from consensus.stores import SCHEMA_VERSION
    from ledger.errors import LedgerError
    from ledger.storage.database import Database
    from ledger.storage.errors import StoreError

    try:
        database = Database(store, schema_version=SCHEMA_VERSION, create=False)
        try:
            result = _pruned(options, _opened_engine(database, node_directory), database)
        finally:
            database.close()
    except (StoreError, ConsensusFault) as error:
        raise CommandFailed(ExitCode.STORE, str(error)) from None
    except LedgerError as error:
        raise CommandFailed(ExitCode.CONFIG, str(error)) from None
    print_result(options, result, "\n".join(_lines(result, dry=options.dry_run)))
    return ExitCode.OK


def _opened_engine(database: "Database", node_directory: Path) -> "Engine":
    """Errors: the store's, `GenesisInvalid`, `CommandFailed` CONFIG without a genesis document."""
    from consensus.engine import Engine
    from consensus.evidence import chain_kinds
    from consensus.params import params_from_genesis
    from ledger.genesis_text import genesis_from_json

    # A devnet's nodes share the document of the folder above.
    for path in (node_directory / "genesis.json", node_directory.parent / "genesis.json"):
        if path.exists():
            genesis = genesis_from_json(path.read_text(encoding="utf-8"))
            return Engine.open(database, genesis, chain_kinds(params_from_genesis(genesis)))
    raise CommandFailed(
        ExitCode.CONFIG, f"there is no genesis.json in {node_directory}; copy the network's document there"
    )


def _pruned(options: argparse.Namespace, engine: "Engine", database: "Database") -> dict[str, Any]:
    forecast = engine.pruning_forecast(options.retention_slots)
    result: dict[str, Any] = {
        "base_slot": str(forecast.base.slot),
        "blocks": forecast.blocks,
        "records": forecast.records,
        "bytes": forecast.record_bytes,
        "store_bytes": database.size_bytes(),
        "not_served": NOT_SERVED,
    }
    if not options.dry_run:
        while engine.prune(options.retention_slots) is not None:
            pass
        database.compact()
        result["store_bytes_after"] = database.size_bytes()
    return result


def _lines(result: dict[str, Any], *, dry: bool) -> list[str]:
    verb = "would go" if dry else "are gone"
    lines = [
        f"{result['blocks']} blocks {verb}: {result['records']} records, {result['bytes']} bytes; "
        f"blocks from slot {result['base_slot']} on stay",
        f"the store has {result['store_bytes']} bytes"
        + ("" if dry else f", and {result['store_bytes_after']} now"),
    ]
    if result["base_slot"] != "0":
        lines.append(
            "below that slot the node no longer answers:" if not dry else "it would no longer answer:"
        )
        lines += [f"  {name}: {what}" for name, what in NOT_SERVED.items()]
    return lines
