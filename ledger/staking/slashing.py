"""What a provable fault costs. Source: ledger.md, Staking; consensus.md, Evidence; formulas: README, Staking.

A validator loses 5 % of what stood behind the fault, or three times the share of all stake that was slashed in the same
window, up to everything. "What stood behind it" is its own stake, the delegations, and whatever was taken out of either
since the fault, and a little before it, because schedules are read from an earlier snapshot: leaving in haste does not
help. The own stake pays first, the delegators the rest, all alike.

One penalty covers all faults up to the epoch in which it is imposed: a signer that ran twice for an hour made one
mistake. What makes it heavier is the stake of *others* that did the same, which the epoch transition adds afterwards,
so that the first of a conspiracy pays as much as the last.
"""

from typing import Final

import msgspec

from ledger.accounts import BONDED_ADDRESS, TRANSITION_RESERVE_ADDRESS
from ledger.amounts import PPM, UNITS_PER_NXT
from ledger.epoch_steps import EpochChange
from ledger.errors import ConservationBroken
from ledger.issuance import count_burned
from ledger.registry import Rejected
from ledger.rules import BlockContext
from ledger.staking.records import (
    ACTIVE,
    JAILED,
    MAX_LISTED_VALIDATORS,
    MAX_SLASHES_KEPT,
    PENALTIES_CODEC,
    PENALTIES_KEY,
    REGISTERED,
    Penalty,
    Slash,
    UnbondingPool,
    ValidatorRecord,
    key_at,
    keys_at,
    read_epoch,
    read_penalties,
    read_pool,
    read_validator,
    write_pool,
    write_validator,
)
from ledger.staking_rules import StakingRules
from ledger.state import Overlay, StateReader

__all__ = [
    "ALREADY_SLASHED",
    "TOO_OLD",
    "UNKNOWN_VALIDATOR",
    "is_punished",
    "key_at",
    "keys_at",
    "penalty_ppm",
    "raise_penalties",
    "read_validator",
    "slash",
]

LEAST_PENALTY_PPM: Final = 50_000
"""5 %, at once."""
CORRELATION: Final = 3
"""With a third of all stake slashed in one window everything is taken: that much stake can break finality."""
REPORTER_PPM: Final = 50_000
"""5 % of what is taken at once: a fraction, so that reporting oneself is no way out."""
MAX_REPORTER_UNITS: Final = 100 * UNITS_PER_NXT
MAX_EXPOSED_EPOCHS: Final = 1_024
"""Epochs of unbonding pools that one penalty looks through at most, however long finality stands still."""

UNKNOWN_VALIDATOR: Final = "UnknownValidator"
TOO_OLD: Final = "TooOld"
ALREADY_SLASHED: Final = "AlreadySlashed"
OFFENCE_AHEAD: Final = "OffenceAhead"


