"""Average prices over time; a move within one slot hardly counts (D5)."""

from copy import copy
from dataclasses import replace
from fractions import Fraction
from random import Random

import pytest
from builders.exchange import Market, market
from builders.staking import NXT

from ledger.addresses import NXT_ASSET, address_of
from ledger.exchange.liquidity import add_liquidity, remove_liquidity
from ledger.exchange.pools import address_of_pair, known_pool, pool_reserves, read_pool
from ledger.exchange.swapping import swap
from ledger.exchange.twap import (
    MAX_OBSERVATIONS,
    PRICE_BITS,
    Twap,
    observations_key,
    read_observations,
    settled_shares,
    twap,
)
from ledger.registry import Rejected
from ledger.state import Overlay

ONE = 1 << PRICE_BITS
EPOCH_SLOTS = 32


@pytest.fixture(scope="module")
def founded() -> Market:
    return market("twap")


@pytest.fixture
def place(founded: Market) -> Market:
    return replace(founded, chain=copy(founded.chain))


@pytest.fixture
def overlay(place: Market) -> Overlay:
    """Over the founded market, with a rich trader."""
    overlay = Overlay(place.chain.reader)
    overlay.credit(TRADER, 100_000 * NXT)
    return overlay


TRADER = b"t" * 20


def read(place: Market, overlay: Overlay, slot: int, window_epochs: int = 8) -> Twap:
    pool = address_of_pair(NXT_ASSET, place.a)
    found = twap(overlay, pool, window_epochs=window_epochs, epoch=slot // EPOCH_SLOTS, slot=slot)
    assert found is not None
    return found


def trade(place: Market, overlay: Overlay, slot: int, amount: int, *, back: bool = False) -> int:
    """Swap in a slot; what came out."""
    path = (place.a, NXT_ASSET) if back else (NXT_ASSET, place.a)
    return swap(overlay, TRADER, path, 0, amount, 1, place.at(slot, slot // EPOCH_SLOTS))[1]


def settled(overlay: Overlay, pool: bytes, epoch: int) -> int:
    return settled_shares(overlay, known_pool(overlay, pool), window_epochs=2, epoch=epoch)


def price(place: Market, overlay: Overlay) -> Fraction:
    nxt, tokens = pool_reserves(overlay, address_of_pair(NXT_ASSET, place.a))
    return Fraction(tokens, nxt)


def test_price_that_stands_still_is_its_own_average(place: Market, overlay: Overlay) -> None:
    found = read(place, overlay, 105)
    assert (found.first_price_q112, found.second_price_q112) == (20 * ONE, ONE // 20)
    assert (found.from_slot, found.slots) == (5, 100)


def test_D5_flash_move_that_is_undone_within_a_slot_counts_nothing(place: Market, overlay: Overlay) -> None:
    before = read(place, overlay, 105)
    got = trade(place, overlay, 100, 9_000 * NXT)
    assert price(place, overlay) < Fraction(20, 90)
    assert read(place, overlay, 100).first_price_q112 == before.first_price_q112
    trade(place, overlay, 100, got, back=True)
    after = read(place, overlay, 105)
    assert abs(after.first_price_q112 - before.first_price_q112) * 100 < before.first_price_q112


def test_D5_move_that_lasts_one_slot_counts_one_slot(place: Market, overlay: Overlay) -> None:
    """A tenfold reserve for one slot of 1,000: the spot price falls to a hundredth, the average by a thousandth.

    And by what the fees of both trades leave in the pool since.
    """
    got = trade(place, overlay, 904, 9_000 * NXT)
    moved = price(place, overlay)
    trade(place, overlay, 905, got, back=True)
    found = read(place, overlay, 1_005, window_epochs=30)
    assert found.slots == 1_000
    lost = 1 - Fraction(found.first_price_q112, 20 * ONE)
    assert moved < Fraction(1, 4)
    assert Fraction(9, 10_000) < lost < Fraction(20, 10_000)


def test_D5_last_trade_of_the_block_does_not_move_what_readers_see_in_its_slot(
    place: Market, overlay: Overlay
) -> None:
    before = read(place, overlay, 500)
    trade(place, overlay, 500, 9_000 * NXT)
    assert read(place, overlay, 500) == before


def test_average_equals_the_sum_over_slots_of_prices_at_their_beginning(
    place: Market, overlay: Overlay
) -> None:
    rng = Random(5)
    sums = [0, 0]
    slot = 5
    provider = address_of(place.founder.public_key)
    pool = address_of_pair(NXT_ASSET, place.a)
    for _ in range(60):
        step = rng.randrange(4)
        nxt, tokens = pool_reserves(overlay, pool)
        sums[0] += (tokens << PRICE_BITS) // nxt * step
        sums[1] += (nxt << PRICE_BITS) // tokens * step
        slot += step
        context = place.at(slot, slot // EPOCH_SLOTS)
        match rng.randrange(4):
            case 0:
                add_liquidity(overlay, provider, pool, rng.randrange(10, 10**9), 10**12, 0, context)
            case 1:
                remove_liquidity(overlay, provider, pool, rng.randrange(10**3, 10**8), 0, 0, context)
            case 2:
                trade(place, overlay, slot, rng.randrange(10, 10**10))
            case _:
                trade(place, overlay, slot, rng.randrange(10**4, 10**10), back=True)
    found = read(place, overlay, slot, window_epochs=99)
    assert found.slots == slot - 5
    assert found.first_price_q112 == sums[0] // found.slots
    assert found.second_price_q112 == sums[1] // found.slots


def test_observation_is_made_once_an_epoch_at_the_first_touch(place: Market, overlay: Overlay) -> None:
    pool = address_of_pair(NXT_ASSET, place.a)
    for slot in (33, 34, 40, 70, 71):
        trade(place, overlay, slot, NXT)
    assert [(one.epoch, one.slot) for one in read_observations(overlay, pool)] == [(0, 5), (1, 33), (2, 70)]
    raw = overlay.get(observations_key(pool))
    assert raw is not None and len(raw) == 3 * 88


def test_shares_that_come_or_go_within_the_window_are_not_settled(place: Market, overlay: Overlay) -> None:
    """A second provider comes in the last slot of epoch 1, and is away for one slot of epoch 3."""
    owner, pool = address_of(place.founder.public_key), address_of_pair(NXT_ASSET, place.a)
    founded = settled(overlay, pool, 2)
    trade(place, overlay, EPOCH_SLOTS, NXT)
    _, _, added = add_liquidity(overlay, owner, pool, 500 * NXT, 10**13, 1, place.at(2 * EPOCH_SLOTS - 1, 1))
    assert settled(overlay, pool, 2) == founded
    trade(place, overlay, 2 * EPOCH_SLOTS, NXT)
    trade(place, overlay, 3 * EPOCH_SLOTS, NXT)
    assert settled(overlay, pool, 3) == founded
    assert settled(overlay, pool, 4) == founded + added
    remove_liquidity(overlay, owner, pool, added, 0, 0, place.at(3 * EPOCH_SLOTS + 1, 3))
    add_liquidity(overlay, owner, pool, 500 * NXT, 10**13, 1, place.at(3 * EPOCH_SLOTS + 2, 3))
    trade(place, overlay, 4 * EPOCH_SLOTS, NXT)
    assert [settled(overlay, pool, epoch) for epoch in (4, 5)] == [founded, founded]
    assert settled(overlay, pool, 6) > founded


def test_only_the_latest_observations_are_kept(place: Market, overlay: Overlay) -> None:
    pool = address_of_pair(NXT_ASSET, place.a)
    for epoch in range(1, 20):
        trade(place, overlay, epoch * EPOCH_SLOTS + 3, NXT)
    epochs = [one.epoch for one in read_observations(overlay, pool)]
    assert epochs == list(range(20 - MAX_OBSERVATIONS, 20))


def test_window_begins_at_the_newest_observation_that_is_old_enough(place: Market, overlay: Overlay) -> None:
    for epoch in range(1, 6):
        trade(place, overlay, epoch * EPOCH_SLOTS, NXT)
    slot = 5 * EPOCH_SLOTS + 7
    begins = [read(place, overlay, slot, window).from_slot for window in (0, 1, 3, 5, 8)]
    assert begins == [160, 128, 64, 5, 5]


def test_pool_that_nobody_touches_for_long_keeps_its_price(place: Market, overlay: Overlay) -> None:
    trade(place, overlay, 40, 9_000 * NXT)
    found = read(place, overlay, 10**7, window_epochs=8)
    real = price(place, overlay)
    assert abs(Fraction(found.first_price_q112, ONE) - real) < real / 1_000


def test_sums_wrap_around_at_256_bits(place: Market, overlay: Overlay) -> None:
    pool = address_of_pair(NXT_ASSET, place.a)
    record = read_pool(overlay, pool)
    assert record is not None
    raw = overlay.get(b"dp" + pool)
    assert raw is not None
    near = (2**256 - 5).to_bytes(32, "big")
    overlay.put(b"dp" + pool, raw[:-64] + near + near)
    observations = overlay.get(observations_key(pool))
    assert observations is not None
    overlay.put(observations_key(pool), observations[:24] + near + near)
    assert read(place, overlay, 105).first_price_q112 == 20 * ONE
    trade(place, overlay, 105, NXT)
    record = read_pool(overlay, pool)
    assert record is not None and record.cumulative_first == 100 * 20 * ONE - 5


def test_average_over_no_slot_is_none(place: Market, overlay: Overlay) -> None:
    pool = address_of_pair(NXT_ASSET, place.a)
    assert twap(overlay, pool, window_epochs=1, epoch=0, slot=5) is None
    with pytest.raises(Rejected):
        twap(overlay, b"n" * 20, window_epochs=1, epoch=0, slot=5)
