"""What must hold at every moment of a run, checked after each commit of each honest node. Errors: `RuleBroken`."""

from network.node_life import SimulatedNode
from network.oracle import check_conservation
from network.scenario import RuleBroken

from consensus.events import PeriodFinalised
from consensus.stores import Head, chain_index, index_on_chain, read_finality_status, read_header
from node.chain_writer import ChainUpdate
from node.daemon import NodeHandle
from node.orphans import MAX_ORPHANS

AUDIT_EVERY = 40
"""Commits of a node between two audits of its state."""


class Checkers:
    """One per run: what any honest node said, all others must agree with."""

    def __init__(self, *, may_conflict: bool = False) -> None:
        """`may_conflict`: so much stake is byzantine that two chains may become final, each on its own nodes."""
        self._may_conflict = may_conflict
        self._final: list[bytes] = []
        """Chain index -> the block that is final there."""
        self._final_by: list[str] = []
        """Who said it first."""
        self._roots: dict[bytes, bytes] = {}
        """Block -> root of the state after it."""
        self._commits: dict[str, int] = {}
        self.highest_final = 0
        """The highest final period that an honest node told of."""

    def check_restart(self, node: SimulatedNode, handle: NodeHandle) -> None:
        """Every batch is synced before anybody hears of it, so no crash takes it back: neither head nor finality."""
        store, committed = handle.services.store, node.committed
        if committed is not None and read_header(store, committed.id) is None:
            raise RuleBroken(f"{node.name} lost committed block {committed.id.hex()} over a restart")
        self._check_finality(node, handle)
        self._check_state(node, handle.services.head)

    def check_update(self, node: SimulatedNode, handle: NodeHandle, update: ChainUpdate) -> None:
        """After a batch."""
        self._check_state(node, update.head)
        if any(isinstance(event, PeriodFinalised) for event in update.events):
            self._check_finality(node, handle)
        count = self._commits[node.name] = self._commits.get(node.name, 0) + 1
        if count % AUDIT_EVERY == 0:
            check_conservation(node.name, handle.services.store)
            self._check_bounds(node, handle)
        node.committed = update.head

    def _check_state(self, node: SimulatedNode, head: Head) -> None:
        root = self._roots.setdefault(head.id, head.state_root)
        if root != head.state_root:
            raise RuleBroken(
                f"{node.name} has state {head.state_root.hex()} after block {head.id.hex()}, another {root.hex()}"
            )

    def _check_finality(self, node: SimulatedNode, handle: NodeHandle) -> None:
        """The finalised prefix is the same on all honest nodes and never shrinks."""
        store = handle.services.store
        status = read_finality_status(store)
        if status is None:
            raise RuleBroken(f"{node.name} has no chain")
        period, block = status.finalised.period, status.finalised.block_id
        if period < node.finalised_period:
            raise RuleBroken(f"{node.name} had period {node.finalised_period} final, now {period}")
        index = index_on_chain(store, block)
        if index is None:
            raise RuleBroken(f"{node.name} has left its final block {block.hex()} of period {period}")
        # What lies below the node's last one was compared then, and its chain has not left it since.
        for place in range(self._compared_from(node), index + 1):
            found = chain_index(store, place)
            if found is None:
                raise RuleBroken(f"{node.name} has no chain block {place} below its final one, {index}")
            if place == len(self._final):
                self._final.append(found)
                self._final_by.append(node.name)
            elif self._final[place] != found and not self._may_conflict:
                raise RuleBroken(
                    f"chain block {place} is {found.hex()} and final on {node.name}, on {self._final_by[place]} it is "
                    f"{self._final[place].hex()}"
                )
        node.finalised_period = period
        node.finalised_index = index
        self.highest_final = max(self.highest_final, period)

    def _compared_from(self, node: SimulatedNode) -> int:
        return min(node.finalised_index, len(self._final))

    def _check_bounds(self, node: SimulatedNode, handle: NodeHandle) -> None:
        services = handle.services
        config, mempool = services.config, services.mempool
        orphans = int(services.metrics.registry.get_sample_value("nexus_orphans") or 0)
        for what, found, limit in (
            ("transactions", len(mempool), config.mempool_max_transactions),
            ("bytes of transactions", mempool.size_bytes, config.mempool_max_bytes),
            ("orphans", orphans, MAX_ORPHANS),
            ("peers", len(services.network.peers()), config.max_connections),
        ):
            if found > limit:
                raise RuleBroken(f"{node.name} has {found} {what}, the limit is {limit}")
