"""What may be put to the vote, by whom, how often, and what it costs (G4, G5)."""

from typing import Any

import pytest
from builders.governance import GovernanceChain
from builders.ledger import key_pair
from builders.staking import NXT

from ledger.accounts import ADDRESS_OF_SYSTEM_ACCOUNT
from ledger.addresses import NXT_ASSET, pool_address
from ledger.amounts import MAX_SUPPLY_UNITS
from ledger.errors import LedgerError, Malformed, PayloadInvalid, RecipientRefused
from ledger.governance.actions import (
    Action,
    KindPause,
    ParameterChange,
    Payment,
    RegistrarAdd,
    RegistrarRemove,
    SectorToken,
    TextOnly,
    source_name,
)
from ledger.governance.classes import (
    BUDGET,
    CAMPAIGN,
    CONSTITUTIONAL,
    EMERGENCY,
    PARAMETER,
    POLICY,
    time_lock_epochs,
    voting_epochs,
)
from ledger.governance.deposits import deposit_units, next_deposit_units
from ledger.governance.proposals import CampaignCreate
from ledger.governance.records import MAX_OPEN, OPEN, OPEN_KEY, read_due
from ledger.governed.parameters import (
    CAMPAIGN_BURN_UNITS,
    FLOOR_PARAMETERS,
    PARAMETERS,
    POOL_FEE_BP,
    PROPOSAL_DEPOSIT_UNITS,
    QUORUM_PPM,
    RESERVE_SHARE_PPM,
    write_parameter,
)
from ledger.governed.pauses import PAUSABLE_KINDS
from ledger.issuance import read_flows
from ledger.keys import KeyPair
from ledger.kinds import ledger_kinds
from ledger.staking.records import VALIDATOR_LIST_KEY
from ledger.staking.snapshot import SNAPSHOT_KEY
from ledger.staking.validator_kinds import ValidatorExit
from ledger.state import MappingState, Overlay

CHAIN = GovernanceChain()
ADDRESS = b"a" * 20
RESERVE = RESERVE_SHARE_PPM.number
DEPOSIT = PROPOSAL_DEPOSIT_UNITS.default


def test_a_proposal_is_open_from_its_creation_with_its_rules_written_down() -> None:
    chain = GovernanceChain()
    chain.go_to(4)
    proposal = chain.proposal(chain.proposed(POLICY))
    assert (proposal.id, proposal.status, proposal.created_epoch, proposal.closes_epoch) == (1, OPEN, 4, 7)
    assert proposal.total_stake_units == 4_000 * NXT
    assert proposal.quorum_ppm == QUORUM_PPM.default
    assert proposal.deposit_units == DEPOSIT == chain.deposits
    assert chain.proposed(POLICY) == 2


@pytest.mark.parametrize(
    ("class_", "action"),
    [
        (POLICY, Payment(0, ADDRESS, 1)),
        (POLICY, SectorToken(0, ADDRESS)),
        (POLICY, ParameterChange(RESERVE, b"", 1)),
        (BUDGET, TextOnly()),
        (PARAMETER, TextOnly()),
        (EMERGENCY, TextOnly()),
        (EMERGENCY, ParameterChange(RESERVE, b"", 1)),
        (CONSTITUTIONAL, Payment(0, ADDRESS, 1)),
        (CONSTITUTIONAL, KindPause(1)),
        (CAMPAIGN, TextOnly()),
        (0, TextOnly()),
        (7, TextOnly()),
    ],
)
def test_a_class_can_do_what_it_is_for_and_nothing_else(class_: int, action: Action) -> None:
    with pytest.raises(PayloadInvalid):
        CHAIN.create(CHAIN.accounts[0], class_, action)


