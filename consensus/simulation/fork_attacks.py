"""Strategies that begin with the honest nodes on two branches, parted by a network failure (`Partition` in the
scenario).
Group 0 of the partition is the side that the adversary makes heavier, group 1 the side whose votes it completes.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from consensus.simulation.adversaries import UNFORKED, Adversary, Changing, Lanes, Obedient
from consensus.simulation.dag import Block, Vote, members
from consensus.simulation.network import Partition
from consensus.simulation.node_view import choose_vote, countable, freeze_bound, template, votes_to_carry

if TYPE_CHECKING:
    from consensus.simulation.engine import World
    from consensus.simulation.scenario import Fault

HEAVY_SIDE = 0
JUSTIFIABLE_SIDE = 1


class ForkAttack(Adversary):
    """During the partition: blocks for the heavy side alone, no vote for anyone."""

    def __init__(self, world: "World", faults: "Sequence[Fault]") -> None:
        super().__init__(world, faults)
        partitions = [fault for fault in faults if isinstance(fault, Partition)]
        self.partition = partitions[0] if partitions else None
        self.secret: list[Block] = []
        """A chain that nobody was shown."""

    def side(self, group: int) -> list[int]:
        """The honest nodes of a group that are on; without a partition, one half or the other."""
        nodes = self.world.online_honest()
        if self.partition is None:
            return [node for position, node in enumerate(nodes) if position % 2 == group]
        return [node for node in nodes if self.partition.groups[node] == group]

    def is_parted(self, slot: int) -> bool:
        """Whether the partition still lasts."""
        return self.partition is not None and slot < self.partition.end

    def favour(self, group: int, slot: int, lanes: Lanes) -> None:
        """Blocks on the chain of one side, shown to that side."""
        side = self.side(group)
        if not side:
            return
        view = self.world.views[side[0]]
        colouring, carried = (
            template(self.dag, self.world.committee, view),
            votes_to_carry(self.dag, self.world.committee, view, slot),
        )
        for band, validator in lanes:
            self.world.faults["block for one side"] += 1
            block = self.world.make_block(slot, band, validator, colouring, carried)
            self.world.hand((block,), dict.fromkeys(side, slot + 1))

    def propose(self, slot: int, lanes: Lanes) -> None:
        if self.is_parted(slot):
            self.favour(HEAVY_SIDE, slot, lanes)
        else:
            self.obey(slot, lanes)

    def extend_secret(self, slot: int, lane: tuple[int, int], rival: Block, period: int) -> bool:
        """One secret block more upon `rival`: the first carries the votes that justify the rival's checkpoint of
        `period`, honest and withheld ones; the second sees it justified. False when the votes do not suffice."""
        carried = 0
        parent = rival
        if self.secret:
            parent = self.secret[-1]
        else:
            carried = self.completing_votes(rival, period, slot)
            if not carried:
                return False
        if parent.slot >= slot:
            return False
        self.world.faults["block withheld"] += 1
        self.secret.append(self.world.make_block(slot, *lane, self.dag.colour((parent,)), carried))
        return True

    def completing_votes(self, rival: Block, period: int, slot: int) -> int:
        """Votes, the adversary's own now made, that certify the checkpoint of `period` on `rival`'s chain; 0 if honest
        votes for it are too few."""
        target = self.dag.checkpoint(rival, period)
        tally: dict[tuple[int, int], int] = {}
        for vote in self.dag.votes:
            if vote.target == target:
                tally[vote.source] = tally.get(vote.source, 0) | 1 << vote.validator
        byzantine = sum(1 << validator for validator in self.world.byzantine)
        colouring = self.dag.colour((rival,))
        for source, voters in sorted(tally.items(), reverse=True):
            if source in colouring.view.justified_all and self.world.committee.is_quorum(
                voters | byzantine, period * self.rules.period_slots
            ):
                link = (source, target)
                for validator in members(byzantine & ~voters):
                    self.world.faults["vote withheld"] += 1
                    self.dag.add_vote(validator, *link)
                votes = sum(vote.bit for vote in self._distinct(link))
                return countable(self.dag, colouring, votes, slot)
        return 0

    def _distinct(self, link: tuple[tuple[int, int], tuple[int, int]]) -> list[Vote]:
        return list({vote.validator: vote for vote in self.dag.votes if vote.link == link}.values())

    def vote(self, period: int) -> None:
        """None: votes are withheld until they complete a certificate."""

    def honest_justified(self) -> int:
        """The highest justified period of an honest best tip."""
        return max(self.world.views[node].best.view.justified[0] for node in self.world.honest)


class Bouncing(ForkAttack):
    """Completes the certificate of the branch that the honest have left, and shows it to just enough nodes to split the
    next vote, a moment before it is cast. All others follow to that branch after they have voted, which makes the
    branch that they leave the next one to be completed.

    `moments`: the slots of a period, relative to its begin, at which it may show; one is drawn each time.
    """

    moments: tuple[int, ...] = ()
    keeps_all_blocks = False
    """Whether every turn extends the secret chain, instead of those that are needed."""

    def __init__(self, world: "World", faults: "Sequence[Fault]") -> None:
        super().__init__(world, faults)
        self._rival: Block | None = None
        self._rival_since = 0
        self._moment = 0
        self._aim(world.slot)

    def _aim(self, slot: int) -> None:
        """Choose the next moment to show the secret chain."""
        period = slot // self.rules.period_slots + 1
        offset = self.rng.choice(self.moments or (self.rules.vote_offset_slots,))
        self._moment = period * self.rules.period_slots + offset
        if self._moment <= slot:
            self._moment += self.rules.period_slots

    def begin_slot(self, slot: int) -> None:
        super().begin_slot(slot)
        if self.is_parted(slot):
            return
        if self._rival is None:
            side = self.side(JUSTIFIABLE_SIDE)
            if side:
                self._rival = self.world.views[side[0]].best
                self._rival_since = slot - 1
            self._aim(slot)
        elif slot == self._moment:
            self._show(slot)
            self._aim(slot)

    def _show(self, slot: int) -> None:
        nodes = list(self.world.online_honest())
        self.rng.shuffle(nodes)
        victims = self._victims(nodes)
        left = self.world.views[nodes[-1]].best
        if self.secret and self.secret[-1].view.justified[0] > self.honest_justified():
            self.world.faults["certificate released late"] += 1
            self.world.hand(self.secret, dict.fromkeys(victims, slot))
        self.secret = []
        self._rival, self._rival_since = left, slot

    def _victims(self, nodes: list[int]) -> list[int]:
        """As few as break the honest nodes' own quorum."""
        committee = self.world.committee
        stake = sum(committee.stakes[node] for node in nodes)
        victims = []
        for node in nodes:
            if 3 * stake <= 2 * committee.total_stake:
                break
            victims.append(node)
            stake -= committee.stakes[node]
        return victims or nodes[:1]

    def propose(self, slot: int, lanes: Lanes) -> None:
        if self.is_parted(slot) or self._rival is None or slot <= self._rival_since:
            super().propose(slot, lanes)
            return
        rest = list(lanes)
        period = self._last_voted(slot)
        is_wanted = self.keeps_all_blocks or len(self.secret) < 2
        if is_wanted and period and self.extend_secret(slot, rest[0], self._rival, period):
            del rest[0]
        if not self.keeps_all_blocks:
            self.obey(slot, rest)
        else:
            self.world.faults["block withheld"] += len(rest)

    def _last_voted(self, slot: int) -> int:
        """The latest period whose votes are cast when blocks of `slot` are made."""
        return (slot - 1 - self.rules.vote_offset_slots) // self.rules.period_slots


