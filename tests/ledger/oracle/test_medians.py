"""What reports make of a feed: quorum, weighted median, bounded moves, staleness, outliers."""

from dataclasses import replace
from random import Random

import pytest
from builders.ledger import STAKING
from builders.staking import NXT, StakingChain

from ledger.epoch_transition import LEDGER_EPOCH_STEPS
from ledger.oracle.feeds import DEMAND_FEEDS, FEEDS, GLOBAL_DEBT_USD, NXT_USD, Feed
from ledger.oracle.medians import max_age_epochs, moved, weighted_lower_median
from ledger.oracle.queries import ReportView, feeds, outliers
from ledger.oracle.records import (
    FeedValue,
    Outliers,
    Report,
    fresh_value,
    read_feed,
    read_outliers,
    read_reports,
    write_report,
)
from ledger.oracle.reports import OracleReport
from ledger.staking.effective_stake import effective_stakes
from ledger.staking_rules import StakingRules
from ledger.state import Overlay

PRICE = NXT_USD.number


def report(chain: StakingChain, values: dict[int, int], feed: int = PRICE) -> None:
    """What validators say, put where `oracle_report` puts it."""
    overlay = Overlay(chain.reader)
    for index, value in values.items():
        write_report(overlay, index, Report(feed, value))
    chain.apply(overlay.changes())


def value(chain: StakingChain, feed: int = PRICE) -> FeedValue:
    held = read_feed(chain.reader, feed)
    assert held is not None
    return held


