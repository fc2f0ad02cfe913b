"""Ballots: one per address and proposal (G1), one's own before a delegate's, tallies exact to the unit."""

from collections.abc import Iterator
from dataclasses import replace
from random import Random

import pytest
from builders.governance import VOTING_EPOCHS, GovernanceChain
from builders.ledger import key_pair
from builders.staking import NXT

from ledger.errors import Malformed, PayloadInvalid
from ledger.governance.actions import ParameterChange, Payment
from ledger.governance.classes import BUDGET, CONSTITUTIONAL
from ledger.governance.queries import (
    open_proposals,
    parameters,
    proposal_view,
    proposals,
    vote_delegations,
    voter,
    votes,
)
from ledger.governance.records import ABSTAIN, NO, YES, Proposal, read_tally
from ledger.governance.voting import VOTE, Ballot, Vote
from ledger.governed.parameters import QUORUM_PPM
from ledger.keys import KeyPair
from ledger.registry import Rejected
from ledger.staking.delegation_kinds import Delegate, Undelegate
from ledger.staking.vote_lock import locked_until
from ledger.state import Overlay
from ledger.storage.state_store import LedgerStore


def staked_chain(count: int = 4, *, validators: int = 4) -> GovernanceChain:
    """Account i has (i + 1) × 100 NXT with validator 0 and as much with validator 1, since epoch 0; now it is 5."""
    chain = GovernanceChain(validators)
    for number in range(count):
        for validator in (0, 1):
            units = (number + 1) * 100 * NXT
            assert chain.send(chain.accounts[number], "delegate", Delegate(validator, units)) == ""
    chain.go_to(5)
    return chain


def tally(proposal: Proposal) -> tuple[int, int, int, int]:
    return (
        proposal.yes_units // NXT,
        proposal.no_units // NXT,
        proposal.abstain_units // NXT,
        proposal.ballots,
    )


def test_votes_weigh_what_the_voter_has_staked() -> None:
    chain = staked_chain()
    proposal = chain.proposed()
    assert chain.vote(chain.accounts[0], proposal, YES, 0, 1) == ""
    assert chain.result() == (200 * NXT,)
    assert chain.vote(chain.accounts[1], proposal, NO, 1) == ""
    assert chain.vote(chain.owners[3], proposal, ABSTAIN, 3) == ""
    assert tally(chain.proposal(proposal)) == (200, 200, 1_000, 3)


def test_G1_a_second_vote_of_an_address_is_refused_and_changes_no_tally() -> None:
    chain = staked_chain()
    proposal = chain.proposed()
    assert chain.vote(chain.accounts[0], proposal, YES, 0) == ""
    before = chain.proposal(proposal)
    for choice in (NO, YES, ABSTAIN):
        assert chain.vote(chain.accounts[0], proposal, choice, 0, 1) == "AlreadyVoted"
    assert chain.proposal(proposal) == before


def test_G1_the_same_vote_in_one_block_counts_once() -> None:
    chain = staked_chain()
    proposal = chain.proposed()
    key = chain.accounts[0]
    vote = Vote(proposal, YES, (chain.ballot(key, 0),))
    nonce = chain.account(key).nonce
    reasons = chain.run(*(chain.signed(key, "vote", vote, nonce=nonce + step) for step in range(2)))
    assert reasons == ["", "AlreadyVoted"]
    assert tally(chain.proposal(proposal)) == (100, 0, 0, 1)


def test_G1_an_address_may_vote_on_every_proposal() -> None:
    chain = staked_chain()
    first, second = chain.proposed(), chain.proposed()
    assert chain.vote(chain.accounts[0], first, YES, 0) == ""
    assert chain.vote(chain.accounts[0], second, NO, 0) == ""


def test_a_ballot_names_each_validator_once_in_order() -> None:
    chain = staked_chain()
    proposal = chain.proposed()
    for validators in ((0, 0), (1, 0)):
        with pytest.raises(PayloadInvalid, match="not ascending"):
            chain.vote(chain.accounts[0], proposal, YES, *validators)
    with pytest.raises(Malformed):
        chain.vote(chain.accounts[0], proposal, YES, *range(17))
    ballots = sorted((chain.ballot(key, 0) for key in chain.accounts[:2]), key=lambda one: one.address)
    with pytest.raises(PayloadInvalid, match="not ascending"):
        chain.send(chain.accounts[0], "vote", Vote(proposal, YES, tuple(reversed(ballots))))


