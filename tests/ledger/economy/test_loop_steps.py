"""The loop's steps together: the floor's share, a whole transition, and what holds after every one of them."""

from collections.abc import Callable, Iterator

import msgspec
import pytest
from builders.economic_loop import (
    balances,
    change_state,
    circulation_gap,
    epoch_change,
    fund,
    sector_token,
)
from builders.failing_overlay import fail_at_every_write
from builders.staking import NXT, StakingChain

from ledger.accounts import SECTORS
from ledger.economy.floor.records import EMPTY_FLOOR, read_floor, write_floor
from ledger.economy.floor_share import FloorShare, pay_floor_share
from ledger.economy.loop import allocate_reserve, guard_floor, share_with_floor
from ledger.economy.loop_totals import read_loop_totals
from ledger.economy.message_burn import Message
from ledger.epoch_steps import EpochChange
from ledger.epoch_transition import LEDGER_EPOCH_STEPS, begin_epoch
from ledger.governed.parameters import FLOOR_RESERVE_SHARE_PPM, FLOOR_SECTOR_SHARE_PPM, write_parameter
from ledger.state import Overlay

STEPS: dict[str, Callable[[Overlay, EpochChange], None]] = {
    "reserve": allocate_reserve,
    "floor_share": share_with_floor,
    "crisis": guard_floor,
}


def busy_chain() -> StakingChain:
    """Everything that the steps can move is there: a reserve, sectors, a sector's pool, citizens in need."""
    chain = StakingChain(4)
    fund(chain, "TRANSITION_RESERVE", 10_000 * NXT + 13)
    for place, sector in enumerate(SECTORS):
        fund(chain, f"SECTOR_{sector}", 100 * NXT + place)
    sector_token(chain, 4, chain.accounts[0], nxt=1_000 * NXT, tokens=200_000, sector_tokens=10**6)
    sector_token(chain, 7, chain.accounts[1], nxt=500 * NXT, tokens=10**9, sector_tokens=10**6)
    citizens = msgspec.structs.replace(EMPTY_FLOOR, population=3)
    change_state(chain, lambda overlay: write_floor(overlay, citizens))
    chain.epoch = 3
    return chain


@pytest.fixture
def chain() -> Iterator[StakingChain]:
    made = busy_chain()
    yield made
    assert circulation_gap(made.reader) == 0


def test_steps_stand_in_the_order_of_the_design() -> None:
    names = [step.name for step in LEDGER_EPOCH_STEPS.steps]
    place = names.index("penalties")
    assert names[place : place + 5] == ["penalties", "reserve", "floor_share", "crisis", "floor"]


def test_floor_share_is_the_governed_part_of_the_reserve_and_of_every_sector(chain: StakingChain) -> None:
    before = balances(chain.reader)
    income = read_floor(chain.reader).income_units
    change_state(chain, lambda overlay: share_with_floor(overlay, epoch_change(chain)))
    after = balances(chain.reader)
    assert before["TRANSITION_RESERVE"] - after["TRANSITION_RESERVE"] == 100 * NXT
    assert {before[f"SECTOR_{one}"] - after[f"SECTOR_{one}"] for one in SECTORS} == {50_000_000}
    assert after["F_FLOOR"] - before["F_FLOOR"] == 106 * NXT
    assert read_floor(chain.reader).income_units - income == 106 * NXT
    totals = read_loop_totals(chain.reader)
    assert totals.reserve_floor_units == 100 * NXT
    assert [one.floor_units for one in totals.sectors] == [50_000_000] * 12


def test_floor_share_of_nothing_writes_nothing(chain: StakingChain) -> None:
    change_state(chain, lambda overlay: write_parameter(overlay, FLOOR_RESERVE_SHARE_PPM, 0))
    change_state(chain, lambda overlay: write_parameter(overlay, FLOOR_SECTOR_SHARE_PPM, 0))
    overlay = Overlay(chain.reader)
    assert pay_floor_share(overlay) == FloorShare(0, (0,) * 12)
    assert overlay.changes() == {}


@pytest.mark.parametrize("name", list(STEPS))
def test_fault_at_any_write_of_a_step_leaves_the_root(name: str) -> None:
    chain = busy_chain()
    writes = fail_at_every_write(
        chain.state, lambda overlay: STEPS[name](overlay, epoch_change(chain)), rolls_back_itself=True
    )
    assert writes >= 3


def test_fault_at_any_write_of_the_whole_transition_leaves_the_root() -> None:
    chain = busy_chain()
    assert fail_at_every_write(chain.state, lambda overlay: begin_epoch(overlay, chain.context())) > 60


@pytest.mark.parametrize("name", list(STEPS))
def test_identity_of_circulation_holds_after_each_step(chain: StakingChain, name: str) -> None:
    change_state(chain, lambda overlay: STEPS[name](overlay, epoch_change(chain)))
    assert circulation_gap(chain.reader) == 0


@pytest.mark.parametrize("name", list(STEPS))
def test_step_of_an_empty_chain_writes_nothing(name: str) -> None:
    chain = StakingChain(4)
    overlay = Overlay(chain.reader)
    STEPS[name](overlay, epoch_change(chain))
    assert overlay.changes() == {}


def test_skipped_epochs_are_one_step(chain: StakingChain) -> None:
    """A thousand epochs without a chain block give the shares of one."""
    twin = busy_chain()
    for one, epoch in ((chain, 3), (twin, 1_003)):
        one.epoch = epoch
        change_state(one, lambda overlay, one=one: allocate_reserve(overlay, epoch_change(one)))
    assert balances(chain.reader) == balances(twin.reader)


def test_steps_write_as_much_for_a_million_citizens_as_for_one(chain: StakingChain) -> None:
    def changed(population: int) -> set[bytes]:
        overlay = Overlay(chain.reader)
        floor = read_floor(overlay)
        write_floor(overlay, msgspec.structs.replace(floor, population=population))
        for step in STEPS.values():
            step(overlay, epoch_change(chain))
        return set(overlay.changes())

    assert changed(10**6) == changed(4)


def test_messages_reach_sectors_pools_and_floor() -> None:
    """The whole loop by transactions and transitions only, every unit of the reserve explained."""
    chain = StakingChain(4)
    sector_token(chain, 4, chain.accounts[0], nxt=1_000 * NXT, tokens=200_000, sector_tokens=10**6)
    for _ in range(5):
        reason = chain.send(chain.accounts[2], "message", Message(0, 3, bytes(8_192), 100 * NXT))
        assert reason == ""
    burned = 5 * 1_568_478_457
    assert chain.system("TRANSITION_RESERVE") == burned
    for epoch in range(1, 6):
        chain.go_to(epoch)
        assert circulation_gap(chain.reader) == 0
    totals = read_loop_totals(chain.reader)
    allocated = sum(one.allocated_units for one in totals.sectors)
    assert chain.system("TRANSITION_RESERVE") == burned - allocated - totals.reserve_floor_units
    for sector, one in zip(SECTORS, totals.sectors, strict=True):
        assert chain.system(f"SECTOR_{sector}") == one.allocated_units - one.floor_units - one.seeded_units
    assert totals.sectors[4].seedings == 4
    assert chain.faults() == ()
