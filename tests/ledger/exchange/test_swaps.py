"""Swaps as transactions: exact in and out, several pools, bounds that the sender signed, faults, sandwiches (D2)."""

from copy import copy
from dataclasses import replace

import pytest
from builders.exchange import GIVEN, Market, create_token, found_pool, market, token_faults
from builders.failing_overlay import fail_at_every_write
from builders.ledger import merged_block
from builders.staking import NXT
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.accounts import FEES_ADDRESS
from ledger.addresses import NXT_ASSET, address_of
from ledger.encoding import Record
from ledger.errors import LedgerError
from ledger.exchange.kinds import PoolCreate, Swap, check_swap
from ledger.exchange.math import MAX_AMOUNT, amount_in, amount_out
from ledger.exchange.pools import address_of_pair
from ledger.exchange.swapping import plan_swap, swap
from ledger.execution import FAILED, SKIPPED, execute_mergeset
from ledger.registry import Rejected
from ledger.state import Overlay, account_key, fee_credit_key
from ledger.tokens.records import asset_balance, token_balance
from ledger.transactions import sign_transaction


@pytest.fixture(scope="module")
def founded() -> Market:
    return market("swaps")


@pytest.fixture
def place(founded: Market) -> Market:
    """The founded market, its state as founded."""
    return founded.fresh()


def test_exact_in_pays_the_amount_and_gives_what_the_formula_says(place: Market) -> None:
    trader = address_of(place.trader.public_key)
    assert place.chain.send(place.trader, "swap", Swap((NXT_ASSET, place.a), 0, 7 * NXT, 1)) == ""
    out = amount_out(7 * NXT, 1_000 * NXT, 2 * 10**12, 30)
    assert place.last_result() == (7 * NXT, out)
    assert place.reserves(NXT_ASSET, place.a) == (1_007 * NXT, 2 * 10**12 - out)
    assert token_balance(place.chain.reader, trader, place.a) == GIVEN + out


def test_exact_out_gives_the_amount_and_takes_what_the_formula_says(place: Market) -> None:
    before = place.chain.account(place.trader).balance
    assert place.chain.send(place.trader, "swap", Swap((NXT_ASSET, place.a), 1, 10**9, 10**9)) == ""
    paid = amount_in(10**9, 1_000 * NXT, 2 * 10**12, 30)
    assert place.last_result() == (paid, 10**9)
    fee = place.chain.outcomes[-1].receipts[0].fee
    assert before - place.chain.account(place.trader).balance == paid + fee
    assert place.reserves(NXT_ASSET, place.a) == (1_000 * NXT + paid, 2 * 10**12 - 10**9)


@pytest.mark.parametrize("exact", [0, 1])
def test_path_of_three_pools_is_its_hops_in_a_row(place: Market, exact: int) -> None:
    path = (NXT_ASSET, place.a, place.b, place.c)
    pools = [(30, path[0:2]), (10, path[1:3]), (50, path[2:4])]
    amount = 3 * NXT
    if exact:
        for fee, pair in reversed(pools):
            amount = amount_in(amount, *place.reserves(*pair), fee)
    else:
        for fee, pair in pools:
            amount = amount_out(amount, *place.reserves(*pair), fee)
    limit = amount
    assert place.chain.send(place.trader, "swap", Swap(path, exact, 3 * NXT, limit)) == ""
    assert place.last_result() == ((amount, 3 * NXT) if exact else (3 * NXT, amount))
    assert token_faults(place.chain.store()) == []


def test_path_of_four_pools_and_back_to_another_asset(place: Market) -> None:
    chain = place.chain
    d = create_token(chain, place.founder, "DDD")
    found_pool(chain, place.founder, {place.c: 10**12, d: 10**12})
    path = (NXT_ASSET, place.a, place.b, place.c, d)
    assert chain.send(place.trader, "swap", Swap(path, 0, NXT, 1)) == ""
    assert token_balance(chain.reader, address_of(place.trader.public_key), d) == place.last_result()[1] > 0