def naive_median(weighed: list[tuple[int, int]]) -> int:
    """Of the line of units, each standing at its value, the lower middle one."""
    line = sorted(value for value, weight in weighed for _ in range(weight))
    return line[(len(line) - 1) // 2]


def test_oracle_is_the_first_step() -> None:
    assert LEDGER_EPOCH_STEPS.steps[0].name == "oracle"


def test_median_is_the_lower_middle_unit_of_stake() -> None:
    source = Random(2)
    for _ in range(2_000):
        weighed = [(source.randrange(1, 12), source.randrange(1, 9)) for _ in range(source.randrange(1, 14))]
        assert weighted_lower_median(weighed) == naive_median(weighed)


def test_median_does_not_depend_on_the_order_of_reports() -> None:
    source = Random(3)
    weighed = [(source.randrange(1, 100), source.randrange(1, 9)) for _ in range(40)]
    expected = weighted_lower_median(weighed)
    for _ in range(20):
        source.shuffle(weighed)
        assert weighted_lower_median(weighed) == expected


def test_transition_sets_the_value_of_the_epoch_that_ends() -> None:
    chain = StakingChain(4)
    for index, said in enumerate((900, 1_000, 1_100)):
        assert chain.send(chain.owners[index], "oracle_report", OracleReport(index, PRICE, said)) == ""
    assert read_feed(chain.reader, PRICE) is None
    chain.go_to(1)
    assert value(chain) == FeedValue(1_000, 0, 2_700, 1_000, 3, 3_000 * NXT)
    assert read_reports(chain.reader, 0) == ()
    assert chain.faults() == ()


def test_two_reporters_set_nothing_whatever_their_stake() -> None:
    chain = StakingChain(4, stake_units=[9_000 * NXT, 9_000 * NXT, 1_000 * NXT, 1_000 * NXT])
    report(chain, {0: 1_000, 1: 1_000})
    chain.go_to(1)
    assert read_feed(chain.reader, PRICE) is None
    assert read_reports(chain.reader, 0) == (), "what made no value is gone too"


@pytest.mark.parametrize(("rest_units", "sets"), [(6_000 * NXT, False), (6_000 * NXT - 1, True)])
def test_reporters_need_more_than_a_third_of_the_stake(rest_units: int, sets: bool) -> None:
    chain = StakingChain(4, stake_units=[1_000 * NXT, 1_000 * NXT, 1_000 * NXT, rest_units])
    report(chain, dict.fromkeys(range(4), 1_000))
    chain.go_to(1)
    report(chain, dict.fromkeys(range(3), 1_050))
    chain.go_to(2)
    assert value(chain).value == (1_050 if sets else 1_000)


@pytest.mark.parametrize(("rest_units", "sets"), [(1_500 * NXT, False), (1_500 * NXT - 1, True)])
def test_a_first_value_needs_more_than_two_thirds_of_the_stake(rest_units: int, sets: bool) -> None:
    chain = StakingChain(4, stake_units=[1_000 * NXT, 1_000 * NXT, 1_000 * NXT, rest_units])
    report(chain, dict.fromkeys(range(3), 1_000))
    chain.go_to(1)
    assert (read_feed(chain.reader, PRICE) is not None) is sets


def test_less_than_a_third_cannot_set_a_first_value_when_others_are_silent() -> None:
    """Nothing bounds the first move: 13 of 40 that lie are not enough with the few that speak beside them."""
    chain = StakingChain(40)
    liars = dict.fromkeys(range(13), NXT_USD.greatest)
    for epoch in range(1, 4):
        report(chain, {**liars, **dict.fromkeys(range(13, 26), 1_000)})
        chain.go_to(epoch)
        assert read_feed(chain.reader, PRICE) is None
    report(chain, {**liars, **dict.fromkeys(range(13, 27), 1_000)})
    chain.go_to(4)
    assert value(chain).value == 1_000, "27 of 40 speak, and those that lie are fewer than half of them"


def test_less_than_a_third_that_lies_together_never_sets_a_value() -> None:
    """Any coalition below a third: alone it has no quorum, and where all report it cannot leave what the others say."""
    source = Random(5)
    for _ in range(60):
        stakes = [source.randrange(1_000, 20_000) * NXT for _ in range(source.randrange(4, 15))]
        chain = StakingChain(len(stakes), stake_units=stakes)
        effective = effective_stakes(chain.stakes)
        everything = sum(effective.values())
        liars: list[int] = []
        for index in source.sample(range(len(stakes)), len(stakes)):
            if 3 * sum(effective[one] for one in [*liars, index]) < everything:
                liars.append(index)
        report(chain, dict.fromkeys(sorted(liars), 10**15))
        chain.go_to(1)
        assert read_feed(chain.reader, PRICE) is None
        honest = [index for index in range(len(stakes)) if index not in liars]
        report(chain, {index: 10**15 if index in liars else 500 + index for index in range(len(stakes))})
        chain.go_to(2)
        assert 500 + honest[0] <= value(chain).median <= 500 + honest[-1]


def test_whale_counts_for_a_twelfth_in_a_full_set() -> None:
    chain = StakingChain(13, stake_units=[90_000 * NXT, *[1_000 * NXT] * 12])
    report(chain, {0: 10**15, **{index: 1_000 + index for index in range(1, 9)}})
    chain.go_to(1)
    assert value(chain).median == 1_005
    assert value(chain).stake_units == 8_000 * NXT + 12_000 * NXT // 11


def test_stake_that_is_not_in_the_snapshot_counts_nothing() -> None:
    rules = replace(STAKING, max_validators=3)
    chain = StakingChain(4, staking=rules)
    chain.go_to(1)
    assert sorted(chain.stakes) == [0, 1, 2]
    report(chain, dict.fromkeys((0, 1, 3), 1_000))
    chain.go_to(2)
    assert read_feed(chain.reader, PRICE) is None
    assert read_reports(chain.reader, 3) == ()


def test_value_moves_at_most_its_part_an_epoch_both_ways() -> None:
    chain = StakingChain(3)
    report(chain, dict.fromkeys(range(3), 1_000_000))
    chain.go_to(1)
    seen = []
    for epoch, said in enumerate((9_000_000, 9_000_000, 10, 1_100_000), start=2):
        report(chain, dict.fromkeys(range(3), said))
        chain.go_to(epoch)
        seen.append((value(chain).value, value(chain).median))
    assert seen == [(1_100_000, 9_000_000), (1_210_000, 9_000_000), (1_089_000, 10), (1_100_000, 1_100_000)]


def test_smallest_value_can_still_move() -> None:
    last = FeedValue(1, 0, 8, 1, 3, 1)
    assert moved(NXT_USD, last, 100) == 2
    assert moved(Feed(9, "slow", "", 1, 100, 0), FeedValue(50, 0, 8, 50, 3, 1), 1) == 49


def test_moves_never_leave_the_feed_s_bounds() -> None:
    source = Random(6)
    for feed in FEEDS:
        last = None
        for _ in range(300):
            median = source.choice((feed.least, feed.greatest, source.randint(feed.least, feed.greatest)))
            now = moved(feed, last, median)
            assert feed.least <= now <= feed.greatest
            assert last is None or abs(now - last.value) <= feed.max_move(last.value)
            last = FeedValue(now, 0, 0, median, 3, 1)


def test_value_without_reports_stays_and_goes_stale() -> None:
    rules = StakingRules(4, 16, 8, 8, epochs_per_year=365 * 10)
    assert max_age_epochs(rules) == 10
    chain = StakingChain(3, staking=rules)
    report(chain, dict.fromkeys(range(3), 1_000))
    chain.go_to(1)
    for epoch in range(2, 13):
        chain.go_to(epoch)
        assert value(chain).value == 1_000
        assert fresh_value(chain.reader, PRICE, epoch) == (1_000 if epoch <= 10 else None)
    assert fresh_value(chain.reader, 1, 5) is None


def test_value_counts_for_a_day_and_for_eight_epochs_at_least() -> None:
    assert max_age_epochs(STAKING) == 2_700
    assert max_age_epochs(StakingRules(4, 16, 8, 8, epochs_per_year=12)) == 8


def test_reports_count_for_the_epoch_in_which_they_were_accepted() -> None:
    chain = StakingChain(3)
    chain.go_to(4)
    report(chain, dict.fromkeys(range(3), 1_000))
    chain.go_to(500)
    assert value(chain).epoch == 4


def test_later_value_replaces_a_stale_one_within_its_move() -> None:
    chain = StakingChain(3)
    report(chain, dict.fromkeys(range(3), 1_000))
    chain.go_to(1)
    report(chain, dict.fromkeys(range(3), 5_000))
    chain.go_to(9_000)
    assert fresh_value(chain.reader, PRICE, 9_000) is None
    report(chain, dict.fromkeys(range(3), 5_000))
    chain.go_to(9_001)
    assert fresh_value(chain.reader, PRICE, 9_001) == 1_210


DEBT = 300 * 10**12


def stale_debt(epochs: int) -> StakingChain:
    """Twelve equal validators said DEBT in epoch 0; so many epochs later it is said again."""
    chain = StakingChain(12)
    report(chain, dict.fromkeys(range(12), DEBT), GLOBAL_DEBT_USD.number)
    chain.go_to(1)
    chain.go_to(epochs)
    return chain


@pytest.mark.parametrize(("epochs", "moves"), [(2_700, 1), (2_701, 100)])
def test_stale_debt_makes_up_for_the_epochs_that_it_missed(epochs: int, moves: int) -> None:
    """2,700 epochs are a day: the value is fresh so long, and its readers use it as it is."""
    chain = stale_debt(epochs)
    report(chain, dict.fromkeys(range(9), 3 * DEBT), GLOBAL_DEBT_USD.number)
    chain.go_to(epochs + 1)
    assert value(chain, GLOBAL_DEBT_USD.number).value == DEBT + moves * DEBT // 100


def test_stale_debt_reaches_its_median_at_once_when_it_is_near() -> None:
    chain = stale_debt(2_701)
    report(chain, dict.fromkeys(range(12), DEBT * 105 // 100), GLOBAL_DEBT_USD.number)
    chain.go_to(2_702)
    assert value(chain, GLOBAL_DEBT_USD.number).value == DEBT * 105 // 100


def test_stale_debt_moves_for_one_epoch_unless_more_than_two_thirds_report() -> None:
    """Eight of twelve: three that lie and five that do not, or a third that waited until few others speak."""
    for liars, speakers in ((3, 8), (3, 5)):
        chain = stale_debt(5_000)
        said = {index: 10**17 if index < liars else DEBT * 2 for index in range(speakers)}
        report(chain, said, GLOBAL_DEBT_USD.number)
        chain.go_to(5_001)
        assert value(chain, GLOBAL_DEBT_USD.number).value == DEBT * 101 // 100


def test_less_than_a_third_gains_nothing_by_silence_and_a_sudden_lie() -> None:
    """Nine of twelve speak after long, three of them lie: the median is what the others say."""
    chain = stale_debt(5_000)
    said = {index: 10**17 if index < 3 else DEBT * 106 // 100 for index in range(9)}
    report(chain, said, GLOBAL_DEBT_USD.number)
    chain.go_to(5_001)
    assert value(chain, GLOBAL_DEBT_USD.number).value == DEBT * 106 // 100


def test_other_feeds_do_not_make_up_for_missed_epochs() -> None:
    chain = StakingChain(12)
    report(chain, dict.fromkeys(range(12), 1_000))
    chain.go_to(1)
    chain.go_to(5_000)
    report(chain, dict.fromkeys(range(12), 5_000))
    chain.go_to(5_001)
    assert value(chain).value == 1_100


def test_report_more_than_a_fifth_off_the_median_is_counted() -> None:
    chain = StakingChain(5)
    report(chain, {0: 1_000, 1: 1_000, 2: 1_200, 3: 1_201, 4: 799})
    chain.go_to(1)
    assert [read_outliers(chain.reader, index) for index in range(3)] == [None, None, None]
    assert read_outliers(chain.reader, 3) == Outliers(1, 0, PRICE, 1_201)
    assert read_outliers(chain.reader, 4) == Outliers(1, 0, PRICE, 799)
    report(chain, {0: 1_000, 1: 1_000, 2: 1_000, 3: 500}, feed=1)
    report(chain, {0: 1_000, 1: 1_000, 2: 1_000, 3: 400})
    chain.go_to(2)
    assert read_outliers(chain.reader, 3) == Outliers(3, 1, PRICE, 400)
    assert [(one.validator, one.outliers.count) for one in outliers(chain.store())] == [(3, 3), (4, 1)]


def test_outliers_are_judged_by_the_median_not_by_where_the_value_could_move() -> None:
    chain = StakingChain(3)
    report(chain, dict.fromkeys(range(3), 1_000))
    chain.go_to(1)
    report(chain, dict.fromkeys(range(3), 9_000))
    chain.go_to(2)
    assert value(chain).value == 1_100
    assert list(outliers(chain.store())) == []


def test_queries_show_all_feeds() -> None:
    chain = StakingChain(3)
    report(chain, dict.fromkeys(range(3), 1_000))
    chain.go_to(1)
    report(chain, {2: 900})
    views = {view.feed.number: view for view in feeds(chain.store(), 1)}
    assert list(views) == [feed.number for feed in FEEDS]
    price = views[PRICE]
    assert price.value == value(chain)
    assert (price.fresh, price.reports, price.reports_count) == (True, (ReportView(2, 900),), 1)
    assert (views[1].value, views[1].fresh, views[1].reports) == (None, False, ())


def test_feeds_that_nobody_reports_take_no_room_in_the_state() -> None:
    chain = StakingChain(3)
    chain.go_to(1)
    assert not [key for key in chain.state if key[:1] == b"o"]


def test_a_third_of_hundreds_of_equal_validators_can_still_set_a_value() -> None:
    """There is no greatest number of reports: a smaller one could leave a large set without any value."""
    chain = StakingChain(400, stake_units=1_000 * NXT)
    report(chain, dict.fromkeys(range(133, 400), 1_000))
    chain.go_to(1)
    assert value(chain).reporters == 267
    report(chain, dict.fromkeys(range(266, 400), 1_000))
    chain.go_to(2)
    assert value(chain).reporters == 134
    report(chain, dict.fromkeys(range(130), 1000))
    assert [(len(view.reports), view.reports_count) for view in feeds(chain.store(), 2)][1] == (128, 130)


def test_worked_example_of_the_specification() -> None:
    """README, Worked example."""
    chain = StakingChain(5, stake_units=[4_000 * NXT, 3_000 * NXT, 1_000 * NXT, 1_000 * NXT, 1_000 * NXT])
    food = DEMAND_FEEDS[4].number
    assert food == 14
    report(chain, {0: 1_000_000, 1: 1_000_000, 2: 1_000_000}, feed=food)
    chain.go_to(1)
    report(chain, {1: 1_300_000, 2: 1_600_000, 3: 1_250_000}, feed=food)
    chain.go_to(2)
    assert value(chain, food) == FeedValue(1_100_000, 1, 2_701, 1_300_000, 3, 5_000 * NXT)
    assert read_outliers(chain.reader, 2) == Outliers(1, 1, food, 1_600_000)
    assert read_outliers(chain.reader, 3) is None
