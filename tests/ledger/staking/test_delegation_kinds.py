"""Delegations: in, out after the unbonding time, and home."""

import pytest
from builders.staking import NXT, StakingChain

from ledger.addresses import address_of
from ledger.errors import PayloadInvalid
from ledger.staking.delegation_kinds import Delegate, Undelegate, Withdraw
from ledger.staking.queries import (
    delegations,
    stake_part,
    unbondings,
    validator,
    validators,
)
from ledger.staking.slashing import slash
from ledger.staking.snapshot import HISTORY_KEY
from ledger.staking.validator_kinds import ValidatorExit
from ledger.state import Overlay


@pytest.fixture
def chain() -> StakingChain:
    found = StakingChain()
    found.carrier = 3
    return found


def slashed(chain: StakingChain, index: int, *, epoch: int | None = None) -> int:
    overlay = Overlay(chain.reader)
    offence_epoch = chain.epoch if epoch is None else epoch
    taken = slash(overlay, index, b"o" * 32, offence_epoch, b"r" * 20, chain.context())
    chain.apply(overlay.changes())
    return taken


def worth(chain: StakingChain, number: int, index: int = 0) -> int:
    part = stake_part(
        chain.store(), address_of(chain.accounts[number].public_key), index, chain.finalised_epoch
    )
    assert part is not None
    return part.stake_units


def test_delegated_units_stand_behind_the_validator_from_the_next_snapshot_on(chain: StakingChain) -> None:
    assert chain.send(chain.accounts[0], "delegate", Delegate(0, 10 * NXT)) == ""
    assert chain.stakes[0] == 1_000 * NXT
    chain.go_to(1)
    assert chain.stakes[0] == 1_010 * NXT
    assert chain.validator(0).delegated_units == 10 * NXT
    assert chain.faults() == ()


@pytest.mark.parametrize(
    ("units", "reason"),
    [(10 * NXT - 1, "DelegationTooSmall"), (10 * NXT, ""), (5_001 * NXT, "InsufficientBalance")],
)
def test_delegation_is_at_least_ten_nxt_that_are_there(chain: StakingChain, units: int, reason: str) -> None:
    assert chain.send(chain.accounts[0], "delegate", Delegate(0, units)) == reason


def test_L26_delegation_of_nothing_or_of_more_than_exists_can_never_be_valid(chain: StakingChain) -> None:
    for units in (0, 2**62):
        with pytest.raises(PayloadInvalid):
            chain.signed(chain.accounts[0], "delegate", Delegate(0, units))


def test_owner_delegating_to_its_own_validator_adds_own_stake(chain: StakingChain) -> None:
    chain.give(chain.owners[0], 100 * NXT)
    assert chain.send(chain.owners[0], "delegate", Delegate(0, 100 * NXT)) == ""
    record = chain.validator(0)
    assert (record.self_stake_units, record.delegated_units) == (1_100 * NXT, 0)
    assert chain.send(chain.owners[0], "undelegate", Undelegate(0, 101 * NXT)) == "SelfStakeTooLow"
    assert chain.send(chain.owners[0], "undelegate", Undelegate(0, 100 * NXT)) == ""
    chain.go_to(16)
    before = chain.account(chain.owners[0]).balance
    assert chain.send(chain.owners[0], "withdraw", Withdraw(0)) == ""
    fee = chain.outcomes[-1].receipts[0].fee
    assert chain.account(chain.owners[0]).balance == before + 100 * NXT - fee
    assert chain.faults() == ()


def test_undelegated_units_come_home_after_the_unbonding_time_and_not_before(chain: StakingChain) -> None:
    key = chain.accounts[0]
    chain.send(key, "delegate", Delegate(0, 100 * NXT))
    chain.go_to(2)
    assert chain.send(key, "undelegate", Undelegate(0, 40 * NXT)) == ""
    assert worth(chain, 0) == 60 * NXT
    chain.go_to(17)
    assert chain.send(key, "withdraw", Withdraw(0)) == "NothingToWithdraw"
    chain.go_to(18)
    before = chain.account(key).balance
    assert chain.send(key, "withdraw", Withdraw(0)) == ""
    assert chain.account(key).balance == before + 40 * NXT - chain.outcomes[-1].receipts[0].fee
    assert chain.send(key, "withdraw", Withdraw(0)) == "NothingToWithdraw"
    assert chain.faults() == ()


def test_all_of_a_delegation_leaves_no_record_behind(chain: StakingChain) -> None:
    before = {key for key in chain.state if key[:1] not in (b"c", b"l")}
    key = chain.accounts[0]
    chain.send(key, "delegate", Delegate(0, 100 * NXT))
    assert chain.send(key, "undelegate", Undelegate(0, 0)) == ""
    chain.go_to(16)
    assert chain.send(key, "withdraw", Withdraw(0)) == ""
    chain.go_to(17)
    of_the_economy = {key for key in chain.state if key[:1] in (b"c", b"l")}
    assert set(chain.state) - of_the_economy == before | {HISTORY_KEY}


