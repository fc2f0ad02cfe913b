"""One endpoint on the simulated wire: the `Network` interface over `SimulatedFabric`."""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import trio

from p2p.errors import MessageTooLarge, NetworkClosed, RequestFailed, RequestRefused, RequestTimeout
from p2p.event_queue import EventQueue
from p2p.network import (
    Handler,
    NetworkEvent,
    PeerConnected,
    PeerDisconnected,
    PeerId,
    PeerInfo,
    PeerMisbehaved,
    Validator,
    Verdict,
)
from p2p.peers import Fault
from p2p.simulated_identity import has_signed, sign_as

if TYPE_CHECKING:
    from p2p.simulated import SimulatedFabric

MAX_SEEN = 65_536
"""Gossip messages remembered for deduplication, and for how long, as libp2p's seen cache does."""
SEEN_TTL_S = 120.0
MAX_JUDGED_AT_ONCE = 256
"""Gossip messages of one peer whose validator has not answered yet; more are dropped, as from libp2p's queues."""
MAX_STREAMS_PER_PEER = 64
"""Requests open at once, per peer and direction (reliability N4)."""
MAX_OWN_FAULTS = 64


@dataclass(frozen=True, slots=True)
class Connection:
    """One side of a connection. Both sides hold the same number."""

    number: int
    endpoint: str
    direction: Literal["inbound", "outbound"]


@dataclass(frozen=True, slots=True)
class _Subscription:
    validator: Validator
    max_bytes: int


@dataclass(frozen=True, slots=True)
class _Service:
    handler: Handler
    max_request_bytes: int


@dataclass(slots=True)
class _OpenRequest:
    """A request of ours that waits for its reply."""

    peer: PeerId
    connection: int
    answered: trio.Event
    reply: bytes | None = None
    error: Exception | None = None


