"""Templates: which parents, which transactions, and that what comes out is valid everywhere."""

from dataclasses import replace
from typing import Any

import pytest
from builders.chain import (
    WALLET_UNITS,
    WALLETS,
    Workshop,
    account_of,
    address_named,
    devnet,
    feed,
    new_engine,
    prepare,
    propose,
    propose_slot,
    random_workshop,
)

from consensus import parent_choice as parent_choice_module
from consensus.blocks import encode_block
from consensus.engine import Engine
from consensus.events import BlockDisqualified, BlockRefused
from consensus.params import MAX_BLOCK_TOUCHES
from consensus.parent_choice import MAX_FRUITLESS_TIPS, ParentChoice
from consensus.prepare import PreparedBlock
from ledger.transactions import SignedTransaction
from ledger.transfer import MAX_MEMO_BYTES
from wnsp.spectrum import BAND_COUNT

CHAIN = devnet()
LARGE = 1_400
"""Of the large transactions: more than fit into a block."""
SHOP = Workshop(CHAIN)


def shop_of(text: str) -> Workshop:
    shop = Workshop(CHAIN)
    shop.script(text)
    return shop


def engine_of(shop: Workshop, *names: str) -> Engine:
    engine = new_engine(CHAIN)
    feed(engine, shop.prepared(*names))
    return engine


def parents_of(block: PreparedBlock) -> set[bytes]:
    return set(block.block.header.parents)


def ids(shop: Workshop, *names: str) -> set[bytes]:
    return {shop.id(name) for name in names}


def carried(block: PreparedBlock) -> list[bytes]:
    return [transaction.id for transaction in block.transactions]


def pay(
    sender: str, units: int, nonce: int, *, fee: int | None = None, expiry_slot: int = 1_000
) -> SignedTransaction:
    return SHOP.transfer(sender, "henry", units, nonce, fee=fee, expiry_slot=expiry_slot)


# parents


def test_all_tips_of_the_slots_before_are_parents() -> None:
    engine = new_engine(CHAIN)
    blocks = propose_slot(engine, CHAIN, 1)
    assert parents_of(propose(engine, CHAIN, 2, 0)) == {block.block_id for block in blocks}


def test_a_tip_of_the_templates_slot_gives_way_to_its_parents() -> None:
    shop = shop_of("a1: genesis; a2: genesis; b: a1 slot 2; c: b slot 3")
    engine = engine_of(shop)
    assert parents_of(propose(engine, CHAIN, 3, 5)) == ids(shop, "b", "a2")
    assert parents_of(propose(engine, CHAIN, 2, 5)) == ids(shop, "a1", "a2")
    assert parents_of(propose(engine, CHAIN, 1, 5)) == {engine.genesis_id}
    assert engine.head.id == shop.id("c")


def test_a_template_below_the_sink_commits_to_the_state_of_its_own_past() -> None:
    shop = shop_of("a: genesis pay alice bob 5; b: a pay bob carol 5; c: b pay carol dave 5; d: c")
    engine = engine_of(shop)
    late = propose(engine, CHAIN, 3, 5, [pay("erin", 5, 0)])
    assert len(late.transactions) == 1
    fresh = engine_of(shop, "a", "b")
    assert late.block == propose(fresh, CHAIN, 3, 5, [pay("erin", 5, 0)]).block
    feed(fresh, [late])
    assert fresh.head.id == late.block_id


def test_L6_only_the_first_seen_block_of_a_lane_becomes_a_parent() -> None:
    shop = shop_of(
        """
        twin1: genesis  pay alice bob 1   slot 1 band 1
        twin2: genesis  pay alice bob 2   slot 1 band 1
        other: genesis  slot 1 band 2
        """
    )
    for first, second in (("twin1", "twin2"), ("twin2", "twin1")):
        engine = engine_of(shop, first, second, "other")
        block = propose(engine, CHAIN, 2, 0)
        assert parents_of(block) == ids(shop, first, "other")
        feed(engine, [block])
        assert engine.head.id == block.block_id


