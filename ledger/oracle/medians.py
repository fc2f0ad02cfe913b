"""The step `oracle` of the epoch transition: what the reports of the epoch that ends make of the feeds.

A feed takes the median of its reports, weighted by effective stake, when at least three validators with more than a
third of all effective stake have reported: those that lie, less than a third, can never set a value by themselves. It
moves by a bounded part of what it was; the first value, which nothing bounds, needs more than two thirds of all stake,
so that those who lie are less than half of who is heard; and so does the move of a stale debt by more than one epoch's
part. Source: ledger.md, Order of an epoch transition.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ledger.amounts import PPM
from ledger.epoch_steps import EpochChange
from ledger.oracle.feeds import FEEDS, Feed
from ledger.oracle.records import (
    FeedValue,
    Outliers,
    read_feed,
    read_outliers,
    take_reports,
    write_feed,
    write_outliers,
)
from ledger.staking.effective_stake import effective_stakes
from ledger.staking.snapshot import read_snapshot
from ledger.staking_rules import StakingRules
from ledger.state import Overlay

LEAST_REPORTERS: Final = 3
QUORUM_PARTS: Final = 3
"""The reporters' effective stake, times this, is more than all."""
FIRST_QUORUM_PARTS: Final = 2
"""For a feed's first value, and to make up for missed epochs: more than all so many times."""
OUTLIER_PPM: Final = 200_000
"""A report further from the median than this part of it is an outlier."""
LEAST_AGE_EPOCHS: Final = 8
"""A value counts for a day after its epoch, and for so many epochs at least."""


@dataclass(frozen=True, slots=True)
class Said:
    """One report of one feed."""

    validator: int
    value: int
    weight: int
    """Effective stake in units, more than 0."""


def max_age_epochs(rules: StakingRules) -> int:
    """Epochs after its own in which a value still counts."""
    return max(LEAST_AGE_EPOCHS, rules.day_epochs)


def weighted_lower_median(weighed: Sequence[tuple[int, int]]) -> int:
    """Of (value, weight > 0), at least one: the least value up to which lies half of the weight or more."""
    ordered = sorted(weighed)
    everything = sum(weight for _, weight in ordered)
    median, up_to = ordered[0]
    for value, weight in ordered[1:]:
        if 2 * up_to >= everything:
            break
        median, up_to = value, up_to + weight
    return median


def missed_epochs(feed: Feed, last: FeedValue, closing_epoch: int) -> int:
    """Epochs for which the value may move at the end of `closing_epoch` when two thirds report: 1 while it is fresh."""
    stale = closing_epoch > last.fresh_through
    return closing_epoch - last.epoch if feed.gathers and stale else 1


def moved(feed: Feed, last: FeedValue | None, median: int, epochs: int = 1) -> int:
    """The feed's next value: the median, or as near to it as the moves of so many epochs lead."""
    if last is None:
        return median
    most = feed.max_move(last.value, epochs)
    return min(max(median, last.value - most), last.value + most)


def take_medians(overlay: Overlay, change: EpochChange) -> None:
    """The step `oracle`. Reports of the closing epoch become values of that epoch, or nothing; they are removed.

    O(n) in validators that reported.
    """
    reports = take_reports(overlay)
    if not reports:
        return
    stakes = {one.index: one.stake_units for one in read_snapshot(overlay).validators if one.stake_units}
    effective = effective_stakes(stakes)
    everything = sum(effective.values())
    said: dict[int, list[Said]] = {feed.number: [] for feed in FEEDS}
    for validator, ones in reports.items():
        weight = effective.get(validator)
        if weight:
            for report in ones:
                said[report.feed].append(Said(validator, report.value, weight))
    far_off: dict[int, tuple[int, int, int]] = {}
    for feed in FEEDS:
        heard = said[feed.number]
        stake_units = sum(one.weight for one in heard)
        last = read_feed(overlay, feed.number) if heard else None
        needed = everything if last is not None else FIRST_QUORUM_PARTS * everything
        if len(heard) < LEAST_REPORTERS or QUORUM_PARTS * stake_units <= needed:
            continue
        median = weighted_lower_median([(one.value, one.weight) for one in heard])
        most_speak = QUORUM_PARTS * stake_units > FIRST_QUORUM_PARTS * everything
        epochs = missed_epochs(feed, last, change.closing_epoch) if last is not None and most_speak else 1
        value = FeedValue(
            value=moved(feed, last, median, epochs),
            epoch=change.closing_epoch,
            fresh_through=change.closing_epoch + max_age_epochs(change.context.staking),
            median=median,
            reporters=len(heard),
            stake_units=stake_units,
        )
        write_feed(overlay, feed.number, value)
        for one in heard:
            if abs(one.value - median) * PPM > OUTLIER_PPM * median:
                times, _, _ = far_off.get(one.validator, (0, 0, 0))
                far_off[one.validator] = (times + 1, feed.number, one.value)
    _note_outliers(overlay, far_off, change.closing_epoch)


def _note_outliers(overlay: Overlay, far_off: Mapping[int, tuple[int, int, int]], epoch: int) -> None:
    """Count who was far off, by validator: (times, and feed and value of the last). It costs nothing yet."""
    for validator in sorted(far_off):
        times, feed, value = far_off[validator]
        before = read_outliers(overlay, validator)
        count = times if before is None else before.count + times
        write_outliers(overlay, validator, Outliers(count, epoch, feed, value))
