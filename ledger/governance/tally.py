"""Counting: quorum, share of yes, and the bands' approval of constitutional matters. Integers, cross-multiplied."""

from collections.abc import Mapping, Sequence
from typing import Final

from ledger.amounts import PPM
from ledger.governance.records import ABSTAIN, NO, YES, Proposal, read_tally
from ledger.staking.bands import BAND_COUNT, deal_into_bands
from ledger.staking.effective_stake import effective_stakes
from ledger.staking.snapshot import EpochSnapshot
from ledger.state import StateReader

CHOICES: Final = (NO, YES, ABSTAIN)


def quorum_reached(voted_units: int, total_units: int, quorum_ppm: int) -> bool:
    """Whether the votes, abstentions among them, are at least that part of all stake."""
    return voted_units > 0 and voted_units * PPM >= quorum_ppm * total_units


def share_reached(yes_units: int, no_units: int, threshold_ppm: int) -> bool:
    """Whether yes is at least that part of yes and no. No vote either way approves nothing."""
    voted = yes_units + no_units
    return voted > 0 and yes_units * PPM >= threshold_ppm * voted


def counted(proposal: Proposal, choice: int, units: int) -> tuple[int, int, int]:
    """(yes, no, abstain) of the proposal with `units` more, or less when negative, of `choice`."""
    return (
        proposal.yes_units + (units if choice == YES else 0),
        proposal.no_units + (units if choice == NO else 0),
        proposal.abstain_units + (units if choice == ABSTAIN else 0),
    )


def bands_of(snapshot: EpochSnapshot, mix: bytes) -> tuple[Mapping[int, int], ...]:
    """Units of stake by validator of each band: who takes part in the snapshot's epoch, dealt by effective stake.

    `mix`: of the epoch that begins. Nobody knows it before the last reveal of the epoch that ends, so nobody votes,
    or moves stake, into a band on purpose.
    """
    stakes = {one.index: one.stake_units for one in snapshot.validators if one.stake_units}
    dealt = deal_into_bands(mix, effective_stakes(stakes), BAND_COUNT)
    return tuple({index: stakes[index] for index in band} for band in dealt)


def bands_approving(
    reader: StateReader, proposal: Proposal, bands: Sequence[Mapping[int, int]], threshold_ppm: int
) -> tuple[int, int]:
    """(bands that approve, bands that have validators). A band approves when the votes by stake in its own validators
    reach the threshold, and yes and no together the quorum's part of its stake: a few units do not speak for it."""
    approving = populated = 0
    for band in bands:
        tallies = [read_tally(reader, proposal.id, index) for index in band]
        yes, no = sum(yes for yes, _ in tallies), sum(no for _, no in tallies)
        populated += bool(band)
        approving += quorum_reached(yes + no, sum(band.values()), proposal.quorum_ppm) and share_reached(
            yes, no, threshold_ppm
        )
    return approving, populated


def bands_needed(populated: int) -> int:
    """How many bands must approve: all but one of those that have validators, so 5 of 6; at least one."""
    return max(1, populated - 1)