def test_L27_a_disqualified_tip_above_the_best_one_gives_way_to_its_parents_and_is_merged_later() -> None:
    shop = shop_of(
        "a: genesis; x: genesis; bad: a x slot 2 wrong-state; worse: bad slot 3; good: a slot 2 band 4"
    )
    engine = engine_of(shop)
    assert engine.head.id == shop.id("good")
    block = propose(engine, CHAIN, 4, 0)
    assert parents_of(block) == ids(shop, "good", "x")
    feed(engine, [block])
    for slot in range(5, 9):
        feed(engine, [propose(engine, CHAIN, slot, 0)])
    assert engine.stores.dag.is_ancestor(shop.id("worse"), engine.head.id)


def test_a_wrong_state_that_only_a_template_looks_at_is_told_with_the_next_block() -> None:
    low, high = sorted((2, 3), key=lambda band: CHAIN.schedule.lane_tie(2, band))
    shop = shop_of(
        f"""
        a: genesis
        bad: a   slot 2 band {high} wrong-state
        c: a     slot 2 band {low}
        d: c     slot 3
        e: c     slot 3
        """
    )
    engine = engine_of(shop, "a", "c", "d", "bad")
    assert engine.stores.status(shop.id("bad")) is None
    propose(engine, CHAIN, 3, 5)
    events = feed(engine, shop.prepared("e"))
    assert [event.block_id for event in events if isinstance(event, BlockDisqualified)] == [shop.id("bad")]


def test_parents_are_at_most_twelve() -> None:
    shop = Workshop(CHAIN)
    for slot in (1, 2, 3):
        for band in range(BAND_COUNT):
            shop.make(f"{slot}.{band}", ["genesis"], slot=slot, band=band)
    engine = engine_of(shop)
    block = propose(engine, CHAIN, 4, 0)
    assert len(block.block.header.parents) == CHAIN.params.max_parents
    feed(engine, [block])
    assert engine.head.id == block.block_id


def test_random_views_always_give_valid_templates_that_become_the_sink() -> None:
    for seed in range(6):
        shop = random_workshop(seed, chain=CHAIN, slots=5, faulty=0.1)
        engine = engine_of(shop)
        for slot in (6, 7):
            blocks = [propose(engine, CHAIN, slot, band) for band in range(BAND_COUNT)]
            events = [event for block in blocks for event in engine.process_block(block)]
            assert not any(isinstance(event, BlockDisqualified) for event in events)
            assert engine.head.slot == slot


def sides(
    lanes: tuple[range, range], slots: int
) -> tuple[Engine, Engine, list[PreparedBlock], list[PreparedBlock]]:
    """A network split in two from the start: engines and blocks of each side."""
    engines = new_engine(CHAIN), new_engine(CHAIN)
    made: tuple[list[PreparedBlock], list[PreparedBlock]] = ([], [])
    for slot in range(1, slots + 1):
        for engine, bands, blocks in zip(engines, lanes, made, strict=True):
            blocks.extend(propose_slot(engine, CHAIN, slot, bands))
    return *engines, *made


def test_two_long_sides_of_a_partition_merge_in_pieces() -> None:
    slots = 62
    limit = CHAIN.params.mergeset_limit
    left, right, left_blocks, right_blocks = sides((range(3), range(3, 6)), slots)
    assert min(len(left_blocks), len(right_blocks)) > limit
    for engine, others in ((left, right_blocks), (right, left_blocks)):
        assert not any(isinstance(event, BlockRefused) for event in engine.process_blocks(others))
    assert left.head.id == right.head.id
    merged_at_once = []
    for slot in range(slots + 1, slots + 5):
        blocks = [propose(left, CHAIN, slot, band) for band in range(BAND_COUNT)]
        feed(left, blocks)
        feed(right, blocks)
        assert left.head == right.head and left.head.slot == slot
        merged_at_once.append(len(left.stores.dag.data.get(left.head.id).mergeset) - 1)
    assert max(merged_at_once) <= limit
    assert merged_at_once[0] > limit - 12 and merged_at_once[1] > 6
    dag = left.stores.dag
    assert all(dag.is_ancestor(block.block_id, left.head.id) for block in left_blocks + right_blocks)


