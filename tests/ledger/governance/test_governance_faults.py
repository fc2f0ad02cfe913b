"""A fault at any write leaves the state as it was; kinds touch what they pay for; the step costs what is due."""

from dataclasses import replace
from typing import Any

import pytest
from builders.failing_overlay import fail_at_every_write
from builders.governance import TEXT_HASH, VOTING_EPOCHS, GovernanceChain
from builders.ledger import key_pair, merged_block
from builders.staking import NXT

from ledger.accounts import FEES_ADDRESS
from ledger.epoch_steps import EpochChange
from ledger.execution import execute_mergeset
from ledger.governance.actions import (
    KindPause,
    ParameterChange,
    Payment,
    RegistrarAdd,
    RegistrarRemove,
    TextOnly,
)
from ledger.governance.classes import BUDGET, CONSTITUTIONAL, EMERGENCY, PARAMETER, POLICY
from ledger.governance.closing import close_proposals
from ledger.governance.proposals import CampaignCreate, ProposalCreate
from ledger.governance.records import EXECUTED, NO, NO_QUORUM, PASSED, YES
from ledger.governance.voting import Ballot, Vote, VoteDelegate
from ledger.governed.parameters import RESERVE_SHARE_PPM
from ledger.issuance import FLOWS_KEY
from ledger.staking.delegation_kinds import Delegate
from ledger.state import MappingState, Overlay, StateReader, account_key, fee_credit_key

ADDRESS = b"a" * 20


def ready() -> GovernanceChain:
    """One proposal of every class, voted on, in the last epoch before their close; a ballot cast by a delegate."""
    chain = GovernanceChain()
    for key in chain.owners:
        chain.give(key, 300 * NXT)
    giver, delegate = chain.accounts[4:6]
    for validator in range(4):
        assert chain.send(giver, "delegate", Delegate(validator, 100 * NXT)) == ""
    assert chain.hand_over(giver, delegate) == ""
    chain.go_to(9)
    change = ParameterChange(RESERVE_SHARE_PPM.number, b"", 20_000)
    wanted = [
        chain.proposed(POLICY, RegistrarAdd(ADDRESS), by=chain.accounts[0]),
        chain.proposed(BUDGET, Payment(0, ADDRESS, NXT), by=chain.accounts[0]),
        chain.proposed(PARAMETER, change, by=chain.accounts[1]),
        chain.proposed(CONSTITUTIONAL, TextOnly(), by=chain.accounts[1]),
    ]
    chain.proposed(POLICY, TextOnly(), by=chain.accounts[2])
    assert chain.campaign(0) == ""
    for proposal in wanted:
        chain.vote_of_owners(proposal, yes=range(3))
        assert chain.cast(delegate, proposal, YES, [chain.ballot(giver, 0, 1, 2, 3)]) == ""
    chain.go_to(9 + VOTING_EPOCHS - 1)
    chain.vote_of_owners(chain.proposed(EMERGENCY, KindPause(1), by=chain.accounts[3]), yes=range(4))
    return chain


CHAIN = ready()
STATE = dict(CHAIN.state)
GIVER, DELEGATE = CHAIN.accounts[4:6]
CONSTITUTIONAL_PROPOSAL = 4

ACTIONS: dict[str, tuple[Any, str, Any]] = {
    "proposal_create": (
        CHAIN.accounts[6],
        "proposal_create",
        ProposalCreate(POLICY, "One more", TEXT_HASH, TextOnly(), 20 * NXT),
    ),
    "campaign_create": (
        CHAIN.owners[1],
        "campaign_create",
        CampaignCreate(1, "A campaign", TEXT_HASH, 100 * NXT),
    ),
    "vote": (CHAIN.owners[3], "vote", Vote(4, NO, (CHAIN.ballot(CHAIN.owners[3], 3),))),
    "vote that replaces": (GIVER, "vote", Vote(4, NO, (CHAIN.ballot(GIVER, 0, 1, 2, 3),))),
    "vote_delegate": (CHAIN.accounts[6], "vote_delegate", VoteDelegate(ADDRESS)),
    "vote_delegate to nobody": (GIVER, "vote_delegate", VoteDelegate(b"")),
}


@pytest.mark.parametrize("name", list(ACTIONS))
def test_L25_fault_at_any_write_of_a_kind_leaves_the_root(name: str) -> None:
    key, kind, payload = ACTIONS[name]
    transaction = CHAIN.signed(key, kind, payload)
    registered = CHAIN.registry.named(kind)
    assert registered is not None
    writes = fail_at_every_write(
        STATE, lambda overlay: registered.apply(overlay, transaction, transaction.payload, CHAIN.context())
    )
    assert writes >= 1


def close(overlay: Overlay) -> None:
    close_proposals(overlay, EpochChange(replace(CHAIN.context(), epoch=CHAIN.epoch + 1), CHAIN.epoch, {}))


