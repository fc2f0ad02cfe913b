"""Anchors: by whose schedule a block is judged, through finality, its stalls, and changes of the set."""

from dataclasses import replace
from random import Random

import msgspec
import pytest
from builders.blocks import FoundedChain, chain_of, found_chain
from builders.chain import GENESIS, Workshop, feed, feed_in_batches, new_engine, picture, prepare
from builders.finality import Life
from builders.ledger import ONION_LAYERS, devnet_genesis, key_pair

from consensus.anchors import ANCHOR_DISTANCE_SLOTS
from consensus.blocks import sign_block
from consensus.engine import SNAPSHOTS_READ
from consensus.errors import (
    AnchorNotExecuted,
    BlockNotJudged,
    ProofMismatch,
    RevealWrong,
    SlotNotAvailable,
    ValidatorUnknown,
    WrongProposer,
)
from consensus.events import BlockRefused, PeriodJustified
from consensus.header_validation import KnownReveals
from consensus.params import epoch_at, first_slot_of_epoch
from consensus.stores import read_epoch_snapshot, read_finality
from ledger.addresses import address_of
from ledger.amounts import UNITS_PER_NXT
from ledger.keys import KeyPair
from ledger.onion import MAX_ONION_LAYERS, MAX_ONION_STEPS, NO_REVEAL, onion_layer, onion_secret
from ledger.staking.snapshot import read_snapshot
from ledger.staking.validator_kinds import (
    KEY_ROTATE,
    VALIDATOR_REGISTER,
    RegistrationCore,
    RotationCore,
    sign_registration,
    sign_rotation,
)
from ledger.storage.memory import MemoryStore
from ledger.transactions import SignedTransaction, sign_transaction

CHAIN = found_chain(6)
EPOCH = CHAIN.params.epoch_slots


def living(until: int, **options: object) -> Life:
    life = Life(CHAIN)
    life.live(until, **options)  # type: ignore[arg-type]
    return life


LIFE = living(4 * EPOCH + 6)


def finality(life: Life, block: bytes):  # type: ignore[no-untyped-def]
    found = read_finality(life.engine.stores.store, block)
    assert found is not None
    return found


def test_an_anchor_lies_before_the_epoch_by_its_distance() -> None:
    headers = LIFE.engine.stores.headers
    for prepared in LIFE.blocks:
        slot = prepared.block.header.slot
        anchor = finality(LIFE, prepared.block_id).anchor
        epoch = epoch_at(CHAIN.params, slot)
        if epoch < 2:
            assert anchor == LIFE.engine.genesis_id
            continue
        end = first_slot_of_epoch(CHAIN.params, epoch) - ANCHOR_DISTANCE_SLOTS
        chain = list(LIFE.engine.stores.dag.reachability.chain_down(prepared.block_id))
        assert anchor == next(block for block in chain if headers.get(block).slot < end)


def test_the_transition_block_is_the_first_chain_block_of_its_epoch() -> None:
    headers = LIFE.engine.stores.headers
    chain = list(LIFE.engine.stores.dag.reachability.chain_down(LIFE.engine.head.id))[::-1]
    first: dict[int, bytes] = {}
    for block in chain:
        epoch = epoch_at(CHAIN.params, headers.get(block).slot)
        assert finality(LIFE, block).transition == first.setdefault(epoch, block)
    assert sorted(first) == [0, 1, 2, 3, 4]


def test_the_snapshot_of_a_transition_block_is_the_one_in_its_state() -> None:
    store = LIFE.engine.stores.store
    newest = finality(LIFE, LIFE.engine.head.id).transition
    assert read_epoch_snapshot(store, newest) == read_snapshot(LIFE.engine.stores.ledger)
    assert read_epoch_snapshot(store, LIFE.engine.genesis_id) is not None


def test_later_epochs_are_dealt_from_the_finalised_mix() -> None:
    schedule = LIFE.engine.schedule
    seeds = [schedule.of_epoch(epoch).seed for epoch in range(5)]
    by_genesis = [CHAIN.schedule.of_epoch(epoch).seed for epoch in range(5)]
    assert seeds[:2] == by_genesis[:2]
    assert all(seeds[epoch] != by_genesis[epoch] for epoch in (3, 4))
    assert len(set(seeds)) == 5


