"""The light client: what one can know of the chain from certificates and state proofs alone, without a node.

It trusts a genesis document, or a weak-subjectivity checkpoint that somebody trusted names, and then follows *finality
proofs*: two certificates that finalise a checkpoint, the checkpoint's header, and the validator snapshot of that
block's state. The state also names the snapshots of 64 epochs before by their digests; certificates are checked with
one of those. So the newest finalised checkpoint is reached, under whose state root accounts are proved. Everything
here is a function of its arguments. README, Light client.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Annotated, Final

import msgspec

from consensus.blocks import HeaderCore, core_id, encode_core
from consensus.certificates import Certificate, signed_stake, verify_certificate
from consensus.params import Params, checkpoint_end_slot, epoch_at
from consensus.schedule import (
    GENESIS_EPOCHS,
    Anchor,
    EpochSchedule,
    Schedule,
    anchor_of,
    schedule_from_genesis,
)
from consensus.vote_errors import CertificateInvalid
from consensus.votes import Checkpoint
from ledger.accounts import EMPTY_ACCOUNT, Account, decode_account
from ledger.encoding import Codec, Record
from ledger.errors import LedgerError
from ledger.genesis import Genesis
from ledger.staking.snapshot import (
    HISTORY_CODEC,
    HISTORY_KEY,
    SNAPSHOT_CODEC,
    EpochSnapshot,
    SnapshotDigest,
    snapshot_digest,
)
from ledger.state import account_key
from ledger.state_commitment import MAX_PROOF_BYTES, StateProof, verify_proof

SNAPSHOTS_KEPT = 8
"""Snapshots in memory, the newest ones. A certificate of epoch e rests on what was final shortly before e: on the
snapshot of the last finalised epoch, of which at most six are final between it and the next proof (README)."""

MAX_FINALITY_PROOF_BYTES = 3 * 1024 * 1024


class FinalityProof(Record, frozen=True):
    """Why a checkpoint is final, and which validators its state names."""

    justifying: Certificate
    """Its target is the checkpoint."""
    finalising: Certificate
    """Its source is the checkpoint, its target is of the next period."""
    header: HeaderCore
    """Of the checkpoint's block: what its id is taken of."""
    snapshot: Annotated[bytes, msgspec.Meta(max_length=1024 * 1024)]
    """Canonical bytes of the `EpochSnapshot` in the block's state; empty in epoch 0, where genesis says it."""
    history: Annotated[bytes, msgspec.Meta(max_length=4 * 1024)]
    """Value of `HISTORY_KEY` in that state, whose last entry names the snapshot; empty in epoch 0."""
    history_proof: Annotated[bytes, msgspec.Meta(max_length=MAX_PROOF_BYTES)]
    """`StateProof` bytes of `HISTORY_KEY` under the header's state root."""


FINALITY_PROOF_CODEC: Final = Codec(FinalityProof, "finality proof", MAX_FINALITY_PROOF_BYTES)


class LightClientRefused(Exception):
    """What was offered does not follow from what is trusted."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the proof is refused: {reason}")
        self.reason = reason


class SnapshotUnknown(LightClientRefused):
    """A certificate rests on a snapshot that is not known yet."""

    def __init__(self, epoch: int, known: Iterable[int]) -> None:
        listed = ", ".join(map(str, known)) or "none"
        super().__init__(
            f"its validators are of epoch {epoch}; known are those of: {listed}; ask for the proofs or the snapshot "
            "in between"
        )
        self.epoch = epoch


@dataclass(frozen=True, slots=True)
class Trusted:
    """What a light client knows. Immutable: `follow` gives the next one."""

    params: Params
    genesis_anchor: Anchor
    finalised: Checkpoint
    state_root: bytes
    """Of the finalised block; zeros before the first proof."""
    slot: int
    """Of the finalised block."""
    history: tuple[SnapshotDigest, ...]
    """Snapshots that the finalised state names, ascending by epoch."""
    anchors: tuple[Anchor, ...]
    """The snapshots that certificates are verified with, ascending by epoch."""
    signed_units: int = 0
    """Effective stake whose votes finalised it; 0 where somebody's word did."""
    total_units: int = 0
    """Of all validators of that epoch."""


