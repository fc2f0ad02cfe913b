"""The virtual state: what a header commits to, what disqualifies, what a reorganisation does."""

from random import Random

from builders.chain import (
    FAR_SLOT,
    WALLET_UNITS,
    Workshop,
    account_of,
    devnet,
    feed,
    feed_in_batches,
    new_engine,
    picture,
    prepare,
    propose,
    propose_slot,
    random_workshop,
    shuffled_topologically,
    state_of,
)

from consensus.engine import Engine
from consensus.events import BlockDisqualified, ChainAdvanced, Event
from consensus.mergeset_execution import TRANSACTION_BYTES_KEPT, Recent
from consensus.prepare import PreparedBlock
from consensus.stores import Status, index_on_chain, merging_index, read_block, read_status
from consensus.sync_plan import antipast
from consensus.virtual import StateFault
from consensus.votes import Checkpoint
from ledger.batch_transfer import BATCH_TRANSFER, MAX_LEGS, BatchTransfer, Leg
from ledger.execution import APPLIED, SKIPPED
from ledger.storage.memory import MemoryStore
from ledger.storage.state_store import STATE_PREFIX
from ledger.storage.store import WriteBatch
from ledger.transactions import sign_transaction

CHAIN = devnet()


def shop_of(text: str) -> Workshop:
    shop = Workshop(CHAIN)
    shop.script(text)
    return shop


def engine_of(shop: Workshop, *names: str) -> Engine:
    engine = new_engine(CHAIN)
    feed(engine, shop.prepared(*names))
    return engine


def disqualified(events: list[Event]) -> dict[bytes, str]:
    return {event.block_id: event.reason for event in events if isinstance(event, BlockDisqualified)}


def test_a_blocks_own_transactions_are_executed_by_the_block_that_merges_it() -> None:
    shop = shop_of("a: genesis  pay alice bob 5; b: a")
    engine = new_engine(CHAIN)
    feed(engine, shop.prepared("a"))
    assert account_of(engine, CHAIN, "bob").balance == WALLET_UNITS
    feed(engine, shop.prepared("b"))
    assert account_of(engine, CHAIN, "bob").balance == WALLET_UNITS + 5
    receipts = engine.stores.ledger.receipts(shop.id("b"))
    assert receipts is not None and [receipt.block_id for receipt in receipts] == [shop.id("a")]


def test_the_head_commits_to_the_state_on_disk() -> None:
    shop = random_workshop(11, chain=CHAIN, slots=4)
    engine = engine_of(shop)
    from ledger.state_commitment import StateTree

    assert StateTree.build(state_of(engine).items()).root == engine.head.state_root


def test_L5_the_same_transaction_in_parallel_blocks_is_applied_once_and_skipped_once() -> None:
    shop = Workshop(CHAIN)
    payment = shop.transfer("alice", "bob", 5, 0)
    for band in range(3):
        shop.make(f"a{band}", ["genesis"], slot=1, band=band, transactions=[payment])
    shop.make("m", ["a0", "a1", "a2"])
    engine = engine_of(shop)
    receipts = engine.stores.ledger.receipts(shop.id("m"))
    assert receipts is not None
    assert sorted((receipt.status, receipt.reason) for receipt in receipts) == [
        (APPLIED, ""),
        (SKIPPED, "Duplicate"),
        (SKIPPED, "Duplicate"),
    ]
    assert account_of(engine, CHAIN, "bob").balance == WALLET_UNITS + 5
    found = engine.stores.ledger.transaction(payment.id)
    assert found is not None and found[1].status == APPLIED


