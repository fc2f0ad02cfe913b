"""The byzantine validators' strategies without a fork to begin with. One hand moves all of them and sees everything.

Each act that breaks the protocol is counted in `World.faults`. Strategies that need a fork are in `fork_attacks`.
"""

from collections.abc import Mapping, Sequence
from random import Random
from types import MappingProxyType
from typing import TYPE_CHECKING

from consensus.simulation.dag import Block
from consensus.simulation.node_view import VoteChoice, choose_vote, freeze_bound, template, votes_to_carry

if TYPE_CHECKING:
    from consensus.simulation.engine import World
    from consensus.simulation.scenario import Fault

Lanes = Sequence[tuple[int, int]]
"""(band, validator) of a slot."""


class Adversary:
    """What every strategy can do; by itself it is silent: no block, no vote."""

    def __init__(self, world: "World", faults: "Sequence[Fault]") -> None:
        self.world = world
        self.dag = world.dag
        self.rules = world.rules
        self.faults = faults
        self.rng = Random(f"{world.scenario.seed} adversary {world.slot}")
        self.period_bound = freeze_bound(world.public)

    def begin_slot(self, slot: int) -> None:
        """Before honest nodes act."""
        if slot % self.rules.period_slots == self.rules.period_slots - self.rules.margin_slots:
            self.period_bound = freeze_bound(self.world.public)

    def propose(self, slot: int, lanes: Lanes) -> None:
        """The adversary's turns of a slot, after the honest blocks of the slot were made."""
        self.world.faults["block withheld"] += len(lanes)

    def vote(self, period: int) -> None:
        """The adversary's votes of a period, after the honest ones were cast."""
        self.world.faults["vote withheld"] += len(self.world.byzantine)

    def honest_choice(self, period: int) -> VoteChoice | None:
        """What the protocol would have the adversary vote for."""
        world = self.world
        return choose_vote(self.dag, world.committee, world.public, period, self.period_bound, 0)

    def obey(self, slot: int, lanes: Lanes) -> None:
        """Make the blocks that the protocol wants."""
        for block in self.make_obedient(slot, lanes):
            self.world.broadcast(block)

    def make_obedient(self, slot: int, lanes: Lanes) -> list[Block]:
        """The blocks that the protocol wants, not yet shown to anyone."""
        view = self.world.public
        colouring, carried = (
            template(self.dag, self.world.committee, view),
            votes_to_carry(self.dag, self.world.committee, view, slot),
        )
        return [self.world.make_block(slot, band, validator, colouring, carried) for band, validator in lanes]

    def halves(self) -> tuple[list[int], list[int]]:
        """The honest nodes that are on, in two random halves."""
        nodes = list(self.world.online_honest())
        self.rng.shuffle(nodes)
        return nodes[::2], nodes[1::2]


class Obedient(Adversary):
    """Follows the protocol: what byzantine validators do before and after an attack."""

    def propose(self, slot: int, lanes: Lanes) -> None:
        self.obey(slot, lanes)

    def vote(self, period: int) -> None:
        choice = self.honest_choice(period)
        if choice is not None:
            for validator in sorted(self.world.byzantine):
                self.world.gossip_vote(self.dag.add_vote(validator, *choice))


class Silent(Adversary):
    """Neither blocks nor votes."""


class Equivocating(Obedient):
    """Two blocks in every lane, each shown to one half first."""

    def propose(self, slot: int, lanes: Lanes) -> None:
        best_alone = self.dag.colour((self.world.public.best,))
        for (band, validator), first in zip(lanes, self.make_obedient(slot, lanes), strict=True):
            second = self.world.make_block(slot, band, validator, best_alone, 0)
            self.world.faults["equivocation"] += 1
            one, other = self.halves()
            self.world.hand((first,), dict.fromkeys(one, slot + 1))
            self.world.hand((second,), dict.fromkeys(other, slot + 1))


class WithholdingBlocks(Obedient):
    """Every block is shown only 1 to 12 slots late."""

    def __init__(self, world: "World", faults: "Sequence[Fault]") -> None:
        super().__init__(world, faults)
        self._late: dict[int, list[Block]] = {}

    def begin_slot(self, slot: int) -> None:
        super().begin_slot(slot)
        for block in self._late.pop(slot, ()):
            self.world.broadcast(block)

    def propose(self, slot: int, lanes: Lanes) -> None:
        for block in self.make_obedient(slot, lanes):
            self.world.faults["block withheld"] += 1
            self._late.setdefault(slot + self.rng.randint(1, 12), []).append(block)


class WithholdingVotes(Obedient):
    """Votes are gossiped only 1 to 4 periods late, so that some come when they no longer count."""

    def __init__(self, world: "World", faults: "Sequence[Fault]") -> None:
        super().__init__(world, faults)
        self._late: dict[int, list[tuple[int, VoteChoice]]] = {}

    def begin_slot(self, slot: int) -> None:
        super().begin_slot(slot)
        for validator, choice in self._late.pop(slot, ()):
            self.world.gossip_vote(self.dag.add_vote(validator, *choice))

    def vote(self, period: int) -> None:
        choice = self.honest_choice(period)
        if choice is None:
            return
        for validator in sorted(self.world.byzantine):
            self.world.faults["vote withheld"] += 1
            delay = self.rng.randint(self.rules.period_slots, 4 * self.rules.period_slots)
            self._late.setdefault(self.world.slot + delay, []).append((validator, choice))