def test_swap_into_nxt_credits_the_account(place: Market) -> None:
    before = place.chain.account(place.trader).balance
    assert place.chain.send(place.trader, "swap", Swap((place.a, NXT_ASSET), 0, 10**9, 1)) == ""
    fee = place.chain.outcomes[-1].receipts[0].fee
    assert place.chain.account(place.trader).balance - before + fee == place.last_result()[1] > 0


@pytest.mark.parametrize("exact", [0, 1])
def test_D2_price_that_moved_beyond_the_signed_limit_rejects_the_swap(place: Market, exact: int) -> None:
    reader = place.chain.reader
    path = (NXT_ASSET, place.a)
    hops = plan_swap(reader, path, exact, NXT)
    limit = hops[0].amount_in if exact else hops[-1].amount_out
    victim = place.chain.signed(place.trader, "swap", Swap(path, exact, NXT, limit))
    assert place.chain.send(place.chain.accounts[2], "swap", Swap(path, 0, 1_000, 1)) == ""
    before = dict(place.chain.state)
    outcome = execute_mergeset(
        place.chain.reader, [merged_block([victim])], place.chain.context(), place.chain.registry
    )
    [receipt] = outcome.receipts
    assert (receipt.status, receipt.reason, receipt.result) == (FAILED, "SlippageExceeded", ())
    assert set(outcome.changes) == {
        account_key(victim.sender),
        account_key(FEES_ADDRESS),
        fee_credit_key(0),
        b"lf",
    }
    assert before == place.chain.state


def test_D2_limit_of_nothing_cannot_be_signed(place: Market) -> None:
    with pytest.raises(LedgerError, match="limit is 0, expected at least 1"):
        place.chain.signed(place.trader, "swap", Swap((NXT_ASSET, place.a), 0, NXT, 0))


def test_D2_swap_after_its_deadline_is_skipped_and_costs_nothing(place: Market) -> None:
    """The deadline is the envelope's expiry slot, which the sender signed."""
    context = place.chain.context()
    late = sign_transaction(
        place.trader,
        place.chain.rules,
        nonce=place.chain.account(place.trader).nonce,
        expiry_slot=context.slot - 1,
        fee=None,
        kind=place.chain.registry.named("swap"),  # type: ignore[arg-type]
        payload_record=Swap((NXT_ASSET, place.a), 0, NXT, 1),
    )
    outcome = execute_mergeset(place.chain.reader, [merged_block([late])], context, place.chain.registry)
    assert (outcome.receipts[0].status, outcome.receipts[0].reason) == (SKIPPED, "Expired")
    assert outcome.changes == {}


