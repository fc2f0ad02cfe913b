"""oracle_*: what the validators report of the world."""

from ledger.oracle.queries import FeedView, OutliersView, feeds, outliers
from node.rpc.groups import Method, MethodGroup, SinkState
from node.rpc.paging import page
from node.rpc.schema import Params

LISTED_OUTLIERS = 1_000
"""As many as there can be active validators."""


class OracleMethods(MethodGroup):
    """The feeds."""

    def methods(self) -> tuple[Method, ...]:
        """See `MethodGroup`."""
        return (Method("oracle_getFeeds", Params, self._get_feeds),)

    async def _get_feeds(self, _: Params) -> object:
        def job(sink: SinkState) -> tuple[int, list[FeedView], list[OutliersView]]:
            found = list(feeds(sink.state, sink.epoch))
            return sink.epoch, found, page(outliers(sink.state), LISTED_OUTLIERS).items

        epoch, found, far_off = await self.read_state(job)
        return {
            "epoch": str(epoch),
            "feeds": [_feed_json(view, epoch) for view in found],
            "outliers": [
                {
                    "validator": one.validator,
                    "times": str(one.outliers.count),
                    "last_epoch": str(one.outliers.epoch),
                    "last_feed": one.outliers.feed,
                    "last_value": str(one.outliers.value),
                }
                for one in far_off
            ],
        }


def _feed_json(view: FeedView, epoch: int) -> dict[str, object]:
    feed, value = view.feed, view.value
    return {
        "number": feed.number,
        "name": feed.name,
        "unit": feed.unit,
        "least": str(feed.least),
        "greatest": str(feed.greatest),
        "max_move_ppm": feed.max_move_ppm,
        "value": None if value is None else str(value.value),
        "fresh": view.fresh,
        "value_epoch": None if value is None else str(value.epoch),
        "age_epochs": None if value is None else str(max(0, epoch - value.epoch)),
        "fresh_through": None if value is None else str(value.fresh_through),
        "median": None if value is None else str(value.median),
        "reporters": 0 if value is None else value.reporters,
        "stake": "0" if value is None else str(value.stake_units),
        "reports_count": view.reports_count,
        "reports": [{"validator": one.validator, "value": str(one.value)} for one in view.reports],
    }