@pytest.mark.parametrize(
    ("units", "reason"),
    [
        (100 * NXT + 1, "InsufficientStake"),
        (90 * NXT + 1, "DelegationTooSmall"),
        (90 * NXT, ""),
        (100 * NXT, ""),
    ],
)
def test_what_stays_is_a_whole_delegation_or_nothing(chain: StakingChain, units: int, reason: str) -> None:
    chain.send(chain.accounts[0], "delegate", Delegate(0, 100 * NXT))
    assert chain.send(chain.accounts[0], "undelegate", Undelegate(0, units)) == reason


def test_nobody_undelegates_what_is_not_his(chain: StakingChain) -> None:
    chain.send(chain.accounts[0], "delegate", Delegate(0, 100 * NXT))
    assert chain.send(chain.accounts[1], "undelegate", Undelegate(0, 0)) == "InsufficientStake"
    assert chain.send(chain.accounts[1], "withdraw", Withdraw(0)) == "NothingToWithdraw"


def test_unbondings_of_one_address_at_one_validator_are_bounded(chain: StakingChain) -> None:
    key = chain.accounts[0]
    chain.send(key, "delegate", Delegate(0, 1_000 * NXT))
    for epoch in range(1, 9):
        chain.go_to(epoch)
        assert chain.send(key, "undelegate", Undelegate(0, NXT)) == ""
        assert chain.send(key, "undelegate", Undelegate(0, NXT)) == "", "one epoch is one entry"
    chain.go_to(9)
    assert chain.send(key, "undelegate", Undelegate(0, NXT)) == "TooManyUnbondings"
    chain.go_to(17)
    assert chain.send(key, "withdraw", Withdraw(0)) == ""
    assert chain.send(key, "undelegate", Undelegate(0, NXT)) == ""
    assert chain.faults() == ()


def test_validator_that_left_takes_no_delegations_but_gives_them_back(chain: StakingChain) -> None:
    key = chain.accounts[0]
    chain.send(key, "delegate", Delegate(0, 100 * NXT))
    chain.send(chain.owners[0], "validator_exit", ValidatorExit(0))
    assert chain.send(key, "delegate", Delegate(0, 100 * NXT)) == "ValidatorExited"
    chain.go_to(30)
    assert chain.send(key, "undelegate", Undelegate(0, 0)) == ""
    chain.go_to(46)
    before = chain.account(key).balance
    assert chain.send(key, "withdraw", Withdraw(0)) == ""
    assert chain.account(key).balance == before + 100 * NXT - chain.outcomes[-1].receipts[0].fee


def test_delegator_after_a_slash_is_not_touched_by_it() -> None:
    chain = StakingChain(12)
    chain.send(chain.accounts[0], "delegate", Delegate(0, 4_000 * NXT))
    chain.go_to(1)
    slashed(chain, 0)
    lowered = worth(chain, 0)
    assert lowered < 400 * NXT
    chain.send(chain.accounts[1], "delegate", Delegate(0, 1_000 * NXT))
    assert worth(chain, 0) == lowered
    assert 1_000 * NXT - 1 <= worth(chain, 1) <= 1_000 * NXT
    assert chain.faults() == ()


def test_pool_that_slashes_emptied_takes_no_delegations() -> None:
    chain = StakingChain(2)
    chain.send(chain.accounts[0], "delegate", Delegate(0, 1_000 * NXT))
    chain.go_to(1)
    assert slashed(chain, 0) == 2_000 * NXT
    assert chain.send(chain.accounts[1], "delegate", Delegate(0, 100 * NXT)) == "PoolSpent"
    assert chain.send(chain.accounts[0], "undelegate", Undelegate(0, 0)) == ""
    assert chain.send(chain.accounts[1], "delegate", Delegate(0, 100 * NXT)) == ""
    assert worth(chain, 1) == 100 * NXT
    assert chain.faults() == ()


def test_queries_list_validators_delegations_and_unbondings(chain: StakingChain) -> None:
    key, address = chain.accounts[0], address_of(chain.accounts[0].public_key)
    chain.send(key, "delegate", Delegate(0, 100 * NXT))
    chain.send(key, "delegate", Delegate(2, 50 * NXT))
    chain.send(chain.accounts[1], "delegate", Delegate(2, 50 * NXT))
    chain.send(key, "undelegate", Undelegate(2, 20 * NXT))
    store = chain.store()
    assert [(part.validator, part.stake_units) for part in delegations(store, address, 0)] == [
        (0, 100 * NXT),
        (2, 30 * NXT),
    ]
    assert [
        (part.validator, part.epoch, part.free_epoch, part.units) for part in unbondings(store, address, 16)
    ] == [(2, 0, 16, 20 * NXT)]
    assert [(view.record.index, view.status) for view in validators(store, 0)] == [
        (index, "active") for index in range(4)
    ]
    view = validator(store, 2, 0)
    assert view is not None and view.record.delegated_units == 80 * NXT
    assert validator(store, 9, 0) is None
