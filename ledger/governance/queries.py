"""What people ask about proposals, votes and parameters, read from a state; for RPC and the console. Writes nothing."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ledger.amounts import PPM
from ledger.governance.classes import CLASS_NAMES, CLASSES
from ledger.governance.records import (
    DELEGATION_PREFIX,
    NEXT_ID_KEY,
    OPEN_KEY,
    PROPOSAL_CODEC,
    PROPOSAL_PREFIX,
    STATUS_NAMES,
    VOTE_CODEC,
    VOTE_DELEGATION_CODEC,
    VOTE_PREFIX,
    WAITING_KEY,
    Proposal,
    VoteDelegation,
    VoteRecord,
    read_due,
    read_proposal,
    read_vote,
    read_vote_delegation,
)
from ledger.governance.tally import quorum_reached, share_reached
from ledger.governed.parameters import PARAMETER_PREFIX, PARAMETERS, Parameter, read_parameter
from ledger.staking.vote_lock import locked_until
from ledger.staking.vote_weight import stake_weight
from ledger.state import StateListing, StateReader

__all__ = [
    "ParameterView",
    "ProposalView",
    "VoterView",
    "newest_proposals",
    "open_proposals",
    "parameters",
    "proposal_view",
    "proposals",
    "read_proposal",
    "read_vote",
    "vote_delegations",
    "voter",
    "votes",
    "waiting_proposals",
]


@dataclass(frozen=True, slots=True)
class ProposalView:
    """One proposal, in words, with how it stands."""

    proposal: Proposal
    class_name: str
    status: str
    threshold_ppm: int
    approval_ppm: int
    """Yes among yes and no, rounded down; 0 without either."""
    turnout_ppm: int
    """All votes among the stake of its snapshot, rounded down."""
    quorum_reached: bool
    threshold_reached: bool


@dataclass(frozen=True, slots=True)
class VoterView:
    """What one address may say."""

    locked_until_epoch: int
    """The first epoch in which its stakes may be taken out; 0: never locked."""
    delegate: bytes
    """20 bytes, or empty."""
    delegate_since_epoch: int
    weights: tuple[tuple[int, int], ...]
    """(validator, units) of its stake that is old enough for the epoch asked about."""


@dataclass(frozen=True, slots=True)
class ParameterView:
    """One parameter as it stands."""

    parameter: Parameter
    subject: bytes
    """20 bytes where it was set for one pool; else empty."""
    value: int


def proposals(state: StateListing) -> Iterator[Proposal]:
    """All proposals that ever were, ascending by id."""
    for _, value in state.state(PROPOSAL_PREFIX):
        yield PROPOSAL_CODEC.decode(value)


def newest_proposals(reader: StateReader, below: int | None = None) -> Iterator[Proposal]:
    """All proposals that ever were with an id less than `below`, the newest first. Lazy: take a page of them."""
    raw = reader.get(NEXT_ID_KEY)
    following = 1 if raw is None else int.from_bytes(raw, "big")
    for number in range((following if below is None else min(below, following)) - 1, 0, -1):
        proposal = read_proposal(reader, number)
        if proposal is not None:
            yield proposal


def open_proposals(reader: StateReader) -> tuple[Proposal, ...]:
    """Those that are voted on, ascending by id."""
    return _listed(reader, OPEN_KEY)


def waiting_proposals(reader: StateReader) -> tuple[Proposal, ...]:
    """Those that have passed and wait for their time lock, ascending by id."""
    return _listed(reader, WAITING_KEY)


def _listed(reader: StateReader, key: bytes) -> tuple[Proposal, ...]:
    found = (read_proposal(reader, one.id) for one in read_due(reader, key))
    return tuple(one for one in found if one is not None)


def proposal_view(proposal: Proposal) -> ProposalView:
    """A proposal in words."""
    threshold = CLASSES[proposal.class_].threshold_ppm
    decided = proposal.yes_units + proposal.no_units
    return ProposalView(
        proposal,
        CLASS_NAMES[proposal.class_],
        STATUS_NAMES[proposal.status],
        threshold,
        proposal.yes_units * PPM // decided if decided else 0,
        proposal.voted_units * PPM // proposal.total_stake_units if proposal.total_stake_units else 0,
        quorum_reached(proposal.voted_units, proposal.total_stake_units, proposal.quorum_ppm),
        share_reached(proposal.yes_units, proposal.no_units, threshold),
    )


def votes(state: StateListing, proposal: int) -> Iterator[tuple[bytes, VoteRecord]]:
    """(address of 20 bytes, ballot) of everybody who voted, ascending by address."""
    prefix = VOTE_PREFIX + proposal.to_bytes(8, "big")
    for key, value in state.state(prefix):
        yield key[len(prefix) :], VOTE_CODEC.decode(value)


def voter(reader: StateReader, address: bytes, validators: Sequence[int], created_epoch: int) -> VoterView:
    """What `address` (20 bytes) may say on a proposal of `created_epoch`, with its stake in `validators`."""
    handed = read_vote_delegation(reader, address)
    return VoterView(
        locked_until(reader, address),
        b"" if handed is None else handed.delegate,
        0 if handed is None else handed.since_epoch,
        stake_weight(reader, address, validators, max(0, created_epoch - 1)),
    )


def vote_delegations(state: StateListing) -> Iterator[tuple[bytes, VoteDelegation]]:
    """(address, whom it lets vote for it) of all that do, ascending by address."""
    for key, value in state.state(DELEGATION_PREFIX):
        yield key[len(DELEGATION_PREFIX) :], VOTE_DELEGATION_CODEC.decode(value)


def parameters(state: StateListing) -> Iterator[ParameterView]:
    """Every parameter, ascending by number; one that has subjects once for each subject that was given a value."""
    for parameter in PARAMETERS:
        if not parameter.per_subject:
            yield ParameterView(parameter, b"", read_parameter(state, parameter))
            continue
        prefix = PARAMETER_PREFIX + parameter.number.to_bytes(2, "big")
        for key, value in state.state(prefix):
            yield ParameterView(parameter, key[len(prefix) :], int.from_bytes(value, "big"))
