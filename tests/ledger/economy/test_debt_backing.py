"""Debt behind one NXT: the oracle's value while fresh, growth otherwise; credits are a weight and no money; display."""

from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from random import Random

import pytest
from builders.floor import NXT, FloorChain
from builders.ledger import STAKING

from ledger.accounts import RESERVES
from ledger.amounts import MAX_SUPPLY_UNITS
from ledger.economy.debt_backing import (
    MAX_GROWTH_YEARS,
    START_DEBT_USD,
    debt_backing,
    debt_usd,
    floor_credit_units_per_day,
    format_backing,
    grown_debt_usd,
    nxt_debt_backing_ratio,
)
from ledger.economy.floor.queries import floor_view
from ledger.governed.parameters import DEBT_CREDIT_RATE_PPM, DEBT_CREDIT_UNITS_PER_MILLION_USD
from ledger.oracle.feeds import GLOBAL_DEBT_USD
from ledger.oracle.records import FeedValue, write_feed
from ledger.state import MappingState, Overlay

YEAR = 1_000
RULES = replace(STAKING, epochs_per_year=YEAR)


def state_with(value: int, epoch: int, fresh_through: int) -> MappingState:
    """A state in which the oracle has a value."""
    overlay = Overlay(MappingState({}))
    write_feed(overlay, GLOBAL_DEBT_USD.number, FeedValue(value, epoch, fresh_through, value, 3, 10))
    return MappingState({key: raw for key, raw in overlay.changes().items() if raw is not None})


def report_the_start(chain: FloorChain) -> None:
    """The oracle says what its bounds allow again."""
    overlay = Overlay(chain.reader)
    value = FeedValue(START_DEBT_USD, chain.epoch, chain.epoch, START_DEBT_USD, 3, 10)
    write_feed(overlay, GLOBAL_DEBT_USD.number, value)
    chain.apply(overlay.changes())


def test_debt_starts_at_300_trillion() -> None:
    assert debt_usd(MappingState({}), 0, RULES) == START_DEBT_USD == 300 * 10**12


