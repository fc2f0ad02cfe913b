"""What a stake weighs (G2): old enough, still there, at the present rate; and it stays until the vote is over."""

from dataclasses import replace
from random import Random

import pytest
from builders.governance import VOTING_EPOCHS, GovernanceChain
from builders.ledger import STAKING
from builders.staking import NXT

from ledger.governance.records import NO, YES
from ledger.staking.delegation_kinds import Delegate, Undelegate
from ledger.staking.records import number_of, read_delegation
from ledger.staking.slashing import slash
from ledger.staking.validator_kinds import ValidatorExit
from ledger.staking.vote_lock import lock_stake, locked_until
from ledger.staking.vote_weight import (
    MAX_ADDITIONS,
    note_addition,
    note_removal,
    read_additions,
    stake_weight,
)
from ledger.state import MappingState, Overlay

ADDRESS = b"a" * 20


def delegated(chain: GovernanceChain, number: int, units: int, validator: int = 0) -> None:
    assert chain.send(chain.accounts[number], "delegate", Delegate(validator, units)) == ""


def weight(chain: GovernanceChain, number: int, before_epoch: int, *validators: int) -> int:
    address = chain.address(chain.accounts[number])
    found = stake_weight(chain.reader, address, validators or (0,), before_epoch)
    return sum(units for _, units in found)


def test_G2_stake_of_genesis_counts_at_once() -> None:
    chain = GovernanceChain()
    assert stake_weight(chain.reader, chain.address(chain.owners[2]), (2,), 0) == ((2, 1_000 * NXT),)


def test_G2_stake_added_in_the_epoch_of_creation_or_the_one_before_does_not_count() -> None:
    chain = GovernanceChain()
    chain.go_to(5)
    delegated(chain, 0, 100 * NXT)
    chain.go_to(6)
    delegated(chain, 0, 10 * NXT)
    for created, counted in ((5, 0), (6, 0), (7, 100 * NXT), (8, 110 * NXT)):
        assert weight(chain, 0, created - 1) == counted


def test_G2_borrowed_stake_does_not_vote_on_what_it_was_borrowed_for() -> None:
    chain = GovernanceChain()
    chain.go_to(9)
    proposal = chain.proposed()
    delegated(chain, 0, 4_000 * NXT)
    assert chain.vote(chain.accounts[0], proposal, YES, 0) == "NoWeight"
    chain.go_to(10)
    assert chain.vote(chain.accounts[0], proposal, YES, 0) == "NoWeight"


def test_G2_stake_that_was_there_counts_although_more_was_added() -> None:
    chain = GovernanceChain()
    delegated(chain, 0, 300 * NXT)
    chain.go_to(9)
    proposal = chain.proposed()
    delegated(chain, 0, 4_000 * NXT)
    assert chain.vote(chain.accounts[0], proposal, YES, 0) == ""
    assert chain.result() == (300 * NXT,)


def test_G2_newest_stake_leaves_first() -> None:
    chain = GovernanceChain()
    delegated(chain, 0, 300 * NXT)
    chain.go_to(5)
    delegated(chain, 0, 100 * NXT)
    assert chain.send(chain.accounts[0], "undelegate", Undelegate(0, 60 * NXT)) == ""
    assert weight(chain, 0, 5) == 300 * NXT
    assert chain.send(chain.accounts[0], "undelegate", Undelegate(0, 60 * NXT)) == ""
    assert weight(chain, 0, 5) == 280 * NXT
    assert read_additions(chain.reader, chain.address(chain.accounts[0]), 0) == ()


def test_G2_stake_that_went_and_came_back_is_new() -> None:
    chain = GovernanceChain()
    delegated(chain, 0, 300 * NXT)
    chain.go_to(5)
    assert chain.send(chain.accounts[0], "undelegate", Undelegate(0, 0)) == ""
    delegated(chain, 0, 300 * NXT)
    assert weight(chain, 0, 5) == 0


def test_G2_own_stake_that_was_added_lately_does_not_count() -> None:
    chain = GovernanceChain()
    chain.give(chain.owners[1], 500 * NXT)
    chain.go_to(5)
    assert chain.send(chain.owners[1], "delegate", Delegate(1, 400 * NXT)) == ""
    owner = chain.address(chain.owners[1])
    assert stake_weight(chain.reader, owner, (1,), 5) == ((1, 1_000 * NXT),)
    assert stake_weight(chain.reader, owner, (1,), 6) == ((1, 1_400 * NXT),)
    assert chain.send(chain.owners[1], "undelegate", Undelegate(1, 400 * NXT)) == ""
    assert stake_weight(chain.reader, owner, (1,), 5) == ((1, 1_000 * NXT),)


def test_G2_a_new_validators_stake_is_new() -> None:
    chain = GovernanceChain()
    chain.go_to(5)
    owner = chain.accounts[0]
    assert chain.send(owner, "validator_register", chain.registration(0, owner)) == ""
    assert weight(chain, 0, 5, 4) == 0
    assert weight(chain, 0, 6, 4) == 1_000 * NXT


