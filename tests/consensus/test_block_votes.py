"""The votes that a block carries: what makes it invalid, what a template takes, and how gossip judges the same."""

import msgspec
import pytest
from builders.blocks import FoundedChain, found_chain
from builders.chain import GENESIS, Workshop, new_engine, prepare, shuffled_topologically
from builders.finality import Life, checkpoint_of, sign_for

from consensus.blocks import Block, encode_block, with_body
from consensus.engine import Engine
from consensus.errors import (
    BlockVoteInvalid,
    InvalidBlock,
    TooManyVotes,
    VotePeriodWrong,
    VotesMismatch,
    VotesNotSorted,
)
from consensus.vote_errors import (
    VoteBandWrong,
    VoteLinkInvalid,
    VoterUnknown,
    VoteSignatureInvalid,
    VoteSourceWrong,
    VoteTargetUnknown,
    VoteTargetWrong,
    VoteTooEarly,
    VoteTooOld,
)
from consensus.vote_judging import VoteJudge
from consensus.vote_validation import VerifiedVotes
from consensus.votes import MAX_BLOCK_VOTES, Checkpoint, Vote, VoteCore, sign_vote, vote_core, votes_root
from ledger.storage.store import Store

CHAIN = found_chain(6)
SLOT = 19
"""The first slot in which votes for period 2 are cast."""


def base_shop() -> Workshop:
    """A chain with a block per slot up to 18."""
    shop = Workshop(CHAIN)
    last = GENESIS
    for slot in range(1, SLOT):
        shop.make(f"s{slot}", [last], slot=slot, band=0)
        last = f"s{slot}"
    return shop


SHOP = base_shop()
SOURCE = checkpoint_of(SHOP.engine, 0)
TARGET = checkpoint_of(SHOP.engine, 2)


def vote(
    validator: int = 0, source: Checkpoint = SOURCE, target: Checkpoint = TARGET, **changes: int
) -> Vote:
    """A vote that its validator has really signed; `changes` to its core come before the signature."""
    core = vote_core(sign_for(SHOP.engine, CHAIN, validator, source, target))
    return sign_vote(
        msgspec.structs.replace(core, **changes), CHAIN.keys[validator % 6], CHAIN.params.genesis_hash
    )


def refusal_of(*votes: Vote, slot: int = SLOT) -> InvalidBlock | VotesMismatch:
    """Why a block on s18 with these votes is refused."""
    shop = Workshop(CHAIN)
    shop.engine, shop.blocks = SHOP.engine, dict(SHOP.blocks)
    parent = shop.id("s18")
    core, body = shop.right_contents((parent,), slot, 1, (), ())
    core = msgspec.structs.replace(core, votes_root=votes_root(votes))
    from consensus.blocks import sign_block

    block = sign_block(core, votes, body, CHAIN.keys[core.proposer], CHAIN.params.genesis_hash)
    with pytest.raises((InvalidBlock, VotesMismatch)) as caught:
        SHOP.engine.process_block(prepare(CHAIN, block))
    return caught.value


def cause_of(*votes: Vote) -> type[Exception]:
    error = refusal_of(*votes)
    assert isinstance(error, BlockVoteInvalid)
    assert error.position == len(votes) - 1
    return type(error.cause)


def test_votes_of_another_block_are_a_mismatch_and_not_held_against_the_id() -> None:
    shop = Workshop(CHAIN)
    block = shop.make("a", [GENESIS])
    changed = with_body(block.header, [vote()], block.transactions)
    assert changed.header_id == block.header_id
    with pytest.raises(VotesMismatch):
        prepare(CHAIN, changed)
    engine = new_engine(CHAIN)
    engine.process_block(prepare(CHAIN, block))
    assert engine.head.id == block.header_id


def test_good_votes_are_taken() -> None:
    votes = [vote(one) for one in range(6)]
    shop = Workshop(CHAIN)
    for block in SHOP.prepared():
        shop.engine.process_block(block)
    shop.blocks = dict(SHOP.blocks)
    shop.make("good", ["s18"], slot=SLOT, band=1, votes=votes)
    assert shop.engine.has_block(shop.id("good"))


def test_votes_stand_in_ascending_order() -> None:
    assert isinstance(refusal_of(vote(1), vote(0)), VotesNotSorted)


def test_a_validator_votes_once_for_a_target_in_a_block() -> None:
    assert isinstance(refusal_of(vote(1), vote(1)), VotesNotSorted)


def test_a_block_carries_a_bounded_number_of_votes() -> None:
    header = SHOP.blocks["s18"].header
    from consensus.vote_validation import validate_votes_in_isolation

    with pytest.raises(TooManyVotes):
        validate_votes_in_isolation(header, [vote()] * (MAX_BLOCK_VOTES + 1), CHAIN.params)


