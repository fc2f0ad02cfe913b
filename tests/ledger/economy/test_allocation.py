"""The reserve's units to the twelve sectors: weights, demand, largest remainder, all legs or none."""

from collections.abc import Iterator

import pytest
from builders.economic_loop import balances, change_state, circulation_gap, epoch_change, fund
from builders.failing_overlay import fail_at_every_write
from builders.staking import NXT, StakingChain
from hypothesis import given
from hypothesis import strategies as st

from ledger.accounts import SECTORS
from ledger.amounts import MAX_SUPPLY_UNITS
from ledger.economy.allocation import SECTOR_WEIGHTS_PPM, ReserveLiquidityAllocator, sector_parts
from ledger.economy.loop import allocate_reserve
from ledger.economy.loop_totals import read_loop_totals
from ledger.economy.supply_chain import demand_of_sectors
from ledger.errors import AmountNotInteger, AmountOutOfRange
from ledger.governed.parameters import RESERVE_SHARE_PPM, write_parameter
from ledger.oracle.feeds import DEMAND_FEEDS
from ledger.oracle.records import FeedValue, write_feed
from ledger.registry import Rejected
from ledger.state import Overlay

NEUTRAL = (1_000_000,) * 12


@pytest.fixture
def chain() -> Iterator[StakingChain]:
    made = StakingChain(4)
    fund(made, "TRANSITION_RESERVE", 1_000 * NXT + 7)
    yield made
    assert circulation_gap(made.reader) == 0
    assert made.faults() == ()


def test_weights_are_those_of_the_design() -> None:
    assert dict(zip(SECTORS, SECTOR_WEIGHTS_PPM, strict=True)) == {
        "ELECTRICITY": 120_000,
        "WATER": 80_000,
        "MANUFACTURING": 120_000,
        "LOGISTICS": 80_000,
        "FOOD": 100_000,
        "AGRICULTURE": 100_000,
        "HORTICULTURE": 80_000,
        "AQUACULTURE": 70_000,
        "SERVICES": 100_000,
        "TECHNOLOGY": 50_000,
        "CARBON": 50_000,
        "ENVIRONMENTAL": 50_000,
    }
    assert sum(SECTOR_WEIGHTS_PPM) == 1_000_000


def test_worked_figures_of_the_readme() -> None:
    """1,000 NXT and 7 units in the reserve, 1 % of it, food in double demand."""
    units = (1_000 * NXT + 7) * 10_000 // 1_000_000
    demand = tuple(2_000_000 if sector == "FOOD" else 1_000_000 for sector in SECTORS)
    assert units == 1_000_000_000
    assert sector_parts(units, demand) == (
        109_090_909,
        72_727_273,
        109_090_909,
        72_727_273,
        181_818_182,
        90_909_091,
        72_727_273,
        63_636_364,
        90_909_091,
        45_454_545,
        45_454_545,
        45_454_545,
    )


@given(
    st.integers(0, MAX_SUPPLY_UNITS),
    st.lists(st.integers(0, 2**63 - 1), min_size=12, max_size=12),
)
def test_parts_sum_to_the_units_and_none_is_a_unit_from_its_share(units: int, demand: list[int]) -> None:
    parts = sector_parts(units, demand)
    weights = [weight * one for weight, one in zip(SECTOR_WEIGHTS_PPM, demand, strict=True)]
    if not any(weights):
        weights = list(SECTOR_WEIGHTS_PPM)
    total = sum(weights)
    assert sum(parts) == units
    remainders = {}
    for place, (part, weight) in enumerate(zip(parts, weights, strict=True)):
        floor = units * weight // total
        assert part in (floor, floor + 1)
        remainders[place] = (units * weight % total, part - floor)
    rounded_up = [one for one, more in remainders.values() if more]
    rounded_down = [one for one, more in remainders.values() if not more]
    assert not rounded_up or not rounded_down or min(rounded_up) >= max(rounded_down)


def test_equal_remainders_go_to_the_lower_sector_number() -> None:
    """ELECTRICITY and MANUFACTURING both weigh 0.12, more than every other."""
    assert sector_parts(1, NEUTRAL) == (1, *(0,) * 11)
    assert sector_parts(2, NEUTRAL) == (1, 0, 1, *(0,) * 9)


def test_no_demand_anywhere_counts_as_weight_alone() -> None:
    assert sector_parts(100, (0,) * 12) == sector_parts(100, NEUTRAL)


