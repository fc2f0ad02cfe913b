"""Supply-chain value: what validators report of each sector's demand, as the weights that the allocation uses.

Economic loop, milestone 3. A demand is the oracle's median of one epoch in ppm; without a fresh one the sector counts
as neutral, so that silence moves no money.
"""

from ledger.oracle.feeds import DEMAND_FEEDS, DEMAND_NEUTRAL_PPM
from ledger.oracle.records import fresh_value
from ledger.state import StateReader


def demand_of_sectors(reader: StateReader, epoch: int) -> tuple[int, ...]:
    """Demand in ppm that counts in `epoch`, in the order of `SECTORS`; 1,000,000 where no report is fresh."""
    values = (fresh_value(reader, feed.number, epoch) for feed in DEMAND_FEEDS)
    return tuple(DEMAND_NEUTRAL_PPM if value is None else value for value in values)
