"""Of which epoch an offence is, and by which keys it is proved: where an offender would look for a way out."""

import msgspec
import pytest
from builders.ledger import key_pair
from builders.staking import StakingChain

from consensus.blocks import Header, HeaderCore, sign_block
from consensus.body_tree import body_root
from consensus.evidence import (
    TOUCHED_RECORDS,
    Evidence,
    chain_kinds,
    check_evidence,
    evidence_of_headers,
    evidence_of_votes,
)
from consensus.params import MAX_BLOCK_TOUCHES, params_from_genesis
from consensus.vote_pool import VoteConflict, offence_of
from consensus.votes import NO_VOTES_ROOT, Checkpoint, Vote, VoteCore, sign_vote
from ledger.errors import PayloadInvalid
from ledger.keys import KeyPair

PERIODS_PER_EPOCH = 4


@pytest.fixture
def chain() -> StakingChain:
    made = StakingChain(30)
    made.registry = chain_kinds(params_from_genesis(made.genesis))
    return made


def vote(chain: StakingChain, key: KeyPair, source: int, target: int, block: int = 1) -> Vote:
    """Of validator 0, for a link between periods."""
    link = Checkpoint(source, bytes([source + 1]) * 32), Checkpoint(target, bytes([block]) * 32)
    return sign_vote(VoteCore(0, 0, *link), key, chain.rules.genesis_hash)


def votes_evidence(one: Vote, other: Vote) -> Evidence:
    offence = offence_of(one, other)
    assert offence is not None
    return evidence_of_votes(VoteConflict(offence, one, other))


def header(chain: StakingChain, key: KeyPair, slot: int, *, parent: int = 1) -> Header:
    core = HeaderCore(
        version=2,
        parents=(bytes([parent]) * 32,),
        slot=slot,
        band=2,
        proposer=0,
        blue_score=1,
        blue_work=1,
        state_root=bytes(32),
        receipts_root=bytes(32),
        body_root=body_root([]),
        votes_root=NO_VOTES_ROOT,
        reveal=bytes(32),
    )
    return sign_block(core, (), (), key, chain.rules.genesis_hash).header


def send(chain: StakingChain, evidence: Evidence) -> str:
    return chain.send(chain.accounts[0], "evidence", evidence)


def test_L7_a_vote_around_one_that_is_older_than_the_window_is_punished(chain: StakingChain) -> None:
    """The later vote is the fault; to wait until the one within is forgotten is no way out."""
    key = chain.validator_keys[0]
    inner, outer = vote(chain, key, 3, 4), vote(chain, key, 2, 20 * PERIODS_PER_EPOCH)
    chain.go_to(20)
    assert send(chain, votes_evidence(inner, outer)) == ""
    assert chain.validator(0).self_stake_units < 1_000 * 10**8


def test_L7_a_penalty_does_not_cover_a_later_vote_around_an_earlier_one(chain: StakingChain) -> None:
    key = chain.validator_keys[0]
    assert send(chain, votes_evidence(vote(chain, key, 0, 1), vote(chain, key, 0, 1, block=2))) == ""
    chain.go_to(6)
    inner, outer = vote(chain, key, 2, 3), vote(chain, key, 1, 6 * PERIODS_PER_EPOCH)
    assert send(chain, votes_evidence(inner, outer)) == ""
    assert send(chain, votes_evidence(inner, outer)) == "AlreadySlashed"


@pytest.mark.parametrize(("finalised_epoch", "reason"), [(2, ""), (3, "EvidenceNotSigned")])
def test_L7_a_replaced_key_is_answered_for_while_its_replacement_is_not_final(
    chain: StakingChain, finalised_epoch: int, reason: str
) -> None:
    """Schedules ask for the old key as long as finality stands still, so that is the key that equivocates."""
    old = chain.validator_keys[0]
    chain.go_to(2)
    assert chain.send(chain.owners[0], "key_rotate", chain.rotation(0, 0)) == ""
    chain.go_to(12, finalised_epoch=finalised_epoch)
    one, other = header(chain, old, 12 * 32), header(chain, old, 12 * 32, parent=2)
    assert send(chain, evidence_of_headers(one, other)) == reason


