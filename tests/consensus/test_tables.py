"""Tables: what is staged is seen at once, reaches the store with the batch, and can be forgotten."""

import msgspec
import pytest

from consensus.errors import MissingRecord, RecordDamaged, WritesAreFinal
from consensus.tables import Table
from ledger.storage.memory import MemoryStore
from ledger.storage.store import WriteBatch


class Pair(msgspec.Struct, array_like=True, frozen=True):
    left: int
    right: bytes


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


def table_over(store: MemoryStore | None, capacity: int = 8) -> Table[Pair]:
    return Table("pairs", Pair, store=store, prefix=b"p", capacity=capacity)


def written(table: Table[Pair], store: MemoryStore) -> None:
    batch = WriteBatch()
    table.stage_into(batch)
    store.write(batch, sync=False)
    table.commit()


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_put_record_is_read_at_once(in_memory: bool) -> None:
    table = table_over(None if in_memory else MemoryStore())
    table.put(key(1), Pair(1, b"a"))
    assert table.get(key(1)) == table.find(key(1)) == Pair(1, b"a")
    assert table.has(key(1))


@pytest.mark.parametrize("in_memory", [True, False])
def test_an_absent_record_is_none_or_an_error_as_asked(in_memory: bool) -> None:
    table = table_over(None if in_memory else MemoryStore())
    assert table.find(key(1)) is None
    assert not table.has(key(1))
    with pytest.raises(MissingRecord) as caught:
        table.get(key(1))
    assert caught.value.key == key(1)


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_deleted_record_is_absent(in_memory: bool) -> None:
    table = table_over(None if in_memory else MemoryStore())
    table.put(key(1), Pair(1, b"a"))
    table.delete(key(1))
    table.delete(key(2))
    assert table.find(key(1)) is None


def test_the_store_sees_nothing_before_the_batch() -> None:
    store = MemoryStore()
    table = table_over(store)
    table.put(key(1), Pair(1, b"a"))
    assert table_over(store).find(key(1)) is None


def test_a_written_record_is_read_by_a_new_table() -> None:
    store = MemoryStore()
    table = table_over(store)
    table.put(key(1), Pair(7, b"seven"))
    written(table, store)
    assert table_over(store).get(key(1)) == Pair(7, b"seven")
    assert list(table_over(store).stored_keys()) == [key(1)]


def test_a_deletion_reaches_the_store() -> None:
    store = MemoryStore()
    table = table_over(store)
    table.put(key(1), Pair(7, b"seven"))
    written(table, store)
    table.delete(key(1))
    assert table.find(key(1)) is None
    written(table, store)
    assert table_over(store).find(key(1)) is None


def test_discard_returns_to_what_is_stored() -> None:
    store = MemoryStore()
    table = table_over(store)
    table.put(key(1), Pair(1, b"old"))
    table.put(key(2), Pair(2, b"old"))
    written(table, store)
    table.put(key(1), Pair(1, b"new"))
    table.delete(key(2))
    table.put(key(3), Pair(3, b"new"))
    table.discard()
    assert table.get(key(1)) == Pair(1, b"old")
    assert table.get(key(2)) == Pair(2, b"old")
    assert table.find(key(3)) is None
    batch = WriteBatch()
    table.stage_into(batch)
    assert len(batch) == 0


def test_staged_records_survive_eviction() -> None:
    table = table_over(MemoryStore(), capacity=4)
    for number in range(50):
        table.put(key(number), Pair(number, b""))
    assert [table.get(key(number)).left for number in range(50)] == list(range(50))


def test_a_staged_deletion_survives_eviction() -> None:
    store = MemoryStore()
    table = table_over(store, capacity=4)
    table.put(key(0), Pair(0, b""))
    written(table, store)
    table.delete(key(0))
    for number in range(1, 20):
        table.put(key(number), Pair(number, b""))
    assert table.find(key(0)) is None


def test_an_overwritten_record_never_shows_its_old_value_after_eviction() -> None:
    store = MemoryStore()
    table = table_over(store, capacity=4)
    for turn in range(6):
        for number in range(7):
            table.put(key(number), Pair(turn, b""))
            earlier = (number * 3) % 7
            expected = turn if earlier <= number else turn - 1
            if expected >= 0:
                assert table.get(key(earlier)).left == expected
        written(table, store)
        assert {table.get(key(number)).left for number in range(7)} == {turn}


def test_no_more_records_than_the_capacity_stay_in_memory() -> None:
    store = MemoryStore()
    table = table_over(store, capacity=10)
    for number in range(200):
        table.put(key(number), Pair(number, b""))
    written(table, store)
    for number in range(200):
        table.get(key(number))
    assert len(table.cache) + len(table._older) <= 10


def test_bytes_that_are_no_record_are_named() -> None:
    store = MemoryStore()
    batch = WriteBatch()
    batch.put(b"p" + key(1), b"\xc1")
    store.write(batch, sync=False)
    with pytest.raises(RecordDamaged, match="pairs"):
        table_over(store).get(key(1))


def test_discarding_in_memory_is_refused() -> None:
    table = table_over(None)
    table.put(key(1), Pair(1, b""))
    with pytest.raises(WritesAreFinal):
        table.discard()
    assert table.has(key(1))
