"""Making finality proofs: from the certificates of the own chain and the state at its finalised checkpoints.

One proof an epoch, made when the first checkpoint of the epoch is final; where that one lacks a certificate, which
happens when votes came by another chain, a later checkpoint of the epoch serves as well. README, Light client.
"""

from collections.abc import Iterator

from consensus.blocks import core_of
from consensus.certificates import CERTIFICATE_CODEC
from consensus.errors import RecordDamaged
from consensus.finalised_state import FinalisedState, build_finalised_state, lowest_index_with_undo
from consensus.light_client import FinalityProof
from consensus.params import Params, epoch_at
from consensus.proof_store import PROOFS_PREFIX, proof_epochs_down, read_finality_proof
from consensus.stores import (
    CERTIFICATES_PREFIX,
    index_on_chain,
    number_key,
    read_certificate,
    read_finalised,
    read_header,
)
from consensus.votes import Checkpoint
from ledger.encoding import MAX_INTEGER
from ledger.errors import CodecError
from ledger.staking.snapshot import HISTORY_CODEC, HISTORY_KEY, SNAPSHOT_KEY, snapshot_digest
from ledger.storage.errors import StoreCorrupted
from ledger.storage.store import Reader


def begin_state(reader: Reader, params: Params) -> FinalisedState:
    """The state at the node's finalised checkpoint, or lower where an epoch's proof is missing and undo records still
    lead down to one of its checkpoints. Errors: `StoreCorrupted`, `UndoRecordsGone`."""
    finalised = _finalised(reader)
    newest = next(proof_epochs_down(reader, MAX_INTEGER), None)
    proof = None if newest is None else read_finality_proof(reader, newest)
    known = Checkpoint(0, bytes(32)) if proof is None else proof.justifying.target
    top = index_on_chain(reader, finalised.block_id)
    if top is not None:
        floor = index_on_chain(reader, known.block_id) or 0
        lowest = lowest_index_with_undo(reader, top, floor)
        for checkpoint in finalised_after(reader, known.period):
            index = index_on_chain(reader, checkpoint.block_id)
            if index is not None and index >= lowest and wants_proof(reader, params, checkpoint):
                return build_finalised_state(reader, checkpoint)
    return build_finalised_state(reader, finalised)


def catch_up(state: FinalisedState, reader: Reader, params: Params) -> tuple[FinalityProof, ...]:
    """Move `state` to the node's finalised checkpoint; the proofs of the epochs on the way that have none.

    Errors: `UndoRecordsGone`, after which the state stands between; `ProofTooLarge`; `StoreCorrupted`.
    """
    made: dict[int, FinalityProof] = {}
    for checkpoint in finalised_after(reader, state.checkpoint.period - 1):
        header = read_header(reader, checkpoint.block_id)
        if header is None or epoch_at(params, header.slot) in made:
            continue
        if wants_proof(reader, params, checkpoint):
            state.advance(reader, checkpoint)
            proof = make_finality_proof(reader, state)
            if proof is not None:
                made[epoch_at(params, header.slot)] = proof
    finalised = _finalised(reader)
    if state.checkpoint != finalised:
        state.advance(reader, finalised)
    return tuple(made.values())


def make_finality_proof(reader: Reader, state: FinalisedState) -> FinalityProof | None:
    """The proof that the checkpoint of `state` is final; None while a certificate is missing.

    Errors: `UndoRecordsGone`, `ProofTooLarge`, `StoreCorrupted`.
    """
    checkpoint = state.checkpoint
    justifying = read_certificate(reader, checkpoint.period)
    finalising = read_certificate(reader, checkpoint.period + 1)
    if justifying is None or finalising is None or not has_certificates(reader, checkpoint):
        return None
    history, snapshot = state.prove(reader, (HISTORY_KEY, SNAPSHOT_KEY))
    if history.value is None:
        return FinalityProof(
            justifying, finalising, core_of(state.header), b"", b"", history.proof.to_bytes()
        )
    newest = HISTORY_CODEC.decode(history.value)[-1]
    if snapshot.value is None or snapshot_digest(snapshot.value) != newest.digest:
        raise StoreCorrupted(
            "the node's database", f"the snapshot of epoch {newest.epoch} is not the stated one"
        )
    return FinalityProof(
        justifying, finalising, core_of(state.header), snapshot.value, history.value, history.proof.to_bytes()
    )


def wants_proof(reader: Reader, params: Params, checkpoint: Checkpoint) -> bool:
    """Whether the epoch of a checkpoint's block has no proof yet. Epoch 0 needs none: genesis names its validators."""
    header = read_header(reader, checkpoint.block_id)
    if header is None:
        return False
    epoch = epoch_at(params, header.slot)
    return epoch > 0 and reader.get(PROOFS_PREFIX + number_key(epoch)) is None


def finalised_after(reader: Reader, period: int) -> Iterator[Checkpoint]:
    """Finalised checkpoints of the own chain above `period` for which both certificates are there, ascending."""
    finalised = read_finalised(reader)
    if finalised is None:
        return
    start = CERTIFICATES_PREFIX + number_key(period + 1)
    for key, raw in reader.iterate(CERTIFICATES_PREFIX, start=start):
        number = int.from_bytes(key[len(CERTIFICATES_PREFIX) :], "big")
        if number > finalised.period:
            return
        try:
            target = CERTIFICATE_CODEC.decode(raw).target
        except CodecError as error:
            raise RecordDamaged(CERTIFICATE_CODEC.what, key, str(error)) from None
        if has_certificates(reader, target):
            yield target


def has_certificates(reader: Reader, checkpoint: Checkpoint) -> bool:
    """Whether the two certificates that finalise `checkpoint` are there."""
    justifying = read_certificate(reader, checkpoint.period)
    finalising = read_certificate(reader, checkpoint.period + 1)
    return (
        justifying is not None
        and finalising is not None
        and justifying.target == checkpoint
        and finalising.source == checkpoint
    )


def _finalised(reader: Reader) -> Checkpoint:
    finalised = read_finalised(reader)
    if finalised is None:
        raise StoreCorrupted("the node's database", "there is no finalised checkpoint")
    return finalised