def test_L8_headers_of_one_block_prove_nothing_whatever_their_proofs(chain: StakingChain) -> None:
    """The id leaves signature and band digest out: who signs one block under two keys has made one block."""
    one = header(chain, chain.validator_keys[0], 40)
    other = header(chain, key_pair(chain.seed, "rotated", 0), 40)
    assert one != other
    with pytest.raises(PayloadInvalid, match="of one block"):
        check_evidence(evidence_of_headers(one, other), chain.rules)


def test_L8_headers_of_one_lane_under_two_keys_are_no_fault_of_either(chain: StakingChain) -> None:
    """Two branches may ask for different keys; a signer answers for each of them alone."""
    chain.go_to(1)
    assert chain.send(chain.owners[0], "key_rotate", chain.rotation(0, 0)) == ""
    new = key_pair(chain.seed, "rotated", 0)
    evidence = evidence_of_headers(
        header(chain, chain.validator_keys[0], 40), header(chain, new, 40, parent=2)
    )
    assert send(chain, evidence) == "EvidenceNotSigned"
    assert chain.validator(0).self_stake_units == 1_000 * 10**8


def test_L8_one_statement_signed_twice_is_no_offence(chain: StakingChain) -> None:
    one = vote(chain, chain.validator_keys[0], 0, 1)
    other = vote(chain, key_pair(chain.seed, "rotated", 0), 0, 1)
    assert one != other
    assert offence_of(one, other) is None
    first, second = sorted((one, other), key=lambda made: made.signature)
    with pytest.raises(PayloadInvalid, match="neither"):
        check_evidence(Evidence((), (first, second)), chain.rules)


def test_L8_a_header_whose_band_digest_is_wrong_proves_nothing(chain: StakingChain) -> None:
    key = chain.validator_keys[0]
    bad = msgspec.structs.replace(header(chain, key, 40, parent=2), band_digest=bytes(64))
    assert send(chain, evidence_of_headers(header(chain, key, 40), bad)) == "EvidenceNotSigned"


def test_L12_a_block_full_of_false_evidence_is_judged_in_time(chain: StakingChain) -> None:
    """It costs its senders fees and every node two signatures under each key that may have signed: that bounds it."""
    assert MAX_BLOCK_TOUCHES // TOUCHED_RECORDS < 16
    nobody = key_pair("staking", "nobody", 0)
    evidence = evidence_of_headers(header(chain, nobody, 40), header(chain, nobody, 40, parent=2))
    kind = chain.registry.named("evidence")
    assert kind is not None and kind.touches(evidence) == TOUCHED_RECORDS
    before = chain.account(chain.accounts[0]).balance
    assert send(chain, evidence) == "EvidenceNotSigned"
    assert before - chain.account(chain.accounts[0]).balance >= TOUCHED_RECORDS * chain.rules.base_fee_units


def test_L25_numbers_of_any_size_in_evidence_are_judged_and_stop_nothing(chain: StakingChain) -> None:
    """What apply raises beside `Rejected` would halt every node."""
    key, greatest = chain.validator_keys[0], 2**63 - 1
    far = [header(chain, key, greatest, parent=parent) for parent in (1, 2)]
    assert send(chain, evidence_of_headers(*far)) == ""
    assert send(chain, evidence_of_headers(*far)) == "AlreadySlashed"
    chain.go_to(1)
    assert send(chain, evidence_of_headers(*far)) == "AlreadySlashed"
    distant = vote(chain, key, 0, greatest), vote(chain, key, 0, greatest, block=2)
    assert send(chain, votes_evidence(*distant)) == ""
    assert chain.faults() == ()
