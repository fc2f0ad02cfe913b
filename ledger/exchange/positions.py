"""Positions: what one address owns of one pool's shares, since when, until when a vote has locked it. Bytes: README."""

from typing import Annotated, Final

import msgspec

from ledger.encoding import Codec, Count, Record
from ledger.state import Overlay, StateReader

MAX_ADDITIONS: Final = 8

POSITION_PREFIX: Final = b"dl"
"""State key of a position: `dl` ‖ owner's address ‖ pool's address."""


class Addition(Record, frozen=True):
    """Shares that came in one epoch."""

    epoch: Count
    shares: Count
    """At least 1."""


class Position(Record, frozen=True):
    """Shares of one pool that one address owns."""

    shares: Count
    additions: Annotated[tuple[Addition, ...], msgspec.Meta(max_length=MAX_ADDITIONS)]
    """The newest of `shares`, ascending by epoch, each epoch once; all others are older than any question."""
    locked_until_epoch: Count
    """Before this epoch nothing can be removed. 0: never locked."""


NO_POSITION: Final = Position(0, (), 0)

POSITION_CODEC: Final = Codec(Position, "position", 256)


def position_key(pool: bytes, address: bytes) -> bytes:
    """State key of what `address` owns of the pool at the address `pool`."""
    return POSITION_PREFIX + address + pool


def read_position(reader: StateReader, pool: bytes, address: bytes) -> Position:
    """What `address` owns of the pool at the address `pool`; `NO_POSITION` when that is nothing."""
    raw = reader.get(position_key(pool, address))
    return NO_POSITION if raw is None else POSITION_CODEC.decode(raw)


def write_position(overlay: Overlay, pool: bytes, address: bytes, position: Position) -> None:
    """Put a position, or remove it when no share is left."""
    key = position_key(pool, address)
    if position.shares:
        overlay.put(key, POSITION_CODEC.encode(position))
    else:
        overlay.delete(key)


def shares_held_before(position: Position, epoch: int) -> int:
    """At least so many of the shares have been there since before `epoch` without a break. Never too many."""
    return position.shares - sum(one.shares for one in position.additions if one.epoch >= epoch)


def lock_position(overlay: Overlay, pool: bytes, address: bytes, until_epoch: int) -> None:
    """Let nothing of a position be removed before `until_epoch`; a longer lock stays. Nothing without a position."""
    position = read_position(overlay, pool, address)
    if position.shares and position.locked_until_epoch < until_epoch:
        write_position(
            overlay, pool, address, msgspec.structs.replace(position, locked_until_epoch=until_epoch)
        )


def with_added(position: Position, shares: int, epoch: int, oldest_epoch: int) -> Position:
    """The position with `shares` (>= 1) that came in `epoch`, not before its newest.

    Additions before `oldest_epoch` are forgotten: nobody asks who held what before that. If there are still too many,
    the one with the fewest shares joins its successor, and counts as that much younger: a vote may see fewer old shares
    than there are, never more.
    """
    additions = [one for one in position.additions if one.epoch >= oldest_epoch]
    if additions and additions[-1].epoch == epoch:
        additions[-1] = Addition(epoch, additions[-1].shares + shares)
    else:
        additions.append(Addition(epoch, shares))
    if len(additions) > MAX_ADDITIONS:
        place = min(range(MAX_ADDITIONS), key=lambda one: additions[one].shares)
        younger = additions[place + 1]
        additions[place : place + 2] = [Addition(younger.epoch, additions[place].shares + younger.shares)]
    return Position(position.shares + shares, tuple(additions), position.locked_until_epoch)


def with_removed(position: Position, shares: int) -> Position:
    """The position without `shares` (at most its own): the newest go first, so that the old ones keep their age."""
    additions = list(position.additions)
    left = shares
    while left and additions:
        newest = additions.pop()
        if newest.shares > left:
            additions.append(Addition(newest.epoch, newest.shares - left))
        left = max(0, left - newest.shares)
    return Position(position.shares - shares, tuple(additions), position.locked_until_epoch)