def test_G2_a_slash_lowers_the_weight() -> None:
    chain = GovernanceChain(30)
    delegated(chain, 0, 1_000 * NXT)
    chain.go_to(3)
    overlay = Overlay(chain.reader)
    slash(overlay, 0, b"o" * 32, 2, b"r" * 20, chain.context())
    chain.apply(overlay.changes())
    owner = chain.address(chain.owners[0])
    record = chain.validator(0)
    own, rest = record.self_stake_units, record.delegated_units
    assert own < 1_000 * NXT
    assert stake_weight(chain.reader, owner, (0,), 3) == (((0, own),) if own else ())
    assert weight(chain, 0, 3) == rest


def test_only_validators_that_are_named_count() -> None:
    chain = GovernanceChain()
    for validator in range(3):
        delegated(chain, 0, (validator + 1) * 100 * NXT, validator)
    chain.go_to(5)
    assert weight(chain, 0, 5, 0, 2) == 400 * NXT
    assert weight(chain, 0, 5, 3, 77) == 0


def test_G2_stake_that_has_voted_stays_until_the_vote_is_over() -> None:
    chain = GovernanceChain()
    delegated(chain, 0, 100 * NXT)
    chain.go_to(5)
    proposal = chain.proposed()
    assert chain.vote(chain.accounts[0], proposal, NO, 0) == ""
    for epoch in range(5, 5 + VOTING_EPOCHS):
        if epoch > 5:
            chain.go_to(epoch)
        assert chain.send(chain.accounts[0], "undelegate", Undelegate(0, 50 * NXT)) == "StakeLocked"
    chain.go_to(5 + VOTING_EPOCHS)
    assert chain.send(chain.accounts[0], "undelegate", Undelegate(0, 50 * NXT)) == ""


def test_G2_own_stake_that_has_voted_may_exit_and_stays_bonded() -> None:
    chain = GovernanceChain()
    chain.go_to(5)
    proposal = chain.proposed()
    chain.vote_of_owners(proposal, yes=[1])
    assert chain.send(chain.owners[1], "undelegate", Undelegate(1, 1)) == "StakeLocked"
    bonded = chain.system("BONDED")
    assert chain.send(chain.owners[1], "validator_exit", ValidatorExit(1)) == ""
    assert chain.system("BONDED") == bonded
    assert STAKING.unbonding_epochs >= STAKING.voting_epochs
    assert chain.proposal(proposal).yes_units == 1_000 * NXT


def test_a_longer_lock_is_never_shortened() -> None:
    overlay = Overlay(MappingState({}))
    lock_stake(overlay, ADDRESS, 9)
    lock_stake(overlay, ADDRESS, 4)
    assert locked_until(overlay, ADDRESS) == 9


def test_additions_that_no_vote_can_ask_for_are_forgotten() -> None:
    overlay = Overlay(MappingState({}))
    for epoch in range(100):
        note_addition(overlay, ADDRESS, 1, 5, epoch, VOTING_EPOCHS)
    kept = [one.epoch for one in read_additions(overlay, ADDRESS, 1)]
    assert kept == [99 - VOTING_EPOCHS, *range(100 - VOTING_EPOCHS, 100)]


class Model:
    """Every unit with the epoch in which it came, as a list: the newest last."""

    def __init__(self) -> None:
        self.came: list[int] = []

    def add(self, units: int, epoch: int) -> None:
        self.came += [epoch] * units

    def remove(self, units: int) -> None:
        del self.came[len(self.came) - units :]

    def before(self, epoch: int) -> int:
        return sum(came < epoch for came in self.came)


@pytest.mark.parametrize(("seed", "long"), [(seed, seed % 2 == 0) for seed in range(40)])
def test_G2_weight_is_exact_while_additions_fit_and_never_too_great(seed: int, long: bool) -> None:
    random = Random(seed)
    voting = 40 if long else MAX_ADDITIONS - 2
    overlay, model = Overlay(MappingState({})), Model()
    for epoch in range(60):
        for _ in range(random.randrange(3)):
            if random.random() < 0.6:
                units = random.randrange(1, 9)
                note_addition(overlay, ADDRESS, 1, units, epoch, voting)
                model.add(units, epoch)
            elif model.came:
                units = random.randrange(1, len(model.came) + 1)
                note_removal(overlay, ADDRESS, 1, units)
                model.remove(units)
        for before in range(max(0, epoch - voting), epoch + 2):
            young = sum(
                number_of(one.shares) for one in read_additions(overlay, ADDRESS, 1) if one.epoch >= before
            )
            assert young <= len(model.came)
            found, true = len(model.came) - young, model.before(before)
            assert found <= true if long else found == true


def test_G2_weight_follows_shares_through_a_long_history() -> None:
    random = Random(7)
    chain = GovernanceChain(2, staking=replace(STAKING, voting_epochs=6))
    address, model = chain.address(chain.accounts[0]), Model()
    for epoch in range(1, 30):
        chain.go_to(epoch)
        nxt = random.randrange(10, 40)
        if random.random() < 0.6 or len(model.came) < nxt + 10:
            delegated(chain, 0, nxt * NXT)
            model.add(nxt, epoch)
        else:
            reason = chain.send(chain.accounts[0], "undelegate", Undelegate(0, nxt * NXT))
            if reason == "":
                model.remove(nxt)
        held = read_delegation(chain.reader, address, 0)
        assert held is not None and number_of(held.shares) == len(model.came) * NXT
        for before in range(max(0, epoch - 6), epoch + 1):
            assert weight(chain, 0, before) == model.before(before) * NXT
