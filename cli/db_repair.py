"""`nexus db repair`: what to do when the store of a node refuses to open, after a power cut for example.

The store is copied aside first. Then its logs are cut at the first damaged byte, and what is left is checked as `db
check` does and, where the genesis document is at hand, as the node does when it starts. Either the node can go on from
an earlier block and fetches the rest, or the command says how to sync anew. Keys, identity and the signing record are
left alone: a signing record that forgets could sign twice.
"""

import argparse
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.connection import print_result
from cli.exits import CommandFailed, ExitCode

if TYPE_CHECKING:
    from consensus.store_check import StoreCheck
    from ledger.storage.errors import StoreError
    from ledger.storage.repair import Cut


def repair(options: argparse.Namespace, node_directory: Path, store: Path) -> int:
    """Repair the store. Exit 0 when it is whole or was made so, 74 when it must be synced anew."""
    from ledger.storage.database import MIN_FREE_BYTES
    from ledger.storage.errors import SchemaMismatch, StoreError, StoreLocked, WrongGenesis
    from ledger.storage.repair import RepairImpossible, copy_aside, cut_back
    from node.layout import signer_directory

    if store.resolve() == signer_directory(node_directory).resolve():
        raise CommandFailed(
            ExitCode.USAGE,
            f"{store} is a signing record, which must not forget what it signed: restore one that is not older than "
            "the last signature, or stop signing with these keys",
        )
    checked: StoreCheck | None = None
    try:
        copy = copy_aside(store, spare_bytes=MIN_FREE_BYTES)
        try:
            checked = _checked(node_directory, store)
            fault = next(iter(checked.faults), "")
        except StoreLocked:
            raise
        except (SchemaMismatch, WrongGenesis) as error:
            shutil.rmtree(copy)
            raise CommandFailed(ExitCode.STORE, str(error)) from None
        except StoreError as error:
            fault = _reason(error)
        if not fault:
            shutil.rmtree(copy)
            _tell(options, store, None, (), checked, "")
            return ExitCode.OK
        reason = fault
        cuts = cut_back(store)
    except RepairImpossible as error:
        raise CommandFailed(ExitCode.STORE, f"{error}; {_how_to_resync(node_directory, store)}") from None
    except StoreError as error:
        raise CommandFailed(ExitCode.STORE, str(error)) from None
    try:
        checked = _checked(node_directory, store)
        fault = next(iter(checked.faults), "")
    except StoreError as error:
        fault = _reason(error)
    _tell(options, store, copy, cuts, None if fault else checked, reason)
    if fault:
        raise CommandFailed(
            ExitCode.STORE, f"{store} is still not whole: {fault}; {_how_to_resync(node_directory, store)}"
        )
    return ExitCode.OK


def _checked(node_directory: Path, store: Path) -> "StoreCheck":
    """Open strictly, read everything, and open the chain as a node would. Errors: the store's, `GenesisInvalid`."""
    from consensus.engine import Engine
    from consensus.evidence import chain_kinds
    from consensus.params import params_from_genesis
    from consensus.store_check import check_store
    from consensus.stores import SCHEMA_VERSION
    from ledger.genesis_text import genesis_from_json
    from ledger.storage.database import Database

    database = Database(store, schema_version=SCHEMA_VERSION, create=False)
    try:
        database.verify()
        checked = check_store(database)
        # A devnet's nodes share the document of the folder above.
        for genesis in (node_directory / "genesis.json", node_directory.parent / "genesis.json"):
            if not checked.faults and genesis.exists():
                document = genesis_from_json(genesis.read_text(encoding="utf-8"))
                Engine.open(database, document, chain_kinds(params_from_genesis(document)))
                break
        return checked
    finally:
        database.close()


def _reason(error: "StoreError") -> str:
    return str(getattr(error, "reason", error))


def _tell(
    options: argparse.Namespace,
    store: Path,
    copy: Path | None,
    cuts: "tuple[Cut, ...]",
    checked: "StoreCheck | None",
    reason: str,
) -> None:
    """`copy`: None when nothing had to be done. `checked`: None when the store is still not whole."""
    result: dict[str, Any] = {"repaired": copy is not None and checked is not None, "reason": reason}
    lines: list[str] = []
    if copy is not None:
        result |= {"copy": str(copy), "cuts": [asdict(cut) for cut in cuts]}
        lines += [f"the store was refused: {reason}", f"copied as it was to {copy}"]
        lines += [
            f"{cut.name}: {cut.reason}; {cut.kept_bytes} bytes kept, {cut.dropped_bytes} dropped"
            for cut in cuts
        ] or ["no log is damaged, nothing was cut"]
    if checked is not None and checked.head is not None:
        head = checked.head
        result |= {
            "commits": checked.commits,
            "blocks": checked.blocks,
            "head": head.id.hex(),
            "head_slot": head.slot,
        }
        lines.append(
            f"{store} is whole up to block {head.id.hex()} of slot {head.slot}, commit {checked.commits}, "
            f"{checked.blocks} blocks"
        )
        lines.append(
            "nothing was changed"
            if copy is None
            else "the node fetches what came later from its peers; when it has caught up, the copy can be deleted"
        )
    print_result(options, result, "\n".join(lines))


def _how_to_resync(node_directory: Path, store: Path) -> str:
    """Keys and the signing record stay: the node must not forget what it has signed."""
    return (
        f"sync the chain again, keys and signing record are kept: `mv {store} {store}.unusable`, then "
        f"`nexus run --dir {node_directory}`"
    )
