"""What shares of a sector's exchange pool weigh in that sector's matters."""

from dataclasses import replace

import pytest
from builders.economic_loop import change_state, fund, sector_token, trade
from builders.staking import NXT, StakingChain

from ledger.accounts import SECTOR_ADDRESSES
from ledger.addresses import NXT_ASSET, address_of
from ledger.economy.seeding import seed_sector_pools
from ledger.exchange.community import community_weight, sector_pool, settled_nxt_reserve
from ledger.exchange.liquidity import add_liquidity, remove_liquidity
from ledger.exchange.pools import pool_reserves
from ledger.governed.parameters import COMMUNITY_WEIGHT_PPM, write_parameter

FOOD, WATER = 4, 1
STAKE = 1_000_000 * NXT


@pytest.fixture
def chain() -> StakingChain:
    """FOOD's pool holds 1,000 NXT and 200,000 tokens since epoch 0; account 0 has all shares but 1,000."""
    made = StakingChain(4)
    sector_token(made, FOOD, made.accounts[0], nxt=1_000 * NXT, tokens=200_000, sector_tokens=100_000)
    return made


def weight(chain: StakingChain, account: int, before_epoch: int, total_stake_units: int = STAKE) -> int:
    owner = address_of(chain.accounts[account].public_key)
    return community_weight(chain.reader, FOOD, owner, before_epoch, total_stake_units)


def test_weight_is_twice_the_nxt_behind_the_shares(chain: StakingChain) -> None:
    shares, everything = 141_421_356 - 1_000, 141_421_356
    assert weight(chain, 0, 1) == 2 * shares * 1_000 * NXT // everything


def test_weight_of_all_shares_is_at_most_the_governed_part_of_the_stake(chain: StakingChain) -> None:
    shares, everything = 141_421_356 - 1_000, 141_421_356
    assert weight(chain, 0, 1, 400 * NXT) == shares * 100 * NXT // everything
    change_state(chain, lambda overlay: write_parameter(overlay, COMMUNITY_WEIGHT_PPM, 500_000))
    assert weight(chain, 0, 1, 400 * NXT) == shares * 200 * NXT // everything
    change_state(chain, lambda overlay: write_parameter(overlay, COMMUNITY_WEIGHT_PPM, 0))
    assert weight(chain, 0, 1, 400 * NXT) == 0


def test_shares_weigh_nothing_before_the_epoch_after_they_came(chain: StakingChain) -> None:
    assert weight(chain, 0, 0) == 0
    pool = sector_pool(chain.reader, FOOD)
    assert pool is not None
    before = weight(chain, 0, 4)
    chain.epoch = 5
    owner = address_of(chain.accounts[0].public_key)
    change_state(
        chain,
        lambda overlay: add_liquidity(overlay, owner, pool.address, 1_000 * NXT, 200_000, 1, chain.context()),
    )
    assert abs(weight(chain, 0, 5) - before) <= 1
    assert abs(weight(chain, 0, 6) - 2 * before) < 2 * before // 100_000


def test_shares_that_are_gone_weigh_nothing(chain: StakingChain) -> None:
    pool = sector_pool(chain.reader, FOOD)
    assert pool is not None
    owner = address_of(chain.accounts[0].public_key)
    chain.epoch = 3
    change_state(
        chain,
        lambda overlay: remove_liquidity(
            overlay, owner, pool.address, pool.shares - 1_000, 0, 0, chain.context()
        ),
    )
    assert weight(chain, 0, 2) == 0


def test_nobody_without_shares_and_no_sector_without_pool_has_weight(chain: StakingChain) -> None:
    assert weight(chain, 1, 5) == 0
    owner = address_of(chain.accounts[0].public_key)
    assert community_weight(chain.reader, WATER, owner, 5, STAKE) == 0


def test_G2_nxt_swapped_in_for_the_moment_of_a_vote_counts_nothing(chain: StakingChain) -> None:
    """The pool's owner pays the swap's fee to itself, so only the mean price keeps its vote from growing."""
    chain.give(chain.accounts[1], 10_000 * NXT)
    pool = sector_pool(chain.reader, FOOD)
    assert pool is not None
    chain.epoch = 6
    before = weight(chain, 0, 5)
    trade(chain, chain.accounts[1], (NXT_ASSET, pool.second), 9_000 * NXT, 6 * 32)
    assert pool_reserves(chain.reader, pool.address)[0] == 10_000 * NXT
    assert before <= weight(chain, 0, 5) < before * 101 // 100


def test_settled_reserve_is_never_more_than_the_pool_holds(chain: StakingChain) -> None:
    chain.epoch = 6
    pool = sector_pool(chain.reader, FOOD)
    assert pool is not None
    trade(chain, chain.accounts[0], (pool.second, NXT_ASSET), 150_000, 6 * 32)
    assert settled_nxt_reserve(chain.reader, pool) == pool_reserves(chain.reader, pool.address)[0]


def test_settled_reserve_follows_a_price_that_stays(chain: StakingChain) -> None:
    chain.give(chain.accounts[1], 10_000 * NXT)
    pool = sector_pool(chain.reader, FOOD)
    assert pool is not None
    chain.epoch = 6
    trade(chain, chain.accounts[1], (NXT_ASSET, pool.second), 1_000 * NXT, 6 * 32)
    for epoch in range(7, 15):
        chain.epoch = epoch
        context = replace(chain.context(), slot=epoch * 32)
        trade(chain, chain.accounts[1], (NXT_ASSET, pool.second), NXT, context.slot)
    nxt = pool_reserves(chain.reader, pool.address)[0]
    assert nxt * 99 // 100 < settled_nxt_reserve(chain.reader, pool) <= nxt


def test_what_the_sector_itself_gave_dilutes_and_does_not_vote(chain: StakingChain) -> None:
    fund(chain, "SECTOR_FOOD", 10_000 * NXT)
    before = weight(chain, 0, 9, 400 * NXT)
    chain.epoch = 3
    change_state(chain, lambda overlay: seed_sector_pools(overlay, chain.context()))
    chain.epoch = 9
    after = weight(chain, 0, 9, 400 * NXT)
    of_sector = community_weight(chain.reader, FOOD, SECTOR_ADDRESSES[FOOD], 9, 400 * NXT)
    assert after < before
    assert after + of_sector <= 100 * NXT
