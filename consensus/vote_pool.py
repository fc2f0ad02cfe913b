"""The votes that a node knows besides those that its chain counts: for blocks to carry, and to prove double voting.

A value of one thread, pure and bounded. Every vote in it is verified (`consensus.vote_judging`). Of each validator the
newest `HISTORY` votes are kept, which is what a further vote is compared with: two votes for one target period, or one
whose link surrounds another's, are evidence (consensus.md, Evidence).
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import takewhile

from consensus.votes import Vote

HISTORY = 64
"""Votes kept of each validator: 64 periods. With 1,000 validators 15 MB."""

CONFLICTS_KEPT = 256
"""Pairs that wait to be reported."""


NOTED_KEPT = 65_536
"""Conflicts remembered as noted: those of 1,000 offenders over the history."""


class Offence(Enum):
    """What two votes of one validator prove."""

    DOUBLE_VOTE = "double vote"
    """Two votes for one target period."""
    SURROUND_VOTE = "surround vote"
    """One link lies strictly within the other."""


@dataclass(frozen=True, slots=True)
class VoteConflict:
    """Two votes that nobody honest signs both."""

    offence: Offence
    first: Vote
    second: Vote


def offence_of(one: Vote, other: Vote) -> Offence | None:
    """What two votes of the same validator prove together, or None. Equal statements prove nothing."""
    if one.target.period == other.target.period:
        same = one.source == other.source and one.target == other.target
        return None if same else Offence.DOUBLE_VOTE
    earlier, later = sorted((one, other), key=lambda vote: vote.target.period)
    if later.source.period < earlier.source.period:
        return Offence.SURROUND_VOTE
    return None


class VotePool:
    """The verified votes of the last periods."""

    def __init__(self) -> None:
        self._by_validator: dict[int, OrderedDict[int, Vote]] = {}
        """validator -> target period -> the first vote for it that we saw, ascending by period."""
        self._conflicts: OrderedDict[tuple[int, int], VoteConflict] = OrderedDict()
        self._noted: OrderedDict[tuple[int, int], None] = OrderedDict()
        """(validator, target period) of conflicts that were noted: one proves it, an offender can sign thousands."""

    def __len__(self) -> int:
        return sum(len(votes) for votes in self._by_validator.values())

    def find(self, validator: int, period: int) -> Vote | None:
        """The validator's vote for a target period."""
        votes = self._by_validator.get(validator)
        return None if votes is None else votes.get(period)

    def add(self, vote: Vote) -> bool:
        """Keep a verified vote; whether it is new here. A second vote for one period is no vote but a conflict."""
        votes = self._by_validator.setdefault(vote.validator, OrderedDict())
        known = votes.get(vote.target.period)
        if known is not None and offence_of(known, vote) is None:
            return False
        for other in votes.values():
            offence = offence_of(other, vote)
            if offence is not None:
                self._note(VoteConflict(offence, other, vote))
                break
        if known is not None:
            return False
        votes[vote.target.period] = vote
        if len(votes) > 1 and next(reversed(votes)) < max(votes):
            votes = self._by_validator[vote.validator] = OrderedDict(sorted(votes.items()))
        while len(votes) > HISTORY:
            votes.popitem(last=False)
        return True

    def votes(self, first_period: int, last_period: int) -> tuple[Vote, ...]:
        """All votes for target periods from `first_period` to `last_period`, by (period, validator)."""
        found = [
            vote
            for votes in self._by_validator.values()
            for vote in takewhile(lambda vote: vote.target.period >= first_period, reversed(votes.values()))
            if vote.target.period <= last_period
        ]
        found.sort(key=lambda vote: (vote.target.period, vote.validator))
        return tuple(found)

    def take_conflicts(self) -> Iterator[VoteConflict]:
        """The conflicts noted since the last call; each validator and period once."""
        while self._conflicts:
            yield self._conflicts.popitem(last=False)[1]

    def forget_validators(self, known: frozenset[int]) -> None:
        """Keep the votes of `known` validators only: called when the set changes."""
        for validator in [one for one in self._by_validator if one not in known]:
            del self._by_validator[validator]

    def _note(self, conflict: VoteConflict) -> None:
        key = conflict.second.validator, conflict.second.target.period
        if key in self._noted:
            return
        self._noted[key] = None
        while len(self._noted) > NOTED_KEPT:
            self._noted.popitem(last=False)
        self._conflicts[key] = conflict
        while len(self._conflicts) > CONFLICTS_KEPT:
            self._conflicts.popitem(last=False)
