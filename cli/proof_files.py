"""Proof files: everything that proves one account's balance to somebody who has the genesis document and no node.

A JSON object of version, genesis hash, the checkpoint that the file begins with (null: genesis), `earlier` (snapshots
that the checkpoint's state names), `proofs` (finality proofs, ascending; the last one is of the state that the account
is proved under) and `account` (address, value, state proof). Bytes are lower-case hex of their canonical encoding.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from cli.exits import CommandFailed, ExitCode
from consensus.blocks import genesis_block
from consensus.light_client import (
    FINALITY_PROOF_CODEC,
    FinalityProof,
    LightClientRefused,
    Trusted,
    follow_all,
    learn,
    trust_checkpoint,
    trust_genesis,
    verify_account,
)
from consensus.params import params_from_genesis
from consensus.votes import Checkpoint
from ledger.accounts import Account
from ledger.addresses import decode_address
from ledger.errors import LedgerError
from ledger.genesis import Genesis, chain_rules, genesis_hash, genesis_state
from ledger.state_commitment import StateTree

VERSION = 1
MAX_FILE_BYTES = 2 * 1024 * 1024 * 1024
_FIELDS = {"version", "genesis", "checkpoint", "earlier", "proofs", "account"}
_ACCOUNT_FIELDS = {"address", "value", "proof"}


@dataclass(frozen=True, slots=True)
class ProofFile:
    """What such a file says; nothing of it is checked but its form."""

    genesis_hash: bytes
    checkpoint: Checkpoint | None
    earlier: tuple[bytes, ...]
    proofs: tuple[FinalityProof, ...]
    address: str
    value: bytes | None
    proof: bytes


@dataclass(frozen=True, slots=True)
class Proved:
    """What a file proves."""

    trusted: Trusted
    account: Account
    first_epoch: int
    """Of the validators that the trust begins with."""


def parse_checkpoint(text: str) -> Checkpoint:
    """The checkpoint in `PERIOD:ID`. Errors: `CommandFailed` USAGE."""
    period, _, block = text.partition(":")
    if not (period.isascii() and period.isdigit() and len(period) <= 18 and len(block) == 64):
        raise _no_checkpoint(text)
    try:
        return Checkpoint(int(period), bytes.fromhex(block))
    except ValueError:
        raise _no_checkpoint(text) from None


def checkpoint_text(checkpoint: Checkpoint) -> str:
    """`PERIOD:ID`."""
    return f"{checkpoint.period}:{checkpoint.block_id.hex()}"


def proof_file_text(file: ProofFile) -> str:
    """The file's content."""
    document = {
        "version": VERSION,
        "genesis": file.genesis_hash.hex(),
        "checkpoint": None if file.checkpoint is None else checkpoint_text(file.checkpoint),
        "earlier": [raw.hex() for raw in file.earlier],
        "proofs": [FINALITY_PROOF_CODEC.encode(proof).hex() for proof in file.proofs],
        "account": {
            "address": file.address,
            "value": None if file.value is None else file.value.hex(),
            "proof": file.proof.hex(),
        },
    }
    return json.dumps(document, indent=1) + "\n"


def read_proof_file(path: Path) -> ProofFile:
    """The file at `path`. Errors: `CommandFailed`: CONFIG when it cannot be read, REJECTED for another form."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise CommandFailed(ExitCode.CONFIG, f"cannot read {path}: {error.strerror}") from None
    if len(raw) > MAX_FILE_BYTES:
        raise CommandFailed(ExitCode.REJECTED, f"{path} has more than {MAX_FILE_BYTES} bytes")
    try:
        return _parse(raw)
    except (ValueError, KeyError, TypeError, RecursionError, LedgerError) as error:
        raise CommandFailed(ExitCode.REJECTED, f"{path} is no proof file: {error}") from None


def verify(file: ProofFile, genesis: Genesis, checkpoint: Checkpoint | None) -> Proved:
    """What the file proves to somebody who trusts `genesis` and, when it is given, `checkpoint`.

    Errors: `LightClientRefused`; `GenesisInvalid`; `CommandFailed` REJECTED for a file of another chain.
    """
    if file.genesis_hash != genesis_hash(genesis):
        raise CommandFailed(
            ExitCode.REJECTED,
            f"the file is of the chain with genesis {file.genesis_hash.hex()}, the document's is "
            f"{genesis_hash(genesis).hex()}",
        )
    if not file.proofs:
        raise LightClientRefused("the file holds no finality proof")
    root = StateTree.build(genesis_state(genesis).items()).root
    params = params_from_genesis(genesis)
    trusted = trust_genesis(genesis, params, genesis_block(genesis, root).header_id)
    proofs = file.proofs
    if checkpoint is not None:
        trusted, proofs = _begin(trusted, checkpoint, file)
    elif file.checkpoint is not None:
        raise LightClientRefused(
            f"the file begins with checkpoint {checkpoint_text(file.checkpoint)}; if you trust it, say so with "
            "--checkpoint"
        )
    first_epoch = trusted.anchors[-1].epoch
    trusted = follow_all(trusted, proofs)
    try:
        address = decode_address(chain_rules(genesis).address_prefix, file.address)
    except LedgerError as error:
        raise LightClientRefused(str(error)) from None
    return Proved(trusted, verify_account(trusted, address, file.value, file.proof), first_epoch)


def _begin(
    trusted: Trusted, checkpoint: Checkpoint, file: ProofFile
) -> tuple[Trusted, tuple[FinalityProof, ...]]:
    """Trust in the checkpoint and the snapshots that its state names, and the proofs after it."""
    targets = [proof.justifying.target for proof in file.proofs]
    if checkpoint not in targets:
        raise LightClientRefused(f"the file says nothing about checkpoint {checkpoint_text(checkpoint)}")
    at = targets.index(checkpoint)
    trusted = trust_checkpoint(trusted, checkpoint, file.proofs[at])
    if file.checkpoint == checkpoint:
        for raw in file.earlier:
            trusted = learn(trusted, raw)
    for proof in file.proofs[max(0, at - 8) : at]:
        trusted = learn(trusted, proof.snapshot)
    return trusted, file.proofs[at + 1 :]


def _parse(raw: bytes) -> ProofFile:
    document = json.loads(raw.decode("utf-8"))
    if set(document) != _FIELDS or set(document["account"]) != _ACCOUNT_FIELDS:
        raise ValueError(f"expected the members {', '.join(sorted(_FIELDS))}")
    if document["version"] != VERSION:
        raise ValueError(f"version {document['version']!r}, this program knows {VERSION}")
    account, checkpoint = document["account"], document["checkpoint"]
    return ProofFile(
        bytes.fromhex(document["genesis"]),
        None if checkpoint is None else parse_checkpoint(checkpoint),
        tuple(bytes.fromhex(one) for one in document["earlier"]),
        tuple(FINALITY_PROOF_CODEC.decode(bytes.fromhex(one)) for one in document["proofs"]),
        str(account["address"]),
        None if account["value"] is None else bytes.fromhex(account["value"]),
        bytes.fromhex(account["proof"]),
    )


def _no_checkpoint(text: str) -> CommandFailed:
    return CommandFailed(
        ExitCode.USAGE, f"{text[:100]!r} is no checkpoint: expected PERIOD:ID, the id in 64 hex digits"
    )
