"""Liquidity that sectors give to their tokens' pools: how much, when, and never at a price that is being moved."""

from collections.abc import Iterator
from dataclasses import replace
from math import isqrt

import msgspec
import pytest
from builders.economic_loop import (
    change_state,
    circulation_gap,
    epoch_change,
    fund,
    sector_token,
    trade,
)
from builders.failing_overlay import fail_at_every_write
from builders.staking import NXT, StakingChain

from ledger.accounts import SECTOR_ADDRESSES
from ledger.addresses import NXT_ASSET, address_of
from ledger.economy.loop import allocate_reserve
from ledger.economy.loop_totals import read_loop_totals
from ledger.economy.seeding import (
    NO_NXT,
    NO_POOL,
    NO_TOKEN,
    NO_TOKENS_HELD,
    PRICE_MOVED,
    PRICE_TOO_YOUNG,
    Seeding,
    seed_sector_pools,
    seeding_outlook,
)
from ledger.exchange.liquidity import add_liquidity, remove_liquidity
from ledger.exchange.pools import pool_reserves, read_pool
from ledger.exchange.positions import read_position
from ledger.exchange.twap import PRICE_BITS, twap
from ledger.governed.sector_tokens import write_sector_token
from ledger.issuance import read_flows
from ledger.keys import KeyPair
from ledger.state import Overlay
from ledger.tokens.records import (
    TokenInfo,
    credit_tokens,
    move_tokens,
    read_token,
    token_balance,
    write_token,
)

FOOD, WATER = 4, 1
SLOTS = 32


@pytest.fixture
def chain() -> Iterator[StakingChain]:
    """FOOD has 500 NXT and 1,000,000 tokens; its pool holds 1,000 NXT and 200,000 tokens since epoch 0."""
    made = StakingChain(4)
    fund(made, "SECTOR_FOOD", 500 * NXT)
    sector_token(made, FOOD, made.accounts[0], nxt=1_000 * NXT, tokens=200_000, sector_tokens=1_000_000)
    yield made
    assert circulation_gap(made.reader) == 0
    assert made.faults() == ()


def at(chain: StakingChain, epoch: int) -> StakingChain:
    chain.epoch = epoch
    return chain


def outlook(chain: StakingChain, sector: int = FOOD) -> str:
    context = chain.context()
    return seeding_outlook(chain.reader, sector, context.epoch, context.slot).obstacle


def seed(chain: StakingChain) -> tuple[Seeding, ...]:
    given: list[Seeding] = []
    change_state(chain, lambda overlay: given.extend(seed_sector_pools(overlay, chain.context())))
    return tuple(given)


def pool_of(chain: StakingChain) -> bytes:
    context = chain.context()
    return seeding_outlook(chain.reader, FOOD, context.epoch, context.slot).pool


def token_of(chain: StakingChain) -> bytes:
    context = chain.context()
    return seeding_outlook(chain.reader, FOOD, context.epoch, context.slot).token


def test_sector_gives_a_tenth_of_its_nxt_and_the_tokens_in_proportion(chain: StakingChain) -> None:
    """10 % of 500 NXT are 50 NXT, a twentieth of the pool; so are 10,000 tokens and 7,071,067 new shares."""
    flows = read_flows(chain.reader)
    [seeding] = seed(at(chain, 2))
    assert (seeding.sector, seeding.units, seeding.tokens) == (FOOD, 4_999_999_435, 10_000)
    assert pool_reserves(chain.reader, seeding.pool) == (1_000 * NXT + seeding.units, 210_000)
    assert chain.system("SECTOR_FOOD") == 500 * NXT - seeding.units
    assert read_position(chain.reader, seeding.pool, SECTOR_ADDRESSES[FOOD]).shares == seeding.shares
    assert token_balance(chain.reader, SECTOR_ADDRESSES[FOOD], token_of(chain)) == 990_000
    assert read_flows(chain.reader).issued_units - flows.issued_units == seeding.units
    totals = read_loop_totals(chain.reader).sectors[FOOD]
    assert (totals.seeded_units, totals.seedings) == (seeding.units, 1)


def test_seeding_leaves_the_price_and_the_value_of_every_share(chain: StakingChain) -> None:
    before = pool_reserves(chain.reader, pool_of(chain))
    shares = _shares(chain)
    seed(at(chain, 2))
    nxt, tokens = pool_reserves(chain.reader, pool_of(chain))
    assert abs(nxt * before[1] - tokens * before[0]) < 2 * max(before)
    assert nxt * shares >= before[0] * _shares(chain)
    assert tokens * shares >= before[1] * _shares(chain)


def test_scarce_tokens_bound_the_nxt_that_is_given(chain: StakingChain) -> None:
    _leave_the_sector(chain, tokens=100)
    [seeding] = seed(at(chain, 2))
    assert seeding.tokens == 100
    assert 49_999_000 < seeding.units <= 50_000_000


@pytest.mark.parametrize("epoch", [0, 1])
def test_pool_younger_than_a_whole_epoch_is_not_seeded(chain: StakingChain, epoch: int) -> None:
    assert outlook(at(chain, epoch)) == PRICE_TOO_YOUNG
    assert seed(chain) == ()


