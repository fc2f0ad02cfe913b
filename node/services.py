"""What the running node offers to its clients (RPC, console, tests): one record of values and functions."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass

from consensus.finality import FinalityStatus
from consensus.params import Params, epoch_at, slot_at
from consensus.schedule import Schedule
from consensus.stores import Head, read_finality_status, read_header
from consensus.votes import Checkpoint
from ledger.genesis import Genesis
from ledger.registry import KindRegistry
from ledger.rules import ChainRules
from ledger.storage.store import Store
from ledger.transactions import SignedTransaction
from node.chain_writer import ChainWriter
from node.config import NodeConfig
from node.env import Workers
from node.finalised_keeper import FinalisedKeeper
from node.flows.sync_status import SyncStatus
from node.flows.transaction_relay import Refusal
from node.mempool import Mempool
from node.metrics import Metrics
from node.signing.guard import SigningGuard
from p2p.network import Network

NOTHING_FINAL = Checkpoint(0, bytes(32))
"""Of a store without a chain."""

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
    schedule: Schedule
    """As seen from the head, where no anchor is given."""
    store: Store
    """For reads (`consensus.stores`, `ledger.storage.state_store`), from any thread."""
    workers: Workers
    now_ms: Callable[[], int]
    chain_writer: ChainWriter
    """`head`, and `subscribe()` for what changes."""
    mempool: Mempool
    network: Network
    metrics: Metrics
    own_validators: Callable[[], tuple[int, ...]]
    """Indices of the validators whose keys this node signs with, at present."""
    signing: SigningGuard | None
    """None: a node without keys."""
    voters: Callable[[int], frozenset[int]]
    """Validators (indices) whose votes for a target period are known here."""
    submit_transactions: Submit
    """Takes encoded transactions in; one answer each, in order: the transaction, which is pending or on the chain, or
    why it was refused. Submitting again gives the same answer."""
    sync_status: Callable[[], SyncStatus]
    peer_score: Callable[[str], float]
    """0 for a spotless peer, -100 for a banned one."""
    fail: Callable[[Exception], None]
    """Ends the node with this error: for faults of our own store and state that a client's question brought up."""
    finalised: FinalisedKeeper
    """State as of the finalised checkpoint, with proofs."""
    conservation_error_units: Callable[[], int]
    """Sum of all accounts less the whole supply at the last audit: 0."""

    @property
    def head(self) -> Head:
        """The head of the chain."""
        return self.chain_writer.head

    @property
    def validator_indices(self) -> tuple[int, ...]:
        """`own_validators` of this moment."""
        return self.own_validators()

    def finality(self) -> FinalityStatus:
        """What is justified and finalised now."""
        return read_finality_status(self.store) or FinalityStatus(NOTHING_FINAL, NOTHING_FINAL)

    def finalised_epoch(self) -> int:
        """Everything before this epoch's first chain block is final."""
        header = read_header(self.store, self.finality().finalised.block_id)
        return 0 if header is None else epoch_at(self.params, header.slot)

    def signing_report(self) -> dict[str, object]:
        """Whether this node signs, as JSON."""
        if self.signing is None:
            return {"state": "no keys", "keys": 0, "wait_slots": 0, "reason": ""}
        return asdict(self.signing.status)

    def sync_report(self) -> dict[str, object]:
        """`sync_status` as JSON."""
        status = self.sync_status()
        return {
            "state": status.state.value,
            "activity": status.activity.value,
            "peer": status.peer,
            "sources": status.sources,
            "blocks_done": status.blocks_done,
            "blocks_target": status.blocks_target,
            "blocks_per_second": round(status.blocks_per_second, 1),
            "transactions_per_second": round(status.transactions_per_second, 1),
            "slots_left": status.slots_left,
            "seconds_left": None if status.seconds_left is None else round(status.seconds_left, 1),
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
