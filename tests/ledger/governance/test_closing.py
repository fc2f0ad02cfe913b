"""How a vote ends: quorum and thresholds at their exact edges, deposits, time locks, and what is done then (G3, G4)."""

from dataclasses import replace

import pytest
from builders.governance import VOTING_EPOCHS, GovernanceChain
from builders.ledger import STAKING, key_pair
from builders.staking import NXT

from ledger.accounts import ADDRESS_OF_SYSTEM_ACCOUNT
from ledger.epoch_transition import LEDGER_EPOCH_STEPS, EpochStep, EpochSteps
from ledger.governance.actions import (
    Action,
    KindPause,
    ParameterChange,
    Payment,
    RegistrarAdd,
    RegistrarRemove,
    TextOnly,
)
from ledger.governance.classes import (
    BUDGET,
    CAMPAIGN,
    CLASSES,
    CONSTITUTIONAL,
    EMERGENCY,
    PARAMETER,
    POLICY,
)
from ledger.governance.closing import close_proposals
from ledger.governance.records import (
    EXECUTED,
    FAILED,
    NO_QUORUM,
    OPEN_KEY,
    PASSED,
    REJECTED,
    WAITING_KEY,
    YES,
    read_due,
)
from ledger.governance.tally import bands_needed, bands_of, quorum_reached, share_reached
from ledger.governed.parameters import (
    PROPOSAL_DEPOSIT_UNITS,
    QUORUM_PPM,
    RESERVE_SHARE_PPM,
    read_parameter,
    write_parameter,
)
from ledger.governed.pauses import paused_kind
from ledger.governed.registrars import add_registrar, read_registrars
from ledger.issuance import read_flows
from ledger.registry import Rejected
from ledger.staking.delegation_kinds import Delegate
from ledger.staking.validator_set import next_mix, take_snapshot
from ledger.state import Overlay
from ledger.transfer import Transfer

DEPOSIT = PROPOSAL_DEPOSIT_UNITS.default
PPM = 1_000_000
ADDRESS = b"a" * 20
RESERVE = RESERVE_SHARE_PPM.number

ACTION_OF_CLASS: dict[int, Action] = {
    POLICY: TextOnly(),
    BUDGET: Payment(0, ADDRESS, NXT),
    PARAMETER: ParameterChange(RESERVE, b"", 20_000),
    EMERGENCY: KindPause(1),
    CONSTITUTIONAL: TextOnly(),
}


GOVERNANCE_ALONE = EpochSteps(
    (EpochStep("governance", close_proposals), EpochStep("snapshot", take_snapshot))
)
"""Transitions in which no other step moves units."""


def two_stakes(first: int, second: int, steps: EpochSteps = LEDGER_EPOCH_STEPS) -> GovernanceChain:
    """Validators 0 and 1 with these units and no other."""
    chain = GovernanceChain(2, stake_units=(first, second), steps=steps)
    for key in chain.owners:
        chain.give(key, 200 * NXT)
    return chain


def decided(chain: GovernanceChain, class_: int) -> int:
    if class_ == CAMPAIGN:
        assert chain.campaign(0, by=chain.owners[0]) == ""
        return chain.result()[0]
    return chain.proposed(class_, ACTION_OF_CLASS[class_])


@pytest.mark.parametrize("class_", [POLICY, BUDGET, PARAMETER, EMERGENCY, CAMPAIGN])
def test_a_class_passes_at_its_threshold_and_not_one_unit_below(class_: int) -> None:
    yes = CLASSES[class_].threshold_ppm * 100_000
    for lacking in (0, 1):
        chain = two_stakes(yes - lacking, PPM * 100_000 - yes + lacking)
        proposal = decided(chain, class_)
        chain.vote_of_owners(proposal, yes=[0], no=[1])
        closed = chain.close(proposal)
        assert closed.status == (REJECTED if lacking else closed.status)
        assert closed.reason == ("BelowThreshold" if lacking else "")
        assert (closed.status in (PASSED, EXECUTED)) == (not lacking)


def test_thresholds_are_those_of_the_constitution() -> None:
    assert {one.name: one.threshold_ppm // 10_000 for one in CLASSES.values()} == {
        "policy": 51,
        "budget": 60,
        "parameter": 67,
        "emergency": 67,
        "constitutional": 80,
        "campaign": 60,
    }


@pytest.mark.parametrize(("lacking", "status"), [(0, PASSED), (1, NO_QUORUM)])
def test_quorum_is_reached_to_the_unit(lacking: int, status: int) -> None:
    voting = QUORUM_PPM.default * 100_000 - lacking
    chain = two_stakes(voting, PPM * 100_000 - voting)
    proposal = chain.proposed()
    chain.vote_of_owners(proposal, yes=[0])
    assert chain.close(proposal).status == status