class SimulatedNetwork:
    """Made by `SimulatedFabric.join`. Keeps `p2p.network.Network`."""

    def __init__(self, fabric: "SimulatedFabric", peer_id: PeerId, endpoint: str) -> None:
        self._fabric = fabric
        self._peer_id = peer_id
        self._endpoint = endpoint
        self._connections: dict[PeerId, Connection] = {}
        self._subscriptions: dict[str, _Subscription] = {}
        self._services: dict[str, _Service] = {}
        self._seen: OrderedDict[bytes, float] = OrderedDict()
        self._judged: dict[PeerId, int] = {}
        self._answered: dict[PeerId, int] = {}
        self._open_requests: dict[int, _OpenRequest] = {}
        self._events = EventQueue()
        self._nursery: trio.Nursery | None = None
        self._crashed = False
        self._closed = False

    # The Network interface

    @property
    def peer_id(self) -> PeerId:
        """Our own identity."""
        return self._peer_id

    @property
    def endpoint(self) -> str:
        """Our multiaddress without /p2p/."""
        return self._endpoint

    @property
    def listen_addresses(self) -> tuple[str, ...]:
        """One: the endpoint with our id."""
        return (f"{self._endpoint}/p2p/{self._peer_id}",)

    def sign(self, data: bytes) -> bytes:
        """By the key that belongs to our name."""
        return sign_as(self._peer_id, data)

    def has_signed(self, peer: PeerId, data: bytes, signature: bytes) -> bool:
        """By the key that belongs to the name `peer`."""
        return has_signed(peer, data, signature)

    def topics(self) -> tuple[str, ...]:
        """Topics subscribed to, sorted."""
        return tuple(sorted(self._subscriptions))

    def peers(self) -> tuple[PeerInfo, ...]:
        """Peers connected now, sorted by id."""
        return tuple(_info(peer, connection) for peer, connection in self.connections())

    async def next_event(self) -> NetworkEvent:
        """The next event; waits for one."""
        await self.alive()
        event = await self._events.get()
        await self.alive()
        return event

    async def subscribe(self, topic: str, validator: Validator, *, max_bytes: int) -> None:
        """Take part in `topic`."""
        await self.alive()
        self._subscriptions[topic] = _Subscription(validator, max_bytes)

    async def publish(self, topic: str, data: bytes) -> None:
        """Send to every connected subscriber. Errors: `MessageTooLarge`."""
        await self.alive()
        subscription = self._subscriptions.get(topic)
        if subscription is not None and len(data) > subscription.max_bytes:
            raise MessageTooLarge(topic, len(data), subscription.max_bytes)
        self._mark_seen(_message_id(topic, data))
        self._fabric.note("published", peer=self._peer_id, topic=topic, data=_digest(data))
        self._forward(topic, data, received_from=None)

    async def serve(self, protocol: str, handler: Handler, *, max_request_bytes: int) -> None:
        """Answer requests on `protocol` with `handler`."""
        await self.alive()
        self._services[protocol] = _Service(handler, max_request_bytes)

    async def request(
        self, peer: PeerId, protocol: str, data: bytes, *, max_reply_bytes: int, timeout_s: float
    ) -> bytes:
        """Ask `peer`. A request or reply that the link loses ends in `RequestTimeout`."""
        await self.alive()
        connection = self._connections.get(peer)
        if connection is None:
            raise RequestFailed(peer, protocol, "not connected")
        open_now = sum(1 for waiting in self._open_requests.values() if waiting.peer == peer)
        if open_now >= MAX_STREAMS_PER_PEER:
            raise RequestFailed(
                peer, protocol, f"{open_now} requests open, the limit is {MAX_STREAMS_PER_PEER}"
            )
        number = self._fabric.next_number()
        waiting = _OpenRequest(peer, connection.number, trio.Event())
        self._open_requests[number] = waiting

        def deliver(receiver: SimulatedNetwork, arrived: bytes) -> None:
            receiver.answer(self._peer_id, protocol, arrived, number, max_reply_bytes)

        try:
            self._fabric.send(self._peer_id, peer, connection.number, "request", data, deliver)
            with trio.move_on_after(timeout_s):
                await waiting.answered.wait()
        finally:
            del self._open_requests[number]
        await self.alive()
        if waiting.error is not None:
            raise waiting.error
        if waiting.reply is None:
            raise RequestTimeout(peer, protocol, timeout_s)
        return waiting.reply

    async def connect(self, address: str) -> PeerId:
        """Dial. Errors: `DialFailed`. Connected already: returns at once."""
        await self.alive()
        return await self._fabric.dial(self, address)

    async def disconnect(self, peer: PeerId) -> None:
        """Close the connection to the peer, if there is one."""
        await self.alive()
        connection = self._connections.get(peer)
        if connection is not None:
            self.drop(peer, connection.number, "closed by us")
            self._fabric.tell_closed(peer, self._peer_id, connection.number, "closed by the peer")

    # What the fabric uses

    def connections(self) -> tuple[tuple[PeerId, Connection], ...]:
        """Sorted by peer."""
        return tuple(sorted(self._connections.items(), key=lambda item: item[0]))

    def connection_to(self, peer: PeerId) -> Connection | None:
        """Our side of the connection to `peer`."""
        return self._connections.get(peer)

    def holds(self, peer: PeerId, number: int | None = None) -> bool:
        """Whether we have a connection (this one, if a number is given) to `peer`."""
        connection = self._connections.get(peer)
        return connection is not None and number in (None, connection.number)

    def add(self, peer: PeerId, connection: Connection) -> None:
        """Our side of a connection comes up; an older one to the same peer goes down first."""
        old = self._connections.get(peer)
        if old is not None:
            self.drop(peer, old.number, "replaced by a new connection")
        self._connections[peer] = connection
        self._events.put(PeerConnected(_info(peer, connection)))

    def drop(self, peer: PeerId, number: int, reason: str) -> None:
        """Our side of connection `number` goes down, if it is still that one."""
        if not self.holds(peer, number):
            return
        del self._connections[peer]
        for waiting in self._open_requests.values():
            if waiting.connection == number:
                waiting.error = RequestFailed(peer, "in progress", f"disconnected: {reason}")
                waiting.answered.set()
        self._fabric.note("disconnected", peer=self._peer_id, other=peer, why=reason)
        self._events.put(PeerDisconnected(peer, reason))

    def close(self, *, crashed: bool) -> None:
        """End all our tasks. Only the first call counts."""
        if not self._closed:
            self._closed, self._crashed = True, crashed
            self._connections.clear()
            if self._nursery is not None:
                self._nursery.cancel_scope.cancel()

    async def alive(self) -> None:
        """A checkpoint. In a crashed process it never returns. Errors: `NetworkClosed` after leaving `join`."""
        await trio.lowlevel.checkpoint()
        if self._crashed:
            await trio.sleep_forever()
        if self._closed:
            raise NetworkClosed(self._peer_id)

    async def run_tasks(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Holds the tasks of validators and handlers until `close`."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            await trio.sleep_forever()

    # Gossip

    def receive(self, sender: PeerId, topic: str, data: bytes) -> None:
        """A gossiped message arrives."""
        subscription = self._subscriptions.get(topic)
        if subscription is None or self._nursery is None:
            return
        if len(data) > subscription.max_bytes:
            self._events.put(PeerMisbehaved(sender, Fault.OVERSIZED.value))
            return
        identity = _message_id(topic, data)
        if self._has_seen(identity):
            return
        if self._judged.get(sender, 0) >= MAX_JUDGED_AT_ONCE:
            self._fabric.note(
                "lost", kind="gossip", source=sender, target=self._peer_id, why="validators busy"
            )
            return
        self._mark_seen(identity)
        self._fabric.note(
            "delivered", kind="gossip", source=sender, target=self._peer_id, topic=topic, data=_digest(data)
        )
        self._judged[sender] = self._judged.get(sender, 0) + 1
        self._nursery.start_soon(self._judge, sender, topic, subscription.validator, data)

    async def _judge(self, sender: PeerId, topic: str, validator: Validator, data: bytes) -> None:
        try:
            verdict = await validator(sender, data)
        except Exception as error:  # noqa: BLE001 - foreign code at the boundary; kept with its traceback
            self._own_fault(f"validator of {topic}", error)
            verdict = Verdict.IGNORE
        finally:
            _count_down(self._judged, sender)
        self._fabric.note(
            "judged", peer=self._peer_id, topic=topic, data=_digest(data), verdict=verdict.value
        )
        if verdict is Verdict.ACCEPT:
            self._forward(topic, data, received_from=sender)

    def _forward(self, topic: str, data: bytes, *, received_from: PeerId | None) -> None:
        def deliver(receiver: SimulatedNetwork, arrived: bytes) -> None:
            receiver.receive(self._peer_id, topic, arrived)

        for peer, connection in self.connections():
            if peer != received_from and self._fabric.subscribes(peer, topic):
                self._fabric.send(
                    self._peer_id, peer, connection.number, "gossip", data, deliver, duplicable=True
                )

    def _has_seen(self, identity: bytes) -> bool:
        marked_s = self._seen.get(identity)
        return marked_s is not None and trio.current_time() - marked_s < SEEN_TTL_S

    def _mark_seen(self, identity: bytes) -> None:
        self._seen[identity] = trio.current_time()
        self._seen.move_to_end(identity)
        while len(self._seen) > MAX_SEEN:
            self._seen.popitem(last=False)

    # Requests

    def answer(self, asker: PeerId, protocol: str, data: bytes, number: int, max_reply_bytes: int) -> None:
        """A request arrives: run its handler in a task of ours and send the outcome back."""
        service = self._services.get(protocol)
        if service is None:
            self._reply(asker, protocol, number, RequestFailed(self._peer_id, protocol, "not served"), b"", 0)
        elif len(data) > service.max_request_bytes:
            self._events.put(PeerMisbehaved(asker, Fault.OVERSIZED.value))
            reason = f"request of {len(data)} bytes, the limit is {service.max_request_bytes}"
            self._reply(asker, protocol, number, RequestFailed(self._peer_id, protocol, reason), b"", 0)
        elif self._answered.get(asker, 0) >= MAX_STREAMS_PER_PEER:
            reason = f"{MAX_STREAMS_PER_PEER} requests of this peer are open already"
            self._reply(asker, protocol, number, RequestFailed(self._peer_id, protocol, reason), b"", 0)
        elif self._nursery is not None:
            self._fabric.note(
                "delivered",
                kind="request",
                source=asker,
                target=self._peer_id,
                topic=protocol,
                data=_digest(data),
            )
            self._answered[asker] = self._answered.get(asker, 0) + 1
            self._nursery.start_soon(
                self._handle, asker, protocol, service.handler, data, number, max_reply_bytes
            )

    async def _handle(
        self, asker: PeerId, protocol: str, handler: Handler, data: bytes, number: int, max_reply_bytes: int
    ) -> None:
        error: Exception | None = None
        reply = b""
        try:
            reply = await handler(asker, data)
        except RequestRefused as refusal:
            error = RequestRefused(refusal.reason)
        except Exception as unforeseen:  # noqa: BLE001 - foreign code at the boundary; kept with its traceback
            self._own_fault(f"handler of {protocol}", unforeseen)
            error = RequestFailed(self._peer_id, protocol, "stream reset")
        finally:
            _count_down(self._answered, asker)
        self._reply(asker, protocol, number, error, reply, max_reply_bytes)

    def _reply(
        self,
        asker: PeerId,
        protocol: str,
        number: int,
        error: Exception | None,
        reply: bytes,
        max_reply_bytes: int,
    ) -> None:
        connection = self._connections.get(asker)
        if connection is None:
            return

        def deliver(receiver: SimulatedNetwork, arrived: bytes) -> None:
            receiver.complete(self._peer_id, protocol, number, error, arrived, max_reply_bytes)

        self._fabric.send(self._peer_id, asker, connection.number, "reply", reply, deliver)

    def complete(
        self,
        peer: PeerId,
        protocol: str,
        number: int,
        error: Exception | None,
        reply: bytes,
        max_reply_bytes: int,
    ) -> None:
        """The outcome of a request of ours arrives; it may have given up waiting."""
        waiting = self._open_requests.get(number)
        if waiting is None or waiting.answered.is_set():
            return
        self._fabric.note(
            "delivered", kind="reply", source=peer, target=self._peer_id, topic=protocol, data=_digest(reply)
        )
        if error is not None:
            waiting.error = error
        elif len(reply) > max_reply_bytes:
            self._events.put(PeerMisbehaved(peer, Fault.OVERSIZED.value))
            reason = f"reply of {len(reply)} bytes, the limit is {max_reply_bytes}"
            waiting.error = RequestFailed(peer, protocol, reason)
        else:
            waiting.reply = reply
        waiting.answered.set()

    def _own_fault(self, what: str, error: Exception) -> None:
        """The interface makes an exception of a validator or handler our own fault: it ends neither peer nor node."""
        self._fabric.own_faults.append(error)
        self._fabric.note("own fault", peer=self._peer_id, what=what, error=type(error).__name__)
        self._events.put(PeerMisbehaved("", f"{what} raised {error!r}"))


def _info(peer: PeerId, connection: Connection) -> PeerInfo:
    return PeerInfo(peer, (connection.endpoint,), connection.direction)


def _message_id(topic: str, data: bytes) -> bytes:
    """BLAKE2b-128 of the topic, NUL, the data."""
    return hashlib.blake2b(topic.encode() + b"\x00" + data, digest_size=16).digest()


def _digest(data: bytes) -> str:
    """What stands for the data in the trace."""
    return hashlib.blake2b(data, digest_size=8).hexdigest()


def _count_down(counts: dict[PeerId, int], peer: PeerId) -> None:
    counts[peer] -= 1
    if counts[peer] == 0:
        del counts[peer]
