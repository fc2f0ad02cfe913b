"""When a proposer leaves its best tip: the votes that it has certify a checkpoint that no block's view counts yet.

A withheld certificate of another branch lets whoever holds it choose the moment at which the network changes over,
again and again (bouncing). So the first honest proposer who has all the votes builds on the best block of the certified
checkpoint's chain, on it alone, and carries them; from its child on every view has the certificate, and ORDER does the
rest. Neither ORDER nor validity knows this rule: it is a choice of parents, decided by proof alone.
Source: the models (README, Simulation models): with it bouncing costs 11 to 19 % of the periods instead of 78 %.
"""

from collections.abc import Iterable

from consensus.certificates import is_quorum
from consensus.errors import AnchorNotExecuted
from consensus.finality import FinalityView
from consensus.finality_tracking import FinalityTracker
from consensus.ghostdag import Dag
from consensus.params import Params
from consensus.vote_validation import carried_periods
from consensus.votes import Checkpoint, Vote

Link = tuple[Checkpoint, Checkpoint]
"""Source and target."""


def certified_links(
    offered: Iterable[Vote],
    selected_parent: bytes,
    view: FinalityView,
    slot: int,
    params: Params,
    dag: Dag,
    tracker: FinalityTracker,
) -> tuple[Link, ...]:
    """Links of a quorum of `offered` whose target is above what `view` justifies and not on the chain of
    `selected_parent`: the highest target first. `view` is that of a block of `slot` on `selected_parent`; `offered` are
    verified votes. Usually there are none, which costs a look-up for each link."""
    oldest, newest = carried_periods(params, slot)
    voters: dict[Link, set[int]] = {}
    elsewhere: dict[Checkpoint, bool] = {}
    for vote in offered:
        target = vote.target
        if not max(oldest, view.justified.period + 1) <= target.period <= newest:
            continue
        if target not in elsewhere:
            elsewhere[target] = dag.has(target.block_id) and not dag.reachability.is_chain_ancestor(
                target.block_id, selected_parent
            )
        if elsewhere[target]:
            voters.setdefault((vote.source, target), set()).add(vote.validator)
    found = []
    for link, indices in voters.items():
        try:
            if is_quorum(tracker.schedule_of_target(link[1]), indices):
                found.append(link)
        except AnchorNotExecuted:
            continue
    return tuple(sorted(found, key=_height, reverse=True))


def _height(link: Link) -> tuple[int, bytes, int]:
    return link[1].period, link[1].block_id, link[0].period