@pytest.mark.parametrize("slot", [40, 48])
def test_N12_a_block_cannot_carry_votes_older_than_two_periods(slot: int) -> None:
    assert isinstance(refusal_of(vote(), slot=slot), VotePeriodWrong)


def test_a_vote_for_a_period_that_has_not_begun_is_refused() -> None:
    assert isinstance(refusal_of(vote(target=Checkpoint(3, TARGET.block_id))), VotePeriodWrong)


def test_a_vote_leads_to_a_later_period() -> None:
    assert cause_of(vote(source=TARGET)) is VoteLinkInvalid
    assert cause_of(vote(source=Checkpoint(5, SOURCE.block_id))) is VoteLinkInvalid


@pytest.mark.parametrize("name", ["s8", "s10", "s18"])
def test_the_target_is_the_checkpoint_of_its_period(name: str) -> None:
    assert cause_of(vote(target=Checkpoint(2, SHOP.id(name)))) is VoteTargetWrong


def test_the_target_lies_on_the_selected_parents_chain() -> None:
    shop = Workshop(CHAIN)
    shop.make("side", [GENESIS], slot=9, band=2)
    SHOP.engine.process_block(prepare(CHAIN, shop.blocks["side"]))
    assert cause_of(vote(target=Checkpoint(2, shop.id("side")))) is VoteTargetWrong


def test_the_source_is_the_checkpoint_of_its_period() -> None:
    assert cause_of(vote(source=Checkpoint(1, SOURCE.block_id))) is VoteSourceWrong
    assert cause_of(vote(source=Checkpoint(1, bytes(32)))) is VoteSourceWrong


def test_only_validators_of_the_set_vote() -> None:
    core = VoteCore(6, 0, SOURCE, TARGET)
    stranger = sign_vote(core, CHAIN.keys[0], CHAIN.params.genesis_hash)
    assert cause_of(stranger) is VoterUnknown


def test_a_validator_votes_in_the_band_that_it_was_dealt() -> None:
    right = vote().band
    assert cause_of(vote(band=(right + 1) % 6)) is VoteBandWrong


def test_a_vote_is_signed_by_its_validator() -> None:
    right = vote(1)
    other = sign_vote(vote_core(right), CHAIN.keys[2], CHAIN.params.genesis_hash)
    assert cause_of(vote(0), other) is VoteSignatureInvalid
    foreign = sign_vote(vote_core(right), CHAIN.keys[1], bytes(32))
    assert cause_of(foreign) is VoteSignatureInvalid


def test_a_signature_is_verified_once_for_gossip_and_blocks() -> None:
    verified = VerifiedVotes()
    engine = SHOP.engine
    judge = VoteJudge(engine.stores.store, CHAIN.params, engine.schedule, engine.genesis_id, verified)
    judge.check(vote(), SLOT)
    assert len(verified) == 1
    judge.check(vote(), SLOT)
    assert len(verified) == 1


def test_the_memory_of_verified_votes_is_bounded() -> None:
    verified = VerifiedVotes(10)
    for number in range(100):
        verified.add(number.to_bytes(32, "big"))
    assert len(verified) <= 10
    assert (99).to_bytes(32, "big") in verified and bytes(32) not in verified


# Gossip


def judge_of(engine: Engine, chain: FoundedChain = CHAIN) -> VoteJudge:
    return VoteJudge(
        engine.stores.store, chain.params, engine.schedule, engine.genesis_id, engine.verified_votes
    )


def test_gossip_takes_what_a_block_may_carry() -> None:
    for validator in range(6):
        judge_of(SHOP.engine).check(vote(validator), SLOT)


@pytest.mark.parametrize(("now_slot", "error"), [(14, VoteTooEarly), (40, VoteTooOld)])
def test_gossip_refuses_softly_what_is_not_of_now(now_slot: int, error: type[Exception]) -> None:
    with pytest.raises(error):
        judge_of(SHOP.engine).check(vote(), now_slot)


def test_gossip_cannot_judge_a_target_that_it_does_not_know() -> None:
    with pytest.raises(VoteTargetUnknown):
        judge_of(new_engine(CHAIN)).check(vote(), SLOT)


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (vote(source=TARGET), VoteLinkInvalid),
        (vote(target=Checkpoint(2, SHOP.id("s12"))), VoteTargetWrong),
        (vote(source=Checkpoint(1, SOURCE.block_id)), VoteSourceWrong),
        (vote(band=(vote().band + 1) % 6), VoteBandWrong),
        (msgspec.structs.replace(vote(), signature=bytes(64)), VoteSignatureInvalid),
        (msgspec.structs.replace(vote(), validator=77), VoterUnknown),
    ],
)
def test_gossip_refuses_what_no_block_may_carry(bad: Vote, error: type[Exception]) -> None:
    with pytest.raises(error):
        judge_of(SHOP.engine).check(bad, SLOT)


