"""The figures of ledger/exchange/README.md."""

from dataclasses import replace

from builders.exchange import create_token
from builders.staking import NXT, StakingChain

from ledger.addresses import NXT_ASSET, address_of
from ledger.exchange.kinds import LiquidityAdd, LiquidityRemove, PoolCreate, Swap
from ledger.exchange.liquidity import create_pool
from ledger.exchange.pools import POOL_PREFIX, address_of_pair, known_pool, pool_reserves
from ledger.exchange.swapping import swap
from ledger.exchange.twap import twap
from ledger.state import Overlay


def test_worked_example_of_the_readme() -> None:
    chain = StakingChain(1, seed="worked example")
    founder, trader = chain.accounts[0], chain.accounts[0]
    grain = create_token(chain, founder, "GRAIN", 10**13)
    pool = address_of_pair(NXT_ASSET, grain)
    steps = [
        (
            "pool_create",
            PoolCreate(NXT_ASSET, grain, 30, 100_000_000_000, 2_000_000_000_000),
            (100_000_000_000, 2_000_000_000_000, 447_213_594_499),
            (100_000_000_000, 2_000_000_000_000, 447_213_595_499),
        ),
        (
            "swap",
            Swap((NXT_ASSET, grain), 0, 700_000_000, 1),
            (700_000_000, 13_861_262_250),
            (100_700_000_000, 1_986_138_737_750, 447_213_595_499),
        ),
        (
            "liquidity_add",
            LiquidityAdd(NXT_ASSET, grain, 1_000_000_000, 10**12, 1),
            (1_000_000_000, 19_723_324_106, 4_441_048_614),
            (101_700_000_000, 2_005_862_061_856, 451_654_644_113),
        ),
        (
            "swap",
            Swap((NXT_ASSET, grain), 1, 1_000_000_000, NXT),
            (50_879_320, 1_000_000_000),
            (101_750_879_320, 2_004_862_061_856, 451_654_644_113),
        ),
        (
            "liquidity_remove",
            LiquidityRemove(NXT_ASSET, grain, 4_441_048_614, 1, 1),
            (1_000_500_288, 19_713_491_264, 4_441_048_614),
            (100_750_379_032, 1_985_148_570_592, 447_213_595_499),
        ),
    ]
    for kind, payload, result, after in steps:
        assert chain.send(trader, kind, payload) == ""
        assert chain.outcomes[-1].receipts[0].result == result
        assert (*pool_reserves(chain.reader, pool), known_pool(chain.reader, pool).shares) == after
    raw = chain.state[POOL_PREFIX + pool]
    assert len(raw) == 138
    assert raw[:50] == NXT_ASSET + grain + (30).to_bytes(2, "big") + (447_213_595_499).to_bytes(8, "big")


def test_worked_average_of_the_readme() -> None:
    chain = StakingChain(1, seed="worked example")
    grain = create_token(chain, chain.accounts[0], "GRAIN", 10**13)
    owner, pool = address_of(chain.accounts[0].public_key), address_of_pair(NXT_ASSET, grain)
    overlay = Overlay(chain.reader)
    founded, traded = (replace(chain.context(), slot=slot) for slot in (5, 105))
    create_pool(overlay, owner, NXT_ASSET, grain, 30, 1_000 * NXT, 2 * 10**12, founded)
    swap(overlay, owner, (NXT_ASSET, grain), 0, 7 * NXT, 1, traded)
    found = twap(overlay, pool, window_epochs=1_000, epoch=6, slot=205)
    second = (1_986_138_737_750 << 112) // 100_700_000_000
    assert found is not None
    assert found.first_price_q112 == (100 * (20 << 112) + 100 * second) // 200
    assert found.first_price_q112 * 10_000 >> 112 == 198_616
