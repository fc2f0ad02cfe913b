"""A state in chunks: all of them are the state, and none of them can be changed unnoticed."""

from random import Random

import pytest

from ledger.encoding import Codec
from ledger.errors import LedgerError
from ledger.state_commitment import StateTree
from ledger.state_snapshot import (
    CHUNK_CODEC,
    ChunkInvalid,
    StateChunk,
    chunk_count,
    chunk_level,
    make_chunks,
    verify_chunk,
)


def state(count: int, seed: int = 1) -> dict[bytes, bytes]:
    rng = Random(seed)
    return {rng.randbytes(rng.randint(1, 40)): rng.randbytes(rng.randint(0, 60)) for _ in range(count)}


@pytest.mark.parametrize(
    ("entries", "level"),
    [(0, 4), (1_000, 4), (1_001, 3), (16_000, 3), (16_001, 2), (1_000_000, 1), (10**9, 0)],
)
def test_chunks_have_a_thousand_entries_at_most_in_the_mean(entries: int, level: int) -> None:
    assert chunk_level(entries) == level
    if level:
        assert entries <= 1_000 * chunk_count(level)


@pytest.mark.parametrize("count", [0, 1, 900, 5_000, 20_000])
def test_all_chunks_together_are_the_state(count: int) -> None:
    before = state(count)
    tree = StateTree.build(before.items())
    level = chunk_level(len(tree))
    after: dict[bytes, bytes] = {}
    chunks = list(make_chunks(tree, before.items()))
    assert [chunk.number for chunk in chunks] == list(range(chunk_count(level)))
    for chunk in chunks:
        again = CHUNK_CODEC.decode(CHUNK_CODEC.encode(chunk))
        verify_chunk(tree.root, level, again)
        after.update(again.entries)
    assert after == before


def refused(root: bytes, level: int, raw: bytes, codec: Codec[StateChunk] = CHUNK_CODEC) -> bool:
    try:
        verify_chunk(root, level, codec.decode(raw))
    except LedgerError:
        return True
    return False


@pytest.mark.parametrize("count", [300, 3_000])
def test_a_changed_byte_anywhere_is_noticed(count: int) -> None:
    entries = state(count)
    tree = StateTree.build(entries.items())
    level = chunk_level(len(tree))
    rng = Random(count)
    raw = CHUNK_CODEC.encode(rng.choice(list(make_chunks(tree, entries.items()))))
    assert not refused(tree.root, level, raw)
    for position in rng.sample(range(len(raw)), 200):
        changed = bytearray(raw)
        changed[position] ^= 1 << rng.randrange(8)
        assert refused(tree.root, level, bytes(changed)), position


def test_a_chunk_in_which_something_is_missing_added_moved_or_doubled_is_refused() -> None:
    entries = state(3_000)
    tree = StateTree.build(entries.items())
    level = chunk_level(len(tree))
    first, second = list(make_chunks(tree, entries.items()))[:2]
    verify_chunk(tree.root, level, first)
    for wrong in (
        StateChunk(0, first.entries[1:], first.siblings),
        StateChunk(0, (*first.entries, second.entries[0]), first.siblings),
        StateChunk(0, (first.entries[1], first.entries[0], *first.entries[2:]), first.siblings),
        StateChunk(0, (first.entries[0], *first.entries), first.siblings),
        StateChunk(1, first.entries, first.siblings),
        StateChunk(0, first.entries, second.siblings),
        StateChunk(0, first.entries, first.siblings[:-1]),
        StateChunk(0, second.entries, second.siblings),
        StateChunk(16, first.entries, first.siblings),
    ):
        with pytest.raises(ChunkInvalid):
            verify_chunk(tree.root, level, wrong)
    with pytest.raises(ChunkInvalid):
        verify_chunk(tree.root, level - 1, first)
