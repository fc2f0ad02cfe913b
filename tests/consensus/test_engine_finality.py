"""Finality inside the engine: it follows the sink, filters tips, survives restarts, and halts on a contradiction."""

from random import Random

import pytest
from builders.blocks import STAKE_UNITS, found_chain
from builders.chain import (
    Workshop,
    feed,
    feed_in_batches,
    new_engine,
    picture,
    shuffled_topologically,
)
from builders.finality import Life, checkpoint_of, schedule_of, sign_for
from faults.faulty_store import Crash, FaultyDisk

from consensus.certificates import verify_certificate
from consensus.engine import Engine
from consensus.errors import EngineHalted, FinalityConflict
from consensus.events import ChainAdvanced, PeriodFinalised, PeriodJustified
from consensus.finality_proofs import read_conflict
from consensus.opening import check_identity
from consensus.stores import (
    FINALISED_KEY,
    FINALITY_PREFIX,
    read_certificate,
    read_finalised,
    read_finality,
    read_finality_status,
    read_latest_certificate,
    read_votes,
)
from consensus.votes import Checkpoint
from ledger.storage.errors import StoreCorrupted, StoreWriteFailed
from ledger.storage.memory import MemoryStore
from ledger.storage.store import WriteBatch

CHAIN = found_chain(6)


def living(until: int = 40) -> Life:
    life = Life(CHAIN)
    life.live(until)
    return life


LIFE = living()


def all_views(engine: Engine) -> dict[bytes, object]:
    store = engine.stores.store
    return dict(store.iterate(FINALITY_PREFIX))


def test_a_block_is_final_within_twentythree_slots() -> None:
    finalised = [event for event in LIFE.events if isinstance(event, PeriodFinalised)]
    headers = LIFE.engine.stores.headers
    for event in finalised:
        assert event.at_slot - headers.get(event.checkpoint.block_id).slot <= 23
    assert [event.checkpoint.period for event in finalised] == [1, 2, 3]


def test_the_status_is_what_the_engine_says() -> None:
    engine = LIFE.engine
    status = read_finality_status(engine.stores.store)
    assert status is not None
    assert (status.justified, status.finalised) == (engine.justified, engine.finalised)
    assert read_finalised(engine.stores.store) == engine.finalised == LIFE.checkpoint(3)


def test_every_certificate_verifies_and_is_stored_by_period() -> None:
    store = LIFE.engine.stores.store
    events = [event.certificate for event in LIFE.events if isinstance(event, PeriodJustified)]
    assert [certificate.target.period for certificate in events] == [1, 2, 3, 4]
    for certificate in events:
        schedule = schedule_of(LIFE.engine, certificate.target)
        verify_certificate(certificate, schedule, CHAIN.params.genesis_hash)
        assert read_certificate(store, certificate.target.period) == certificate
    assert read_latest_certificate(store) == events[-1]
    assert read_certificate(store, 5) is None


def test_any_arrival_order_gives_the_same_views_finality_and_chain() -> None:
    rng = Random(7)
    expected = picture(LIFE.engine), all_views(LIFE.engine), LIFE.engine.finalised, LIFE.engine.justified
    for _ in range(5):
        engine = new_engine(CHAIN)
        feed_in_batches(engine, shuffled_topologically(LIFE.blocks, rng), rng, greatest=20)
        assert (picture(engine), all_views(engine), engine.finalised, engine.justified) == expected


def test_a_restart_after_every_few_blocks_changes_nothing() -> None:
    store = MemoryStore()
    for at in range(0, len(LIFE.blocks), 7):
        engine = new_engine(CHAIN, store)
        feed(engine, LIFE.blocks[at : at + 7])
    assert picture(engine) == picture(LIFE.engine)
    assert all_views(engine) == all_views(LIFE.engine)
    assert (engine.finalised, engine.justified) == (LIFE.engine.finalised, LIFE.engine.justified)
    again = new_engine(CHAIN, store)
    assert (again.finalised, again.justified) == (engine.finalised, engine.justified)


