"""What every `Store` does alike: on disk, in memory, and the faulty one as long as no fault is asked for."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faults.faulty_store import FaultyDisk

from ledger.storage.database import Database
from ledger.storage.errors import ReservedKey, StoreClosed
from ledger.storage.memory import MemoryStore
from ledger.storage.store import Reader, Store, WriteBatch

MAKERS: dict[str, Callable[[Path], Store]] = {
    "database": lambda directory: Database(directory / "db", schema_version=1, genesis_hash=bytes(32)),
    "memory": lambda directory: MemoryStore(),
    "faulty": lambda directory: FaultyDisk(seed=1).open(),
}


@pytest.fixture(params=sorted(MAKERS))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened = MAKERS[request.param](tmp_path)
    yield opened
    opened.close()


def batch(**writes: bytes | None) -> WriteBatch:
    return WriteBatch({key.encode(): value for key, value in writes.items()})


def write(store: Store, **writes: bytes | None) -> None:
    store.write(batch(**writes), sync=False)


def numbered(store: Store, count: int) -> list[tuple[bytes, bytes]]:
    content = WriteBatch({b"n%04d" % number: b"%d" % number for number in range(count)})
    store.write(content, sync=False)
    return [(key, value) for key, value in content.writes.items() if value is not None]


def test_written_value_is_read_back_and_absent_key_is_none(store: Store) -> None:
    write(store, a=b"1", empty=b"")
    assert (store.get(b"a"), store.get(b"empty"), store.get(b"b")) == (b"1", b"", None)


def test_delete_removes_and_deleting_an_absent_key_is_no_error(store: Store) -> None:
    write(store, a=b"1")
    write(store, a=None, b=None)
    assert store.get(b"a") is None
    assert list(store.iterate(b"")) == []


def test_last_write_of_a_batch_wins(store: Store) -> None:
    content = batch(a=b"1", b=b"2")
    content.delete(b"a")
    later = WriteBatch()
    later.put(b"b", b"3")
    content.merge(later)
    store.write(content, sync=True)
    assert list(store.iterate(b"")) == [(b"b", b"3")]
    assert len(content) == 2


def test_empty_batch_is_accepted(store: Store) -> None:
    store.write(WriteBatch(), sync=True)
    assert list(store.iterate(b"")) == []


def test_iteration_orders_keys_as_unsigned_bytes(store: Store) -> None:
    keys = [b"\xff\xff", b"\x01", b"\x7f", b"\x80", b"\x80\x00", b"a", b"aa", b"\xff"]
    store.write(WriteBatch(dict.fromkeys(keys, b"v")), sync=False)
    assert [key for key, _ in store.iterate(b"")] == sorted(keys)
    assert [key for key, _ in store.iterate(b"", reverse=True)] == sorted(keys, reverse=True)


def test_prefix_of_0xff_bytes_has_no_upper_end(store: Store) -> None:
    keys = [b"\xfe", b"\xff", b"\xff\xff", b"\xff\xff\xff\x01"]
    store.write(WriteBatch(dict.fromkeys(keys, b"v")), sync=False)
    assert [key for key, _ in store.iterate(b"\xff\xff")] == keys[2:]
    assert [key for key, _ in store.iterate(b"\xff", reverse=True)] == keys[:0:-1]


@pytest.mark.parametrize(
    ("start", "reverse", "expected"),
    [
        (None, False, ["pa", "pb", "pc"]),
        (None, True, ["pc", "pb", "pa"]),
        (b"pb", False, ["pb", "pc"]),
        (b"pb", True, ["pb", "pa"]),
        (b"paa", False, ["pb", "pc"]),
        (b"paa", True, ["pa"]),
        (b"a", False, ["pa", "pb", "pc"]),
        (b"a", True, []),
        (b"z", False, []),
        (b"z", True, ["pc", "pb", "pa"]),
    ],
)
def test_start_is_inclusive_and_bounded_by_the_prefix(
    store: Store, start: bytes | None, reverse: bool, expected: list[str]
) -> None:
    write(store, o=b"", pa=b"", pb=b"", pc=b"", q=b"")
    assert [key.decode() for key, _ in store.iterate(b"p", start=start, reverse=reverse)] == expected


@pytest.mark.parametrize("reverse", [False, True])
def test_entry_whose_key_is_the_lower_bound_is_found(store: Store, reverse: bool) -> None:
    write(store, o=b"", p=b"1", q=b"")
    assert list(store.iterate(b"p", reverse=reverse)) == [(b"p", b"1")]


@pytest.mark.parametrize("reverse", [False, True])
def test_long_iteration_gives_every_entry_once(store: Store, reverse: bool) -> None:
    content = numbered(store, 3_000)
    assert list(store.iterate(b"n", reverse=reverse)) == (content[::-1] if reverse else content)


@pytest.mark.parametrize("reverse", [False, True])
def test_iteration_shows_the_content_at_its_call(store: Store, reverse: bool) -> None:
    content = numbered(store, 200)
    unstarted, started = (store.iterate(b"n", reverse=reverse) for _ in range(2))
    first = next(started)
    changes: dict[bytes, bytes | None] = {key: None for key, _ in content[::2]}
    changes |= {key: b"new" for key, _ in content[1::2]} | {key + b"x": b"new" for key, _ in content}
    store.write(WriteBatch(changes), sync=False)
    expected = content[::-1] if reverse else content
    assert [first, *started] == expected
    assert list(unstarted) == expected


def test_snapshot_is_unchanged_by_later_writes(store: Store) -> None:
    write(store, a=b"1", b=b"2")
    snapshot = store.snapshot()
    write(store, a=b"9", b=None, c=b"3")
    assert [snapshot.get(key) for key in (b"a", b"b", b"c")] == [b"1", b"2", None]
    assert list(snapshot.iterate(b"")) == [(b"a", b"1"), (b"b", b"2")]
    assert list(store.iterate(b"")) == [(b"a", b"9"), (b"c", b"3")]
    snapshot.close()


def test_closed_snapshot_refuses_reads_and_may_be_closed_again(store: Store) -> None:
    snapshot = store.snapshot()
    snapshot.close()
    snapshot.close()
    with pytest.raises(StoreClosed):
        snapshot.get(b"a")
    with pytest.raises(StoreClosed):
        snapshot.iterate(b"")


def test_closed_store_refuses_every_call_and_may_be_closed_again(store: Store) -> None:
    numbered(store, 100)
    snapshot = store.snapshot()
    running = store.iterate(b"n")
    next(running)
    store.close()
    store.close()
    calls: list[Callable[[], object]] = [
        lambda: store.get(b"a"),
        lambda: store.iterate(b""),
        lambda: store.write(batch(a=b"1"), sync=False),
        store.snapshot,
        store.size_bytes,
        lambda: snapshot.get(b"a"),
        lambda: snapshot.iterate(b""),
        lambda: list(running),
    ]
    for call in calls:
        with pytest.raises(StoreClosed):
            call()
    snapshot.close()


@pytest.mark.parametrize("key", [b"", b"\x00", b"\x00schema"])
def test_reserved_key_is_refused_and_the_batch_with_it(store: Store, key: bytes) -> None:
    content = batch(a=b"1")
    content.put(key, b"2")
    with pytest.raises(ReservedKey):
        store.write(content, sync=False)
    assert store.get(b"a") is None
    write(store, a=b"1")
    assert list(store.iterate(b"")) == [(b"a", b"1")]


def test_size_grows_with_content(store: Store) -> None:
    before = store.size_bytes()
    write(store, a=random.Random(1).randbytes(100_000))
    assert before + 100_000 <= store.size_bytes() < before + 200_000


@pytest.mark.parametrize("seed", range(4))
def test_random_history_agrees_with_a_dict(store: Store, seed: int) -> None:
    generator = random.Random(seed)
    model: dict[bytes, bytes] = {}
    views: list[tuple[Reader, dict[bytes, bytes]]] = [(store, model)]

    def random_key() -> bytes:
        return bytes([generator.randrange(1, 4)]) + generator.randbytes(generator.randrange(3)).replace(
            b"\x00", b""
        )

    for _ in range(150):
        content = WriteBatch()
        for _ in range(generator.randrange(6)):
            if generator.random() < 0.4:
                content.delete(random_key())
            else:
                content.put(random_key(), generator.randbytes(4))
        store.write(content, sync=False)
        for key, value in content.writes.items():
            if value is None:
                model.pop(key, None)
            else:
                model[key] = value
        if generator.random() < 0.1:
            views.append((store.snapshot(), dict(model)))
        if len(views) > 4:
            views.pop(generator.randrange(1, 5))
        reader, expected = generator.choice(views)
        prefix, start, reverse = random_key()[:2], random_key(), generator.random() < 0.5
        bounded = generator.random() < 0.5
        wanted = [
            item
            for item in sorted(expected.items(), reverse=reverse)
            if item[0].startswith(prefix)
            and (not bounded or (item[0] <= start if reverse else item[0] >= start))
        ]
        assert list(reader.iterate(prefix, start=start if bounded else None, reverse=reverse)) == wanted
        probe = random_key()
        assert reader.get(probe) == expected.get(probe)