def walks_of_a_template(monkeypatch: pytest.MonkeyPatch, tips: int, side_length: int) -> tuple[int, int]:
    """How often a template looks at a merge set when `tips` blocks end a side chain; and the parents that it names."""
    shop = Workshop(CHAIN)
    for lane, length in ((0, side_length + 3), (1, side_length)):
        newest = "genesis"
        for slot in range(1, length + 1):
            shop.make(f"{slot}.{lane}", [newest], slot=slot, band=lane)
            newest = f"{slot}.{lane}"
    for number in range(tips):
        slot, band = side_length + 1 + number // 4, 2 + number % 4
        shop.make(f"tip {number}", [f"{side_length}.1"], slot=slot, band=band)
    walks = [0]
    walk = parent_choice_module.ordered_mergeset

    def counted(*args: Any, **options: Any) -> tuple[bytes, ...]:
        walks[0] += 1
        return walk(*args, **options)

    monkeypatch.setattr(parent_choice_module, "ordered_mergeset", counted)
    block = propose(shop.engine, CHAIN, side_length + 40, 0)
    return walks[0], len(block.block.header.parents)


def test_a_template_looks_for_no_further_tips_when_the_merge_set_is_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    length = CHAIN.params.mergeset_limit + 5
    walks, parents = walks_of_a_template(monkeypatch, 40, length)
    assert parents == 2
    assert walks <= 10


