"""The formulas against Uniswap v2's published ones and against rational numbers; attacks D1 and D4 on the numbers."""

from collections.abc import Callable
from fractions import Fraction
from math import isqrt
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.exchange.math import (
    FEE_DENOMINATOR,
    MAX_AMOUNT,
    MINIMUM_SHARES,
    added_shares,
    amount_in,
    amount_out,
    check_trade,
    first_shares,
    removed_amounts,
)
from ledger.registry import Rejected

AMOUNTS = st.integers(1, MAX_AMOUNT)
FEES = st.integers(10, 50)


def uniswap_get_amount_out(amount_in: int, reserve_in: int, reserve_out: int) -> int:
    """UniswapV2Library.getAmountOut, as published."""
    amount_in_with_fee = amount_in * 997
    numerator = amount_in_with_fee * reserve_out
    denominator = reserve_in * 1000 + amount_in_with_fee
    return numerator // denominator


def uniswap_get_amount_in(amount_out: int, reserve_in: int, reserve_out: int) -> int:
    """UniswapV2Library.getAmountIn, as published."""
    numerator = reserve_in * amount_out * 1000
    denominator = (reserve_out - amount_out) * 997
    return numerator // denominator + 1


def exact_out(paid: Fraction, reserve_in: int, reserve_out: int, fee_bp: int) -> Fraction:
    """What the curve x·y = k gives for `paid` less the fee, in rational numbers."""
    kept = paid * (1 - Fraction(fee_bp, FEE_DENOMINATOR))
    return reserve_out - Fraction(reserve_in * reserve_out) / (reserve_in + kept)


def exact_in(received: Fraction, reserve_in: int, reserve_out: int, fee_bp: int) -> Fraction:
    """What must be paid for `received`, in rational numbers."""
    kept = Fraction(reserve_in * reserve_out) / (reserve_out - received) - reserve_in
    return kept / (1 - Fraction(fee_bp, FEE_DENOMINATOR))


def result_or_reason(formula: Callable[..., tuple[int, ...]], *arguments: int) -> tuple[int, ...] | str:
    """What a formula gives, or why it rejects."""
    try:
        return formula(*arguments)
    except Rejected as rejected:
        return rejected.reason


def any_size(rng: Random) -> int:
    """1 to 2^63 − 1, all magnitudes alike."""
    return rng.randrange(1, 1 << rng.randrange(1, 64))


def test_results_equal_the_published_formulas_of_uniswap_v2_at_its_fee() -> None:
    rng = Random(1)
    for _ in range(10_000):
        amount, reserve_in, reserve_out = any_size(rng), any_size(rng), any_size(rng)
        assert amount_out(amount, reserve_in, reserve_out, 30) == uniswap_get_amount_out(
            amount, reserve_in, reserve_out
        )
        wanted = rng.randrange(reserve_out)
        assert amount_in(wanted, reserve_in, reserve_out, 30) == uniswap_get_amount_in(
            wanted, reserve_in, reserve_out
        )


@given(AMOUNTS, AMOUNTS, AMOUNTS, FEES)
@settings(max_examples=120, deadline=None)
def test_output_is_the_rational_one_rounded_down(
    paid: int, reserve_in: int, reserve_out: int, fee: int
) -> None:
    ideal = exact_out(Fraction(paid), reserve_in, reserve_out, fee)
    assert 0 <= ideal - amount_out(paid, reserve_in, reserve_out, fee) < 1


@given(st.data(), AMOUNTS, st.integers(2, MAX_AMOUNT), FEES)
@settings(max_examples=120, deadline=None)
def test_input_is_the_rational_one_and_at_most_one_more(
    data: st.DataObject, reserve_in: int, reserve_out: int, fee: int
) -> None:
    wanted = data.draw(st.integers(1, reserve_out - 1))
    ideal = exact_in(Fraction(wanted), reserve_in, reserve_out, fee)
    assert 0 < amount_in(wanted, reserve_in, reserve_out, fee) - ideal <= 1


@given(st.lists(st.tuples(AMOUNTS, AMOUNTS, FEES), min_size=1, max_size=4), AMOUNTS)
@settings(max_examples=100, deadline=None)
def test_path_loses_at_most_a_unit_a_hop_against_rational_numbers(
    pools: list[tuple[int, int, int]], paid: int
) -> None:
    """Of what a hop receives in integers: the error of one hop is the next one's smaller input, not its error."""
    received = paid
    for reserve_in, reserve_out, fee in pools:
        ideal = exact_out(Fraction(received), reserve_in, reserve_out, fee)
        received = amount_out(received, reserve_in, reserve_out, fee)
        assert ideal - 1 < received <= ideal


@given(AMOUNTS, AMOUNTS, st.integers(2, MAX_AMOUNT), FEES)
@settings(max_examples=120, deadline=None)
def test_D1_who_pays_what_an_output_costs_gets_at_least_that_output(
    wanted: int, reserve_in: int, reserve_out: int, fee: int
) -> None:
    wanted = 1 + wanted % (reserve_out - 1)
    asked = amount_in(wanted, reserve_in, reserve_out, fee)
    assert amount_out(asked, reserve_in, reserve_out, fee) >= wanted
    assert amount_out(max(0, asked - 2), reserve_in, reserve_out, fee) < wanted or asked < 3


