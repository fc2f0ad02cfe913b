"""What an epoch pays: budget, halving, shares, commission, finality, fees."""

import pytest
from builders.ledger import transfer
from builders.staking import NXT, StakingChain

from ledger.accounts import ADDRESS_OF_SYSTEM_ACCOUNT
from ledger.addresses import address_of
from ledger.fee_credits import fee_credit
from ledger.staking.delegation_kinds import Delegate, Undelegate, Withdraw
from ledger.staking.effective_stake import effective_stakes
from ledger.staking.queries import stake_part
from ledger.staking.records import Activity
from ledger.staking.rewards import epoch_budget, pool_shares
from ledger.staking.validator_kinds import CommissionSet
from ledger.state import Overlay

BUDGET = epoch_budget(0, 985_500)


def owed(chain: StakingChain, index: int) -> int:
    record = chain.validator(index)
    return record.own_units - record.own_paid_units


def part(chain: StakingChain, number: int, index: int = 0) -> tuple[int, int]:
    """(rewards, claimable) of an account."""
    found = stake_part(
        chain.store(), address_of(chain.accounts[number].public_key), index, chain.finalised_epoch
    )
    assert found is not None
    return found.rewards_units, found.claimable_units


def test_budget_is_two_percent_of_the_pool_a_year() -> None:
    assert epoch_budget(0, 1) == 6_000 * NXT
    assert BUDGET == 6_000 * NXT // 985_500 == 608_828


def test_budget_halves_every_four_years_down_to_nothing() -> None:
    assert [epoch_budget(epoch, 10) for epoch in (0, 39, 40, 80)] == [
        600 * NXT,
        600 * NXT,
        300 * NXT,
        150 * NXT,
    ]
    assert epoch_budget(10**9, 10) == 0


def test_half_goes_by_blue_blocks_and_half_by_votes_times_stake() -> None:
    activity = {0: Activity(3, 1, b""), 1: Activity(1, 1, b""), 2: Activity(0, 2, b"")}
    assert pool_shares(1_600, activity, {0: 1, 1: 1, 2: 1}) == {0: 600 + 200, 1: 200 + 200, 2: 400}
    assert pool_shares(1_600, activity, {0: 1, 1: 3, 2: 2}) == {0: 600 + 100, 1: 200 + 300, 2: 400}


def test_what_rounding_leaves_stays_in_the_pool() -> None:
    activity = {0: Activity(1, 1, b""), 1: Activity(1, 1, b""), 2: Activity(1, 1, b"")}
    assert pool_shares(101, activity, {0: 1, 1: 1, 2: 1}) == {0: 33, 1: 33, 2: 33}
    assert pool_shares(101, {}, {}) == {}


def test_L21_votes_of_a_whale_are_paid_for_a_twelfth() -> None:
    stakes = {0: 90_000, **dict.fromkeys(range(1, 13), 1000)}
    effective = effective_stakes(stakes)
    assert 12 * effective[0] <= sum(effective.values())
    assert effective_stakes({0: 90, 1: 10}) == {0: 90, 1: 10}, "bootstrap mode has no cap"