def trust_genesis(genesis: Genesis, params: Params, genesis_id: bytes) -> Trusted:
    """Trust the genesis document alone. Errors: `GenesisInvalid`."""
    anchor = schedule_from_genesis(genesis, params).genesis_anchor
    return Trusted(params, anchor, Checkpoint(0, genesis_id), bytes(32), 0, (), (anchor,))


def trust_checkpoint(trusted: Trusted, checkpoint: Checkpoint, proof: FinalityProof) -> Trusted:
    """Trust a checkpoint that somebody vouches for: the header and the validators of `proof` must be its own; its
    certificates are not looked at. `trusted`: `trust_genesis`. Errors: `LightClientRefused`."""
    return _arrive(trusted, checkpoint, proof)


def learn(trusted: Trusted, raw: bytes) -> Trusted:
    """Take in the canonical bytes of a snapshot that the finalised state names. Errors: `LightClientRefused`."""
    snapshot = _decode_snapshot(raw)
    if SnapshotDigest(snapshot.epoch, snapshot_digest(raw)) not in trusted.history:
        raise LightClientRefused(
            f"the snapshot of epoch {snapshot.epoch} is none that the finalised state names"
        )
    return _with_anchor(trusted, anchor_of(snapshot))


def follow(trusted: Trusted, proof: FinalityProof) -> Trusted:
    """What is known after `proof`, whose checkpoint is later than the one trusted so far.

    Errors: `SnapshotUnknown`; `LightClientRefused`, its family.
    """
    checkpoint = proof.justifying.target
    known, source = trusted.finalised, proof.justifying.source
    if checkpoint.period <= known.period:
        raise LightClientRefused(
            f"it finalises period {checkpoint.period}, period {known.period} is known already"
        )
    if proof.finalising.source != checkpoint or proof.finalising.target.period != checkpoint.period + 1:
        raise LightClientRefused(
            f"its second certificate leads from period {proof.finalising.source.period} to "
            f"{proof.finalising.target.period}, expected from {checkpoint.period} to the next"
        )
    # Who voted for the known checkpoint and the next one never votes from before it again, or is slashed.
    if source.period < known.period or (source.period == known.period and source != known):
        raise LightClientRefused(
            f"its first certificate begins at period {source.period}, beside the final one of {known.period}"
        )
    signed = whole = 0
    for certificate in (proof.justifying, proof.finalising):
        schedule = _schedule(trusted, certificate)
        try:
            verify_certificate(certificate, schedule, trusted.params.genesis_hash)
        except CertificateInvalid as error:
            raise LightClientRefused(str(error)) from None
        signed = signed_stake(schedule, {vote.validator for vote in certificate.votes})
        whole = schedule.validators.total_effective_stake_units
    return replace(_arrive(trusted, checkpoint, proof), signed_units=signed, total_units=whole)


def follow_all(trusted: Trusted, proofs: Iterable[FinalityProof]) -> Trusted:
    """What is known after all of `proofs`, which ascend; the last one must hold.

    One in between is passed over when its validators are not known, as they are not right after a checkpoint: the next
    one may rest on validators that are. Errors: `LightClientRefused`.
    """
    passed_over: SnapshotUnknown | None = None
    for proof in proofs:
        try:
            trusted, passed_over = follow(trusted, proof), None
        except SnapshotUnknown as error:
            passed_over = error
    if passed_over is not None:
        raise passed_over
    return trusted


def verify_account(trusted: Trusted, address: bytes, value: bytes | None, proof: bytes) -> Account:
    """The account at a 20-byte address as of the finalised block. `value`: its 16 bytes of state, None for none.

    Errors: `LightClientRefused`.
    """
    verify_value(trusted.state_root, account_key(address), value, proof)
    if value is None:
        return EMPTY_ACCOUNT
    try:
        return decode_account(value)
    except LedgerError as error:
        raise LightClientRefused(str(error)) from None