def test_votes_are_served_with_their_blocks() -> None:
    carrying = [block for block in LIFE.blocks if block.block.votes]
    assert carrying
    for block in carrying:
        assert read_votes(LIFE.engine.stores.store, block.block_id) == block.block.votes


def test_nothing_is_finalised_while_two_of_six_are_silent_and_order_goes_on() -> None:
    life = Life(CHAIN)
    life.live(40, voters=range(4))
    assert life.engine.justified.period == life.engine.finalised.period == 0
    assert life.engine.head.slot == 40
    life.live(64)
    assert life.engine.finalised.period >= 6


def test_the_justified_period_stands_before_work_in_order() -> None:
    life = living(20)
    engine = life.engine
    block = engine.head.id
    key = engine.stores.dag.order_key(block)
    assert key[0] == engine.justified.period == 2
    assert key[1] == engine.head.blue_work


def forked(votes_for: str) -> tuple[Workshop, str]:
    """Chain a of few blocks whose votes justify period 2, and the heavier chain b without votes; both on `base`."""
    shop = Workshop(CHAIN)
    shop.make("base", ["genesis"], slot=1, band=0)
    last = "base"
    for slot in (9, 18, 19, 20):
        votes = ()
        if slot == 19 and votes_for == "a":
            target = checkpoint_of(shop.engine, 2, shop.id(last))
            source = checkpoint_of(shop.engine, 0, shop.id(last))
            votes = tuple(sign_for(shop.engine, CHAIN, one, source, target) for one in range(6))
        shop.make(f"a{slot}", [last], slot=slot, band=0, votes=votes)
        last = f"a{slot}"
    last = "base"
    for slot in range(8, 21):
        shop.make(f"b{slot}", [last], slot=slot, band=1)
        last = f"b{slot}"
    return shop, last


def test_a_justified_chain_beats_a_heavier_one() -> None:
    shop, _ = forked("a")
    assert shop.name(shop.engine.head.id) == "a20"
    plain, _ = forked("nobody")
    assert plain.name(plain.engine.head.id) == "b20"


def test_votes_count_for_the_child_and_not_for_the_block_that_carries_them() -> None:
    shop, _ = forked("a")
    views = {name: shop.engine.stores.finality.get(shop.id(name)).view for name in ("a19", "a20")}
    assert views["a19"].justified.period == 0
    assert views["a20"].justified.period == 2


def test_votes_that_no_block_carries_change_nothing() -> None:
    engine = new_engine(CHAIN)
    feed(engine, LIFE.blocks[:6])
    before = engine.head.id, engine.justified
    proposer = engine.schedule.proposer(5, 0) or 0
    engine.build_block(5, 0, proposer, (), LIFE.votes, reveal=CHAIN.reveal(proposer, 5))
    assert (engine.head.id, engine.justified) == before


def test_L14_a_chain_without_the_finalised_block_is_never_selected() -> None:
    life = living()
    engine, shop = life.engine, Workshop(CHAIN)
    feed(shop.engine, life.blocks[:2])  # slot 1
    finalised, head = engine.finalised, engine.head.id
    shop.blocks = {"root": life.blocks[0].block}
    last = "root"
    for slot in range(2, 90):  # heavier than 80 blocks, without a vote
        shop.make(f"w{slot}", [last], slot=slot, band=1)
        last = f"w{slot}"
    for name in [name for name in shop.blocks if name != "root"]:
        engine.process_blocks(shop.prepared(name))
    assert engine.head.id == head
    assert engine.finalised == finalised
    assert engine.stores.dag.data.get(shop.id(last)).blue_work > engine.head.blue_work
    template = life.propose(95, 0)
    assert engine.stores.dag.reachability.is_chain_ancestor(
        finalised.block_id, engine.stores.dag.relations.parents.get(head)[0]
    )
    assert shop.id(last) not in template.block.header.parents


