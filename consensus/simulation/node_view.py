"""What one honest node knows, what it builds on, and whom it votes for.

A `NodeView` is never changed: nodes that know the same share one, and what follows from it is computed once.
"""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from consensus.simulation.committee import Committee
from consensus.simulation.dag import Block, Checkpoint, Colouring, ModelDag, members
from consensus.simulation.rules import VOTE_AGE_PERIODS, ParentRule, VotingRule

VOTES_PER_PERIOD = 3
"""Votes that a byzantine validator casts in a period, at most: bounds the search for gossiped certificates."""

Bound: TypeAlias = tuple[int, int]
"""(justified period, blue work), frozen at slot 8p − 2."""

VoteChoice: TypeAlias = tuple[Checkpoint, Checkpoint]
"""(source, target)."""


class NodeView:
    """Blocks and votes that a node has, its best tip and its finalised checkpoint."""

    __slots__ = (
        "best",
        "blocked",
        "conflict",
        "finalised",
        "known",
        "offers",
        "pending",
        "pool",
        "template",
        "tips",
    )

    def __init__(
        self,
        known: int,
        tips: int,
        best: Block,
        finalised: Checkpoint,
        pool: int,
        blocked: int,
        pending: tuple[Block, ...],
        conflict: tuple[Checkpoint, Checkpoint] | None,
    ) -> None:
        self.known = known
        self.tips = tips
        self.best = best
        """The greatest block by ORDER that has the finalised one on its chain."""
        self.finalised = finalised
        """The node's own: it never falls."""
        self.pool = pool
        """Votes known by gossip."""
        self.blocked = blocked
        """Later blocks of a lane that was seen twice: never a parent of the node's own blocks."""
        self.pending = pending
        """Blocks that wait for parents."""
        self.conflict = conflict
        """(own finalised checkpoint, another that a certificate finalised): the node halts."""
        self.template: Colouring | None = None
        self.offers: tuple[int, int] | None = None
        """(slot, votes to carry), the last asked for."""


def genesis_view(dag: ModelDag) -> NodeView:
    """A node that knows genesis."""
    genesis = dag.genesis
    return NodeView(genesis.bit, genesis.bit, genesis, genesis.view.finalised, 0, 0, (), None)


def learn(dag: ModelDag, view: NodeView, blocks: Sequence[Block], votes: int) -> NodeView:
    """The view after `blocks` in order of arrival, and gossiped `votes`; blocks without all parents wait."""
    known, tips, best, blocked = view.known, view.tips, view.best, view.blocked
    finalised, conflict = view.finalised, view.conflict
    waiting: Sequence[Block] = (*view.pending, *blocks) if view.pending else blocks
    while waiting:
        later: list[Block] = []
        for block in waiting:
            bit = block.bit
            if known & bit:
                continue
            past = block.past
            if past & known != past:
                later.append(block)
                continue
            if block.lane in dag.doubled and _lane_known(dag, known, block):
                blocked |= bit
            known |= bit
            tips = tips ^ (tips & past) | bit
            if block.key > best.key:
                if block.chain >> finalised[1] & 1:
                    best = block
                else:
                    conflict = conflict or _conflict(dag, finalised, block.view.finalised)
        if len(later) == len(waiting):
            break
        waiting = later
    reached = best.view.finalised
    if reached > finalised:
        finalised = reached
    return NodeView(
        known, tips, best, finalised, view.pool | votes, blocked, tuple(dict.fromkeys(waiting)), conflict
    )


def _lane_known(dag: ModelDag, known: int, block: Block) -> bool:
    return any(known & rival.bit for rival in dag.lanes[block.lane] if rival is not block)


def _conflict(dag: ModelDag, own: Checkpoint, other: Checkpoint) -> tuple[Checkpoint, Checkpoint] | None:
    """The two, when neither's block is on the chain of the other's."""
    if dag.blocks[own[1]].chain >> other[1] & 1 or dag.blocks[other[1]].chain >> own[1] & 1:
        return None
    return own, other


def template(dag: ModelDag, committee: Committee, view: NodeView) -> Colouring:
    """Parents by the template rule: the best tip, then in descending ORDER what fits into the merge set.

    A second block of a lane gives way to its parents, a tip too far away to the nearest block of its chain that fits,
    and a tip that would merge a red without the finalised checkpoint stays outside.
    """
    if view.template is None:
        certified = None
        if dag.rules.parents is ParentRule.CERTIFICATE:
            certified = certified_tip(dag, committee, view)
        view.template = _template(dag, view) if certified is None else dag.colour((certified,))
    return view.template


def certified_tip(dag: ModelDag, committee: Committee, view: NodeView) -> Block | None:
    """Where the node's votes certify a checkpoint above the best tip's: the best block of that checkpoint's chain, so
    that a block on it can carry the certificate. None when there is no such checkpoint."""
    best = view.best
    justified = dag.colour((best,)).view.justified
    tally: dict[tuple[Checkpoint, Checkpoint], int] = {}
    recent = max(0, len(dag.votes) - (VOTE_AGE_PERIODS + 2) * VOTES_PER_PERIOD * committee.size)
    for number in members(view.pool >> recent << recent):
        vote = dag.votes[number]
        if vote.target > justified:
            tally[vote.link] = tally.get(vote.link, 0) | 1 << vote.validator
    period_slots = dag.rules.period_slots
    for link in sorted(tally, key=lambda link: link[1], reverse=True):
        source, target = link
        if committee.is_quorum(tally[link], target[0] * period_slots):
            found = best
            for number in members(view.known >> target[1] << target[1]):
                block = dag.blocks[number]
                if (
                    block.chain >> target[1] & 1
                    and block.chain >> view.finalised[1] & 1
                    and not view.blocked & block.bit
                    and source in block.view.justified_all
                    and dag.checkpoint(block, target[0]) == target
                    and (found is best or block.key > found.key)
                ):
                    found = block
            return None if found is best else found
    return None


