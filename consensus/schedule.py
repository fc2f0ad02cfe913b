"""Who may propose where: the validator set, the bands dealt for an epoch, the proposer and the rank of every lane.

All of it follows from an `Anchor` (a validator set and a random mix) and the epoch's number, in integers. Bands are
dealt, never chosen. Source: consensus.md (Validators, stake, randomness, bands, proposers); formulas: README, Schedule.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate, pairwise
from operator import is_

from consensus.params import BANDS_REQUIRED, FULL_MODE_VALIDATORS, Params, epoch_at, first_slot_of_epoch
from ledger.errors import GenesisInvalid
from ledger.genesis import Genesis, genesis_mix
from ledger.hashing import digest, tagged
from ledger.onion import MAX_ONION_STEPS
from ledger.staking.bands import deal_into_bands
from ledger.staking.effective_stake import effective_stake_cap
from ledger.staking.snapshot import EpochSnapshot, SnapshotValidator
from wnsp.spectrum import BAND_COUNT

_SET_TAG = tagged("nexus/validator-set/v1")
_EPOCH_SEED_TAG = tagged("nexus/epoch-seed/v1")
_PROPOSER_TAG = tagged("nexus/proposer/v1")
_LANE_TIE_TAG = tagged("nexus/lane-tie/v1")
_MEMPOOL_LANE_TAG = tagged("nexus/mempool-lane/v1")

_DRAW_BYTES = 8
_DRAWS = 1 << 8 * _DRAW_BYTES

EPOCHS_KEPT = 16
"""Epoch schedules kept in memory: headers of a few epochs are judged at a time, and each is dealt in milliseconds."""

KEYS_KEPT = 8
"""Keys remembered per validator index, the newest: a validator changes its key once in an epoch at most."""

GENESIS_EPOCHS = 2
"""Epochs 0 and 1 are always read from the genesis anchor."""


@dataclass(frozen=True, slots=True)
class Validator:
    """One validator as the schedule sees it."""

    index: int
    consensus_key: bytes
    stake_units: int
    effective_stake_units: int
    """What it counts for in quorums and in the choice of proposers: min(stake, cap)."""
    onion_tip: bytes
    """The layer of its hash onion that is known, 32 bytes."""
    onion_epoch: int
    """The epoch whose reveal `onion_tip` is, or in which it was committed to."""
    onion_layers: int
    """Layers left under the tip."""
    onion_generation: int
    """Which onion of the key it is."""

    def layers_in(self, epoch: int) -> int:
        """Layers that are left under the reveal of `epoch`; below 0 when the onion does not reach so far."""
        return self.onion_layers - (epoch - self.onion_epoch)

    def reveals_in(self, epoch: int) -> bool:
        """Whether the onion reaches `epoch`: it has a layer for it, not too many below the known one to check. Else
        blocks of the epoch carry `ledger.onion.NO_REVEAL`."""
        return 0 <= epoch - self.onion_epoch <= min(self.onion_layers, MAX_ONION_STEPS)


@dataclass(frozen=True, slots=True)
class ValidatorSet:
    """The validators of a snapshot, in order of index."""

    validators: tuple[Validator, ...]
    full: bool
    """True from two validators per band on (full mode); else bootstrap mode, without a cap on stake."""
    total_effective_stake_units: int
    digest: bytes
    """32 bytes over index, key, stakes and onion of all: tells sets apart."""

    @property
    def status(self) -> str:
        """`full` or `bootstrap`, for status pages."""
        return "full" if self.full else "bootstrap"

    def find(self, index: int) -> Validator | None:
        """The validator of `index`, or None."""
        at = bisect_left(self.validators, index, key=_index_of)
        if at < len(self.validators) and self.validators[at].index == index:
            return self.validators[at]
        return None


@dataclass(frozen=True, slots=True)
class Anchor:
    """What a schedule is read from: set and mix of the latest finalised epoch in the view that judges a block."""

    epoch: int
    """The finalised epoch whose end the set and the mix belong to; 0 for genesis."""
    mix: bytes
    """32 bytes that nobody could choose."""
    validators: ValidatorSet


@dataclass(frozen=True, slots=True)
class Seat:
    """A validator's part in one epoch."""

    position: int
    """In the set's order of indices: what tallies number voters by."""
    band: int
    effective_stake_units: int
    consensus_key: bytes


