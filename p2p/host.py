"""`LibP2PNetwork`: the `Network` interface on real sockets, with py-libp2p 0.8.1.

Of libp2p we use Noise, multistream-select, GossipSub's mesh, the keys, peer ids and protobufs. Its transport, muxer,
connection table, gossip reading and request code are ours (see the README for why, part by part).
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import trio
from libp2p.exceptions import BaseLibp2pError
from libp2p.peer.id import ID

from p2p import transport
from p2p.addresses import parse_address
from p2p.errors import (
    MAX_DETAIL_CHARACTERS,
    AddressMalformed,
    BindFailed,
    DialFailed,
    NetworkClosed,
    RequestFailed,
)
from p2p.event_queue import MAX_EVENTS, EventQueue
from p2p.gossip import Gossip, Topic
from p2p.gossip_router import Router
from p2p.identity import has_signed, key_pair_from_seed, parse_peer_id, peer_id_of, sign_as
from p2p.library_host import LibraryHost, silence_library_logs
from p2p.network import Handler, NetworkEvent, PeerId, PeerInfo, PeerMisbehaved, Validator
from p2p.streams import Requests
from p2p.switch import Switch, SwitchLimits, text_of
from p2p.tasks import GuardedTasks
from p2p.wire import Upgrader

CLOSE_S = 3.0
OUTBOUND_RESERVE = 8
"""Places that inbound peers cannot take unless configured otherwise (reliability N1: at least 8 outbound peers)."""


@dataclass(frozen=True, slots=True)
class HostConfig:
    """Everything that a host needs to know. Errors: `ValueError` for limits that contradict each other."""

    identity_seed: bytes = field(repr=False)
    """32 bytes of an Ed25519 key. Secret."""
    listen: tuple[str, ...] = ("/ip4/127.0.0.1/tcp/0",)
    """Endpoints /ip4/HOST/tcp/PORT or /ip6/HOST/tcp/PORT; port 0 takes a free one."""
    announce: tuple[str, ...] = ()
    """Endpoints that others reach us at, where they differ from `listen` (NAT, containers)."""
    max_connections: int = 64
    """Peers, both directions."""
    max_inbound: int | None = None
    """Peers that dialled us; without a value all places but 8, or but half when there are few."""
    heartbeat_s: float = 1.0
    """Of the gossip mesh."""
    dial_timeout_s: float = 5.0
    """Until the socket is open."""
    handshake_timeout_s: float = 5.0
    """From the open socket to an admitted connection."""
    liveness_tick_s: float = 1.5
    liveness_misses: int = 3
    """A peer silent for this many ticks and one more, though pinged at each, is dropped: within 6 s."""
    validation_deadline_s: float = 4.0
    """A validator that takes longer counts as IGNORE."""

    def __post_init__(self) -> None:
        if not 0 < self.inbound_limit <= self.max_connections:
            raise ValueError(f"max_inbound {self.max_inbound}, possible are 1 to {self.max_connections}")

    @property
    def inbound_limit(self) -> int:
        """`max_inbound` or its default."""
        if self.max_inbound is not None:
            return self.max_inbound
        return self.max_connections - min(OUTBOUND_RESERVE, self.max_connections // 2)


class LibP2PNetwork:
    """Made by `open_network`. Keeps `p2p.network.Network`."""

    def __init__(self, config: HostConfig, nursery: trio.Nursery) -> None:
        key_pair = key_pair_from_seed(config.identity_seed)
        self._config = config
        self._key_pair = key_pair
        self._closed = False
        self._events = EventQueue(max(MAX_EVENTS, 4 * config.max_connections))
        self._dialling: dict[ID, trio.Lock] = {}
        limits = SwitchLimits(
            max_connections=config.max_connections,
            max_inbound=config.inbound_limit,
            handshake_timeout_s=config.handshake_timeout_s,
            liveness_tick_s=config.liveness_tick_s,
            liveness_misses=config.liveness_misses,
        )
        self._switch = Switch(peer_id_of(key_pair), Upgrader(key_pair), limits, nursery, self._events)
        self._tasks = GuardedTasks(nursery, self._own_fault)
        self._router = Router(config.heartbeat_s)
        self._host = LibraryHost(key_pair, self._switch)
        self._gossip = Gossip(
            self._host,
            self._switch,
            self._router,
            self._tasks,
            validation_deadline_s=config.validation_deadline_s,
            first_sequence_number=time.time_ns(),
            on_own_fault=self._own_fault,
        )
        self._requests = Requests(self._switch, self._events, self._own_fault)
        self._switch.on_connected = self._gossip.greet
        self._switch.on_gone = self._forget
        self._tasks.run_daemon_task(self._router.heartbeat)

    # The Network interface

    @property
    def peer_id(self) -> PeerId:
        """Our own identity."""
        return text_of(self._switch.own_id)

    @property
    def listen_addresses(self) -> tuple[str, ...]:
        """What we announce or listen on, with /p2p/<our id> and the real port."""
        return tuple(f"{endpoint}/p2p/{self.peer_id}" for endpoint in self._host.endpoints)

    def sign(self, data: bytes) -> bytes:
        """Our identity key's signature over `data`, 64 bytes."""
        return sign_as(self._key_pair, data)

    def has_signed(self, peer: PeerId, data: bytes, signature: bytes) -> bool:
        """Whether the Ed25519 key inside `peer` made `signature` over `data`."""
        return has_signed(peer, data, signature)

    def topics(self) -> tuple[str, ...]:
        """Topics subscribed to, sorted."""
        return tuple(sorted(self._gossip.topics))

    def peers(self) -> tuple[PeerInfo, ...]:
        """Peers connected now, sorted by id."""
        return self._switch.peers()

    async def next_event(self) -> NetworkEvent:
        """The next event; waits for one. As of all methods that wait, `NetworkClosed` after the block has been left."""
        self._check_open()
        return await self._events.get()

    async def subscribe(self, topic: str, validator: Validator, *, max_bytes: int) -> None:
        """Take part in `topic`; again with another validator replaces it. Errors: `ValueError` for `max_bytes` above
        what one gossip RPC holds."""
        self._check_open()
        await self._gossip.take_part(topic, Topic(validator, max_bytes))

    async def publish(self, topic: str, data: bytes) -> None:
        """Give `data` to the peers of `topic`; waits up to a second for slow ones. Errors: `MessageTooLarge`."""
        self._check_open()
        await self._gossip.publish_own(topic, data)

    async def serve(self, protocol: str, handler: Handler, *, max_request_bytes: int) -> None:
        """Answer requests on `protocol` with `handler`."""
        self._check_open()
        self._requests.serve(protocol, handler, max_request_bytes)
        await trio.lowlevel.checkpoint()

    async def request(
        self, peer: PeerId, protocol: str, data: bytes, *, max_reply_bytes: int, timeout_s: float
    ) -> bytes:
        """Ask `peer`. Errors: `RequestFailed`, `RequestTimeout`, `RequestRefused`."""
        self._check_open()
        try:
            peer_id = parse_peer_id(peer)
        except ValueError as error:
            raise RequestFailed(peer, protocol, str(error)) from error
        return await self._requests.request(
            peer_id, protocol, data, max_reply_bytes=max_reply_bytes, timeout_s=timeout_s
        )

    async def connect(self, address: str) -> PeerId:
        """Dial one address. No memory of failures: trying again, or the next address, is the caller's. Errors:
        `DialFailed`, `AddressMalformed`."""
        self._check_open()
        parsed = parse_address(address)
        parts = parsed.endpoint.split("/")
        try:
            peer_id = parse_peer_id(parsed.peer_id or "")
        except ValueError as error:
            raise AddressMalformed(address) from error
        if len(parts) != 5:
            raise AddressMalformed(address)  # /memory, which only simulations have
        if peer_id == self._switch.own_id:
            raise DialFailed(address, "that is ourselves")
        lock = self._dialling.setdefault(peer_id, trio.Lock())
        try:
            async with lock:
                if not self._switch.is_connected(peer_id):
                    await self._dial(address, parts[2], int(parts[4]), peer_id)
        finally:
            if not lock.statistics().tasks_waiting and not lock.locked():
                self._dialling.pop(peer_id, None)
        return text_of(peer_id)

    async def disconnect(self, peer: PeerId) -> None:
        """Close all connections to the peer; no error when there is none."""
        self._check_open()
        with suppress(ValueError):  # what is no peer id is not connected either
            await self._switch.disconnect(parse_peer_id(peer), "closed by us")

    # Inside

    def _check_open(self) -> None:
        if self._closed:
            raise NetworkClosed(self.peer_id)

    async def _dial(self, address: str, host: str, port: int, peer_id: ID) -> None:
        try:
            with trio.fail_after(self._config.dial_timeout_s):
                stream = await transport.dial(host, port)
        except trio.TooSlowError as error:
            raise DialFailed(address, f"no connection within {self._config.dial_timeout_s} s") from error
        except OSError as error:
            raise DialFailed(address, str(error)) from error
        try:
            await self._switch.dial(stream, peer_id)
        except trio.TooSlowError as error:
            raise DialFailed(address, f"no handshake within {self._config.handshake_timeout_s} s") from error
        except BaseLibp2pError as error:
            raise DialFailed(address, str(error) or type(error).__name__) from error
        except Exception as error:
            raise DialFailed(address, f"handshake failed: {error!r}") from error

    def serve_listeners(self, nursery: trio.Nursery, listeners: list[trio.SocketListener]) -> None:
        """Take connections from these sockets from now on."""
        nursery.start_soon(trio.serve_listeners, self._switch.accept, listeners)
        reached = tuple(
            endpoint for listener in listeners for endpoint in transport.reachable_endpoints(listener)
        )
        self._host.endpoints = self._config.announce or reached

    async def close(self) -> None:
        """Say goodbye to everybody; nothing works any more."""
        self._closed = True
        await self._switch.close()

    def _forget(self, peer_id: ID) -> None:
        self._gossip.forget(peer_id)
        self._requests.forget(peer_id)

    def _own_fault(self, what: str, error: Exception) -> None:
        self._events.put(PeerMisbehaved("", f"{what} raised {error!r}"[:MAX_DETAIL_CHARACTERS]))


async def _bind(endpoints: tuple[str, ...]) -> list[trio.SocketListener]:
    """Errors: `BindFailed`; then nothing stays open."""
    listeners: list[trio.SocketListener] = []
    for endpoint in endpoints:
        try:
            listeners += await transport.listen(endpoint)
        except (OSError, ValueError) as error:
            for listener in listeners:
                listener.socket.close()
            raise BindFailed(endpoint, str(error)) from error
    return listeners


@asynccontextmanager
async def open_network(config: HostConfig) -> AsyncIterator[LibP2PNetwork]:
    """A listening host. Leaving the block closes every connection, within 3 s. Errors: `BindFailed`, `ValueError`,
    `AddressMalformed` for what cannot be announced."""
    silence_library_logs()
    for endpoint in config.announce:
        if parse_address(endpoint).peer_id is not None:
            raise AddressMalformed(endpoint)
    listeners = await _bind(config.listen)
    async with trio.open_nursery() as nursery:
        network = LibP2PNetwork(config, nursery)
        network.serve_listeners(nursery, listeners)
        try:
            yield network
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(CLOSE_S):
                await network.close()
            nursery.cancel_scope.cancel()
