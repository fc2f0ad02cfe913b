"""Counting: quorum, share of yes, and the bands' approval of constitutional matters. Integers, cross-multiplied."""

from collections.abc import Sequence
from typing import Final

from ledger.governance.records import ABSTAIN, NO, YES, Proposal, read_tally
from ledger.staking.bands import BAND_COUNT, deal_into_bands
from ledger.staking.effective_stake import effective_stakes
from ledger.staking.records import PPM
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


def bands_of(snapshot: EpochSnapshot) -> tuple[tuple[int, ...], ...]:
    """The validators that take part in the snapshot's epoch by band, dealt by its mix and their effective stakes.

    The mix is not known before the transition that counts, so nobody votes into a band on purpose.
    """
    stakes = {one.index: one.stake_units for one in snapshot.validators if one.stake_units}
    return deal_into_bands(snapshot.mix, effective_stakes(stakes), BAND_COUNT)


def bands_approving(
    reader: StateReader, proposal: int, bands: Sequence[Sequence[int]], threshold_ppm: int
) -> tuple[int, int]:
    """(bands that approve, bands that have validators). A band approves when the votes by stake in its own validators
    reach the threshold."""
    approving = populated = 0
    for members in bands:
        tallies = [read_tally(reader, proposal, index) for index in members]
        populated += bool(members)
        approving += share_reached(
            sum(yes for yes, _ in tallies), sum(no for _, no in tallies), threshold_ppm
        )
    return approving, populated


def bands_needed(populated: int) -> int:
    """How many bands must approve: all but one of those that have validators, so 5 of 6; at least one."""
    return max(1, populated - 1)