def test_abstentions_count_for_the_quorum_and_not_for_the_share() -> None:
    chain = two_stakes(100 * NXT, 900 * NXT)
    first, second = chain.proposed(), chain.proposed()
    chain.vote_of_owners(first, yes=[0], abstain=[1])
    chain.vote_of_owners(second, abstain=[1])
    assert chain.close(first).status == PASSED
    assert (chain.status(second), chain.proposal(second).reason) == (REJECTED, "BelowThreshold")


def test_G3_the_quorum_counts_the_stake_that_there_was_at_creation() -> None:
    chain = GovernanceChain(10)
    proposal = chain.proposed()
    overlay = Overlay(chain.reader)
    write_parameter(overlay, QUORUM_PPM, 667_000)
    chain.apply(overlay.changes())
    chain.vote_of_owners(proposal, yes=[0, 1, 2, 3])
    assert chain.close(proposal).status == PASSED
    assert chain.proposal(chain.proposed()).quorum_ppm == 667_000


@pytest.mark.parametrize("total", [1, 3, 10**14, 10**14 + 1])
def test_shares_are_compared_without_rounding(total: int) -> None:
    for ppm in (1, 334_000, 510_000, 670_000, 999_999, PPM):
        for part in {total * ppm // PPM + step for step in (-1, 0, 1)}:
            if 0 < part <= total:
                assert share_reached(part, total - part, ppm) == (part * PPM >= ppm * total)
                assert quorum_reached(part, total, ppm) == (part * PPM >= ppm * total)
    assert not share_reached(0, 0, 0)
    assert not quorum_reached(0, 0, 0)


# deposits -------------------------------------------------------------------------------------------------------------


def test_G4_the_deposit_comes_back_when_enough_took_part_whatever_they_said() -> None:
    chain = two_stakes(500 * NXT, 500 * NXT)
    proposer = chain.accounts[7]
    proposal = chain.proposed()
    balance = chain.account(proposer).balance
    chain.vote_of_owners(proposal, no=[0, 1])
    assert chain.close(proposal).status == REJECTED
    assert chain.account(proposer).balance == balance + DEPOSIT
    assert chain.deposits == 0


def test_G4_the_deposit_burns_when_too_few_took_part() -> None:
    chain = two_stakes(100 * NXT, 900 * NXT, GOVERNANCE_ALONE)
    proposal = chain.proposed()
    chain.vote_of_owners(proposal, yes=[0])
    flows, reserve = read_flows(chain.reader), chain.system("TRANSITION_RESERVE")
    assert chain.deposits == DEPOSIT
    assert chain.close(proposal).status == NO_QUORUM
    assert (chain.deposits, chain.system("TRANSITION_RESERVE")) == (0, reserve + DEPOSIT)
    assert read_flows(chain.reader).burned_units == flows.burned_units + DEPOSIT


# time locks -----------------------------------------------------------------------------------------------------------


def passed(chain: GovernanceChain, class_: int, action: Action | None = None) -> int:
    """A proposal that everybody wants, closed."""
    proposal = chain.proposed(class_, action or ACTION_OF_CLASS[class_])
    chain.vote_of_owners(proposal, yes=range(len(chain.owners)))
    chain.close(proposal)
    return proposal


@pytest.mark.parametrize(
    ("class_", "lock"), [(POLICY, 1), (BUDGET, 1), (PARAMETER, 2), (CONSTITUTIONAL, 2), (EMERGENCY, 0)]
)
def test_G3_what_was_decided_waits_for_its_time_lock(class_: int, lock: int) -> None:
    chain = GovernanceChain(staking=replace(STAKING, voting_epochs=14))
    proposal = passed(chain, class_)
    closed = chain.proposal(proposal)
    assert closed.closes_epoch == (1 if class_ == EMERGENCY else 14)
    assert closed.effect_epoch == closed.closed_epoch + lock
    for epoch in range(closed.closed_epoch, closed.effect_epoch):
        if epoch > chain.epoch:
            chain.go_to(epoch)
        assert chain.status(proposal) == PASSED
        assert [one.id for one in read_due(chain.reader, WAITING_KEY)] == [proposal]
    if lock:
        chain.go_to(closed.effect_epoch)
    assert chain.status(proposal) == EXECUTED
    assert chain.proposal(proposal).executed_epoch == closed.effect_epoch
    assert read_due(chain.reader, WAITING_KEY) == ()


def test_a_parameter_changes_at_its_time_and_not_before() -> None:
    chain = GovernanceChain()
    proposal = passed(chain, PARAMETER)
    assert read_parameter(chain.reader, RESERVE_SHARE_PPM) == RESERVE_SHARE_PPM.default
    chain.go_to(chain.proposal(proposal).effect_epoch)
    assert read_parameter(chain.reader, RESERVE_SHARE_PPM) == 20_000


def test_epochs_that_nobody_saw_close_and_carry_out_once() -> None:
    chain = GovernanceChain()
    proposal = chain.proposed(POLICY, RegistrarAdd(ADDRESS))
    chain.vote_of_owners(proposal, yes=range(4))
    chain.go_to(1_000)
    assert chain.status(proposal) == PASSED
    assert chain.proposal(proposal).effect_epoch == 1_001
    chain.go_to(2_000)
    assert chain.status(proposal) == EXECUTED
    assert read_registrars(chain.reader) == (ADDRESS,)


# what is done ---------------------------------------------------------------------------------------------------------


def test_a_budget_pays_out_of_the_fund_and_is_counted_as_issued() -> None:
    chain = GovernanceChain()
    recipient = key_pair("paid", "account", 0)
    proposal = chain.payment(recipient, 1_500 * NXT)
    chain.vote_of_owners(proposal, yes=range(4))
    fund, flows = chain.system("ECOSYSTEM_FUND"), read_flows(chain.reader)
    assert chain.take_effect(proposal).status == EXECUTED
    assert chain.account(recipient).balance == 1_500 * NXT
    assert chain.system("ECOSYSTEM_FUND") == fund - 1_500 * NXT
    assert read_flows(chain.reader).issued_units >= flows.issued_units + 1_500 * NXT
    assert chain.faults() == ()


def test_a_budget_whose_source_is_empty_then_fails_and_nothing_else() -> None:
    chain = GovernanceChain()
    recipient = key_pair("paid", "account", 0)
    proposal = chain.payment(recipient, 1_500 * NXT)
    chain.vote_of_owners(proposal, yes=range(4))
    overlay = Overlay(chain.reader)
    fund = ADDRESS_OF_SYSTEM_ACCOUNT["ECOSYSTEM_FUND"]
    overlay.debit(fund, overlay.account(fund).balance - 1_500 * NXT + 1)
    overlay.credit(ADDRESS_OF_SYSTEM_ACCOUNT["TREASURY"], 200_000 * NXT - 1_500 * NXT + 1)
    chain.apply(overlay.changes())
    failed = chain.take_effect(proposal)
    assert (failed.status, failed.reason) == (FAILED, "SourceTooSmall")
    assert chain.account(recipient).balance == 0
    assert chain.deposits == 0


def test_registrars_come_and_go_by_votes() -> None:
    chain = GovernanceChain()
    chain.take_effect(passed(chain, POLICY, RegistrarAdd(ADDRESS)))
    assert read_registrars(chain.reader) == (ADDRESS,)
    chain.take_effect(passed(chain, POLICY, RegistrarRemove(ADDRESS)))
    assert read_registrars(chain.reader) == ()


def test_what_became_impossible_fails_with_its_reason() -> None:
    chain = GovernanceChain()
    proposal = passed(chain, POLICY, RegistrarAdd(ADDRESS))
    overlay = Overlay(chain.reader)
    add_registrar(overlay, ADDRESS)
    chain.apply(overlay.changes())
    failed = chain.take_effect(proposal)
    assert (failed.status, failed.reason) == (FAILED, "AlreadyRegistrar")


def test_an_emergency_pauses_one_kind_for_the_epoch_that_begins_and_no_longer() -> None:
    chain = GovernanceChain()
    proposal = passed(chain, EMERGENCY, KindPause(1))
    assert chain.status(proposal) == EXECUTED
    assert paused_kind(chain.reader, chain.epoch) == 1
    key = chain.accounts[0]
    payload = Transfer(ADDRESS, 1, b"")
    assert chain.send(key, "transfer", payload) == "KindPaused"
    chain.go_to(chain.epoch + 1)
    assert chain.send(key, "transfer", payload) == ""


def test_of_two_emergencies_for_one_epoch_the_first_pauses_and_the_second_fails() -> None:
    chain = GovernanceChain()
    first = chain.proposed(EMERGENCY, KindPause(1))
    second = chain.proposed(EMERGENCY, KindPause(2))
    for proposal in (second, first):
        chain.vote_of_owners(proposal, yes=range(4))
    chain.close(first)
    assert (chain.status(first), chain.status(second)) == (EXECUTED, FAILED)
    assert chain.proposal(second).reason == "PauseInPlace"
    assert paused_kind(chain.reader, chain.epoch) == 1


def test_a_campaign_ends_without_anything_done() -> None:
    chain = two_stakes(600 * NXT, 400 * NXT)
    proposal = decided(chain, CAMPAIGN)
    chain.vote_of_owners(proposal, yes=[0], no=[1])
    assert chain.close(proposal).status == EXECUTED


# bands ----------------------------------------------------------------------------------------------------------------


def banded(chain: GovernanceChain, reveals: bytes = b"") -> tuple[tuple[int, ...], ...]:
    """The bands that the next transition counts by when these are the reveals of the epoch that ends."""
    return tuple(tuple(band) for band in bands_of(chain.snapshot, next_mix(chain.snapshot.mix, reveals)))


def constitutional(chain: GovernanceChain) -> int:
    """A constitutional proposal in its last epoch."""
    proposal = chain.proposed(CONSTITUTIONAL, TextOnly())
    chain.go_to(chain.epoch + VOTING_EPOCHS - 1)
    return proposal


@pytest.mark.parametrize(("refusing", "status"), [(1, PASSED), (2, REJECTED)])
def test_a_constitutional_matter_needs_five_of_six_bands(refusing: int, status: int) -> None:
    """36 validators, six to a band. A band says no by two of six: 67 % of it, 94 and 89 % of all."""
    chain = GovernanceChain(36)
    proposal = constitutional(chain)
    bands = banded(chain)
    assert [len(band) for band in bands] == [6] * 6
    no = [index for band in bands[:refusing] for index in band[:2]]
    chain.vote_of_owners(proposal, yes=[index for index in range(36) if index not in no], no=no)
    closed = chain.close(proposal)
    assert (closed.status, closed.bands_approving, closed.bands_populated) == (status, 6 - refusing, 6)
    assert closed.reason == ("TooFewBands" if status == REJECTED else "")


def test_a_band_without_votes_does_not_approve() -> None:
    chain = GovernanceChain(12)
    proposal = constitutional(chain)
    bands = banded(chain)
    voting = [index for band in bands[:4] for index in band]
    chain.vote_of_owners(proposal, yes=voting)
    closed = chain.close(proposal)
    assert (closed.status, closed.reason, closed.bands_approving) == (REJECTED, "TooFewBands", 4)


@pytest.mark.parametrize("lacking", [0, 1])
def test_a_constitutional_matter_needs_80_percent_of_the_votes_too(lacking: int) -> None:
    """One band that says no with a fifth of all stake: five approve."""
    small = 16 * NXT
    chain = GovernanceChain(6, stake_units=(20 * NXT + lacking, *[small] * 4, small - lacking))
    proposal = constitutional(chain)
    chain.vote_of_owners(proposal, yes=range(1, 6), no=[0])
    closed = chain.close(proposal)
    assert closed.status == (REJECTED if lacking else PASSED)
    assert closed.reason == ("BelowThreshold" if lacking else "")


@pytest.mark.parametrize(("populated", "needed"), [(0, 1), (1, 1), (2, 1), (3, 2), (5, 4), (6, 5)])
def test_all_populated_bands_but_one_must_approve(populated: int, needed: int) -> None:
    assert bands_needed(populated) == needed


def test_three_validators_fill_three_bands_and_two_must_approve() -> None:
    for against, status in ((1, PASSED), (2, REJECTED)):
        chain = GovernanceChain(3, stake_units=(1_000 * NXT, 10 * NXT, 10 * NXT))
        proposal = constitutional(chain)
        chain.vote_of_owners(proposal, yes=range(3 - against), no=range(3 - against, 3))
        closed = chain.close(proposal)
        assert (closed.status, closed.bands_populated) == (status, 3)


def test_bands_are_dealt_by_effective_stake() -> None:
    """One of 12 has as much as all others; what it counts for is a twelfth, so each band gets two."""
    chain = GovernanceChain(12, stake_units=(11_000 * NXT, *[1_000 * NXT] * 11))
    assert {len(band) for band in banded(chain)} == {2}


def test_bands_are_dealt_by_a_mix_that_the_voters_did_not_know() -> None:
    """Two runs that are equal until the last vote is cast; in the second, one more layer is revealed after it."""
    verdicts = []
    for reveal in (b"", b"r" * 32):
        chain = GovernanceChain(36)
        proposal = constitutional(chain)
        refusing = [index for band in banded(chain)[:2] for index in band[:2]]
        chain.vote_of_owners(proposal, yes=[one for one in range(36) if one not in refusing], no=refusing)
        if reveal:
            chain.run(proposers=(5,), reveals={5: reveal})
            assert banded(chain) != banded(chain, (5).to_bytes(4, "big") + reveal)
        verdicts.append(chain.close(proposal).bands_approving)
    assert verdicts[0] == 4 < verdicts[1], (
        "who planned the bands by the snapshot that was known planned in vain"
    )


def test_G3_a_few_units_do_not_approve_for_a_band() -> None:
    """Two fifths of all stake and 10 NXT in each other validator; the rest is silent. The quorum is reached."""
    chain = GovernanceChain(6, stake_units=(4_000 * NXT, *[1_200 * NXT] * 5))
    stranger = chain.accounts[0]
    for index in range(1, 6):
        assert chain.send(stranger, "delegate", Delegate(index, 10 * NXT)) == ""
    chain.go_to(2)
    proposal = chain.proposed(CONSTITUTIONAL, TextOnly())
    chain.vote_of_owners(proposal, yes=[0])
    assert chain.vote(stranger, proposal, YES, *range(1, 6)) == ""
    closed = chain.close(proposal)
    assert (closed.status, closed.reason) == (REJECTED, "TooFewBands")
    assert (closed.bands_approving, closed.bands_populated) == (1, 6)


@pytest.mark.parametrize(("lacking", "status"), [(0, PASSED), (1, REJECTED)])
def test_a_band_approves_when_its_votes_reach_the_quorum_to_the_unit(lacking: int, status: int) -> None:
    """Of three bands two must approve; the second has 1,000 NXT, of which yes and no are 334 or a unit less."""
    chain = GovernanceChain(3, stake_units=(1_000 * NXT, 666 * NXT + lacking, 1_000 * NXT))
    voter = chain.accounts[0]
    assert chain.send(voter, "delegate", Delegate(1, 334 * NXT - lacking)) == ""
    chain.go_to(2)
    proposal = chain.proposed(CONSTITUTIONAL, TextOnly())
    chain.vote_of_owners(proposal, yes=[0])
    assert chain.vote(voter, proposal, YES, 1) == ""
    assert chain.close(proposal).status == status


# the step -------------------------------------------------------------------------------------------------------------


def test_what_an_action_wrote_before_it_failed_is_rolled_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def half_done(overlay: Overlay, action: Action, epoch: int) -> None:
        overlay.put(b"half", b"done")
        raise Rejected("HalfDone")

    chain = GovernanceChain()
    proposal = passed(chain, POLICY)
    monkeypatch.setattr("ledger.governance.closing.enact", half_done)
    failed = chain.take_effect(proposal)
    assert (failed.status, failed.reason) == (FAILED, "HalfDone")
    assert b"half" not in chain.state


def test_nothing_is_written_when_nothing_is_due() -> None:
    chain = GovernanceChain()
    chain.proposed()
    chain.go_to(1)
    assert not [key for key in chain.outcomes[-1].changes if key[:1] == b"g"]
    assert len(read_due(chain.reader, OPEN_KEY)) == 1


def test_closing_undone_is_closing_that_never_was() -> None:
    chain = GovernanceChain()
    proposal = chain.proposed(POLICY, RegistrarAdd(ADDRESS))
    chain.vote_of_owners(proposal, yes=range(4))
    for epoch in (VOTING_EPOCHS, VOTING_EPOCHS + 1):
        before = dict(chain.state)
        chain.go_to(epoch)
        after = dict(chain.state)
        assert after != before
        chain.apply(chain.outcomes[-1].previous)
        assert chain.state == before
        chain.apply(chain.outcomes[-1].changes)
        assert chain.state == after


def test_undo_of_every_vote_restores_the_state_to_the_byte() -> None:
    chain = GovernanceChain()
    states = [dict(chain.state)]
    proposal = chain.proposed(CONSTITUTIONAL, TextOnly())
    first = len(chain.outcomes) - 1
    states.append(dict(chain.state))
    for index in range(4):
        assert chain.vote(chain.owners[index], proposal, index % 2, index) == ""
        states.append(dict(chain.state))
    for outcome, state in zip(reversed(chain.outcomes[first:]), reversed(states[:-1]), strict=True):
        chain.apply(outcome.previous)
        assert chain.state == state


def test_governance_decides_after_the_oracle_and_before_all_that_its_decisions_steer() -> None:
    names = [step.name for step in LEDGER_EPOCH_STEPS.steps]
    place = names.index("governance")
    assert names[:place] == ["oracle"]
    assert names[-1] == "snapshot"