def test_gossip_knows_sources_that_were_justified_and_others_on_the_chain() -> None:
    life = Life(CHAIN)
    life.live(40)
    judge = judge_of(life.engine)
    for source in range(4):
        judge.check(life.vote(0, life.checkpoint(source), life.checkpoint(5)), 43)


class CountedReads:
    """A store that counts what is read of it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.reads = 0

    def get(self, key: bytes) -> bytes | None:
        self.reads += 1
        return self._store.get(key)

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


def test_gossip_walks_no_long_way_for_a_source_that_can_never_count() -> None:
    """A validator can sign as many votes with old sources as it likes; each would be a walk down the whole chain."""
    life = Life(CHAIN)
    life.live(160, bands=(0,), voters=())
    store = CountedReads(life.engine.stores.store)
    judge = VoteJudge(store, CHAIN.params, life.engine.schedule, life.engine.genesis_id, VerifiedVotes())  # type: ignore[arg-type]
    judge.check(life.vote(0, life.checkpoint(19), life.checkpoint(20)), 163)
    store.reads = 0
    with pytest.raises(VoteSourceWrong):
        judge.check(life.vote(0, life.checkpoint(2), life.checkpoint(20)), 163)
    assert store.reads < 12


# Templates


def carried(life: Life, slot: int, votes: list[Vote]) -> tuple[Vote, ...]:
    engine = life.engine
    proposer = engine.schedule.proposer(slot, 0)
    assert proposer is not None
    return engine.build_block(slot, 0, proposer, (), votes, reveal=CHAIN.reveal(proposer, slot)).votes


def test_a_template_is_valid_whatever_is_offered() -> None:
    life = Life(CHAIN)
    life.live(30, voters=())
    source, target, engine = life.checkpoint(0), life.checkpoint(3), life.engine
    good = [life.vote(one, source, target) for one in range(6)]
    older = [life.vote(one, source, life.checkpoint(2)) for one in range(6)]
    bad = [
        life.vote(0, source, life.checkpoint(0)),
        life.vote(1, source, Checkpoint(3, life.blocks[-1].block_id)),
        life.vote(1, life.checkpoint(2), target),
        life.vote(2, source, Checkpoint(1, life.checkpoint(1).block_id)),
        msgspec.structs.replace(good[3], signature=bytes(64)),
        msgspec.structs.replace(good[3], validator=9),
        msgspec.structs.replace(good[3], band=(good[3].band + 1) % 6),
    ]
    offered = [*bad, *good, *good, *older]
    proposer = engine.schedule.proposer(35, 0)
    assert proposer is not None
    unsigned = engine.build_block(35, 0, proposer, (), offered, reveal=CHAIN.reveal(proposer, 35))
    assert unsigned.votes == (*older, *good), "oldest targets first, by validator"
    life.take(prepare(CHAIN, unsigned.sign(CHAIN.keys[proposer])))


def test_a_template_leaves_out_what_its_past_has_counted() -> None:
    life = Life(CHAIN)
    life.live(30, voters=())
    source, target = life.checkpoint(0), life.checkpoint(3)
    life.votes = [life.vote(one, source, target) for one in range(3)]
    life.live(32, voters=())
    further = life.vote(4, source, target)
    assert carried(life, 33, [*life.votes, further]) == (further,)


def test_a_template_carries_at_most_the_allowed_number() -> None:
    chain = found_chain(150)
    life = Life(chain)
    life.live(10, bands=(0,), voters=())
    source, target = life.checkpoint(0), life.checkpoint(1)
    life.votes = [life.vote(one, source, target) for one in range(150)]
    block = life.propose(11, 0)
    assert len(block.block.votes) == MAX_BLOCK_VOTES
    life.take(block)
    assert len(encode_block(block.block)) < 60_000
    life.slot = 11
    life.live(13, bands=(0,), voters=())
    assert life.engine.justified.period == 1


def test_a_block_with_votes_reads_back_as_it_was() -> None:
    life = Life(CHAIN)
    life.live(24)
    from random import Random

    from consensus.stores import read_block

    for prepared in shuffled_topologically(life.blocks, Random(1)):
        stored: Block | None = read_block(life.engine.stores.store, prepared.block_id)
        assert stored == prepared.block
