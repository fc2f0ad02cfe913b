"""The finality view: which votes count, when a checkpoint is justified and finalised. Plain values, no engine."""

from collections.abc import Iterable, Sequence
from random import Random

from builders.blocks import STAKE_UNITS, FoundedChain, found_chain

from consensus.certificates import is_quorum
from consensus.finality import (
    JUSTIFIED_KEPT,
    FinalityView,
    count_votes,
    genesis_finality,
    has_quorum,
    has_voted,
    newly_counted,
    voters_of,
)
from consensus.schedule import EpochSchedule
from consensus.votes import Checkpoint, Vote
from wnsp.spectrum import BAND_COUNT

CHAIN = found_chain(6)
GENESIS = genesis_finality(CHAIN.genesis_block.header_id).view


def point(period: int, branch: int = 0) -> Checkpoint:
    return GENESIS.justified if period == 0 else Checkpoint(period, bytes([branch, period]) * 16)


def votes_of(validators: Iterable[int], source: int, target: int, branch: int = 0) -> list[Vote]:
    return [Vote(one, 0, point(source, branch), point(target, branch), bytes(64)) for one in validators]


def counted(
    votes: Sequence[Vote],
    before: FinalityView = GENESIS,
    *,
    period: int | None = None,
    chain: FoundedChain = CHAIN,
    branch: int = 0,
) -> FinalityView:
    """The view after `votes`, on the chain of `branch`."""
    newest = max(vote.target.period for vote in votes) if period is None else period
    schedule = chain.schedule.of_epoch(0)
    return count_votes(
        before, votes, newest, lambda one: one == point(one.period, branch), lambda _: schedule
    )


def test_five_of_six_equal_validators_justify_and_four_do_not() -> None:
    assert counted(votes_of(range(5), 0, 1)).justified == point(1)
    four = counted(votes_of(range(4), 0, 1))
    assert four.justified == point(0)
    assert voters_of(four.tallies[0], CHAIN.schedule.of_epoch(0)) == (0, 1, 2, 3)


def test_votes_of_several_blocks_add_up() -> None:
    view = counted(votes_of((0, 1, 2), 0, 1))
    assert counted(votes_of((2, 3, 4), 0, 1), view).justified == point(1)


def test_a_vote_that_is_carried_twice_counts_once() -> None:
    view = counted(votes_of((0, 1, 2), 0, 1))
    for _ in range(3):
        view = counted(votes_of((0, 1, 2), 0, 1), view)
    assert view.justified == point(0)
    assert sum(view.tallies[0].signed) == 3 * STAKE_UNITS


def test_a_checkpoint_is_finalised_when_the_next_period_is_justified_from_it() -> None:
    first = counted(votes_of(range(6), 0, 1))
    assert first.finalised == point(0)
    second = counted(votes_of(range(6), 1, 2), first)
    assert (second.justified, second.finalised) == (point(2), point(1))


def test_a_link_over_a_period_justifies_and_finalises_nothing() -> None:
    first = counted(votes_of(range(6), 0, 1))
    third = counted(votes_of(range(6), 1, 3), first)
    assert (third.justified, third.finalised) == (point(3), point(0))


def test_a_second_link_to_a_justified_target_can_finalise_its_source() -> None:
    view = counted(votes_of(range(6), 0, 1))
    view = counted(votes_of(range(6), 0, 2), view)
    assert view.finalised == point(0)
    assert counted(votes_of(range(6), 1, 2), view).finalised == point(1)


def test_a_vote_from_a_source_that_is_not_justified_does_not_count() -> None:
    assert counted(votes_of(range(6), 1, 2)) == GENESIS


def test_votes_of_one_merge_set_build_on_one_another_in_any_order() -> None:
    votes = votes_of(range(6), 0, 1) + votes_of(range(6), 1, 2) + votes_of(range(6), 2, 3)
    expected = counted(votes)
    assert (expected.justified, expected.finalised) == (point(3), point(2))
    for seed in range(10):
        assert counted(Random(seed).sample(votes, len(votes))) == expected


def test_a_target_on_another_chain_does_not_count() -> None:
    assert counted(votes_of(range(6), 0, 1, branch=1), branch=0).tallies == ()
    assert counted(votes_of(range(6), 0, 1, branch=1), branch=1).justified == point(1, 1)


def test_N12_votes_older_than_two_periods_are_ignored() -> None:
    votes = votes_of(range(6), 0, 1)
    assert counted(votes, period=3).justified == point(1)
    assert counted(votes, period=4) == GENESIS


def test_N12_tallies_of_periods_that_are_over_are_dropped() -> None:
    view = counted(votes_of((0, 1), 0, 1))
    for period in range(2, 9):
        view = counted(votes_of((0, 1), 0, period), view)
        assert [tally.target.period for tally in view.tallies] == list(range(max(1, period - 2), period + 1))


def test_a_vote_of_a_later_period_than_the_block_does_not_count() -> None:
    assert counted(votes_of(range(6), 0, 2), period=1) == GENESIS