def _template(dag: ModelDag, view: NodeView) -> Colouring:
    rules, blocks = dag.rules, dag.blocks
    tips = sorted([blocks[number] for number in members(view.tips)], key=_order, reverse=True)
    if view.blocked or tips[0] is not view.best:
        tips = _usable(view, tips)
    selected = tips[0]
    if len(tips) == 1:
        return dag.colour((selected,))
    root = blocks[selected.view.finalised[1]]
    reachable = [
        # A tip without the merge root in its past, k or more chain blocks above it, is certainly red and too deep.
        tip
        for tip in tips[1:]
        if tip.closed >> root.number & 1 or selected.colouring.height - root.colouring.height < rules.k
    ]
    colouring = dag.colour(_fitting(dag, view, [selected], reachable))
    if not colouring.mergeset_reds or not _merges_too_deep(dag, colouring, root):
        return colouring
    parents = [selected]
    for tip in reachable:
        widened = _fitting(dag, view, parents, [tip])
        if not _merges_too_deep(dag, dag.colour(widened), root):
            parents = widened
    return dag.colour(parents)


def _fitting(dag: ModelDag, view: NodeView, parents: Sequence[Block], tips: Sequence[Block]) -> list[Block]:
    """`parents`, the selected one first, and of each of `tips` as much as the merge set has room for."""
    found = list(parents)
    selected_bits = found[0].closed.bit_count()
    past = 0
    for parent in found:
        past |= parent.closed
    for tip in tips:
        if len(found) == dag.rules.max_parents:
            break
        while (past | tip.closed).bit_count() - selected_bits > dag.rules.mergeset_limit:
            tip = tip.colouring.selected
        while view.blocked & tip.bit:
            tip = tip.colouring.selected
        if not past >> tip.number & 1:
            found = [parent for parent in found if not tip.past >> parent.number & 1]
            found.append(tip)
            past |= tip.closed
    return found


def _usable(view: NodeView, tips: Iterable[Block]) -> list[Block]:
    """Descending by ORDER, first the selected parent: blocked tips, and greater ones than that without the finalised
    block on their chain, are replaced by their parents."""
    found: list[Block] = []
    waiting = {tip.number: tip for tip in tips}
    seen = dict(waiting)
    while waiting:
        tip = max(waiting.values(), key=_order)
        del waiting[tip.number]
        if view.blocked & tip.bit or not (found or tip.chain >> view.finalised[1] & 1):
            for parent in tip.colouring.parents:
                if parent.number not in seen:
                    seen[parent.number] = waiting[parent.number] = parent
        else:
            found.append(tip)
    return found


def _merges_too_deep(dag: ModelDag, colouring: Colouring, root: Block) -> bool:
    """Whether a merged red has neither the merge root in its past nor a merged blue above it whose chain has the
    root."""
    for number in colouring.mergeset_reds:
        red = dag.blocks[number]
        if not red.closed & root.bit and not any(
            colouring.blues & dag.blocks[blue].bit
            and dag.blocks[blue].chain & root.bit
            and dag.blocks[blue].past & red.bit
            for blue in colouring.mergeset
        ):
            return True
    return False


def votes_to_carry(dag: ModelDag, committee: Committee, view: NodeView, slot: int) -> int:
    """Votes of the pool that count in the node's own block at `slot`, and that its past does not carry yet."""
    colouring = template(dag, committee, view)
    if view.offers is None or view.offers[0] != slot:
        missing = view.pool ^ (view.pool & colouring.votes_past)
        view.offers = (slot, countable(dag, colouring, missing, slot) if missing else 0)
    return view.offers[1]


def countable(dag: ModelDag, colouring: Colouring, votes: int, slot: int) -> int:
    """Those of `votes` that a block at `slot` may carry: not too old, and for a checkpoint of its own chain."""
    chosen = 0
    for number in members(votes):
        vote = dag.votes[number]
        if (
            dag.may_carry(vote.period, slot)
            and vote.source in colouring.view.justified_all
            and vote.target == dag.checkpoint(colouring.selected, vote.period)
        ):
            chosen |= vote.bit
    return chosen


def freeze_bound(view: NodeView) -> Bound:
    """(justified period, blue work) of the node's best tip."""
    return view.best.view.justified[0], view.best.score


def choose_vote(
    dag: ModelDag, committee: Committee, view: NodeView, period: int, bound: Bound, last_source: int
) -> VoteChoice | None:
    """What the rule says to vote for in `period`; None when every choice has a source below `last_source`."""
    if dag.rules.voting is VotingRule.LEADER:
        for lane in committee.leader_lanes(period * dag.rules.period_slots):
            for block in dag.lanes.get(lane, ()):
                if not view.known & block.bit or view.blocked & block.bit:
                    continue
                colouring = block.colouring
                if (block.view.justified[0], colouring.selected.score) < bound:
                    continue
                choice = _vote_along(dag, view, block, period, last_source)
                if choice is not None:
                    return choice
    return _vote_along(dag, view, view.best, period, last_source)


def _vote_along(
    dag: ModelDag, view: NodeView, block: Block, period: int, last_source: int
) -> VoteChoice | None:
    source = block.view.justified
    if not last_source <= source[0] < period or not block.chain >> view.finalised[1] & 1:
        return None
    return source, dag.checkpoint(block, period)


def _order(block: Block) -> int:
    return block.key
