"""A state in chunks, each of which is verified by itself against the state root.

A chunk holds all entries of an aligned range of 16^m buckets of the `StateTree`, sorted by the digests of their keys,
and the digests beside the path from that range up to the root. m follows from the number of entries, so that a chunk
has 1,000 entries at most in the mean. Whoever has all chunks, each verified, has exactly the state of that root.
README, State snapshots.
"""

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Annotated, Final

import msgspec

from ledger.encoding import Codec, Count, Record
from ledger.errors import LedgerError
from ledger.hashing import DIGEST_BYTES
from ledger.state_commitment import (
    BUCKET_COUNT,
    DEPTH,
    FAN_OUT_BITS,
    SIBLINGS_BYTES,
    StateTree,
    bucket_index,
    range_digest,
    root_above,
)

CHUNK_ENTRIES = 1_000
"""Entries of a chunk in the mean, at most: about 60 kB of accounts."""

MAX_CHUNK_BYTES = 1024 * 1024
"""The largest reply of the network."""

MAX_CHUNK_ENTRIES = 16_384

StateEntry = tuple[bytes, bytes]
"""(state key, value)."""


class StateChunk(Record, frozen=True):
    """One range of buckets."""

    number: Count
    """Of the range: bucket index >> 4 m."""
    entries: Annotated[tuple[StateEntry, ...], msgspec.Meta(max_length=MAX_CHUNK_ENTRIES)]
    """Ascending by the BLAKE2b-256 digest of the key."""
    siblings: Annotated[
        tuple[Annotated[bytes, msgspec.Meta(min_length=SIBLINGS_BYTES, max_length=SIBLINGS_BYTES)], ...],
        msgspec.Meta(max_length=DEPTH),
    ]
    """From the range upwards, per node above it: its other 15 digests."""


CHUNK_CODEC: Final = Codec(StateChunk, "state chunk", MAX_CHUNK_BYTES)


class ChunkInvalid(LedgerError):
    """The chunk is no part of the state with this root."""

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(f"chunk {number} is refused: {reason}")
        self.number = number
        self.reason = reason


def chunk_level(entry_count: int) -> int:
    """m: a chunk covers 16^m buckets. At least 0 (beyond 65 million entries chunks are greater), at most 4: all."""
    level = DEPTH
    while level and entry_count << level * FAN_OUT_BITS > CHUNK_ENTRIES * BUCKET_COUNT:
        level -= 1
    return level


def chunk_count(level: int) -> int:
    """Chunks of a state, empty ones included."""
    return int(BUCKET_COUNT) >> level * FAN_OUT_BITS


def chunk_number(key: bytes, level: int) -> int:
    """The chunk that a state key belongs to."""
    return bucket_index(key_digest(key)) >> level * FAN_OUT_BITS


def key_digest(key: bytes) -> bytes:
    """What entries are sorted by, 32 bytes."""
    return blake2b(key, digest_size=DIGEST_BYTES).digest()


def make_chunk(tree: StateTree, level: int, number: int, entries: Iterable[StateEntry]) -> StateChunk:
    """The chunk of `entries`, all that `tree` has in that range, in any order."""
    ordered = sorted(entries, key=lambda entry: key_digest(entry[0]))
    return StateChunk(number, tuple(ordered), tree.siblings_above(level, number))


def make_chunks(tree: StateTree, entries: Iterable[StateEntry]) -> Iterator[StateChunk]:
    """All chunks of a small state, ascending. Holds every entry in memory."""
    level = chunk_level(len(tree))
    grouped: list[list[StateEntry]] = [[] for _ in range(chunk_count(level))]
    for key, value in entries:
        grouped[chunk_number(key, level)].append((key, value))
    for number, group in enumerate(grouped):
        yield make_chunk(tree, level, number, group)


def verify_chunk(root: bytes, level: int, chunk: StateChunk) -> None:
    """`chunk` holds everything that the state with `root` has in its range, and nothing else.

    Errors: `ChunkInvalid`.
    """
    if not 0 <= level <= DEPTH or chunk.number >= chunk_count(level):
        raise ChunkInvalid(chunk.number, f"there are {chunk_count(level)} chunks of level {level}")
    if len(chunk.siblings) != DEPTH - level:
        raise ChunkInvalid(
            chunk.number, f"{len(chunk.siblings)} levels of siblings, expected {DEPTH - level}"
        )
    first = chunk.number << level * FAN_OUT_BITS
    buckets = [b""] * (1 << level * FAN_OUT_BITS)
    before = b""
    for key, value in chunk.entries:
        digest = key_digest(key)
        if digest <= before:
            raise ChunkInvalid(chunk.number, f"key {key.hex()} is out of order or there twice")
        before = digest
        bucket = bucket_index(digest) - first
        if not 0 <= bucket < len(buckets):
            raise ChunkInvalid(chunk.number, f"key {key.hex()} belongs to another chunk")
        buckets[bucket] += digest + blake2b(value, digest_size=DIGEST_BYTES).digest()
    found = root_above(range_digest(buckets), chunk.number, chunk.siblings)
    if found != root:
        raise ChunkInvalid(chunk.number, f"it leads to root {found.hex()}, expected {root.hex()}")
