"""The discrete-event engine: slots, messages, faults, honest nodes and the adversary's hand.

In each slot, in this order: links and nodes change state; messages arrive; the adversary releases what it likes; at
slot 8p − 2 bounds are frozen; the slot's blocks are made; at slot 8p + 3 votes are cast. The adversary sees
everything the moment it exists, and may hand a message to any node before that node acts; from there it is relayed.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from random import Random

from consensus.simulation.adversaries import Adversary, Obedient
from consensus.simulation.checkers import FinalityWatch
from consensus.simulation.committee import Committee
from consensus.simulation.dag import Block, Checkpoint, Colouring, ModelDag, Vote
from consensus.simulation.fork_attacks import STRATEGIES
from consensus.simulation.network import DelayShape, Partition, hops_between
from consensus.simulation.node_view import (
    Bound,
    NodeView,
    choose_vote,
    freeze_bound,
    genesis_view,
    learn,
    template,
    votes_to_carry,
)
from consensus.simulation.report import Report
from consensus.simulation.scenario import Attack, Crash, DarkLanes, Scenario


class Arrivals:
    """What arrives at one slot."""

    __slots__ = ("blocks", "by_node", "votes", "votes_by_node")

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        """At every node."""
        self.votes = 0
        self.by_node: dict[int, list[Block]] = {}
        self.votes_by_node: dict[int, int] = {}


class World:
    """One run's state."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.rules = scenario.rules
        self.committee = Committee(scenario.stakes, scenario.seed, self.rules.epoch_slots)
        self.dag = ModelDag(self.rules, self.committee)
        self.rng = Random(f"{scenario.seed} messages")
        self.slot = 0
        self.faults: Counter[str] = Counter()
        self.byzantine = frozenset(scenario.byzantine)
        self.honest = tuple(node for node in range(len(scenario.stakes)) if node not in self.byzantine)
        view = genesis_view(self.dag)
        self.views: list[NodeView] = [view] * len(scenario.stakes)
        """Of every node; those of byzantine validators stay at genesis."""
        self.public = view
        """What the adversary builds on when it follows the protocol: all that was published."""
        self.bounds: list[Bound] = [(0, 0)] * len(scenario.stakes)
        self.last_sources = [0] * len(scenario.stakes)
        self.watch = FinalityWatch(self.dag, self.honest)
        self._inbox: dict[int, Arrivals] = {}
        self._fresh_public: list[Block] = []
        self._fresh_votes = 0
        self._distances = scenario.delay.distances(self.rng, len(scenario.stakes))
        self._asked = [0] * len(scenario.stakes)
        self._offline: frozenset[int] = frozenset()
        self._cuts: tuple[Partition, ...] = ()
        self._hops: tuple[tuple[int, ...], ...] | None = None
        """None while every node hears every other one directly."""
        self._obedient = Obedient(self, ())
        self._adversary: Adversary = self._obedient
        self._attack: Attack | None = None

    def run(self) -> Report:
        """All slots of the scenario."""
        for slot in range(1, self.scenario.slots):
            self.slot = slot
            self._step(slot)
        return self._report()

    def _step(self, slot: int) -> None:
        rules = self.rules
        changed = self._change_faults(slot) if self.scenario.faults else False
        self._deliver(slot)
        if changed:
            self._resynchronise(slot)
        if self.byzantine:
            self.public = learn(self.dag, self.public, self._fresh_public, self._fresh_votes)
            self._fresh_public, self._fresh_votes = [], 0
            self._adversary.begin_slot(slot)
        place = slot % rules.period_slots
        if place == rules.period_slots - rules.margin_slots:
            for node in self.honest:
                self.bounds[node] = freeze_bound(self.views[node])
        self._propose(slot)
        if place == rules.vote_offset_slots:
            self._vote(slot // rules.period_slots)

    def _propose(self, slot: int) -> None:
        dark = self._dark_bands(slot)
        lanes: list[tuple[int, int]] = []
        for band, validator in enumerate(self.committee.proposers(slot)):
            if validator < 0:
                continue
            if band in dark:
                continue
            if validator in self.byzantine:
                lanes.append((band, validator))
            elif validator not in self._offline:
                view = self.views[validator]
                block = self.make_block(
                    slot,
                    band,
                    validator,
                    template(self.dag, self.committee, view),
                    votes_to_carry(self.dag, self.committee, view, slot),
                )
                self.broadcast(block)
        if lanes:
            self._adversary.propose(slot, lanes)

    def _vote(self, period: int) -> None:
        chosen: dict[tuple[int, Bound, int], tuple[Checkpoint, Checkpoint] | None] = {}
        for node in self.honest:
            if node in self._offline:
                continue
            view, bound, last_source = self.views[node], self.bounds[node], self.last_sources[node]
            key = (id(view), bound, last_source)
            if key not in chosen:
                chosen[key] = choose_vote(self.dag, self.committee, view, period, bound, last_source)
            choice = chosen[key]
            if choice is not None:
                self.last_sources[node] = choice[0][0]
                self.gossip_vote(self.dag.add_vote(node, *choice))
        if self.byzantine:
            self._adversary.vote(period)

    # What honest nodes and the adversary do to the world

    def make_block(self, slot: int, band: int, validator: int, colouring: Colouring, carried: int) -> Block:
        """A block that nobody knows yet."""
        rank = self.committee.rank(slot, band)
        return self.dag.add(slot, band, validator, colouring, carried=carried, rank=rank)

    def broadcast(self, block: Block) -> None:
        """From its proposer to all whom it reaches; a byzantine proposer reaches everyone."""
        self._fresh_public.append(block)
        sender = block.proposer
        if self._hops is None and self.scenario.delay.within_a_slot:
            self._at(self.slot + 1).blocks.append(block)
            return
        for node, ticks in zip(self.honest, self._ticks_to_honest(sender), strict=True):
            if ticks:
                by_node = self._at(self.slot + ticks).by_node
                if node in by_node:
                    by_node[node].append(block)
                else:
                    by_node[node] = [block]

    def gossip_vote(self, vote: Vote) -> None:
        """From its validator to all whom it reaches."""
        self._fresh_votes |= vote.bit
        if self._hops is None and self.scenario.delay.within_a_slot:
            self._at(self.slot + 1).votes |= vote.bit
            return
        for node, ticks in zip(self.honest, self._ticks_to_honest(vote.validator), strict=True):
            if ticks:
                votes = self._at(self.slot + ticks).votes_by_node
                votes[node] = votes.get(node, 0) | vote.bit

    def hand_votes(self, votes: int, nodes: Iterable[int]) -> None:
        """The adversary gives votes to these honest nodes alone; others get them when a block carries them, or when
        links are mended."""
        by_node = self._at(self.slot + 1).votes_by_node
        for node in nodes:
            by_node[node] = by_node.get(node, 0) | votes

    def hand(self, blocks: Sequence[Block], arrivals: Mapping[int, int]) -> None:
        """The adversary gives `blocks` to honest nodes at chosen slots (now, at the earliest: before they act), and
        they relay them to the others."""
        self._fresh_public.extend(blocks)
        times = dict(arrivals)
        for node in self.honest:
            relayed = [
                arrival + ticks
                for giver, arrival in arrivals.items()
                if giver != node and (ticks := self._ticks(giver, node))
            ]
            if relayed:
                times[node] = min(times.get(node, min(relayed)), min(relayed))
        for node, arrival in times.items():
            if arrival <= self.slot:
                if node not in self._offline:
                    self._replace(node, learn(self.dag, self.views[node], blocks, 0))
            else:
                self._at(arrival).by_node.setdefault(node, []).extend(blocks)

    def online_honest(self) -> tuple[int, ...]:
        """Honest nodes that are on."""
        return tuple(node for node in self.honest if node not in self._offline)

    # Messages

    def _at(self, slot: int) -> Arrivals:
        arrivals = self._inbox.get(slot)
        if arrivals is None:
            arrivals = self._inbox[slot] = Arrivals()
        return arrivals

    def _ticks(self, sender: int, receiver: int) -> int:
        """After how many slots a message sent now arrives; 0 for never."""
        if sender == receiver:
            return 1
        hops = 1
        if self._hops is not None and sender not in self.byzantine:
            hops = self._hops[sender][receiver]
        distance = self._distances[sender] + self._distances[receiver]
        return sum(self.scenario.delay.draw_ticks(self.rng, distance) for _ in range(hops))

    def _ticks_to_honest(self, sender: int) -> list[int]:
        """`_ticks` to each honest node."""
        delay = self.scenario.delay
        if self._hops is None and delay.shape is DelayShape.UNIFORM:
            draw, slots = self.rng.random, max(1.0, delay.slots)
            return [1 + int(draw() * slots) if node != sender else 1 for node in self.honest]
        return [self._ticks(sender, node) for node in self.honest]

    def _deliver(self, slot: int) -> None:
        arrivals = self._inbox.pop(slot, None)
        if arrivals is None:
            return
        learned: dict[object, NodeView] = {}
        by_node, votes_by_node = arrivals.by_node, arrivals.votes_by_node
        common = tuple(arrivals.blocks)
        for node in self.honest:
            if node in self._offline:
                continue
            view = self.views[node]
            own, own_votes = by_node.get(node), votes_by_node.get(node, 0)
            key: object = (
                id(view) if own is None and not own_votes else (id(view), tuple(own or ()), own_votes)
            )
            after = learned.get(key)
            if after is None:
                blocks = common if own is None else (*common, *own)
                after = learned[key] = learn(self.dag, view, blocks, arrivals.votes | own_votes)
                self.watch.see_best(view.best, after.best)
            self.views[node] = after
            if after.finalised is not view.finalised or after.conflict is not view.conflict:
                self.watch.see_finality(slot, node, view, after)
            if after.pending:
                self._ask(slot, node, after)

    def _replace(self, node: int, view: NodeView) -> None:
        before, self.views[node] = self.views[node], view
        self.watch.see_best(before.best, view.best)
        self.watch.see_finality(self.slot, node, before, view)

    def _ask(self, slot: int, node: int, view: NodeView) -> None:
        """A node asks for the missing parents of what waits, and what is below them: there and back."""
        missing = 0
        for block in view.pending:
            missing |= block.past
        missing &= ~(view.known | self._asked[node])
        if missing:
            self._asked[node] |= missing
            ticks = 2 * self.scenario.delay.draw_ticks(self.rng, 2 * self._distances[node])
            self._at(slot + ticks).by_node.setdefault(node, []).extend(self._blocks_of(missing))

    def _blocks_of(self, block_set: int) -> Iterable[Block]:
        blocks = self.dag.blocks
        while block_set:
            low = block_set & -block_set
            block_set ^= low
            yield blocks[low.bit_length() - 1]

    # Faults

    def _dark_bands(self, slot: int) -> Collection[int]:
        if not self.scenario.faults:
            return ()
        return {
            band
            for fault in self.scenario.faults
            if isinstance(fault, DarkLanes) and fault.start <= slot < fault.end
            for band in fault.bands
        }

    def _change_faults(self, slot: int) -> bool:
        """Begin and end faults. Whether nodes may now hear from others whom they did not hear before."""
        faults = self.scenario.faults
        for fault in faults:
            if isinstance(fault, Attack) and slot == max(1, fault.start):
                self._adversary = STRATEGIES[fault.strategy](self, self.scenario.faults)
                self._attack = fault
            if isinstance(fault, Attack) and slot == fault.end and fault is self._attack:
                self._adversary = self._obedient
            if isinstance(fault, DarkLanes) and slot == max(1, fault.start):
                self.faults["dark lane"] += len(fault.bands)
        cuts = tuple(fault for fault in faults if isinstance(fault, Partition) and fault.cuts_at(slot))
        offline = frozenset(
            fault.node for fault in faults if isinstance(fault, Crash) and fault.start <= slot < fault.end
        )
        if cuts == self._cuts and offline == self._offline:
            return False
        self.faults["partition"] += sum(1 for cut in cuts if cut not in self._cuts)
        self.faults["crash"] += len(offline - self._offline)
        for node in self._offline - offline:
            self._asked[node] = 0
        self._cuts, self._offline = cuts, offline
        self._hops = hops_between(len(self.views), cuts, offline) if cuts else None
        return True

    def _resynchronise(self, slot: int) -> None:
        """Everyone gets what those have who now reach it."""
        online = self.online_honest()
        for node in online:
            known = votes = 0
            for peer in online:
                if peer != node and (self._hops is None or self._hops[peer][node]):
                    known |= self.views[peer].known
                    votes |= self.views[peer].pool
            view = self.views[node]
            missing = known & ~view.known
            votes &= ~view.pool
            if missing or votes:
                ticks = self.scenario.delay.draw_ticks(self.rng, 2 * self._distances[node])
                arrivals = self._at(slot + ticks)
                arrivals.by_node.setdefault(node, []).extend(self._blocks_of(missing))
                arrivals.votes_by_node[node] = arrivals.votes_by_node.get(node, 0) | votes

    # Result

    def _report(self) -> Report:
        rules, watch = self.rules, self.watch
        slots = self.scenario.slots
        last = (slots - 3 * rules.period_slots) // rules.period_slots
        quiet_from = self.scenario.quiet_from
        recovery: int | None = 0
        if quiet_from:
            recovered = watch.recovered_at(-(-quiet_from // rules.period_slots))
            recovery = None if recovered is None else max(0, recovered - quiet_from)
        best = self.views[self.honest[0]].best
        return Report(
            seed=self.scenario.seed,
            slots=slots,
            blocks=len(self.dag.blocks) - 1,
            reds=best.colouring.reds_below,
            periods=max(0, last),
            periods_finalised=sum(1 for period in watch.checkpoints if 1 <= period <= last),
            finality_delays=watch.delays(1, last, rules.period_slots),
            longest_stall_periods=watch.longest_stall(slots) / rules.period_slots,
            deepest_reorganisation_slots=watch.deepest_reorganisation_slots,
            recovery_slots=recovery,
            is_one_chain=self._is_one_chain(),
            faults=self.faults,
            violations=tuple(watch.violations),
        )

    def _is_one_chain(self) -> bool:
        bound = self.scenario.slots - self.rules.period_slots
        chains = set()
        for node in self.online_honest():
            block = self.views[node].best
            while block.slot >= bound:
                block = block.colouring.selected
            chains.add(block.number)
        return len(chains) == 1


def run_scenario(scenario: Scenario) -> Report:
    """Run `scenario` from genesis to its last slot. The same scenario gives the same report."""
    return World(scenario).run()
