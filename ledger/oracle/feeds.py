"""The feeds: what is reported, in which unit, within which bounds, and how far a value moves at once."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from ledger.accounts import SECTORS
from ledger.amounts import PPM

DEMAND_NEUTRAL_PPM: Final = 1_000_000
"""A sector's demand that leaves its weight as it is."""

FIRST_DEMAND_FEED: Final = 10
"""The feed of the first sector; the others follow in the order of `SECTORS`."""


@dataclass(frozen=True, slots=True)
class Feed:
    """One quantity of the world."""

    number: int
    """On the wire; never reused."""
    name: str
    unit: str
    least: int
    """No report below; at least 1, so that a share of the value is never of nothing."""
    greatest: int
    """No report above."""
    max_move_ppm: int
    """How far the value moves at one epoch transition, of what it was, rounded down; 1 at least."""
    gathers: bool = False
    """Whether a stale value may make up for the epochs that it missed, where more than two thirds of the stake report:
    for a quantity that has its own course meanwhile, which its readers go on with."""

    def max_move(self, last: int, epochs: int = 1) -> int:
        """How far the value may move away from `last` at once, for so many epochs; all of it at most."""
        return max(1, last * min(PPM, self.max_move_ppm * epochs) // PPM)


GLOBAL_DEBT_USD: Final = Feed(1, "global_debt", "USD", 10**12, 10**17, 10_000, gathers=True)
"""All debt of the world. 300,000,000,000,000 USD is 3·10^14. While it is stale `economy.debt_backing` lets it grow."""
NXT_USD: Final = Feed(2, "nxt_price", "micro-USD per NXT", 1, 10**15, 100_000)

DEMAND_FEEDS: Final = tuple(
    Feed(
        FIRST_DEMAND_FEED + place,
        f"demand_{sector.lower()}",
        "ppm",
        DEMAND_NEUTRAL_PPM // 10,
        DEMAND_NEUTRAL_PPM * 10,
        100_000,
    )
    for place, sector in enumerate(SECTORS)
)
"""Demand by sector, from attested reports of its supply chain's production; in the order of `SECTORS`."""

FEEDS: Final = (GLOBAL_DEBT_USD, NXT_USD, *DEMAND_FEEDS)
"""All of them, ascending by number."""

FEED_NUMBERED: Final[Mapping[int, Feed]] = MappingProxyType({feed.number: feed for feed in FEEDS})
