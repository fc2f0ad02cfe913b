"""What the votes that a block carries must fulfil, and what any single vote must.

Whether a vote is good depends on its target's past alone: which validators and bands count for it, and whether its
source is a checkpoint. So a vote judged once, for gossip or for another block, need not have its signature checked
again: `VerifiedVotes` remembers ids. README, Votes, lists the rules.
"""

from collections.abc import Sequence
from typing import Protocol

from consensus.blocks import Header
from consensus.errors import (
    BlockVoteInvalid,
    TooManyVotes,
    VotePeriodWrong,
    VotesMismatch,
    VotesNotSorted,
)
from consensus.finality import LATE_PERIODS
from consensus.params import Params, period_at
from consensus.schedule import EpochSchedule
from consensus.vote_errors import (
    InvalidVote,
    VoteBandWrong,
    VoteLinkInvalid,
    VoterUnknown,
    VoteSourceWrong,
    VoteTargetWrong,
)
from consensus.votes import MAX_BLOCK_VOTES, Checkpoint, Vote, verify_vote_signature, vote_id, votes_root

VERIFIED_VOTES_KEPT = 65_536
"""Vote ids remembered, in two halves: twenty periods of 1,000 validators; 10 MB."""


class VerifiedVotes:
    """Ids of votes whose validator, band and signature were found right. For any thread; forgets the oldest."""

    __slots__ = ("_half", "_older", "_young")

    def __init__(self, capacity: int = VERIFIED_VOTES_KEPT) -> None:
        self._half = max(1, capacity >> 1)
        self._young: dict[bytes, None] = {}
        self._older: dict[bytes, None] = {}

    def __contains__(self, vote: bytes) -> bool:
        return vote in self._young or vote in self._older

    def add(self, vote: bytes) -> None:
        """Remember the id of a vote."""
        if len(self._young) >= self._half:
            self._older = self._young
            self._young = {}
        self._young[vote] = None

    def __len__(self) -> int:
        return len(self._young) + len(self._older)


class ChainOfVotes(Protocol):
    """What is asked about the chain that votes are judged on (`finality_tracking`, `vote_judging`)."""

    def is_checkpoint(self, tip: bytes, checkpoint: Checkpoint) -> bool:
        """Whether `checkpoint` is that of its period on the selected chain of `tip`."""
        ...

    def schedule_of_target(self, target: Checkpoint) -> EpochSchedule:
        """Set and bands by which votes for `target` count. Errors: `AnchorNotExecuted`."""
        ...


def carried_periods(params: Params, slot: int) -> tuple[int, int]:
    """The oldest and the newest target period of votes that a block of `slot` may carry."""
    newest = period_at(params, slot)
    return newest - LATE_PERIODS, newest


def validate_votes_in_isolation(header: Header, votes: Sequence[Vote], params: Params) -> None:
    """The votes are those of the header, as many as allowed, in order, and for periods that count. For any thread.

    Errors: `VotesMismatch`, which says nothing about the block id; then `TooManyVotes`, `VotePeriodWrong`,
    `VotesNotSorted`, `BlockVoteInvalid`, all `InvalidBlock`.
    """
    if len(votes) > MAX_BLOCK_VOTES:
        raise TooManyVotes(len(votes), MAX_BLOCK_VOTES)
    found = votes_root(tuple(votes))
    if found != header.votes_root:
        raise VotesMismatch(found, header.votes_root)
    oldest, newest = carried_periods(params, header.slot)
    last = -1, -1
    for position, vote in enumerate(votes):
        if not oldest <= vote.target.period <= newest:
            raise VotePeriodWrong(position, vote.target.period, oldest, newest)
        place = vote.target.period, vote.validator
        if place <= last:
            raise VotesNotSorted(position)
        last = place
        try:
            validate_link(vote)
        except VoteLinkInvalid as error:
            raise BlockVoteInvalid(position, error) from None


def validate_link(vote: Vote) -> None:
    """The source is of an earlier period than the target. Errors: `VoteLinkInvalid`."""
    if vote.source.period >= vote.target.period:
        raise VoteLinkInvalid(vote.source.period, vote.target.period)


def validate_votes_in_context(
    votes: Sequence[Vote],
    selected_parent: bytes,
    chain: ChainOfVotes,
    genesis_hash: bytes,
    verified: VerifiedVotes,
) -> None:
    """The votes of a block on `selected_parent`: their links lie on its chain, and they are their validators'.

    Errors: `BlockVoteInvalid`; `AnchorNotExecuted`, which is no fault.
    """
    links: set[tuple[Checkpoint, Checkpoint]] = set()
    for position, vote in enumerate(votes):
        try:
            link = vote.source, vote.target
            if link not in links:
                validate_checkpoints(vote, selected_parent, chain)
                links.add(link)
            validate_voter(vote, chain.schedule_of_target(vote.target), genesis_hash, verified)
        except InvalidVote as error:
            raise BlockVoteInvalid(position, error) from None


def validate_checkpoints(vote: Vote, tip: bytes, chain: ChainOfVotes) -> None:
    """Target and source are checkpoints of their periods on the chain of `tip`.

    Errors: `VoteTargetWrong`, `VoteSourceWrong`.
    """
    if not chain.is_checkpoint(tip, vote.target):
        raise VoteTargetWrong(vote.target.period, vote.target.block_id)
    if not chain.is_checkpoint(tip, vote.source):
        raise VoteSourceWrong(vote.source.period, vote.source.block_id)


def validate_voter(vote: Vote, schedule: EpochSchedule, genesis_hash: bytes, verified: VerifiedVotes) -> None:
    """The validator is in the set of the target's epoch, in that band, and has signed.

    `schedule` is of the target's epoch by the target's own anchor. Errors: `VoterUnknown`, `VoteBandWrong`,
    `VoteSignatureInvalid`.
    """
    identity = vote_id(vote)
    if identity in verified:
        return
    seat = schedule.seats.get(vote.validator)
    if seat is None:
        raise VoterUnknown(vote.validator, schedule.epoch)
    if seat.band != vote.band:
        raise VoteBandWrong(vote.validator, vote.band, seat.band)
    verify_vote_signature(vote, seat.consensus_key, genesis_hash)
    verified.add(identity)