def test_votes_on_nothing_and_after_the_end_are_refused() -> None:
    chain = staked_chain()
    assert chain.vote(chain.accounts[0], 1, YES, 0) == "UnknownProposal"
    proposal = chain.proposed()
    chain.go_to(5 + VOTING_EPOCHS - 1)
    assert chain.vote(chain.accounts[0], proposal, YES, 0) == ""
    chain.go_to(5 + VOTING_EPOCHS)
    assert chain.vote(chain.accounts[1], proposal, YES, 0) == "VotingClosed"


def test_voting_is_over_at_its_epoch_even_before_a_transition_says_so() -> None:
    """As a simulation against the state of the epoch before sees it."""
    chain = staked_chain()
    proposal = chain.proposed()
    signed = chain.signed(
        chain.accounts[0], "vote", Vote(proposal, YES, (chain.ballot(chain.accounts[0], 0),))
    )
    for epoch, reason in ((7, None), (8, "VotingClosed")):
        context = replace(chain.context(), epoch=epoch)
        if reason is None:
            assert VOTE.apply(Overlay(chain.reader), signed, signed.payload, context) == (100 * NXT,)
        else:
            with pytest.raises(Rejected, match="closed in epoch 8"):
                VOTE.apply(Overlay(chain.reader), signed, signed.payload, context)


def test_who_has_no_old_stake_has_no_vote() -> None:
    chain = staked_chain()
    proposal = chain.proposed()
    assert chain.vote(chain.accounts[6], proposal, YES, 0) == "NoWeight"
    assert chain.vote(chain.accounts[0], proposal, YES) == "NoWeight"
    assert chain.vote(chain.accounts[0], proposal, YES, 2) == "NoWeight"


# delegation of votes --------------------------------------------------------------------------------------------------


def handed_chain() -> tuple[GovernanceChain, KeyPair, list[KeyPair]]:
    """Accounts 0 to 2 have handed their votes to account 3 in epoch 0; now it is 5."""
    chain = GovernanceChain()
    *givers, delegate = chain.accounts[:4]
    for number, key in enumerate((*givers, delegate)):
        assert chain.send(key, "delegate", Delegate(0, (number + 1) * 100 * NXT)) == ""
    for key in givers:
        assert chain.hand_over(key, delegate) == ""
    chain.go_to(5)
    return chain, delegate, givers


def test_a_delegate_casts_the_ballots_of_those_who_trust_it() -> None:
    chain, delegate, givers = handed_chain()
    proposal = chain.proposed()
    ballots = [chain.ballot(key, 0) for key in (*givers, delegate)]
    assert chain.cast(delegate, proposal, YES, ballots) == ""
    assert chain.result() == (1_000 * NXT,)
    assert tally(chain.proposal(proposal)) == (1_000, 0, 0, 4)


def test_G1_a_delegators_own_vote_replaces_the_one_cast_for_it_exactly() -> None:
    chain, delegate, givers = handed_chain()
    proposal = chain.proposed()
    assert chain.cast(delegate, proposal, YES, [chain.ballot(key, 0) for key in givers]) == ""
    assert chain.vote(givers[1], proposal, NO, 0) == ""
    assert tally(chain.proposal(proposal)) == (400, 200, 0, 3)
    assert chain.vote(givers[1], proposal, YES, 0) == "AlreadyVoted"
    assert chain.cast(delegate, proposal, YES, [chain.ballot(givers[1], 0)]) == "AlreadyVoted"


def test_G1_a_delegate_cannot_replace_a_delegators_own_vote_or_its_own() -> None:
    chain, delegate, givers = handed_chain()
    proposal = chain.proposed()
    assert chain.vote(givers[0], proposal, NO, 0) == ""
    assert chain.cast(delegate, proposal, YES, [chain.ballot(givers[0], 0)]) == "AlreadyVoted"
    assert chain.cast(delegate, proposal, YES, [chain.ballot(givers[1], 0)]) == ""
    assert chain.cast(delegate, proposal, NO, [chain.ballot(givers[1], 0)]) == "AlreadyVoted"
    assert tally(chain.proposal(proposal)) == (200, 100, 0, 2)


