"""Blocks, their colouring and their finality view, lean enough for thousands of runs.

All of it is a function of a block's past, so a run computes it once for all nodes. A set of blocks is an int with a bit
per block (numbered as made, so ascending is topological), a set of votes an int with a bit per vote, a set of
validators an int with a bit each. The colouring is that of `consensus.ghostdag` for weights of 1 (a test compares the
two on random DAGs); anticone sizes are five bit planes over the blocks. Siblings with the same parents share it.
"""

from collections.abc import Sequence
from typing import TypeAlias

from consensus.simulation.committee import RANK_BITS, Committee
from consensus.simulation.rules import VOTE_AGE_PERIODS, ProtocolRules, TipOrder
from wnsp.spectrum import BAND_COUNT

Checkpoint: TypeAlias = tuple[int, int]
"""(period, number of the block)."""

GENESIS_CHECKPOINT: Checkpoint = (0, 0)

NUMBER_BITS = 24
WORK_BITS = 24
PLANES = 5


class Vote:
    """One validator's vote for a link between two checkpoints."""

    __slots__ = ("bit", "link", "period", "source", "target", "validator")

    def __init__(self, number: int, validator: int, source: Checkpoint, target: Checkpoint) -> None:
        self.bit = 1 << number
        self.validator = validator
        self.source = source
        self.target = target
        self.period = target[0]
        self.link = (source, target)


class FinalityView:
    """What a past justifies and finalises. Never changed."""

    __slots__ = ("finalised", "justified", "justified_all", "links")

    def __init__(
        self,
        justified: Checkpoint,
        finalised: Checkpoint,
        justified_all: frozenset[Checkpoint],
        links: dict[tuple[Checkpoint, Checkpoint], int],
    ) -> None:
        self.justified = justified
        """The highest."""
        self.finalised = finalised
        """The highest."""
        self.justified_all = justified_all
        """From `finalised` on."""
        self.links = links
        """(source, target) -> validators that voted so; targets above `finalised`."""


class Colouring:
    """What a block knows by its parents alone."""

    __slots__ = (
        "blues",
        "chain",
        "height",
        "mergeset",
        "mergeset_reds",
        "parents",
        "past",
        "planes",
        "reds_below",
        "score",
        "selected",
        "view",
        "votes_past",
    )

    parents: tuple["Block", ...]
    past: int
    selected: "Block"
    """The selected parent; in genesis, genesis itself."""
    mergeset: tuple[int, ...]
    """Numbers in consensus order: the selected parent, then the rest ascending by ORDER."""
    mergeset_reds: tuple[int, ...]
    score: int
    """Blue blocks in the past: blue score and, with weights of 1, blue work."""
    blues: int
    planes: tuple[int, int, int, int, int]
    """Anticone sizes of `blues`: bit n of plane i is bit i of the size of block n."""
    chain: int
    """The selected chain below."""
    height: int
    """Blocks in `chain`."""
    reds_below: int
    """Red blocks in the past."""
    votes_past: int
    """Votes carried in the past."""
    view: FinalityView


class Block:
    """One block. Never changed."""

    __slots__ = (
        "band",
        "bit",
        "carried",
        "chain",
        "closed",
        "colouring",
        "key",
        "lane",
        "number",
        "past",
        "proposer",
        "score",
        "slot",
        "view",
        "votes_closed",
    )

    def __init__(
        self, number: int, slot: int, band: int, proposer: int, colouring: Colouring, carried: int, key: int
    ) -> None:
        self.number = number
        self.bit = bit = 1 << number
        self.slot = slot
        self.band = band
        self.lane = slot * BAND_COUNT + band
        self.proposer = proposer
        self.colouring = colouring
        self.past = past = colouring.past
        self.closed = past | bit
        self.chain = colouring.chain | bit
        self.score = colouring.score
        self.view = colouring.view
        self.carried = carried
        self.votes_closed = colouring.votes_past | carried
        self.key = key
        """Place in ORDER."""


def members(block_set: int) -> list[int]:
    """The numbers in a set, ascending. Cheap when they lie close together."""
    if not block_set:
        return []
    number = (block_set & -block_set).bit_length() - 1
    block_set >>= number
    found = []
    while block_set:
        low = block_set & -block_set
        block_set ^= low
        found.append(number + low.bit_length() - 1)
    return found