def test_sector_without_token_pool_tokens_or_nxt_is_skipped(chain: StakingChain) -> None:
    at(chain, 2)
    assert outlook(chain, WATER) == NO_TOKEN
    change_state(
        chain, lambda overlay: write_token(overlay, b"w" * 20, TokenInfo(b"o" * 20, "W", "w", 0, 0, 9))
    )
    change_state(chain, lambda overlay: write_sector_token(overlay, WATER, b"w" * 20))
    assert outlook(chain, WATER) == NO_POOL
    _leave_the_sector(chain, tokens=0)
    assert outlook(chain) == NO_TOKENS_HELD
    overlay = Overlay(chain.reader)
    assert seed_sector_pools(overlay, chain.context()) == ()
    assert overlay.changes() == {}
    poor = StakingChain(4)
    sector_token(poor, FOOD, poor.accounts[0], nxt=NXT, tokens=10**6, sector_tokens=10**6)
    assert outlook(at(poor, 2)) == NO_NXT


def test_price_moved_in_the_last_slot_of_the_epoch_is_refused(chain: StakingChain) -> None:
    """Whoever buys tokens dear just before the transition would be given the sector's NXT to sell them to."""
    at(chain, 1)
    trade(chain, chain.accounts[0], (token_of(chain), NXT_ASSET), 20_000, 2 * SLOTS - 1)
    assert outlook(at(chain, 2)) == PRICE_MOVED
    assert seed(chain) == ()
    assert outlook(at(chain, 5)) == ""


def test_first_touch_in_the_last_slot_of_the_epoch_does_not_make_a_short_window(chain: StakingChain) -> None:
    """The observation of epoch 4 is one slot old at the transition to epoch 5, all of it at the moved price."""
    at(chain, 4)
    trade(chain, chain.accounts[0], (token_of(chain), NXT_ASSET), 50_000, 5 * SLOTS - 1)
    chain.epoch = 5
    context = replace(chain.context(), slot=5 * SLOTS)
    assert seeding_outlook(chain.reader, FOOD, 5, context.slot).obstacle == PRICE_MOVED
    overlay = Overlay(chain.reader)
    assert seed_sector_pools(overlay, context) == ()
    assert overlay.changes() == {}


@pytest.mark.parametrize("nxt_first", [True, False])
def test_short_excursion_that_drags_one_mean_does_not_drag_the_other(
    chain: StakingChain, nxt_first: bool
) -> None:
    """12 slots of 64 at 9 times the price more than double the mean of one direction; the spot then moves there."""
    trader = chain.accounts[0]
    chain.give(trader, 10_000 * NXT)
    token, pool = token_of(chain), pool_of(chain)
    path = (NXT_ASSET, token) if nxt_first else (token, NXT_ASSET)
    paid = 0 if nxt_first else 1
    at(chain, 1)
    bought = trade(chain, trader, path, 2 * pool_reserves(chain.reader, pool)[paid], SLOTS)
    trade(chain, trader, path[::-1], bought, SLOTS + 12)
    at(chain, 2)
    mean = _means(chain, 3 * SLOTS - 1)[1 - paid]
    reserves = pool_reserves(chain.reader, pool)
    amount = isqrt(reserves[0] * reserves[1] * mean >> PRICE_BITS) - reserves[paid]
    trade(chain, trader, path, amount, 3 * SLOTS - 1)
    at(chain, 3)
    means, spots = _means(chain, 3 * SLOTS), _spots(chain)
    assert abs(spots[1 - paid] - means[1 - paid]) * 20 < means[1 - paid]
    assert abs(spots[paid] - means[paid]) * 2 > means[paid]
    assert seeding_outlook(chain.reader, FOOD, 3, 3 * SLOTS).obstacle == PRICE_MOVED


@pytest.mark.parametrize(("tokens", "obstacle"), [(4_000, ""), (6_000, PRICE_MOVED)])
def test_price_within_five_percent_of_its_mean_is_good_enough(
    chain: StakingChain, tokens: int, obstacle: str
) -> None:
    """A trade of 2 % of a reserve moves the price by 4 %, one of 3 % by 6 %."""
    at(chain, 1)
    trade(chain, chain.accounts[0], (token_of(chain), NXT_ASSET), tokens, 2 * SLOTS)
    assert outlook(at(chain, 2)) == obstacle


def test_price_that_nobody_stands_behind_gets_no_more_than_stands_behind_it() -> None:
    """Tokens are worth 0.1 units. A thief's pool says 1,000, with 0.01 NXT in it; he has tokens of 10 NXT to sell."""
    chain = StakingChain(4)
    thief = chain.accounts[0]
    fund(chain, "SECTOR_FOOD", 5_000 * NXT)
    sector_token(chain, FOOD, thief, nxt=10**6, tokens=1_000, sector_tokens=10**11)
    give_tokens(chain, thief, 10**10)
    before = chain.account(thief).balance
    [seeding] = seed(at(chain, 2))
    assert seeding.units <= 10**6
    trade(chain, thief, (token_of(chain), NXT_ASSET), 10**10, 2 * SLOTS + 1)
    assert chain.account(thief).balance - before < 3 * 10**6


