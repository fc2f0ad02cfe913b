"""`StateTree`: the authenticated tree whose root commits to every key and value of the state.

The root depends on the keys and values now present and on nothing else: not on order, history, undo or import. So a
block is undone by `prepare` with the old values, and two nodes that hold the same state hold the same root.

A key belongs to one of 65,536 fixed buckets, chosen by its digest; a bucket is one byte string of its entries, sorted;
above the buckets stands a 16-ary tree of four levels in flat lists of digests. Byte-level grammar, worked example,
costs and limits: README.md, section State commitment.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise

from ledger.errors import LedgerError
from ledger.hashing import DIGEST_BYTES, tagged

FAN_OUT_BITS = 4
FAN_OUT = 1 << FAN_OUT_BITS
"""Children of a node: 16 digests, 512 bytes, hash in about 1 µs; a wider node costs more per update, a narrower one
adds levels."""

DEPTH = 4
"""Levels of nodes above the buckets."""

BUCKET_COUNT = FAN_OUT**DEPTH
"""65,536: about 15 entries each at 1,000,000 keys, and 2 MiB of bucket digests."""

ENTRY_BYTES = 2 * DIGEST_BYTES
"""Key digest ‖ value digest."""

SIBLINGS_BYTES = (FAN_OUT - 1) * DIGEST_BYTES
"""What a proof carries of one node: all its digests but the one on the path."""

MAX_PROOF_ENTRIES = 16_384
"""Entries of the bucket that a proof carries: 1 MiB, the largest reply of the network. Reached with equal spread at
10^9 keys."""

MAX_PROOF_BYTES = DEPTH * SIBLINGS_BYTES + MAX_PROOF_ENTRIES * ENTRY_BYTES

_BUCKET_TAG = tagged("nexus/state-bucket/v1")
_NODE_TAG = tagged("nexus/state-node/v1")


class StaleUpdate(LedgerError):
    """An update was prepared on another root than the tree's present one. Prepare it again."""

    def __init__(self, prepared_on: bytes, present: bytes) -> None:
        super().__init__(f"update was prepared on root {prepared_on.hex()}, the tree is at {present.hex()}")
        self.prepared_on = prepared_on
        self.present = present


class DuplicateKey(LedgerError):
    """A bulk load met the same key twice; which value counts would depend on the order."""

    def __init__(self, key_digest: bytes) -> None:
        super().__init__(f"the key with digest {key_digest.hex()} occurs twice")
        self.key_digest = key_digest


class ProofTooLarge(LedgerError):
    """The key's bucket holds more entries than a proof may carry."""

    def __init__(self, found: int, limit: int) -> None:
        super().__init__(f"the proof needs {found} entries, at most {limit} are allowed")
        self.found = found
        self.limit = limit


class ProofInvalid(LedgerError):
    """The proof does not show what is claimed."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"state proof refused: {reason}")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class PendingUpdate:
    """A computed and not yet committed change. Belongs to the tree's state with root `base_root`."""

    base_root: bytes
    root: bytes
    """The root that the tree has after `commit`."""
    buckets: dict[int, bytes]
    """Bucket index -> new content, ascending."""
    digests: tuple[dict[int, bytes], ...]
    """Per level, buckets first, root last: index -> new digest."""
    entry_count: int
    """Keys present after `commit`."""


@dataclass(frozen=True, slots=True)
class StateProof:
    """Shows which value a key has under a root, or that it has none."""

    bucket: bytes
    """All entries of the key's bucket."""
    siblings: tuple[bytes, ...]
    """From the bucket upwards, per node: its other 15 digests in order (480 bytes)."""

    def to_bytes(self) -> bytes:
        """Canonical bytes: four times 480 bytes of siblings, lowest first, then the bucket."""
        return b"".join(self.siblings) + self.bucket

    @staticmethod
    def from_bytes(raw: bytes) -> "StateProof":
        """Inverse of `to_bytes`. Raises `ProofInvalid` for a length that no proof has."""
        path_bytes = DEPTH * SIBLINGS_BYTES
        if not path_bytes <= len(raw) <= MAX_PROOF_BYTES or (len(raw) - path_bytes) % ENTRY_BYTES:
            raise ProofInvalid(
                f"{len(raw)} bytes, expected {path_bytes} plus 0 to {MAX_PROOF_ENTRIES} entries of {ENTRY_BYTES}"
            )
        siblings = tuple(raw[level * SIBLINGS_BYTES : (level + 1) * SIBLINGS_BYTES] for level in range(DEPTH))
        return StateProof(bucket=raw[path_bytes:], siblings=siblings)


