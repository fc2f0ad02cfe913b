"""ORDER on the real network: work first, then the lane's rank, which nobody can grind; the id only within a lane."""

from builders.chain import Workshop, devnet

from consensus.order import lane_key
from wnsp.spectrum import BAND_COUNT

CHAIN = devnet()


def test_among_siblings_the_rank_of_the_lane_decides_and_not_the_id() -> None:
    for slot in range(1, 9):
        shop = Workshop(CHAIN)
        for band in range(BAND_COUNT):
            shop.make(f"s{band}", ["genesis"], slot=slot, band=band)
        ranks = {shop.id(f"s{band}"): CHAIN.schedule.lane_tie(slot, band) for band in range(BAND_COUNT)}
        assert shop.engine.head.id == max(ranks, key=ranks.__getitem__)


def test_the_content_of_a_block_does_not_move_it_past_another_lane() -> None:
    winners = set()
    for units in range(1, 6):
        shop = Workshop(CHAIN)
        shop.make("ground", ["genesis"], slot=1, band=0, pay=[("alice", "bob", units)])
        shop.make("plain", ["genesis"], slot=1, band=1)
        winners.add(shop.name(shop.engine.head.id))
    assert len(winners) == 1


def test_more_work_beats_every_rank() -> None:
    low, high = sorted(range(2), key=lambda band: CHAIN.schedule.lane_tie(1, band))
    shop = Workshop(CHAIN)
    shop.make("low", ["genesis"], slot=1, band=low)
    shop.make("high", ["genesis"], slot=1, band=high)
    assert shop.engine.head.id == shop.id("high")
    shop.make("lower", ["low"], slot=2, band=2)
    assert shop.engine.head.id == shop.id("lower")


def test_blocks_of_one_lane_are_ordered_by_id() -> None:
    shop = Workshop(CHAIN)
    for units in range(1, 5):
        shop.make(f"t{units}", ["genesis"], slot=1, band=0, pay=[("alice", "bob", units)])
    assert shop.engine.head.id == max(shop.id(name) for name in shop.blocks)


def test_genesis_has_no_lane() -> None:
    rules = Workshop(CHAIN).engine.stores.dag.rules
    assert rules.lane(CHAIN.genesis_block.header_id) is None
    assert lane_key(258, 3) == bytes([0, 0, 0, 0, 0, 0, 1, 2, 3])