def test_a_batch_may_cross_epochs() -> None:
    engine = new_engine(CHAIN)
    events = engine.process_blocks(LIFE.blocks)
    assert not [event for event in events if isinstance(event, BlockRefused)]
    assert picture(engine) == picture(LIFE.engine)


def test_a_restart_in_any_epoch_judges_the_same() -> None:
    store = MemoryStore()
    for at in range(0, len(LIFE.blocks), 37):
        engine = new_engine(CHAIN, store)
        feed(engine, LIFE.blocks[at : at + 37])
    assert picture(engine) == picture(LIFE.engine)
    expected, found = LIFE.engine.schedule, engine.schedule
    for epoch in range(7):
        assert found.of_epoch(epoch) == expected.of_epoch(epoch)
    again = new_engine(CHAIN, store)
    for epoch in range(1, 7):
        assert again.schedule.of_epoch(epoch) == expected.of_epoch(epoch)


def test_while_finality_stalls_the_mix_stands_still_and_bands_are_dealt_anew() -> None:
    life = living(EPOCH)
    life.live(5 * EPOCH, voters=range(4))
    stalled = life.engine.finalised
    anchors = [life.engine.schedule.seen.of_epoch(epoch) for epoch in (3, 4, 5)]
    assert len({anchor.mix for anchor in anchors}) == 1
    schedules = [life.engine.schedule.of_epoch(epoch) for epoch in (3, 4, 5)]
    assert len({schedule.seed for schedule in schedules}) == 3
    assert len({schedule.bands for schedule in schedules}) > 1
    life.live(6 * EPOCH)
    assert life.engine.finalised.period > stalled.period + 2
    assert len({anchor.mix for anchor in (anchors[-1], life.engine.schedule.seen.of_epoch(7))}) == 2


def test_every_block_is_judged_by_its_own_past_and_not_by_the_sink() -> None:
    """A node whose chain stopped in epoch 1 takes the blocks of later epochs one by one."""
    engine = new_engine(CHAIN)
    feed(engine, LIFE.blocks)
    assert picture(engine) == picture(LIFE.engine)


def test_the_schedule_of_the_sink_is_replaced_whole() -> None:
    life = living(EPOCH)
    before = life.engine.schedule.seen
    fields = (before.epoch, before.from_epochs, before.anchors)
    life.live(3 * EPOCH)
    assert (before.epoch, before.from_epochs, before.anchors) == fields
    assert life.engine.schedule.seen.epoch == 3
    assert life.engine.schedule.seen != before


def test_a_lane_of_another_proposer_gets_no_template_in_a_later_epoch() -> None:
    engine, slot = LIFE.engine, LIFE.slot + 1
    scheduled = engine.schedule.proposer(slot, 0)
    other = next(index for index in range(6) if index != scheduled)
    with pytest.raises(SlotNotAvailable):
        engine.build_block(slot, 0, other, reveal=CHAIN.reveal(other, slot))


def test_a_proposer_by_the_genesis_schedule_is_refused_in_a_later_epoch() -> None:
    slot, engine = LIFE.slot + 1, LIFE.engine
    band = next(
        band
        for band in range(6)
        if CHAIN.schedule.proposer(slot, band) != engine.schedule.proposer(slot, band)
    )
    wrong = CHAIN.schedule.proposer(slot, band)
    assert wrong is not None
    head = engine.head
    block = CHAIN.block(
        slot,
        band,
        parents=[head.id],
        proposer=wrong,
        key=CHAIN.keys[wrong],
        blue_score=head.blue_score + 1,
        blue_work=head.blue_work + 1,
    )
    with pytest.raises(WrongProposer):
        engine.process_block(prepare(CHAIN, block))


# Blocks that cannot be judged yet


def test_a_block_whose_anchor_was_not_executed_is_not_held_against_anybody() -> None:
    life = living(3 * EPOCH)
    engine = new_engine(CHAIN)
    before = [block for block in life.blocks if block.block.header.slot < 2 * EPOCH]
    after = [block for block in life.blocks if block.block.header.slot >= 2 * EPOCH]
    feed(engine, before)
    transition = engine.stores.finality.get(
        engine.stores.finality.get(after[0].block_id).view.finalised.block_id
        if engine.has_block(after[0].block_id)
        else engine.finalised.block_id
    ).transition
    engine._tracker.anchors._of_block.clear()
    engine._tracker.anchors._of_transition.clear()
    snapshot = engine.stores.epochs.get(transition)
    engine.stores.epochs.delete(transition)
    if transition == engine.genesis_id:
        pytest.skip("epochs 2 rests on genesis here")
    with pytest.raises(AnchorNotExecuted) as caught:
        engine.process_block(after[0])
    assert isinstance(caught.value, BlockNotJudged)
    engine.stores.epochs.put(transition, snapshot)
    engine.process_block(after[0])
    assert engine.has_block(after[0].block_id)