class ModelDag:
    """All blocks and votes made in a run, whoever knows them."""

    def __init__(self, rules: ProtocolRules, committee: Committee) -> None:
        """Raises `ValueError` for a k whose sizes do not fit in the bit planes."""
        if rules.k >= 1 << PLANES:
            raise ValueError(
                f"k = {rules.k} needs more than {PLANES} bit planes; use at most {(1 << PLANES) - 1}"
            )
        self.rules = rules
        self._committee = committee
        self._justified_first = rules.tip_order is TipOrder.JUSTIFIED_FIRST
        self._colourings: dict[tuple[int, ...], Colouring] = {}
        self.blocks: list[Block] = []
        self.votes: list[Vote] = []
        self.lanes: dict[int, list[Block]] = {}
        """Lane -> its blocks as made."""
        self.doubled: set[int] = set()
        """Lanes of more than one block."""
        genesis = Colouring()
        genesis.parents = ()
        genesis.past = genesis.score = genesis.blues = genesis.chain = 0
        genesis.height = genesis.reds_below = genesis.votes_past = 0
        genesis.planes = (0, 0, 0, 0, 0)
        genesis.mergeset = genesis.mergeset_reds = ()
        genesis.view = FinalityView(
            GENESIS_CHECKPOINT, GENESIS_CHECKPOINT, frozenset((GENESIS_CHECKPOINT,)), {}
        )
        self.genesis = Block(0, 0, 0, -1, genesis, 0, 0)
        genesis.selected = self.genesis
        self.blocks.append(self.genesis)
        self.lanes[0] = [self.genesis]

    def add(
        self, slot: int, band: int, proposer: int, colouring: Colouring, *, carried: int = 0, rank: int
    ) -> Block:
        """A new block over the parents of `colouring`. Raises `ValueError` when it would be invalid."""
        for parent in colouring.parents:
            if parent.slot >= slot:
                raise ValueError(f"slot {slot} is not after the parent's slot {parent.slot}")
        for position in members(carried):
            if not self.may_carry(self.votes[position].period, slot):
                raise ValueError(
                    f"a block of slot {slot} carries a vote of period {self.votes[position].period}"
                )
        number = len(self.blocks)
        leading = colouring.view.justified[0] if self._justified_first else 0
        key = (((leading << WORK_BITS) + colouring.score << RANK_BITS) + rank << NUMBER_BITS) + number
        block = Block(number, slot, band, proposer, colouring, carried, key)
        self.blocks.append(block)
        lane = self.lanes.get(block.lane)
        if lane is None:
            self.lanes[block.lane] = [block]
        else:
            lane.append(block)
            self.doubled.add(block.lane)
        return block

    def add_vote(self, validator: int, source: Checkpoint, target: Checkpoint) -> Vote:
        """A new vote."""
        vote = Vote(len(self.votes), validator, source, target)
        self.votes.append(vote)
        return vote

    def may_carry(self, period: int, slot: int) -> bool:
        """Whether a vote for a checkpoint of `period` counts in a block of `slot`: not before the period, nor too
        late."""
        current = slot // self.rules.period_slots
        return current - VOTE_AGE_PERIODS <= period <= current

    def checkpoint(self, block: Block, period: int) -> Checkpoint:
        """The checkpoint of `period` on the chain that ends with `block`: its last block below the period's bound."""
        bound = self.rules.checkpoint_bound(period)
        while block.slot >= bound and block.number:
            block = block.colouring.selected
        return period, block.number

    def colour(self, parents: Sequence[Block]) -> Colouring:
        """The colouring and the view of a block with these one or more parents, whatever the size of its merge set."""
        names = tuple(sorted([parent.number for parent in parents]))
        colouring = self._colourings.get(names)
        if colouring is None:
            colouring = self._colour(tuple(parents))
            self._colourings[names] = colouring
        return colouring

    def _colour(self, parents: tuple[Block, ...]) -> Colouring:
        blocks, k = self.blocks, self.rules.k
        selected = parents[0]
        past = votes_past = 0
        for parent in parents:
            past |= parent.closed
            votes_past |= parent.votes_closed
            if parent.key > selected.key:
                selected = parent
        below = selected.colouring
        merged = [blocks[number] for number in members(past ^ (past & selected.closed))]
        merged.sort(key=_order)
        blues = below.blues | selected.bit
        zero, one, two, three, four = below.planes
        reds = []
        lanes_met: set[int] = set()
        for candidate in merged:
            is_second = candidate.lane in self.doubled and self._is_second_of_lane(
                selected, candidate, lanes_met
            )
            anticone = blues & candidate.past ^ blues
            size = anticone.bit_count()
            if is_second or size > k or (size and self._has_full(anticone, zero, one, two, three, four)):
                reds.append(candidate.number)
                continue
            bit = candidate.bit
            blues |= bit
            carry = zero & anticone
            zero ^= anticone
            if carry:
                anticone, carry = carry, one & carry
                one ^= anticone
                if carry:
                    anticone, carry = carry, two & carry
                    two ^= anticone
                    if carry:
                        anticone, carry = carry, three & carry
                        three ^= anticone
                        four ^= carry
            if size & 1:
                zero |= bit
            if size & 2:
                one |= bit
            if size & 4:
                two |= bit
            if size & 8:
                three |= bit
            if size & 16:
                four |= bit
        colouring = Colouring()
        colouring.parents = parents
        colouring.past = past
        colouring.selected = selected
        colouring.mergeset = (selected.number, *[block.number for block in merged])
        colouring.mergeset_reds = tuple(reds)
        colouring.score = below.score + 1 + len(merged) - len(reds)
        colouring.blues = blues
        colouring.planes = (zero, one, two, three, four)
        colouring.chain = selected.chain
        colouring.height = below.height + 1
        colouring.reds_below = below.reds_below + len(reds)
        colouring.votes_past = votes_past
        fresh = votes_past ^ (votes_past & below.votes_past)
        colouring.view = self._tally(selected, fresh) if fresh else below.view
        return colouring

    def _has_full(self, anticone: int, zero: int, one: int, two: int, three: int, four: int) -> bool:
        """Whether a blue of `anticone` has size k."""
        k = self.rules.k
        for position, plane in ((4, four), (3, three), (1, one), (2, two), (0, zero)):
            kept = anticone & plane
            anticone = kept if k >> position & 1 else anticone ^ kept
            if not anticone:
                return False
        return True

    def _is_second_of_lane(self, selected: Block, candidate: Block, lanes_met: set[int]) -> bool:
        """One lane, one weight: whether another block of the lane comes earlier in consensus order."""
        if candidate.lane in lanes_met:
            return True
        lanes_met.add(candidate.lane)
        return any(
            rival is not candidate and selected.closed & rival.bit for rival in self.lanes[candidate.lane]
        )

    def _tally(self, selected: Block, fresh: int) -> FinalityView:
        """The view above `selected` when its merge set carries the votes `fresh`."""
        before = selected.view
        links = dict(before.links)
        checkpoints: dict[int, Checkpoint] = {}
        finalised_period = before.finalised[0]
        for number in members(fresh):
            vote = self.votes[number]
            period = vote.period
            if period <= finalised_period:
                continue
            checkpoint = checkpoints.get(period)
            if checkpoint is None:
                checkpoint = checkpoints[period] = self.checkpoint(selected, period)
            if vote.target == checkpoint and vote.source[0] < period:
                links[vote.link] = links.get(vote.link, 0) | 1 << vote.validator
        justified, finalised, justified_all = before.justified, before.finalised, set(before.justified_all)
        is_quorum, period_slots = self._committee.is_quorum, self.rules.period_slots
        pending = sorted(links)
        while pending:
            rest = []
            for link in pending:
                source, target = link
                if source not in justified_all:
                    rest.append(link)
                elif is_quorum(links[link], target[0] * period_slots):
                    justified_all.add(target)
                    justified = max(justified, target)
                    if target[0] == source[0] + 1 and source > finalised:
                        finalised = source
            if len(rest) == len(pending) or not rest:
                break
            pending = rest
        if finalised != before.finalised:
            justified_all = {checkpoint for checkpoint in justified_all if checkpoint >= finalised}
            links = {link: voters for link, voters in links.items() if link[1] > finalised}
        return FinalityView(justified, finalised, frozenset(justified_all), links)


def _order(block: Block) -> int:
    return block.key
