"""The last slot that each of our keys signed a block for, kept so that no restart signs a lane twice.

A key belongs to one band, so it may sign at most one block a slot; the rule here is stricter and simpler: the slots a
key signs for strictly increase. The record is written and synced *before* the signature is made, so a crash in between
costs a block and never gives two (reliability.md R16, R19). A clock that was set back therefore waits. The record has
a store of its own, which survives when the chain's is deleted and synced anew.

    b"p" + public key (32 bytes)  ->  slot, u64 big-endian
"""

from collections.abc import Callable
from typing import TypeVar

from ledger.keys import KeyPair
from ledger.storage.store import Store, WriteBatch

Signed = TypeVar("Signed")

_PROPOSED = b"p"
_SLOT_BYTES = 8


class AlreadySigned(Exception):
    """The key has signed for this slot or a later one: signing again could be equivocation."""

    def __init__(self, public_key: bytes, slot: int, last: int) -> None:
        super().__init__(
            f"key {public_key.hex()[:16]} has signed for slot {last} already and does not sign for slot {slot}"
        )
        self.public_key = public_key
        self.slot = slot
        self.last = last


class SigningRecordCorrupted(Exception):
    """An entry that is not a slot. The node must not sign: whether it has signed is not known."""

    def __init__(self, public_key: bytes, found: int) -> None:
        super().__init__(
            f"the signing record of key {public_key.hex()[:16]} has {found} bytes, expected {_SLOT_BYTES}; "
            "do not sign with this key before you know the last slot that it signed for"
        )


class BlockSigner:
    """Signs blocks with our keys, each slot at most once. Not thread-safe: call it on the writer."""

    def __init__(self, store: Store) -> None:
        """`store` holds signing records and nothing else. The caller closes it."""
        self._store = store

    def last_slot(self, public_key: bytes) -> int:
        """The last slot that `public_key` signed for, 0 when none. Errors: `SigningRecordCorrupted`."""
        raw = self._store.get(_PROPOSED + public_key)
        if raw is None:
            return 0
        if len(raw) != _SLOT_BYTES:
            raise SigningRecordCorrupted(public_key, len(raw))
        return int.from_bytes(raw, "big")

    def claim(self, public_key: bytes, slot: int) -> None:
        """Record, synced, that `public_key` signs for `slot`. Whoever has claimed may sign one block.

        Errors: `AlreadySigned`, `SigningRecordCorrupted`, and the store's.
        """
        last = self.last_slot(public_key)
        if slot <= last:
            raise AlreadySigned(public_key, slot, last)
        batch = WriteBatch()
        batch.put(_PROPOSED + public_key, slot.to_bytes(_SLOT_BYTES, "big"))
        self._store.write(batch, sync=True)

    def sign_once(self, key: KeyPair, slot: int, sign: Callable[[KeyPair], Signed]) -> Signed:
        """`sign(key)`, after the claim has reached the disk. Errors as `claim`."""
        self.claim(key.public_key, slot)
        return sign(key)