def test_tips_that_cannot_be_merged_cost_a_template_a_bounded_number_of_walks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing of the side fits here, as if each of its blocks merged more than a template has room for."""
    monkeypatch.setattr(
        ParentChoice, "_nearest_fitting", lambda self, block, parents, slot: self._fits(block, []) and None
    )
    walks, parents = walks_of_a_template(monkeypatch, 60, 4)
    assert parents == 1
    assert walks == MAX_FRUITLESS_TIPS


# transactions


def test_transactions_are_carried_in_the_order_given() -> None:
    engine = new_engine(CHAIN)
    candidates = [pay(name, 5, 0) for name in WALLETS[:5]]
    assert carried(propose(engine, CHAIN, 1, 0, candidates)) == [one.id for one in candidates]


def test_nonces_are_contiguous_and_wait_for_their_predecessors() -> None:
    engine = new_engine(CHAIN)
    zero, one, two, four = (pay("alice", 5, nonce) for nonce in (0, 1, 2, 4))
    bob = pay("bob", 5, 0)
    block = propose(engine, CHAIN, 1, 0, [two, four, zero, bob, one])
    assert carried(block) == [zero.id, bob.id, one.id, two.id]


def test_nonces_count_from_the_blocks_own_state() -> None:
    shop = shop_of("a: genesis pay alice bob 5")
    engine = engine_of(shop)
    used, following = pay("alice", 5, 0), pay("alice", 5, 1)
    assert carried(propose(engine, CHAIN, 2, 0, [used, following])) == [following.id]
    assert carried(propose(engine, CHAIN, 1, 1, [used, following])) == [used.id, following.id]


def test_a_transaction_given_twice_is_carried_once() -> None:
    engine = new_engine(CHAIN)
    one = pay("alice", 5, 0)
    assert carried(propose(engine, CHAIN, 1, 0, [one, one])) == [one.id]


def test_what_the_balance_does_not_cover_is_left_out_with_its_followers() -> None:
    engine = new_engine(CHAIN)
    half = WALLET_UNITS // 2
    covered, too_much, follower = pay("alice", half, 0), pay("alice", half, 1), pay("alice", 1, 2)
    bob = pay("bob", 1, 0)
    block = propose(engine, CHAIN, 1, 0, [covered, too_much, follower, bob])
    assert carried(block) == [covered.id, bob.id]


def test_a_fee_that_cannot_be_paid_is_left_out() -> None:
    engine = new_engine(CHAIN)
    assert carried(propose(engine, CHAIN, 1, 0, [pay("alice", 1, 0, fee=2 * WALLET_UNITS)])) == []


def test_expired_transactions_are_left_out() -> None:
    engine = new_engine(CHAIN)
    brief, lasting = pay("alice", 1, 0, expiry_slot=4), pay("bob", 1, 0, expiry_slot=5)
    assert carried(propose(engine, CHAIN, 4, 0, [brief, lasting])) == [lasting.id]


def test_money_received_in_the_same_block_can_be_spent_in_it() -> None:
    engine = new_engine(CHAIN)
    gift = SHOP.transfer("alice", "bob", WALLET_UNITS // 2, 0)
    spending = SHOP.transfer("bob", "carol", WALLET_UNITS + 5, 0)
    assert carried(propose(engine, CHAIN, 1, 0, [gift, spending])) == [gift.id, spending.id]


def test_the_block_stays_within_its_size() -> None:
    from consensus.params import MAX_BLOCK_BYTES

    engine = new_engine(CHAIN)
    candidates = _large_transactions(LARGE)
    block = propose(engine, CHAIN, 1, 0, candidates)
    size = len(encode_block(block.block))
    largest = max(len(one.raw) for one in candidates)
    assert len(block.transactions) < len(candidates)
    assert MAX_BLOCK_BYTES - 2_048 - largest < size <= MAX_BLOCK_BYTES


def _large_transactions(count: int) -> list[SignedTransaction]:
    """About 400 bytes each: transfers with the longest memo, by one sender. They touch one account each."""
    from builders.ledger import transfer

    memo = bytes(MAX_MEMO_BYTES)
    return [
        transfer(
            CHAIN.accounts[0],
            CHAIN.rules,
            nonce,
            address_named(CHAIN, "bob"),
            1,
            memo=memo,
            expiry_slot=1_000,
        )
        for nonce in range(count)
    ]


def test_the_block_touches_no_more_records_than_it_may() -> None:
    from builders.ledger import batch_transfer

    legs = [(number.to_bytes(20, "big"), 1) for number in range(1_000, 1_256)]
    candidates = [
        batch_transfer(CHAIN.accounts[0], CHAIN.rules, nonce, legs, expiry_slot=1_000) for nonce in range(40)
    ]
    engine = new_engine(CHAIN)
    block = propose(engine, CHAIN, 1, 0, [*candidates, pay("bob", 5, 0)])
    assert len(block.transactions) == MAX_BLOCK_TOUCHES // 256 + 1
    assert carried(block)[-1] == pay("bob", 5, 0).id, "what is light enough still fits"
    feed(engine, [block])


def test_a_smaller_transaction_takes_the_room_that_a_larger_one_cannot() -> None:
    engine = new_engine(CHAIN)
    small = pay("bob", 5, 0)
    block = propose(engine, CHAIN, 1, 0, [*_large_transactions(LARGE), small])
    assert carried(block)[-1] == small.id


def test_templates_of_one_slot_take_what_the_parents_have_not() -> None:
    engine = new_engine(CHAIN)
    first = [pay(name, 5, 0) for name in WALLETS[:4]]
    block = propose(engine, CHAIN, 1, 0, first)
    feed(engine, [block])
    again = propose(engine, CHAIN, 2, 0, first)
    assert carried(again) == []
    feed(engine, [again])
    assert account_of(engine, CHAIN, "henry").balance == WALLET_UNITS + 20


def test_signing_gives_a_block_that_every_node_takes() -> None:
    engine, other = new_engine(CHAIN), new_engine(CHAIN)
    proposer = CHAIN.schedule.proposer(1, 2)
    assert proposer is not None
    unsigned = engine.build_block(1, 2, proposer, [pay("alice", 5, 0)], reveal=CHAIN.reveal(proposer, 1))
    block = unsigned.sign(CHAIN.keys[proposer])
    feed(other, [prepare(CHAIN, block)])
    assert other.head.id == block.header_id
    assert replace(unsigned, transactions=()).core == unsigned.core