@given(st.integers(1_000, 200 * NXT), st.integers(1_000, 50 * NXT), st.integers(0, 30_000))
@settings(max_examples=60, deadline=None)
def test_D2_sandwich_takes_no_more_than_the_victim_signed(
    front: int, amount: int, tolerance_ppm: int
) -> None:
    """Whatever the attacker puts before and after, the victim gets its limit or keeps its money.

    And what the attacker earns is at most what the curve leaves between the victim's payment and its limit.
    """
    path, attacker, victim = (NXT_ASSET, MARKET.a), b"a" * 20, b"v" * 20
    overlay = Overlay(MARKET.chain.reader)
    for one in (attacker, victim):
        overlay.credit(one, 300 * NXT)
    context = MARKET.chain.context()
    fair = plan_swap(overlay, path, 0, amount)[-1].amount_out
    limit = max(1, fair - fair * tolerance_ppm // 1_000_000)
    _, bought = swap(overlay, attacker, path, 0, front, 1, context)
    mark = overlay.checkpoint()
    try:
        swap(overlay, victim, path, 0, amount, limit, context)
    except Rejected:
        overlay.rollback(mark)
        paid = False
        assert overlay.account(victim).balance == 300 * NXT
        assert overlay.get(b"tb" + victim + MARKET.a) is None
    else:
        paid = True
        assert token_balance(overlay, victim, MARKET.a) >= limit
    swap(overlay, attacker, path[::-1], 0, bought, 1, context)
    taken = overlay.account(attacker).balance - 300 * NXT
    nxt, tokens = 1_000 * NXT, 2 * 10**12
    if paid:
        assert (nxt + amount - taken) * (tokens - limit) >= nxt * tokens
    else:
        assert taken <= 0


MARKET = market("sandwich")


def test_D1_round_trips_leave_the_trader_with_less(place: Market) -> None:
    trader = address_of(place.trader.public_key)
    overlay = Overlay(place.chain.reader)
    start = asset_balance(overlay, trader, place.a)
    for _ in range(20):
        _, got = swap(overlay, trader, (place.a, place.b, NXT_ASSET), 0, 10**10, 1, place.chain.context())
        swap(overlay, trader, (NXT_ASSET, place.b, place.a), 0, got, 1, place.chain.context())
    assert asset_balance(overlay, trader, place.a) < start


def test_D4_exact_out_of_more_than_the_pool_has_is_rejected(place: Market) -> None:
    for wanted in (2 * 10**12, 2 * 10**12 + 1, MAX_AMOUNT):
        payload = Swap((NXT_ASSET, place.a), 1, wanted, MAX_AMOUNT)
        assert place.chain.send(place.trader, "swap", payload) == "InsufficientLiquidity"


def test_D4_pool_of_the_greatest_supplies_trades_and_refuses_to_overflow(place: Market) -> None:
    chain = place.chain
    x, y = (create_token(chain, place.founder, symbol, MAX_AMOUNT) for symbol in ("XXX", "YYY"))
    half = MAX_AMOUNT // 2
    found_pool(chain, place.founder, {x: half, y: half})
    assert chain.send(place.founder, "swap", Swap((x, y), 0, half, 1)) == ""
    assert place.last_result() == (half, amount_out(half, half, half, 30))
    assert chain.send(place.founder, "swap", Swap((x, y), 0, MAX_AMOUNT, 1)) == "AmountTooLarge"
    assert chain.send(place.founder, "swap", Swap((x, y), 1, half // 3, MAX_AMOUNT)) in (
        "AmountTooLarge",
        "InsufficientTokens",
    )
    assert token_faults(chain.store()) == []


def test_D4_amount_that_rounds_to_nothing_is_rejected(place: Market) -> None:
    assert place.chain.send(place.trader, "swap", Swap((place.c, place.b), 0, 1, 1)) == "AmountTooSmall"


def test_one_buys_only_with_what_one_has(place: Market) -> None:
    payload = Swap((NXT_ASSET, place.a), 0, 6_000 * NXT, 1)
    assert place.chain.send(place.trader, "swap", payload) == "InsufficientBalance"
    payload = Swap((place.a, NXT_ASSET), 0, GIVEN + 1, 1)
    assert place.chain.send(place.trader, "swap", payload) == "InsufficientTokens"


def test_unknown_pool_in_the_middle_moves_nothing(place: Market) -> None:
    payload = Swap((NXT_ASSET, place.a, place.c), 0, NXT, 1)
    before = place.reserves(NXT_ASSET, place.a)
    assert place.chain.send(place.trader, "swap", payload) == "UnknownPool"
    assert place.reserves(NXT_ASSET, place.a) == before


A, B, C, D, E = (bytes([number]) * 20 for number in range(1, 6))


@pytest.mark.parametrize(
    "payload",
    [
        Swap((A,), 0, 1, 1),
        Swap((A, A), 0, 1, 1),
        Swap((A, B, A), 0, 1, 1),
        Swap((A, B, C, A), 0, 1, 1),
        Swap((A, B, C, B), 0, 1, 1),
        Swap((A, B, C, D, E, NXT_ASSET), 0, 1, 1),
        Swap((A, B[:19]), 0, 1, 1),
        Swap((A, B), 2, 1, 1),
        Swap((A, B), 0, 0, 1),
        Swap((A, B), 0, 2**63, 1),
        Swap((A, B), 0, 1, 2**63),
    ],
)
def test_payload_out_of_range_never_becomes_a_transaction(place: Market, payload: Record) -> None:
    with pytest.raises(LedgerError):
        place.chain.signed(place.trader, "swap", payload)


def test_path_of_five_assets_is_accepted(place: Market) -> None:
    check_swap(Swap((A, B, C, D, E), 0, 1, 1), place.chain.rules)


PATHS = {
    "NXT to token": (NXT_ASSET, MARKET.a),
    "token to NXT": (MARKET.b, NXT_ASSET),
    "token to token": (MARKET.a, MARKET.b),
    "three pools": (NXT_ASSET, MARKET.a, MARKET.b, MARKET.c),
}


@pytest.mark.parametrize("name", list(PATHS))
@pytest.mark.parametrize("exact", [0, 1])
def test_L25_fault_at_any_write_leaves_the_root(name: str, exact: int) -> None:
    path = PATHS[name]
    transaction = MARKET.chain.signed(
        MARKET.trader, "swap", Swap(path, exact, 10**8, MAX_AMOUNT if exact else 1)
    )
    registered = MARKET.chain.registry.named("swap")
    assert registered is not None
    context = MARKET.at(slot=77, epoch=1)
    writes = fail_at_every_write(
        MARKET.chain.state,
        lambda overlay: registered.apply(overlay, transaction, transaction.payload, context),
    )
    hops = len(path) - 1
    assert writes == 2 * hops + 2 * (hops + 1), "pool and observations a hop; a debit and a credit a leg"


@pytest.mark.parametrize("name", list(PATHS))
def test_swap_touches_no_more_records_than_it_pays_for_and_undoes(place: Market, name: str) -> None:
    path = PATHS[name]
    place = replace(place, chain=copy(MARKET.chain))
    place.chain.go_to(1)
    transaction = place.chain.signed(place.trader, "swap", Swap(path, 0, 10**8, 1))
    outcome = execute_mergeset(
        place.chain.reader,
        [merged_block([transaction], epoch=1)],
        place.chain.context(),
        place.chain.registry,
    )
    assert outcome.receipts[0].reason == ""
    of_the_fee = {account_key(transaction.sender), account_key(FEES_ADDRESS), fee_credit_key(0), b"lf"}
    registered = place.chain.registry.named("swap")
    assert registered is not None
    assert len(set(outcome.changes) - of_the_fee) == registered.touches(transaction.payload)
    before = dict(place.chain.state)
    place.chain.apply(outcome.changes)
    place.chain.apply(outcome.previous)
    assert place.chain.state == before


def test_second_swap_in_a_slot_leaves_the_pools_record_alone(place: Market) -> None:
    place.chain.send(place.trader, "swap", Swap((NXT_ASSET, place.a), 0, NXT, 1))
    place.chain.send(place.trader, "swap", Swap((NXT_ASSET, place.a), 0, NXT, 1))
    assert b"dp" + address_of_pair(NXT_ASSET, place.a) not in place.chain.outcomes[-1].changes


@pytest.mark.parametrize(
    ("payload", "units"),
    [
        (Swap((NXT_ASSET, A), 0, 500, 1), 500),
        (Swap((NXT_ASSET, A), 1, 500, 900), 1),
        (Swap((A, NXT_ASSET), 0, 500, 1), 0),
        (Swap((A, B), 1, 500, 900), 0),
        (PoolCreate(NXT_ASSET, A, 30, 500, 9), 500),
        (PoolCreate(A, B, 30, 500, 9), 0),
    ],
)
def test_mempool_learns_the_units_without_which_it_cannot_apply(
    place: Market, payload: Record, units: int
) -> None:
    kind = place.chain.registry.named("swap" if isinstance(payload, Swap) else "pool_create")
    assert kind is not None
    assert kind.spends(payload) == units
