"""The finality view of a block: which checkpoints the votes in its past justify and finalise.

view(B) = view(selected parent of B) + the votes that the blocks of B's merge set carry; B's own votes are counted by
its children. A vote counts when its target is the checkpoint of its period on B's own selected chain and its source is
justified in the view. So the view is a function of past(B) alone and needs no execution: side blocks have one too.
Selected chains form a tree, so this is Casper FFG (Buterin, Griffith 2017). README, Finality view; consensus.md.
"""

from collections.abc import Callable, Iterable
from typing import Final

from consensus.schedule import EpochSchedule
from consensus.votes import Checkpoint, Vote
from ledger.encoding import Codec, Hash32, Record
from wnsp.spectrum import BAND_COUNT

LATE_PERIODS = 2
"""A vote counts in blocks of its target's period and of this many later ones; then it is ignored."""

JUSTIFIED_KEPT = 8
"""Justified checkpoints that a view remembers: a source older than that is no longer accepted."""


class Tally(Record, frozen=True):
    """The votes counted for one link. Only links whose target is on the block's chain have one."""

    source: Checkpoint
    target: Checkpoint
    voters: bytes
    """Bit n (of a little-endian number): the n-th validator of the target epoch's set has voted."""
    signed: tuple[int, ...]
    """Their effective stake by band, in units."""


class FinalityView(Record, frozen=True):
    """What a block's past has justified and finalised."""

    justified: Checkpoint
    """The highest justified checkpoint."""
    finalised: Checkpoint
    justified_chain: tuple[Checkpoint, ...]
    """The newest justified ones, ascending by period; the last one is `justified`."""
    tallies: tuple[Tally, ...]
    """Ascending by target and source; of the last `LATE_PERIODS` + 1 periods when votes were last counted."""

    def tally(self, source: Checkpoint, target: Checkpoint) -> Tally | None:
        """The tally of a link, or None when nothing was counted for it."""
        for tally in self.tallies:
            if tally.target == target and tally.source == source:
                return tally
        return None


class BlockFinality(Record, frozen=True):
    """What finality and schedules need to know of a block. Stored once, never changed."""

    view: FinalityView
    transition: Hash32
    """The first chain block of the block's own epoch on its chain, which may be the block itself: executing it writes
    the epoch's snapshot."""
    anchor: Hash32
    """The last block of slot < start of the block's epoch − 8 on its chain: its view gives the epoch's schedule."""
    tie: Hash32
    """The rank of its lane; the block id, where there is no lane."""


class FinalityStatus(Record, frozen=True):
    """Where a node is."""

    justified: Checkpoint
    """Highest justified checkpoint in the view of the sink."""
    finalised: Checkpoint
    """The finalised checkpoint, which never falls."""


CHECKPOINT_CODEC: Final = Codec(Checkpoint, "checkpoint", 64)
FINALITY_CODEC: Final = Codec(BlockFinality, "finality", 64 * 1024)


def genesis_finality(genesis_id: bytes) -> BlockFinality:
    """What finality begins with: genesis is the finalised checkpoint of period 0, and its own anchor."""
    checkpoint = Checkpoint(0, genesis_id)
    view = FinalityView(checkpoint, checkpoint, (checkpoint,), ())
    return BlockFinality(view, genesis_id, genesis_id, genesis_id)


def has_quorum(schedule: EpochSchedule, signed: tuple[int, ...] | list[int]) -> bool:
    """`certificates.is_quorum` for stakes that are summed by band already: O(bands)."""
    if 3 * sum(signed) <= 2 * schedule.validators.total_effective_stake_units:
        return False
    lit = sum(3 * signed[band] > schedule.cumulative_stakes[band][-1] for band in schedule.populated)
    return lit >= schedule.bands_required