@dataclass(frozen=True, slots=True)
class EpochSchedule:
    """Bands and proposers of one epoch. Immutable, safe to use from any thread."""

    epoch: int
    first_slot: int
    end_slot: int
    """The first slot that is not in the epoch."""
    seed: bytes
    validators: ValidatorSet
    bands: tuple[tuple[int, ...], ...]
    """Validator indices by band, in the order in which they were dealt."""
    cumulative_stakes: tuple[tuple[int, ...], ...]
    """Running sums of their effective stakes, aligned with `bands`."""
    populated: tuple[int, ...]
    """The bands that have validators, ascending."""
    seats: Mapping[int, Seat]
    """By validator index."""

    @property
    def bands_required(self) -> int:
        """How many lit bands a certificate needs: 5, or every populated band when fewer are."""
        return min(BANDS_REQUIRED, len(self.populated))

    def band_of(self, validator: int) -> int | None:
        """The band that `validator` was dealt, or None when it is not in the set."""
        seat = self.seats.get(validator)
        return None if seat is None else seat.band

    def proposer(self, slot: int, band: int) -> int | None:
        """Index of the validator scheduled for the lane, or None when the band is empty.

        The choice is weighted by effective stake: 8-byte draws from BLAKE2b(seed ‖ slot ‖ band ‖ counter); draws in
        the incomplete last multiple of the band's stake are drawn again, so there is no modulo bias.
        Errors: `ValueError` for a slot of another epoch.
        """
        if not self.first_slot <= slot < self.end_slot:
            raise ValueError(
                f"slot {slot} is not in epoch {self.epoch} ({self.first_slot} to {self.end_slot - 1})"
            )
        members = self.bands[band]
        if not members:
            return None
        sums = self.cumulative_stakes[band]
        return members[bisect_right(sums, _uniform(self.seed, slot, band, sums[-1]))]

    def lane_tie(self, slot: int, band: int) -> bytes:
        """32 bytes that rank the lane among others: greater wins ties between blocks, and leads a period."""
        return lane_tie(self.seed, slot, band)

    def lanes_of(self, validators: Collection[int], slot: int) -> tuple[tuple[int, int], ...]:
        """Where any of `validators` (indices) may propose at `slot`: (band, validator index), by band."""
        lanes = []
        for band in range(BAND_COUNT):
            proposer = self.proposer(slot, band)
            if proposer is not None and proposer in validators:
                lanes.append((band, proposer))
        return tuple(lanes)

    def mempool_lane(self, sender: bytes) -> int:
        """The band whose proposers take the transactions of `sender` (20-byte address) first: one of the populated.

        With all six populated this is H(sender, epoch) mod 6; the mempool offers a transaction to any lane later.
        """
        populated = self.populated
        drawn = digest(_MEMPOOL_LANE_TAG, sender, _number(self.epoch))
        return populated[int.from_bytes(drawn, "big") % len(populated)]


@dataclass(frozen=True, slots=True)
class SinkAnchors:
    """The anchors of the chain that ends with the sink, from some epoch on. Immutable."""

    epoch: int
    """Of the sink."""
    from_epochs: tuple[int, ...]
    """Ascending; the anchor beside it holds from this epoch to the next one. The last is what the sink has finalised
    so far: it may change until the chain reaches that epoch."""
    anchors: tuple[Anchor, ...]

    def of_epoch(self, epoch: int) -> Anchor:
        """The anchor of `epoch`; the first one for what lies before."""
        return self.anchors[max(0, bisect_right(self.from_epochs, epoch) - 1)]


