"""A chain on which tests propose, vote and wait. Three epochs of voting, as on the devnet."""

from collections.abc import Sequence
from typing import Any

from builders.staking import NXT, StakingChain

from ledger.accounts import DEPOSITS
from ledger.addresses import address_of
from ledger.amounts import MAX_SUPPLY_UNITS
from ledger.governance.actions import Action, ParameterChange, Payment, TextOnly
from ledger.governance.classes import BUDGET, CONSTITUTIONAL, PARAMETER, POLICY
from ledger.governance.proposals import CampaignCreate, ProposalCreate
from ledger.governance.records import ABSTAIN, NO, YES, Proposal, VoteRecord, read_proposal, read_vote
from ledger.governance.voting import Ballot, Vote, VoteDelegate
from ledger.governed.parameters import Parameter
from ledger.keys import KeyPair

TEXT_HASH = b"t" * 32
VOTING_EPOCHS = 3


class GovernanceChain(StakingChain):
    """`StakingChain` whose accounts and owners take part in governance; owner i has the stake of validator i."""

    def address(self, key: KeyPair) -> bytes:
        return address_of(key.public_key)

    def create(
        self,
        key: KeyPair,
        class_: int = POLICY,
        action: Action | None = None,
        *,
        title: str = "A proposal",
        max_deposit: int = MAX_SUPPLY_UNITS,
    ) -> str:
        """The reason, empty when it was made."""
        payload = ProposalCreate(class_, title, TEXT_HASH, action or TextOnly(), max_deposit)
        return self.send(key, "proposal_create", payload)

    def proposed(
        self, class_: int = POLICY, action: Action | None = None, *, by: KeyPair | None = None
    ) -> int:
        """The id of a proposal that is made now."""
        assert self.create(by or self.accounts[7], class_, action) == ""
        return self.outcomes[-1].receipts[0].result[0]

    def parameter_proposal(self, parameter: Parameter, value: int, subject: bytes = b"") -> int:
        class_ = CONSTITUTIONAL if parameter.constitutional else PARAMETER
        return self.proposed(class_, ParameterChange(parameter.number, subject, value))

    def payment(self, recipient: KeyPair, units: int, source: int = 0) -> int:
        return self.proposed(BUDGET, Payment(source, self.address(recipient), units))

    def campaign(self, validator: int = 0, units: int = 100 * NXT, *, by: KeyPair | None = None) -> str:
        key = by or self.owners[validator]
        return self.send(key, "campaign_create", CampaignCreate(validator, "A campaign", TEXT_HASH, units))

    def ballot(self, key: KeyPair, *validators: int) -> Ballot:
        return Ballot(self.address(key), tuple(validators))

    def vote(self, key: KeyPair, proposal: int, choice: int, *validators: int) -> str:
        """The key's own ballot with its stake in `validators`; the reason."""
        return self.send(key, "vote", Vote(proposal, choice, (self.ballot(key, *validators),)))

    def cast(self, key: KeyPair, proposal: int, choice: int, ballots: Sequence[Ballot]) -> str:
        ordered = tuple(sorted(ballots, key=lambda ballot: ballot.address))
        return self.send(key, "vote", Vote(proposal, choice, ordered))

    def vote_of_owners(
        self, proposal: int, yes: Sequence[int] = (), no: Sequence[int] = (), abstain: Sequence[int] = ()
    ) -> None:
        """The owners of these validators vote with their own stake."""
        for choice, indices in ((YES, yes), (NO, no), (ABSTAIN, abstain)):
            for index in indices:
                assert self.vote(self.owners[index], proposal, choice, index) == ""

    def hand_over(self, key: KeyPair, delegate: KeyPair | None) -> str:
        return self.send(key, "vote_delegate", VoteDelegate(self.address(delegate) if delegate else b""))

    def proposal(self, proposal: int) -> Proposal:
        found = read_proposal(self.reader, proposal)
        assert found is not None
        return found

    def status(self, proposal: int) -> int:
        return self.proposal(proposal).status

    def vote_record(self, proposal: int, key: KeyPair) -> VoteRecord | None:
        return read_vote(self.reader, proposal, self.address(key))

    def close(self, proposal: int) -> Proposal:
        """Go to the transition that closes it."""
        self.go_to(self.proposal(proposal).closes_epoch)
        return self.proposal(proposal)

    def take_effect(self, proposal: int) -> Proposal:
        """Go to its close and, when it has passed, on to its effect."""
        closed = self.close(proposal)
        if closed.effect_epoch > self.epoch:
            self.go_to(closed.effect_epoch)
        return self.proposal(proposal)

    def result(self) -> Any:
        """What the last transaction gave."""
        return self.outcomes[-1].receipts[-1].result

    @property
    def deposits(self) -> int:
        return self.system(DEPOSITS)