def count_votes(
    before: FinalityView,
    votes: Iterable[Vote],
    period: int,
    is_checkpoint: Callable[[Checkpoint], bool],
    schedule_of: Callable[[Checkpoint], EpochSchedule],
) -> FinalityView:
    """The view after `before` and `votes`, for a block whose slot lies in `period`.

    `is_checkpoint` tells whether a target is the checkpoint of its period on the block's chain; `schedule_of` gives the
    set and the bands of such a target's epoch. Every vote is valid as a vote of some block; here it is only decided
    whether it counts. The order of `votes` does not matter: links are taken ascending, each as a whole.
    """
    oldest = period - LATE_PERIODS
    links: dict[tuple[int, bytes, int, bytes], list[Vote]] = {}
    for vote in votes:
        source, target = vote.source, vote.target
        if oldest <= target.period <= period:
            key = target.period, target.block_id, source.period, source.block_id
            links.setdefault(key, []).append(vote)
    if not links:
        return before
    tallies = {_key(tally): tally for tally in before.tallies if tally.target.period >= oldest}
    justified = list(before.justified_chain)
    finalised = before.finalised
    on_chain: dict[Checkpoint, bool] = {}
    for key in sorted(links):
        counted = links[key]
        source, target = counted[0].source, counted[0].target
        if source not in justified:
            continue
        known = on_chain.get(target)
        if known is None:
            known = on_chain[target] = is_checkpoint(target)
        if not known:
            continue
        schedule = schedule_of(target)
        tally = tallies[key] = _counted(tallies.get(key), source, target, counted, schedule)
        if not has_quorum(schedule, tally.signed):
            continue
        if target not in justified:
            justified.append(target)
            justified.sort(key=_period)
            del justified[:-JUSTIFIED_KEPT]
        if target.period == source.period + 1 and source.period > finalised.period:
            finalised = source
    return FinalityView(
        justified[-1], finalised, tuple(justified), tuple(tallies[key] for key in sorted(tallies))
    )


def newly_counted(
    before: FinalityView,
    after: FinalityView,
    oldest_period: int,
    schedule_of: Callable[[Checkpoint], EpochSchedule],
) -> tuple[int, ...]:
    """Indices of the validators whose votes for targets from `oldest_period` on are counted in `after` and not in
    `before`, ascending; an index stands there once per vote."""
    if after is before or after.tallies == before.tallies:
        return ()
    found: list[int] = []
    for tally in after.tallies:
        if tally.target.period < oldest_period:
            continue
        earlier = before.tally(tally.source, tally.target)
        bits = int.from_bytes(tally.voters, "little")
        if earlier is not None:
            bits &= ~int.from_bytes(earlier.voters, "little")
        if bits:
            validators = schedule_of(tally.target).validators.validators
            found.extend(validators[position].index for position in _positions(bits))
    return tuple(sorted(found))


def voters_of(tally: Tally, schedule: EpochSchedule) -> tuple[int, ...]:
    """Indices of the validators that a tally has counted, ascending. `schedule`: of the target's epoch."""
    validators = schedule.validators.validators
    return tuple(validators[at].index for at in _positions(int.from_bytes(tally.voters, "little")))


def has_voted(tally: Tally | None, position: int) -> bool:
    """Whether a tally has counted the validator at `position` of the set."""
    at = position >> 3
    return tally is not None and at < len(tally.voters) and tally.voters[at] >> (position & 7) & 1 == 1


def _counted(
    tally: Tally | None, source: Checkpoint, target: Checkpoint, votes: list[Vote], schedule: EpochSchedule
) -> Tally:
    bits = 0 if tally is None else int.from_bytes(tally.voters, "little")
    signed = [0] * BAND_COUNT if tally is None else list(tally.signed)
    for vote in votes:
        seat = schedule.seats.get(vote.validator)
        if seat is None or bits >> seat.position & 1:
            continue
        bits |= 1 << seat.position
        signed[seat.band] += seat.effective_stake_units
    return Tally(source, target, bits.to_bytes((bits.bit_length() + 7) >> 3, "little"), tuple(signed))


def _positions(bits: int) -> list[int]:
    found = []
    while bits:
        lowest = bits & -bits
        found.append(lowest.bit_length() - 1)
        bits ^= lowest
    return found


def _key(tally: Tally) -> tuple[int, bytes, int, bytes]:
    return tally.target.period, tally.target.block_id, tally.source.period, tally.source.block_id


def _period(checkpoint: Checkpoint) -> int:
    return checkpoint.period
