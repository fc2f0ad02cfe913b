"""The vote pool: what it keeps, what it finds, and that it stays bounded."""

import pytest

from consensus.vote_pool import CONFLICTS_KEPT, HISTORY, Offence, VotePool, offence_of
from consensus.votes import Checkpoint, Vote


def block(number: int) -> bytes:
    return number.to_bytes(32, "big")


def vote(validator: int, source: int, target: int, *, fork: int = 0, signature: int = 1) -> Vote:
    return Vote(
        validator,
        0,
        Checkpoint(source, block(source)),
        Checkpoint(target, block(target + 1_000_000 * fork)),
        bytes([signature]) * 64,
    )


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (vote(1, 2, 3), vote(1, 2, 3, signature=2), None),
        (vote(1, 2, 3), vote(1, 2, 3, fork=1), Offence.DOUBLE_VOTE),
        (vote(1, 1, 3), vote(1, 2, 3), Offence.DOUBLE_VOTE),
        (vote(1, 2, 3), vote(1, 3, 4), None),
        (vote(1, 2, 3), vote(1, 2, 4), None),
        (vote(1, 2, 3), vote(1, 1, 4), Offence.SURROUND_VOTE),
        (vote(1, 1, 4), vote(1, 2, 3), Offence.SURROUND_VOTE),
    ],
)
def test_L7_two_votes_prove_what_casper_says(one: Vote, other: Vote, expected: Offence | None) -> None:
    assert offence_of(one, other) is expected


def test_L7_both_orders_of_arrival_find_the_conflict() -> None:
    for first, second in (
        (vote(1, 2, 3), vote(1, 1, 4)),
        (vote(1, 1, 4), vote(1, 2, 3)),
        (vote(1, 2, 3), vote(1, 2, 3, fork=1)),
    ):
        pool = VotePool()
        pool.add(first)
        pool.add(second)
        (conflict,) = pool.take_conflicts()
        assert {conflict.first, conflict.second} == {first, second}
        assert list(pool.take_conflicts()) == []


def test_L7_further_double_votes_for_a_period_are_no_news() -> None:
    """An offender can sign thousands: were each one a conflict, everybody would forward them all."""
    pool = VotePool()
    pool.add(vote(1, 2, 3))
    pool.add(vote(1, 2, 3, fork=1))
    assert len(list(pool.take_conflicts())) == 1
    for fork in range(2, 20):
        assert not pool.add(vote(1, 2, 3, fork=fork))
        assert list(pool.take_conflicts()) == []
    pool.add(vote(1, 3, 4))
    pool.add(vote(1, 3, 4, fork=1))
    assert len(list(pool.take_conflicts())) == 1


def test_the_first_vote_for_a_period_stays_and_is_new_once() -> None:
    pool = VotePool()
    assert pool.add(vote(1, 2, 3))
    assert not pool.add(vote(1, 2, 3))
    assert not pool.add(vote(1, 2, 3, fork=1))
    assert pool.votes(0, 9) == (vote(1, 2, 3),)


def test_votes_are_offered_by_period_and_validator() -> None:
    pool = VotePool()
    for one in (vote(2, 3, 4), vote(1, 3, 4), vote(2, 2, 3), vote(1, 4, 5)):
        pool.add(one)
    assert [(one.target.period, one.validator) for one in pool.votes(3, 4)] == [(3, 2), (4, 1), (4, 2)]


def test_a_validators_history_is_bounded_and_the_newest_stays() -> None:
    pool = VotePool()
    for period in range(1, HISTORY + 21):
        pool.add(vote(1, period - 1, period))
    assert len(pool) == HISTORY
    assert pool.find(1, 20) is None
    assert pool.find(1, HISTORY + 20) is not None


def test_a_vote_that_arrives_late_does_not_push_out_a_newer_one() -> None:
    pool = VotePool()
    for period in range(2, HISTORY + 2):
        pool.add(vote(1, period - 1, period))
    pool.add(vote(1, 0, 1))
    assert pool.find(1, HISTORY + 1) is not None
    assert pool.find(1, 1) is None


def test_conflicts_that_nobody_takes_are_bounded() -> None:
    pool = VotePool()
    for validator in range(CONFLICTS_KEPT + 10):
        pool.add(vote(validator, 1, 2))
        pool.add(vote(validator, 1, 2, fork=1))
    assert len(list(pool.take_conflicts())) == CONFLICTS_KEPT


def test_validators_that_left_are_forgotten() -> None:
    pool = VotePool()
    pool.add(vote(1, 1, 2))
    pool.add(vote(2, 1, 2))
    pool.forget_validators(frozenset((2,)))
    assert [one.validator for one in pool.votes(0, 9)] == [2]