@pytest.mark.parametrize(
    ("class_", "action", "error"),
    [
        (POLICY, RegistrarAdd(ADDRESS_OF_SYSTEM_ACCOUNT["TREASURY"]), PayloadInvalid),
        (BUDGET, SectorToken(3, NXT_ASSET), PayloadInvalid),
        (BUDGET, SectorToken(12, ADDRESS), Malformed),
        (BUDGET, Payment(0, ADDRESS, 0), PayloadInvalid),
        (BUDGET, Payment(0, ADDRESS_OF_SYSTEM_ACCOUNT["TREASURY"], 1), RecipientRefused),
        (BUDGET, Payment(0, pool_address(NXT_ASSET, ADDRESS), 1), RecipientRefused),
        (BUDGET, Payment(13, ADDRESS, 1), Malformed),
        (PARAMETER, ParameterChange(9_999, b"", 1), PayloadInvalid),
        (PARAMETER, ParameterChange(RESERVE, ADDRESS, 1), PayloadInvalid),
        (PARAMETER, ParameterChange(POOL_FEE_BP.number, b"", 20), PayloadInvalid),
        (PARAMETER, ParameterChange(POOL_FEE_BP.number, ADDRESS, 20), PayloadInvalid),
        (EMERGENCY, KindPause(52), PayloadInvalid),
        (EMERGENCY, KindPause(12), PayloadInvalid),
    ],
)
def test_G4_what_no_state_can_make_valid_is_refused_in_isolation(
    class_: int, action: Action, error: type[LedgerError]
) -> None:
    with pytest.raises(error):
        CHAIN.create(CHAIN.accounts[0], class_, action)


@pytest.mark.parametrize("parameter", PARAMETERS, ids=lambda one: one.name)
def test_G4_a_parameter_outside_of_its_bounds_cannot_be_proposed(parameter: Any) -> None:
    class_ = CONSTITUTIONAL if parameter.constitutional else PARAMETER
    subject = pool_address(NXT_ASSET, ADDRESS) if parameter.per_subject else b""
    outside = [parameter.greatest + 1] + ([parameter.least - 1] if parameter.least else [])
    for value in outside:
        with pytest.raises(PayloadInvalid, match="its bounds are"):
            CHAIN.create(CHAIN.accounts[0], class_, ParameterChange(parameter.number, subject, value))


def test_G4_the_floor_of_1150_NXT_a_month_cannot_be_voted_down() -> None:
    assert sum(one.least for one in FLOOR_PARAMETERS) == 1_150 * NXT
    for parameter in FLOOR_PARAMETERS:
        with pytest.raises(PayloadInvalid, match="its bounds are"):
            CHAIN.create(
                CHAIN.accounts[0],
                CONSTITUTIONAL,
                ParameterChange(parameter.number, b"", parameter.default - 1),
            )


def test_a_constitutional_parameter_is_no_matter_of_class_parameter() -> None:
    with pytest.raises(PayloadInvalid, match="changed by a constitutional proposal"):
        CHAIN.create(CHAIN.accounts[0], PARAMETER, ParameterChange(QUORUM_PPM.number, b"", 400_000))
    with pytest.raises(PayloadInvalid, match="changed by a parameter proposal"):
        CHAIN.create(CHAIN.accounts[0], CONSTITUTIONAL, ParameterChange(RESERVE, b"", 1))


@pytest.mark.parametrize(
    "title", [" ", "a\x00b", "line\nbreak", "\x7f", "a\x9bb", "\u3000", "a\u2028b", "\u202eon"]
)
def test_a_title_is_one_line_that_people_can_read(title: str) -> None:
    with pytest.raises(PayloadInvalid):
        CHAIN.create(CHAIN.accounts[0], title=title)


def test_a_title_has_at_most_120_characters() -> None:
    assert GovernanceChain().create(CHAIN.accounts[0], title="ä" * 120) == ""
    with pytest.raises(Malformed):
        CHAIN.create(CHAIN.accounts[0], title="ä" * 121)


@pytest.mark.parametrize(
    ("class_", "action", "reason"),
    [
        (POLICY, RegistrarRemove(ADDRESS), "NotRegistrar"),
        (BUDGET, SectorToken(0, ADDRESS), "UnknownToken"),
        (BUDGET, Payment(0, ADDRESS, 20_000 * NXT + 1), "PaymentTooGreat"),
        (BUDGET, Payment(1, ADDRESS, 1), "PaymentTooGreat"),
    ],
)
def test_what_the_state_cannot_do_is_not_voted_on(class_: int, action: Action, reason: str) -> None:
    chain = GovernanceChain()
    assert chain.create(chain.accounts[0], class_, action) == reason
    assert chain.deposits == 0