def test_debt_without_an_oracle_grows_by_five_percent_a_year() -> None:
    assert debt_usd(MappingState({}), YEAR, RULES) == 315 * 10**12
    assert debt_usd(MappingState({}), 2 * YEAR, RULES) == 330_750 * 10**9
    assert debt_usd(MappingState({}), YEAR // 2, RULES) == 307_500 * 10**9


def test_growth_is_compound_over_years_and_linear_within_one() -> None:
    random = Random(1)
    for _ in range(500):
        value, epoch = random.randrange(10**12, 10**14), random.randrange(50 * YEAR)
        years = epoch // YEAR
        exact = value * Fraction(105, 100) ** years * (1 + Fraction(5 * (epoch - years * YEAR), 100 * YEAR))
        assert grown_debt_usd(value, 77, 77 + epoch, YEAR) == exact.numerator // exact.denominator


def test_growth_never_falls_and_joins_at_the_turn_of_the_year() -> None:
    values = [grown_debt_usd(START_DEBT_USD, 0, epoch, 7) for epoch in range(7 * 300)]
    assert values == sorted(values)
    assert values[7 * 20] == 300 * 10**12 * 105**20 // 100**20


def test_growth_ends_at_what_the_feed_can_say() -> None:
    assert grown_debt_usd(START_DEBT_USD, 0, 121 * YEAR, YEAR) == GLOBAL_DEBT_USD.greatest
    assert grown_debt_usd(GLOBAL_DEBT_USD.least, 0, MAX_GROWTH_YEARS * YEAR, YEAR) == GLOBAL_DEBT_USD.greatest
    assert grown_debt_usd(START_DEBT_USD, 0, 2**62, 1) == GLOBAL_DEBT_USD.greatest


def test_fresh_report_counts_as_it_is_and_a_stale_one_grows() -> None:
    state = state_with(400 * 10**12, 100, 110)
    assert debt_usd(state, 110, RULES) == 400 * 10**12
    assert debt_usd(state, 111, RULES) == grown_debt_usd(400 * 10**12, 100, 111, YEAR) > 400 * 10**12
    assert debt_usd(state, 100 + YEAR, RULES) == 420 * 10**12
    assert debt_backing(state, 110, RULES).from_oracle
    assert not debt_backing(state, 111, RULES).from_oracle
    assert debt_backing(state, 111, RULES).value_epoch == 100


def test_ratio_is_the_debt_over_what_circulates() -> None:
    assert nxt_debt_backing_ratio(300 * 10**12, MAX_SUPPLY_UNITS) == 300_000_000 * 10**6
    assert nxt_debt_backing_ratio(1, 3 * 10**8) == 333_333
    assert nxt_debt_backing_ratio(300 * 10**12, 0) == 0


def test_backing_counts_all_that_circulates_and_nothing_of_the_reserves() -> None:
    chain = FloorChain()
    circulating = MAX_SUPPLY_UNITS - sum(chain.system(name) for name in RESERVES)
    backing = debt_backing(chain.reader, 0, chain.staking)
    assert backing.circulating_units == circulating
    assert backing.micro_usd_per_nxt == 300 * 10**12 * 10**6 * 10**8 // circulating


def test_credits_are_population_times_debt_times_conversion_times_rate() -> None:
    whole_supply = nxt_debt_backing_ratio(START_DEBT_USD, MAX_SUPPLY_UNITS)
    assert floor_credit_units_per_day(1, whole_supply, 12_600_000, 1_000_000) == 3_780_000_000
    assert floor_credit_units_per_day(3, whole_supply, 12_600_000, 500_000) == 5_670_000_000
    assert floor_credit_units_per_day(0, whole_supply, 12_600_000, 1_000_000) == 0
    assert floor_credit_units_per_day(1, 1, 1, 1) == 0


def test_governance_sets_conversion_and_rate() -> None:
    chain = FloorChain()
    chain.admit(0, 1)
    before = floor_view(chain.reader, 0, chain.staking).credit_units_per_day
    chain.govern(DEBT_CREDIT_UNITS_PER_MILLION_USD, 2 * 12_600_000)
    chain.govern(DEBT_CREDIT_RATE_PPM, 3_000_000)
    assert floor_view(chain.reader, 0, chain.staking).credit_units_per_day // 6 == before


@pytest.mark.parametrize("seed", range(3))
def test_no_debt_and_no_credits_ever_create_a_unit(seed: int) -> None:
    """Whatever the oracle says and governance sets, an accrual moves no unit, and owes no more than F_FLOOR has."""
    random = Random(seed)
    chain = FloorChain(month_epochs=3)
    chain.admit(0, 1)
    for _ in range(60):
        overlay = Overlay(chain.reader)
        value = random.choice((1, GLOBAL_DEBT_USD.greatest, 2**63 - 1, random.randrange(2**63)))
        fresh = chain.epoch + random.randrange(4)
        write_feed(overlay, GLOBAL_DEBT_USD.number, FeedValue(value, chain.epoch, fresh, value, 3, 10))
        chain.apply(overlay.changes())
        for parameter in (DEBT_CREDIT_UNITS_PER_MILLION_USD, DEBT_CREDIT_RATE_PPM):
            chain.govern(parameter, random.choice((parameter.least, parameter.greatest, parameter.default)))
        chain.fund(random.choice((0, 1, random.randrange(2_000 * NXT))))
        balances = {key: raw for key, raw in chain.state.items() if key[:1] == b"a"}
        chain.go_to(chain.epoch + random.choice((1, 1, 2, 50)))
        assert {key: raw for key, raw in chain.state.items() if key[:1] == b"a"} == balances
        assert 500_000 <= chain.floor.release_ppm <= 1_000_000
        assert chain.floor.owed_units + chain.floor.held_back_units <= chain.system("F_FLOOR")
        assert chain.floor_faults() == []
    report_the_start(chain)
    assert chain.faults() == ()


@pytest.mark.parametrize(
    ("micro_usd", "text"),
    [
        (300_000_000 * 10**6, "$300,000,000.00"),
        (91_140_000, "$91.14"),
        (91_145_000, "$91.15"),
        (91_144_999, "$91.14"),
        (1_000_000, "$1.00"),
        (999_999, "$1.0000"),
        (999_949, "$0.9999"),
        (12_345, "$0.0123"),
        (12_350, "$0.0124"),
        (1_000, "$0.0010"),
        (999, "$9.99e-04"),
        (100, "$1.00e-04"),
        (42, "$4.20e-05"),
        (1, "$1.00e-06"),
        (0, "$0.00"),
    ],
)
def test_display_has_the_precision_that_the_value_has(micro_usd: int, text: str) -> None:
    assert format_backing(micro_usd) == text


def test_display_equals_decimal_arithmetic() -> None:
    random = Random(4)
    for _ in range(5_000):
        micro_usd = random.randrange(10 ** random.randrange(1, 19)) + 1
        exact = Decimal(micro_usd).scaleb(-6)
        if micro_usd >= 1_000_000:
            expected = f"{exact.quantize(Decimal('0.01'), ROUND_HALF_UP):,}"
        elif micro_usd >= 1_000:
            expected = f"{exact.quantize(Decimal('0.0001'), ROUND_HALF_UP)}"
        else:
            expected = f"{micro_usd / 1_000_000:.2e}"
        assert format_backing(micro_usd) == f"${expected}"
