"""The kind `evidence`: two signed statements of one validator that nobody honest signs both.

* double proposal: two headers of one (slot, band);
* double vote: two votes for one target period;
* surround vote: a vote whose link lies strictly within another's.

The proof needs no DAG: both signatures are checked against the key that the state holds for the validator's index.
Whoever brings it first is rewarded; false evidence costs its sender the fee. Source: consensus.md, Finality;
ledger.md, Staking; README, Evidence.
"""

from typing import Annotated, Final

import msgspec

from consensus.blocks import Header, block_preimage, core_id, core_of, encode_core, encode_header, header_id
from consensus.params import Params, epoch_at
from consensus.vote_pool import VoteConflict, offence_of
from consensus.votes import Vote, encode_vote, vote_core, vote_preimage
from ledger.encoding import Codec, Record
from ledger.errors import PayloadInvalid, SignatureInvalid
from ledger.hashing import digest, tagged
from ledger.keys import verify
from ledger.kinds import ledger_kinds
from ledger.registry import Kind, KindRegistry, Rejected, spends_nothing
from ledger.rules import BlockContext, ChainRules
from ledger.staking.slashing import keys_at, read_validator, slash
from ledger.state import Overlay
from ledger.transactions import MAX_PAYLOAD_BYTES, SignedTransaction
from wnsp.spectrum import BAND_COUNT, BANDS

KIND_NUMBER = 19
TOUCHED_RECORDS = 512
"""What evidence takes of a block's room: eleven fit. A slash writes some tens of records; false evidence is work too,
two signatures under each of up to nine keys, and a block full of it must not take longer than any other."""

NOT_SIGNED = "EvidenceNotSigned"

_OFFENCE_TAG = tagged("nexus/offence/v1")
_PROPOSAL, _VOTE = b"\x00", b"\x01"


class Evidence(Record, frozen=True):
    """Either two headers or two votes, in ascending order of their bytes."""

    headers: Annotated[tuple[Header, ...], msgspec.Meta(max_length=2)]
    votes: Annotated[tuple[Vote, ...], msgspec.Meta(max_length=2)]


EVIDENCE_CODEC: Final = Codec(Evidence, "evidence payload", MAX_PAYLOAD_BYTES)


def evidence_of_headers(one: Header, other: Header) -> Evidence:
    """The payload that proves a double proposal."""
    first, second = sorted((one, other), key=encode_header)
    return Evidence((first, second), ())


def evidence_of_votes(conflict: VoteConflict) -> Evidence:
    """The payload that proves a double or surround vote."""
    first, second = sorted((conflict.first, conflict.second), key=encode_vote)
    return Evidence((), (first, second))


def offender(evidence: Evidence) -> int:
    """Index of the accused validator, of a payload that `check_evidence` let pass."""
    return evidence.headers[0].proposer if evidence.headers else evidence.votes[0].validator


def offence_id(evidence: Evidence) -> bytes:
    """32 bytes that name what is punished once, however many statements prove it: the lane, or the target period.

    A surround vote has the period of its later target: further votes around the same one are the same fault.
    """
    if evidence.headers:
        header = evidence.headers[0]
        return digest(
            _OFFENCE_TAG, _PROPOSAL, _number(header.proposer), _number(header.slot), _number(header.band)
        )
    period = max(vote.target.period for vote in evidence.votes)
    return digest(_OFFENCE_TAG, _VOTE, _number(evidence.votes[0].validator), _number(period))


def check_evidence(evidence: Evidence, _: ChainRules) -> None:
    """What no state can make valid. Errors: `PayloadInvalid`."""
    if len(evidence.headers) == 2 and not evidence.votes:
        _check_headers(*evidence.headers)
    elif len(evidence.votes) == 2 and not evidence.headers:
        _check_votes(*evidence.votes)
    else:
        found = f"{len(evidence.headers)} headers and {len(evidence.votes)} votes"
        raise PayloadInvalid("evidence", f"{found}, expected two headers or two votes")


