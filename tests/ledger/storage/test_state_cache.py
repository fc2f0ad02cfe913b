"""The writer's cache: never another answer than the store's, never more than its capacity."""

from random import Random

import pytest

from ledger.storage.memory import MemoryStore
from ledger.storage.state_cache import StateCache
from ledger.storage.state_store import LedgerStore, StagedState
from ledger.storage.store import WriteBatch


class CountingReader:
    """A state that counts what is asked of it."""

    def __init__(self, values: dict[bytes, bytes]) -> None:
        self.values = values
        self.reads = 0

    def get(self, key: bytes) -> bytes | None:
        self.reads += 1
        return self.values.get(key)


def test_second_read_of_a_value_or_of_its_absence_stays_in_memory() -> None:
    below = CountingReader({b"k": b"v"})
    cache = StateCache(below, 10)
    assert [cache.get(b"k"), cache.get(b"k"), cache.get(b"no"), cache.get(b"no")] == [b"v", b"v", None, None]
    assert below.reads == 2


def test_filled_cache_reads_nothing() -> None:
    values = {b"%d" % number: b"v" for number in range(5)}
    below = CountingReader(values)
    cache = StateCache(below, 10)
    cache.fill(values.items())
    assert all(cache.get(key) == b"v" for key in values)
    assert below.reads == 0


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("capacity", [2, 3, 8, 1_000])
def test_cache_agrees_with_the_store_over_random_batches(seed: int, capacity: int) -> None:
    rng = Random(seed)
    store = MemoryStore()
    ledger = LedgerStore(store)
    cache = StateCache(ledger, capacity)
    keys = [b"m%d" % number for number in range(12)]
    for _ in range(100):
        batch = WriteBatch()
        staged = StagedState(cache, batch)
        for _ in range(rng.randrange(4)):
            key, value = rng.choice(keys), rng.choice((None, rng.randbytes(3)))
            batch.writes[b"s" + key] = value
            batch.writes[b"x" + key] = b"not state"
            assert staged.get(key) == value
        probe = rng.choice(keys)
        expected = batch.writes[b"s" + probe] if b"s" + probe in batch.writes else ledger.get(probe)
        assert staged.get(probe) == expected
        store.write(batch, sync=False)
        cache.written(batch)
        for key in rng.sample(keys, 5):
            assert cache.get(key) == ledger.get(key)
        assert len(cache) <= max(capacity, 2) + 1


def test_values_in_use_outlive_the_change_of_generations() -> None:
    below = CountingReader({b"hot": b"v"})
    cache = StateCache(below, 8)
    cache.get(b"hot")
    for number in range(100):
        cache.get(b"cold%d" % number)
        assert cache.get(b"hot") == b"v"
    assert below.reads == 1 + 100