class Schedule:
    """Epoch schedules on one network, the last few kept. Safe to share between threads.

    Without an anchor the answers are those of the chain as the engine saw it last (`see`, which replaces one immutable
    value); they judge no block, every block has an anchor of its own.
    """

    def __init__(self, params: Params, genesis_anchor: Anchor) -> None:
        """`genesis_anchor` judges epochs 0 and 1, and everything until `see` is called."""
        self.params = params
        self.genesis_anchor = genesis_anchor
        self._kept: dict[tuple[int, bytes, bytes], EpochSchedule] = {}
        self._seen = SinkAnchors(0, (0,), (genesis_anchor,))
        self._keys: Mapping[int, tuple[bytes, ...]] = {}
        self._keys_with_seen: Mapping[int, tuple[bytes, ...]] | None = None
        """`_keys` as it was when those of the sink's anchors were last learned."""
        self.learn_keys(
            (validator.index, validator.consensus_key) for validator in genesis_anchor.validators.validators
        )

    @property
    def validators(self) -> ValidatorSet:
        """The genesis set."""
        return self.genesis_anchor.validators

    @property
    def seen(self) -> SinkAnchors:
        """The anchors of the sink's chain, as of its last advance."""
        return self._seen

    def see(self, anchors: SinkAnchors) -> None:
        """The sink has moved. Called by the engine's thread.

        The keys of its anchors' sets are known from then on: after a long stall of finality no late snapshot has them.
        """
        before, self._seen = self._seen.anchors, anchors
        same = len(before) == len(anchors.anchors) and all(map(is_, before, anchors.anchors))
        if not same or self._keys is not self._keys_with_seen:
            self.learn_keys(
                (validator.index, validator.consensus_key)
                for anchor in anchors.anchors
                for validator in anchor.validators.validators
            )
            self._keys_with_seen = self._keys

    def learn_keys(self, entries: Iterable[tuple[int, bytes]]) -> None:
        """Remember (validator index, consensus key) pairs of a snapshot. Called by the engine's thread."""
        keys = dict(self._keys)
        for index, key in entries:
            known = keys.get(index, ())
            if key not in known:
                keys[index] = (*known, key)[-KEYS_KEPT:]
        self._keys = keys

    def keys_of(self, index: int) -> tuple[bytes, ...]:
        """Consensus keys that may stand behind a validator index, by any snapshot that this node knows."""
        return self._keys.get(index, ())

    def knows_keys_of_slot(self, slot: int) -> bool:
        """Whether all keys that may sign at `slot` are known: its epoch's set is of an epoch that was executed."""
        return epoch_at(self.params, slot) <= self._seen.epoch + 1

    def of_epoch(self, epoch: int, anchor: Anchor | None = None) -> EpochSchedule:
        """The schedule of `epoch` as read from `anchor`; None: as seen from the sink."""
        anchor = self._anchor_of(epoch, anchor)
        key = (epoch, anchor.mix, anchor.validators.digest)
        schedule = self._kept.get(key)
        if schedule is None:
            schedule = _epoch_schedule(self.params, epoch, anchor)
            if len(self._kept) >= EPOCHS_KEPT:
                self._kept = {}
            self._kept[key] = schedule
        return schedule

    def _anchor_of(self, epoch: int, anchor: Anchor | None) -> Anchor:
        if epoch < GENESIS_EPOCHS:
            return self.genesis_anchor
        return self._seen.of_epoch(epoch) if anchor is None else anchor

    def of_slot(self, slot: int, anchor: Anchor | None = None) -> EpochSchedule:
        """The schedule of the epoch that `slot` lies in."""
        return self.of_epoch(epoch_at(self.params, slot), anchor)

    def proposer(self, slot: int, band: int, anchor: Anchor | None = None) -> int | None:
        """Index of the validator scheduled for the lane, or None when the band is empty."""
        return self.of_slot(slot, anchor).proposer(slot, band)

    def lane_tie(self, slot: int, band: int, anchor: Anchor | None = None) -> bytes:
        """The lane's rank, 32 bytes. Deals no bands: a merge set may be of more epochs than are kept."""
        epoch = epoch_at(self.params, slot)
        mix = self._anchor_of(epoch, anchor).mix
        return lane_tie(epoch_seed(self.params.genesis_hash, mix, epoch), slot, band)

    def lanes_of(
        self, validators: Collection[int], slots: Iterable[int], anchor: Anchor | None = None
    ) -> tuple[tuple[int, int, int], ...]:
        """Where any of `validators` may propose: (slot, band, validator index) in order of `slots`, then band."""
        return tuple(
            (slot, band, validator)
            for slot in slots
            for band, validator in self.of_slot(slot, anchor).lanes_of(validators, slot)
        )


def schedule_from_genesis(genesis: Genesis, params: Params) -> Schedule:
    """The schedule that the genesis document founds. Errors: `GenesisInvalid` without a validator that has stake."""
    validators = validator_set(
        SnapshotValidator(
            index,
            validator.consensus_key,
            validator.stake_units,
            validator.onion_tip,
            onion_epoch=0,
            onion_layers=validator.onion_layers,
            onion_generation=0,
        )
        for index, validator in enumerate(genesis.validators)
    )
    if not validators.total_effective_stake_units:
        raise GenesisInvalid(
            "no validator with stake, so nobody could ever propose a block; name at least one"
        )
    return Schedule(params, Anchor(epoch=0, mix=genesis_mix(genesis), validators=validators))


