"""Which of the offered votes a new block carries: those that count on its chain and are not counted in its view yet."""

from collections.abc import Iterable

from consensus.finality import FinalityView, has_voted
from consensus.finality_tracking import FinalityTracker
from consensus.params import Params
from consensus.vote_errors import InvalidVote
from consensus.vote_validation import (
    VerifiedVotes,
    carried_periods,
    validate_checkpoints,
    validate_link,
    validate_voter,
)
from consensus.votes import MAX_BLOCK_VOTES, Checkpoint, Vote


def choose_votes(
    offered: Iterable[Vote],
    selected_parent: bytes,
    view: FinalityView,
    slot: int,
    params: Params,
    tracker: FinalityTracker,
    verified: VerifiedVotes,
) -> tuple[Vote, ...]:
    """At most MAX_BLOCK_VOTES of `offered` in the order of a block, oldest targets first; one per validator and target.

    `view` is the new block's own. What the block's children would not count is left out, as is what would make the
    block invalid: so a template is valid whatever was offered.
    """
    oldest, newest = carried_periods(params, slot)
    fit: dict[tuple[Checkpoint, Checkpoint], bool] = {}
    chosen: list[Vote] = []
    last = -1, -1
    for vote in sorted(offered, key=_place):
        if len(chosen) == MAX_BLOCK_VOTES:
            break
        if _place(vote) == last or not oldest <= vote.target.period <= newest:
            continue
        link = vote.source, vote.target
        if link not in fit:
            fit[link] = vote.source in view.justified_chain and _lies_on(vote, selected_parent, tracker)
        if fit[link] and _is_new(vote, view, params, tracker, verified):
            chosen.append(vote)
            last = _place(vote)
    return tuple(chosen)


def _place(vote: Vote) -> tuple[int, int]:
    return vote.target.period, vote.validator


def _lies_on(vote: Vote, selected_parent: bytes, tracker: FinalityTracker) -> bool:
    try:
        validate_link(vote)
        validate_checkpoints(vote, selected_parent, tracker)
    except InvalidVote:
        return False
    return True


def _is_new(
    vote: Vote, view: FinalityView, params: Params, tracker: FinalityTracker, verified: VerifiedVotes
) -> bool:
    """Whether the vote is its validator's and not counted yet."""
    schedule = tracker.schedule_of_target(vote.target)
    seat = schedule.seats.get(vote.validator)
    if seat is None or has_voted(view.tally(vote.source, vote.target), seat.position):
        return False
    try:
        validate_voter(vote, schedule, params.genesis_hash, verified)
    except InvalidVote:
        return False
    return True
