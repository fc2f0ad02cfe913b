"""Who takes part in the next epoch: status of validators, their onions, and the snapshot for the schedules."""

from typing import Final

import msgspec

from ledger.epoch_steps import EpochChange
from ledger.hashing import digest, tagged
from ledger.onion import peel_matches
from ledger.staking.activity import reveals_of
from ledger.staking.records import (
    ACTIVE,
    EXITED,
    EXITING,
    JAILED,
    LIST_CODEC,
    REGISTERED,
    VALIDATOR_LIST_KEY,
    ValidatorRecord,
    read_list,
    read_validator,
    write_epoch,
    write_validator,
)
from ledger.staking.snapshot import (
    HISTORY_KEY,
    SNAPSHOT_CODEC,
    SNAPSHOT_KEY,
    EpochSnapshot,
    SnapshotValidator,
    longer_history,
    read_snapshot,
)
from ledger.staking_rules import StakingRules
from ledger.state import Overlay

_MIX_TAG: Final = tagged("nexus/epoch-mix/v1")


def next_mix(mix: bytes, reveals: bytes) -> bytes:
    """The randomness after an epoch: H(tag ‖ mix ‖ (index u32 ‖ reveal) of everyone who revealed, ascending)."""
    return digest(_MIX_TAG, mix, reveals)


def update_validators(overlay: Overlay, change: EpochChange) -> None:
    """The step `validators`: onions move to their reveals; the idle are jailed; who waited long enough is activated."""
    due = {one.index for one in read_snapshot(overlay).validators if one.stake_units}
    staying = []
    indices = read_list(overlay)
    for index in indices:
        record = read_validator(overlay, index)
        if record is None:
            continue
        after = _with_status(_with_onion(record, change), index in due, change)
        if after != record:
            write_validator(overlay, after)
        if after.status != EXITED:
            staying.append(index)
    if tuple(staying) != indices:
        overlay.put(VALIDATOR_LIST_KEY, LIST_CODEC.encode(tuple(staying)))


def _with_onion(record: ValidatorRecord, change: EpochChange) -> ValidatorRecord:
    """The onion moved to what was revealed. A reveal of a generation before `onion_renew` moves nothing."""
    activity = change.activity.get(record.index)
    steps = change.closing_epoch - record.onion_epoch
    if (
        activity is None
        or not activity.reveal
        or not 0 < steps <= record.onion_layers
        or not peel_matches(activity.reveal, steps, record.onion_tip)
    ):
        return record
    return msgspec.structs.replace(
        record,
        onion_tip=activity.reveal,
        onion_epoch=change.closing_epoch,
        onion_layers=record.onion_layers - steps,
    )


def _with_status(record: ValidatorRecord, due: bool, change: EpochChange) -> ValidatorRecord:
    """The status that the record has from the new epoch on."""
    rules, epoch = change.context.staking, change.context.epoch
    replace = msgspec.structs.replace
    if record.status == EXITING:
        known_until = record.exit_epoch + rules.activation_delay_epochs + rules.evidence_epochs
        # Whoever the last set still needs, or a schedule that waits for finality, stays known: it is still paid.
        left = change.context.finalised_epoch > record.exit_epoch + rules.activation_delay_epochs
        return replace(record, status=EXITED) if epoch > known_until and left and not due else record
    if record.status == REGISTERED:
        return replace(record, status=ACTIVE) if epoch >= record.activation_epoch else record
    if record.status != ACTIVE:
        return record
    idle = _idle_epochs(record, due, change)
    if idle >= rules.downtime_epochs:
        return replace(record, status=JAILED, idle_epochs=0, jailed_until_epoch=epoch + rules.jail_epochs)
    return record if idle == record.idle_epochs else replace(record, idle_epochs=idle)


def _idle_epochs(record: ValidatorRecord, due: bool, change: EpochChange) -> int:
    """Epochs in a row without a sign of life. They count only while finality advances: in a partition nobody can tell
    who is down, and the side that heals into the chain must not find itself in jail."""
    activity = change.activity.get(record.index)
    if activity is not None and (activity.blocks or activity.votes):
        return 0
    live = (
        change.context.finalised_epoch + change.context.staking.activation_delay_epochs
        >= change.closing_epoch
    )
    return record.idle_epochs + 1 if due and live else record.idle_epochs


def take_snapshot(overlay: Overlay, change: EpochChange) -> None:
    """The step `snapshot`: the set and the randomness of the new epoch."""
    before = read_snapshot(overlay)
    records = [record for index in read_list(overlay) if (record := read_validator(overlay, index))]
    stakes = chosen_stakes(records, change.context.staking)
    if not stakes:
        # Liveness before correctness: an empty set could never make another block. The last one goes on.
        stakes = {one.index: one.stake_units for one in before.validators if one.stake_units}
    members = tuple(
        SnapshotValidator(
            index=record.index,
            consensus_key=record.consensus_key,
            stake_units=stakes.get(record.index, 0),
            onion_tip=record.onion_tip,
            onion_epoch=record.onion_epoch,
            onion_layers=record.onion_layers,
            onion_generation=record.onion_generation,
        )
        for record in records
    )
    mix = next_mix(before.mix, reveals_of(tuple(change.activity.items())))
    snapshot = SNAPSHOT_CODEC.encode(EpochSnapshot(change.context.epoch, mix, members))
    overlay.put(HISTORY_KEY, longer_history(overlay, change.context.epoch, snapshot))
    overlay.put(SNAPSHOT_KEY, snapshot)
    write_epoch(overlay, change.context.epoch, sum(member.stake_units for member in members))


def chosen_stakes(records: list[ValidatorRecord], rules: StakingRules) -> dict[int, int]:
    """Units of stake by index of the active validators: the greatest stakes, of equal ones the lower index."""
    able = [record for record in records if record.status == ACTIVE and record.stake_units]
    able.sort(key=lambda record: (-record.stake_units, record.index))
    return {record.index: record.stake_units for record in able[: rules.max_validators]}
