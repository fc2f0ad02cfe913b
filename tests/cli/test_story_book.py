"""The story's book without a chain: replaying, epochs that pass together, and what it refuses to believe."""

from copy import deepcopy
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest

from cli.exits import CommandFailed
from cli.story.book import Difference, replayed
from cli.story.chain import Look
from cli.story.entries import DROPPED, Entry
from cli.story.epochs import begin_epoch
from cli.story.formulas import NXT
from cli.story.world import (
    FEES,
    POOL,
    RESERVE,
    RESERVES,
    SYSTEM,
    BookError,
    Calendar,
    FloorBook,
    PolicyBook,
    World,
)
from ledger.governed.parameters import PARAMETERS

CALENDAR = Calendar(epoch_slots=32, year_epochs=3_942_000, voting_epochs=3)
POOL_UNITS = 300_000 * NXT


def world() -> World:
    """Two users and a validator, some NXT in the reserve."""
    balances = dict.fromkeys((*SYSTEM, POOL, "ada", "ben", "validator 0"), 0)
    balances |= {
        "TREASURY": 300_000 * NXT,
        "VALIDATOR_POOL": POOL_UNITS,
        "ada": 1_000 * NXT,
        RESERVE: 100 * NXT,
    }
    return World(
        calendar=CALENDAR,
        epoch=5,
        balances=balances,
        parameters={one.name: one.default for one in PARAMETERS if not one.per_subject},
        stakes={0: 10_000 * NXT},
        own_stakes={0: 10_000 * NXT},
        total_stake=10_000 * NXT,
        circulating_at_genesis=200_000 * NXT,
        issued=0,
        burned=0,
        floor=FloorBook(epoch=5),
        feeds={},
        policy=PolicyBook(error=Fraction(1, 2)),
    )


def entry(number: int, slot: int, units: int = NXT, **facts: Any) -> Entry:
    """ada pays ben."""
    payload = SimpleNamespace(legs=(SimpleNamespace(recipient=b"b", amount=units),))
    made = Entry(number, "batch_transfer", "ada", {b"b": "ben"}, payload, fee=1_000, id=f"{number:064x}")
    made.status, made.slot = "accepted", slot
    for name, value in facts.items():
        setattr(made, name, value)
    return made


def looks(*epochs: int) -> dict[int, Look]:
    return {epoch: Look(POOL_UNITS, epoch - 1) for epoch in epochs}


def test_transitions_move_units_and_make_none() -> None:
    first = world()
    last, differences = replayed(first, [entry(0, 161), entry(1, 200)], looks(5, 6, 7), 7)
    assert not differences
    assert sum(last.balances.values()) == sum(first.balances.values())
    reserved = [sum(one.balances[name] for name in RESERVES) for one in (first, last)]
    assert reserved[0] - reserved[1] == last.issued - last.burned
    assert last.balances[RESERVE] < first.balances[RESERVE]
    for account, units in last.balances.items():
        flows = sum(flow.units for flow in last.flows if flow.account == account and flow.asset == "NXT")
        assert first.balances[account] + flows == units


def test_a_fee_is_paid_out_by_the_transition_after_its_slot() -> None:
    before, _ = replayed(world(), [entry(0, 191)], looks(5), 5)
    assert before.balances[FEES] == 1_000
    after, _ = replayed(world(), [entry(0, 191)], looks(5, 6), 6)
    assert after.balances[FEES] == 0
    later, _ = replayed(world(), [entry(0, 192)], looks(5, 6), 6)
    assert later.balances[FEES] == 1_000


def test_epochs_that_pass_together_are_one_transition() -> None:
    merged = {5: Look(POOL_UNITS, 4), 8: Look(POOL_UNITS, 5)}
    last, _ = replayed(world(), [], merged, 8)
    once = deepcopy(world())
    begin_epoch(once, 8, POOL_UNITS)
    assert last.balances == once.balances
    apart, _ = replayed(world(), [], looks(5, 6, 7, 8), 8)
    assert apart.balances != once.balances


def test_an_epoch_that_nobody_saw_is_told() -> None:
    with pytest.raises(CommandFailed, match="epoch 6 passed unseen") as failed:
        replayed(world(), [], looks(5, 7), 7)
    assert failed.value.exit_code == 6


def test_rewards_beyond_the_budget_are_refused() -> None:
    with pytest.raises(BookError, match="its budget is"):
        replayed(world(), [], {6: Look(POOL_UNITS - NXT, 5)}, 6)


def test_what_should_have_been_refused_is_a_difference() -> None:
    _, differences = replayed(world(), [entry(0, 161, refused="InsufficientBalance")], looks(5), 5)
    assert differences == [Difference("batch_transfer of ada", "InsufficientBalance", "applied")]
    dropped = entry(0, 0, refused="InsufficientBalance", status=DROPPED)
    last, differences = replayed(world(), [dropped], looks(5), 5)
    assert not differences
    assert last.balances["ada"] == 1_000 * NXT


def test_a_failure_that_nobody_expected_is_a_difference() -> None:
    failed = entry(0, 161, status="failed", reason="InsufficientBalance")
    _, differences = replayed(world(), [failed], looks(5), 5)
    assert differences == [Difference("batch_transfer of ada", "applied", "InsufficientBalance")]


def test_a_result_that_differs_is_a_difference() -> None:
    _, differences = replayed(world(), [entry(0, 161, result={"units": 2})], looks(5), 5)
    assert [one.figure for one in differences] == ["result of batch_transfer of ada"]
