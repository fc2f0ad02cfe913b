"""G4: no value that a vote may give a parameter stops the chain. A dry run of whole transitions, in a busy state."""

from dataclasses import replace
from functools import cache
from hashlib import blake2b
from random import Random

import pytest
from builders.economic_loop import change_state, circulation_gap, fund, sector_token
from builders.governance import GovernanceChain
from builders.ledger import STAKING, key_pair
from builders.staking import NXT

from ledger.accounts import SECTORS
from ledger.addresses import address_of
from ledger.economy.floor.attestation import CitizenAttest
from ledger.economy.floor.registration import CitizenRegister
from ledger.economy.floor.spending import FloorClaim
from ledger.economy.message_burn import Message
from ledger.governance.actions import ParameterChange, Payment
from ledger.governance.classes import BUDGET, CONSTITUTIONAL, PARAMETER
from ledger.governance.queries import proposals
from ledger.governance.records import EXECUTED, OPEN_KEY, YES, read_due
from ledger.governed.parameters import PARAMETERS, QUORUM_PPM, Parameter, read_parameter, write_parameter
from ledger.oracle.feeds import FEEDS
from ledger.oracle.records import FeedValue, write_feed
from ledger.oracle.reports import OracleReport
from ledger.state import Overlay
from ledger.transfer import Transfer

WATER = 1
CITIZENS = 3
SEED = "canary"


class BusyChain(GovernanceChain):
    """Every step of a transition has something to do: a month is two epochs."""

    def __init__(self) -> None:
        super().__init__(
            4,
            seed=SEED,
            staking=replace(STAKING, epochs_per_year=24),
            registrars=[address_of(key_pair(SEED, "account", 7).public_key)],
        )
        self.pool = b""

    def prepare(self) -> None:
        for key in self.owners:
            self.give(key, 3_000 * NXT)
        fund(self, "TRANSITION_RESERVE", 10_000 * NXT + 13)
        fund(self, "F_FLOOR", 100 * NXT)
        for place, sector in enumerate(SECTORS):
            fund(self, f"SECTOR_{sector}", 100 * NXT + place)
        _, self.pool = sector_token(
            self, WATER, self.accounts[4], nxt=1_000 * NXT, tokens=200_000, sector_tokens=10**6
        )
        for number in range(CITIZENS):
            key = self.accounts[number]
            person = blake2b(b"person %d" % number, digest_size=32).digest()
            attest = CitizenAttest(person, self.address(key))
            assert self.send(self.accounts[7], "citizen_attest", attest) == ""
            assert self.send(key, "citizen_register", CitizenRegister(person)) == ""
        self.work()
        self.go_to(1)

    def work(self) -> None:
        """What users do in an epoch. Some of it may be refused: a parameter may say so."""
        for number in range(CITIZENS):
            self.send(self.accounts[number], "floor_claim", FloorClaim(0))
        self.send(self.accounts[5], "message", Message(2, 1, b"hello", 10**13))
        self.send(self.accounts[5], "transfer", Transfer(self.address(self.accounts[6]), 5, b""))
        for index in range(3):
            for feed in FEEDS:
                self.send(
                    self.owners[index], "oracle_report", OracleReport(index, feed.number, feed.greatest)
                )


@cache
def busy() -> BusyChain:
    chain = BusyChain()
    chain.prepare()
    return chain


def copied() -> BusyChain:
    chain = BusyChain()
    chain.state, chain.epoch, chain.finalised_epoch = dict(busy().state), 1, 1
    chain.pool = busy().pool
    return chain


def give_value(chain: BusyChain, parameter: Parameter, value: int) -> None:
    subject = chain.pool if parameter.per_subject else b""
    change_state(chain, lambda overlay: write_parameter(overlay, parameter, value, subject))


def run_epochs(chain: BusyChain) -> None:
    """Two whole transitions, and an epoch of work between them; execution itself checks that no unit is lost."""
    chain.work()
    chain.go_to(2)
    chain.work()
    chain.go_to(9)
    assert circulation_gap(chain.reader) == 0
    assert chain.faults() == ()


