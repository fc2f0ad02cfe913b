"""Crashes and damage: after any of them the disk holds the result of an earlier whole call, or is refused by name."""

from pathlib import Path
from random import Random

import pytest
from builders.chain import (
    FoundedChain,
    Picture,
    devnet,
    feed_in_batches,
    new_engine,
    picture,
    random_workshop,
    shuffled_topologically,
    state_of,
)
from faults.faulty_store import Crash, FaultyDisk

from consensus.engine import Engine
from consensus.errors import EngineHalted
from consensus.prepare import PreparedBlock
from consensus.stores import (
    BODIES_PREFIX,
    CHAIN_PREFIX,
    HEAD_KEY,
    HEADERS_PREFIX,
    IDENTITY_CODEC,
    IDENTITY_KEY,
    MERGED_PREFIX,
    SCHEMA_VERSION,
    Identity,
)
from ledger.storage.database import Database
from ledger.storage.errors import SchemaMismatch, StoreCorrupted, StoreWriteFailed, WrongGenesis
from ledger.storage.memory import MemoryStore
from ledger.storage.state_store import STATE_PREFIX
from ledger.storage.store import WriteBatch

CHAIN = devnet()
SHOP = random_workshop(31, chain=CHAIN, slots=4)
BLOCKS = shuffled_topologically(SHOP.prepared(), Random(1))


def batches_of(blocks: list[PreparedBlock]) -> list[list[PreparedBlock]]:
    """The blocks in calls of 1 to 5."""
    rng = Random(2)
    batches = []
    while blocks:
        size = rng.randint(1, 5)
        batches.append(blocks[:size])
        blocks = blocks[size:]
    return batches


BATCHES = batches_of(BLOCKS)


def pictures_after_each_call() -> list[Picture]:
    engine = new_engine(CHAIN)
    pictures = [picture(engine)]
    for batch in BATCHES:
        engine.process_blocks(batch)
        pictures.append(picture(engine))
    return pictures


PICTURES = pictures_after_each_call()


def content(store: MemoryStore) -> dict[bytes, bytes]:
    return dict(store.iterate(b""))


def store_of(entries: dict[bytes, bytes]) -> MemoryStore:
    store = MemoryStore()
    store.write(WriteBatch(dict(entries)), sync=True)
    return store


@pytest.mark.parametrize("kind", list(Crash))
def test_a_crash_at_any_commit_leaves_one_side_or_the_other_and_the_chain_goes_on(kind: Crash) -> None:
    for failing in range(len(BATCHES) + 1):
        disk = FaultyDisk(failing)
        disk.fail_write(failing + 1)
        done = -1
        try:
            engine = new_engine(CHAIN, disk.open())
            done = 0
            for batch in BATCHES:
                engine.process_blocks(batch)
                done += 1
        except StoreWriteFailed:
            assert done == failing - 1
        disk.crash(kind)
        engine = new_engine(CHAIN, disk.open())
        assert picture(engine) in (PICTURES[max(0, done)], PICTURES[min(done + 1, len(BATCHES))])
        feed_in_batches(engine, BLOCKS, Random(failing))
        assert picture(engine) == PICTURES[-1]
        assert state_of(engine) == state_of(SHOP.engine)
        assert disk.unsynced_batches() == 0


def test_every_batch_is_synced() -> None:
    disk = FaultyDisk(0)
    engine = new_engine(CHAIN, disk.open())
    for batch in BATCHES:
        engine.process_blocks(batch)
    assert disk.unsynced_writes == 0
    assert disk.synced_writes == len(BATCHES) + 1


def test_a_database_on_disk_is_continued_after_closing(tmp_path: Path) -> None:
    half = len(BATCHES) // 2
    for batches in (BATCHES[:half], BATCHES[half:]):
        database = Database(tmp_path / "db", schema_version=SCHEMA_VERSION, min_free_bytes=0)
        engine = new_engine(CHAIN, database)
        for batch in batches:
            engine.process_blocks(batch)
        database.close()
    assert picture_of_disk(tmp_path / "db") == PICTURES[-1]


def picture_of_disk(directory: Path) -> Picture:
    database = Database(directory, schema_version=SCHEMA_VERSION, min_free_bytes=0)
    try:
        return picture(new_engine(CHAIN, database))
    finally:
        database.close()


def test_a_write_failure_is_fatal_until_the_process_restarts() -> None:
    disk = FaultyDisk(4)
    engine = new_engine(CHAIN, disk.open())
    disk.fail_write(2)
    engine.process_blocks(BATCHES[0])
    with pytest.raises(StoreWriteFailed):
        engine.process_blocks(BATCHES[1])
    with pytest.raises(EngineHalted, match="No space left"):
        engine.process_blocks(BATCHES[1])


def full_store() -> dict[bytes, bytes]:
    store = MemoryStore()
    feed_in_batches(new_engine(CHAIN, store), BLOCKS, Random(3))
    return content(store)


FULL = full_store()


def test_a_store_of_another_genesis_is_refused_by_name() -> None:
    other: FoundedChain = devnet(validators=7)
    with pytest.raises(WrongGenesis):
        Engine.open(store_of(FULL), other.genesis, other.registry)


def test_a_store_of_another_schema_is_refused_by_name() -> None:
    later = IDENTITY_CODEC.encode(Identity(SCHEMA_VERSION + 1, CHAIN.params.genesis_hash))
    with pytest.raises(SchemaMismatch):
        new_engine(CHAIN, store_of({**FULL, IDENTITY_KEY: later}))
    with pytest.raises(SchemaMismatch):
        new_engine(CHAIN, store_of({b"zzz": b"something else"}))


def damaged(key: bytes, value: bytes | None) -> MemoryStore:
    entries = dict(FULL)
    if value is None:
        del entries[key]
    else:
        entries[key] = value
    return store_of(entries)


def flipped(value: bytes) -> bytes:
    return value[:-1] + bytes([value[-1] ^ 1])


STATE_KEYS = [key for key in FULL if key.startswith(STATE_PREFIX)]


@pytest.mark.parametrize("key", STATE_KEYS[::6])
def test_a_changed_or_lost_state_entry_is_found_at_opening(key: bytes) -> None:
    for value in (flipped(FULL[key]), None):
        with pytest.raises(StoreCorrupted, match="commits to"):
            new_engine(CHAIN, damaged(key, value))


@pytest.mark.parametrize(
    "prefix",
    [HEADERS_PREFIX, BODIES_PREFIX, CHAIN_PREFIX, MERGED_PREFIX, HEAD_KEY, b"cc", b"dg", b"dp", b"dc", b"di"],
)
def test_a_lost_record_is_found_at_opening(prefix: bytes) -> None:
    keys = [key for key in FULL if key.startswith(prefix)]
    assert keys
    if prefix == b"cc":
        keys.pop()  # without the last one it is the chain of an earlier call, by its own account
    for key in keys[::5]:
        with pytest.raises(StoreCorrupted):
            new_engine(CHAIN, damaged(key, None))


def test_a_lost_batch_in_the_middle_is_found_at_opening() -> None:
    """What reliability.md calls a hole: one call's batch is missing, later ones are there."""
    for lost in range(1, len(BATCHES) - 1):
        store = MemoryStore()
        engine = new_engine(CHAIN, store)
        for number, batch in enumerate(BATCHES):
            if number == lost:
                before = content(store)
                engine.process_blocks(batch)
                after = content(store)
            else:
                engine.process_blocks(batch)
        entries = content(store)
        for key in after:
            if key not in before:
                entries.pop(key, None)
        with pytest.raises(StoreCorrupted, match="commit"):
            new_engine(CHAIN, store_of(entries))