def test_L5_of_conflicting_spends_in_parallel_blocks_one_moves_and_the_other_moves_nothing() -> None:
    shop = Workshop(CHAIN)
    to_bob = shop.transfer("alice", "bob", WALLET_UNITS // 2 + 1, 0)
    to_carol = shop.transfer("alice", "carol", WALLET_UNITS // 2 + 1, 0)
    shop.make("a", ["genesis"], slot=1, band=0, transactions=[to_bob])
    shop.make("b", ["genesis"], slot=1, band=1, transactions=[to_carol])
    shop.make("m", ["a", "b"])
    pictures = []
    for names in (("a", "b", "m"), ("b", "a", "m")):
        engine = engine_of(shop, *names)
        pictures.append(picture(engine))
        received = [account_of(engine, CHAIN, name).balance - WALLET_UNITS for name in ("bob", "carol")]
        assert sorted(received) == [0, WALLET_UNITS // 2 + 1]
    assert pictures[0] == pictures[1]
    assert [receipt.reason for receipt in pictures[0].receipts[-1]] == ["", "NonceUsed"]


def test_L27_a_wrong_state_root_disqualifies_and_the_transactions_are_still_executed() -> None:
    shop = shop_of(
        """
        a: genesis
        bad: a  pay alice bob 5   band 1  wrong-state
        good: a                   band 2
        good2: good
        m: good2 bad
        """
    )
    engine = new_engine(CHAIN)
    events = feed(engine, shop.prepared())
    # Only a chain candidate is executed: whether `bad` is one depends on its rank beside `good`.
    assert set(disqualified(events).values()) <= {StateFault.STATE_ROOT_WRONG}
    assert engine.head.id == shop.id("m")
    assert account_of(engine, CHAIN, "bob").balance == WALLET_UNITS + 5


def test_L27_a_chain_on_a_disqualified_block_is_never_selected_however_heavy() -> None:
    shop = shop_of(
        """
        a: genesis
        bad: a     wrong-state
        bad2: bad
        bad3: bad2
        good: a    slot 9
        """
    )
    for names in (("a", "bad", "bad2", "bad3", "good"), ("a", "good", "bad", "bad2", "bad3")):
        engine = new_engine(CHAIN)
        events = feed(engine, shop.prepared(*names))
        assert engine.head.id == shop.id("good")
        assert disqualified(events)[shop.id("bad2")] == StateFault.SELECTED_PARENT_DISQUALIFIED
        assert disqualified(events)[shop.id("bad3")] == StateFault.SELECTED_PARENT_DISQUALIFIED


def test_L27_peers_converge_whatever_arrives_first_and_all_blocks_are_merged() -> None:
    shop = random_workshop(8, chain=CHAIN, slots=8, faulty=0.25)
    engine = engine_of(shop)
    for seed in range(3):
        other = new_engine(CHAIN)
        feed_in_batches(other, shuffled_topologically(shop.prepared(), Random(seed)), Random(seed))
        assert picture(other) == picture(engine)
    for slot in range(9, 17):
        propose_slot(engine, CHAIN, slot)
    bad = [block.header_id for block in shop.blocks.values() if block.header.state_root == bytes(32)]
    assert bad
    chain = set(picture(engine).chain)
    merged = set(picture(engine).order)
    for block_id in bad:
        assert block_id not in chain and block_id in merged


def test_a_disqualification_is_stored_and_holds_after_a_restart() -> None:
    shop = shop_of("a: genesis; bad: a wrong-state; good: a slot 9; worse: bad slot 10")
    store = MemoryStore()
    engine = new_engine(CHAIN, store)
    feed(engine, shop.prepared("a", "bad"))
    assert read_status(store, shop.id("bad")) is Status.DISQUALIFIED
    engine = new_engine(CHAIN, store)
    feed(engine, shop.prepared("good", "worse"))
    assert engine.head.id == shop.id("good")


def test_a_wrong_receipts_root_disqualifies() -> None:
    shop = shop_of("a: genesis; bad: a wrong-receipts")
    engine = new_engine(CHAIN)
    events = feed(engine, shop.prepared())
    assert disqualified(events) == {shop.id("bad"): StateFault.RECEIPTS_ROOT_WRONG}
    assert engine.head.id == shop.id("a")


def test_a_block_whose_own_transaction_does_not_apply_in_its_own_state_is_disqualified() -> None:
    shop = Workshop(CHAIN)
    shop.make("a", ["genesis"])
    shop.make("gap", ["a"], transactions=[shop.transfer("alice", "bob", 5, nonce=3)])
    engine = new_engine(CHAIN)
    events = feed(engine, shop.prepared())
    assert disqualified(events) == {shop.id("gap"): StateFault.OWN_TRANSACTION_SKIPPED}
    assert engine.head.id == shop.id("a")


def test_a_block_may_carry_a_transaction_that_fails_and_pays() -> None:
    shop = Workshop(CHAIN)
    shop.make("a", ["genesis"], transactions=[shop.transfer("alice", "bob", 2 * WALLET_UNITS, 0)])
    shop.make("b", ["a"])
    engine = engine_of(shop)
    assert engine.head.id == shop.id("b")
    account = account_of(engine, CHAIN, "alice")
    assert account.nonce == 1 and account.balance < WALLET_UNITS


REORGANISATION = """
    base: genesis          pay alice bob 5
    a1: base               band 0  pay alice bob 10
    a2: a1                 pay bob carol 3
    b1: base               slot 2 band 3  pay alice dave 20
    b2: b1                 slot 3 band 2  pay dave erin 4
    b3: b2                 slot 4 band 3
"""


def test_a_reorganised_state_equals_a_replay_from_genesis() -> None:
    shop = shop_of(REORGANISATION)
    engine = new_engine(CHAIN)
    events = feed(engine, shop.prepared("base", "a1", "a2", "b1", "b2", "b3"))
    removed = [block for event in events if isinstance(event, ChainAdvanced) for block in event.removed]
    assert removed == [shop.id("a2"), shop.id("a1")]
    fresh = engine_of(shop, "base", "b1", "b2", "b3")
    assert picture(engine) == picture(fresh)
    assert state_of(engine) == state_of(fresh)


def test_a_reorganisation_takes_the_old_chains_transactions_out_of_the_index() -> None:
    shop = shop_of(REORGANISATION)
    engine = engine_of(shop, "base", "a1", "a2", "b1")
    [of_a1] = shop.prepared("a1")[0].transactions
    assert engine.stores.ledger.transaction(of_a1.id) is not None
    feed(engine, shop.prepared("b2", "b3"))
    assert engine.stores.ledger.transaction(of_a1.id) is None


def test_a_reorganisation_takes_the_old_chain_out_of_the_past_of_the_sink() -> None:
    shop = shop_of(REORGANISATION)
    engine = engine_of(shop, "base", "a1", "a2", "b1", "b2", "b3")
    store = engine.stores.store
    assert {name: merging_index(store, shop.id(name)) for name in ("base", "a1", "a2", "b1", "b2", "b3")} == {
        "base": 2,
        "a1": None,
        "a2": None,
        "b1": 3,
        "b2": 4,
        "b3": None,
    }
    assert [index_on_chain(store, shop.id(name)) for name in ("base", "a1", "a2", "b3")] == [1, None, None, 4]
    assert sorted(block for _, block in antipast(store)) == sorted((shop.id("a1"), shop.id("a2")))


def test_going_back_to_a_chain_redoes_it_without_executing_it_again() -> None:
    shop = shop_of(REORGANISATION + "; a3: a2; a4: a3; a5: a4")
    engine = engine_of(shop, "base", "a1", "a2", "b1", "b2", "b3")
    before = engine._chain.executor.executions
    events: list[Event] = list(engine.process_blocks(shop.prepared("a3", "a4", "a5")))
    last = [event for event in events if isinstance(event, ChainAdvanced)][-1]
    assert [block.block_id for block in last.added] == [
        shop.id(name) for name in ("a1", "a2", "a3", "a4", "a5")
    ]
    # a3, a4 and a5 carry nothing of their own; a1 and a2 were stored.
    assert engine._chain.executor.executions - before == 3
    assert picture(engine) == picture(engine_of(shop, "base", "a1", "a2", "a3", "a4", "a5"))
    assert all(block.receipts == engine.stores.ledger.receipts(block.block_id) for block in last.added)


def test_siblings_with_equal_merge_sets_replace_each_other_without_touching_the_state() -> None:
    shop = shop_of("a: genesis  pay alice bob 5")
    siblings = [f"s{band}" for band in range(6)]
    for band, name in enumerate(siblings):
        shop.make(name, ["a"], slot=2, band=band)
    siblings.sort(key=lambda name: shop.engine.stores.dag.order_key(shop.id(name)))
    store = MemoryStore()
    engine = new_engine(CHAIN, store)
    feed(engine, shop.prepared("a", siblings[0]))
    state_writes: list[bytes] = []
    write = store.write

    def watch(batch: WriteBatch, *, sync: bool) -> None:
        state_writes.extend(key for key in batch.writes if key.startswith(STATE_PREFIX))
        write(batch, sync=sync)

    store.write = watch  # type: ignore[method-assign]
    executed = engine._chain.executor.executions
    feed(engine, shop.prepared(*siblings[1:]))
    assert engine.head.id == shop.id(siblings[-1])
    assert state_writes == []
    assert engine._chain.executor.executions == executed


def test_only_chain_candidates_are_executed() -> None:
    shop = shop_of("a: genesis")
    siblings = [f"s{band}" for band in range(6)]
    for band, name in enumerate(siblings):
        shop.make(name, ["a"], slot=2, band=band, pay=[("alice", "bob", band + 1)])
    siblings.sort(key=lambda name: shop.engine.stores.dag.order_key(shop.id(name)), reverse=True)
    engine = engine_of(shop, "a", siblings[0])
    executed = engine._chain.executor.executions
    feed(engine, shop.prepared(*siblings[1:]))
    assert engine._chain.executor.executions == executed


def test_a_templates_execution_is_used_again_when_its_block_comes_back() -> None:
    shop = shop_of("a: genesis  pay alice bob 5; b: genesis  pay carol dave 5")
    engine = engine_of(shop)
    block = propose(engine, CHAIN, 2, 0)
    executed = engine._chain.executor.executions
    feed(engine, [block])
    assert engine.head.id == block.block_id
    assert engine._chain.executor.executions == executed


def test_L24_a_block_made_before_a_reorganisation_is_judged_on_its_own_parents() -> None:
    shop = shop_of(REORGANISATION)
    engine = engine_of(shop, "base", "a1", "a2")
    spent = shop.transfer("bob", "frank", WALLET_UNITS // 2, 1)
    early = propose(engine, CHAIN, 4, 0, [spent])
    assert early.transactions
    feed(engine, shop.prepared("b1", "b2", "b3"))
    feed(engine, [early])
    for slot in (5, 6):
        propose_slot(engine, CHAIN, slot, [0])
    fresh = new_engine(CHAIN)
    blocks = [block_of(engine, block_id) for block_id in picture(engine).order[1:]]
    feed(fresh, blocks)
    assert picture(fresh) == picture(engine) and state_of(fresh) == state_of(engine)


def block_of(engine: Engine, block_id: bytes) -> PreparedBlock:
    block = read_block(engine.stores.store, block_id)
    assert block is not None
    return prepare(CHAIN, block)


def test_a_chain_without_the_finalised_block_is_never_selected() -> None:
    shop = shop_of(REORGANISATION + "; b4: b3")
    engine = engine_of(shop, "base", "a1", "a2")
    engine._finality.finalised = Checkpoint(1, shop.id("a1"))
    engine._chain.finalised_id = shop.id("a1")
    feed(engine, shop.prepared("b1", "b2", "b3", "b4"))
    assert engine.head.id == shop.id("a2")
    assert engine.stores.status(shop.id("b4")) is None
    block = propose(engine, CHAIN, 9, 0)
    assert engine.stores.dag.reachability.is_ancestor(shop.id("a2"), block.block.header.parents[0]) or (
        shop.id("a2") in block.block.header.parents
    )


def test_the_virtual_account_has_what_the_next_block_will_merge() -> None:
    shop = Workshop(CHAIN)
    shop.make("a", ["genesis"], slot=1, band=0, pay=[("alice", "bob", 5)])
    shop.make("b", ["genesis"], slot=1, band=1, pay=[("carol", "bob", 7)])
    engine = engine_of(shop)
    from builders.chain import address_named

    assert account_of(engine, CHAIN, "bob").balance == WALLET_UNITS
    assert engine.virtual_account(address_named(CHAIN, "bob")).balance == WALLET_UNITS + 12
    assert engine.virtual_account(address_named(CHAIN, "alice")).nonce == 1
    assert engine.virtual_account(bytes(20)).balance == 0


def test_asking_for_virtual_accounts_and_templates_changes_nothing() -> None:
    shop = random_workshop(21, chain=CHAIN)
    store, plain = MemoryStore(), MemoryStore()
    engine, other = new_engine(CHAIN, store), new_engine(CHAIN, plain)
    for block in shop.prepared():
        engine.virtual_account(bytes(20))
        propose(engine, CHAIN, block.block.header.slot + 3, 0)
        propose(engine, CHAIN, max(1, block.block.header.slot - 2), 1)
        feed(engine, [block])
        feed(other, [block])
    assert dict(store.iterate(b"s")) == dict(plain.iterate(b"s"))
    assert picture(engine) == picture(other)


def test_expiry_counts_in_the_merging_block() -> None:
    shop = Workshop(CHAIN)
    brief = shop.transfer("alice", "bob", 5, 0, expiry_slot=2)
    lasting = shop.transfer("carol", "bob", 5, 0, expiry_slot=FAR_SLOT)
    shop.make("a", ["genesis"], slot=1, transactions=[brief, lasting])
    shop.make("late", ["a"], slot=3)
    engine = engine_of(shop)
    receipts = engine.stores.ledger.receipts(shop.id("late"))
    assert receipts is not None
    assert [receipt.reason for receipt in receipts] == ["Expired", ""]


def test_the_same_merge_set_in_a_later_slot_is_executed_for_that_slot() -> None:
    shop = Workshop(CHAIN)
    brief = shop.transfer("alice", "bob", 5, 0, expiry_slot=2)
    shop.make("a", ["genesis"], slot=1, transactions=[brief])
    shop.make("soon", ["a"], slot=2, band=0)
    shop.make("late", ["a"], slot=3, band=0)
    shop.make("later", ["late"], slot=4)
    engine = engine_of(shop, "a", "soon")
    assert account_of(engine, CHAIN, "bob").balance == WALLET_UNITS + 5
    feed(engine, shop.prepared("late", "later"))
    assert engine.head.id == shop.id("later")
    assert account_of(engine, CHAIN, "bob").balance == WALLET_UNITS


def test_recent_values_are_bounded_by_weight_and_the_used_ones_stay() -> None:
    recent: Recent[str, int] = Recent(10)
    recent.put("a", 1, 4)
    recent.put("b", 2, 4)
    assert recent.get("a") == 1
    recent.put("c", 3, 4)
    assert (recent.get("a"), recent.get("b"), recent.get("c")) == (1, None, 3)
    recent.put("huge", 4, 100)
    assert len(recent) == 1 and recent.get("huge") == 4
    recent.put("d", 5, 1)
    assert recent.get("huge") is None and recent.get("d") == 5


def test_decoded_transactions_are_kept_by_their_bytes_and_not_by_their_number() -> None:
    """One of 256 legs takes 47 kB decoded: 50,000 of them would be over 2 GB."""
    executor = new_engine(CHAIN)._chain.executor
    legs = tuple(Leg(number.to_bytes(20, "big"), 1) for number in range(MAX_LEGS))
    large = sign_transaction(
        CHAIN.accounts[0],
        CHAIN.rules,
        nonce=0,
        expiry_slot=1_000,
        fee=None,
        kind=BATCH_TRANSFER,
        payload_record=BatchTransfer(legs),
    )
    body = (large,) * 80
    body_bytes = 80 * len(large.raw)
    bodies = 2 * TRANSACTION_BYTES_KEPT // body_bytes
    for number in range(bodies):
        executor.remember_transactions(number.to_bytes(32, "big"), body)
    assert 0 < len(executor._transactions) * body_bytes <= TRANSACTION_BYTES_KEPT
    for number in range(bodies, bodies + 100_000):
        executor.remember_transactions(number.to_bytes(32, "big"), ())
    assert len(executor._transactions) <= 50_000
