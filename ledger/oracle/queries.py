"""What people ask about the feeds, read from a state; for RPC and the console. Writes nothing."""

from collections.abc import Iterator
from dataclasses import dataclass

from ledger.oracle.feeds import FEEDS, Feed
from ledger.oracle.records import (
    OUTLIERS_CODEC,
    OUTLIERS_PREFIX,
    REPORTS_CODEC,
    REPORTS_PREFIX,
    FeedValue,
    Outliers,
    read_feed,
)
from ledger.staking.records import number_of
from ledger.state import StateListing

LISTED_REPORTS = 128
"""Reports of one feed that are shown; all are counted."""


@dataclass(frozen=True, slots=True)
class ReportView:
    """What one validator said of a feed in the running epoch."""

    validator: int
    value: int


@dataclass(frozen=True, slots=True)
class FeedView:
    """One feed as of an epoch."""

    feed: Feed
    value: FeedValue | None
    """None: it never had one."""
    fresh: bool
    """Whether the value counts."""
    reports: tuple[ReportView, ...]
    """Of the running epoch, ascending by validator; the first `LISTED_REPORTS`."""
    reports_count: int
    """All of them."""


@dataclass(frozen=True, slots=True)
class OutliersView:
    """How often one validator was far off."""

    validator: int
    outliers: Outliers


def feeds(state: StateListing, epoch: int) -> Iterator[FeedView]:
    """All feeds as of `epoch`, ascending by number."""
    said: dict[int, list[ReportView]] = {feed.number: [] for feed in FEEDS}
    for key, raw in state.state(REPORTS_PREFIX):
        validator = number_of(key[len(REPORTS_PREFIX) :])
        for one in REPORTS_CODEC.decode(raw):
            said[one.feed].append(ReportView(validator, one.value))
    for feed in FEEDS:
        value = read_feed(state, feed.number)
        fresh = value is not None and epoch <= value.fresh_through
        reports = said[feed.number]
        yield FeedView(feed, value, fresh, tuple(reports[:LISTED_REPORTS]), len(reports))


def outliers(state: StateListing) -> Iterator[OutliersView]:
    """All validators that were ever far off, ascending by index."""
    for key, value in state.state(OUTLIERS_PREFIX):
        yield OutliersView(number_of(key[len(OUTLIERS_PREFIX) :]), OUTLIERS_CODEC.decode(value))
