"""The acts of the commonwealth: reports, a campaign, citizens, the floor and its crisis, a vote that changes a rule."""

import os

from cli.devnet_files import REGISTRAR
from cli.persons import person_commitment
from cli.story.formulas import CATEGORIES, NXT
from cli.story.stage import validator_name
from cli.story.teller import Teller
from ledger.economy.floor.attestation import CITIZEN_ATTEST, CitizenAttest
from ledger.economy.floor.registration import CITIZEN_REGISTER, CitizenRegister
from ledger.economy.floor.spending import FLOOR_CLAIM, FLOOR_SPEND, FloorClaim, FloorSpend
from ledger.governance.actions import ParameterChange
from ledger.governance.classes import PARAMETER
from ledger.governance.proposals import CAMPAIGN_CREATE, PROPOSAL_CREATE, CampaignCreate, ProposalCreate
from ledger.governance.voting import VOTE, Ballot, Vote
from ledger.governed.parameters import RESERVE_SHARE_PPM
from ledger.hashing import digest, tagged
from ledger.oracle.reports import ORACLE_REPORT, OracleReport

DEBT_FEED, FOOD_FEED = 1, 14
DEBT_USD = 312 * 10**12
CAMPAIGN_NXT = 100
MOST_ROUNDS = 4
"""Of reports, where a slow machine spreads them over two epochs."""
CITIZENS = ("ben", "cleo")
NEW_SHARES_PPM = (20_000, 30_000)
"""What the vote sets `reserve_share` to: the first that it is not already."""


