"""The crisis drain: attack D6 of reliability.md, the controller alone and the step."""

from collections.abc import Iterator

import msgspec
import pytest
from builders.economic_loop import balances, change_state, circulation_gap, epoch_change, fund
from builders.failing_overlay import fail_at_every_write
from builders.staking import NXT, StakingChain
from hypothesis import given
from hypothesis import strategies as st

from ledger.accounts import F_FLOOR_ADDRESS, TRANSITION_RESERVE_ADDRESS, Account, encode_account
from ledger.amounts import MAX_SUPPLY_UNITS
from ledger.economy.crisis import (
    CrisisDrain,
    CrisisDrainController,
    CrisisNeed,
    CrisisRecord,
    read_crisis,
)
from ledger.economy.floor.records import EMPTY_FLOOR, write_floor
from ledger.economy.loop import guard_floor
from ledger.governed.parameters import CRISIS_DRAIN_LIMIT_PPM, write_parameter
from ledger.state import MappingState, Overlay, account_key


@pytest.fixture
def chain() -> Iterator[StakingChain]:
    made = StakingChain(4)
    fund(made, "TRANSITION_RESERVE", 1_000 * NXT)
    fund(made, "F_FLOOR", 100 * NXT)
    yield made
    assert circulation_gap(made.reader) == 0


def two_accounts(reserve: int, floor: int) -> MappingState:
    return MappingState(
        {
            account_key(TRANSITION_RESERVE_ADDRESS): encode_account(Account(reserve, 0)),
            account_key(F_FLOOR_ADDRESS): encode_account(Account(floor, 0)),
        }
    )


UNITS = st.integers(0, MAX_SUPPLY_UNITS)


@given(UNITS, UNITS, UNITS, UNITS, st.integers(-MAX_SUPPLY_UNITS, MAX_SUPPLY_UNITS))
def test_D6_drain_is_the_least_of_lack_reserve_and_limit_and_conserves(
    reserve: int, floor: int, need: int, limit: int, have: int
) -> None:
    reserve %= MAX_SUPPLY_UNITS - floor + 1
    overlay = Overlay(two_accounts(reserve, floor))
    success, drain, message = CrisisDrainController(overlay).execute_crisis_drain(
        CrisisNeed(have, need), limit, 5
    )
    units = min(max(0, need - max(0, have)), reserve, limit)
    assert success == (units > 0)
    assert (drain.drained_units if drain else 0) == units
    assert overlay.account(TRANSITION_RESERVE_ADDRESS).balance == reserve - units
    assert overlay.account(F_FLOOR_ADDRESS).balance == floor + units
    assert overlay.balance_drift() == 0
    assert message
    if not success:
        assert overlay.changes() == {}


@pytest.mark.parametrize("have", [500, 501, 10**12])
def test_D6_nothing_is_drained_without_a_crisis(have: int) -> None:
    overlay = Overlay(two_accounts(1_000, 0))
    result = CrisisDrainController(overlay).execute_crisis_drain(CrisisNeed(have, 500), 1_000, 5)
    assert result == (False, None, f"no crisis: the floor has {have} units and needs 500")
    assert overlay.changes() == {}


def test_D6_calls_in_one_epoch_share_its_limit() -> None:
    overlay = Overlay(two_accounts(1_000, 0))
    controller = CrisisDrainController(overlay)
    assert controller.execute_crisis_drain(CrisisNeed(0, 100), 250, 5)[1] == CrisisDrain(5, 100, 100)
    assert controller.execute_crisis_drain(CrisisNeed(0, 900), 250, 5)[1] == CrisisDrain(5, 900, 150)
    success, _, message = controller.execute_crisis_drain(CrisisNeed(0, 900), 250, 5)
    assert (success, message) == (
        False,
        "the floor lacks 900 units, but the reserve holds 750 and this epoch's limit leaves 0",
    )
    assert read_crisis(overlay) == CrisisRecord(5, 250, 1, 250)
    assert controller.execute_crisis_drain(CrisisNeed(0, 900), 250, 6)[1] == CrisisDrain(6, 900, 250)
    assert read_crisis(overlay) == CrisisRecord(6, 250, 2, 500)


def test_D6_fault_at_any_write_of_a_drain_leaves_the_root(chain: StakingChain) -> None:
    writes = fail_at_every_write(
        chain.state,
        lambda overlay: CrisisDrainController(overlay).execute_crisis_drain(
            CrisisNeed(0, 5 * NXT), 10 * NXT, 5
        ),
        rolls_back_itself=True,
    )
    assert writes == 3


def test_D6_step_drains_what_half_a_month_lacks(chain: StakingChain) -> None:
    """One citizen needs 575 NXT in half a month; 100 are there; a quarter of the reserve, 250, may go."""
    _citizens(chain, 1)
    before = balances(chain.reader)
    change_state(chain, lambda overlay: guard_floor(overlay, epoch_change(chain)))
    after = balances(chain.reader)
    assert after["F_FLOOR"] - before["F_FLOOR"] == 250 * NXT
    assert before["TRANSITION_RESERVE"] - after["TRANSITION_RESERVE"] == 250 * NXT
    assert sum(after.values()) == sum(before.values())
    change_state(chain, lambda overlay: write_parameter(overlay, CRISIS_DRAIN_LIMIT_PPM, 1_000_000))
    chain.epoch = 1
    change_state(chain, lambda overlay: guard_floor(overlay, epoch_change(chain)))
    assert chain.system("F_FLOOR") == 575 * NXT
    assert read_crisis(chain.reader) == CrisisRecord(1, 225 * NXT, 2, 475 * NXT)


def test_D6_step_counts_what_the_floor_owes_as_gone(chain: StakingChain) -> None:
    fund(chain, "F_FLOOR", 500 * NXT)
    _citizens(chain, 1)
    overlay = Overlay(chain.reader)
    guard_floor(overlay, epoch_change(chain))
    assert overlay.changes() == {}
    _citizens(chain, 1, owed_units=100 * NXT)
    change_state(chain, lambda overlay: guard_floor(overlay, epoch_change(chain)))
    assert chain.system("F_FLOOR") == 675 * NXT


@pytest.mark.parametrize("population", [0, 10**9])
def test_D6_step_never_raises_and_never_takes_more_than_the_limit(
    chain: StakingChain, population: int
) -> None:
    _citizens(chain, population)
    change_state(chain, lambda overlay: guard_floor(overlay, epoch_change(chain)))
    assert chain.system("TRANSITION_RESERVE") == (750 if population else 1_000) * NXT


def test_D6_step_with_an_empty_reserve_does_nothing() -> None:
    chain = StakingChain(4)
    _citizens(chain, 50)
    overlay = Overlay(chain.reader)
    guard_floor(overlay, epoch_change(chain))
    assert overlay.changes() == {}


def _citizens(chain: StakingChain, population: int, owed_units: int = 0) -> None:
    floor = msgspec.structs.replace(EMPTY_FLOOR, population=population, owed_units=owed_units)
    change_state(chain, lambda overlay: write_floor(overlay, floor))