def _check_headers(one: Header, other: Header) -> None:
    if encode_header(one) >= encode_header(other):
        raise PayloadInvalid("evidence", "the headers must stand in ascending order of their bytes")
    if (one.slot, one.band, one.proposer) != (other.slot, other.band, other.proposer):
        raise PayloadInvalid("evidence", "the headers are not of one lane and one proposer")
    if one.band >= BAND_COUNT:
        raise PayloadInvalid("evidence", f"band {one.band}, expected 0 to {BAND_COUNT - 1}")
    if header_id(one) == header_id(other):
        raise PayloadInvalid("evidence", "the headers are of one block")


def _check_votes(one: Vote, other: Vote) -> None:
    if encode_vote(one) >= encode_vote(other):
        raise PayloadInvalid("evidence", "the votes must stand in ascending order of their bytes")
    if one.validator != other.validator:
        raise PayloadInvalid("evidence", f"the votes are of validators {one.validator} and {other.validator}")
    if offence_of(one, other) is None:
        raise PayloadInvalid(
            "evidence", "the votes are neither for one target period nor one around the other"
        )


def evidence_kind(params: Params) -> Kind:
    """The kind on the network of `params`, whose slots and periods it turns into epochs."""

    def apply(
        overlay: Overlay, transaction: SignedTransaction, evidence: Evidence, context: BlockContext
    ) -> None:
        """Errors: `Rejected` with UnknownValidator, EvidenceNotSigned, TooOld, AlreadySlashed."""
        epoch = min(offence_epoch(evidence, params), context.epoch)
        index = offender(evidence)
        record = read_validator(overlay, index)
        if record is None:
            raise Rejected("UnknownValidator", f"no validator {index}")
        keys = keys_at(record, epoch, context.staking.activation_delay_epochs, context.finalised_epoch)
        statements = _statements(evidence, context.rules.genesis_hash)
        if not any(_are_signed(statements, key) for key in keys):
            raise Rejected(
                NOT_SIGNED, f"not by any of the {len(keys)} keys of validator {index} in epoch {epoch}"
            )
        slash(overlay, index, offence_id(evidence), epoch, transaction.sender, context)

    return Kind(
        number=KIND_NUMBER,
        name="evidence",
        payload_codec=EVIDENCE_CODEC,
        check_payload=check_evidence,
        apply=apply,
        spends=spends_nothing,
        touches=_touched_records,
        may_pause=False,
    )


def chain_kinds(params: Params) -> KindRegistry:
    """All kinds of the chain: the ledger's own and `evidence`."""
    return ledger_kinds().extended((evidence_kind(params),))


def offence_epoch(evidence: Evidence, params: Params) -> int:
    """The epoch in which the fault was complete: the lane's, or that of the later target's period.

    Of two votes the later one is the fault, however old the one around which it lies: an old vote neither makes the
    evidence too old nor lets an earlier penalty cover it."""
    if evidence.headers:
        return epoch_at(params, evidence.headers[0].slot)
    return epoch_at(params, max(vote.target.period for vote in evidence.votes) * params.period_slots)


def _statements(evidence: Evidence, chain: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """(what was signed, signature) of both statements; none when a header's band digest is wrong."""
    found = [(vote_preimage(vote_core(vote), chain), vote.signature) for vote in evidence.votes]
    for header in evidence.headers:
        core = encode_core(core_of(header))
        if header.band_digest != BANDS[header.band].digest(core):
            return ()
        found.append((block_preimage(chain, core_id(core), header.band_digest), header.signature))
    return tuple(found)


def _are_signed(statements: tuple[tuple[bytes, bytes], ...], public_key: bytes) -> bool:
    """Whether there are statements, all signed by the key."""
    try:
        for preimage, signature in statements:
            verify(public_key, preimage, signature)
    except SignatureInvalid:
        return False
    return bool(statements)


def _touched_records(_: Evidence) -> int:
    return TOUCHED_RECORDS


def _number(value: int) -> bytes:
    return value.to_bytes(8, "big")