def test_a_proposer_that_no_snapshot_knows_is_soft() -> None:
    core = msgspec.structs.replace(CHAIN.core(), proposer=77)
    block = sign_block(core, (), (), key_pair(0, "stranger", 1), CHAIN.params.genesis_hash)
    with pytest.raises(ValidatorUnknown) as caught:
        prepare(CHAIN, block)
    assert isinstance(caught.value, BlockNotJudged)


def test_a_signature_of_a_far_epoch_that_no_known_key_made_is_soft() -> None:
    block = CHAIN.block(slot=10 * EPOCH, key=key_pair(0, "stranger", 1))
    with pytest.raises(ValidatorUnknown):
        prepare(CHAIN, block)


def test_a_replaced_key_says_nothing_about_the_id() -> None:
    engine = new_engine(CHAIN)
    old = key_pair(0, "old key", 0)
    shop = Workshop(CHAIN)
    good = shop.make("a", [GENESIS])
    proposer = good.header.proposer
    engine.schedule.learn_keys([(proposer, old.public_key)])
    assert engine.schedule.keys_of(proposer) == (CHAIN.keys[proposer].public_key, old.public_key)
    from consensus.blocks import core_of

    forged = sign_block(core_of(good.header), (), good.transactions, old, CHAIN.params.genesis_hash)
    assert forged.header_id == good.header_id
    with pytest.raises(ProofMismatch):
        engine.process_block(engine.prepare_decoded(forged, 1))
    engine.process_block(engine.prepare_decoded(good, 1))
    assert engine.head.id == good.header_id


# Reveals


@pytest.mark.parametrize("slot", [1, EPOCH, 3 * EPOCH + 1])
def test_a_reveal_of_another_epoch_is_refused(slot: int) -> None:
    shop = Workshop(CHAIN)
    proposer = CHAIN.schedule.of_slot(slot).proposer(slot, 0)
    assert proposer is not None
    for wrong in (CHAIN.reveal(proposer, slot + EPOCH), bytes(32), CHAIN.reveal((proposer + 1) % 6, slot)):
        core, body = shop.right_contents((shop.engine.genesis_id,), slot, 0, (), ())
        core = msgspec.structs.replace(core, reveal=wrong)
        block = sign_block(core, (), body, CHAIN.keys[core.proposer], CHAIN.params.genesis_hash)
        with pytest.raises(RevealWrong):
            shop.engine.process_block(prepare(CHAIN, block))


def test_a_template_refuses_a_wrong_reveal_and_goes_on() -> None:
    engine = new_engine(CHAIN)
    proposer = CHAIN.schedule.proposer(1, 0)
    assert proposer is not None
    with pytest.raises(RevealWrong):
        engine.build_block(1, 0, proposer, reveal=bytes(32))
    assert engine.build_block(1, 0, proposer, reveal=CHAIN.reveal(proposer, 1)).core.slot == 1


def test_a_chain_that_stood_still_for_longer_than_onions_are_checked_goes_on_without_reveals() -> None:
    """Renewing takes a block: if none could be made, stopping a devnet for two days would end it."""
    engine = new_engine(CHAIN)
    last = engine.head.id
    for slot in (EPOCH * (MAX_ONION_STEPS + 1), EPOCH * (MAX_ONION_STEPS + 2)):
        proposer = engine.schedule.of_slot(slot).proposer(slot, 0)
        assert proposer is not None
        with pytest.raises(RevealWrong):
            engine.build_block(slot, 0, proposer, reveal=CHAIN.reveal(proposer, slot))
        unsigned = engine.build_block(slot, 0, proposer, reveal=NO_REVEAL)
        engine.process_block(engine.prepare_decoded(unsigned.sign(CHAIN.keys[proposer]), slot))
        assert engine.head.id != last
        last = engine.head.id


