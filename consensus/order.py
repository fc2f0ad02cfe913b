"""What GHOSTDAG is told about blocks: ORDER, weights, lanes. The only place where headers meet the colouring.

ORDER = (justified period in the block's view, blue work, blue score, lane tie, block id); the larger wins. Votes count
only when they are in the block's past, so no gossip and no clock moves a choice. The lane's rank decides ties and
cannot be ground; the id separates only blocks of one lane. Source: consensus.md, GHOSTDAG.
"""

from consensus.blocks import Header
from consensus.finality import BlockFinality
from consensus.ghostdag import Dag, GhostdagData, GhostdagRules, OrderKey
from consensus.params import Params
from consensus.tables import Table

BLOCK_WEIGHT = 1
"""Proposers are sampled by stake already."""


def lane_key(slot: int, band: int) -> bytes:
    """Key of a lane: slot (8 bytes, big-endian), band (1 byte)."""
    return slot.to_bytes(8, "big") + bytes((band,))


def ghostdag_rules(params: Params, headers: Table[Header], finality: Table[BlockFinality]) -> GhostdagRules:
    """The rules of the network; the tables hold a block's records before the block is added to the DAG."""

    def order_key(block: bytes, data: GhostdagData) -> OrderKey:
        known = finality.get(block)
        return known.view.justified.period, data.blue_work, data.blue_score, known.tie, block

    def weight(block: bytes) -> int:
        return BLOCK_WEIGHT

    def lane(block: bytes) -> bytes | None:
        header = headers.get(block)
        return lane_key(header.slot, header.band) if header.parents else None

    return GhostdagRules(params.ghostdag_k, order_key, weight, lane)


class Ancestry:
    """Ancestor queries over a `Dag` in the shape that validators ask them; recent blocks are answered from bitsets."""

    __slots__ = ("_dag",)

    def __init__(self, dag: Dag) -> None:
        self._dag = dag

    def is_ancestor(self, ancestor: bytes, descendant: bytes) -> bool:
        """Whether `ancestor` is in the past of `descendant`, or the same block."""
        return self._dag.is_ancestor(ancestor, descendant)

    def is_chain_ancestor(self, ancestor: bytes, descendant: bytes) -> bool:
        """Whether `ancestor` is on the selected chain of `descendant`, or the same block."""
        return self._dag.reachability.is_chain_ancestor(ancestor, descendant)
