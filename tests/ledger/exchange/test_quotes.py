"""Quotes are the swap itself, seen before; price impact and the search for a path."""

from copy import copy
from dataclasses import replace
from fractions import Fraction
from itertools import permutations
from random import Random

import pytest
from builders.exchange import Market, create_token, found_pool, market
from builders.staking import NXT, StakingChain

from ledger.addresses import NXT_ASSET
from ledger.exchange.kinds import Swap
from ledger.exchange.quotes import Quote, best_quote, quote
from ledger.registry import Rejected
from ledger.state import StateListing


@pytest.fixture(scope="module")
def founded() -> Market:
    return market("quotes")


@pytest.fixture
def place(founded: Market) -> Market:
    return replace(founded, chain=copy(founded.chain))


@pytest.mark.parametrize("exact", [0, 1])
@pytest.mark.parametrize("hops", [1, 2, 3])
def test_quote_is_what_the_swap_then_does(place: Market, exact: int, hops: int) -> None:
    path = (NXT_ASSET, place.a, place.b, place.c)[: hops + 1]
    seen = quote(place.chain.reader, path, exact, 2 * NXT)
    limit = seen.amount_in if exact else seen.amount_out
    assert place.chain.send(place.trader, "swap", Swap(path, exact, 2 * NXT, limit)) == ""
    assert place.last_result() == (seen.amount_in, seen.amount_out)
    assert [hop.fee_bp for hop in seen.hops] == [30, 10, 50][:hops]
    assert all(hop.fee == -(-hop.amount_in * hop.fee_bp // 10_000) for hop in seen.hops)


def test_price_impact_is_the_loss_against_the_spot_price_after_fees(place: Market) -> None:
    """Paying a tenth of the reserve, less the fee, gives 1/(1 + 0.0997) of the spot price."""
    seen = quote(place.chain.reader, (NXT_ASSET, place.a), 0, 100 * NXT)
    assert Fraction(*seen.spot_price) == 20
    ideal = Fraction(100 * NXT * 9_970, 10_000) * 20
    loss = 1 - seen.amount_out / ideal
    assert 0 <= seen.price_impact_ppm - loss * 1_000_000 < 1
    assert seen.price_impact_ppm == 90_662


def test_small_swap_has_next_to_no_price_impact(place: Market) -> None:
    assert quote(place.chain.reader, (NXT_ASSET, place.a), 0, NXT // 1_000).price_impact_ppm <= 2


def test_quote_says_why_there_is_none(place: Market) -> None:
    reader = place.chain.reader
    with pytest.raises(Rejected) as caught:
        quote(reader, (place.a, place.c), 0, 1)
    assert caught.value.reason == "UnknownPool"
    with pytest.raises(Rejected) as caught:
        quote(reader, (NXT_ASSET, place.a), 1, 2 * 10**12)
    assert caught.value.reason == "InsufficientLiquidity"


def test_search_finds_the_only_path(place: Market) -> None:
    found = best_quote(place.chain.store(), NXT_ASSET, place.c, 0, NXT)
    assert found is not None and found.path in (
        (NXT_ASSET, place.a, place.b, place.c),
        (NXT_ASSET, place.b, place.c),
    )
    assert best_quote(place.chain.store(), NXT_ASSET, b"u" * 20, 0, NXT) is None


def every_path(state: StateListing, assets: list[bytes], exact: int, amount: int) -> list[Quote]:
    """Quotes of all paths from the first to the last asset."""
    found = []
    for hops in range(1, 5):
        for middle in permutations(assets[1:-1], hops - 1):
            try:
                found.append(quote(state, (assets[0], *middle, assets[-1]), exact, amount))
            except Rejected:
                continue
    return found


@pytest.mark.parametrize("seed", range(3))
def test_search_is_as_good_as_trying_every_path(seed: int) -> None:
    rng = Random(seed)
    chain = StakingChain(1, seed=f"paths {seed}")
    founder = chain.accounts[0]
    assets = [NXT_ASSET, *(create_token(chain, founder, f"T{number}") for number in range(5))]
    for one in range(6):
        for other in range(one + 1, 6):
            if rng.random() < 0.7:
                amounts = {
                    assets[one]: rng.randrange(10**9, 10**10),
                    assets[other]: rng.randrange(10**9, 10**12),
                }
                found_pool(chain, founder, amounts, fee_bp=rng.choice((10, 30, 50)))
    store = chain.store()
    for _ in range(12):
        rng.shuffle(assets)
        exact, amount = rng.randrange(2), rng.choice((10**5, 10**8, 10**9))
        quotes = every_path(store, assets, exact, amount)
        best = best_quote(store, assets[0], assets[-1], exact, amount)
        if not quotes:
            assert best is None
            continue
        assert best is not None
        if exact:
            assert best.amount_in <= min(one.amount_in for one in quotes) * 101 // 100
        else:
            assert best.amount_out >= max(one.amount_out for one in quotes) * 99 // 100