def test_an_onion_reaches_as_far_as_it_has_layers_and_can_be_checked() -> None:
    validator = CHAIN.schedule.validators.validators[0]
    thin = replace(validator, onion_epoch=10, onion_layers=5)
    assert [epoch for epoch in range(20) if thin.reveals_in(epoch)] == list(range(10, 16))
    thick = replace(validator, onion_layers=MAX_ONION_LAYERS)
    assert [thick.reveals_in(MAX_ONION_STEPS + more) for more in (0, 1)] == [True, False]


def test_the_hashes_of_a_reveal_are_done_once() -> None:
    secret = onion_secret(bytes(32), 0)
    tip, reveal = onion_layer(secret, 3_000), onion_layer(secret, 0)
    reveals = KnownReveals()
    assert reveals.matches(reveal, 3_000, tip)
    from time import process_time

    began = process_time()
    for _ in range(1_000):
        assert reveals.matches(reveal, 3_000, tip)
        assert not reveals.matches(tip, 3_000, tip)
    assert process_time() - began < 0.1


def test_L19_what_a_block_carries_does_not_move_the_next_bands() -> None:
    """Two lives that differ in every transaction have the same bands in every epoch."""
    one, other = Life(CHAIN), Life(CHAIN)
    one.live(3 * EPOCH)
    other.live(5)
    other.live(3 * EPOCH, transactions=[CHAIN.transfer(0, 1, 5)])
    assert one.engine.head.state_root != other.engine.head.state_root
    assert one.engine.schedule.of_epoch(4) == other.engine.schedule.of_epoch(4)


# A changed set


NEWCOMER = key_pair(0, "newcomer", 0)
SHORT_EPOCH = 16


def rich_chain() -> FoundedChain:
    """Six validators, epochs of 16 slots, and accounts that can pay a validator's stake."""
    genesis, keys, accounts = devnet_genesis(
        6, seed="newcomer", epoch_slots=SHORT_EPOCH, account_units=5_000 * UNITS_PER_NXT
    )
    return chain_of(genesis, keys, accounts)


def registration(chain: FoundedChain) -> SignedTransaction:
    core = RegistrationCore(
        NEWCOMER.public_key,
        address_of(chain.accounts[1].public_key),
        1_000 * UNITS_PER_NXT,
        0,
        onion_layer(onion_secret(NEWCOMER.seed, 0), ONION_LAYERS),
        ONION_LAYERS,
    )
    return sign_transaction(
        chain.accounts[0],
        chain.rules,
        nonce=0,
        expiry_slot=1_000,
        fee=None,
        kind=VALIDATOR_REGISTER,
        payload_record=sign_registration(core, NEWCOMER, chain.rules),
    )


def rotation(chain: FoundedChain, validator: int, key: KeyPair, nonce: int) -> SignedTransaction:
    core = RotationCore(
        validator, key.public_key, onion_layer(onion_secret(key.seed, 0), ONION_LAYERS), ONION_LAYERS
    )
    return sign_transaction(
        chain.accounts[1],
        chain.rules,
        nonce=nonce,
        expiry_slot=1_000,
        fee=None,
        kind=KEY_ROTATE,
        payload_record=sign_rotation(core, key, chain.rules),
    )


def life_with_newcomer(until_epoch: int) -> Life:
    """A seventh validator registers in epoch 0."""
    life = Life(rich_chain())
    life.keys[6] = NEWCOMER
    life.live(3)
    life.live(4, bands=(1,), transactions=[registration(life.chain)])
    life.live(until_epoch * SHORT_EPOCH - 1)
    return life


NEW_SET = life_with_newcomer(8)


def test_a_registered_validator_gets_a_seat_after_the_activation_delay_and_never_before() -> None:
    seats = [6 in NEW_SET.engine.schedule.of_epoch(epoch).seats for epoch in range(4, 9)]
    assert NEW_SET.chain.params.staking.activation_delay_epochs == 4
    # The snapshot of epoch 4 counts it; epoch 6 is the first whose anchor has seen that snapshot final.
    assert seats == [False, False, True, True, True]