def test_only_blue_blocks_with_a_reveal_are_paid() -> None:
    chain = StakingChain()
    chain.run(proposers=(0, 0, 1), reds=(2, 3), carrier_reveals=True)
    chain.go_to(1)
    half = BUDGET // 2
    assert [owed(chain, index) for index in range(4)] == [half * 2 // 3, half // 3, 0, 0]
    assert chain.system("VALIDATOR_POOL") == 300_000 * NXT - half * 2 // 3 - half // 3
    assert chain.faults() == ()


def test_timely_votes_are_counted_once_each() -> None:
    chain = StakingChain(stake_units=[1_000 * NXT, 3_000 * NXT, 1_000 * NXT, 1_000 * NXT])
    chain.run(proposers=(), votes=(0, 0, 1))
    chain.go_to(1)
    half = BUDGET - BUDGET // 2
    assert [owed(chain, index) for index in range(4)] == [half * 2 // 5, half * 3 // 5, 0, 0]


def test_epochs_without_a_block_pay_nothing() -> None:
    chain = StakingChain()
    chain.run(proposers=(0,), carrier_reveals=True)
    chain.go_to(50)
    assert owed(chain, 0) == BUDGET // 2


def test_pool_never_pays_more_than_it_holds() -> None:
    chain = StakingChain()
    pool = chain.system("VALIDATOR_POOL")
    overlay = Overlay(chain.reader)
    overlay.debit(ADDRESS_OF_SYSTEM_ACCOUNT["VALIDATOR_POOL"], pool - 1_000)
    overlay.credit(ADDRESS_OF_SYSTEM_ACCOUNT["TREASURY"], pool - 1_000)
    chain.apply(overlay.changes())
    for epoch in range(1, 30):
        chain.run(proposers=(0, 1), votes=(0, 1, 2), carrier_reveals=True)
        chain.go_to(epoch)
    assert 0 <= chain.system("VALIDATOR_POOL") < 10
    assert sum(owed(chain, index) for index in range(4)) + chain.system("VALIDATOR_POOL") == 1_000


def test_worked_example_of_the_specification() -> None:
    """README, Staking: commission first, then stake; the accumulator carries the rest."""
    chain = StakingChain()
    chain.send(chain.owners[0], "commission_set", CommissionSet(0, 50_000))
    chain.send(chain.accounts[0], "delegate", Delegate(0, 3_000 * NXT))
    fees = chain.outcomes[-2].receipts[0].fee + chain.outcomes[-1].receipts[0].fee
    chain.go_to(1)
    assert owed(chain, 0) == fees * 1_000 // 4_000 or owed(chain, 0) == fees - fees * 3 // 4
    before = owed(chain, 0), part(chain, 0)[0]
    chain.run(proposers=(0,), carrier_reveals=True)
    chain.go_to(2)
    reward = 304_414
    assert reward == BUDGET // 2
    commission = reward * 50_000 // 1_000_000
    assert commission == 15_220
    delegators = (reward - commission) * 3_000 // 4_000
    assert delegators == 216_895
    assert owed(chain, 0) - before[0] == reward - delegators == 87_519
    assert 0 <= delegators - (part(chain, 0)[0] - before[1]) <= 1, "a share's part is rounded down"
    assert chain.faults() == ()


def test_delegators_share_in_proportion_and_late_ones_get_nothing_of_before() -> None:
    chain = StakingChain()
    chain.send(chain.accounts[0], "delegate", Delegate(0, 1_000 * NXT))
    chain.send(chain.accounts[1], "delegate", Delegate(0, 500 * NXT))
    chain.run(proposers=(0,), carrier_reveals=True)
    chain.go_to(1)
    chain.send(chain.accounts[2], "delegate", Delegate(0, 1_000 * NXT))
    first, second, third = (part(chain, number)[0] for number in range(3))
    assert abs(first - 2 * second) <= 2
    assert first > 0
    assert third == 0


def test_rewards_are_claimable_once_their_epoch_is_final() -> None:
    chain = StakingChain()
    key, owner = chain.accounts[0], chain.owners[0]
    chain.send(key, "delegate", Delegate(0, 1_000 * NXT))
    chain.run(proposers=(0,), carrier_reveals=True)
    chain.go_to(1, finalised_epoch=0)
    rewards, claimable = part(chain, 0)
    assert rewards > 0
    assert claimable == 0
    assert chain.send(key, "withdraw", Withdraw(0)) == "NothingToWithdraw"
    assert chain.send(owner, "withdraw", Withdraw(0)) == "NothingToWithdraw"
    chain.go_to(2, finalised_epoch=1)
    before = chain.account(key).balance
    assert chain.send(key, "withdraw", Withdraw(0)) == ""
    assert chain.account(key).balance == before + rewards - chain.outcomes[-1].receipts[0].fee
    assert chain.send(owner, "withdraw", Withdraw(0)) == ""
    assert chain.faults() == ()


def test_rewards_settled_by_a_change_of_shares_wait_for_finality_too() -> None:
    chain = StakingChain()
    key = chain.accounts[0]
    chain.send(key, "delegate", Delegate(0, 1_000 * NXT))
    chain.run(proposers=(0,), carrier_reveals=True)
    chain.go_to(1, finalised_epoch=0)
    rewards = part(chain, 0)[0]
    assert chain.send(key, "undelegate", Undelegate(0, 0)) == ""
    assert part(chain, 0) == (rewards, 0)
    chain.go_to(2, finalised_epoch=1)
    assert part(chain, 0) == (rewards, rewards)


def test_finality_that_stands_still_delays_claims_and_loses_nothing() -> None:
    chain = StakingChain()
    for epoch in range(1, 21):
        chain.run(proposers=(0,), carrier_reveals=True)
        chain.go_to(epoch, finalised_epoch=0)
    assert owed(chain, 0) == 20 * (BUDGET // 2)
    assert len(chain.validator(0).marks) == 4
    assert chain.send(chain.owners[0], "withdraw", Withdraw(0)) == "NothingToWithdraw"
    earlier = owed(chain, 0)
    chain.go_to(21, finalised_epoch=21)
    earlier = owed(chain, 0)
    assert chain.send(chain.owners[0], "withdraw", Withdraw(0)) == ""
    assert owed(chain, 0) == 0 < earlier


def test_fees_are_paid_to_the_carriers_with_the_epochs_rewards() -> None:
    chain = StakingChain()
    chain.run(transfer(chain.accounts[0], chain.rules, 0, b"t" * 20, 5), proposers=(2,))
    fee = chain.outcomes[-1].receipts[0].fee
    assert (chain.system("FEES"), fee_credit(chain.reader, 2)) == (fee, fee)
    chain.go_to(1)
    assert (chain.system("FEES"), fee_credit(chain.reader, 2)) == (0, 0)
    assert owed(chain, 2) == fee
    assert chain.faults() == ()


def test_withholder_of_its_reveal_has_no_block_rewards() -> None:
    chain = StakingChain()
    chain.run(proposers=(0, 1), reveals={0: chain.onion_reveal(0, 0)})
    chain.go_to(1)
    assert owed(chain, 0) == BUDGET // 2
    assert owed(chain, 1) == 0


@pytest.mark.parametrize("epochs", [1, 7])
def test_transition_runs_once_however_many_epochs_were_skipped(epochs: int) -> None:
    chain = StakingChain()
    chain.run(proposers=(0,), carrier_reveals=True)
    chain.go_to(epochs)
    first = owed(chain, 0)
    chain.go_to(epochs)
    assert owed(chain, 0) == first
    assert chain.snapshot.epoch == epochs