def report_the_world(teller: Teller) -> None:
    """Validators report the world's debt and the demand for food; one is far off, and the median does not care."""
    teller.begin("validators report the world to the oracle")
    for _ in range(MOST_ROUNDS):
        teller.wait_early()
        _report_once(teller)
        teller.wait_epoch(teller.world.epoch + 1)
        teller.settle()
        if teller.world.feeds.get(DEBT_FEED) is not None:
            break
        teller.tell("the reports fell into two epochs, too few in each; once more")
    debt = teller.world.feeds.get(DEBT_FEED)
    teller.tell(
        f"the next epoch takes their median: {debt.value if debt else 0:,} USD of debt; food weighs half as much again"
    )
    teller.require(debt is not None and debt.value < DEBT_USD * 11 // 10, "the outlier moved the median")


def _report_once(teller: Teller) -> None:
    for place, index in enumerate(teller.validators):
        value = DEBT_USD + place * 10**10 if place else 2 * DEBT_USD
        for feed, reported in ((DEBT_FEED, value), (FOOD_FEED, 1_500_000)):
            teller.send(validator_name(index), ORACLE_REPORT, OracleReport(index, feed, reported))
    teller.accepted()
    liar = teller.validators[0]
    teller.tell(f"{len(teller.validators)} of them; validator {liar} says twice as much as the others")
    teller.settle()


def campaign(teller: Teller) -> int:
    """A validator promotes an innovation by a real burn, and the others approve; the number of the campaign."""
    index = teller.validators[0]
    teller.begin(f"validator {index} campaigns")
    payload = CampaignCreate(index, "A better mill", _text("A better mill"), CAMPAIGN_NXT * NXT)
    number = teller.act(validator_name(index), CAMPAIGN_CREATE, payload).result["proposal"]
    teller.tell(f"campaign {number} burns {CAMPAIGN_NXT} NXT into TRANSITION_RESERVE at once")
    for one in teller.validators:
        teller.send(validator_name(one), VOTE, _ballot(teller, number, one))
    teller.accepted()
    teller.tell(f"{len(teller.validators)} validators vote yes with all their stake")
    teller.settle()
    return number


def _text(text: str) -> bytes:
    return digest(tagged("nexus/story-text/v1"), text.encode())


def _ballot(teller: Teller, proposal: int, index: int) -> Vote:
    return Vote(proposal, 1, (Ballot(teller.address[validator_name(index)], (index,)),))


def register_citizens(teller: Teller) -> None:
    """Attested by the registrar, two become citizens; at once the floor owes a near future, and a crisis begins."""
    teller.begin("citizens register, and the floor falls short")
    before = teller.world.drained
    for name in CITIZENS:
        person = person_commitment(f"{name} of the story", os.urandom(32))
        teller.act(REGISTRAR, CITIZEN_ATTEST, CitizenAttest(person, teller.address[name]))
        teller.act(name, CITIZEN_REGISTER, CitizenRegister(person))
    again = person_commitment("somebody else", os.urandom(32))
    teller.act("ben", CITIZEN_REGISTER, CitizenRegister(again), refused="AlreadyCitizen")
    teller.tell(f"{' and '.join(CITIZENS)} are citizens; ben cannot be a second one")
    teller.settle()
    teller.wait_epoch(teller.world.epoch + 2)
    teller.settle()
    drained = teller.world.drained - before
    teller.tell(f"the crisis has drained {teller.nxt(drained)} NXT from TRANSITION_RESERVE into F_FLOOR")
    teller.require(drained > 0, "no crisis drained, though the floor cannot pay half a month")


def live_on_the_floor(teller: Teller) -> None:
    """Claimed as money, spent in a category; more than an allowance cannot be spent."""
    teller.begin("the floor pays")
    claimed = teller.act("ben", FLOOR_CLAIM, FloorClaim(0)).result["units"]
    teller.tell(f"ben claims all that he was paid: {teller.nxt(claimed)} NXT")
    teller.require(claimed > 0, "two epochs paid a citizen nothing")
    food = teller.world.citizens["cleo"].left[CATEGORIES.index("food")]
    payload = FloorSpend(CATEGORIES.index("food"), teller.address["ada"], food)
    teller.act("cleo", FLOOR_SPEND, payload)
    teller.tell(f"cleo spends {teller.nxt(food)} NXT for food at ada's")
    too_much = FloorSpend(CATEGORIES.index("water"), teller.address["ada"], 1_000 * NXT)
    teller.act("cleo", FLOOR_SPEND, too_much, refused="AllowanceExceeded")
    teller.tell("a thousand NXT of water are refused: nobody's allowance is so large")
    teller.settle()


def vote_a_parameter(teller: Teller, handed_over_epoch: int) -> None:
    """A proposal, ballots, the close, the time lock, and the first transition under the new rule."""
    teller.begin("a vote changes a rule")
    now = teller.world.parameters["reserve_share"]
    value = next(share for share in NEW_SHARES_PPM if share != now)
    # The stake and the word of somebody count when they are older than the epoch before the proposal.
    teller.wait_epoch(handed_over_epoch + 2)
    title = f"reserve_share becomes {value} ppm"
    action = ParameterChange(RESERVE_SHARE_PPM.number, b"", value)
    most = 2 * teller.world.parameters["proposal_deposit"]
    payload = ProposalCreate(PARAMETER, title, _text(title), action, most)
    made = teller.act("ada", PROPOSAL_CREATE, payload).result
    number = made["proposal"]
    teller.tell(
        f"proposal {number}: {title}; ada's deposit of {teller.nxt(made['deposit_units'])} NXT waits in DEPOSITS"
    )
    for one in teller.validators:
        teller.send(validator_name(one), VOTE, _ballot(teller, number, one))
    for_cleo = Vote(number, 1, (Ballot(teller.address["cleo"], (teller.validators[0],)),))
    teller.send("ben", VOTE, for_cleo)
    teller.accepted()
    teller.tell(f"{len(teller.validators)} validators vote yes, and ben casts cleo's ballot")
    teller.settle()
    proposal = teller.world.proposals[number]
    teller.wait_epoch(proposal.closes)
    teller.settle()
    proposal = teller.world.proposals[number]
    teller.tell(f"epoch {proposal.closes} closes the vote: {proposal.status}; the deposit is back")
    teller.require(proposal.status in ("passed", "executed"), f"proposal {number} is {proposal.status}")
    teller.wait_epoch(max(proposal.effect, teller.world.epoch))
    teller.settle()
    teller.tell(f"the rule holds from epoch {proposal.effect} on, after its time lock")
    teller.require(teller.world.parameters["reserve_share"] == value, "the vote had no effect")


def see_the_campaign_through(teller: Teller, number: int) -> None:
    """The campaign has closed by itself; everything becomes final."""
    teller.begin("everything becomes final")
    teller.wait_epoch(teller.world.proposals[number].closes)
    teller.final()
    teller.settle()
    status = teller.world.proposals[number].status
    teller.tell(f"campaign {number} is {status}; {len(teller.book.entries)} transactions are final")
    teller.require(status == "executed", f"campaign {number} is {status}")
