"""The slashing-protection store: what each of our keys signed last, so that it never signs against itself.

The rule is EIP-3076's minimal one, with slots for blocks and finality periods for epochs: a key's block slots strictly
increase, its target periods strictly increase, and its source periods never fall. So no pair of its signatures is
slashable, neither two blocks of a lane nor a double or a surround vote. The very same message (equal signing root) may
be signed again, which gives the same bytes: Ed25519 is deterministic.

The record is written and synced *before* a signature is made. A crash in between costs nothing but the time to ask
again, and a clock that was set back waits (reliability.md L8, L18, R16, R19). The store is one of its own and outlives
the chain's, which may be deleted and synced anew.

    b"g"                           ->  genesis hash, 32 bytes: the chain that all entries belong to
    b"p" + public key (32 bytes)   ->  last block: slot, u64 big-endian [, signing root, 32 bytes]
    b"v" + public key (32 bytes)   ->  last vote: source period u64, target period u64 [, signing root, 32 bytes]

Without a root (imported without one, or merged from several messages) nothing of that slot or target is signed again.
"""

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ledger.encoding import MAX_INTEGER
from ledger.hashing import DIGEST_BYTES
from ledger.keys import PUBLIC_KEY_BYTES
from ledger.storage.database import Database
from ledger.storage.errors import WrongGenesis
from ledger.storage.fail_points import fail_point
from ledger.storage.store import Store, WriteBatch
from node.signing.errors import (
    AlreadySigned,
    AlreadyVoted,
    SigningRecordCorrupted,
    SourceNotBelowTarget,
    SurroundRefused,
)

PROTECTION_SCHEMA_VERSION: Final = 1
"""Of the store's keys and values. Not the chain's: that store may be thrown away when its layout changes."""

_GENESIS: Final = b"g"
_BLOCK: Final = b"p"
_VOTE: Final = b"v"
_NUMBER_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class LastBlock:
    """The block of the greatest slot that a key signed."""

    slot: int
    signing_root: bytes | None = None
    """32 bytes; None: unknown, so the slot is closed."""

    def joined(self, other: "LastBlock") -> "LastBlock":
        """What forbids everything that either of them forbids."""
        if self.slot != other.slot:
            return max(self, other, key=lambda block: block.slot)
        return self if self.signing_root == other.signing_root else LastBlock(self.slot)


@dataclass(frozen=True, slots=True)
class LastVote:
    """The greatest source and the greatest target that a key voted with."""

    source_period: int
    target_period: int
    signing_root: bytes | None = None
    """32 bytes, of the one vote that has this source and this target; None: unknown, so the target is closed."""

    def joined(self, other: "LastVote") -> "LastVote":
        """What forbids everything that either of them forbids."""
        source = max(self.source_period, other.source_period)
        target = max(self.target_period, other.target_period)
        roots = {
            vote.signing_root if vote.source_period == source else None
            for vote in (self, other)
            if vote.target_period == target
        }
        return LastVote(source, target, roots.pop() if len(roots) == 1 else None)


@dataclass(frozen=True, slots=True)
class KeyHistory:
    """What one key signed last."""

    public_key: bytes
    block: LastBlock | None = None
    vote: LastVote | None = None

    def joined(self, other: "KeyHistory") -> "KeyHistory":
        """What forbids everything that either of them, of the same key, forbids."""
        block, vote = self.block or other.block, self.vote or other.vote
        if self.block is not None and other.block is not None:
            block = self.block.joined(other.block)
        if self.vote is not None and other.vote is not None:
            vote = self.vote.joined(other.vote)
        return KeyHistory(self.public_key, block, vote)


