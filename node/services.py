"""What the running node offers to its clients (RPC, console, tests): one record of values and functions."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from consensus.params import Params, slot_at
from consensus.stores import Head
from ledger.genesis import Genesis
from ledger.registry import KindRegistry
from ledger.rules import ChainRules
from ledger.storage.store import Store
from ledger.transactions import SignedTransaction
from node.chain_writer import ChainWriter
from node.config import NodeConfig
from node.env import Workers
from node.flows.sync import SyncStatus
from node.flows.transaction_relay import Refusal
from node.mempool import Mempool
from node.metrics import Metrics
from p2p.network import Network

STALE_HEAD_SLOTS = 16
"""Two finality periods: a node whose chain has not moved for so long is not ready, whatever its peers say."""

Submit = Callable[[Sequence[bytes]], Awaitable[tuple[SignedTransaction | Refusal, ...]]]


@dataclass(frozen=True, slots=True)
class Services:
    """Everything here may be used from the event loop while the node runs."""

    config: NodeConfig
    genesis: Genesis
    params: Params
    rules: ChainRules
    registry: KindRegistry
    store: Store
    """For reads (`consensus.stores`, `ledger.storage.state_store`), from any thread."""
    workers: Workers
    now_ms: Callable[[], int]
    chain_writer: ChainWriter
    """`head`, and `subscribe()` for what changes."""
    mempool: Mempool
    network: Network
    metrics: Metrics
    validator_indices: tuple[int, ...]
    """Validators whose keys this node holds."""
    submit_transactions: Submit
    """Takes encoded transactions in; one answer each, in order: the transaction, which is pending or on the chain, or
    why it was refused. Submitting again gives the same answer."""
    sync_status: Callable[[], SyncStatus]
    peer_score: Callable[[str], float]
    """0 for a spotless peer, -100 for a banned one."""
    fail: Callable[[Exception], None]
    """Ends the node with this error: for faults of our own store and state that a client's question brought up."""
    conservation_error_units: Callable[[], int]
    """Sum of all accounts less the whole supply at the last audit: 0."""

    @property
    def head(self) -> Head:
        """The head of the chain."""
        return self.chain_writer.head

    def sync_report(self) -> dict[str, object]:
        """`sync_status` as JSON."""
        status = self.sync_status()
        return {
            "state": status.state.value,
            "peer": status.peer,
            "blocks_done": status.blocks_done,
            "blocks_target": status.blocks_target,
            "blocks_per_second": round(status.blocks_per_second, 1),
            "reason": status.reason,
        }

    def readiness(self) -> tuple[bool, dict[str, str]]:
        """Whether the node can do its work, with each check in words."""
        status = self.sync_status()
        synchronised = status.state.value == "synchronised"
        age_slots = max(0, slot_at(self.params, self.now_ms()) - self.head.slot)
        checks = {
            "head": f"{age_slots} slots old, ready up to {STALE_HEAD_SLOTS}",
            "sync": status.state.value if not status.reason else f"{status.state.value}: {status.reason}",
            "peers": str(len(self.network.peers())),
        }
        return synchronised and age_slots <= STALE_HEAD_SLOTS, checks
