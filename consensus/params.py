"""Every number of consensus, derived from lanes, slot time and the message delay that the rules must bear.

Only `Preset` is chosen by people; `Params` follows from a preset and the genesis document. Slot arithmetic is here
too, in integer milliseconds. Source: consensus.md (Presets, Finality, Limits) and the table in this package's README.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ledger.errors import GenesisInvalid
from ledger.genesis import Genesis, genesis_hash
from ledger.staking_rules import StakingRules
from wnsp.spectrum import BAND_COUNT

PERIOD_SLOTS = 8
"""Slots between checkpoints; a vote per validator and period."""

MAX_PARENTS = 2 * BAND_COUNT
"""Tips of two slots, all lanes: more are never open at once while the delay is within its bound."""

MAX_HEADER_BYTES = 8 * 1024
MAX_BLOCK_BYTES = 512 * 1024

MAX_BLOCK_TOUCHES = 6_000
"""Records that a block's transactions may create or change beside their senders' accounts: about 150 ms of execution,
commitment and commit on the reference machine, so that the six lanes of a slot stay within it. A block full of plain
transfers touches 2,600; a batch touches one for each leg."""

MAX_FUTURE_SLOTS = 1
"""How far ahead of our own clock a block may be: the clock offset that honest nodes have."""

MAX_QUEUED_FUTURE_BLOCKS = 64
"""How many blocks of later slots a node keeps until their time."""

HEALED_PARTITION_PERIODS = 20
"""The longest partition that is promised to heal; the merge depth is never below twice that."""

FULL_MODE_VALIDATORS = 2 * BAND_COUNT
"""From two validators per band on the spectrum is full: no validator counts for more than a twelfth."""

BANDS_REQUIRED = BAND_COUNT - 1
"""Bands that must be lit in a certificate; one may be dark."""

MAX_EXPIRY_MS = 30 * 24 * 3600 * 1000
"""How far ahead a transaction's expiry may lie: four times what an offline bundle may travel (7 days)."""


@dataclass(frozen=True, slots=True)
class Preset:
    """What people chose for one kind of network, in milliseconds."""

    name: str
    slot_ms: int
    epoch_slots: int
    delay_bound_ms: int
    """D: by then a block has reached all honest nodes, clock offset included. Slots are meant to be as long."""
    merge_depth_ms: int
    unbonding_ms: int
    """0 where it is counted in epochs: see `unbonding_epochs`."""
    unbonding_epochs: int
    voting_epochs: int
    """0: as long as the unbonding time."""
    retention_ms: int
    doppelganger_periods: int
    slot_may_differ: bool
    """True where a genesis may choose slot and epoch lengths of its own."""


ACTIVATION_DELAY_EPOCHS = 4
"""From a registration to the first snapshot that counts it: by then its key is known to whoever judges a header, and
the seed that deals it a band was not known when it registered."""

JAIL_MS = 24 * 3600 * 1000
"""Least time in jail, where epochs are as long as on main; on networks for tests the unbonding time."""

YEAR_MS = 365 * 24 * 3600 * 1000

_HOUR_MS = 3600 * 1000
_DAY_MS = 24 * _HOUR_MS

PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        preset.name: preset
        for preset in (
            # One machine or one desk: messages take milliseconds, so short test slots keep the derived numbers.
            Preset("devnet", 1_000, 32, 100, 1_200_000, 0, 16, 3, _HOUR_MS, 0, True),
            # A LAN: ten blocks a second.
            Preset("fast", 600, 64, 600, 720_000, 0, 16, 3, _HOUR_MS, 2, False),
            Preset("testnet", 2_000, 1_024, 2_000, _HOUR_MS, 14 * _DAY_MS, 0, 0, 30 * _HOUR_MS, 2, False),
            Preset("main", 2_000, 1_024, 2_000, _HOUR_MS, 14 * _DAY_MS, 0, 0, 30 * _HOUR_MS, 2, False),
        )
    }
)
"""By network name."""


@dataclass(frozen=True, slots=True)
class Params:
    """The rules' numbers on one network."""

    network: str
    chain_id: str
    genesis_hash: bytes
    genesis_time_ms: int
    slot_ms: int
    epoch_slots: int
    period_slots: int
    margin_slots: int
    """ceil(D / T) + 1: after so many slots every honest node has a block, whenever in its slot it was made."""
    vote_offset_slots: int
    """Slots after a period's begin at which votes are cast: margin + 1."""
    look_back_slots: int
    """A checkpoint lies at least this far before its period's begin: ghostdag_k / lanes + 3."""
    ghostdag_k: int
    """lanes × (2 × margin − 1): see `params_from_genesis`."""
    max_parents: int
    mergeset_limit: int
    """Blocks that one block may merge beside its selected parent: 10 k."""
    merge_depth_slots: int
    max_block_bytes: int
    max_header_bytes: int
    max_future_slots: int
    max_queued_future_blocks: int
    max_expiry_slots: int
    unbonding_epochs: int
    evidence_epochs: int
    """Epochs in which a fault can still be proved: half of the unbonding time, so that the stake is there yet."""
    retention_slots: int
    doppelganger_periods: int
    staking: StakingRules
    """The same epochs as the ledger needs them."""


