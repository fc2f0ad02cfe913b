"""Matters of a sector: who brought its pool liquidity has a say beside the stakes, and leaves it there meanwhile."""

from dataclasses import dataclass

import pytest
from builders.economic_loop import fund, sector_token
from builders.governance import GovernanceChain
from builders.staking import NXT

from ledger.exchange.community import community_weight
from ledger.exchange.liquidity import remove_liquidity
from ledger.governance.actions import SectorToken
from ledger.governance.classes import BUDGET, POLICY
from ledger.governance.records import ABSTAIN, EXECUTED, NO, REJECTED, YES
from ledger.governed.sector_tokens import read_sector_token
from ledger.registry import Rejected
from ledger.staking.delegation_kinds import Delegate
from ledger.state import Overlay

WATER = 1


@dataclass(frozen=True)
class Scene:
    """Account 0 has all free shares of WATER's pool, 1,000 NXT, since epoch 0; the sector has 500 NXT. Now it is 5."""

    chain: GovernanceChain
    token: bytes
    pool: bytes


@pytest.fixture
def scene() -> Scene:
    chain = GovernanceChain(12)
    token, pool = sector_token(
        chain, WATER, chain.accounts[0], nxt=1_000 * NXT, tokens=10**9, sector_tokens=0
    )
    chain.go_to(5)
    fund(chain, "SECTOR_WATER", 500 * NXT)
    return Scene(chain, token, pool)


def test_liquidity_weighs_in_its_sectors_matters(scene: Scene) -> None:
    chain = scene.chain
    proposal = chain.payment(chain.accounts[6], 5 * NXT, source=WATER + 1)
    address = chain.address(chain.accounts[0])
    total = chain.proposal(proposal).total_stake_units
    expected = community_weight(chain.reader, WATER, address, 4, total)
    assert expected > 500 * NXT
    assert chain.vote(chain.accounts[0], proposal, YES) == ""
    assert chain.result() == (expected,)
    record = chain.vote_record(proposal, chain.accounts[0])
    assert record is not None and (record.community_units, record.counted) == (expected, ())
    assert chain.proposal(proposal).yes_units == expected


def test_liquidity_adds_to_stake(scene: Scene) -> None:
    chain = scene.chain
    assert chain.send(chain.accounts[0], "delegate", Delegate(3, 100 * NXT)) == ""
    chain.go_to(7)
    proposal = chain.payment(chain.accounts[6], 5 * NXT, source=WATER + 1)
    assert chain.vote(chain.accounts[0], proposal, NO, 3) == ""
    record = chain.vote_record(proposal, chain.accounts[0])
    assert record is not None and record.units == record.community_units + 100 * NXT
    assert chain.proposal(proposal).no_units == record.units


def test_liquidity_weighs_nothing_elsewhere(scene: Scene) -> None:
    chain = scene.chain
    for proposal in (chain.proposed(), chain.payment(chain.accounts[6], 5 * NXT)):
        assert chain.vote(chain.accounts[0], proposal, YES) == "NoWeight"


def test_G2_liquidity_that_has_voted_stays_until_the_vote_is_over(scene: Scene) -> None:
    chain = scene.chain
    address = chain.address(chain.accounts[0])
    proposal = chain.payment(chain.accounts[6], 5 * NXT, source=WATER + 1)
    assert chain.vote(chain.accounts[0], proposal, ABSTAIN) == ""
    chain.go_to(7)
    with pytest.raises(Rejected, match="locked by a vote until epoch 8"):
        remove_liquidity(Overlay(chain.reader), address, scene.pool, 5, 0, 0, chain.context())
    chain.go_to(8)
    remove_liquidity(Overlay(chain.reader), address, scene.pool, 5, 0, 0, chain.context())


def test_a_sector_pays_what_its_vote_decided(scene: Scene) -> None:
    chain = scene.chain
    before = chain.account(chain.accounts[6]).balance
    proposal = chain.payment(chain.accounts[6], 20 * NXT, source=WATER + 1)
    assert chain.vote(chain.accounts[0], proposal, YES) == ""
    chain.vote_of_owners(proposal, yes=range(12))
    assert chain.take_effect(proposal).status == EXECUTED
    assert chain.account(chain.accounts[6]).balance == before + 20 * NXT


def test_a_vote_names_the_token_of_a_sector(scene: Scene) -> None:
    chain = scene.chain
    assert read_sector_token(chain.reader, 4) is None
    proposal = chain.proposed(BUDGET, SectorToken(4, scene.token))
    chain.vote_of_owners(proposal, yes=range(12))
    assert chain.take_effect(proposal).status == EXECUTED
    assert read_sector_token(chain.reader, 4) == scene.token


def test_G4_a_sectors_token_needs_the_share_of_a_payment(scene: Scene) -> None:
    """7 of 12 are enough for a text, and not for where a sector's NXT goes."""
    chain = scene.chain
    text = chain.proposed(POLICY)
    token = chain.proposed(BUDGET, SectorToken(4, scene.token))
    for proposal in (text, token):
        chain.vote_of_owners(proposal, yes=range(7), no=range(7, 12))
    assert chain.take_effect(text).status == EXECUTED
    assert chain.take_effect(token).status == REJECTED
    assert read_sector_token(chain.reader, 4) is None