def test_a_tenth_of_the_source_may_be_asked_for() -> None:
    chain = GovernanceChain()
    assert chain.create(chain.accounts[0], BUDGET, Payment(0, ADDRESS, 20_000 * NXT)) == ""


def test_sources_are_the_ecosystem_fund_and_the_sectors() -> None:
    assert source_name(0) == "ECOSYSTEM_FUND"
    assert source_name(1) == "SECTOR_ELECTRICITY"
    assert source_name(12) == "SECTOR_ENVIRONMENTAL"


def test_G4_a_proposal_needs_its_deposit() -> None:
    chain = GovernanceChain()
    poor = key_pair("poor", "account", 0)
    chain.give(poor, DEPOSIT)
    assert chain.create(poor) == "InsufficientBalance"
    chain.give(poor, DEPOSIT)
    assert chain.create(poor) == ""


def crowd(chain: GovernanceChain, members: int) -> list[KeyPair]:
    """Keys that can pay two of the greatest deposits each."""
    keys = [key_pair("crowd", "account", number) for number in range(members)]
    for key in keys:
        chain.give(key, 2_570 * NXT)
    return keys


def test_G4_no_more_than_64_proposals_are_open_beside_emergencies() -> None:
    chain = GovernanceChain()
    keys = crowd(chain, 40)
    for number in range(MAX_OPEN):
        assert chain.create(keys[number >> 1]) == ""
    late = keys[-1]
    assert chain.create(late) == "TooManyOpenProposals"
    assert chain.create(late, EMERGENCY, KindPause(1)) == ""
    assert len(read_due(chain.reader, OPEN_KEY)) == MAX_OPEN + 1
    chain.go_to(3)
    assert read_due(chain.reader, OPEN_KEY) == ()
    assert chain.create(late) == ""