def test_sector_without_demand_gets_nothing_while_others_have_some() -> None:
    parts = sector_parts(999_999, (0, *NEUTRAL[1:]))
    assert parts[0] == 0
    assert sum(parts) == 999_999


def test_allocator_moves_every_unit_it_names(chain: StakingChain) -> None:
    before = balances(chain.reader)
    overlay = Overlay(chain.reader)
    parts = ReserveLiquidityAllocator(overlay).allocate_reserve_to_pools(1_234_567, NEUTRAL)
    chain.apply(overlay.changes())
    after = balances(chain.reader)
    assert sum(parts) == 1_234_567
    assert before["TRANSITION_RESERVE"] - after["TRANSITION_RESERVE"] == 1_234_567
    assert tuple(after[f"SECTOR_{sector}"] for sector in SECTORS) == parts
    assert tuple(one.allocated_units for one in read_loop_totals(chain.reader).sectors) == parts


def test_allocator_refuses_more_than_the_reserve_holds_and_writes_nothing(chain: StakingChain) -> None:
    overlay = Overlay(chain.reader)
    with pytest.raises(Rejected, match="100000000008 needed"):
        ReserveLiquidityAllocator(overlay).allocate_reserve_to_pools(1_000 * NXT + 8, NEUTRAL)
    assert overlay.changes() == {}


@pytest.mark.parametrize(
    ("units", "demand", "error"),
    [
        (-1, NEUTRAL, AmountOutOfRange),
        (True, NEUTRAL, AmountNotInteger),
        (1.0, NEUTRAL, AmountNotInteger),
        (1, NEUTRAL[1:], AmountOutOfRange),
        (1, (*NEUTRAL[1:], -1), AmountOutOfRange),
        (1, (*NEUTRAL[1:], 0.5), AmountNotInteger),
    ],
)
def test_allocator_refuses_what_is_no_amount(
    chain: StakingChain, units: int, demand: tuple[int, ...], error: type[Exception]
) -> None:
    overlay = Overlay(chain.reader)
    with pytest.raises(error):
        ReserveLiquidityAllocator(overlay).allocate_reserve_to_pools(units, demand)
    assert overlay.changes() == {}


def test_fault_at_any_write_of_the_allocation_leaves_the_root(chain: StakingChain) -> None:
    writes = fail_at_every_write(
        chain.state,
        lambda overlay: ReserveLiquidityAllocator(overlay).allocate_reserve_to_pools(NXT, NEUTRAL),
        rolls_back_itself=True,
    )
    assert writes == 1 + 12 + 1


def test_step_allocates_the_governed_share_by_reported_demand(chain: StakingChain) -> None:
    chain.epoch = 9
    food = DEMAND_FEEDS[SECTORS.index("FOOD")]
    change_state(chain, lambda overlay: write_feed(overlay, food.number, _value(2_000_000, 9)))
    change_state(chain, lambda overlay: allocate_reserve(overlay, epoch_change(chain)))
    assert chain.system("SECTOR_FOOD") == 181_818_182
    assert chain.system("SECTOR_ELECTRICITY") == 109_090_909
    assert chain.system("TRANSITION_RESERVE") == 1_000 * NXT + 7 - 10 * NXT


def test_stale_demand_counts_as_neutral(chain: StakingChain) -> None:
    change_state(chain, lambda overlay: write_feed(overlay, DEMAND_FEEDS[3].number, _value(7_000_000, 8)))
    assert demand_of_sectors(chain.reader, 8) == (*NEUTRAL[:3], 7_000_000, *NEUTRAL[4:])
    assert demand_of_sectors(chain.reader, 9) == NEUTRAL


def test_empty_reserve_and_a_share_of_nothing_do_nothing(chain: StakingChain) -> None:
    empty = StakingChain(4)
    overlay = Overlay(empty.reader)
    allocate_reserve(overlay, epoch_change(empty))
    assert overlay.changes() == {}
    change_state(chain, lambda overlay: write_parameter(overlay, RESERVE_SHARE_PPM, 0))
    overlay = Overlay(chain.reader)
    allocate_reserve(overlay, epoch_change(chain))
    assert overlay.changes() == {}


def _value(value: int, fresh_through: int) -> FeedValue:
    return FeedValue(value, 0, fresh_through, value, 3, 3_000 * NXT)