def test_liquidity_that_comes_for_the_transition_does_not_make_a_thin_pool_thick() -> None:
    """As above, but the thief brings 1,000 NXT for the slot of the transition and takes them out again."""
    chain = StakingChain(4)
    thief = chain.accounts[0]
    fund(chain, "SECTOR_FOOD", 5_000 * NXT)
    _, pool = sector_token(chain, FOOD, thief, nxt=10**6, tokens=1_000, sector_tokens=10**11)
    give_tokens(chain, thief, 10**10)
    before, owner = chain.account(thief).balance, address_of(thief.public_key)
    context = replace(at(chain, 1).context(), slot=2 * SLOTS - 1)
    added = []

    def bring(overlay: Overlay) -> None:
        added.append(add_liquidity(overlay, owner, pool, 1_000 * NXT, 10**10, 1, context)[2])

    change_state(chain, bring)
    [seeding] = seed(at(chain, 2))
    assert seeding.units <= 10**6
    later = replace(chain.context(), slot=2 * SLOTS + 1)
    change_state(chain, lambda overlay: remove_liquidity(overlay, owner, pool, added[0], 0, 0, later))
    trade(chain, thief, (token_of(chain), NXT_ASSET), 5 * 10**9, 2 * SLOTS + 2)
    assert chain.account(thief).balance - before < 3 * 10**6


def test_price_of_epochs_without_a_chain_block_is_no_price(chain: StakingChain) -> None:
    """A trade in the last block before the chain stood still: its price stood for four epochs, and nobody could act."""
    at(chain, 1)
    trade(chain, chain.accounts[0], (token_of(chain), NXT_ASSET), 100_000, 2 * SLOTS - 1)
    at(chain, 6)
    assert outlook(chain) == ""
    overlay = Overlay(chain.reader)
    allocate_reserve(overlay, epoch_change(chain, 1))
    assert overlay.changes() == {}
    allocate_reserve(overlay, epoch_change(chain, 5))
    assert read_loop_totals(overlay).sectors[FOOD].seedings == 1


def test_fault_at_any_write_of_the_step_leaves_the_root(chain: StakingChain) -> None:
    fund(chain, "TRANSITION_RESERVE", 1_000 * NXT)
    at(chain, 2)
    writes = fail_at_every_write(
        chain.state, lambda overlay: allocate_reserve(overlay, epoch_change(chain)), rolls_back_itself=True
    )
    assert writes > 14 + 6


def test_fault_at_any_write_of_one_seeding_leaves_the_root(chain: StakingChain) -> None:
    at(chain, 2)
    writes = fail_at_every_write(
        chain.state, lambda overlay: seed_sector_pools(overlay, chain.context()), rolls_back_itself=True
    )
    assert writes >= 9


def test_seeding_year_in_year_out_keeps_the_identity(chain: StakingChain) -> None:
    fund(chain, "TRANSITION_RESERVE", 1_000 * NXT)
    for epoch in range(2, 14):
        at(chain, epoch)
        change_state(chain, lambda overlay: allocate_reserve(overlay, epoch_change(chain)))
        assert circulation_gap(chain.reader) == 0
    assert read_loop_totals(chain.reader).sectors[FOOD].seedings == 12


def _means(chain: StakingChain, slot: int) -> tuple[int, int]:
    """Of the price in tokens and of the price in NXT, over the window of the seeding."""
    mean = twap(chain.reader, pool_of(chain), window_epochs=2, epoch=3, slot=slot)
    assert mean is not None
    return mean.first_price_q112, mean.second_price_q112


def _spots(chain: StakingChain) -> tuple[int, int]:
    nxt, tokens = pool_reserves(chain.reader, pool_of(chain))
    return (tokens << PRICE_BITS) // nxt, (nxt << PRICE_BITS) // tokens


def _shares(chain: StakingChain) -> int:
    pool = read_pool(chain.reader, pool_of(chain))
    assert pool is not None
    return pool.shares


def give_tokens(chain: StakingChain, key: KeyPair, units: int) -> None:
    """Enlarge the supply of FOOD's token. Not a transaction."""
    token = token_of(chain)

    def enlarge(overlay: Overlay) -> None:
        info = read_token(overlay, token)
        assert info is not None
        write_token(overlay, token, msgspec.structs.replace(info, supply=info.supply + units))
        credit_tokens(overlay, token, address_of(key.public_key), units)

    change_state(chain, enlarge)


def _leave_the_sector(chain: StakingChain, tokens: int) -> None:
    token, owner = token_of(chain), address_of(chain.accounts[0].public_key)
    surplus = token_balance(chain.reader, SECTOR_ADDRESSES[FOOD], token) - tokens
    change_state(chain, lambda overlay: move_tokens(overlay, token, SECTOR_ADDRESSES[FOOD], owner, surplus))
