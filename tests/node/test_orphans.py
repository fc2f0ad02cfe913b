"""Orphans and future blocks: bounded, and released when their time comes."""

import pytest
from builders.chain import Workshop, devnet

from node.orphans import (
    MAX_ORPHANS,
    MAX_ORPHANS_PER_PEER,
    ORPHAN_LIFETIME_S,
    ORPHAN_PATIENCE_S,
    FutureBlock,
    FutureBlocks,
    Orphan,
    OrphanPool,
    PostponedBlocks,
)


@pytest.fixture(scope="module")
def shop() -> Workshop:
    made = Workshop(devnet())
    made.script("a1: genesis; b1: genesis; a2: a1 b1; a3: a2; a4: a3")
    return made


def orphan(shop: Workshop, name: str, peer: str = "peer", size: int = 500) -> Orphan:
    return Orphan(shop.prepared(name)[0], peer, size, 0)


class Numbered:
    """Stands for a prepared block where only the id counts."""

    def __init__(self, number: int) -> None:
        self.block_id = number.to_bytes(32, "big")


def numbered(number: int, peer: str, size: int = 500) -> Orphan:
    return Orphan(Numbered(number), peer, size, 0)  # type: ignore[arg-type]


def test_a_block_waits_for_all_its_parents(shop: Workshop) -> None:
    pool = OrphanPool()
    assert pool.add(orphan(shop, "a2"), [shop.id("a1"), shop.id("b1")], 0) == (shop.id("a1"), shop.id("b1"))
    assert pool.arrived(shop.id("a1")) == ()
    assert [one.prepared.block_id for one in pool.arrived(shop.id("b1"))] == [shop.id("a2")]
    assert len(pool) == pool.size_bytes == 0


def test_parents_that_wait_themselves_are_not_asked_for(shop: Workshop) -> None:
    pool = OrphanPool()
    pool.add(orphan(shop, "a3"), [shop.id("a2")], 0)
    assert pool.add(orphan(shop, "a4"), [shop.id("a3")], 0) == ()


def test_a_refused_block_takes_its_descendants_along(shop: Workshop) -> None:
    pool = OrphanPool()
    pool.add(orphan(shop, "a3"), [shop.id("a2")], 0)
    pool.add(orphan(shop, "a4"), [shop.id("a3")], 0)
    assert pool.refused(shop.id("a2")) == (shop.id("a3"), shop.id("a4"))
    assert len(pool) == pool.size_bytes == 0


def test_L10_one_peer_holds_at_most_64_orphans_and_loses_its_oldest() -> None:
    pool = OrphanPool()
    pool.add(numbered(5_000, "other"), [b"x"], 0)
    for number in range(MAX_ORPHANS_PER_PEER + 10):
        pool.add(numbered(number, "flooder"), [b"parent"], 0)
    assert len(pool) == MAX_ORPHANS_PER_PEER + 1
    assert Numbered(9).block_id not in pool and Numbered(10).block_id in pool
    assert Numbered(5_000).block_id in pool


def test_L10_all_peers_together_hold_at_most_512_orphans() -> None:
    pool = OrphanPool()
    for number in range(2 * MAX_ORPHANS):
        pool.add(numbered(number, f"peer {number % 40}"), [b"parent"], 0)
    assert len(pool) == MAX_ORPHANS


def test_L10_orphans_take_at_most_64_mib() -> None:
    pool = OrphanPool()
    for number in range(200):
        pool.add(numbered(number, f"peer {number % 40}", size=512 * 1024), [b"parent"], 0)
        assert pool.size_bytes <= 64 * 1024 * 1024
    assert len(pool) == 128


def test_L10_orphans_expire_after_a_minute() -> None:
    pool = OrphanPool()
    pool.add(numbered(1, "peer"), [b"parent"], 0)
    pool.add(numbered(2, "peer"), [b"parent"], 30)
    assert pool.expire(ORPHAN_LIFETIME_S - 0.1) == ()
    assert pool.expire(ORPHAN_LIFETIME_S) == (Numbered(1).block_id,)
    assert pool.arrived(b"parent")[0].prepared.block_id == Numbered(2).block_id


def test_the_senders_of_orphans_that_fetching_does_not_help_are_named_once() -> None:
    pool = OrphanPool()
    for number, peer in enumerate(("one", "one", "two", "three")):
        pool.add(numbered(number, peer), [b"parent"], 0.1 * number)
    assert pool.overdue(ORPHAN_PATIENCE_S - 0.1) == ()
    assert pool.overdue(ORPHAN_PATIENCE_S + 0.2) == ("one", "two")


def test_L9_at_most_64_future_blocks_wait_and_the_farthest_leave() -> None:
    future = FutureBlocks()
    for slot in range(200, 100, -1):
        future.add(FutureBlock(b"", "peer", slot, slot.to_bytes(32, "big")))
    assert len(future) == 64
    assert [one.slot for one in future.due(103)] == [101, 102, 103]
    assert future.due(103) == ()
    assert max(one.slot for one in future.due(1_000)) == 164


def test_L10_orphans_up_to_the_finalised_slot_leave_with_what_waits_for_them(shop: Workshop) -> None:
    pool = OrphanPool()
    pool.add(orphan(shop, "a2"), [shop.id("a1")], 0)
    pool.add(orphan(shop, "a3"), [shop.id("a2")], 0)
    pool.add(orphan(shop, "a4"), [bytes(32)], 0)
    assert pool.drop_up_to(1) == ()
    assert pool.drop_up_to(2) == (shop.id("a2"), shop.id("a3"))
    assert shop.id("a4") in pool and len(pool) == 1
    assert pool.drop_up_to(4) == (shop.id("a4"),) and pool.size_bytes == 0


def test_a_postponed_block_is_tried_again_when_the_head_has_moved_for_as_long_as_it_lives(
    shop: Workshop,
) -> None:
    pool = PostponedBlocks()
    first, second = b"1" * 32, b"2" * 32
    pool.add(orphan(shop, "a1"), first, 100)
    assert pool.due(first, 101) == () and shop.id("a1") in pool
    (again,) = pool.due(second, 102)
    assert again.prepared.block_id == shop.id("a1") and len(pool) == 0
    pool.add(again, second, 103)
    assert pool.due(first, 100 + ORPHAN_LIFETIME_S) == () and len(pool) == 0


def test_postponed_blocks_are_bounded() -> None:
    pool = PostponedBlocks(limit=3)
    for number in range(5):
        pool.add(numbered(number, "peer"), bytes(32), 0)
    assert len(pool) == 3 and numbered(4, "peer").prepared.block_id in pool
