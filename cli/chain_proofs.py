"""`nexus chain checkpoint`, `proof` and `verify`: what is final, proved to somebody who has no node."""

from __future__ import annotations

import argparse
import time
from typing import Any

from cli.connection import Caller, connected, print_result
from cli.exits import CommandFailed, ExitCode
from cli.keyfiles import resolve_address
from cli.proof_files import (
    ProofFile,
    Proved,
    checkpoint_text,
    parse_checkpoint,
    proof_file_text,
    read_proof_file,
    verify,
)
from consensus.light_client import FINALITY_PROOF_CODEC, FinalityProof, LightClientRefused
from consensus.params import epoch_at, slot_at, slot_start_ms
from consensus.votes import Checkpoint
from ledger.addresses import encode_address
from ledger.amounts import format_nxt
from ledger.errors import GenesisInvalid
from node.config import ConfigError
from node.opening import read_genesis_file


def print_checkpoint(options: argparse.Namespace) -> int:
    """The newest stored checkpoint."""
    with connected(options) as node:
        proved = node.call("finality_status")["proved"]
    if proved is None:
        raise CommandFailed(
            ExitCode.NOT_FOUND, "the node has no finality proof yet; the first comes with epoch 1"
        )
    text = f"{proved['period']}:{proved['block']}"
    print_result(options, {"checkpoint": text, "slot": proved["slot"]}, text)
    return ExitCode.OK


def write_proof(options: argparse.Namespace) -> int:
    """Ask a node for all that proves an account's balance, and write it."""
    checkpoint = None if options.checkpoint is None else parse_checkpoint(options.checkpoint)
    with connected(options) as node:
        info = node.call("node_info")
        address = encode_address(
            info["address_prefix"], resolve_address(options.dir, options.account, info["address_prefix"])
        )
        if checkpoint is None:
            proofs, earlier = _fetch(node, from_epoch=0)
        else:
            proofs, earlier = _fetch(node, after_period=max(0, checkpoint.period - 1), earlier=True)
            if not proofs or proofs[0].justifying.target != checkpoint:
                raise CommandFailed(
                    ExitCode.NOT_FOUND,
                    f"the node has no finality proof of checkpoint {options.checkpoint}; "
                    "`nexus chain checkpoint` shows one",
                )
        account = node.call("ledger_getProof", address=address)
    last = FINALITY_PROOF_CODEC.decode(bytes.fromhex(account["finality"]))
    # One may be stored that is newer than what the account was proved under, and the last may be the same.
    before = [one for one in proofs if one.justifying.target.period < last.justifying.target.period]
    file = ProofFile(
        bytes.fromhex(info["genesis"]),
        checkpoint,
        earlier,
        (*before, last),
        address,
        None if account["value"] is None else bytes.fromhex(account["value"]),
        bytes.fromhex(account["proof"]),
    )
    content = proof_file_text(file)
    try:
        options.out.write_text(content, encoding="utf-8")
    except OSError as error:
        raise CommandFailed(ExitCode.STORE, f"cannot write {options.out}: {error.strerror}") from None
    result = {"file": str(options.out), "bytes": len(content), "proofs": len(file.proofs), "address": address}
    print_result(
        options,
        result,
        f"{options.out}: {len(content)} bytes, {len(file.proofs)} finality proofs, final up to period "
        f"{last.justifying.target.period}; check it with `nexus chain verify {options.out} --genesis genesis.json`",
    )
    return ExitCode.OK


def verify_proof_file(options: argparse.Namespace) -> int:
    """Check a proof file without a node."""
    checkpoint = None if options.checkpoint is None else parse_checkpoint(options.checkpoint)
    file = read_proof_file(options.file)
    try:
        proved = verify(file, read_genesis_file(options.genesis), checkpoint)
    except (ConfigError, GenesisInvalid) as error:
        raise CommandFailed(ExitCode.CONFIG, str(error)) from None
    except LightClientRefused as error:
        raise CommandFailed(ExitCode.REJECTED, str(error)) from None
    result = _facts(file, proved, checkpoint, time.time_ns() // 1_000_000)
    lines = [
        f"{result['address']} has {format_nxt(proved.account.balance)} NXT, nonce {proved.account.nonce}",
        f"final in period {result['period']}, block {result['block']}, slot {result['slot']}, "
        f"{result['age_seconds']} s ago",
        _signed_text(proved),
        f"trusted: {'the genesis document' if checkpoint is None else f'checkpoint {options.checkpoint}'}",
    ]
    if result["weak"]:
        lines.append(
            f"warning: the trust begins {result['trust_age_epochs']} epochs ago, and stake is free after "
            f"{proved.trusted.params.unbonding_epochs}: who bought old keys could have made this; give a newer "
            "--checkpoint"
        )
    print_result(options, result, "\n".join(lines))
    return ExitCode.OK


def _facts(file: ProofFile, proved: Proved, checkpoint: Checkpoint | None, now_ms: int) -> dict[str, Any]:
    trusted = proved.trusted
    age_epochs = max(0, epoch_at(trusted.params, slot_at(trusted.params, now_ms)) - proved.first_epoch)
    return {
        "address": file.address.lower(),
        "balance": str(proved.account.balance),
        "nonce": str(proved.account.nonce),
        "period": str(trusted.finalised.period),
        "block": trusted.finalised.block_id.hex(),
        "slot": str(trusted.slot),
        "age_seconds": max(0, now_ms - slot_start_ms(trusted.params, trusted.slot)) // 1000,
        "signed_units": str(trusted.signed_units),
        "total_units": str(trusted.total_units),
        "trust": "genesis" if checkpoint is None else checkpoint_text(checkpoint),
        "trust_age_epochs": age_epochs,
        "weak": age_epochs > trusted.params.unbonding_epochs,
    }


def _signed_text(proved: Proved) -> str:
    signed, whole = proved.trusted.signed_units, proved.trusted.total_units
    if not whole:
        return "finalised by the checkpoint's word alone"
    return (
        f"finalised by {format_nxt(signed)} of {format_nxt(whole)} NXT of effective stake "
        f"({1000 * signed // whole / 10} %)"
    )


def _fetch(node: Caller, **first: object) -> tuple[list[FinalityProof], tuple[bytes, ...]]:
    """All proofs from there on, and the snapshots before."""
    proofs: list[FinalityProof] = []
    page = node.call("finality_getProofs", **first)
    earlier = tuple(bytes.fromhex(one) for one in page["earlier"])
    while True:
        proofs += (FINALITY_PROOF_CODEC.decode(bytes.fromhex(one)) for one in page["proofs"])
        if page["next_epoch"] is None:
            return proofs, earlier
        page = node.call("finality_getProofs", from_epoch=int(page["next_epoch"]))
