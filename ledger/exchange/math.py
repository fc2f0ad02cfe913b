"""The formulas of a constant-product pool, in integers, rounded for the pool. Pure.

Amounts and reserves are 0 to 2^63 − 1; products are Python's integers of any size, and what comes out is checked again.
Source: ledger.md, DEX; Uniswap v2 core and library (Adams, Zinsmeister, Robinson, 2020), whose results these are at a
fee of 30.
"""

from math import isqrt
from typing import Final

from ledger.encoding import MAX_INTEGER
from ledger.exchange.reasons import (
    AMOUNT_TOO_LARGE,
    AMOUNT_TOO_SMALL,
    INSUFFICIENT_LIQUIDITY,
    POOL_INVARIANT_BROKEN,
)
from ledger.registry import Rejected

FEE_DENOMINATOR: Final = 10_000
"""Fees are hundredths of a percent of what is paid in."""
LEAST_FEE_BP: Final = 10
GREATEST_FEE_BP: Final = 50
DEFAULT_FEE_BP: Final = 30

MINIMUM_SHARES: Final = 1_000
"""Shares of the first liquidity that nobody ever owns: who would make one share dear has to give away a thousand."""

MAX_AMOUNT: Final = MAX_INTEGER


def amount_out(amount_in: int, reserve_in: int, reserve_out: int, fee_bp: int) -> int:
    """What the pool pays for `amount_in`, rounded down; less than `reserve_out` always."""
    kept = amount_in * (FEE_DENOMINATOR - fee_bp)
    return kept * reserve_out // (reserve_in * FEE_DENOMINATOR + kept)


def amount_in(amount_out: int, reserve_in: int, reserve_out: int, fee_bp: int) -> int:
    """What the pool asks for `amount_out`: the exact price rounded down, and 1.

    Errors: `Rejected` InsufficientLiquidity when it does not hold more than that.
    """
    if amount_out >= reserve_out:
        raise Rejected(INSUFFICIENT_LIQUIDITY, f"the pool holds {reserve_out} units, {amount_out} asked for")
    asked = reserve_in * amount_out * FEE_DENOMINATOR
    return asked // ((reserve_out - amount_out) * (FEE_DENOMINATOR - fee_bp)) + 1


def check_trade(reserve_in: int, reserve_out: int, fee_bp: int, paid: int, received: int) -> None:
    """Judge a finished trade by the pool's side alone: bounds, and k, the product of the reserves, without the fee.

    Errors: `Rejected` AmountTooSmall, AmountTooLarge, PoolInvariantBroken.
    """
    if paid < 1 or received < 1:
        raise Rejected(AMOUNT_TOO_SMALL, f"{paid} units in, {received} units out; nothing would be traded")
    if reserve_in + paid > MAX_AMOUNT:
        raise Rejected(AMOUNT_TOO_LARGE, f"reserve would be {reserve_in + paid} units, at most {MAX_AMOUNT}")
    after = ((reserve_in + paid) * FEE_DENOMINATOR - paid * fee_bp) * (reserve_out - received)
    before = reserve_in * reserve_out * FEE_DENOMINATOR
    if after < before:
        raise Rejected(POOL_INVARIANT_BROKEN, f"k would fall to {after} from {before}, fees apart")


def first_shares(first: int, second: int) -> int:
    """Shares of who founds a pool with these amounts: ⌊√(first × second)⌋ less those that nobody owns.

    Errors: `Rejected` InsufficientLiquidity.
    """
    shares = isqrt(first * second)
    if shares <= MINIMUM_SHARES:
        raise Rejected(
            INSUFFICIENT_LIQUIDITY,
            f"{shares} shares, more than {MINIMUM_SHARES} needed, which stay locked; give more of both",
        )
    return shares - MINIMUM_SHARES


def added_shares(
    max_first: int, max_second: int, reserve_first: int, reserve_second: int, shares: int
) -> tuple[int, int, int]:
    """(new shares, first, second): the most shares that both amounts buy, and what they cost.

    Shares are rounded down, both costs up: the pool gains less than a unit of each, the rest is never taken.
    Errors: `Rejected` AmountTooSmall, AmountTooLarge.
    """
    new = min(max_first * shares // reserve_first, max_second * shares // reserve_second)
    if new < 1:
        raise Rejected(AMOUNT_TOO_SMALL, f"{max_first} and {max_second} units buy no share")
    first = -(-new * reserve_first // shares)
    second = -(-new * reserve_second // shares)
    greatest = max(shares + new, reserve_first + first, reserve_second + second)
    if greatest > MAX_AMOUNT:
        raise Rejected(AMOUNT_TOO_LARGE, f"reserve or shares would be {greatest}, at most {MAX_AMOUNT}")
    return new, first, second


def removed_amounts(removed: int, reserve_first: int, reserve_second: int, shares: int) -> tuple[int, int]:
    """(first, second) that `removed` of all `shares` are worth, both rounded down.

    Either may be 0 in a pool of very unequal amounts, or such shares could never leave. Errors: `Rejected`
    AmountTooSmall when both are.
    """
    first = removed * reserve_first // shares
    second = removed * reserve_second // shares
    if not first and not second:
        raise Rejected(AMOUNT_TOO_SMALL, f"{removed} shares of {shares} are worth less than a unit of either")
    return first, second
