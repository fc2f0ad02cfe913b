"""Rules that must hold in every run, watched as it goes, and the figures of finality."""

from itertools import pairwise

from consensus.simulation.dag import GENESIS_CHECKPOINT, Block, Checkpoint, ModelDag
from consensus.simulation.node_view import NodeView


class FinalityWatch:
    """Sees every change of a node's view; one for all honest nodes of a run."""

    def __init__(self, dag: ModelDag, nodes: tuple[int, ...]) -> None:
        self._dag = dag
        self.nodes = nodes
        self.violations: list[str] = []
        self.finalised_at: dict[int, list[tuple[int, int]]] = {node: [] for node in nodes}
        """Node -> (slot, finalised period), ascending."""
        self.checkpoints: dict[int, int] = {0: 0}
        """Finalised period -> block, over all nodes."""
        self._highest: Checkpoint = GENESIS_CHECKPOINT
        self.deepest_reorganisation_slots = 0

    def see_best(self, before: Block, after: Block) -> None:
        """A node's best tip changed."""
        if not after.chain >> before.number & 1:
            common = (before.chain & after.chain).bit_length() - 1
            depth = before.slot - self._dag.blocks[common].slot
            self.deepest_reorganisation_slots = max(self.deepest_reorganisation_slots, depth)

    def see_finality(self, slot: int, node: int, before: NodeView, after: NodeView) -> None:
        """Node `node` went from one view to another at `slot`."""
        if after.conflict is not None and before.conflict is None:
            self.violations.append(
                f"slot {slot}: node {node} has finalised {after.conflict[0]} and sees {after.conflict[1]} finalised"
            )
        if after.finalised != before.finalised:
            self._see_finalised(slot, node, before.finalised, after.finalised)

    def _see_finalised(self, slot: int, node: int, before: Checkpoint, after: Checkpoint) -> None:
        blocks = self._dag.blocks
        if after < before or not blocks[after[1]].chain >> before[1] & 1:
            self.violations.append(
                f"slot {slot}: node {node} finalised {after}, which does not follow on its {before}"
            )
        self.finalised_at[node].append((slot, after[0]))
        lower, higher = sorted((after, self._highest))
        agrees = blocks[higher[1]].chain >> lower[1] & 1 and (lower[0] != higher[0] or lower == higher)
        if not agrees or self.checkpoints.setdefault(*after) != after[1]:
            self.violations.append(
                f"slot {slot}: node {node} finalised {after}, another node {self._highest}"
            )
        self._highest = max(self._highest, after)

    def delays(self, first: int, last: int, period_slots: int) -> tuple[float, ...]:
        """Per period from `first` to `last` and node: periods from its begin until it was final there. Left out where
        it never was."""
        found = []
        for node in self.nodes:
            period = first
            for slot, reached in self.finalised_at[node]:
                while period <= min(reached, last):
                    found.append(slot / period_slots - period)
                    period += 1
        return tuple(found)

    def longest_stall(self, slots: int) -> int:
        """The longest time (slots) in which the first node finalised nothing, to the end of the run."""
        times = [0, *(slot for slot, _ in self.finalised_at[self.nodes[0]]), slots]
        return max(later - earlier for earlier, later in pairwise(times))

    def recovered_at(self, period: int) -> int | None:
        """The first slot at which every node had finalised `period` or a later one."""
        latest = 0
        for node in self.nodes:
            slots = [slot for slot, reached in self.finalised_at[node] if reached >= period]
            if not slots:
                return None
            latest = max(latest, slots[0])
        return latest