def test_L14_not_even_a_higher_justified_chain_without_the_finalised_block_is_selected() -> None:
    """Everybody breaks the rules (2 -> 5 surrounds 3 -> 4): the other chain is greater in ORDER and is not followed."""
    life = living(36)
    engine = life.engine
    assert (engine.justified.period, engine.finalised.period) == (4, 3)
    shop = Workshop(CHAIN)
    early = [block for block in life.blocks if block.block.header.slot < 16]
    feed(shop.engine, early)
    shop.blocks["base"] = next(block.block for block in early if block.block_id == shop.engine.head.id)
    last, source = "base", checkpoint_of(shop.engine, 1)
    assert source == life.checkpoint(1)
    shop.make("x17", [last], slot=17, band=2)
    shop.make("x33", ["x17"], slot=33, band=2)
    target = checkpoint_of(shop.engine, 5)
    votes = [sign_for(shop.engine, CHAIN, one, source, target) for one in range(6)]
    shop.make("x43", ["x33"], slot=43, band=2, votes=votes)
    shop.make("x44", ["x43"], slot=44, band=2)
    assert shop.engine.justified.period == 5
    head = engine.head.id
    feed(engine, shop.prepared("x17", "x33", "x43", "x44"))
    assert engine.stores.dag.order_key(shop.id("x44")) > engine.stores.dag.order_key(head)
    assert engine.head.id == head
    assert life.propose(45, 0).block.header.blue_score > shop.blocks["x44"].header.blue_score


def test_L13_the_merge_root_is_the_finalised_checkpoint_where_that_is_later() -> None:
    engine = LIFE.engine
    finalised = engine.stores.finality.get(engine.head.id).view.finalised
    assert finalised.period == 3
    assert engine._merge_roots.root(engine.head.id) == finalised.block_id
    assert engine._merge_roots.root(LIFE.blocks[3].block_id) == engine.genesis_id