def test_all_ballots_of_a_vote_count_or_none() -> None:
    chain, delegate, givers = handed_chain()
    proposal = chain.proposed()
    stranger = chain.accounts[5]
    ballots = [chain.ballot(key, 0) for key in (*givers, stranger)]
    before = chain.proposal(proposal)
    assert chain.cast(delegate, proposal, YES, ballots) == "NotDelegate"
    assert chain.proposal(proposal) == before
    assert chain.vote_record(proposal, givers[0]) is None


def test_a_vote_handed_over_after_the_snapshot_is_not_the_delegates_to_cast() -> None:
    chain = staked_chain()
    giver, delegate = chain.accounts[:2]
    assert chain.hand_over(giver, delegate) == ""
    proposal = chain.proposed()
    assert chain.cast(delegate, proposal, YES, [chain.ballot(giver, 0)]) == "NotDelegate"
    chain.go_to(6)
    younger = chain.proposed()
    assert chain.cast(delegate, younger, YES, [chain.ballot(giver, 0)]) == "NotDelegate"
    chain.go_to(7)
    youngest = chain.proposed(by=chain.accounts[6])
    assert chain.cast(delegate, youngest, YES, [chain.ballot(giver, 0)]) == ""


def test_a_vote_that_is_taken_back_or_handed_on_is_the_delegates_no_more() -> None:
    chain, delegate, givers = handed_chain()
    proposal = chain.proposed()
    assert chain.hand_over(givers[0], None) == ""
    assert chain.hand_over(givers[1], chain.accounts[6]) == ""
    for key in givers[:2]:
        assert chain.cast(delegate, proposal, YES, [chain.ballot(key, 0)]) == "NotDelegate"
    assert chain.cast(chain.accounts[6], proposal, YES, [chain.ballot(givers[1], 0)]) == "NotDelegate"
    assert chain.vote(givers[0], proposal, NO, 0) == ""


def test_delegated_votes_are_not_handed_on() -> None:
    chain, delegate, givers = handed_chain()
    further = chain.accounts[6]
    assert chain.hand_over(delegate, further) == ""
    chain.go_to(8)
    proposal = chain.proposed()
    assert chain.cast(further, proposal, YES, [chain.ballot(givers[0], 0)]) == "NotDelegate"
    assert chain.cast(further, proposal, YES, [chain.ballot(delegate, 0)]) == ""


def test_vote_delegate_names_what_is_wrong() -> None:
    chain = staked_chain()
    giver, delegate = chain.accounts[:2]
    assert chain.hand_over(giver, None) == "NotDelegated"
    assert chain.hand_over(giver, giver) == "SelfDelegation"
    assert chain.hand_over(giver, delegate) == ""
    assert chain.hand_over(giver, delegate) == "AlreadyDelegated"


def test_G2_a_ballot_cast_by_a_delegate_locks_the_delegators_stake() -> None:
    chain, delegate, givers = handed_chain()
    proposal = chain.proposed()
    assert chain.cast(delegate, proposal, YES, [chain.ballot(givers[0], 0)]) == ""
    assert chain.send(givers[0], "undelegate", Undelegate(0, 0)) == "StakeLocked"
    assert chain.send(delegate, "undelegate", Undelegate(0, 0)) == ""
    assert locked_until(chain.reader, chain.address(givers[0])) == chain.proposal(proposal).closes_epoch


# a naive recount of everything ----------------------------------------------------------------------------------------


def recount(store: LedgerStore, proposal: Proposal) -> tuple[int, int, int, int, dict[int, tuple[int, int]]]:
    """From the ballots themselves: yes, no, abstain, how many, and (yes, no) by validator."""
    sums, count = [0, 0, 0], 0
    by_validator: dict[int, list[int]] = {}
    for _, vote in votes(store, proposal.id):
        count += 1
        sums[vote.choice] += vote.units
        for one in vote.counted:
            if vote.choice != ABSTAIN:
                by_validator.setdefault(one.validator, [0, 0])[vote.choice] += one.units
    return (
        sums[YES],
        sums[NO],
        sums[ABSTAIN],
        count,
        {index: (pair[YES], pair[NO]) for index, pair in by_validator.items()},
    )


