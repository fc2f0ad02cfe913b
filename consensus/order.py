"""What GHOSTDAG is told about blocks: ORDER, weights, lanes. The only place where headers meet the colouring.

ORDER = (blue work, blue score, lane tie, block id); the larger wins. The lane's rank decides ties and cannot be ground;
the id separates only blocks of one lane. (The justified period comes first once votes exist: consensus.md, GHOSTDAG.)
"""

from consensus.blocks import Header
from consensus.ghostdag import Dag, GhostdagData, GhostdagRules, OrderKey
from consensus.params import Params
from consensus.schedule import Schedule
from consensus.tables import Table

BLOCK_WEIGHT = 1
"""Proposers are sampled by stake already."""


def lane_key(slot: int, band: int) -> bytes:
    """Key of a lane: slot (8 bytes, big-endian), band (1 byte)."""
    return slot.to_bytes(8, "big") + bytes((band,))


def ghostdag_rules(params: Params, schedule: Schedule, headers: Table[Header]) -> GhostdagRules:
    """The rules of the network; `headers` holds a block's header before the block is added to the DAG."""

    def order_key(block: bytes, data: GhostdagData) -> OrderKey:
        header = headers.get(block)
        return data.blue_work, data.blue_score, schedule.lane_tie(header.slot, header.band), block

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
