"""Our side of the connections: who comes and goes, what faults cost, and what of it is kept on disk."""

from collections.abc import Callable
from pathlib import Path

import trio

from consensus.params import Params
from node.flows.peer_status import PeerStatuses
from node.flows.snapshot_wire import (
    CHUNKS_PROTOCOL,
    PROOFS_PROTOCOL,
    SNAPSHOT_PROTOCOL,
    WINDOW_PROTOCOL,
)
from node.flows.wire import (
    BLOCK_TRANSACTIONS_PROTOCOL,
    BLOCKS_PROTOCOL,
    BODIES_PROTOCOL,
    HEADERS_PROTOCOL,
    MAX_BLOCK_MESSAGE_BYTES,
    STATUS_PROTOCOL,
    SYNC_PROTOCOL,
    blocks_topic,
    transactions_topic,
    votes_topic,
)
from node.logs import Log
from node.metrics import Metrics
from node.opening import save_address_book, write_bans
from p2p.address_book import AddressBook
from p2p.buckets import Rate, message_cost
from p2p.guard_limits import GuardLimits
from p2p.guarded import GuardedNetwork
from p2p.network import PeerConnected, PeerDisconnected, PeerId, PeerMisbehaved
from p2p.peers import Fault
from wnsp.spectrum import BAND_COUNT

SAVE_EVERY_S = 60.0
BANS_GATHER_S = 0.05
"""Bans that come together are saved together: a thousand sybils do not make the loop write a thousand files."""
RECONCILE_EVERY_S = 5.0
BLOCKS_MARGIN = 3
"""One peer may forward all blocks of the network, each lane twice, and half as much again."""
BURST_SLOTS = 16
VOTES_MARGIN = 2
"""A vote of each validator a period, and as many double votes and votes that came late."""
TRANSACTIONS_RATE = Rate(per_second=400, burst=1_600)
"""Tokens: one a message and one per started 16 KiB. 400 are 6 MiB/s in large batches."""
BLOCKS_RATE = Rate(per_second=512, burst=2_048)
"""8 MiB/s to one peer that synchronises; headers and bodies the same, each."""
BLOCK_TRANSACTIONS_RATE = Rate(per_second=128, burst=512)
"""2 MiB/s, and fifteen questions at once whose answers may be whole bodies; for each a block is read."""
SYNC_RATE = Rate(per_second=16, burst=64)
STATUS_RATE = Rate(per_second=4, burst=16)


def guard_limits(params: Params, max_inbound: int) -> GuardLimits:
    """What one peer may cost us on this network; all its nodes compute the same rates."""
    defaults = GuardLimits()
    dearest = message_cost(MAX_BLOCK_MESSAGE_BYTES, defaults.bytes_per_token)
    per_slot = BLOCKS_MARGIN * BAND_COUNT * dearest
    return GuardLimits(
        gossip={
            blocks_topic(params.chain_id): Rate(per_slot * 1_000 / params.slot_ms, per_slot * BURST_SLOTS),
            transactions_topic(params.chain_id): TRANSACTIONS_RATE,
            votes_topic(params.chain_id): _votes_rate(params),
        },
        requests={
            BLOCKS_PROTOCOL: BLOCKS_RATE,
            HEADERS_PROTOCOL: BLOCKS_RATE,
            BODIES_PROTOCOL: BLOCKS_RATE,
            BLOCK_TRANSACTIONS_PROTOCOL: BLOCK_TRANSACTIONS_RATE,
            SYNC_PROTOCOL: SYNC_RATE,
            PROOFS_PROTOCOL: BLOCKS_RATE,
            SNAPSHOT_PROTOCOL: BLOCKS_RATE,
            CHUNKS_PROTOCOL: BLOCKS_RATE,
            WINDOW_PROTOCOL: BLOCKS_RATE,
            STATUS_PROTOCOL: STATUS_RATE,
        },
        max_inbound=max_inbound,
    )


def _votes_rate(params: Params) -> Rate:
    """Every validator votes in the same slot, so a period's votes come in one burst, through any one peer; half of a
    sender's share of the burst is for forwarding that (`GuardedNetwork`)."""
    most = params.staking.max_validators
    period_s = params.period_slots * params.slot_ms / 1_000
    return Rate(VOTES_MARGIN * most / period_s, 2 * VOTES_MARGIN * most)


class PeerWatch:
    """One per node."""

    def __init__(
        self, network: GuardedNetwork, statuses: PeerStatuses, *, metrics: Metrics, log: Log
    ) -> None:
        self._network = network
        self._statuses = statuses
        self._metrics = metrics
        self._log = log

    async def run(self) -> None:
        """Take the network's events until cancelled. Events can be merged away, so the list of peers counts."""
        while True:
            with trio.move_on_after(RECONCILE_EVERY_S):
                match await self._network.next_event():
                    case PeerConnected(peer=info):
                        self._log.info("peer connected", peer=info.peer_id, direction=info.direction)
                        self._statuses.on_connected(info.peer_id)
                    case PeerDisconnected(peer_id=peer, reason=reason):
                        self._log.info("peer disconnected", peer=peer, reason=reason)
                        self._statuses.on_disconnected(peer)
                    case PeerMisbehaved(peer_id="", fault=fault):
                        self._log.error("network code failed", fault=fault)
                    case PeerMisbehaved(peer_id=peer, fault=fault):
                        self._metrics.peer_faults.labels(_kind(fault)).inc()
                        self._log.warning("peer misbehaved", peer=peer, fault=fault)
                continue
            self._reconcile()

    def _reconcile(self) -> None:
        connected = [info.peer_id for info in self._network.peers()]
        for peer in connected:
            if not self._statuses.has(peer):
                self._statuses.on_connected(peer)
        for peer in self._statuses.peers():
            if peer not in connected:
                self._statuses.on_disconnected(peer)


def _kind(fault: str) -> str:
    """A bounded label: the transport may put more into its text."""
    return fault if fault in [known.value for known in Fault] else Fault.TRANSPORT.value


async def save_addresses(book: AddressBook, directory: Path, log: Log) -> None:
    """Keep the address book on disk; until cancelled, and once more then."""
    try:
        while True:
            await trio.sleep(SAVE_EVERY_S)
            save_address_book(book, directory, log)
    finally:
        save_address_book(book, directory, log)


async def save_bans(network: GuardedNetwork, directory: Path, log: Log, clock_s: Callable[[], float]) -> None:
    """Keep the bans on disk: at once when there is a new one, now and then for the time that passes; until cancelled,
    and once more then."""
    try:
        while True:
            with trio.move_on_after(SAVE_EVERY_S):
                await network.wait_for_ban()
                await trio.sleep(BANS_GATHER_S)
            write_bans(network.bans(), clock_s(), directory, log)
    finally:
        write_bans(network.bans(), clock_s(), directory, log)


class FaultReport:
    """Counts a peer's fault and passes it on to the guard, which scores it."""

    def __init__(self, network: GuardedNetwork, *, metrics: Metrics, log: Log) -> None:
        self._network = network
        self._metrics = metrics
        self._log = log

    def __call__(self, peer: PeerId, fault: Fault) -> None:
        """`peer` did `fault`; "" is ourselves and costs nothing."""
        if not peer:
            return
        self._metrics.peer_faults.labels(fault.value).inc()
        before = self._network.score(peer)
        self._network.report(peer, fault)
        after = self._network.score(peer)
        self._log.debug("peer lost score", peer=peer, fault=fault.value, score=after)
        if after <= -100.0 < before:
            self._log.warning("peer banned", peer=peer, fault=fault.value)