@given(AMOUNTS, AMOUNTS, AMOUNTS, FEES)
@settings(max_examples=120, deadline=None)
def test_D1_there_and_back_never_gains(paid: int, reserve_in: int, reserve_out: int, fee: int) -> None:
    got = amount_out(paid, reserve_in, reserve_out, fee)
    back = amount_out(got, reserve_out - got, reserve_in + paid, fee)
    assert back <= paid
    assert (reserve_in + paid) * (reserve_out - got) >= reserve_in * reserve_out


@given(AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS, st.integers(MINIMUM_SHARES, MAX_AMOUNT))
@settings(max_examples=120, deadline=None)
def test_D1_added_shares_cost_their_part_and_less_than_a_unit_more(
    max_first: int, max_second: int, reserve_first: int, reserve_second: int, shares: int
) -> None:
    found = result_or_reason(added_shares, max_first, max_second, reserve_first, reserve_second, shares)
    if isinstance(found, str):
        assert found in ("AmountTooSmall", "AmountTooLarge")
        return
    new, first, second = found
    assert 1 <= first <= max_first
    assert 1 <= second <= max_second
    assert 0 <= first - Fraction(new * reserve_first, shares) < 1
    assert 0 <= second - Fraction(new * reserve_second, shares) < 1
    more = new + 1
    assert more * reserve_first > max_first * shares or more * reserve_second > max_second * shares


@given(st.data(), AMOUNTS, AMOUNTS, st.integers(MINIMUM_SHARES + 1, MAX_AMOUNT))
@settings(max_examples=120, deadline=None)
def test_D1_removed_shares_leave_less_than_a_unit_and_never_an_empty_pool(
    data: st.DataObject, reserve_first: int, reserve_second: int, shares: int
) -> None:
    removed = data.draw(st.integers(1, shares - MINIMUM_SHARES))
    found = result_or_reason(removed_amounts, removed, reserve_first, reserve_second, shares)
    if isinstance(found, str):
        assert found == "AmountTooSmall"
        assert removed * max(reserve_first, reserve_second) < shares
        return
    first, second = found
    assert 0 <= Fraction(removed * reserve_first, shares) - first < 1
    assert 0 <= Fraction(removed * reserve_second, shares) - second < 1
    assert first < reserve_first and second < reserve_second


@given(AMOUNTS, AMOUNTS)
@settings(max_examples=120, deadline=None)
def test_D3_first_shares_are_the_root_of_the_product_less_a_thousand(first: int, second: int) -> None:
    root = isqrt(first * second)
    if root <= MINIMUM_SHARES:
        with pytest.raises(Rejected, match=f"{root} shares, more than 1000 needed"):
            first_shares(first, second)
    else:
        assert first_shares(first, second) == root - 1_000


def test_D4_the_greatest_amounts_that_exist_are_traded_without_overflow() -> None:
    half = MAX_AMOUNT // 2
    out = amount_out(half, half, MAX_AMOUNT, 10)
    assert out == half * 9_990 * MAX_AMOUNT // (half * 10_000 + half * 9_990) < MAX_AMOUNT
    check_trade(half, MAX_AMOUNT, 10, half, out)
    assert first_shares(MAX_AMOUNT, MAX_AMOUNT) == MAX_AMOUNT - 1_000


def test_D4_trade_that_would_lift_a_reserve_above_63_bits_is_rejected() -> None:
    check_trade(MAX_AMOUNT - 5, MAX_AMOUNT, 10, 5, 4)
    with pytest.raises(Rejected, match="reserve would be 9223372036854775808 units") as caught:
        check_trade(MAX_AMOUNT - 5, MAX_AMOUNT, 10, 6, 5)
    assert caught.value.reason == "AmountTooLarge"


def test_D4_liquidity_that_would_lift_reserves_or_shares_above_63_bits_is_rejected() -> None:
    with pytest.raises(Rejected) as caught:
        added_shares(MAX_AMOUNT, MAX_AMOUNT, MAX_AMOUNT - 1, 10**6, 10**6)
    assert caught.value.reason == "AmountTooLarge"


def test_D4_price_beyond_63_bits_is_a_named_rejection() -> None:
    asked = amount_in(MAX_AMOUNT - 1, MAX_AMOUNT, MAX_AMOUNT, 30)
    assert asked > 2**100
    with pytest.raises(Rejected) as caught:
        check_trade(MAX_AMOUNT, MAX_AMOUNT, 30, asked, MAX_AMOUNT - 1)
    assert caught.value.reason == "AmountTooLarge"


@given(AMOUNTS, AMOUNTS, AMOUNTS, FEES)
@settings(max_examples=100, deadline=None)
def test_D4_the_check_after_a_trade_takes_the_right_output_and_no_unit_more(
    paid: int, reserve_in: int, reserve_out: int, fee: int
) -> None:
    out = amount_out(paid, reserve_in, reserve_out, fee)
    if reserve_in + paid > MAX_AMOUNT or not out:
        return
    check_trade(reserve_in, reserve_out, fee, paid, out)
    with pytest.raises(Rejected) as caught:
        check_trade(reserve_in, reserve_out, fee, paid, out + 1)
    assert caught.value.reason == "PoolInvariantBroken"


def test_the_whole_of_a_reserve_is_for_no_price() -> None:
    with pytest.raises(Rejected, match="the pool holds 100 units, 100 asked for") as caught:
        amount_in(100, 10**9, 100, 30)
    assert caught.value.reason == "InsufficientLiquidity"
