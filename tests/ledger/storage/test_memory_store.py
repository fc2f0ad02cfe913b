"""What only the in-memory store promises: cheap snapshots and an exact size."""

import gc

from ledger.storage.memory import MemoryStore
from ledger.storage.store import WriteBatch


def filled(count: int) -> MemoryStore:
    store = MemoryStore()
    store.write(WriteBatch({b"n%06d" % number: b"value" for number in range(count)}), sync=False)
    return store


def test_size_is_the_sum_of_key_and_value_lengths() -> None:
    store = filled(10)
    assert store.size_bytes() == 10 * (7 + 5)
    store.write(WriteBatch({b"n000000": None, b"n000001": b"v", b"absent": None}), sync=False)
    assert store.size_bytes() == 8 * (7 + 5) + 7 + 1


def test_snapshot_keeps_only_what_changed_since() -> None:
    store = filled(10_000)
    snapshot = store.snapshot()
    for number in range(20):
        store.write(WriteBatch({b"n000001": b"%d" % number, b"new": b""}), sync=False)
    assert dict(snapshot._before) == {b"n000001": b"value", b"new": None}


def test_dropped_snapshots_and_iterations_are_forgotten() -> None:
    store = filled(100)
    snapshot = store.snapshot()
    finished, abandoned, unstarted = (store.iterate(b"n") for _ in range(3))
    assert len(list(finished)) == 100
    next(abandoned)
    assert len(store._views) == 3
    del snapshot, finished, abandoned, unstarted
    gc.collect()
    assert len(store._views) == 0


def test_snapshot_passes_over_long_runs_of_newer_and_deleted_keys() -> None:
    store = filled(3_000)
    before = list(store.iterate(b""))
    snapshot = store.snapshot()
    store.write(WriteBatch({b"n%06d" % number: None for number in range(100, 2_900)}), sync=False)
    store.write(WriteBatch({b"n%06dx" % number: b"newer" for number in range(3_000)}), sync=False)
    assert list(snapshot.iterate(b"")) == before
    assert list(snapshot.iterate(b"n", reverse=True)) == before[::-1]