def test_a_late_justification_of_an_earlier_period_does_not_lower_the_highest() -> None:
    view = counted(votes_of(range(4), 0, 1))
    view = counted(votes_of(range(6), 0, 2), view)
    view = counted(votes_of((4,), 0, 1), view)
    assert view.justified == point(2)
    assert view.justified_chain == (point(0), point(1), point(2))


def test_a_view_remembers_a_bounded_number_of_justified_checkpoints() -> None:
    view = GENESIS
    for period in range(1, 3 * JUSTIFIED_KEPT):
        view = counted(votes_of(range(6), period - 1, period), view)
    assert len(view.justified_chain) == JUSTIFIED_KEPT
    assert view.justified_chain[-1] == view.justified == point(3 * JUSTIFIED_KEPT - 1)


def test_stake_counts_and_not_the_number_of_validators() -> None:
    """Nine of eleven validators hold less than two thirds of the stake: counting heads would justify."""
    stakes = [10, 10, *[2] * 9]
    chain = found_chain(stakes_units=[stake * STAKE_UNITS for stake in stakes])
    assert counted(votes_of(range(2, 11), 0, 1), chain=chain).justified == point(0)
    assert counted(votes_of([0, *range(2, 11)], 0, 1), chain=chain).justified == point(1)


def test_a_whale_below_the_cap_does_not_justify_with_half_of_the_others() -> None:
    """90 % of the stake is capped to a twelfth: the whale and five of eleven equal others have half of what counts."""
    chain = found_chain(stakes_units=[99 * STAKE_UNITS, *[STAKE_UNITS] * 11])
    assert counted(votes_of(range(6), 0, 1), chain=chain).justified == point(0)
    assert counted(votes_of(range(1, 12), 0, 1), chain=chain).justified == point(1)


def members(schedule: EpochSchedule, bands: Iterable[int]) -> list[int]:
    return [index for band in bands for index in schedule.bands[band]]


def test_one_band_may_be_dark_and_two_may_not_whatever_stake_has_signed() -> None:
    chain = found_chain(stakes_units=[STAKE_UNITS] * 24)
    schedule = chain.schedule.of_epoch(0)
    five = members(schedule, range(5))
    assert 3 * len(five) > 2 * 24
    assert counted(votes_of(five, 0, 1), chain=chain).justified == point(1)
    # A third of a band lights nothing: with one of four signing in two bands, only four are lit.
    four = [*members(schedule, range(4)), schedule.bands[4][0], schedule.bands[5][0]]
    assert 3 * len(four) > 2 * 24
    assert counted(votes_of(four, 0, 1), chain=chain).justified == point(0)
    assert counted(votes_of([*four, schedule.bands[4][1]], 0, 1), chain=chain).justified == point(1)


def test_the_incremental_quorum_is_the_one_of_certificates() -> None:
    rng = Random(3)
    for _ in range(60):
        count = rng.randint(1, 30)
        chain = found_chain(stakes_units=[rng.choice((1, 1, 2, 5, 40)) * STAKE_UNITS for _ in range(count)])
        schedule = chain.schedule.of_epoch(0)
        for _ in range(20):
            voters = [index for index in range(count) if rng.random() < rng.choice((0.6, 0.7, 0.8, 0.95))]
            if not voters:
                continue
            view = counted(votes_of(voters, 0, 1), chain=chain)
            assert (view.justified == point(1)) == is_quorum(schedule, voters)
            assert has_quorum(schedule, view.tallies[0].signed) == is_quorum(schedule, voters)
            assert voters_of(view.tallies[0], schedule) == tuple(sorted(voters))


def test_any_split_and_order_of_the_votes_of_a_period_gives_one_view() -> None:
    rng = Random(5)
    votes = votes_of(range(6), 0, 1) + votes_of(range(3), 0, 2)
    expected = counted(votes)
    for _ in range(20):
        rng.shuffle(votes)
        at = rng.randrange(len(votes) + 1)
        view = counted(votes[at:], counted(votes[:at], period=2) if at else GENESIS, period=2)
        if at < len(votes):
            assert view == expected


def test_who_was_counted_first_is_named_once_per_vote() -> None:
    before = counted(votes_of((0, 2), 0, 1))
    after = counted(votes_of((2, 4, 5), 0, 1) + votes_of((4,), 0, 2), before)
    schedule = CHAIN.schedule.of_epoch(0)
    assert newly_counted(before, after, 1, lambda _: schedule) == (4, 4, 5)
    assert newly_counted(before, after, 2, lambda _: schedule) == (4,)
    assert newly_counted(after, after, 0, lambda _: schedule) == ()


def test_a_bit_beyond_the_stored_bytes_is_no_vote() -> None:
    view = counted(votes_of((1,), 0, 1))
    assert [has_voted(view.tallies[0], position) for position in (0, 1, 7, 8, 900)] == [
        False,
        True,
        False,
        False,
        False,
    ]
    assert not has_voted(None, 0)


def test_signed_stakes_are_kept_by_band() -> None:
    schedule = CHAIN.schedule.of_epoch(0)
    view = counted(votes_of((0, 1), 0, 1))
    expected = [0] * BAND_COUNT
    for index in (0, 1):
        expected[schedule.seats[index].band] += STAKE_UNITS
    assert view.tallies[0].signed == tuple(expected)
