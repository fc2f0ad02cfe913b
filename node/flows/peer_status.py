"""`/nexus/status/1`: who our peers are and how far they are.

Both sides of a new connection ask, and again every five seconds or so. A peer of another genesis, chain or wire version
is told why and disconnected. A peer that does not answer keeps its last status; it is the transport's matter whether
it is alive.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

import trio

from consensus.stores import read_header
from ledger.errors import CodecError
from node.chain_context import ChainContext
from node.chain_writer import ChainWriter
from node.flows.wire import STATUS_CODEC, STATUS_PROTOCOL, WIRE_VERSION, Status
from node.logs import Log
from p2p.errors import NetworkError, RequestRefused
from p2p.network import Network, PeerId
from p2p.peers import Fault

STATUS_EVERY_S = 5.0
STATUS_TIMEOUT_S = 5.0
PART_AFTER_S = 1.0


@dataclass(slots=True)
class HeardPeer:
    """A connected peer."""

    status: Status | None = None
    """The last one that it told."""
    unknown_since_s: float | None = None
    """Since when its head has been unknown to us, in every status; None when the last one's is known."""
    ask_at_s: float = 0.0
    asking: bool = False
    foreign: bool = False
    """It is of another network, and was told so."""


class PeerStatuses:
    """One per node. `run` is the service; the wiring tells it of connections."""

    def __init__(
        self,
        chain: ChainContext,
        writer: ChainWriter,
        network: Network,
        *,
        random: Random,
        report: Callable[[PeerId, Fault], None],
        log: Log,
    ) -> None:
        self._chain = chain
        self._writer = writer
        self._network = network
        self._random = random
        self._report = report
        self._log = log
        self._peers: dict[PeerId, HeardPeer] = {}
        self._joined = trio.Event()
        self._heard = trio.Event()

    def __iter__(self) -> Iterator[tuple[PeerId, Status, float | None]]:
        """(peer, status, head unknown since) of all that have told one, by peer."""
        for peer_id in sorted(self._peers):
            peer = self._peers[peer_id]
            if peer.status is not None:
                yield peer_id, peer.status, peer.unknown_since_s

    def peers(self) -> tuple[PeerId, ...]:
        """All connected peers that we were told of, sorted."""
        return tuple(sorted(self._peers))

    def has(self, peer: PeerId) -> bool:
        """Whether we were told that the peer is connected."""
        return peer in self._peers

    def of(self, peer: PeerId) -> Status | None:
        """The peer's last status."""
        heard = self._peers.get(peer)
        return None if heard is None else heard.status

    def head_is_known(self, peer: PeerId) -> None:
        """We have what the peer has: begin anew to watch whether its heads stay unknown."""
        if peer in self._peers:
            self._peers[peer].unknown_since_s = None

    def on_connected(self, peer: PeerId) -> None:
        """A connection is up."""
        self._peers[peer] = HeardPeer()
        self._joined.set()

    def on_disconnected(self, peer: PeerId) -> None:
        """A connection has gone."""
        self._peers.pop(peer, None)

    async def wait_heard(self) -> None:
        """Until a status comes in."""
        self._heard = trio.Event()
        await self._heard.wait()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Answer, and ask every peer in turn, until cancelled."""
        await self._network.serve(STATUS_PROTOCOL, self._answer, max_request_bytes=STATUS_CODEC.max_bytes)
        task_status.started()
        async with trio.open_nursery() as nursery:
            while True:
                self._joined = trio.Event()
                now_s = trio.current_time()
                next_s = now_s + STATUS_EVERY_S
                for peer_id in sorted(self._peers):
                    peer = self._peers[peer_id]
                    if peer.asking:
                        continue
                    if peer.foreign:
                        peer.asking = True
                        nursery.start_soon(self._part, peer_id)
                        continue
                    if peer.ask_at_s <= now_s:
                        peer.asking = True
                        nursery.start_soon(self._ask, peer_id, peer)
                    else:
                        next_s = min(next_s, peer.ask_at_s)
                with trio.CancelScope(deadline=next_s):
                    await self._joined.wait()

    def _own(self) -> Status:
        head, params = self._writer.head, self._chain.params
        return Status(WIRE_VERSION, params.genesis_hash, params.chain_id, head.slot, head.blue_score, head.id)

    def _foreign(self, status: Status) -> str | None:
        """Why the peer is not of our network, or None."""
        params = self._chain.params
        if status.version != WIRE_VERSION:
            return f"wire version {status.version}, expected {WIRE_VERSION}"
        if status.genesis_hash != params.genesis_hash or status.chain_id != params.chain_id:
            return (
                f"chain {status.chain_id!r} with genesis {status.genesis_hash.hex()[:16]}, expected "
                f"{params.chain_id!r} with genesis {params.genesis_hash.hex()[:16]}"
            )
        return None

    async def _answer(self, peer: PeerId, data: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        try:
            status = STATUS_CODEC.decode(data)
        except CodecError as error:
            self._report(peer, Fault.MALFORMED)
            raise RequestRefused(str(error)) from None
        foreign = self._foreign(status)
        if foreign is not None:
            self._log.warning("peer is of another network", peer=peer, reason=foreign)
            if peer in self._peers:
                self._peers[peer].foreign = True
                self._joined.set()
            raise RequestRefused(f"you are of another network: {foreign}")
        self._take(peer, status)
        return STATUS_CODEC.encode(self._own())

    async def _part(self, peer: PeerId) -> None:
        """Close the connection, but not before our refusal has reached the peer."""
        await trio.sleep(PART_AFTER_S)
        await self._network.disconnect(peer)

    async def _ask(self, peer_id: PeerId, peer: HeardPeer) -> None:
        try:
            raw = await self._network.request(
                peer_id,
                STATUS_PROTOCOL,
                STATUS_CODEC.encode(self._own()),
                max_reply_bytes=STATUS_CODEC.max_bytes,
                timeout_s=STATUS_TIMEOUT_S,
            )
            status = STATUS_CODEC.decode(raw)
        except RequestRefused as error:
            self._log.warning("peer refused our status", peer=peer_id, reason=error.reason)
        except NetworkError as error:
            self._log.debug("asking for a status failed", peer=peer_id, error=str(error))
        except CodecError:
            self._report(peer_id, Fault.MALFORMED)
        else:
            foreign = self._foreign(status)
            if foreign is not None:
                self._log.warning("peer is of another network", peer=peer_id, reason=foreign)
                await self._network.disconnect(peer_id)
            else:
                self._take(peer_id, status)
        finally:
            peer.asking = False
            peer.ask_at_s = trio.current_time() + STATUS_EVERY_S * (0.75 + 0.5 * self._random.random())

    def _take(self, peer_id: PeerId, status: Status) -> None:
        peer = self._peers.get(peer_id)
        if peer is None:
            return
        peer.status = status
        # A head that waits among the orphans is not known: what it stands on may never come by itself.
        if read_header(self._chain.store, status.head_id) is not None:
            peer.unknown_since_s = None
        elif peer.unknown_since_s is None:
            peer.unknown_since_s = trio.current_time()
        self._heard.set()