def verify_value(state_root: bytes, key: bytes, value: bytes | None, proof: bytes) -> None:
    """A state key has this value (None: is absent) under a state root. Errors: `LightClientRefused`."""
    try:
        verify_proof(state_root, key, value, StateProof.from_bytes(proof))
    except LedgerError as error:
        raise LightClientRefused(str(error)) from None


def _arrive(trusted: Trusted, checkpoint: Checkpoint, proof: FinalityProof) -> Trusted:
    """Take over the checkpoint and the validators that its state names."""
    header, params = proof.header, trusted.params
    block_id = core_id(encode_core(header))
    if block_id != checkpoint.block_id:
        raise LightClientRefused(
            f"the header is of block {block_id.hex()}, the checkpoint is {checkpoint.block_id.hex()}"
        )
    end = checkpoint_end_slot(params, checkpoint.period)
    if not trusted.slot <= header.slot < end:
        raise LightClientRefused(
            f"the block is of slot {header.slot}, expected {trusted.slot} to {end - 1} for period {checkpoint.period}"
        )
    arrived = replace(
        trusted,
        finalised=checkpoint,
        state_root=header.state_root,
        slot=header.slot,
        history=(),
        signed_units=0,
        total_units=0,
    )
    epoch = epoch_at(params, header.slot)
    if epoch == 0:
        if proof.history or proof.snapshot:
            raise LightClientRefused("genesis names the validators of epoch 0, the proof needs none")
        verify_value(header.state_root, HISTORY_KEY, None, proof.history_proof)
        return _with_anchor(arrived, trusted.genesis_anchor)
    verify_value(header.state_root, HISTORY_KEY, proof.history, proof.history_proof)
    try:
        history = HISTORY_CODEC.decode(proof.history)
    except LedgerError as error:
        raise LightClientRefused(str(error)) from None
    if not history or history[-1].epoch != epoch:
        raise LightClientRefused(f"the state names no validators of its own epoch {epoch}")
    if history[-1].digest != snapshot_digest(proof.snapshot):
        raise LightClientRefused(f"the snapshot is not the one of epoch {epoch} that the state names")
    return learn(replace(arrived, history=history), proof.snapshot)


def _with_anchor(trusted: Trusted, anchor: Anchor) -> Trusted:
    anchors = {one.epoch: one for one in trusted.anchors}
    anchors[anchor.epoch] = anchor
    return replace(trusted, anchors=tuple(anchors[epoch] for epoch in sorted(anchors))[-SNAPSHOTS_KEPT:])


def _decode_snapshot(raw: bytes) -> EpochSnapshot:
    try:
        return SNAPSHOT_CODEC.decode(raw)
    except LedgerError as error:
        raise LightClientRefused(str(error)) from None


def _schedule(trusted: Trusted, certificate: Certificate) -> EpochSchedule:
    """The validators and bands that the certificate must be verified with. Errors: `LightClientRefused`."""
    params = trusted.params
    epoch = epoch_at(params, certificate.target.period * params.period_slots)
    schedules = Schedule(params, trusted.genesis_anchor)
    if epoch < GENESIS_EPOCHS:
        if certificate.snapshot_epoch:
            raise LightClientRefused(
                f"its validators are of epoch {certificate.snapshot_epoch}, genesis names those of epoch {epoch}"
            )
        return schedules.of_epoch(epoch)
    for anchor in trusted.anchors:
        if anchor.epoch == certificate.snapshot_epoch < epoch:
            # Old keys may have been sold: their votes prove nothing once the stake behind them could be withdrawn.
            if epoch - anchor.epoch > params.unbonding_epochs:
                raise LightClientRefused(
                    f"its validators are of epoch {anchor.epoch}, {epoch - anchor.epoch} epochs before, and stake is "
                    f"free after {params.unbonding_epochs}; begin with a newer checkpoint"
                )
            return schedules.of_epoch(epoch, anchor)
    raise SnapshotUnknown(certificate.snapshot_epoch, (anchor.epoch for anchor in trusted.anchors))