def test_L25_fault_at_any_write_of_the_closing_leaves_the_root() -> None:
    assert fail_at_every_write(STATE, close) >= 12


def test_L25_fault_at_any_write_of_the_effects_leaves_the_root() -> None:
    overlay = Overlay(MappingState(STATE))
    close(overlay)
    state = {key: value for key, value in {**STATE, **overlay.changes()}.items() if value is not None}
    later = EpochChange(replace(CHAIN.context(), epoch=CHAIN.epoch + 2), CHAIN.epoch + 1, {})
    assert fail_at_every_write(state, lambda overlay: close_proposals(overlay, later)) >= 8


def test_every_class_ends_as_it_was_voted() -> None:
    chain = GovernanceChain()
    chain.state = dict(STATE)
    chain.epoch = CHAIN.epoch
    chain.go_to(CHAIN.epoch + 1)
    assert [chain.status(proposal) for proposal in range(1, 8)] == [
        *[PASSED] * 4,
        NO_QUORUM,
        NO_QUORUM,
        EXECUTED,
    ]
    chain.go_to(CHAIN.epoch + 2)
    assert [chain.status(proposal) for proposal in range(1, 5)] == [EXECUTED] * 4
    assert chain.deposits == 0
    assert chain.faults() == ()


@pytest.mark.parametrize("name", list(ACTIONS))
def test_kind_touches_no_more_records_than_it_pays_for(name: str) -> None:
    key, kind, payload = ACTIONS[name]
    transaction = CHAIN.signed(key, kind, payload)
    outcome = execute_mergeset(
        CHAIN.reader, [merged_block([transaction], epoch=CHAIN.epoch)], CHAIN.context(), CHAIN.registry
    )
    assert outcome.receipts[0].reason == ""
    of_the_fee = {account_key(transaction.sender), account_key(FEES_ADDRESS), fee_credit_key(0), FLOWS_KEY}
    registered = CHAIN.registry.named(kind)
    assert registered is not None
    touched = len(set(outcome.changes) - of_the_fee) + (kind == "campaign_create")
    assert touched <= registered.touches(transaction.payload)


def test_spends_is_never_more_than_what_is_taken() -> None:
    for name in ACTIONS:
        key, kind, payload = ACTIONS[name]
        registered = CHAIN.registry.named(kind)
        assert registered is not None
        transaction = CHAIN.signed(key, kind, payload)
        overlay = Overlay(CHAIN.reader)
        before = overlay.account(transaction.sender).balance
        registered.apply(overlay, transaction, payload, CHAIN.context())
        assert registered.spends(payload) <= before - overlay.account(transaction.sender).balance


class CountingState:
    """Counts what is read."""

    def __init__(self, state: StateReader) -> None:
        self.state = state
        self.reads = 0

    def get(self, key: bytes) -> bytes | None:
        self.reads += 1
        return self.state.get(key)


@pytest.mark.parametrize("class_", [POLICY, CONSTITUTIONAL])
def test_closing_costs_the_same_whatever_number_of_votes_was_cast(class_: int) -> None:
    costs = []
    for voters in (2, 60):
        chain = GovernanceChain(2)
        keys = [key_pair("many", "account", number) for number in range(60)]
        for key in keys:
            chain.give(key, 12 * NXT)
            assert chain.send(key, "delegate", Delegate(0, 10 * NXT)) == ""
        chain.go_to(5)
        proposal = chain.proposed(class_, TextOnly())
        chain.vote_of_owners(proposal, yes=[0, 1])
        for key in keys[:voters]:
            assert chain.vote(key, proposal, YES, 0) == ""
        counting = CountingState(chain.reader)
        overlay = Overlay(counting)
        change = EpochChange(replace(chain.context(), epoch=5 + VOTING_EPOCHS), chain.epoch, {})
        close_proposals(overlay, change)
        costs.append((counting.reads, len(overlay.changes())))
    assert costs[0] == costs[1]


def test_an_idle_step_reads_two_records() -> None:
    chain = GovernanceChain(2)
    counting = CountingState(chain.reader)
    close_proposals(Overlay(counting), EpochChange(replace(chain.context(), epoch=1), 0, {}))
    assert counting.reads == 2


def test_greatest_vote_fits_into_a_transaction() -> None:
    ballots = tuple(Ballot(bytes([number]) * 20, tuple(range(2**32 - 16, 2**32))) for number in range(32))
    registered = CHAIN.registry.named("vote")
    assert registered is not None
    raw = registered.payload_codec.encode(Vote(2**63 - 1, YES, ballots))
    assert registered.payload_codec.decode(raw).ballots == ballots
    greatest = ProposalCreate(CONSTITUTIONAL, "😀" * 120, TEXT_HASH, RegistrarRemove(ADDRESS), 2**63 - 1)
    created = CHAIN.registry.named("proposal_create")
    assert created is not None and created.payload_codec.checked(greatest) == greatest
