"""One DAG, any order of arrival, any process: one sink, one order, one state, the same receipts."""

import subprocess
import sys
from functools import cache
from pathlib import Path
from random import Random

import pytest
from builders.chain import (
    Workshop,
    devnet,
    feed,
    feed_in_batches,
    new_engine,
    picture,
    random_workshop,
    shuffled_topologically,
    state_of,
)

from ledger.execution import SKIPPED
from ledger.storage.memory import MemoryStore

CHAIN = devnet()
SEEDS = range(40)
ORDERS = 5

ROOT = Path(__file__).parents[2]


@cache
def workshop_of(seed: int) -> Workshop:
    return random_workshop(seed, chain=CHAIN, slots=3 + seed % 4, faulty=0.05 if seed % 4 == 0 else 0.0)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_arrival_order_gives_one_sink_one_order_one_state_and_equal_receipts(seed: int) -> None:
    shop = workshop_of(seed)
    expected, state = picture(shop.engine), state_of(shop.engine)
    blocks = shop.prepared()
    for order in range(ORDERS):
        rng = Random(seed * ORDERS + order)
        engine = new_engine(CHAIN)
        feed_in_batches(engine, shuffled_topologically(blocks, rng), rng, greatest=1 + order * 3)
        assert picture(engine) == expected
        assert state_of(engine) == state


def test_the_random_dags_hold_what_they_are_meant_to_try() -> None:
    skipped = reds = doubled = reorganised = wide = 0
    for seed in SEEDS:
        shop = workshop_of(seed)
        dag = shop.engine.stores.dag
        chain = set(picture(shop.engine).chain)
        for receipts in picture(shop.engine).receipts:
            skipped += sum(receipt.status == SKIPPED for receipt in receipts)
        for block in shop.blocks.values():
            reds += bool(dag.data.get(block.header_id).mergeset_reds)
            wide += len(block.header.parents) > 3
        doubled += any(name.endswith(".1") for name in shop.blocks)
        executed = sum(
            shop.engine.stores.ledger.undo(block.header_id) is not None for block in shop.blocks.values()
        )
        reorganised += executed > len(chain)
    assert skipped > 100 and reds > 5 and doubled > 5 and reorganised > 20 and wide > 100


@pytest.mark.parametrize("seed", range(3))
def test_restarts_at_any_point_equal_never_restarting(seed: int) -> None:
    shop = random_workshop(seed, chain=CHAIN, slots=6)
    rng = Random(seed)
    store = MemoryStore()
    engine = new_engine(CHAIN, store)
    for block in shuffled_topologically(shop.prepared(), rng):
        if rng.random() < 0.3:
            engine = new_engine(CHAIN, store)
        feed(engine, [block])
    assert picture(engine) == picture(shop.engine)
    assert state_of(engine) == state_of(shop.engine)


def test_a_second_instance_fed_from_the_first_ones_store_agrees() -> None:
    from builders.chain import prepare

    from consensus.stores import blocks_by_slot, read_block

    shop = random_workshop(77, chain=CHAIN)
    store = shop.engine.stores.store
    second = new_engine(CHAIN)
    for entry in blocks_by_slot(store, first_slot=1):
        block = read_block(store, entry.block_id)
        assert block is not None
        feed(second, [prepare(CHAIN, block)])
    assert picture(second) == picture(shop.engine)


PROGRAM = """
from builders.chain import devnet, feed, new_engine, propose_slot, random_workshop
chain = devnet()
shop = random_workshop(5, chain=chain, slots=4)
engine = new_engine(chain)
feed(engine, shop.prepared())
for slot in range(6, 8):
    propose_slot(engine, chain, slot)
print(engine.head.id.hex(), engine.head.state_root.hex())
"""


def test_L16_hash_randomisation_changes_nothing() -> None:
    outputs = set()
    for seed in range(4):
        result = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            cwd=ROOT,
            env={"PYTHONHASHSEED": str(seed), "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
            capture_output=True,
            text=True,
            check=True,
        )
        outputs.add(result.stdout)
    assert len(outputs) == 1
