"""What a provable fault costs, whom, and how often."""

import pytest
from builders.staking import NXT, StakingChain

from ledger.accounts import Account, decode_account
from ledger.registry import Rejected
from ledger.staking.delegation_kinds import Delegate, Undelegate, Withdraw
from ledger.staking.records import EXITING, JAILED, read_penalties, read_pool
from ledger.staking.slashing import is_punished, penalty_ppm, slash
from ledger.staking.validator_kinds import ValidatorExit
from ledger.state import Overlay, account_key

REPORTER = b"r" * 20


@pytest.fixture
def chain() -> StakingChain:
    """Thirty validators: one is a thirtieth, so that 3 × its share is a tenth."""
    return StakingChain(30)


def punish(chain: StakingChain, index: int, *, offence_epoch: int | None = None, number: int = 0) -> int:
    overlay = Overlay(chain.reader)
    epoch = chain.epoch if offence_epoch is None else offence_epoch
    taken = slash(overlay, index, b"%032d" % number, epoch, REPORTER, chain.context())
    assert overlay.balance_drift() == 0
    chain.apply(overlay.changes())
    return taken


@pytest.mark.parametrize(
    ("slashed", "stake", "ppm"),
    [
        (1, 1_000, 50_000),
        (16, 1_000, 50_000),
        (20, 1_000, 60_000),
        (100, 1_000, 300_000),
        (334, 1_000, 1_000_000),
    ],
)
def test_penalty_is_five_percent_or_three_times_the_slashed_share(slashed: int, stake: int, ppm: int) -> None:
    assert penalty_ppm(slashed, stake) == ppm


def test_L7_slash_is_applied_once_and_rewards_the_reporter(chain: StakingChain) -> None:
    assert punish(chain, 0) == 100 * NXT, "3 × 1/30 of 1,000 NXT"
    record = chain.validator(0)
    assert (record.self_stake_units, record.status) == (900 * NXT, JAILED)
    assert chain.system("TRANSITION_RESERVE") == 95 * NXT
    assert decode_account(chain.state[account_key(REPORTER)]) == Account(5 * NXT, 0)
    assert chain.faults() == ()
    with pytest.raises(Rejected, match="punished") as refused:
        punish(chain, 0)
    assert refused.value.reason == "AlreadySlashed"
    assert is_punished(chain.reader, 0, b"%032d" % 0)
    assert is_punished(chain.reader, 0, b"x" * 32, chain.epoch)
    assert not is_punished(chain.reader, 0, b"x" * 32, chain.epoch + 1)
    assert not is_punished(chain.reader, 1, b"%032d" % 0)


def test_L7_one_penalty_covers_all_faults_up_to_it_and_none_after_it(chain: StakingChain) -> None:
    chain.go_to(3)
    punish(chain, 0, offence_epoch=1)
    for epoch in (0, 2, 3):
        with pytest.raises(Rejected) as refused:
            punish(chain, 0, offence_epoch=epoch, number=7)
        assert refused.value.reason == "AlreadySlashed"
    chain.go_to(4)
    assert punish(chain, 0, offence_epoch=4, number=8) > 0


@pytest.mark.parametrize(
    ("index", "offence_epoch", "reason"),
    [(99, 10, "UnknownValidator"), (0, 1, "TooOld"), (0, 2, None), (0, 11, "OffenceAhead")],
)
def test_L7_evidence_counts_within_its_window(
    chain: StakingChain, index: int, offence_epoch: int, reason: str | None
) -> None:
    chain.go_to(10)
    if reason is None:
        assert punish(chain, index, offence_epoch=offence_epoch) > 0
        return
    before = dict(chain.state)
    with pytest.raises(Rejected) as refused:
        punish(chain, index, offence_epoch=offence_epoch)
    assert refused.value.reason == reason
    assert chain.state == before