def moves(random: Random, chain: GovernanceChain, open_ids: list[int]) -> Iterator[str]:
    """One thing that somebody does, the reason."""
    key, other = random.sample(chain.accounts, 2)
    some = tuple(sorted(random.sample(range(6), random.randrange(3, 7))))
    what = random.randrange(6)
    if what == 0:
        yield chain.send(key, "delegate", Delegate(random.randrange(6), random.randrange(10, 60) * NXT))
    elif what == 1:
        yield chain.send(key, "undelegate", Undelegate(random.randrange(6), random.choice((0, 15 * NXT))))
    elif what == 2:
        yield chain.hand_over(key, random.choice((other, None)))
    elif what == 3 and open_ids:
        yield chain.vote(key, random.choice(open_ids), random.randrange(3), *some)
    elif open_ids:
        ballots = [chain.ballot(one, *some) for one in (key, other)]
        yield chain.cast(key, random.choice(open_ids), random.randrange(3), ballots[: random.randrange(1, 3)])


@pytest.mark.parametrize("seed", range(4))
def test_G1_tallies_equal_a_naive_recount_of_all_votes(seed: int) -> None:
    random = Random(seed)
    chain = GovernanceChain(6, seed=f"recount {seed}")
    proposer = key_pair("recount", "account", 0)
    chain.give(proposer, 400 * NXT)
    made: list[int] = []
    reasons: set[str] = set()
    for key in chain.accounts:
        for validator in random.sample(range(6), 2):
            chain.send(key, "delegate", Delegate(validator, 100 * NXT))
    for epoch in range(1, 19):
        chain.go_to(epoch)
        if epoch % 2:
            change = ParameterChange(QUORUM_PPM.number, b"", 300_000)
            if chain.create(proposer, *random.choice([(CONSTITUTIONAL, change), (1, None)])) == "":
                made.append(chain.result()[0])
        for _ in range(14):
            reasons.update(moves(random, chain, made[-2:]))
    store = chain.store()
    counted = 0
    for proposal in proposals(store):
        yes, no, abstain, count, by_validator = recount(store, proposal)
        counted += count
        assert (yes, no, abstain, count) == (
            proposal.yes_units,
            proposal.no_units,
            proposal.abstain_units,
            proposal.ballots,
        )
        expected = by_validator if proposal.class_ == CONSTITUTIONAL else {}
        for index in range(6):
            assert read_tally(store, proposal.id, index) == expected.get(index, (0, 0))
    assert counted > 20
    assert reasons >= {"", "AlreadyVoted", "NotDelegate", "NoWeight"}


# what people ask ------------------------------------------------------------------------------------------------------


def test_queries_tell_what_the_state_holds() -> None:
    chain, delegate, givers = handed_chain()
    proposal = chain.proposed()
    assert chain.vote(delegate, proposal, YES, 0) == ""
    store = chain.store()
    view = proposal_view(chain.proposal(proposal))
    assert (view.class_name, view.status, view.threshold_ppm) == ("policy", "open", 510_000)
    assert (view.approval_ppm, view.turnout_ppm) == (1_000_000, 400 * 1_000_000 // 5_000)
    assert not view.quorum_reached and view.threshold_reached
    assert [one.id for one in open_proposals(store)] == [proposal]
    asked = voter(store, chain.address(givers[0]), (0, 1), 5)
    assert (asked.delegate, asked.delegate_since_epoch) == (chain.address(delegate), 0)
    assert asked.weights == ((0, 100 * NXT),)
    assert [(address, handed.delegate) for address, handed in vote_delegations(store)] == sorted(
        (chain.address(key), chain.address(delegate)) for key in givers
    )
    assert [address for address, _ in votes(store, proposal)] == [chain.address(delegate)]
    listed = {view.parameter.name: view.value for view in parameters(store)}
    assert listed["quorum"] == 334_000 and "pool_fee" not in listed


def test_ballot_and_payment_records_say_what_they_mean() -> None:
    chain = staked_chain()
    proposal = chain.payment(chain.accounts[5], 5 * NXT)
    assert chain.proposal(proposal).class_ == BUDGET
    assert chain.proposal(proposal).action == Payment(0, chain.address(chain.accounts[5]), 5 * NXT)
    assert chain.ballot(chain.accounts[0], 1) == Ballot(chain.address(chain.accounts[0]), (1,))