def test_G4_filling_all_places_costs_20400_NXT_and_each_eighth_doubles_the_deposit() -> None:
    chain = GovernanceChain()
    keys = crowd(chain, 33)
    for number in range(MAX_OPEN):
        needed = DEPOSIT << (number // 8)
        assert next_deposit_units(chain.reader) == needed
        if number % 8 == 0:
            reason = chain.create(keys[32], max_deposit=needed - 1)
            assert reason == "DepositAboveLimit"
        assert chain.create(keys[number >> 1], max_deposit=needed) == ""
        made, paid = chain.result()
        assert paid == chain.proposal(made).deposit_units == needed
        if number == 55:
            assert chain.deposits == 10_160 * NXT
    assert chain.deposits == 20_400 * NXT
    burned = read_flows(chain.reader).burned_units
    chain.go_to(3)
    assert chain.deposits == 0 and next_deposit_units(chain.reader) == DEPOSIT
    assert read_flows(chain.reader).burned_units == burned + 20_400 * NXT, "without a quorum all of it burns"


def test_G4_a_deposit_above_the_signed_limit_moves_nothing() -> None:
    chain = GovernanceChain()
    for number in range(8):
        assert chain.create(chain.accounts[number >> 1]) == ""
    before, key = chain.account(chain.accounts[7]).balance, chain.accounts[7]
    assert chain.create(key, max_deposit=2 * DEPOSIT - 1) == "DepositAboveLimit"
    assert chain.account(key).balance == before - chain.outcomes[-1].receipts[0].fee
    assert chain.deposits == 8 * DEPOSIT
    assert chain.create(key, max_deposit=2 * DEPOSIT) == ""
    assert chain.deposits == 10 * DEPOSIT


def test_G4_the_doubled_deposit_goes_back_as_it_was_paid() -> None:
    chain = GovernanceChain()
    for number in range(8):
        assert chain.create(chain.accounts[number >> 1]) == ""
    before = chain.account(chain.accounts[7]).balance
    proposal = chain.proposed()
    fee = chain.outcomes[-1].receipts[0].fee
    chain.vote_of_owners(proposal, no=range(4))
    chain.close(proposal)
    assert chain.account(chain.accounts[7]).balance == before - fee


def test_G4_an_emergency_pays_the_base_and_makes_nothing_dearer() -> None:
    chain = GovernanceChain()
    keys = crowd(chain, 8)
    for number, kind in enumerate(sorted(PAUSABLE_KINDS)[:8]):
        assert chain.create(keys[number >> 1], EMERGENCY, KindPause(kind), max_deposit=DEPOSIT) == ""
    assert next_deposit_units(chain.reader) == DEPOSIT
    for number in range(8):
        assert chain.create(chain.accounts[number >> 1]) == ""
    assert next_deposit_units(chain.reader) == 2 * DEPOSIT
    assert next_deposit_units(chain.reader, EMERGENCY) == DEPOSIT
    late = sorted(PAUSABLE_KINDS)[8]
    assert chain.create(keys[4], EMERGENCY, KindPause(late), max_deposit=DEPOSIT) == ""
    assert chain.result()[1] == DEPOSIT


def test_G5_campaigns_take_places_and_pay_no_deposit() -> None:
    chain = GovernanceChain(8)
    for index in range(8):
        chain.give(chain.owners[index], 101 * NXT)
        assert chain.campaign(index) == ""
    assert chain.deposits == 0
    assert next_deposit_units(chain.reader) == 2 * DEPOSIT


def test_G4_the_deposit_is_never_more_than_all_units() -> None:
    assert deposit_units(PROPOSAL_DEPOSIT_UNITS.greatest, 63) == 128_000 * NXT
    assert deposit_units(MAX_SUPPLY_UNITS, 8) == MAX_SUPPLY_UNITS


def test_G4_nobody_can_crowd_out_an_emergency() -> None:
    """One emergency for each kind at most: what is needed can be proposed, or is already."""
    chain = GovernanceChain()
    keys = crowd(chain, 48)
    for number in range(MAX_OPEN):
        assert chain.create(keys[number >> 1]) == ""
    for number, kind in enumerate(sorted(PAUSABLE_KINDS)):
        key = keys[32 + (number >> 1)]
        assert chain.create(key, EMERGENCY, KindPause(kind)) == ""
        assert chain.create(keys[-1], EMERGENCY, KindPause(kind)) == "PauseProposed"
    assert len(read_due(chain.reader, OPEN_KEY)) == MAX_OPEN + len(PAUSABLE_KINDS)
    chain.go_to(1)
    assert chain.create(keys[-1], EMERGENCY, KindPause(1)) == "", "the emergencies are over"


def test_G4_a_proposer_has_at_most_two_open() -> None:
    chain = GovernanceChain()
    key = chain.accounts[0]
    assert [chain.create(key) for _ in range(3)] == ["", "", "TooManyOfProposer"]
    chain.go_to(3)
    assert chain.create(key) == ""


def test_pausable_kinds_are_those_that_say_so_themselves() -> None:
    assert {kind.number for kind in ledger_kinds().kinds() if kind.may_pause} == PAUSABLE_KINDS


def test_governance_itself_cannot_be_paused() -> None:
    assert not PAUSABLE_KINDS & {50, 51, 52, 53}


def test_an_emergency_is_voted_on_for_a_fourteenth_of_the_time() -> None:
    rules = CHAIN.context().staking
    assert voting_epochs(EMERGENCY, rules) == 1
    assert voting_epochs(POLICY, rules) == rules.voting_epochs
    assert [time_lock_epochs(class_, rules) for class_ in range(POLICY, CAMPAIGN + 1)] == [1, 1, 1, 0, 1, 0]


# campaigns ------------------------------------------------------------------------------------------------------------


def rich_chain() -> GovernanceChain:
    chain = GovernanceChain()
    for key in (*chain.owners, *chain.validator_keys):
        chain.give(key, 500 * NXT)
    return chain


def test_a_campaign_burns_at_once_and_for_ever() -> None:
    chain = rich_chain()
    before, flows = chain.account(chain.owners[1]).balance, read_flows(chain.reader)
    assert chain.campaign(1, 150 * NXT) == ""
    proposal = chain.proposal(chain.result()[0])
    assert (proposal.campaign_validator, proposal.burned_units, proposal.deposit_units) == (2, 150 * NXT, 0)
    fee = chain.outcomes[-1].receipts[0].fee
    assert chain.account(chain.owners[1]).balance == before - 150 * NXT - fee
    assert chain.system("TRANSITION_RESERVE") == 150 * NXT
    assert read_flows(chain.reader).burned_units == flows.burned_units + 150 * NXT + fee
    chain.close(proposal.id)
    assert chain.account(chain.owners[1]).balance == before - 150 * NXT - fee


def test_a_campaign_of_less_than_100_NXT_is_refused_in_isolation() -> None:
    with pytest.raises(PayloadInvalid, match="expected 10000000000 to"):
        rich_chain().campaign(1, 100 * NXT - 1)


def test_a_campaign_burns_what_the_parameter_says() -> None:
    chain = rich_chain()
    overlay = Overlay(chain.reader)
    write_parameter(overlay, CAMPAIGN_BURN_UNITS, 200 * NXT)
    chain.apply(overlay.changes())
    assert chain.campaign(1, 200 * NXT - 1) == "BurnTooSmall"
    assert chain.campaign(1, 200 * NXT) == ""


def test_G5_either_key_of_a_validator_may_campaign_and_nobody_else() -> None:
    chain = rich_chain()
    assert chain.campaign(0, by=chain.accounts[0]) == "NotValidatorsKey"
    assert chain.campaign(0, by=chain.owners[1]) == "NotValidatorsKey"
    assert chain.campaign(0, by=chain.validator_keys[0]) == ""
    assert chain.campaign(9, by=chain.owners[1]) == "UnknownValidator"


def test_G5_a_validator_has_one_campaign_open_whatever_key_asks() -> None:
    chain = rich_chain()
    assert chain.campaign(0, by=chain.validator_keys[0]) == ""
    assert chain.campaign(0, by=chain.owners[0]) == "CampaignOpen"
    chain.go_to(3)
    assert chain.campaign(0, by=chain.owners[0]) == ""


def test_G5_a_validator_that_takes_no_part_cannot_campaign() -> None:
    chain = rich_chain()
    newcomer = chain.accounts[0]
    assert chain.send(newcomer, "validator_register", chain.registration(0, newcomer)) == ""
    assert chain.campaign(4, by=newcomer) == "ValidatorInactive"
    assert chain.send(chain.owners[3], "validator_exit", ValidatorExit(3)) == ""
    chain.go_to(1)
    assert chain.campaign(3) == "ValidatorInactive"


def test_a_campaign_reads_nothing_that_grows_with_the_set() -> None:
    """A snapshot of 1,000 validators takes a millisecond to read; the fee is that of five records."""
    read: list[bytes] = []

    class Noted(MappingState):
        def get(self, key: bytes) -> bytes | None:
            read.append(key)
            return super().get(key)

    chain = rich_chain()
    made = chain.signed(chain.owners[0], "campaign_create", CampaignCreate(0, "A", b"t" * 32, 100 * NXT))
    kind = chain.registry.named("campaign_create")
    assert kind is not None
    kind.apply(Overlay(Noted(chain.state)), made, made.payload, chain.context())
    assert len(read) > 5
    assert not {SNAPSHOT_KEY, VALIDATOR_LIST_KEY} & set(read)


def test_G5_a_campaign_that_cannot_be_paid_changes_fee_and_nonce_only() -> None:
    chain = GovernanceChain()
    assert chain.campaign(1) == "InsufficientBalance"
    assert chain.system("TRANSITION_RESERVE") == 0
    assert read_due(chain.reader, OPEN_KEY) == ()
