"""The commit chain: a record per batch that binds it to all batches before it.

`digest_n = H(digest_{n-1} ‖ batch digest_n)`. A store that lost a batch in the middle, which a power cut or a flipped
bit can do to a log that is opened leniently, shows a gap or a wrong link; a lost suffix shows neither and is no damage:
what remains is the result of an earlier call. The last `RECORDS_KEPT` records stay. Source: reliability.md, findings 2
and 3.
"""

from dataclasses import dataclass
from hashlib import blake2b

from consensus.errors import CommitChainBroken
from ledger.hashing import DIGEST_BYTES, digest, tagged
from ledger.storage.store import Reader, WriteBatch

COMMITS_PREFIX = b"cc"

RECORDS_KEPT = 1_024
"""Records that can be checked; 82 kB. LevelDB keeps far fewer batches in its logs, where such losses happen."""

_BATCH_TAG = tagged("nexus/commit-batch/v1")
_LINK_TAG = tagged("nexus/commit-link/v1")
_ABSENT = b"\x00"
_PRESENT = b"\x01"


@dataclass(frozen=True, slots=True)
class CommitPoint:
    """Where the chain of commits ends."""

    sequence: int
    """Number of batches written; the creation of the store is batch 1."""
    digest: bytes


EMPTY = CommitPoint(0, bytes(DIGEST_BYTES))
"""Before the first batch."""


def batch_digest(batch: WriteBatch) -> bytes:
    """32 bytes over all writes in their order, each with the lengths of key and value."""
    hasher = blake2b(_BATCH_TAG, digest_size=DIGEST_BYTES)
    for key, value in batch.writes.items():
        head = len(key).to_bytes(4, "big") + key
        if value is None:
            hasher.update(head + _ABSENT)
        else:
            hasher.update(head + _PRESENT + len(value).to_bytes(4, "big") + value)
    return hasher.digest()


def append_commit(batch: WriteBatch, last: CommitPoint) -> CommitPoint:
    """Add to `batch` the record that binds its other writes to `last`; the new end of the chain."""
    batch_hash = batch_digest(batch)
    point = CommitPoint(last.sequence + 1, digest(_LINK_TAG, last.digest, batch_hash))
    batch.put(_key(point.sequence), point.digest + batch_hash)
    if point.sequence > RECORDS_KEPT:
        batch.delete(_key(point.sequence - RECORDS_KEPT))
    return point


def read_commit_chain(reader: Reader) -> CommitPoint:
    """The end of the chain, after a check of every record that is kept. `EMPTY` when there is none.

    Raises `CommitChainBroken`.
    """
    last: CommitPoint | None = None
    records = 0
    for key, value in reader.iterate(COMMITS_PREFIX):
        sequence = int.from_bytes(key[len(COMMITS_PREFIX) :], "big")
        if len(key) != len(COMMITS_PREFIX) + 8 or len(value) != 2 * DIGEST_BYTES:
            raise CommitChainBroken(
                f"commit record {key.hex()} has {len(value)} bytes, expected {2 * DIGEST_BYTES}"
            )
        found, batch_hash = value[:DIGEST_BYTES], value[DIGEST_BYTES:]
        if last is not None and sequence != last.sequence + 1:
            raise CommitChainBroken(
                f"commit {last.sequence + 1} is missing, the next one present is {sequence}"
            )
        before = EMPTY if sequence == 1 else last
        if before is not None and digest(_LINK_TAG, before.digest, batch_hash) != found:
            raise CommitChainBroken(f"commit {sequence} does not follow from commit {sequence - 1}")
        last = CommitPoint(sequence, found)
        records += 1
    if last is None:
        return EMPTY
    expected = min(last.sequence, RECORDS_KEPT)
    if records != expected:
        raise CommitChainBroken(f"{records} commit records up to {last.sequence}, expected {expected}")
    return last


def _key(sequence: int) -> bytes:
    return COMMITS_PREFIX + sequence.to_bytes(8, "big")