def penalty_ppm(slashed_units: int, stake_units: int) -> int:
    """Parts per million that each offender of a window loses: max(5 %, 3 × slashed stake / all stake), at most all."""
    return min(PPM, max(LEAST_PENALTY_PPM, CORRELATION * slashed_units * PPM // max(1, stake_units)))


def is_punished(reader: StateReader, index: int, offence_id: bytes, offence_epoch: int | None = None) -> bool:
    """Whether the offence, or another of the validator in `offence_epoch` or later, is punished already."""
    record = read_validator(reader, index)
    if record is None:
        return False
    covered = offence_epoch is not None and offence_epoch < record.slashed_through
    return covered or any(one.offence_id == offence_id for one in record.slashes)


def slash(
    overlay: Overlay,
    index: int,
    offence_id: bytes,
    offence_epoch: int,
    reporter: bytes,
    context: BlockContext,
) -> int:
    """Punish a proved fault of `offence_epoch`, jail the validator, reward `reporter` (20 bytes); the units taken.

    Errors: `Rejected` with UnknownValidator, TooOld (outside the evidence window), OffenceAhead (of a later epoch than
    the accepting block's), AlreadySlashed (this offence, or any of the validator since that epoch).
    """
    rules, epoch = context.staking, context.epoch
    record = read_validator(overlay, index)
    if record is None:
        raise Rejected(UNKNOWN_VALIDATOR, f"no validator {index}")
    if offence_epoch + rules.evidence_epochs < epoch:
        raise Rejected(
            TOO_OLD, f"offence of epoch {offence_epoch}, in epoch {epoch} at most {rules.evidence_epochs} old"
        )
    if offence_epoch > epoch:
        raise Rejected(OFFENCE_AHEAD, f"offence of epoch {offence_epoch}, the chain is in {epoch}")
    if offence_epoch < record.slashed_through or is_punished(overlay, index, offence_id):
        raise Rejected(
            ALREADY_SLASHED,
            f"validator {index} is punished for its faults before epoch {record.slashed_through}",
        )
    penalties = _window(read_penalties(overlay), epoch, rules)
    first = _first_exposed(offence_epoch, context, epoch)
    stake = _exposed_units(overlay, record, first, epoch)
    _, all_stake = read_epoch(overlay)
    share = penalty_ppm(stake + sum(one.stake_units for one in penalties), all_stake)
    record, taken = _take(overlay, record, stake * share // PPM, first, epoch)
    reward = min(taken * REPORTER_PPM // PPM, MAX_REPORTER_UNITS)
    _pay_out(overlay, taken, taken - reward)
    overlay.credit(reporter, reward)
    history = (*record.slashes, Slash(epoch, offence_epoch, offence_id, taken))[-MAX_SLASHES_KEPT:]
    staying = record.status in (REGISTERED, ACTIVE, JAILED)
    write_validator(
        overlay,
        msgspec.structs.replace(
            record,
            status=JAILED if staying else record.status,
            jailed_until_epoch=max(record.jailed_until_epoch, epoch + rules.jail_epochs),
            slashed_through=epoch + 1,
            slashes=history,
        ),
    )
    _write_penalties(overlay, (*penalties, Penalty(index, epoch, offence_epoch, stake, taken)))
    return taken


def raise_penalties(overlay: Overlay, change: EpochChange) -> None:
    """The step `penalties`: after an epoch with slashes all of the window pay the share that it has now."""
    rules, epoch = change.context.staking, change.closing_epoch
    before = read_penalties(overlay)
    penalties = list(before)
    if any(one.epoch >= epoch for one in before):
        share = penalty_ppm(sum(one.stake_units for one in before), read_epoch(overlay)[1])
        for place, one in enumerate(penalties):
            due = one.stake_units * share // PPM - one.taken_units
            record = read_validator(overlay, one.index)
            if due <= 0 or record is None:
                continue
            first = _first_exposed(one.offence_epoch, change.context, epoch)
            record, taken = _take(overlay, record, due, first, epoch)
            _pay_out(overlay, taken, taken)
            write_validator(overlay, record)
            penalties[place] = msgspec.structs.replace(one, taken_units=one.taken_units + taken)
    left = _window(tuple(penalties), change.context.epoch, rules)
    if left != before:
        _write_penalties(overlay, left)


def _window(penalties: tuple[Penalty, ...], epoch: int, rules: StakingRules) -> tuple[Penalty, ...]:
    return tuple(one for one in penalties if one.epoch + rules.evidence_epochs >= epoch)


def _write_penalties(overlay: Overlay, penalties: tuple[Penalty, ...]) -> None:
    if penalties:
        overlay.put(PENALTIES_KEY, PENALTIES_CODEC.encode(penalties[-MAX_LISTED_VALIDATORS:]))
    else:
        overlay.delete(PENALTIES_KEY)


def _pay_out(overlay: Overlay, taken: int, reserve: int) -> None:
    """Take `taken` units out of BONDED and give `reserve` of them to TRANSITION_RESERVE."""
    if overlay.debit(BONDED_ADDRESS, taken) is None:
        raise ConservationBroken("slash", overlay.account(BONDED_ADDRESS).balance, taken)
    overlay.credit(TRANSITION_RESERVE_ADDRESS, reserve)
    count_burned(overlay, reserve)


def _first_exposed(offence_epoch: int, context: BlockContext, epoch: int) -> int:
    """The first epoch whose unbonding pool stood behind an offence: schedules lag by the activation delay, and while
    finality stands still they count what was there when it stopped."""
    lagging = min(offence_epoch - context.staking.activation_delay_epochs, context.finalised_epoch)
    return max(0, lagging, epoch - MAX_EXPOSED_EPOCHS)


def _exposed_pools(overlay: Overlay, index: int, first: int, epoch: int) -> list[tuple[int, UnbondingPool]]:
    """The unbonding pools of the epochs `first` to `epoch`, ascending, empty ones left out."""
    pools = ((began, read_pool(overlay, index, began)) for began in range(first, epoch + 1))
    return [(began, pool) for began, pool in pools if pool.self_units or pool.delegated_units]


def _exposed_units(overlay: Overlay, record: ValidatorRecord, first: int, epoch: int) -> int:
    """Units that a penalty may take, of an offence that pools from `first` on stood behind."""
    pools = _exposed_pools(overlay, record.index, first, epoch)
    return record.stake_units + sum(pool.self_units + pool.delegated_units for _, pool in pools)


def _take(
    overlay: Overlay, record: ValidatorRecord, due: int, first: int, epoch: int
) -> tuple[ValidatorRecord, int]:
    """(the record, units taken): at most `due` out of own stake, then out of the delegations pro rata.

    Writes the pools; the record and BONDED are the caller's.
    """
    pools = _exposed_pools(overlay, record.index, first, epoch)
    owed = due
    own = min(owed, record.self_stake_units)
    owed -= own
    own_parts = []
    for _, pool in pools:
        part = min(owed, pool.self_units)
        owed -= part
        own_parts.append(part)
    parts = _pro_rata(owed, [record.delegated_units, *(pool.delegated_units for _, pool in pools)])
    for (began, pool), own_part, part in zip(pools, own_parts, parts[1:], strict=True):
        if own_part or part:
            write_pool(
                overlay,
                record.index,
                began,
                msgspec.structs.replace(
                    pool,
                    self_units=pool.self_units - own_part,
                    delegated_units=pool.delegated_units - part,
                ),
            )
    slashed = msgspec.structs.replace(
        record,
        self_stake_units=record.self_stake_units - own,
        delegated_units=record.delegated_units - parts[0],
    )
    return slashed, own + sum(own_parts) + sum(parts)


def _pro_rata(owed: int, held: list[int]) -> list[int]:
    """`owed` spread over `held` in proportion, at most all of it; what rounding leaves falls on the first."""
    total = sum(held)
    owed = min(owed, total)
    parts = [owed * units // total if total else 0 for units in held]
    left = owed - sum(parts)
    for place, units in enumerate(held):
        more = min(left, units - parts[place])
        parts[place] += more
        left -= more
    return parts
