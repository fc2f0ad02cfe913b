"""The arithmetic of shares: always rounded against whoever asks."""

from random import Random

import pytest

from ledger.registry import Rejected
from ledger.staking.shares import shares_for, units_of


@pytest.mark.parametrize(("shares", "units"), [(1, 0), (2, 1), (3, 2), (4, 2), (7, 5)])
def test_worth_of_shares_is_rounded_down_and_all_shares_are_worth_the_whole_pool(
    shares: int, units: int
) -> None:
    assert units_of(shares, 5, 7) == units


def test_first_shares_are_one_unit_each_and_later_ones_at_the_pools_rate() -> None:
    assert shares_for(10, 0, 0) == 10
    assert shares_for(10, 5, 7) == 14
    assert shares_for(1, 5, 7) == 1


def test_empty_pool_with_owners_sells_nothing() -> None:
    with pytest.raises(Rejected, match="slashes left 0 units for 7 shares"):
        shares_for(10, 0, 7)


def test_shares_never_grow_beyond_their_width() -> None:
    with pytest.raises(Rejected, match="slashes left 1 units"):
        shares_for(10**14, 1, 2**60)


@pytest.mark.parametrize("seed", range(3))
def test_buying_and_selling_at_once_never_gains_a_unit(seed: int) -> None:
    rng = Random(seed)
    for _ in range(2_000):
        shares = rng.randrange(1, 10**9)
        units = rng.randrange(1, shares + 1)
        paid = rng.randrange(1, 10**9)
        bought = shares_for(paid, units, shares)
        assert units_of(bought, units + paid, shares + bought) <= paid
