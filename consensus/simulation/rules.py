"""The rules under trial, as parameters: what the protocol fixes, and the variants that tests must see fail."""

from dataclasses import dataclass
from enum import Enum

from consensus.params import MAX_PARENTS, PERIOD_SLOTS
from wnsp.spectrum import BAND_COUNT

MARGIN_SLOTS = 2
"""ceil(D / T) + 1 with a delay bound of one slot, as in all presets."""

VOTE_AGE_PERIODS = 2
"""A vote counts when a block carries it that is at most so many periods later than the vote's target (row N12)."""


class VotingRule(Enum):
    """Whom a validator votes for."""

    LEADER = "leader"
    """The period's leader block, bound by the best tip frozen at slot 8p − 2. The protocol's rule."""
    OWN_TIP = "own tip"
    """The validator's own best tip at the moment of the vote. Falls to the bouncing adversary."""


class TipOrder(Enum):
    """What ORDER begins with."""

    JUSTIFIED_FIRST = "justified period, blue work, lane rank"
    """The protocol's rule."""
    WORK_ONLY = "blue work, lane rank"
    """Without the justified period. Falls to the lock attack."""


class ParentRule(Enum):
    """What a proposer builds on."""

    ORDER = "best tip by ORDER"
    """Votes known by gossip have no say. Falls to bouncing with every voting rule here: a branch
    that the honest have just certified is left before any block carries their votes."""
    CERTIFICATE = "the branch that gossiped votes certify higher"
    """The protocol's rule (`consensus.certified_tip`): when the votes that a proposer has, counted in blocks or not,
    certify a checkpoint above the justified one of its best tip, it builds on the best block of that checkpoint's
    chain and carries them. Only complete certificates count, and only the proposer's own block depends on what it has
    heard; ORDER stays as it is."""


@dataclass(frozen=True, slots=True)
class ProtocolRules:
    """Numbers and rules of one model run, in slots. The defaults are those of `consensus.params` for every preset."""

    voting: VotingRule = VotingRule.LEADER
    tip_order: TipOrder = TipOrder.JUSTIFIED_FIRST
    parents: ParentRule = ParentRule.CERTIFICATE
    k: int = BAND_COUNT * (2 * MARGIN_SLOTS - 1)
    period_slots: int = PERIOD_SLOTS
    margin_slots: int = MARGIN_SLOTS
    vote_offset_slots: int = MARGIN_SLOTS + 1
    look_back_slots: int = (2 * MARGIN_SLOTS - 1) + 3
    epoch_slots: int = 32
    max_parents: int = MAX_PARENTS
    mergeset_limit: int = 10 * BAND_COUNT * (2 * MARGIN_SLOTS - 1)

    def checkpoint_bound(self, period: int) -> int:
        """The checkpoint of `period` on a chain is its last block with a slot below this."""
        return self.period_slots * period - self.look_back_slots


PROTOCOL = ProtocolRules()
"""The protocol."""