class ByzantineLeader(Obedient):
    """Where it owns lanes of a period's first slot, each leader block is made twice, on different parents, and shown to
    a half of the nodes at the moment of the vote; elsewhere it obeys."""

    def __init__(self, world: "World", faults: "Sequence[Fault]") -> None:
        super().__init__(world, faults)
        self._leaders: list[Block] = []

    def begin_slot(self, slot: int) -> None:
        super().begin_slot(slot)
        if self._leaders and slot % self.rules.period_slots == self.rules.vote_offset_slots:
            for block in self._leaders:
                self.world.hand((block,), dict.fromkeys(self.halves()[0], slot))
            self._leaders = []

    def propose(self, slot: int, lanes: Lanes) -> None:
        if slot % self.rules.period_slots:
            self.obey(slot, lanes)
            return
        best = self.world.public.best
        parent = best.colouring.selected if self.rng.random() < 0.5 else best
        alone = self.dag.colour((parent,))
        for (band, validator), block in zip(lanes, self.make_obedient(slot, lanes), strict=True):
            self.world.faults["leader withheld and doubled"] += 1
            self._leaders += [block, self.world.make_block(slot, band, validator, alone, 0)]


class DoubleVoting(Obedient):
    """Each validator votes twice a period: as the protocol wants, and from another source for the chain block below."""

    def vote(self, period: int) -> None:
        super().vote(period)
        choice = self.honest_choice(period)
        if choice is None:
            return
        source, target = choice
        other_target = (period, self.dag.blocks[target[1]].colouring.selected.number)
        sources = sorted(self.world.public.best.view.justified_all)
        for validator in sorted(self.world.byzantine):
            self.world.faults["double vote"] += 1
            self.world.gossip_vote(self.dag.add_vote(validator, source, other_target))
            self.world.gossip_vote(self.dag.add_vote(validator, sources[0], target))


class SurroundVoting(Obedient):
    """Each validator's vote surrounds an earlier one of its own: from the lowest justified source in every other
    period."""

    def vote(self, period: int) -> None:
        choice = self.honest_choice(period)
        if choice is None or period % 2:
            super().vote(period)
            return
        lowest = min(self.world.public.best.view.justified_all)
        for validator in sorted(self.world.byzantine):
            self.world.faults["surround vote"] += 1
            self.world.gossip_vote(self.dag.add_vote(validator, lowest, choice[1]))
            self.world.gossip_vote(self.dag.add_vote(validator, *choice))


class ShadowChain(Obedient):
    """A private chain from the finalised block on, of all its turns, shown to a half of the nodes at the moment when it
    may hurt: before the bounds are frozen, or before the vote. Then a new one."""

    def __init__(self, world: "World", faults: "Sequence[Fault]") -> None:
        super().__init__(world, faults)
        self._chain: list[Block] = []
        self._period = self._next_period()

    def _next_period(self) -> int:
        return self.world.slot // self.rules.period_slots + self.rng.randint(2, 4)

    def begin_slot(self, slot: int) -> None:
        super().begin_slot(slot)
        start = self._period * self.rules.period_slots
        moment = self.rng.choice((start - self.rules.margin_slots, start + self.rules.vote_offset_slots))
        if slot >= moment:
            if self._chain:
                self.world.hand(self._chain, dict.fromkeys(self.halves()[0], slot))
            self._chain, self._period = [], self._next_period()

    def propose(self, slot: int, lanes: Lanes) -> None:
        if self._chain:
            parent = self._chain[-1]
        else:
            parent = self.dag.blocks[self.world.public.finalised[1]]
        colouring = self.dag.colour((parent,))
        for band, validator in lanes:
            self.world.faults["block withheld"] += 1
            self._chain.append(self.world.make_block(slot, band, validator, colouring, 0))


class Changing(Adversary):
    """Another of the strategies above in every period, drawn at random."""

    def __init__(self, world: "World", faults: "Sequence[Fault]") -> None:
        super().__init__(world, faults)
        self._others = tuple(strategy(world, faults) for strategy in UNFORKED.values())
        self._current: Adversary = self.rng.choice(self._others)

    def begin_slot(self, slot: int) -> None:
        if slot % self.rules.period_slots == 0:
            self._current = self.rng.choice(self._others)
        for strategy in self._others:
            strategy.begin_slot(slot)

    def propose(self, slot: int, lanes: Lanes) -> None:
        self._current.propose(slot, lanes)

    def vote(self, period: int) -> None:
        self._current.vote(period)


UNFORKED: Mapping[str, type[Adversary]] = MappingProxyType(
    {
        "silent": Silent,
        "equivocate": Equivocating,
        "withhold-blocks": WithholdingBlocks,
        "withhold-votes": WithholdingVotes,
        "leader": ByzantineLeader,
        "double-votes": DoubleVoting,
        "surround-votes": SurroundVoting,
        "shadow-chain": ShadowChain,
    }
)
"""Strategies that need nothing but the adversary's own turns and votes."""