def params_from_genesis(genesis: Genesis) -> Params:
    """The numbers of the network that `genesis` founds.

    An honest block of slot s, made with delays below m slots, has in its anticone at most the blocks of slots
    s − m + 1 to s + m − 1 without itself: lanes × (2m − 1) − 1. With m = margin = 2 that is 6 × 3 − 1 = 17 < k = 18.

    Errors: `GenesisInvalid` for an unknown network, slots or epochs that the network does not allow, or slots so
    short that a period cannot hold its vote.
    """
    preset = PRESETS.get(genesis.network)
    if preset is None:
        raise GenesisInvalid(f"network {genesis.network!r} is unknown; known: {', '.join(PRESETS)}")
    slot_ms, epoch_slots = genesis.slot_ms, genesis.epoch_slots
    if slot_ms < 1 or epoch_slots < 1:
        raise GenesisInvalid(f"slot_ms {slot_ms} and epoch_slots {epoch_slots} must be at least 1")
    if not preset.slot_may_differ and (slot_ms, epoch_slots) != (preset.slot_ms, preset.epoch_slots):
        raise GenesisInvalid(
            f"{preset.name} has slots of {preset.slot_ms} ms and epochs of {preset.epoch_slots} slots, "
            f"found {slot_ms} ms and {epoch_slots}"
        )
    if epoch_slots % PERIOD_SLOTS:
        raise GenesisInvalid(
            f"epoch_slots {epoch_slots} is no multiple of the period of {PERIOD_SLOTS} slots"
        )
    margin_slots = _ceil_div(preset.delay_bound_ms, slot_ms) + 1
    vote_offset_slots = margin_slots + 1
    if vote_offset_slots >= PERIOD_SLOTS:
        raise GenesisInvalid(
            f"slots of {slot_ms} ms under delays up to {preset.delay_bound_ms} ms put the vote at slot "
            f"{vote_offset_slots} of a period of {PERIOD_SLOTS}; use slots of at least "
            f"{_ceil_div(preset.delay_bound_ms, PERIOD_SLOTS - 3)} ms"
        )
    ghostdag_k = BAND_COUNT * (2 * margin_slots - 1)
    unbonding_epochs = preset.unbonding_epochs or _ceil_div(preset.unbonding_ms, slot_ms * epoch_slots)
    evidence_epochs = _ceil_div(unbonding_epochs, 2)
    epoch_ms = slot_ms * epoch_slots
    staking = StakingRules(
        activation_delay_epochs=ACTIVATION_DELAY_EPOCHS,
        unbonding_epochs=unbonding_epochs,
        evidence_epochs=evidence_epochs,
        jail_epochs=max(1, min(_ceil_div(JAIL_MS, epoch_ms), evidence_epochs)),
        epochs_per_year=max(1, YEAR_MS // epoch_ms),
        voting_epochs=preset.voting_epochs or unbonding_epochs,
    )
    return Params(
        network=genesis.network,
        chain_id=genesis.chain_id,
        genesis_hash=genesis_hash(genesis),
        genesis_time_ms=genesis.genesis_time_ms,
        slot_ms=slot_ms,
        epoch_slots=epoch_slots,
        period_slots=PERIOD_SLOTS,
        margin_slots=margin_slots,
        vote_offset_slots=vote_offset_slots,
        look_back_slots=ghostdag_k // BAND_COUNT + 3,
        ghostdag_k=ghostdag_k,
        max_parents=MAX_PARENTS,
        mergeset_limit=10 * ghostdag_k,
        merge_depth_slots=max(
            _ceil_div(preset.merge_depth_ms, slot_ms), 2 * HEALED_PARTITION_PERIODS * PERIOD_SLOTS
        ),
        max_block_bytes=MAX_BLOCK_BYTES,
        max_header_bytes=MAX_HEADER_BYTES,
        max_future_slots=MAX_FUTURE_SLOTS,
        max_queued_future_blocks=MAX_QUEUED_FUTURE_BLOCKS,
        max_expiry_slots=_ceil_div(MAX_EXPIRY_MS, slot_ms),
        unbonding_epochs=unbonding_epochs,
        evidence_epochs=evidence_epochs,
        retention_slots=_ceil_div(preset.retention_ms, slot_ms),
        doppelganger_periods=preset.doppelganger_periods,
        staking=staking,
    )


def slot_at(params: Params, now_ms: int) -> int:
    """The slot that Unix time `now_ms` (milliseconds) lies in; negative before genesis."""
    return (now_ms - params.genesis_time_ms) // params.slot_ms


def slot_start_ms(params: Params, slot: int) -> int:
    """Unix time in milliseconds at which `slot` begins."""
    return params.genesis_time_ms + slot * params.slot_ms


def epoch_at(params: Params, slot: int) -> int:
    """The epoch that `slot` belongs to."""
    return slot // params.epoch_slots


def first_slot_of_epoch(params: Params, epoch: int) -> int:
    """The slot with which `epoch` begins."""
    return epoch * params.epoch_slots


def period_at(params: Params, slot: int) -> int:
    """The finality period that `slot` belongs to."""
    return slot // params.period_slots


def checkpoint_end_slot(params: Params, period: int) -> int:
    """The checkpoint of `period` on a chain is its last block of a slot below this one, genesis at the least."""
    return max(1, period * params.period_slots - params.look_back_slots)


def _ceil_div(dividend: int, divisor: int) -> int:
    """Quotient rounded up."""
    return -(-dividend // divisor)