def test_G4_the_canary_has_something_to_lose() -> None:
    chain = copied()
    before = dict(chain.state)
    run_epochs(chain)
    assert sum(before.get(key) != value for key, value in chain.state.items()) > 40


@pytest.mark.parametrize("end", ["least", "greatest"])
@pytest.mark.parametrize("parameter", PARAMETERS, ids=lambda one: one.name)
def test_G4_transitions_run_with_a_parameter_at_an_end_of_its_bounds(parameter: Parameter, end: str) -> None:
    chain = copied()
    give_value(chain, parameter, getattr(parameter, end))
    run_epochs(chain)


@pytest.mark.parametrize("end", ["least", "greatest"])
def test_G4_transitions_run_with_all_parameters_at_an_end_of_their_bounds(end: str) -> None:
    chain = copied()
    for parameter in PARAMETERS:
        give_value(chain, parameter, getattr(parameter, end))
    run_epochs(chain)


@pytest.mark.parametrize("end", ["least", "greatest"])
@pytest.mark.parametrize("parameter", PARAMETERS, ids=lambda one: one.name)
def test_G4_a_vote_can_bring_a_parameter_back_from_an_end_of_its_bounds(
    parameter: Parameter, end: str
) -> None:
    """With every other parameter at that end too: no bounds lock the door behind themselves."""
    chain = copied()
    for one in PARAMETERS:
        give_value(chain, one, getattr(one, end))
    subject = chain.pool if parameter.per_subject else b""
    value = parameter.default or 30
    class_ = CONSTITUTIONAL if parameter.constitutional else PARAMETER
    change = ParameterChange(parameter.number, subject, value)
    proposal = chain.proposed(class_, change, by=chain.owners[0])
    chain.vote_of_owners(proposal, yes=range(4))
    assert chain.take_effect(proposal).status == EXECUTED
    assert read_parameter(chain.reader, parameter, subject) == value


@pytest.mark.parametrize("seed", range(8))
def test_G4_transitions_run_with_any_mixture_of_ends_and_feeds(seed: int) -> None:
    """Every parameter and feed at an end of its own, payments and changes under way, epochs skipped."""
    source = Random(seed)
    chain = copied()
    for parameter in PARAMETERS:
        give_value(chain, parameter, source.choice((parameter.least, parameter.greatest)))

    def set_feeds(overlay: Overlay) -> None:
        for feed in FEEDS:
            value = source.choice((feed.least, feed.greatest))
            write_feed(overlay, feed.number, FeedValue(value, 0, source.choice((0, 100)), value, 3, 1))

    change_state(chain, set_feeds)
    for key in chain.owners:
        chain.give(key, 20_000 * NXT)
    for skipped in (1, 2, source.choice((3, 50, 10**6))):
        for number, owner in enumerate(chain.owners):
            parameter = source.choice(PARAMETERS)
            class_ = CONSTITUTIONAL if parameter.constitutional else PARAMETER
            value = source.choice((parameter.least, parameter.greatest))
            subject = chain.pool if parameter.per_subject else b""
            chain.create(owner, class_, ParameterChange(parameter.number, subject, value))
            chain.create(owner, BUDGET, Payment(number, chain.address(owner), NXT))
        for one in read_due(chain.reader, OPEN_KEY):
            for index, owner in enumerate(chain.owners):
                chain.vote(owner, one.id, YES, index)
        chain.work()
        chain.go_to(chain.epoch + skipped)
    chain.go_to(chain.epoch + 3)
    chain.go_to(chain.epoch + 3)
    assert EXECUTED in {proposal.status for proposal in proposals(chain.store())}
    assert circulation_gap(chain.reader) == 0
    assert chain.faults() == ()


def test_G4_a_quorum_can_always_be_reached() -> None:
    assert QUORUM_PPM.greatest < 1_000_000
