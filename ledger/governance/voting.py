"""The kinds `vote` and `vote_delegate`: ballots, one's own and those that others have handed over."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Final, TypeVar

import msgspec

from ledger.addresses import ADDRESS_BYTES
from ledger.encoding import Address20, Codec, Count, Record
from ledger.errors import PayloadInvalid
from ledger.exchange.community import community_weight, sector_pool
from ledger.exchange.positions import lock_position
from ledger.governance.actions import sector_of
from ledger.governance.classes import CONSTITUTIONAL
from ledger.governance.records import (
    MAX_BALLOT_VALIDATORS,
    NO,
    OPEN,
    VOTE_DELEGATION_CODEC,
    YES,
    Choice,
    CountedStake,
    Proposal,
    VoteDelegation,
    VoteRecord,
    delegation_key,
    read_proposal,
    read_tally,
    read_vote,
    read_vote_delegation,
    write_proposal,
    write_tally,
    write_vote,
)
from ledger.governance.tally import counted
from ledger.registry import Kind, Rejected, spends_nothing
from ledger.rules import BlockContext, ChainRules
from ledger.staking.snapshot import ValidatorIndex
from ledger.staking.vote_lock import lock_stake
from ledger.staking.vote_weight import stake_weight
from ledger.state import Overlay
from ledger.transactions import SignedTransaction

MAX_BALLOTS: Final = 32

UNKNOWN_PROPOSAL = "UnknownProposal"
VOTING_CLOSED = "VotingClosed"
ALREADY_VOTED = "AlreadyVoted"
NO_WEIGHT = "NoWeight"
NOT_DELEGATE = "NotDelegate"
SELF_DELEGATION = "SelfDelegation"
ALREADY_DELEGATED = "AlreadyDelegated"
NOT_DELEGATED = "NotDelegated"

Ordered = TypeVar("Ordered", bytes, int)


class Ballot(Record, frozen=True):
    """One address's say."""

    address: Address20
    """The sender, or one that delegated its vote to the sender before the proposal's snapshot."""
    validators: Annotated[tuple[ValidatorIndex, ...], msgspec.Meta(max_length=MAX_BALLOT_VALIDATORS)]
    """In which it has the stake that is to count, ascending; what is not named does not count."""


class Vote(Record, frozen=True):
    """Payload of kind 52."""

    proposal: Count
    choice: Choice
    ballots: Annotated[tuple[Ballot, ...], msgspec.Meta(min_length=1, max_length=MAX_BALLOTS)]
    """Ascending by address; all count or none."""


class VoteDelegate(Record, frozen=True):
    """Payload of kind 53."""

    delegate: Annotated[bytes, msgspec.Meta(max_length=ADDRESS_BYTES)]
    """20 bytes; empty: nobody any more."""


def check_vote(payload: Vote, _: ChainRules) -> None:
    """What no state can make valid. Errors: `PayloadInvalid`."""
    _require_ascending("addresses of ballots", [ballot.address for ballot in payload.ballots])
    for ballot in payload.ballots:
        _require_ascending("validators of a ballot", ballot.validators)


def _require_ascending(what: str, values: Sequence[Ordered]) -> None:
    if any(one >= other for one, other in pairwise(values)):
        raise PayloadInvalid("vote", f"{what} are not ascending, each once")


def apply_vote(
    overlay: Overlay, transaction: SignedTransaction, payload: Vote, context: BlockContext
) -> tuple[int, ...]:
    """Count the ballots, all or none, and lock the stakes behind them until the vote is over. Gives their weight.

    An address votes once; its own ballot takes the place of one that its delegate has cast.
    Errors: `Rejected` UnknownProposal, VotingClosed, AlreadyVoted, NotDelegate, NoWeight.
    """
    proposal = read_proposal(overlay, payload.proposal)
    if proposal is None:
        raise Rejected(UNKNOWN_PROPOSAL, f"no proposal {payload.proposal}")
    if proposal.status != OPEN or context.epoch >= proposal.closes_epoch:
        raise Rejected(
            VOTING_CLOSED,
            f"proposal {proposal.id} closed in epoch {proposal.closes_epoch}, now {context.epoch}",
        )
    weight = 0
    for ballot in payload.ballots:
        earlier = _require_may_cast(overlay, proposal, ballot.address, transaction.sender)
        vote = _weighed(overlay, proposal, ballot, payload.choice, transaction.sender, context)
        if earlier is not None:
            proposal = _tallied(overlay, proposal, earlier, -1)
        proposal = _tallied(overlay, proposal, vote, 1)
        write_vote(overlay, proposal.id, ballot.address, vote)
        lock_stake(overlay, ballot.address, proposal.closes_epoch)
        weight += vote.units
    write_proposal(overlay, proposal)
    return (weight,)


