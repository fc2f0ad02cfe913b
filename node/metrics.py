"""What the node measures, for Prometheus: prefix `nexus_`, base units, counters end in `_total`, bounded labels.

Every figure comes from the running node. The table in this package's README lists them; a test compares the two.
"""

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.process_collector import ProcessCollector

FAST_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
DELAY_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)
DEPTH_BUCKETS = (1, 2, 3, 4, 6, 8, 12, 18, 36, 72, 180)

SHUTDOWN_S = 2.0


class EconomyMetrics:
    """Figures of the economy at the head; what has to be counted by walking the state is of the last audit."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.system_account = Gauge(
            "nexus_system_account_units",
            "Balances of the accounts that no key signs for.",
            ["account"],
            registry=registry,
        )
        self.circulating = Gauge(
            "nexus_circulating_units", "Units outside of the reserves.", registry=registry
        )
        self.issued = Gauge(
            "nexus_issued_units", "Units that left the reserves since genesis.", registry=registry
        )
        self.burned = Gauge(
            "nexus_burned_units", "Units that entered the reserves since genesis.", registry=registry
        )
        self.message_burned = Gauge(
            "nexus_message_burned_units",
            "Units that messages burned since genesis, by region.",
            ["region"],
            registry=registry,
        )
        self.price_rise = Gauge(
            "nexus_message_price_rise_ratio",
            "By what part a message costs more than its formula says.",
            registry=registry,
        )
        self.policy_output = Gauge(
            "nexus_policy_output_ratio",
            "What the monetary policy decided: -1 is the full brake, 1 all of the budgets.",
            registry=registry,
        )
        self.floor_population = Gauge("nexus_floor_population", "Citizens.", registry=registry)
        self.floor_stability = Gauge(
            "nexus_floor_stability_ratio",
            "What the floor holds of a month's requirement, at most 1.",
            registry=registry,
        )
        self.floor_owed = Gauge(
            "nexus_floor_owed_units", "What citizens have not claimed or spent yet.", registry=registry
        )
        self.floor_paid = Gauge(
            "nexus_floor_paid_units", "Units that left the floor since genesis.", registry=registry
        )
        self.crisis = Gauge(
            "nexus_crisis_active",
            "1 while the floor has less than its citizens' near need.",
            registry=registry,
        )
        self.open_proposals = Gauge("nexus_open_proposals", "Proposals that are voted on.", registry=registry)
        self.feed_age = Gauge(
            "nexus_oracle_feed_age_epochs",
            "Epochs since the reports that a feed's value is from; NaN when it never had one.",
            ["feed"],
            registry=registry,
        )
        self.feed_fresh = Gauge(
            "nexus_oracle_feed_fresh", "1 while a feed's value counts.", ["feed"], registry=registry
        )
        self.tokens = Gauge("nexus_tokens", "Tokens, at the last audit.", registry=registry)
        self.pools = Gauge("nexus_dex_pools", "Exchange pools, at the last audit.", registry=registry)
        self.pooled = Gauge(
            "nexus_dex_reserve_units", "NXT in exchange pools, at the last audit.", registry=registry
        )


class Metrics:
    """One registry with everything in it; the owner of a figure sets it."""

    def __init__(self, *, process: bool = True) -> None:
        """`process`: also CPU, memory and descriptors of this process (not in simulations)."""
        self.registry = CollectorRegistry()
        registry = self.registry
        if process:
            ProcessCollector(namespace="nexus", registry=registry)

        self.blue_score = Gauge("nexus_dag_blue_score", "Blue score of the head.", registry=registry)
        self.tips = Gauge("nexus_dag_tips", "Blocks without a child.", registry=registry)
        self.blocks = Counter(
            "nexus_dag_blocks",
            "Blocks merged by the selected chain, by colour.",
            ["color"],
            registry=registry,
        )
        self.blocks_added = Counter(
            "nexus_dag_blocks_added", "Blocks that came into the DAG.", registry=registry
        )
        self.blocks_disqualified = Counter(
            "nexus_dag_blocks_disqualified", "Blocks whose commitments were wrong.", registry=registry
        )
        self.duplicate_lanes = Counter(
            "nexus_dag_duplicate_lanes", "Further blocks of a lane that had one already.", registry=registry
        )
        self.reorg_depth = Histogram(
            "nexus_reorg_depth_blocks",
            "Chain blocks removed by a reorganisation.",
            buckets=DEPTH_BUCKETS,
            registry=registry,
        )
        self.head_timestamp = Gauge(
            "nexus_head_timestamp_seconds", "Start of the head's slot, Unix time.", registry=registry
        )
        self.orphans = Gauge("nexus_orphans", "Blocks that wait for their parents.", registry=registry)
        self.sync_state = Gauge(
            "nexus_sync_state",
            "0 synchronised, 1 synchronising, 2 stuck: see sync status.",
            registry=registry,
        )
        self.sync_target = Gauge(
            "nexus_sync_target_blue_score", "Greatest blue score that a peer has told.", registry=registry
        )
        self.sync_blocks = Counter(
            "nexus_sync_blocks", "Blocks added by catching up with a peer.", registry=registry
        )
        self.sync_transactions = Counter(
            "nexus_sync_transactions", "Transactions in these blocks.", registry=registry
        )
        self.sync_seconds_left = Gauge(
            "nexus_sync_seconds_left",
            "Until we have caught up, at the recent rate; 0 when we have, NaN when unknown.",
            registry=registry,
        )
        self.sync_rotations = Counter(
            "nexus_sync_rotations", "Peers left because they failed or were slow.", registry=registry
        )
        self.compact_blocks = Counter(
            "nexus_compact_blocks",
            "Compact blocks by how their bodies were made.",
            ["result"],
            registry=registry,
        )
        self.compact_transactions = Counter(
            "nexus_compact_transactions",
            "Transactions of compact blocks by where they came from.",
            ["source"],
            registry=registry,
        )
        self.validation_seconds = Histogram(
            "nexus_block_validation_seconds",
            "Time per stage of taking in blocks.",
            ["stage"],
            buckets=FAST_BUCKETS,
            registry=registry,
        )
        self.propagation_delay = Histogram(
            "nexus_block_propagation_delay_seconds",
            "From the start of a block's slot to its arrival here.",
            buckets=DELAY_BUCKETS,
            registry=registry,
        )
        self.proposals = Counter(
            "nexus_proposals", "Our scheduled lanes by what became of them.", ["result"], registry=registry
        )
        self.votes_cast = Counter(
            "nexus_votes_cast",
            "Votes of our validators by what became of them.",
            ["result"],
            registry=registry,
        )
        self.justified_period = Gauge(
            "nexus_justified_period", "Period of the newest justified checkpoint.", registry=registry
        )
        self.finalised_period = Gauge(
            "nexus_finalised_period", "Period of the newest finalised checkpoint.", registry=registry
        )
        self.finality_lag = Gauge(
            "nexus_finality_lag_slots", "Slots from the finalised checkpoint to the head.", registry=registry
        )
        self.offences_seen = Counter(
            "nexus_offences_seen", "Provable faults of validators, by kind.", ["offence"], registry=registry
        )
        self.double_sign_prevented = Counter(
            "nexus_double_sign_prevented",
            "Signatures refused because the slot was signed for.",
            registry=registry,
        )
        self.signing_wait_slots = Gauge(
            "nexus_signing_wait_slots",
            "Slots that the doppelganger wait still takes; nothing is signed meanwhile.",
            registry=registry,
        )
        self.signer_available = Gauge(
            "nexus_signer_available", "1 while the signer answers, 0 while it does not.", registry=registry
        )
        self.doppelgangers = Counter(
            "nexus_doppelgangers_seen",
            "Foreign signatures by our keys. Anything but 0: stop the other node.",
            registry=registry,
        )
        self.mempool_transactions = Gauge(
            "nexus_mempool_transactions", "Pending transactions.", registry=registry
        )
        self.mempool_bytes = Gauge("nexus_mempool_bytes", "Bytes of pending transactions.", registry=registry)
        self.mempool_rejected = Counter(
            "nexus_mempool_rejected", "Transactions refused, by rule.", ["reason"], registry=registry
        )
        self.mempool_evicted = Counter(
            "nexus_mempool_evicted", "Transactions that left to make room.", registry=registry
        )
        self.transfers = Counter(
            "nexus_ledger_transfers",
            "Transactions executed by the selected chain, by result.",
            ["result"],
            registry=registry,
        )
        self.transactions = Counter(
            "nexus_transactions",
            "Transactions executed by the selected chain, by kind and result.",
            ["kind", "result"],
            registry=registry,
        )
        self.supply = Gauge(
            "nexus_supply_units", "Units by where they are, at the last audit.", ["part"], registry=registry
        )
        self.conservation_error = Gauge(
            "nexus_conservation_error_units",
            "Sum of all accounts less the whole supply, at the last audit. Must be 0.",
            registry=registry,
        )
        self.economy = EconomyMetrics(registry)
        self.peers = Gauge("nexus_p2p_peers", "Connected peers.", ["direction"], registry=registry)
        self.messages = Counter(
            "nexus_p2p_messages",
            "Gossiped messages by topic and verdict.",
            ["topic", "verdict"],
            registry=registry,
        )
        self.message_bytes = Counter(
            "nexus_p2p_bytes", "Bytes of gossiped messages received, by topic.", ["topic"], registry=registry
        )
        self.peer_faults = Counter(
            "nexus_p2p_faults", "Faults of peers, by kind.", ["fault"], registry=registry
        )
        self.rpc_requests = Counter(
            "nexus_rpc_requests", "Calls by method and outcome.", ["method", "code"], registry=registry
        )
        self.rpc_seconds = Histogram(
            "nexus_rpc_request_seconds", "Time per call.", buckets=FAST_BUCKETS, registry=registry
        )
        self.loop_lag = Gauge(
            "nexus_event_loop_lag_seconds",
            "How late the last timer of the event loop was.",
            registry=registry,
        )
        self.pruned_blocks = Counter(
            "nexus_pruned_blocks", "Blocks removed because nothing needs them any more.", registry=registry
        )
        self.base_slot = Gauge(
            "nexus_base_slot", "Slot of the lowest chain block that is kept.", registry=registry
        )
        self.db_size = Gauge("nexus_db_size_bytes", "Size of the chain's store.", registry=registry)
        self.db_write_seconds = Histogram(
            "nexus_db_write_seconds",
            "Time of a batch on the writer, disk included.",
            buckets=FAST_BUCKETS,
            registry=registry,
        )


@dataclass(frozen=True, slots=True)
class MetricsAddress:
    """Where the metrics are served."""

    host: str
    port: int


class MetricsBindFailed(Exception):
    """The address of the metrics is taken or not ours."""

    def __init__(self, host: str, port: int, reason: str) -> None:
        super().__init__(
            f"cannot serve metrics on {host}:{port}: {reason}; choose another metrics_port, or -1 for none"
        )
        self.host = host
        self.port = port


@asynccontextmanager
async def serve_metrics(metrics: Metrics, host: str, port: int) -> AsyncIterator[MetricsAddress]:
    """Serve `/metrics` from a thread of its own while the context lasts. Port 0 lets the system choose.

    Errors: `MetricsBindFailed`.
    """
    try:
        server, thread = start_http_server(port, addr=host, registry=metrics.registry)
    except OSError as error:
        raise MetricsBindFailed(host, port, error.strerror or str(error)) from None
    try:
        yield MetricsAddress(host, server.server_port)
    finally:
        with trio.CancelScope(shield=True), trio.move_on_after(SHUTDOWN_S):
            await trio.to_thread.run_sync(_stop, server, thread, abandon_on_cancel=True)


def _stop(server: object, thread: threading.Thread) -> None:
    server.shutdown()  # type: ignore[attr-defined]
    server.server_close()  # type: ignore[attr-defined]
    thread.join(SHUTDOWN_S)
