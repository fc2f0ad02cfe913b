"""Validators, the bands dealt to them per epoch, proposers and leaders of lanes, and when votes are a certificate.

The deal is the real rule (`consensus.schedule.deal_bands`) over a shuffled order instead of an order by hashes;
proposers are drawn with a seeded generator, weighted by effective stake.
"""

from collections.abc import Sequence
from random import Random

from consensus.params import BANDS_REQUIRED, FULL_MODE_VALIDATORS
from ledger.staking.effective_stake import effective_stake_cap
from wnsp.spectrum import BAND_COUNT

RANK_BITS = 32


def effective_stakes(stakes: Sequence[int]) -> tuple[int, ...]:
    """What each stake counts for: capped in full mode, as it is below twelve validators."""
    if len(stakes) < FULL_MODE_VALIDATORS:
        return tuple(stakes)
    cap = effective_stake_cap(stakes)
    return tuple(min(stake, cap) for stake in stakes)


def deal(order: Sequence[int], stakes: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Validator indices by band: in this order, each to the band with the least stake, the first of equals."""
    members: list[list[int]] = [[] for _ in range(BAND_COUNT)]
    dealt = [0] * BAND_COUNT
    for validator in order:
        band = dealt.index(min(dealt))
        members[band].append(validator)
        dealt[band] += stakes[validator]
    return tuple(map(tuple, members))


class DealtEpoch:
    """Bands, proposers and lane ranks of one epoch."""

    __slots__ = ("band_masks", "band_stakes", "bands", "bands_required", "first_slot", "proposers", "ranks")

    def __init__(self, rng: Random, stakes: Sequence[int], first_slot: int, slots: int) -> None:
        order = list(range(len(stakes)))
        rng.shuffle(order)
        self.first_slot = first_slot
        self.bands = deal(order, stakes)
        self.band_masks = tuple(sum(1 << validator for validator in band) for band in self.bands)
        self.band_stakes = tuple(sum(stakes[validator] for validator in band) for band in self.bands)
        populated = sum(1 for band in self.bands if band)
        self.bands_required = min(BANDS_REQUIRED, populated)
        by_band = [
            rng.choices(band, [stakes[validator] for validator in band], k=slots) if band else [-1] * slots
            for band in self.bands
        ]
        self.proposers = tuple(zip(*by_band, strict=True))
        """Per slot of the epoch: the proposer of each band, −1 where a band is empty."""
        self.ranks = tuple(rng.getrandbits(RANK_BITS) for _ in range(slots * BAND_COUNT))
        """Per lane of the epoch: greater wins ties and leads periods."""


class Committee:
    """The validators of a run. A set of validators is an int with a bit each."""

    def __init__(self, stakes: Sequence[int], seed: int, epoch_slots: int) -> None:
        self.stakes = effective_stakes(stakes)
        self.total_stake = sum(self.stakes)
        self.size = len(stakes)
        self._seed = seed
        self._epoch_slots = epoch_slots
        self._epochs: dict[int, DealtEpoch] = {}
        self._quorums: dict[tuple[int, int], bool] = {}

    def epoch_of(self, slot: int) -> DealtEpoch:
        """The epoch that `slot` lies in."""
        number = slot // self._epoch_slots
        dealt = self._epochs.get(number)
        if dealt is None:
            rng = Random(f"{self._seed} epoch {number}")
            dealt = DealtEpoch(rng, self.stakes, number * self._epoch_slots, self._epoch_slots)
            self._epochs[number] = dealt
        return dealt

    def proposers(self, slot: int) -> tuple[int, ...]:
        """The proposer of each band at `slot`; −1 where the band has no validators."""
        dealt = self.epoch_of(slot)
        return dealt.proposers[slot - dealt.first_slot]

    def rank(self, slot: int, band: int) -> int:
        """The lane's rank, below 2^32."""
        dealt = self.epoch_of(slot)
        return dealt.ranks[(slot - dealt.first_slot) * BAND_COUNT + band]

    def leader_lanes(self, slot: int) -> list[int]:
        """Lanes (slot × 6 + band) of `slot`, the best-ranked first."""
        lanes = [(self.rank(slot, band), slot * BAND_COUNT + band) for band in range(BAND_COUNT)]
        return [lane for _, lane in sorted(lanes, reverse=True)]

    def stake_of(self, voters: int) -> int:
        """Effective stake of a set of validators."""
        total = 0
        while voters:
            low = voters & -voters
            total += self.stakes[low.bit_length() - 1]
            voters ^= low
        return total

    def is_quorum(self, voters: int, slot: int) -> bool:
        """Whether the set certifies with the bands of `slot`'s epoch: more than 2/3 of the stake, and 5 of 6 bands in
        which more than 1/3 of the band's stake is in the set."""
        key = (slot // self._epoch_slots, voters)
        known = self._quorums.get(key)
        if known is None:
            known = 3 * self.stake_of(voters) > 2 * self.total_stake and self._lights_enough(voters, slot)
            self._quorums[key] = known
        return known

    def _lights_enough(self, voters: int, slot: int) -> bool:
        dealt = self.epoch_of(slot)
        lit = sum(
            1
            for mask, stake in zip(dealt.band_masks, dealt.band_stakes, strict=True)
            if 3 * self.stake_of(mask & voters) > stake
        )
        return lit >= dealt.bands_required


def choose_byzantine(stakes: Sequence[int], rng: Random) -> tuple[int, ...]:
    """Validators with just under a third of the effective stake together: drawn at random until no more fit."""
    effective = effective_stakes(stakes)
    total = sum(effective)
    order = list(range(len(stakes)))
    rng.shuffle(order)
    chosen: list[int] = []
    taken = 0
    for validator in order:
        if 3 * (taken + effective[validator]) < total:
            chosen.append(validator)
            taken += effective[validator]
    return tuple(sorted(chosen))


def captured_bands(
    validators: int, adversaries: int, lit_above: tuple[int, int], rng: Random, *, deals: int
) -> int:
    """How many of `deals` random deals of equal stakes let the adversaries keep two or more bands dark.

    A band is dark when the honest in it hold no more than the fraction `lit_above` (numerator, denominator) of it.
    Two dark bands of six stop certificates. Source: reliability.md 3.2.
    """
    numerator, denominator = lit_above
    stakes = [1] * validators
    order = list(range(validators))
    captured = 0
    for _ in range(deals):
        rng.shuffle(order)
        dark = 0
        for band in deal(order, stakes):
            honest = sum(1 for validator in band if validator >= adversaries)
            if honest * denominator <= numerator * len(band):
                dark += 1
        if dark >= 2:
            captured += 1
    return captured
