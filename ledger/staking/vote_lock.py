"""Stake that has voted stays where it is until the vote is over: who decides bears what was decided."""

from typing import Final

from ledger.registry import Rejected
from ledger.state import Overlay, StateReader

VOTE_LOCK_PREFIX: Final = b"vx"
"""State key of a lock: `vx` ‖ address; value: the first epoch in which the stake is free, u64 big-endian. A lock that
is over is left in place until the next one."""

STAKE_LOCKED: Final = "StakeLocked"


def vote_lock_key(address: bytes) -> bytes:
    """State key of the lock of an address (20 bytes)."""
    return VOTE_LOCK_PREFIX + address


def locked_until(reader: StateReader, address: bytes) -> int:
    """The first epoch in which the stakes of `address` (20 bytes) may be taken out; 0 when it never voted."""
    raw = reader.get(vote_lock_key(address))
    return 0 if raw is None else int.from_bytes(raw, "big")


def lock_stake(overlay: Overlay, address: bytes, until_epoch: int) -> None:
    """Keep the stakes of `address` in place before `until_epoch`; a longer lock stays."""
    if until_epoch > locked_until(overlay, address):
        overlay.put(vote_lock_key(address), until_epoch.to_bytes(8, "big"))


def require_unlocked(overlay: Overlay, address: bytes, epoch: int) -> None:
    """Stake of `address` may be taken out in `epoch`. Errors: `Rejected` StakeLocked."""
    until = locked_until(overlay, address)
    if epoch < until:
        raise Rejected(STAKE_LOCKED, f"it has voted; locked before epoch {until}, now {epoch}")
