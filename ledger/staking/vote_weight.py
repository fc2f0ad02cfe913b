"""What a stake weighs in a vote: what was there before the vote was thought of, and still is.

The state keeps no stakes of the past. It keeps, per address and validator, what was added lately; the rest was there
before. Removal takes the newest first, so the old stake is what has been there without a break. Where additions are too
many to keep apart the smallest joins its successor: a stake may pass for newer than it is, never for older.
"""

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec

from ledger.encoding import Codec, Count, Record
from ledger.staking.records import Shares as FixedShares
from ledger.staking.records import (
    ValidatorRecord,
    number_of,
    read_delegation,
    read_validator,
    shares_bytes,
)
from ledger.staking.shares import units_of
from ledger.state import Overlay, StateReader

MAX_ADDITIONS: Final = 8
"""Epochs of additions kept apart per address and validator."""

ADDITIONS_PREFIX: Final = b"va"
"""State key of additions: `va` ‖ address ‖ validator index u32."""


class Addition(Record, frozen=True):
    """Stake that was added in one epoch and is still there."""

    epoch: Count
    shares: FixedShares
    """Of the validator's delegations; for the validator's own stake, units."""


ADDITIONS_CODEC: Final[Codec[tuple[Addition, ...]]] = Codec(
    Annotated[tuple[Addition, ...], msgspec.Meta(max_length=MAX_ADDITIONS)],  # type: ignore[arg-type]
    "stake additions",
    512,
)


def additions_key(address: bytes, index: int) -> bytes:
    """State key of what `address` (20 bytes) added lately to its stake in a validator."""
    return ADDITIONS_PREFIX + address + index.to_bytes(4, "big")


def read_additions(reader: StateReader, address: bytes, index: int) -> tuple[Addition, ...]:
    """What was added lately, ascending by epoch. Errors: `CodecError` for a damaged state."""
    raw = reader.get(additions_key(address, index))
    return () if raw is None else ADDITIONS_CODEC.decode(raw)


def _write(overlay: Overlay, address: bytes, index: int, additions: Sequence[Addition]) -> None:
    key = additions_key(address, index)
    if additions:
        overlay.put(key, ADDITIONS_CODEC.encode(tuple(additions)))
    elif overlay.get(key) is not None:
        overlay.delete(key)


def note_addition(
    overlay: Overlay, address: bytes, index: int, shares: int, epoch: int, voting_epochs: int
) -> None:
    """Stake was added in `epoch`: `shares` of the delegations, or units of own stake.

    What is older than the oldest vote that can be open (`voting_epochs`, and its snapshot one epoch before) is dropped:
    no vote that is open or will be asks for it.
    """
    kept = [one for one in read_additions(overlay, address, index) if one.epoch + voting_epochs >= epoch]
    if kept and kept[-1].epoch == epoch:
        shares += number_of(kept.pop().shares)
    kept.append(Addition(epoch, shares_bytes(shares)))
    if len(kept) > MAX_ADDITIONS:
        place = min(range(MAX_ADDITIONS), key=lambda one: kept[one].shares)
        joined = number_of(kept[place].shares) + number_of(kept[place + 1].shares)
        kept[place : place + 2] = [Addition(kept[place + 1].epoch, shares_bytes(joined))]
    _write(overlay, address, index, kept)


def note_removal(overlay: Overlay, address: bytes, index: int, shares: int) -> None:
    """Stake was taken out: `shares` of the delegations, or units of own stake. The newest goes first."""
    before = read_additions(overlay, address, index)
    kept = list(before)
    left = shares
    while kept and left:
        newest = kept.pop()
        held = number_of(newest.shares)
        if held > left:
            kept.append(Addition(newest.epoch, shares_bytes(held - left)))
        left -= min(held, left)
    if before:
        _write(overlay, address, index, kept)


def stake_weight(
    reader: StateReader, address: bytes, validators: Sequence[int], before_epoch: int
) -> tuple[tuple[int, int], ...]:
    """(validator, units) of what `address` has staked since before `before_epoch`, at the present rates.

    Only the validators named, in their order; those in which it has nothing of that age are left out.
    """
    found = ((index, _old_units(reader, address, index, before_epoch)) for index in validators)
    return tuple((index, units) for index, units in found if units)


def _old_units(reader: StateReader, address: bytes, index: int, before_epoch: int) -> int:
    record = read_validator(reader, index)
    if record is None:
        return 0
    added = sum(
        number_of(one.shares) for one in read_additions(reader, address, index) if one.epoch >= before_epoch
    )
    if address == record.withdrawal_address:
        return max(0, record.self_stake_units - added)  # a slash is laid on the old stake
    return _delegated(reader, address, record, added)


def _delegated(reader: StateReader, address: bytes, record: ValidatorRecord, added: int) -> int:
    held = read_delegation(reader, address, record.index)
    if held is None:
        return 0
    old = max(0, number_of(held.shares) - added)
    return units_of(old, record.delegated_units, number_of(record.delegated_shares))