def _require_may_cast(
    overlay: Overlay, proposal: Proposal, address: bytes, sender: bytes
) -> VoteRecord | None:
    """The ballot that this one would take the place of. Errors: `Rejected` AlreadyVoted, NotDelegate."""
    earlier = read_vote(overlay, proposal.id, address)
    if earlier is not None and (address != sender or earlier.cast_by == address):
        raise Rejected(ALREADY_VOTED, f"{address.hex()} has voted on proposal {proposal.id}")
    if address != sender:
        handed = read_vote_delegation(overlay, address)
        if handed is None or handed.delegate != sender or handed.since_epoch >= proposal.before_epoch:
            raise Rejected(
                NOT_DELEGATE,
                f"{address.hex()} has not handed its vote to the sender before epoch {proposal.before_epoch}",
            )
    return earlier


def _weighed(
    overlay: Overlay, proposal: Proposal, ballot: Ballot, choice: int, sender: bytes, context: BlockContext
) -> VoteRecord:
    """The ballot with its weight. Errors: `Rejected` NoWeight."""
    found = stake_weight(overlay, ballot.address, ballot.validators, proposal.before_epoch)
    community = _community_units(overlay, proposal, ballot.address)
    if not found and not community:
        raise Rejected(
            NO_WEIGHT,
            f"{ballot.address.hex()} has no stake from before epoch {proposal.before_epoch} in the validators named",
        )
    return VoteRecord(
        choice, sender, context.epoch, community, tuple(CountedStake(index, units) for index, units in found)
    )


def _community_units(overlay: Overlay, proposal: Proposal, address: bytes) -> int:
    """What the address's shares of a sector's pool weigh, in a matter of that sector; they are locked then."""
    sector = sector_of(proposal.action)
    pool = None if sector is None else sector_pool(overlay, sector)
    if sector is None or pool is None:
        return 0
    units = community_weight(overlay, sector, address, proposal.before_epoch, proposal.total_stake_units)
    if units:
        lock_position(overlay, pool.address, address, proposal.closes_epoch)
    return units


def _tallied(overlay: Overlay, proposal: Proposal, vote: VoteRecord, sign: int) -> Proposal:
    """The proposal with a ballot more (1) or less (-1); by validator too, where bands are to be counted."""
    if proposal.class_ == CONSTITUTIONAL and vote.choice in (YES, NO):
        for one in vote.counted:
            yes, no = read_tally(overlay, proposal.id, one.validator)
            if vote.choice == YES:
                yes += sign * one.units
            else:
                no += sign * one.units
            write_tally(overlay, proposal.id, one.validator, yes, no)
    yes, no, abstain = counted(proposal, vote.choice, sign * vote.units)
    return msgspec.structs.replace(
        proposal, yes_units=yes, no_units=no, abstain_units=abstain, ballots=proposal.ballots + sign
    )


def check_vote_delegate(payload: VoteDelegate, _: ChainRules) -> None:
    """What no state can make valid. Errors: `PayloadInvalid`."""
    if len(payload.delegate) not in (0, ADDRESS_BYTES):
        raise PayloadInvalid(
            "vote_delegate", f"delegate has {len(payload.delegate)} bytes, expected {ADDRESS_BYTES} or none"
        )


def apply_vote_delegate(
    overlay: Overlay, transaction: SignedTransaction, payload: VoteDelegate, context: BlockContext
) -> None:
    """Hand the sender's votes to another address, or take them back; counts for proposals that are made later.

    Errors: `Rejected` SelfDelegation, AlreadyDelegated, NotDelegated.
    """
    sender = transaction.sender
    handed = read_vote_delegation(overlay, sender)
    if not payload.delegate:
        if handed is None:
            raise Rejected(NOT_DELEGATED, "the sender's votes are its own")
        overlay.delete(delegation_key(sender))
        return
    if payload.delegate == sender:
        raise Rejected(SELF_DELEGATION, "the sender's votes are its own; an empty delegate takes them back")
    if handed is not None and handed.delegate == payload.delegate:
        raise Rejected(ALREADY_DELEGATED, f"to this address since epoch {handed.since_epoch}")
    overlay.put(
        delegation_key(sender), VOTE_DELEGATION_CODEC.encode(VoteDelegation(payload.delegate, context.epoch))
    )


def _ballot_records(payload: Vote) -> int:
    """The proposal; per ballot its record, its lock, its exchange position, and a tally per validator named."""
    return 1 + sum(3 + len(ballot.validators) for ballot in payload.ballots)


VOTE: Final = Kind(
    number=52,
    name="vote",
    payload_codec=Codec(Vote, "vote payload", 8 * 1024),
    check_payload=check_vote,
    apply=apply_vote,
    spends=spends_nothing,
    touches=_ballot_records,
    result_names=("weight",),
    may_pause=False,
)
VOTE_DELEGATE: Final = Kind(
    number=53,
    name="vote_delegate",
    payload_codec=Codec(VoteDelegate, "vote_delegate payload", 64),
    check_payload=check_vote_delegate,
    apply=apply_vote_delegate,
    spends=spends_nothing,
    may_pause=False,
)
