"""The commit chain: gaps and wrong links show, a lost suffix is none."""

import pytest

from consensus.commit_chain import (
    COMMITS_PREFIX,
    EMPTY,
    RECORDS_KEPT,
    CommitPoint,
    append_commit,
    batch_digest,
    read_commit_chain,
)
from consensus.errors import CommitChainBroken
from ledger.storage.memory import MemoryStore
from ledger.storage.store import WriteBatch


def store_with(commits: int) -> tuple[MemoryStore, CommitPoint]:
    store, point = MemoryStore(), EMPTY
    for number in range(commits):
        batch = WriteBatch()
        batch.put(b"k%d" % (number % 7), b"v%d" % number)
        point = append_commit(batch, point)
        store.write(batch, sync=True)
    return store, point


def key(sequence: int) -> bytes:
    return COMMITS_PREFIX + sequence.to_bytes(8, "big")


def change(store: MemoryStore, at: bytes, value: bytes | None) -> None:
    store.write(WriteBatch({at: value}), sync=True)


def test_an_empty_store_has_the_empty_chain() -> None:
    assert read_commit_chain(MemoryStore()) == EMPTY


@pytest.mark.parametrize("commits", [1, 2, 30, RECORDS_KEPT, RECORDS_KEPT + 1, RECORDS_KEPT + 40])
def test_reading_gives_the_last_point_and_the_records_are_bounded(commits: int) -> None:
    store, point = store_with(commits)
    assert read_commit_chain(store) == point and point.sequence == commits
    assert sum(1 for _ in store.iterate(COMMITS_PREFIX)) == min(commits, RECORDS_KEPT)


@pytest.mark.parametrize("commits", [30, RECORDS_KEPT + 40])
def test_a_missing_record_is_a_gap(commits: int) -> None:
    store, _ = store_with(commits)
    change(store, key(commits - 5), None)
    with pytest.raises(CommitChainBroken, match="missing"):
        read_commit_chain(store)


def test_missing_first_records_are_a_gap_too() -> None:
    store, _ = store_with(30)
    change(store, key(1), None)
    with pytest.raises(CommitChainBroken, match="expected 30"):
        read_commit_chain(store)


def test_a_lost_suffix_is_the_chain_of_an_earlier_call() -> None:
    store, _ = store_with(30)
    for sequence in (29, 30):
        change(store, key(sequence), None)
    assert read_commit_chain(store) == store_with(28)[1]


def test_a_changed_record_does_not_link() -> None:
    for position in (0, 31, 32, 63):
        store, _ = store_with(30)
        value = bytearray(store.get(key(9)) or b"")
        value[position] ^= 1
        change(store, key(9), bytes(value))
        with pytest.raises(CommitChainBroken, match="does not follow"):
            read_commit_chain(store)


def test_a_record_of_another_length_is_damage() -> None:
    store, _ = store_with(3)
    change(store, key(2), b"short")
    with pytest.raises(CommitChainBroken, match="5 bytes"):
        read_commit_chain(store)


def test_batches_that_differ_in_keys_values_or_deletions_have_different_digests() -> None:
    batches: list[dict[bytes, bytes | None]] = [
        {},
        {b"a": b"b"},
        {b"ab": b""},
        {b"a": None},
        {b"a": b""},
        {b"": b"ab"},
        {b"a": b"b", b"c": b""},
        {b"a": b"bc"},
    ]
    assert len({batch_digest(WriteBatch(writes)) for writes in batches}) == len(batches)
