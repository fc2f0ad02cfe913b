"""Certificates: the votes that justify a checkpoint, and the rule by which they do.

A certificate needs more than 2/3 of the effective stake *and* lit bands: five of six, or every populated band when
fewer are. A band is lit when more than 1/3 of its own effective stake signed. The interference digest binds the votes
of all bands, each under its own hash function. Source: consensus.md, Finality and Spectrum; README, Certificates.
"""

from collections.abc import Collection
from hashlib import sha3_512
from typing import Annotated, Final

import msgspec

from consensus.schedule import EpochSchedule
from consensus.vote_errors import CertificateInvalid, VoteSignatureInvalid
from consensus.votes import Checkpoint, Vote, verify_vote_signature
from ledger.encoding import Codec, Count, Record, Signature64
from ledger.hashing import tagged
from ledger.staking_rules import MAX_ACTIVE_VALIDATORS
from wnsp.spectrum import BAND_COUNT, BANDS

_INTERFERENCE_TAG = tagged("nexus/interference/v1")
INTERFERENCE_BYTES = 64


class CertificateVote(Record, frozen=True):
    """One vote of a certificate; source and target are the certificate's."""

    validator: Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
    band: Annotated[int, msgspec.Meta(ge=0, lt=BAND_COUNT)]
    signature: Signature64


class Certificate(Record, frozen=True):
    """Why a checkpoint is justified."""

    source: Checkpoint
    target: Checkpoint
    epoch: Count
    """The epoch of the target period's first slot: its bands count."""
    snapshot_epoch: Count
    """The epoch of the `EpochSnapshot` that the validators are from."""
    votes: Annotated[
        tuple[CertificateVote, ...], msgspec.Meta(min_length=1, max_length=MAX_ACTIVE_VALIDATORS)
    ]
    """Ascending by validator, one each."""
    interference: Annotated[bytes, msgspec.Meta(min_length=INTERFERENCE_BYTES, max_length=INTERFERENCE_BYTES)]


CERTIFICATE_CODEC: Final = Codec(Certificate, "certificate", 256 * 1024)
_VOTES_CODEC: Final[Codec[tuple[CertificateVote, ...]]] = Codec(
    tuple[CertificateVote, ...], "certificate votes", 256 * 1024
)


def lit_bands(schedule: EpochSchedule, validators: Collection[int]) -> tuple[int, ...]:
    """The bands of which more than 1/3 of the effective stake is in `validators` (indices), ascending."""
    lit = []
    for band in schedule.populated:
        signed = whole = 0
        before = 0
        for index, running in zip(schedule.bands[band], schedule.cumulative_stakes[band], strict=True):
            stake, before = running - before, running
            whole += stake
            if index in validators:
                signed += stake
        if 3 * signed > whole:
            lit.append(band)
    return tuple(lit)


def signed_stake(schedule: EpochSchedule, validators: Collection[int]) -> int:
    """Effective stake, in units, of those of `validators` (indices) that are in the set."""
    return sum(
        validator.effective_stake_units
        for validator in schedule.validators.validators
        if validator.index in validators
    )


def is_quorum(schedule: EpochSchedule, validators: Collection[int]) -> bool:
    """Whether `validators` (indices) together justify: > 2/3 of the effective stake, and enough bands lit."""
    whole = schedule.validators.total_effective_stake_units
    if 3 * signed_stake(schedule, validators) <= 2 * whole:
        return False
    return len(lit_bands(schedule, validators)) >= schedule.bands_required


def interference_digest(votes: Collection[CertificateVote]) -> bytes:
    """SHA3-512 over the six bands' own digests of their votes, in order of wavelength: 64 bytes.

    `votes` ascend by validator. A band without votes has the digest of the empty list.
    """
    hasher = sha3_512(_INTERFERENCE_TAG)
    for band in sorted(range(BAND_COUNT), key=lambda number: BANDS[number].centre_pm):
        hasher.update(BANDS[band].digest(_VOTES_CODEC.encode(tuple(v for v in votes if v.band == band))))
    return hasher.digest()


def make_certificate(
    source: Checkpoint,
    target: Checkpoint,
    schedule: EpochSchedule,
    snapshot_epoch: int,
    votes: Collection[Vote],
) -> Certificate:
    """The certificate of `votes`, which are valid votes for this link by distinct validators."""
    entries = tuple(
        CertificateVote(vote.validator, vote.band, vote.signature)
        for vote in sorted(votes, key=lambda vote: vote.validator)
    )
    return Certificate(source, target, schedule.epoch, snapshot_epoch, entries, interference_digest(entries))


def verify_certificate(certificate: Certificate, schedule: EpochSchedule, chain: bytes) -> None:
    """The certificate justifies its target by the validators and bands of `schedule`, on the chain of genesis hash
    `chain`. Needs nothing else: light clients call it too.

    Errors: `CertificateInvalid`.
    """
    period = certificate.target.period
    if certificate.epoch != schedule.epoch:
        raise CertificateInvalid(period, f"it is of epoch {certificate.epoch}, expected {schedule.epoch}")
    if certificate.source.period >= period:
        raise CertificateInvalid(period, f"its source is of period {certificate.source.period}, not earlier")
    last = -1
    for entry in certificate.votes:
        if entry.validator <= last:
            raise CertificateInvalid(period, f"validator {entry.validator} stands after validator {last}")
        last = entry.validator
        validator = schedule.validators.find(entry.validator)
        if validator is None or schedule.band_of(entry.validator) != entry.band:
            raise CertificateInvalid(
                period, f"validator {entry.validator} is not of band {entry.band} in epoch {schedule.epoch}"
            )
        vote = Vote(entry.validator, entry.band, certificate.source, certificate.target, entry.signature)
        try:
            verify_vote_signature(vote, validator.consensus_key, chain)
        except VoteSignatureInvalid as error:
            raise CertificateInvalid(period, str(error)) from None
    voters = {entry.validator for entry in certificate.votes}
    if not is_quorum(schedule, voters):
        raise CertificateInvalid(
            period,
            f"{signed_stake(schedule, voters)} of {schedule.validators.total_effective_stake_units} units signed "
            f"and {len(lit_bands(schedule, voters))} of {schedule.bands_required} needed bands are lit; more than "
            "two thirds of the stake and all needed bands are required",
        )
    if interference_digest(certificate.votes) != certificate.interference:
        raise CertificateInvalid(period, "its interference digest is not that of its votes")
