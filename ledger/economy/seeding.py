"""Seeding: a sector gives NXT and its own tokens as liquidity to the exchange pool of its token.

Economic loop, milestones 2 and 4. Both assets are given in proportion to the pool, so the price stays; the shares are
the sector account's, which nobody can sign for, so this liquidity stays. Nothing is given at a price that is being
moved: the spot price must be near the mean over at least one whole epoch, in both directions, because a short excursion
can drag one of the two means but not both. Nor is more given than the pool's settled liquidity holds already: a price
that nobody has anything at stake for costs nothing to set. NXT that goes into a pool leaves R and is counted as issued.
"""

from dataclasses import dataclass
from typing import Final

import msgspec

from ledger.accounts import SECTOR_ADDRESSES
from ledger.addresses import NXT_ASSET
from ledger.amounts import PPM
from ledger.economy.journal import all_legs_or_none
from ledger.economy.loop_totals import SECTOR_COUNT, read_loop_totals, write_loop_totals
from ledger.exchange.liquidity import add_liquidity
from ledger.exchange.pools import Pool, address_of_pair, read_pool, reserves_of
from ledger.exchange.twap import PRICE_BITS, read_observations, settled_shares, twap
from ledger.governed.parameters import SECTOR_SEED_SHARE_PPM, read_parameter
from ledger.governed.sector_tokens import read_sector_token
from ledger.issuance import count_issued
from ledger.registry import Rejected
from ledger.rules import BlockContext
from ledger.state import Overlay, StateReader
from ledger.tokens.records import asset_balance

PRICE_TOLERANCE_PPM: Final = 50_000
"""5 %: liquidity given at a price that far off loses at most 0.03 % of itself to who moves it back."""

WINDOW_EPOCHS: Final = 2
"""An observation is the first touch of its epoch, maybe in that epoch's last slot; so one that is two epochs old is at
least one whole epoch old, and one that is one epoch old may be a slot old."""

# why a sector is skipped ----------------------------------------------------------------------------------------------

NO_TOKEN: Final = "no token"
NO_POOL: Final = "no pool"
NO_NXT: Final = "no NXT"
NO_TOKENS_HELD: Final = "no tokens held"
PRICE_TOO_YOUNG: Final = "price too young"
PRICE_MOVED: Final = "price moved"


@dataclass(frozen=True, slots=True)
class SeedingOutlook:
    """What a sector would give now, or why it gives nothing."""

    sector: int
    token: bytes
    """20 bytes; empty without a token."""
    pool: bytes
    """Address, 20 bytes; empty without a token."""
    max_units: int
    """The governed part of the sector's NXT; of a pool that has less, as much as its settled liquidity holds."""
    max_tokens: int
    """All of the sector's tokens."""
    obstacle: str
    """Empty when liquidity can be given, else one of the reasons above."""


@dataclass(frozen=True, slots=True)
class Seeding:
    """Liquidity that one sector gave."""

    sector: int
    pool: bytes
    units: int
    """NXT, issued."""
    tokens: int
    shares: int


def seeding_outlook(reader: StateReader, sector: int, epoch: int, slot: int) -> SeedingOutlook:
    """What `sector` would give at `slot` of `epoch`. Pure."""
    account = SECTOR_ADDRESSES[sector]
    share = read_parameter(reader, SECTOR_SEED_SHARE_PPM)
    units = asset_balance(reader, account, NXT_ASSET) * share // PPM
    token = read_sector_token(reader, sector)
    if token is None:
        return SeedingOutlook(sector, b"", b"", units, 0, NO_TOKEN)
    address = address_of_pair(NXT_ASSET, token)
    tokens = asset_balance(reader, account, token)
    pool = read_pool(reader, address)
    if pool is None:
        return SeedingOutlook(sector, token, address, units, tokens, NO_POOL)
    units = min(units, _settled_units(reader, pool, epoch))
    obstacle = _obstacle(reader, pool, units, tokens, epoch, slot)
    return SeedingOutlook(sector, token, address, units, tokens, obstacle)


def _settled_units(reader: StateReader, pool: Pool, epoch: int) -> int:
    """The NXT behind the shares that the pool has had for the whole window; others may leave the moment after."""
    shares = settled_shares(reader, pool, window_epochs=WINDOW_EPOCHS, epoch=epoch)
    return asset_balance(reader, pool.address, NXT_ASSET) * shares // pool.shares


def _obstacle(reader: StateReader, pool: Pool, units: int, tokens: int, epoch: int, slot: int) -> str:
    address = pool.address
    if not units:
        return NO_NXT
    if not tokens:
        return NO_TOKENS_HELD
    if read_observations(reader, address)[0].epoch + WINDOW_EPOCHS > epoch:
        return PRICE_TOO_YOUNG
    mean = twap(reader, address, window_epochs=WINDOW_EPOCHS, epoch=epoch, slot=slot)
    if mean is None:
        return PRICE_TOO_YOUNG
    nxt, other = reserves_of(reader, pool)
    if _near((other << PRICE_BITS) // nxt, mean.first_price_q112) and _near(
        (nxt << PRICE_BITS) // other, mean.second_price_q112
    ):
        return ""
    return PRICE_MOVED


def _near(spot_q112: int, mean_q112: int) -> bool:
    return abs(spot_q112 - mean_q112) * PPM <= PRICE_TOLERANCE_PPM * mean_q112


def seed_sector_pools(overlay: Overlay, context: BlockContext) -> tuple[Seeding, ...]:
    """Let every sector that can give liquidity give it; each sector all legs or none. O(12).

    What the exchange rejects (too little for a share, too much for the pool) is skipped like any other obstacle.
    """
    given = []
    for sector in range(SECTOR_COUNT):
        outlook = seeding_outlook(overlay, sector, context.epoch, context.slot)
        if not outlook.obstacle:
            seeding = _seed(overlay, outlook, context)
            if seeding is not None:
                given.append(seeding)
    return tuple(given)


def _seed(overlay: Overlay, outlook: SeedingOutlook, context: BlockContext) -> Seeding | None:
    sector = outlook.sector
    try:
        with all_legs_or_none(overlay):
            units, tokens, shares = add_liquidity(
                overlay,
                SECTOR_ADDRESSES[sector],
                outlook.pool,
                outlook.max_units,
                outlook.max_tokens,
                1,
                context,
            )
            count_issued(overlay, units)
            totals = read_loop_totals(overlay)
            known = totals.sectors[sector]
            sectors = list(totals.sectors)
            sectors[sector] = msgspec.structs.replace(
                known, seeded_units=known.seeded_units + units, seedings=known.seedings + 1
            )
            write_loop_totals(overlay, msgspec.structs.replace(totals, sectors=tuple(sectors)))
    except Rejected:
        return None
    return Seeding(sector, outlook.pool, units, tokens, shares)
