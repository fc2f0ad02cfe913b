"""What the state holds of the feeds, and under which keys. Bytes: README.md.

14 values; one record of reports for each validator that reported in the running epoch; one for each that was ever far
off. Nothing here grows with users or citizens, and a report costs the same however many others report.
"""

from typing import Annotated, Final

import msgspec

from ledger.encoding import Codec, Count, Record
from ledger.oracle.feeds import FEEDS
from ledger.staking.records import Units, read_list
from ledger.state import Overlay, StateReader

REPORTS_PREFIX: Final = b"or"
VALUE_PREFIX: Final = b"ov"
OUTLIERS_PREFIX: Final = b"oo"


class Report(Record, frozen=True):
    """What a validator said of one feed in the running epoch."""

    feed: Count
    value: Count


class FeedValue(Record, frozen=True):
    """What the chain holds for true."""

    value: Count
    epoch: Count
    """Whose reports it is from."""
    fresh_through: Count
    """The last epoch in which it counts; later it is stale."""
    median: Count
    """The reports' weighted median, which the value may not have reached in one move."""
    reporters: Count
    stake_units: Units
    """Their effective stake together."""


class Outliers(Record, frozen=True):
    """How often a validator was far off the median."""

    count: Count
    epoch: Count
    """Of the last time, as are the other two."""
    feed: Count
    value: Count


Reports = Annotated[tuple[Report, ...], msgspec.Meta(min_length=1, max_length=len(FEEDS))]

REPORTS_CODEC: Final[Codec[tuple[Report, ...]]] = Codec(Reports, "oracle reports", 512)
VALUE_CODEC: Final = Codec(FeedValue, "feed value", 64)
OUTLIERS_CODEC: Final = Codec(Outliers, "oracle outliers", 64)


def reports_key(validator: int) -> bytes:
    """State key of a validator's reports of the running epoch. Absent: none."""
    return REPORTS_PREFIX + validator.to_bytes(4, "big")


def value_key(feed: int) -> bytes:
    """State key of a feed's value. Absent: it never had one."""
    return VALUE_PREFIX + feed.to_bytes(2, "big")


def outliers_key(validator: int) -> bytes:
    """State key of a validator's outliers. Absent: none."""
    return OUTLIERS_PREFIX + validator.to_bytes(4, "big")


def read_reports(reader: StateReader, validator: int) -> tuple[Report, ...]:
    """A validator's reports of the running epoch, ascending by feed. Errors: `CodecError` for a damaged state."""
    raw = reader.get(reports_key(validator))
    return () if raw is None else REPORTS_CODEC.decode(raw)


def write_report(overlay: Overlay, validator: int, report: Report) -> None:
    """Put what a validator says of one feed in the place of what it said before."""
    others = [one for one in read_reports(overlay, validator) if one.feed != report.feed]
    reports = tuple(sorted((*others, report), key=lambda one: one.feed))
    overlay.put(reports_key(validator), REPORTS_CODEC.encode(reports))


def take_reports(overlay: Overlay) -> dict[int, tuple[Report, ...]]:
    """The reports of the epoch that ends, by validator, ascending; their records are removed."""
    taken = {}
    for validator in read_list(overlay):
        reports = read_reports(overlay, validator)
        if reports:
            taken[validator] = reports
            overlay.delete(reports_key(validator))
    return taken


def read_feed(reader: StateReader, feed: int) -> FeedValue | None:
    """The value of a feed's number, fresh or stale; None when it never had one. Errors: `CodecError`."""
    raw = reader.get(value_key(feed))
    return None if raw is None else VALUE_CODEC.decode(raw)


def write_feed(overlay: Overlay, feed: int, value: FeedValue) -> None:
    """Put a feed's value."""
    overlay.put(value_key(feed), VALUE_CODEC.encode(value))


def fresh_value(reader: StateReader, feed: int, epoch: int) -> int | None:
    """The value of a feed's number when it still counts in `epoch`, or None. Errors: `CodecError`."""
    held = read_feed(reader, feed)
    return held.value if held is not None and epoch <= held.fresh_through else None


def read_outliers(reader: StateReader, validator: int) -> Outliers | None:
    """How often a validator was far off, or None. Errors: `CodecError`."""
    raw = reader.get(outliers_key(validator))
    return None if raw is None else OUTLIERS_CODEC.decode(raw)


def write_outliers(overlay: Overlay, validator: int, outliers: Outliers) -> None:
    """Put how often a validator was far off."""
    overlay.put(outliers_key(validator), OUTLIERS_CODEC.encode(outliers))
