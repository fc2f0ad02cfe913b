"""The finality proofs that a node keeps for light clients and newcomers: one per epoch, and each epoch's snapshot.

With them one follows the chain from genesis, or from any checkpoint that a proof is about. README, Light client.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from consensus.errors import RecordDamaged
from consensus.light_client import FINALITY_PROOF_CODEC, SNAPSHOTS_KEPT, FinalityProof
from consensus.params import Params, epoch_at
from consensus.stores import number_key
from consensus.votes import Checkpoint
from ledger.errors import CodecError
from ledger.storage.store import Reader, WriteBatch

PROOFS_PREFIX = b"cp"
"""Epoch (8 bytes, big-endian) -> `FinalityProof` of the first checkpoint with a block of that epoch."""

LEAST_EPOCHS_KEPT = 4_096
"""Proofs that are kept at the least: three months on main."""

MAX_EARLIER_BYTES = 768 * 1024
"""Of earlier snapshots that are handed out together."""


@dataclass(frozen=True, slots=True)
class ProofsPage:
    """Some of the stored proofs, ascending by epoch."""

    proofs: tuple[bytes, ...]
    """Canonical bytes of each."""
    next_epoch: int | None
    """Where to go on; None at the end."""


def read_finality_proof(reader: Reader, epoch: int) -> FinalityProof | None:
    """The proof of an epoch; None where there is none. Errors: `RecordDamaged`."""
    raw = reader.get(PROOFS_PREFIX + number_key(epoch))
    if raw is None:
        return None
    try:
        return FINALITY_PROOF_CODEC.decode(raw)
    except CodecError as error:
        raise RecordDamaged(FINALITY_PROOF_CODEC.what, number_key(epoch), str(error)) from None


def proof_epochs(reader: Reader, start: int = 0) -> Iterator[int]:
    """Epochs of which there is a proof, ascending from `start`."""
    for key, _ in reader.iterate(PROOFS_PREFIX, start=PROOFS_PREFIX + number_key(start)):
        yield _epoch_of(key)


def proof_epochs_down(reader: Reader, start: int) -> Iterator[int]:
    """The same, descending from `start`."""
    for key, _ in reader.iterate(PROOFS_PREFIX, start=PROOFS_PREFIX + number_key(start), reverse=True):
        yield _epoch_of(key)


def read_proofs(reader: Reader, from_epoch: int, *, limit: int, max_bytes: int) -> ProofsPage:
    """The proofs from an epoch on: at most `limit`, and no more than `max_bytes` but for the first one."""
    found: list[bytes] = []
    room = max_bytes
    for key, raw in reader.iterate(PROOFS_PREFIX, start=PROOFS_PREFIX + number_key(from_epoch)):
        if len(found) == limit or (found and len(raw) > room):
            return ProofsPage(tuple(found), _epoch_of(key))
        found.append(raw)
        room -= len(raw)
    return ProofsPage(tuple(found), None)


def proof_of_checkpoint(reader: Reader, params: Params, checkpoint: Checkpoint) -> FinalityProof | None:
    """The stored proof about this very checkpoint, whose block is never of a later epoch than its period's begin."""
    last = epoch_at(params, checkpoint.period * params.period_slots)
    for epoch in proof_epochs_down(reader, last):
        proof = read_finality_proof(reader, epoch)
        if proof is not None and proof.justifying.target.period <= checkpoint.period:
            return proof if proof.justifying.target == checkpoint else None
    return None


def epoch_after_period(reader: Reader, params: Params, period: int) -> int:
    """The first epoch whose proof can be about a checkpoint of a later period than `period`."""
    for epoch in proof_epochs_down(reader, epoch_at(params, period * params.period_slots)):
        proof = read_finality_proof(reader, epoch)
        if proof is not None and proof.justifying.target.period <= period:
            return epoch + 1
    return 0


def earlier_snapshots(
    reader: Reader, epoch: int, *, count: int = SNAPSHOTS_KEPT - 1, max_bytes: int = MAX_EARLIER_BYTES
) -> tuple[bytes, ...]:
    """The snapshots of the `count` proofs before `epoch`, ascending: what who begins at `epoch` must `learn`. The
    newest ones first, as long as they have `max_bytes` together."""
    found: list[bytes] = []
    for known in proof_epochs_down(reader, epoch):
        proof = read_finality_proof(reader, known) if known < epoch else None
        if proof is None:
            continue
        max_bytes -= len(proof.snapshot)
        if len(found) == count or max_bytes < 0:
            break
        found.append(proof.snapshot)
    return tuple(reversed(found))


def stage_proof(
    batch: WriteBatch, reader: Reader, params: Params, proof: FinalityProof, *, archive: bool
) -> int:
    """Put the proof of its epoch; without `archive` the oldest ones beyond the number that is kept go. Its epoch."""
    epoch = epoch_at(params, proof.header.slot)
    batch.put(PROOFS_PREFIX + number_key(epoch), FINALITY_PROOF_CODEC.encode(proof))
    if not archive:
        oldest = epoch - epochs_kept(params)
        for known in proof_epochs(reader):
            if known > oldest:
                break
            batch.delete(PROOFS_PREFIX + number_key(known))
    return epoch


def epochs_kept(params: Params) -> int:
    """Epochs whose proofs a node keeps that is no archive."""
    return max(params.unbonding_epochs, LEAST_EPOCHS_KEPT)


def _epoch_of(key: bytes) -> int:
    return int.from_bytes(key[len(PROOFS_PREFIX) :], "big")