class SigningProtection:
    """The rule over its store. Thread-safe; whoever opened the store closes it."""

    def __init__(self, store: Store, genesis_hash: bytes, where: Path | str = "memory") -> None:
        """`store` holds signing records and nothing else; a new one is bound to `genesis_hash`. `where` names it in
        errors. Errors: `WrongGenesis`, and the store's."""
        self._store = store
        self._lock = threading.Lock()
        self.genesis_hash = genesis_hash
        found = store.get(_GENESIS)
        if found is None:
            binding = WriteBatch()
            binding.put(_GENESIS, genesis_hash)
            store.write(binding, sync=True)
        elif found != genesis_hash:
            raise WrongGenesis(where, genesis_hash, found)

    def last_block(self, public_key: bytes) -> LastBlock | None:
        """What `public_key` signed last, None when nothing. Errors: `SigningRecordCorrupted`, and the store's."""
        raw = self._store.get(_BLOCK + public_key)
        return None if raw is None else _read_block(public_key, raw)

    def last_vote(self, public_key: bytes) -> LastVote | None:
        """What `public_key` voted last, None when nothing. Errors: `SigningRecordCorrupted`, and the store's."""
        raw = self._store.get(_VOTE + public_key)
        return None if raw is None else _read_vote(public_key, raw)

    def history(self, public_key: bytes) -> KeyHistory:
        """Both. Errors as `last_block`."""
        return KeyHistory(public_key, self.last_block(public_key), self.last_vote(public_key))

    def histories(self) -> Iterator[KeyHistory]:
        """Of every key that has one, by public key. Errors as `last_block`."""
        keys: set[bytes] = set()
        for prefix in (_BLOCK, _VOTE):
            for entry, _ in self._store.iterate(prefix):
                public_key = entry[len(prefix) :]
                if len(public_key) != PUBLIC_KEY_BYTES:
                    raise SigningRecordCorrupted(
                        public_key, "public key", len(public_key), str(PUBLIC_KEY_BYTES)
                    )
                keys.add(public_key)
        return (self.history(public_key) for public_key in sorted(keys))

    def claim_block(self, public_key: bytes, slot: int, signing_root: bytes) -> None:
        """Record, synced, that `public_key` signs this block. Whoever has claimed may sign it, now or again.

        Errors: `AlreadySigned`, `SigningRecordCorrupted`, and the store's.
        """
        with self._lock:
            last = self.last_block(public_key)
            claimed = LastBlock(slot, signing_root)
            last_slot = 0 if last is None else last.slot
            if last != claimed and not last_slot < slot <= MAX_INTEGER:
                raise AlreadySigned(public_key, slot, last_slot)
            self._record((KeyHistory(public_key, block=claimed),))

    def claim_vote(self, public_key: bytes, source: int, target: int, signing_root: bytes) -> None:
        """Record, synced, that `public_key` casts this vote. Whoever has claimed may sign it, now or again.

        Errors: `AlreadyVoted`, `SurroundRefused`, `SourceNotBelowTarget`, `SigningRecordCorrupted`, and the store's.
        """
        if not 0 <= source < target <= MAX_INTEGER:
            raise SourceNotBelowTarget(source, target)
        with self._lock:
            last = self.last_vote(public_key)
            claimed = LastVote(source, target, signing_root)
            if last is not None and last != claimed:
                if target <= last.target_period:
                    raise AlreadyVoted(public_key, target, last.target_period)
                if source < last.source_period:
                    raise SurroundRefused(public_key, source, last.source_period)
            self._record((KeyHistory(public_key, vote=claimed),))

    def raise_to(self, histories: Iterable[KeyHistory]) -> int:
        """Take in what was signed elsewhere: all of it in one synced batch, and never less than is there already.
        How many keys it changed. Errors: `SigningRecordCorrupted`, and the store's."""
        with self._lock:
            joined: dict[bytes, KeyHistory] = {}
            for history in histories:
                known = joined.get(history.public_key)
                joined[history.public_key] = history if known is None else known.joined(history)
            changed = []
            for public_key, history in joined.items():
                present = self.history(public_key)
                risen = present.joined(history)
                if risen != present:
                    changed.append(risen)
            if changed:
                self._record(changed)
            return len(changed)

    def _record(self, histories: Iterable[KeyHistory]) -> None:
        """A repeated claim is written again too: it makes sure that what is signed twice stands on the disk."""
        batch = WriteBatch()
        for history in histories:
            if history.block is not None:
                block = history.block
                batch.put(_BLOCK + history.public_key, _number(block.slot) + (block.signing_root or b""))
            if history.vote is not None:
                vote = history.vote
                periods = _number(vote.source_period) + _number(vote.target_period)
                batch.put(_VOTE + history.public_key, periods + (vote.signing_root or b""))
        fail_point("signing_record_before")
        self._store.write(batch, sync=True)
        fail_point("signing_record_after")


def open_protection_store(directory: Path, *, create: bool) -> Database:
    """The store on disk, locked against every other process. Errors: those of `Database`, `StoreLocked` among them."""
    return Database(directory, schema_version=PROTECTION_SCHEMA_VERSION, create=create)


def bound_genesis(store: Store) -> bytes | None:
    """The genesis hash of the chain that the entries of `store` belong to; None in a new store."""
    return store.get(_GENESIS)


def _number(value: int) -> bytes:
    return value.to_bytes(_NUMBER_BYTES, "big")


def _read_block(public_key: bytes, raw: bytes) -> LastBlock:
    numbers, root = raw[:_NUMBER_BYTES], raw[_NUMBER_BYTES:]
    if len(numbers) != _NUMBER_BYTES or len(root) not in (0, DIGEST_BYTES):
        raise SigningRecordCorrupted(public_key, "last block", len(raw), "8 or 40")
    return LastBlock(int.from_bytes(numbers, "big"), root or None)


def _read_vote(public_key: bytes, raw: bytes) -> LastVote:
    numbers, root = raw[: 2 * _NUMBER_BYTES], raw[2 * _NUMBER_BYTES :]
    if len(numbers) != 2 * _NUMBER_BYTES or len(root) not in (0, DIGEST_BYTES):
        raise SigningRecordCorrupted(public_key, "last vote", len(raw), "16 or 48")
    source, target = numbers[:_NUMBER_BYTES], numbers[_NUMBER_BYTES:]
    return LastVote(int.from_bytes(source, "big"), int.from_bytes(target, "big"), root or None)