class BouncingPrivate(Bouncing):
    """Bouncing, and all the adversary's blocks go into the private chain."""

    keeps_all_blocks = True


class BouncingAfterFreeze(Bouncing):
    """Bouncing two slots before the vote: too late to move the frozen bounds, so that all who follow the leader vote
    for the branch that they leave."""

    moments = (1,)


class BouncingAfterVote(Bouncing):
    """Bouncing a slot after the vote, when no block carries the votes yet."""

    moments = (4,)


class BouncingAnyTime(Bouncing):
    """Bouncing at any slot from before the bounds are frozen to after the vote."""

    moments = (-3, -2, -1, 0, 1, 2, 3, 4)


class Lock(ForkAttack):
    """Shows the lighter side its certificate while parted, so that its next votes have a source that the heavier side
    never justifies; a validator may not go back to an earlier source."""

    def __init__(self, world: "World", faults: "Sequence[Fault]") -> None:
        super().__init__(world, faults)
        self._is_locked = False

    def propose(self, slot: int, lanes: Lanes) -> None:
        rest = list(lanes)
        side = self.side(JUSTIFIABLE_SIDE)
        period = (slot - 1 - self.rules.vote_offset_slots) // self.rules.period_slots
        if self.is_parted(slot) and not self._is_locked and side and rest:
            rival = self.world.views[side[0]].best
            checkpoint = self.dag.blocks[self.dag.checkpoint(rival, period)[1]]
            if checkpoint.slot >= self._parted_from():
                if self.extend_secret(slot, rest[0], rival, period):
                    del rest[0]
                if len(self.secret) == 2:
                    self.world.faults["certificate for one side"] += 1
                    self.world.hand(self.secret, dict.fromkeys(side, slot + 1))
                    self._is_locked = True
        super().propose(slot, rest)

    def _parted_from(self) -> int:
        return self.partition.start if self.partition is not None else 0


