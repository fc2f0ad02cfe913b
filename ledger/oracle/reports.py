"""The kind `oracle_report`: what an active validator says of one feed in the running epoch."""

from typing import Final

from ledger.encoding import Codec, Count, Record
from ledger.errors import PayloadInvalid
from ledger.oracle.feeds import FEED_NUMBERED
from ledger.oracle.records import Report, write_report
from ledger.registry import Kind, Rejected, spends_nothing
from ledger.rules import BlockContext, ChainRules
from ledger.staking.records import ACTIVE, STATUS_NAMES
from ledger.staking.snapshot import ValidatorIndex
from ledger.staking.validator_lookup import known_validator, require_operator
from ledger.state import Overlay
from ledger.transactions import SignedTransaction

VALIDATOR_INACTIVE: Final = "ValidatorInactive"


class OracleReport(Record, frozen=True):
    """Payload of kind 60."""

    validator: ValidatorIndex
    """For whom the sender speaks, by its withdrawal address or its consensus key."""
    feed: Count
    """Number of a feed."""
    value: Count
    """In the feed's unit."""


def check_report(payload: OracleReport, _: ChainRules) -> None:
    """What no state can make valid: no such feed, a value out of its bounds. Errors: `PayloadInvalid`."""
    feed = FEED_NUMBERED.get(payload.feed)
    if feed is None:
        known = ", ".join(str(number) for number in FEED_NUMBERED)
        raise PayloadInvalid("oracle_report", f"no feed {payload.feed}; known: {known}")
    if not feed.least <= payload.value <= feed.greatest:
        raise PayloadInvalid(
            "oracle_report",
            f"{feed.name} is {payload.value} {feed.unit}, expected {feed.least} to {feed.greatest}",
        )


def apply_report(
    overlay: Overlay, transaction: SignedTransaction, payload: OracleReport, _: BlockContext
) -> None:
    """Note the value in the place of what the validator said of the feed before in this epoch. O(1).

    A record that is active with stake stands in the epoch's snapshot, but for those beyond the set's greatest size:
    what they say is noted and weighs nothing. Reading the snapshot here would cost a hundred times as much.
    Errors: `Rejected` UnknownValidator, NotValidatorsKey, ValidatorInactive.
    """
    record = known_validator(overlay, payload.validator)
    require_operator(record, transaction.sender)
    if record.status != ACTIVE or not record.stake_units:
        raise Rejected(
            VALIDATOR_INACTIVE,
            f"validator {record.index} is {STATUS_NAMES[record.status]} with {record.stake_units} units of stake; "
            "active validators with stake report",
        )
    write_report(overlay, record.index, Report(payload.feed, payload.value))


ORACLE_REPORT: Final = Kind(
    number=60,
    name="oracle_report",
    payload_codec=Codec(OracleReport, "oracle_report payload", 32),
    check_payload=check_report,
    apply=apply_report,
    spends=spends_nothing,
)
