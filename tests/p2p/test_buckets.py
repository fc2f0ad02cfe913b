"""Token buckets: what passes in a window, and the bounded table."""

import random

import pytest

from p2p.buckets import BucketTable, Rate, TokenBucket, message_cost


def test_a_new_bucket_gives_its_burst_and_no_more() -> None:
    bucket = TokenBucket(Rate(per_second=1, burst=5), now_s=0)
    assert [bucket.take(1, 0) for _ in range(6)] == [True] * 5 + [False]


def test_a_bucket_refills_at_its_rate_up_to_its_burst() -> None:
    bucket = TokenBucket(Rate(per_second=2, burst=5), now_s=0)
    bucket.charge(5, 0)
    assert bucket.level(1.5) == 3
    assert bucket.level(100) == 5


@pytest.mark.parametrize("seed", range(20))
def test_no_window_passes_more_than_burst_and_rate_allow(seed: int) -> None:
    rng = random.Random(seed)
    rate = Rate(per_second=rng.uniform(0.5, 50), burst=rng.uniform(1, 100))
    bucket = TokenBucket(rate, now_s=0)
    now_s, passed = 0.0, []
    for _ in range(500):
        now_s += rng.expovariate(rate.per_second * 3)
        cost = rng.uniform(0.1, min(3, rate.burst))
        if bucket.take(cost, now_s):
            passed.append((now_s, cost))
    assert passed
    for first in range(0, len(passed), 7):
        spent = 0.0
        for at_s, cost in passed[first:]:
            spent += cost
            assert spent <= rate.burst + rate.per_second * (at_s - passed[first][0]) + 1e-6


def test_a_debt_is_paid_back_before_anything_passes() -> None:
    bucket = TokenBucket(Rate(per_second=1, burst=5), now_s=0)
    bucket.charge(8, 0)
    assert not bucket.take(1, 3.5)
    assert bucket.take(1, 4)


def test_something_dearer_than_the_burst_passes_when_full_and_leaves_a_debt() -> None:
    bucket = TokenBucket(Rate(per_second=1, burst=5), now_s=0)
    assert bucket.take(9, 0)
    assert bucket.level(0) == -4
    assert not bucket.take(9, 8.9)
    assert bucket.take(9, 9)


def test_giving_back_never_fills_above_the_burst() -> None:
    bucket = TokenBucket(Rate(per_second=1, burst=5), now_s=0)
    bucket.charge(-3, 0)
    assert bucket.level(0) == 5


def test_a_clock_that_steps_back_refills_nothing() -> None:
    bucket = TokenBucket(Rate(per_second=1, burst=5), now_s=100)
    bucket.charge(5, 100)
    assert bucket.level(50) == 0
    assert bucket.level(101) == 1


def test_waiting_as_long_as_told_is_enough() -> None:
    rng = random.Random(1)
    bucket = TokenBucket(Rate(per_second=3, burst=7), now_s=0)
    now_s = 0.0
    for _ in range(200):
        cost, floor = rng.uniform(0.1, 9), rng.uniform(-2, 0)
        now_s += bucket.wait_s(cost, now_s, floor=floor) + 1e-9
        assert bucket.take(cost, now_s, floor=floor)


def test_a_rate_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="above 0"):
        Rate(per_second=0, burst=1)


def test_a_message_costs_one_token_and_one_per_whole_piece() -> None:
    assert [message_cost(size, 100) for size in (0, 99, 100, 200)] == [1, 1, 2, 3]


def test_the_table_keeps_the_buckets_used_last() -> None:
    table: BucketTable[str] = BucketTable(capacity=2)
    rate = Rate(per_second=1, burst=5)
    table.bucket("a", rate, 0).charge(5, 0)
    table.bucket("b", rate, 0).charge(5, 0)
    table.bucket("a", rate, 0)
    table.bucket("c", rate, 0)
    assert len(table) == 2
    assert table.bucket("a", rate, 0).level(0) == 0
    assert table.bucket("b", rate, 0).level(0) == 5