class Balancing(ForkAttack):
    """Keeps a private chain on the best tip of either side, and shows each side its own a moment before bounds are
    frozen or votes cast, in every period."""

    def __init__(self, world: "World", faults: "Sequence[Fault]") -> None:
        super().__init__(world, faults)
        self._chains: tuple[list[Block], list[Block]] = ([], [])

    def begin_slot(self, slot: int) -> None:
        super().begin_slot(slot)
        place = slot % self.rules.period_slots
        if self.is_parted(slot) or place not in (
            self.rules.vote_offset_slots,
            self.rules.period_slots - self.rules.margin_slots,
        ):
            return
        for group, chain in enumerate(self._chains):
            side = self.side(group)
            if chain and side:
                self.world.faults["side favoured"] += 1
                self.world.hand(chain, dict.fromkeys(side, slot))
        self._chains = ([], [])

    def propose(self, slot: int, lanes: Lanes) -> None:
        if self.is_parted(slot):
            self.favour(HEAVY_SIDE, slot, lanes)
            return
        for group, chain in enumerate(self._chains):
            side = self.side(group)
            if not side:
                continue
            parent = chain[-1] if chain else self.world.views[side[0]].best
            colouring = self.dag.colour((parent,))
            for band, validator in lanes:
                self.world.faults["equivocation"] += 1
                chain.append(self.world.make_block(slot, band, validator, colouring, 0))


class TwoFaced(ForkAttack):
    """While parted: votes and blocks for both sides, so that each may finalise. Needs a third of the stake to
    succeed."""

    def __init__(self, world: "World", faults: "Sequence[Fault]") -> None:
        super().__init__(world, faults)
        self._bounds = ((0, 0), (0, 0))

    def begin_slot(self, slot: int) -> None:
        super().begin_slot(slot)
        if slot % self.rules.period_slots == self.rules.period_slots - self.rules.margin_slots:
            sides = (self.side(HEAVY_SIDE), self.side(JUSTIFIABLE_SIDE))
            heavy, other = (freeze_bound(self.world.views[side[0]]) if side else (0, 0) for side in sides)
            self._bounds = (heavy, other)

    def propose(self, slot: int, lanes: Lanes) -> None:
        if not self.is_parted(slot):
            self.obey(slot, lanes)
            return
        for group in (HEAVY_SIDE, JUSTIFIABLE_SIDE):
            self.favour(group, slot, lanes)
        self.world.faults["equivocation"] += len(lanes)

    def vote(self, period: int) -> None:
        for group in (HEAVY_SIDE, JUSTIFIABLE_SIDE):
            side = self.side(group)
            if not side:
                continue
            view = self.world.views[side[0]]
            choice = choose_vote(self.dag, self.world.committee, view, period, self._bounds[group], 0)
            if choice is not None:
                votes = 0
                for validator in sorted(self.world.byzantine):
                    self.world.faults["double vote"] += group
                    votes |= self.dag.add_vote(validator, *choice).bit
                self.world.hand_votes(votes, side)


STRATEGIES: Mapping[str, type[Adversary]] = MappingProxyType(
    {
        **UNFORKED,
        "changing": Changing,
        "bouncing": Bouncing,
        "bouncing-private": BouncingPrivate,
        "bouncing-after-freeze": BouncingAfterFreeze,
        "bouncing-after-vote": BouncingAfterVote,
        "bouncing-any-time": BouncingAnyTime,
        "lock": Lock,
        "two-faced": TwoFaced,
        "balancing": Balancing,
        "obedient": Obedient,
    }
)
"""By the name that scenarios use."""

FORKED = tuple(name for name, strategy in STRATEGIES.items() if issubclass(strategy, ForkAttack))
"""Those that begin with a partition."""

BOUNCING = tuple(name for name, strategy in STRATEGIES.items() if issubclass(strategy, Bouncing))
"""Those that stop finality where proposers follow ORDER alone."""
