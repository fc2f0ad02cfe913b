"""The specification says what the code does: its table of parameters, its worked example."""

from pathlib import Path

from builders.governance import GovernanceChain
from builders.staking import NXT

from ledger.governance.classes import CLASSES, PARAMETER
from ledger.governance.deposits import deposit_units
from ledger.governance.proposals import CAMPAIGN_CREATE, PROPOSAL_CREATE
from ledger.governance.queries import proposal_view
from ledger.governance.records import EXECUTED, PASSED, REJECTED, STATUS_NAMES, YES
from ledger.governance.voting import VOTE, VOTE_DELEGATE
from ledger.governed.parameters import PROPOSAL_DEPOSIT_UNITS, RESERVE_SHARE_PPM, read_parameter
from ledger.staking.delegation_kinds import Delegate, Undelegate

README = (Path(__file__).parents[3] / "ledger" / "governance" / "README.md").read_text(encoding="utf-8")


def test_readme_has_the_kinds_and_thresholds_of_the_code() -> None:
    for class_ in CLASSES.values():
        assert f"| {class_.number} | {class_.name} | {class_.threshold_ppm // 10_000} %" in README
    for kind in (PROPOSAL_CREATE, CAMPAIGN_CREATE, VOTE, VOTE_DELEGATE):
        assert f"| {kind.number} | {kind.name} |" in README


def test_readme_names_every_status() -> None:
    assert all(f"{number} {name}" in README for number, name in enumerate(STATUS_NAMES))


def example() -> GovernanceChain:
    """Epoch 6 of the worked example; account 0 is Dora."""
    chain = GovernanceChain()
    for epoch, units in ((2, 600), (5, 200)):
        chain.go_to(epoch)
        assert chain.send(chain.accounts[0], "delegate", Delegate(0, units * NXT)) == ""
    chain.go_to(6)
    return chain


def test_worked_example_to_the_unit() -> None:
    chain = example()
    proposer, dora = chain.accounts[7], chain.accounts[0]
    proposal = chain.parameter_proposal(RESERVE_SHARE_PPM, 20_000)
    made = chain.proposal(proposal)
    assert (made.id, made.class_, made.before_epoch, made.closes_epoch) == (1, PARAMETER, 5, 9)
    assert (made.total_stake_units, chain.deposits) == (4_800 * NXT, 10 * NXT)
    balance = chain.account(proposer).balance
    chain.vote_of_owners(proposal, yes=[0, 1], no=[2])
    assert chain.vote(dora, proposal, YES, 0) == ""
    assert chain.result() == (600 * NXT,)
    chain.go_to(8)
    assert chain.send(dora, "undelegate", Undelegate(0, 100 * NXT)) == "StakeLocked"
    chain.go_to(9)
    view = proposal_view(chain.proposal(proposal))
    assert (view.turnout_ppm, view.approval_ppm) == (750_000, 722_222)
    assert view.proposal.status == PASSED and view.proposal.effect_epoch == 10
    assert chain.account(proposer).balance == balance + 10 * NXT
    assert chain.send(dora, "undelegate", Undelegate(0, 100 * NXT)) == ""
    assert read_parameter(chain.reader, RESERVE_SHARE_PPM) == 10_000
    chain.go_to(10)
    assert chain.status(proposal) == EXECUTED
    assert read_parameter(chain.reader, RESERVE_SHARE_PPM) == 20_000


def test_worked_example_without_dora_is_rejected() -> None:
    chain = example()
    proposal = chain.parameter_proposal(RESERVE_SHARE_PPM, 20_000)
    chain.vote_of_owners(proposal, yes=[0, 1], no=[2])
    assert chain.close(proposal).status == REJECTED
    assert proposal_view(chain.proposal(proposal)).approval_ppm == 666_666


def test_G4_table_of_deposits_is_what_the_code_asks_for() -> None:
    steps = [deposit_units(PROPOSAL_DEPOSIT_UNITS.default, places) // NXT for places in range(0, 64, 8)]
    sums = [8 * sum(steps[: upto + 1]) for upto in range(len(steps))]
    assert f"| deposit, NXT | {' | '.join(f'{one:,}' for one in steps)} |" in README
    assert f"| all up to the next step, NXT | {' | '.join(f'{one:,}' for one in sums)} |" in README