def anchor_of(snapshot: EpochSnapshot) -> Anchor:
    """What the schedules that rest on `snapshot` are read from."""
    return Anchor(snapshot.epoch, snapshot.mix, validator_set(snapshot.validators))


def validator_set(entries: Iterable[SnapshotValidator]) -> ValidatorSet:
    """The validators of a snapshot that have stake. Errors: `ValueError` when an index occurs twice."""
    staked = sorted((entry for entry in entries if entry.stake_units > 0), key=lambda entry: entry.index)
    if any(one.index == other.index for one, other in pairwise(staked)):
        raise ValueError("a validator index occurs twice")
    full = len(staked) >= FULL_MODE_VALIDATORS
    cap = effective_stake_cap([entry.stake_units for entry in staked]) if full else None
    validators = tuple(
        Validator(
            entry.index,
            entry.consensus_key,
            entry.stake_units,
            entry.stake_units if cap is None else min(entry.stake_units, cap),
            entry.onion_tip,
            entry.onion_epoch,
            entry.onion_layers,
            entry.onion_generation,
        )
        for entry in staked
    )
    return ValidatorSet(
        validators=validators,
        full=full,
        total_effective_stake_units=sum(validator.effective_stake_units for validator in validators),
        digest=digest(
            _SET_TAG,
            *(
                _number(validator.index)
                + validator.consensus_key
                + _number(validator.stake_units)
                + _number(validator.effective_stake_units)
                + validator.onion_tip
                + _number(validator.onion_epoch)
                + _number(validator.onion_layers)
                + _number(validator.onion_generation)
                for validator in validators
            ),
        ),
    )


def epoch_seed(chain: bytes, mix: bytes, epoch: int) -> bytes:
    """H(tag ‖ chain ‖ mix ‖ epoch), 32 bytes. `chain` is the genesis hash; block content enters only by `mix`."""
    return digest(_EPOCH_SEED_TAG, chain, mix, _number(epoch))


def deal_bands(
    seed: bytes, validators: ValidatorSet
) -> tuple[tuple[tuple[int, ...], ...], tuple[tuple[int, ...], ...]]:
    """Validator indices by band, and the running sums of their effective stakes.

    In order of BLAKE2b(seed ‖ index) each validator goes to the band with the least effective stake, the first of
    them when several have it.
    """
    stakes = {validator.index: validator.effective_stake_units for validator in validators.validators}
    bands = deal_into_bands(seed, stakes, BAND_COUNT)
    return bands, tuple(tuple(accumulate(stakes[index] for index in band)) for band in bands)


def lane_tie(seed: bytes, slot: int, band: int) -> bytes:
    """H(epoch seed ‖ slot ‖ band), 32 bytes: the lane's rank, which its proposer cannot influence."""
    return digest(_LANE_TIE_TAG, seed, _number(slot), bytes((band,)))


def _epoch_schedule(params: Params, epoch: int, anchor: Anchor) -> EpochSchedule:
    seed = epoch_seed(params.genesis_hash, anchor.mix, epoch)
    bands, cumulative_stakes = deal_bands(seed, anchor.validators)
    band_of = {index: band for band, members in enumerate(bands) for index in members}
    return EpochSchedule(
        epoch=epoch,
        first_slot=first_slot_of_epoch(params, epoch),
        end_slot=first_slot_of_epoch(params, epoch + 1),
        seed=seed,
        validators=anchor.validators,
        bands=bands,
        cumulative_stakes=cumulative_stakes,
        populated=tuple(band for band, members in enumerate(bands) if members),
        seats={
            validator.index: Seat(
                position,
                band_of[validator.index],
                validator.effective_stake_units,
                validator.consensus_key,
            )
            for position, validator in enumerate(anchor.validators.validators)
        },
    )


def _uniform(seed: bytes, slot: int, band: int, bound: int) -> int:
    """A number from 0 to bound − 1, all equally likely, the same on every machine."""
    usable = _DRAWS - _DRAWS % bound
    counter = 0
    while True:
        drawn = int.from_bytes(
            digest(_PROPOSER_TAG, seed, _number(slot), bytes((band,)), _number(counter))[:_DRAW_BYTES], "big"
        )
        if drawn < usable:
            return drawn % bound
        counter += 1


def _number(value: int) -> bytes:
    return value.to_bytes(8, "big")


def _index_of(validator: Validator) -> int:
    return validator.index