def test_own_stake_pays_first_and_delegators_the_rest_pro_rata(chain: StakingChain) -> None:
    for number in range(4):
        chain.send(chain.accounts[number], "delegate", Delegate(0, 4_000 * NXT))
    chain.go_to(1)
    # 17,000 of 46,000 NXT: 3 × the share is more than all.
    assert punish(chain, 0) == 17_000 * NXT
    assert chain.validator(0).stake_units == 0
    chain = StakingChain(30)
    for number in range(2):
        chain.send(chain.accounts[number], "delegate", Delegate(0, 4_000 * NXT))
    chain.go_to(1)
    taken = punish(chain, 0)
    record = chain.validator(0)
    assert taken == 9_000 * NXT * (3 * 9_000 * 10**6 // 38_000) // 10**6
    assert record.self_stake_units == 0
    assert record.delegated_units == 9_000 * NXT - taken
    assert chain.faults() == ()


def test_L23_exit_before_the_evidence_does_not_save_the_stake(chain: StakingChain) -> None:
    chain.go_to(2)
    assert chain.send(chain.owners[0], "validator_exit", ValidatorExit(0)) == ""
    chain.go_to(3)
    assert punish(chain, 0, offence_epoch=2) >= 50 * NXT
    assert chain.validator(0).status == EXITING
    assert read_pool(chain.reader, 0, 2).self_units <= 950 * NXT
    chain.go_to(18)
    before = chain.account(chain.owners[0]).balance
    assert chain.send(chain.owners[0], "withdraw", Withdraw(0)) == ""
    assert chain.account(chain.owners[0]).balance <= before + 950 * NXT
    assert chain.faults() == ()


def test_L23_stake_that_schedules_still_counted_pays_although_it_left_before_the_fault(
    chain: StakingChain,
) -> None:
    chain.go_to(2)
    chain.send(chain.owners[0], "validator_exit", ValidatorExit(0))
    chain.go_to(4)
    assert punish(chain, 0, offence_epoch=4) > 0


def test_L23_while_finality_stands_still_stake_that_left_pays_for_later_faults_and_stays(
    chain: StakingChain,
) -> None:
    """Every schedule counts what was there when finality stopped: it must neither be out of reach nor go home."""
    chain.carrier = 1
    chain.send(chain.accounts[0], "delegate", Delegate(0, 4_000 * NXT))
    chain.go_to(2)
    chain.send(chain.accounts[0], "undelegate", Undelegate(0, 0))
    chain.send(chain.owners[0], "validator_exit", ValidatorExit(0))
    for epoch in (6, 12, 20):
        chain.go_to(epoch, finalised_epoch=2)
        assert chain.send(chain.accounts[0], "withdraw", Withdraw(0)) == "NothingToWithdraw"
    taken = punish(chain, 0, offence_epoch=20)
    assert taken == 5_000 * NXT * (3 * 5_000 * 10**6 // 29_000) // 10**6
    chain.go_to(21)
    assert chain.send(chain.accounts[0], "withdraw", Withdraw(0)) == ""
    assert chain.faults() == ()


def test_who_leaves_while_finality_stands_still_is_known_until_no_schedule_names_it(
    chain: StakingChain,
) -> None:
    """It still proposes, and the fees of its blocks are its own."""
    chain.go_to(2)
    chain.send(chain.owners[3], "validator_exit", ValidatorExit(3))
    chain.go_to(20, finalised_epoch=2)
    chain.go_to(21, finalised_epoch=2)
    assert chain.validator(3).status == EXITING
    chain.carrier = 3
    before = chain.system("FEES")
    chain.send(chain.accounts[0], "delegate", Delegate(0, 10 * NXT))
    assert chain.system("FEES") > before
    chain.carrier = 0
    chain.go_to(22)
    assert chain.system("FEES") == 0
    assert chain.faults() == ()


def test_what_a_slash_made_worthless_does_not_hold_up_what_comes_after(chain: StakingChain) -> None:
    """Eight epochs of unbonding are under way at most: one that is worth nothing must be withdrawable too."""
    chain.give(chain.owners[0], 10 * NXT)
    assert chain.send(chain.owners[0], "delegate", Delegate(0, 10 * NXT)) == ""
    assert chain.send(chain.owners[0], "undelegate", Undelegate(0, 1)) == ""
    punish(chain, 0)
    for number in range(1, 12):
        punish(chain, number)
    chain.go_to(1)
    assert read_pool(chain.reader, 0, 0).self_units == 0
    chain.go_to(16)
    assert chain.send(chain.owners[0], "withdraw", Withdraw(0)) == ""
    assert chain.send(chain.owners[0], "withdraw", Withdraw(0)) == "NothingToWithdraw"
    assert chain.faults() == ()


def test_L23_unbonding_is_longer_than_the_evidence_window_with_the_lag_of_schedules(
    chain: StakingChain,
) -> None:
    rules = chain.staking
    assert rules.unbonding_epochs >= rules.evidence_epochs + rules.activation_delay_epochs


def test_L23_delegators_in_flight_pay_like_those_that_stay(chain: StakingChain) -> None:
    for number in range(2):
        chain.send(chain.accounts[number], "delegate", Delegate(0, 4_000 * NXT))
    chain.go_to(1)
    chain.send(chain.accounts[0], "undelegate", Undelegate(0, 0))
    punish(chain, 0)
    pool = read_pool(chain.reader, 0, 1)
    assert abs(pool.delegated_units - chain.validator(0).delegated_units) <= 1
    assert pool.delegated_units < 4_000 * NXT
    assert chain.faults() == ()


def test_stake_that_left_long_before_the_fault_is_not_touched(chain: StakingChain) -> None:
    chain.send(chain.accounts[0], "delegate", Delegate(0, 4_000 * NXT))
    chain.send(chain.accounts[0], "undelegate", Undelegate(0, 0))
    chain.go_to(5)
    punish(chain, 0, offence_epoch=5)
    assert read_pool(chain.reader, 0, 0).delegated_units == 4_000 * NXT


def test_those_who_fail_together_pay_more_and_the_first_as_much_as_the_last(chain: StakingChain) -> None:
    taken = [punish(chain, index) for index in range(5)]
    assert taken == sorted(taken)
    assert taken[0] == 100 * NXT
    assert taken[4] == 500 * NXT
    chain.go_to(1)
    assert [chain.validator(index).self_stake_units for index in range(6)] == [500 * NXT] * 5 + [1_000 * NXT]
    assert chain.faults() == ()


def test_epochs_without_a_chain_block_spare_no_conspirator(chain: StakingChain) -> None:
    """The transition that follows a standstill comes after the window; what is due is due all the same."""
    for index in range(5):
        punish(chain, index)
    chain.go_to(chain.staking.evidence_epochs + 2)
    assert [chain.validator(index).self_stake_units for index in range(6)] == [500 * NXT] * 5 + [1_000 * NXT]
    assert read_penalties(chain.reader) == ()
    assert chain.faults() == ()


def test_a_third_slashed_in_one_window_loses_everything() -> None:
    chain = StakingChain(30)
    for index in range(10):
        punish(chain, index)
    chain.go_to(1)
    assert [chain.validator(index).stake_units for index in range(10)] == [0] * 10


def test_window_forgets(chain: StakingChain) -> None:
    punish(chain, 0)
    chain.go_to(8)
    assert len(read_penalties(chain.reader)) == 1
    chain.go_to(9)
    assert read_penalties(chain.reader) == ()
    assert punish(chain, 1) < 110 * NXT


def test_reporters_reward_is_bounded() -> None:
    chain = StakingChain(30, stake_units=[15_000 * NXT] * 30)
    taken = punish(chain, 0)
    punish(chain, 1)
    assert taken * 5 // 100 == 75 * NXT
    for index in range(2, 6):
        punish(chain, index)
    assert chain.faults() == ()
    assert chain.system("TRANSITION_RESERVE") > 0


def test_L8_honest_validators_are_never_touched_by_anothers_slash(chain: StakingChain) -> None:
    before = [chain.validator(index) for index in range(1, 30)]
    punish(chain, 0)
    assert [chain.validator(index) for index in range(1, 30)] == before