def test_a_newcomer_proposes_votes_and_is_counted() -> None:
    proposers = {block.block.header.proposer for block in NEW_SET.blocks}
    assert 6 in proposers
    certificates = [event.certificate for event in NEW_SET.events if isinstance(event, PeriodJustified)]
    assert any(vote.validator == 6 for vote in certificates[-1].votes)
    assert all(vote.validator != 6 for vote in certificates[3].votes)
    assert NEW_SET.engine.finalised.period >= 8 * SHORT_EPOCH // 8 - 4


def test_its_key_is_known_before_it_is_needed() -> None:
    life = life_with_newcomer(2)
    assert life.engine.schedule.keys_of(6) == (NEWCOMER.public_key,)


def test_a_node_that_starts_from_genesis_follows_the_change_of_the_set() -> None:
    engine = new_engine(NEW_SET.chain)
    for block in NEW_SET.blocks:
        engine.process_block(engine.prepare_decoded(block.block, block.block.header.slot))
    assert picture(engine) == picture(NEW_SET.engine)
    assert engine.finalised == NEW_SET.engine.finalised
    again = new_engine(NEW_SET.chain, engine.stores.store)
    assert again.schedule.keys_of(6) == (NEWCOMER.public_key,)
    assert again.schedule.of_epoch(9) == engine.schedule.of_epoch(9)


def test_the_same_blocks_in_large_batches_give_the_same_chain() -> None:
    engine = new_engine(NEW_SET.chain)
    feed_in_batches(engine, NEW_SET.blocks, Random(1), greatest=90)
    assert picture(engine) == picture(NEW_SET.engine)


def test_a_set_stands_still_while_finality_stalls() -> None:
    life = Life(rich_chain())
    life.keys[6] = NEWCOMER
    life.live(3)
    life.live(4, bands=(1,), transactions=[registration(life.chain)])
    life.live(8 * SHORT_EPOCH, voters=range(4))
    assert 6 not in life.engine.schedule.of_epoch(8).seats
    life.live(11 * SHORT_EPOCH)
    assert 6 in life.engine.schedule.of_epoch(11).seats


def test_a_rotated_key_signs_from_the_epoch_on_whose_set_has_it() -> None:
    life = life_with_newcomer(7)
    new_key = key_pair(0, "newcomer", 1)
    life.live(life.slot + 1, bands=(2,), transactions=[rotation(life.chain, 6, new_key, 0)])
    rotated_in = life.slot // SHORT_EPOCH
    # Until a finalised snapshot has the new key the old one signs; the engine names who must.
    while life.slot < 12 * SHORT_EPOCH:
        seat = life.engine.schedule.of_slot(life.slot + 1).seats[6]
        if seat.consensus_key == new_key.public_key:
            break
        life.live(life.slot + 1)
    assert seat.consensus_key == new_key.public_key
    assert (life.slot + 1) // SHORT_EPOCH > rotated_in
    assert life.engine.schedule.keys_of(6) == (NEWCOMER.public_key, new_key.public_key)


def test_a_key_replaced_in_a_long_stall_of_finality_is_known_after_a_restart() -> None:
    """All schedules ask for the old key until the change is final, however many snapshots have the new one."""
    life = life_with_newcomer(7)
    life.live(
        life.slot + 1,
        bands=(2,),
        transactions=[rotation(life.chain, 6, key_pair(0, "newcomer", 1), 0)],
        voters=(),
    )
    life.live(life.slot + (SNAPSHOTS_READ + 2) * SHORT_EPOCH, bands=(0,), voters=())
    assert life.engine.schedule.of_slot(life.slot + 1).seats[6].consensus_key == NEWCOMER.public_key
    again = new_engine(life.chain, life.engine.stores.store)
    assert NEWCOMER.public_key in again.schedule.keys_of(6)
    slot, band = next(
        (slot, band)
        for slot in range(life.slot + 1, life.slot + 200)
        for band in range(6)
        if life.engine.schedule.proposer(slot, band) == 6
    )
    block = life.propose(slot, band)
    again.process_block(again.prepare_decoded(block.block, slot))
    assert again.has_block(block.block_id)


def test_feeding_in_batches_over_epochs_gives_one_chain() -> None:
    for seed in range(3):
        engine = new_engine(CHAIN)
        feed_in_batches(engine, LIFE.blocks, Random(seed), greatest=60)
        assert picture(engine) == picture(LIFE.engine)