class StateTree:
    """The tree in memory: 64 bytes an entry, and 8 MiB that do not grow. One thread at a time."""

    def __init__(self) -> None:
        self._buckets: list[bytes] = [b""] * BUCKET_COUNT
        self._entry_count = 0
        self._levels: list[list[bytes]] = []
        """Digests per level, buckets first; the last level is the root."""
        digest = _bucket_digest(b"")
        for level in range(DEPTH + 1):
            self._levels.append([digest] * (BUCKET_COUNT >> level * FAN_OUT_BITS))
            digest = _node_digest([digest] * FAN_OUT)

    @classmethod
    def build(cls, items: Iterable[tuple[bytes, bytes]]) -> "StateTree":
        """The tree of all (key, value) in `items`, in any order. Raises `DuplicateKey`."""
        grouped: list[list[bytes]] = [[] for _ in range(BUCKET_COUNT)]
        for key, value in items:
            key_digest = blake2b(key, digest_size=DIGEST_BYTES).digest()
            value_digest = blake2b(value, digest_size=DIGEST_BYTES).digest()
            grouped[key_digest[0] << 8 | key_digest[1]].append(key_digest + value_digest)
        tree = cls()
        buckets: dict[int, bytes] = {}
        for index, entries in enumerate(grouped):
            if entries:
                buckets[index] = _joined_entries(entries)
                tree._entry_count += len(entries)
                entries.clear()
        tree.commit(tree._prepare_buckets(buckets, tree._entry_count))
        return tree

    @property
    def root(self) -> bytes:
        """Root of the present state, 32 bytes."""
        return self._levels[DEPTH][0]

    def __len__(self) -> int:
        """Number of keys present."""
        return self._entry_count

    def prepare(self, changes: Mapping[bytes, bytes | None]) -> PendingUpdate:
        """Compute the state after `changes` (key -> new value, None: absent) without changing the tree.

        The order of `changes` carries no meaning. A value equal to the present one, or the removal of an absent key,
        changes nothing.
        """
        leaves = sorted(
            (
                blake2b(key, digest_size=DIGEST_BYTES).digest(),
                b"" if value is None else blake2b(value, digest_size=DIGEST_BYTES).digest(),
            )
            for key, value in changes.items()
        )
        buckets: dict[int, bytes] = {}
        grown_bytes = 0
        for key_digest, value_digest in leaves:
            index = key_digest[0] << 8 | key_digest[1]
            old = buckets.get(index)
            if old is None:
                old = self._buckets[index]
            new = buckets[index] = _with_entry(old, key_digest, value_digest)
            grown_bytes += len(new) - len(old)
        return self._prepare_buckets(buckets, self._entry_count + grown_bytes // ENTRY_BYTES)

    def commit(self, pending: PendingUpdate) -> None:
        """Make `pending` the present state. Raises `StaleUpdate` when it was prepared on another root."""
        if pending.base_root != self.root:
            raise StaleUpdate(pending.base_root, self.root)
        for index, bucket in pending.buckets.items():
            self._buckets[index] = bucket
        for digests, changed in zip(self._levels, pending.digests, strict=True):
            for index, digest in changed.items():
                digests[index] = digest
        self._entry_count = pending.entry_count

    def prove(self, key: bytes) -> StateProof:
        """Proof of the present value of `key`, or of its absence. Raises `ProofTooLarge`."""
        position = bucket_index(blake2b(key, digest_size=DIGEST_BYTES).digest())
        bucket = self._buckets[position]
        if len(bucket) > MAX_PROOF_ENTRIES * ENTRY_BYTES:
            raise ProofTooLarge(len(bucket) // ENTRY_BYTES, MAX_PROOF_ENTRIES)
        return StateProof(bucket=bucket, siblings=self.siblings_above(0, position))

    def siblings_above(self, level: int, index: int) -> tuple[bytes, ...]:
        """From the node `index` of a level (0: buckets) upwards, per node above it: its other 15 digests."""
        siblings = []
        for digests in self._levels[level:DEPTH]:
            parent, slot = divmod(index, FAN_OUT)
            node = digests[parent * FAN_OUT : (parent + 1) * FAN_OUT]
            siblings.append(b"".join(node[:slot] + node[slot + 1 :]))
            index = parent
        return tuple(siblings)

    def _prepare_buckets(self, buckets: dict[int, bytes], entry_count: int) -> PendingUpdate:
        """Hash changed buckets (ascending by index) up to the root, over the present digests of all others."""
        changed = {index: _bucket_digest(bucket) for index, bucket in buckets.items()}
        digests = [changed]
        for level in range(DEPTH):
            changed = _changed_parents(self._levels[level], changed)
            digests.append(changed)
        base_root = self.root
        return PendingUpdate(
            base_root=base_root,
            root=changed.get(0, base_root),
            buckets=buckets,
            digests=tuple(digests),
            entry_count=entry_count,
        )


def verify_proof(root: bytes, key: bytes, value: bytes | None, proof: StateProof) -> None:
    """Check that `key` has `value` (None: is absent) in the state with `root`. Needs no tree.

    Raises `ProofInvalid`: wrong lengths, entries out of order or of another bucket, another value than claimed,
    or a path that does not lead to `root`.
    """
    if len(root) != DIGEST_BYTES:
        raise ProofInvalid(f"root of {len(root)} bytes, expected {DIGEST_BYTES}")
    if len(proof.siblings) != DEPTH or any(len(part) != SIBLINGS_BYTES for part in proof.siblings):
        raise ProofInvalid(f"the path must be {DEPTH} times {SIBLINGS_BYTES} bytes of siblings")
    key_digest = blake2b(key, digest_size=DIGEST_BYTES).digest()
    position = bucket_index(key_digest)
    found = _find_value_digest(proof.bucket, position, key_digest)
    expected = None if value is None else blake2b(value, digest_size=DIGEST_BYTES).digest()
    if found != expected:
        shown = ["absent" if side is None else f"value digest {side.hex()}" for side in (found, expected)]
        raise ProofInvalid(f"the bucket has the key as {shown[0]}, claimed is {shown[1]}")
    digest = root_above(_bucket_digest(proof.bucket), position, proof.siblings)
    if digest != root:
        raise ProofInvalid(f"the path leads to root {digest.hex()}, expected {root.hex()}")


def range_digest(buckets: Sequence[bytes]) -> bytes:
    """Digest of the node above 16^m buckets, given in order by their content."""
    digests = [_bucket_digest(bucket) for bucket in buckets]
    while len(digests) > 1:
        digests = [_node_digest(digests[at : at + FAN_OUT]) for at in range(0, len(digests), FAN_OUT)]
    return digests[0]


def root_above(digest: bytes, index: int, siblings: Sequence[bytes]) -> bytes:
    """The root that a node leads to: its digest, its index on its level, and what is beside the path upwards."""
    for beside in siblings:
        index, slot = divmod(index, FAN_OUT)
        offset = slot * DIGEST_BYTES
        digest = _node_digest((beside[:offset], digest, beside[offset:]))
    return digest


def bucket_index(key_digest: bytes) -> int:
    """Bucket of a key: the first two bytes of its digest, big-endian."""
    return key_digest[0] << 8 | key_digest[1]


def _find_value_digest(bucket: bytes, position: int, key_digest: bytes) -> bytes | None:
    """The key's value digest in a bucket from a proof, or None; raises `ProofInvalid` for a bucket that no tree has."""
    if len(bucket) % ENTRY_BYTES or len(bucket) > MAX_PROOF_ENTRIES * ENTRY_BYTES:
        raise ProofInvalid(
            f"bucket of {len(bucket)} bytes, expected at most {MAX_PROOF_ENTRIES} entries of {ENTRY_BYTES}"
        )
    found = None
    before = b""
    for start in range(0, len(bucket), ENTRY_BYTES):
        entry_key = bucket[start : start + DIGEST_BYTES]
        if bucket_index(entry_key) != position:
            raise ProofInvalid(f"an entry of bucket {bucket_index(entry_key)} in bucket {position}")
        if entry_key <= before:
            raise ProofInvalid(f"entries out of order: {entry_key.hex()} after {before.hex()}")
        if entry_key == key_digest:
            found = bucket[start + DIGEST_BYTES : start + ENTRY_BYTES]
        before = entry_key
    return found


def _with_entry(bucket: bytes, key_digest: bytes, value_digest: bytes) -> bytes:
    """`bucket` with the entry set, or removed when `value_digest` is empty."""
    start = bucket.find(key_digest)
    if value_digest and start >= 0 and start % ENTRY_BYTES == 0:  # the common case; elsewhere it is no key
        return b"".join((bucket[: start + DIGEST_BYTES], value_digest, bucket[start + ENTRY_BYTES :]))
    low, high = 0, len(bucket) // ENTRY_BYTES
    while low < high:
        middle = (low + high) >> 1
        if bucket[middle * ENTRY_BYTES : middle * ENTRY_BYTES + DIGEST_BYTES] < key_digest:
            low = middle + 1
        else:
            high = middle
    start = low * ENTRY_BYTES
    is_present = bucket[start : start + DIGEST_BYTES] == key_digest
    rest = bucket[start + ENTRY_BYTES :] if is_present else bucket[start:]
    if not value_digest:
        return bucket[:start] + rest
    return b"".join((bucket[:start], key_digest, value_digest, rest))


def _joined_entries(entries: list[bytes]) -> bytes:
    """A bucket of unsorted entries. Raises `DuplicateKey`."""
    entries.sort()
    for before, after in pairwise(entries):
        if before[:DIGEST_BYTES] == after[:DIGEST_BYTES]:
            raise DuplicateKey(after[:DIGEST_BYTES])
    return b"".join(entries)


def _changed_parents(digests: list[bytes], changed: dict[int, bytes]) -> dict[int, bytes]:
    """New digests of the nodes above `changed`; both ascending by index."""
    parents: dict[int, bytes] = {}
    parent = -1
    node: list[bytes] = []
    for index, digest in changed.items():
        if index >> FAN_OUT_BITS != parent:
            if node:
                parents[parent] = _node_digest(node)
            parent = index >> FAN_OUT_BITS
            node = digests[parent * FAN_OUT : (parent + 1) * FAN_OUT]
        node[index % FAN_OUT] = digest
    if node:
        parents[parent] = _node_digest(node)
    return parents


def _bucket_digest(bucket: bytes) -> bytes:
    return blake2b(_BUCKET_TAG + bucket, digest_size=DIGEST_BYTES).digest()


def _node_digest(children: Iterable[bytes]) -> bytes:
    return blake2b(_NODE_TAG + b"".join(children), digest_size=DIGEST_BYTES).digest()
