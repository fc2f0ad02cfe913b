"""Community ownership: what shares of a sector's exchange pool weigh in that sector's matters.

Economic loop, milestone 4. It lies here and not in the economy because governance asks, and governance and economy do
not know each other. Formula and attacks: README of ledger/economy, Community ownership.
"""

from math import isqrt
from typing import Final

from ledger.addresses import NXT_ASSET
from ledger.amounts import PPM
from ledger.exchange.pools import Pool, address_of_pair, read_pool, reserves_of
from ledger.exchange.positions import read_position, shares_held_before
from ledger.exchange.twap import PRICE_BITS, read_observations
from ledger.governed.parameters import COMMUNITY_WEIGHT_PPM, read_parameter
from ledger.governed.sector_tokens import read_sector_token
from ledger.state import StateReader

_MODULUS: Final = 1 << 256


def sector_pool(reader: StateReader, sector: int) -> Pool | None:
    """The exchange pool of NXT against the sector's token; None without a token or a pool. NXT is its first asset."""
    token = read_sector_token(reader, sector)
    return None if token is None else read_pool(reader, address_of_pair(NXT_ASSET, token))


def settled_nxt_reserve(reader: StateReader, pool: Pool) -> int:
    """Units of NXT that the pool would hold at its mean price, or holds, whichever is less.

    At equal product k of the reserves a pool with price p (tokens for a unit of NXT) holds ⌊√(k ÷ p)⌋ of NXT. p is the
    mean between the oldest and the newest observation, so that NXT swapped in for the moment of a vote counts nothing.
    """
    nxt, tokens = reserves_of(reader, pool)
    observations = read_observations(reader, pool.address)
    oldest, newest = observations[0], observations[-1]
    slots = newest.slot - oldest.slot
    if not slots:
        return nxt
    mean = (newest.cumulative_first - oldest.cumulative_first) % _MODULUS // slots
    return min(nxt, isqrt((nxt * tokens << PRICE_BITS) // mean)) if mean else nxt


def community_weight(
    reader: StateReader, sector: int, address: bytes, before_epoch: int, total_stake_units: int
) -> int:
    """What the shares that `address` holds since before `before_epoch` weigh in matters of `sector`; units of stake.

    All shares of the pool together weigh the governed part of `total_stake_units`, but none more than twice the NXT
    that stands behind it: who owns a tiny pool owns a tiny vote. 0 without a token, a pool, or such shares.
    """
    pool = sector_pool(reader, sector)
    if pool is None:
        return 0
    held = shares_held_before(read_position(reader, pool.address, address), before_epoch)
    if not held:
        return 0
    part = read_parameter(reader, COMMUNITY_WEIGHT_PPM)
    by_share = held * total_stake_units * part // (PPM * pool.shares)
    behind = 2 * held * settled_nxt_reserve(reader, pool) // pool.shares
    return min(by_share, behind)