def contradiction() -> tuple[Workshop, Workshop]:
    """Two chains from genesis, each with votes of everybody that finalise its checkpoint of period 2."""
    shops = []
    for band in (0, 1):
        shop = Workshop(CHAIN)
        last = "genesis"
        source = Checkpoint(0, shop.engine.genesis_id)
        for slot in (1, 8, 9, 16, 17, 19, 25, 27, 28):
            votes = ()
            if slot in (19, 27):
                target = checkpoint_of(shop.engine, slot // 8, shop.id(last))
                votes = tuple(sign_for(shop.engine, CHAIN, one, source, target) for one in range(6))
                source = target
            shop.make(f"{band}.{slot}", [last], slot=slot, band=band, votes=votes)
            last = f"{band}.{slot}"
        assert shop.engine.finalised.period == 2
        shops.append(shop)
    return shops[0], shops[1]


def test_L14_a_second_finality_halts_with_both_proofs_and_switches_nothing() -> None:
    one, other = contradiction()
    store = MemoryStore()
    engine = new_engine(CHAIN, store)
    feed(engine, one.prepared())
    head, finalised = engine.head, engine.finalised
    with pytest.raises(FinalityConflict):
        feed(engine, other.prepared())
    assert (engine.head, engine.finalised) == (head, finalised)
    with pytest.raises(EngineHalted):
        engine.process_blocks(())
    record = read_conflict(store)
    assert record is not None
    assert record.ours.checkpoint == one.engine.finalised
    assert record.theirs.checkpoint == other.engine.finalised
    for shop, proof in ((one, record.ours), (other, record.theirs)):
        justifying, finalising = proof.certificates
        assert justifying.target == finalising.source == proof.checkpoint
        assert finalising.target.period == proof.checkpoint.period + 1
        for certificate in proof.certificates:
            verify_certificate(
                certificate, schedule_of(shop.engine, certificate.target), CHAIN.params.genesis_hash
            )
    check_identity(store, CHAIN.genesis, "here")
    with pytest.raises(FinalityConflict):
        new_engine(CHAIN, store)


def test_finality_never_falls_when_a_chain_wins_whose_view_has_less_of_it() -> None:
    """The link 3 -> 5 outdoes 3 -> 4 in ORDER, contains the finalised checkpoint 3, and finalises nothing itself."""
    life = living(36)
    engine = life.engine
    assert (engine.justified.period, engine.finalised.period) == (4, 3)
    shop = Workshop(CHAIN)
    feed(shop.engine, [block for block in life.blocks if block.block.header.slot < 35])
    head = shop.engine.head.id
    shop.blocks["base"] = next(block.block for block in life.blocks if block.block_id == head)
    source, target = shop.engine.justified, checkpoint_of(shop.engine, 5)
    votes = [sign_for(shop.engine, CHAIN, one, source, target) for one in range(6)]
    shop.make("d43", ["base"], slot=43, band=0, votes=votes)
    shop.make("d44", ["d43"], slot=44, band=0)
    feed(engine, shop.prepared("d43", "d44"))
    assert engine.head.id == shop.id("d44")
    assert engine.stores.finality.get(engine.head.id).view.finalised.period == 2
    assert (engine.justified.period, engine.finalised.period) == (5, 3)
    again = new_engine(CHAIN, engine.stores.store)
    assert (again.justified, again.finalised) == (engine.justified, engine.finalised)


def test_a_store_without_its_finality_records_is_refused() -> None:
    content = dict(LIFE.engine.stores.store.iterate(b""))
    for key in (FINALISED_KEY, FINALITY_PREFIX + LIFE.engine.head.id):
        store = MemoryStore()
        store.write(WriteBatch({one: value for one, value in content.items() if one != key}), sync=True)
        with pytest.raises(StoreCorrupted):
            new_engine(CHAIN, store)


@pytest.mark.parametrize("kind", list(Crash))
def test_a_crash_at_any_write_leaves_the_finality_of_an_earlier_call(kind: Crash) -> None:
    batches = [LIFE.blocks[at : at + 12] for at in range(0, len(LIFE.blocks), 12)]
    twin = new_engine(CHAIN)
    known = [(twin.justified, twin.finalised)]
    for batch in batches:
        twin.process_blocks(batch)
        known.append((twin.justified, twin.finalised))
    for failing in range(2, len(batches) + 2):
        disk = FaultyDisk(failing)
        disk.fail_write(failing)
        engine = new_engine(CHAIN, disk.open())
        done = 0
        with pytest.raises(StoreWriteFailed):  # noqa: PT012
            for batch in batches:
                engine.process_blocks(batch)
                done += 1
        disk.crash(kind)
        engine = new_engine(CHAIN, disk.open())
        assert (engine.justified, engine.finalised) in known[done : done + 2]
        feed_in_batches(engine, LIFE.blocks, Random(failing), greatest=30)
        assert (engine.justified, engine.finalised) == known[-1]
        assert all_views(engine) == all_views(LIFE.engine)


def test_every_block_has_a_finality_record() -> None:
    store = LIFE.engine.stores.store
    assert all(read_finality(store, block.block_id) is not None for block in LIFE.blocks)


def test_justified_and_finalised_are_told_after_the_advance_that_made_them() -> None:
    life = living(20)
    kinds = [
        type(event)
        for event in life.events
        if isinstance(event, (ChainAdvanced, PeriodJustified, PeriodFinalised))
    ]
    at = kinds.index(PeriodFinalised)
    assert kinds[at - 2 : at + 1] == [ChainAdvanced, PeriodJustified, PeriodFinalised]


def test_unequal_stakes_finalise_by_stake() -> None:
    chain = found_chain(stakes_units=[stake * STAKE_UNITS for stake in (5, 5, 5, 1, 1, 1)])
    life = Life(chain)
    bands = [band for band in (0, 1, 2, 3, 4, 5) if chain.schedule.of_epoch(0).bands[band]][:2]
    life.live(28, bands=bands, voters=(0, 1, 2, 3))
    assert life.engine.finalised.period == 0, "five bands must be lit, four are"
    life.live(52, bands=bands, voters=(0, 1, 2, 3, 4))
    assert life.engine.finalised.period >= 4
