"""Who is connected: admission, limits, one session per peer, streams to and from it.

libp2p's `Swarm` is not used: its inbound limit counts connections since the start and never gives a slot back, so a
node stops accepting after `max_connections - min_connections` connections ever made to it.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import trio
from libp2p.custom_types import TProtocol
from libp2p.exceptions import BaseLibp2pError
from libp2p.host.exceptions import StreamFailure
from libp2p.network.exceptions import SwarmException
from libp2p.network.stream.exceptions import StreamError
from libp2p.peer.id import ID

from p2p.errors import ProtocolFault
from p2p.event_queue import EventQueue
from p2p.network import PeerConnected, PeerDisconnected, PeerId, PeerInfo, PeerMisbehaved
from p2p.transport import TcpStream
from p2p.wire import Upgrader, agree_on, ask_for
from p2p.yamux import YamuxConnection
from p2p.yamux_stream import YamuxStream

MAX_HANDSHAKES = 128
"""Inbound connections that are not through with the handshake. One more ends the oldest, not the newcomer: an honest
handshake takes a fraction of a second, a slow one waits for its time-out."""
NEGOTIATION_TIMEOUT_S = 5.0
DEPARTURE_TIMEOUT_S = 3.0

Direction = Literal["inbound", "outbound"]
StreamHandler = Callable[[YamuxStream], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class SwitchLimits:
    """See `HostConfig`, whose fields these are."""

    max_connections: int
    max_inbound: int
    handshake_timeout_s: float
    liveness_tick_s: float
    liveness_misses: int


@dataclass(slots=True, eq=False)
class _Session:
    """All connections to one peer: one, or two after both sides dialled at once. They end together."""

    peer_id: ID
    direction: Direction
    connections: list[tuple[YamuxConnection, Direction]] = field(default_factory=list)
    reason: str = ""
    gone: trio.Event = field(default_factory=trio.Event)

    @property
    def is_open(self) -> bool:
        return not self.reason and any(not connection.is_closed for connection, _ in self.connections)

    def info(self) -> PeerInfo:
        endpoints = tuple(dict.fromkeys(connection.endpoint for connection, _ in self.connections))
        return PeerInfo(self.peer_id.to_base58(), endpoints, self.direction)

    def fail(self, reason: str, fault: ProtocolFault | None = None) -> None:
        self.reason = self.reason or reason
        for connection, _ in self.connections:
            connection.fail(reason, fault)


class Switch:
    """The table of connections. `on_connected` and `on_gone` are called once per session."""

    def __init__(
        self,
        own_id: ID,
        upgrader: Upgrader,
        limits: SwitchLimits,
        nursery: trio.Nursery,
        events: EventQueue,
    ) -> None:
        self.own_id = own_id
        self.handlers: dict[TProtocol, StreamHandler] = {}
        self.on_connected: Callable[[ID], None] = lambda peer_id: None
        self.on_gone: Callable[[ID], None] = lambda peer_id: None
        self._upgrader = upgrader
        self._limits = limits
        self._nursery = nursery
        self._events = events
        self._sessions: dict[ID, _Session] = {}
        self._handshakes: dict[int, trio.CancelScope] = {}
        self._is_closing = False

    # What is connected

    def peers(self) -> tuple[PeerInfo, ...]:
        """Connected peers, sorted by id."""
        open_now = [session.info() for session in self._sessions.values() if session.is_open]
        return tuple(sorted(open_now, key=lambda info: info.peer_id))

    def is_connected(self, peer_id: ID) -> bool:
        """Whether a stream could be opened."""
        session = self._sessions.get(peer_id)
        return session is not None and session.is_open

    # Coming

    async def accept(self, socket_stream: trio.SocketStream) -> None:
        """Serve one inbound socket until it closes. Never raises but `Cancelled`."""
        try:
            stream = TcpStream(socket_stream, is_initiator=False)
        except OSError:
            return  # gone before we looked
        if len(self._handshakes) >= MAX_HANDSHAKES:
            next(iter(self._handshakes.values())).cancel()
        if self._refusal("inbound") is not None:
            return
        connection: YamuxConnection | None = None
        with trio.move_on_after(self._limits.handshake_timeout_s) as scope:
            self._handshakes[id(stream)] = scope
            try:
                connection = await self._upgrade(stream, None)
                await self._admit(connection, "inbound")
            except Exception:  # noqa: BLE001 - a stranger's bytes before it has a name: whatever they break, it goes
                return
            finally:
                del self._handshakes[id(stream)]
        if connection is not None and not scope.cancelled_caught:
            await connection.finished.wait()

    async def dial(self, stream: TcpStream, peer_id: ID) -> None:
        """Make a connection of a socket that we opened to `peer_id`. Errors: whatever the layers raise."""
        try:
            with trio.fail_after(self._limits.handshake_timeout_s):
                connection = await self._upgrade(stream, peer_id)
                await self._admit(connection, "outbound")
        except BaseException:
            await stream.close()
            raise

    async def _upgrade(self, stream: TcpStream, expected: ID | None) -> YamuxConnection:
        secured, peer_id = await self._upgrader.upgrade(stream, expected)
        return YamuxConnection(
            secured,
            peer_id,
            endpoint=stream.endpoint,
            is_initiator=stream.is_initiator,
            tick_s=self._limits.liveness_tick_s,
            misses=self._limits.liveness_misses,
            serve=self._serve,
        )

    async def _admit(self, connection: YamuxConnection, direction: Direction) -> None:
        """Errors: `SwarmException` when the connection is refused."""
        peer_id = connection.peer_id
        if peer_id == self.own_id:
            raise SwarmException("that is ourselves")
        session = self._sessions.get(peer_id)
        if session is not None and (
            not session.is_open or any(known == direction for _, known in session.connections)
        ):
            # Nobody dials a peer that it is connected to: the peer has lost the old connection, or restarted.
            session.fail("replaced by a newer connection")
            with trio.move_on_after(DEPARTURE_TIMEOUT_S):
                await session.gone.wait()
            session = self._sessions.get(peer_id)
            if session is not None:
                raise SwarmException("an older connection of this peer is still closing")
        is_new = session is None
        if session is None:
            refusal = self._refusal(direction)
            if refusal is not None:
                raise SwarmException(refusal)
            session = self._sessions[peer_id] = _Session(peer_id, direction)
        session.connections.append((connection, direction))
        self._nursery.start_soon(self._run, session, connection)
        if is_new:
            self._events.put(PeerConnected(session.info()))
            self.on_connected(peer_id)

    def _refusal(self, direction: Direction) -> str | None:
        if self._is_closing:
            return "we are closing"
        if len(self._sessions) >= self._limits.max_connections:
            return f"{len(self._sessions)} peers are connected, the limit is {self._limits.max_connections}"
        inbound = sum(1 for session in self._sessions.values() if session.direction == "inbound")
        if direction == "inbound" and inbound >= self._limits.max_inbound:
            return f"{inbound} inbound peers are connected, the limit is {self._limits.max_inbound}"
        return None

    async def _run(self, session: _Session, connection: YamuxConnection) -> None:
        try:
            await connection.run()
        finally:
            session.connections = [entry for entry in session.connections if entry[0] is not connection]
            reason = connection.close_reason or "we are closing"
            session.fail(reason)
            peer = session.peer_id.to_base58()
            if connection.fault is not None:
                self._events.put(PeerMisbehaved(peer, connection.fault.kind, connection.fault.detail))
            if not session.connections:
                del self._sessions[session.peer_id]
                self.on_gone(session.peer_id)
                self._events.put(PeerDisconnected(peer, session.reason))
                session.gone.set()

    # Going

    def drop(self, peer_id: ID, reason: str) -> None:
        """Close the peer at once; nobody is to blame."""
        session = self._sessions.get(peer_id)
        if session is not None:
            session.fail(reason)

    def punish(self, peer_id: ID, fault: ProtocolFault) -> None:
        """Close the peer at once and report it."""
        session = self._sessions.get(peer_id)
        if session is not None and session.is_open:
            session.fail(f"protocol fault: {fault}", fault)

    async def disconnect(self, peer_id: ID, reason: str) -> None:
        """Close the peer with a word to it; returns when it is gone."""
        session = self._sessions.get(peer_id)
        if session is None:
            await trio.lowlevel.checkpoint()
            return
        session.reason = session.reason or reason
        async with trio.open_nursery() as nursery:
            for connection, _ in session.connections:
                nursery.start_soon(connection.close, reason)
        await session.gone.wait()

    async def close(self) -> None:
        """Close everybody with a word; when cancelled, without. Nobody is admitted any more."""
        self._is_closing = True
        try:
            async with trio.open_nursery() as nursery:
                for peer_id in list(self._sessions):
                    nursery.start_soon(self.disconnect, peer_id, "we are closing")
        finally:
            for session in list(self._sessions.values()):
                session.fail("we are closing")

    # Streams

    async def new_stream(self, peer_id: ID, protocols: Sequence[TProtocol]) -> YamuxStream:
        """A stream that speaks one of `protocols`. Errors: `SwarmException` (not connected), `StreamFailure`."""
        session = self._sessions.get(peer_id)
        if session is None or not session.is_open:
            raise SwarmException(f"not connected to {peer_id}")
        connection = next(known for known, _ in session.connections if not known.is_closed)
        try:
            stream = connection.open_stream()
        except BaseLibp2pError as error:
            raise SwarmException(str(error)) from error
        agreed: TProtocol | None = None
        try:
            with trio.move_on_after(NEGOTIATION_TIMEOUT_S):
                agreed = await ask_for(stream, protocols)
                stream.set_protocol(agreed)
        except BaseLibp2pError as error:
            raise StreamFailure(f"no stream of {protocols[0]} to {peer_id}: {error}") from error
        finally:
            if agreed is None:
                stream.reset_now()
        if agreed is None:
            raise StreamFailure(f"{peer_id} did not agree on a protocol within {NEGOTIATION_TIMEOUT_S} s")
        return stream

    async def _serve(self, stream: YamuxStream) -> None:
        """The guard around everything that answers an inbound stream: no exception gets past it."""
        peer_id = stream.muxed_conn.peer_id
        try:
            protocol: TProtocol | None = None
            with trio.move_on_after(NEGOTIATION_TIMEOUT_S):
                protocol = await agree_on(stream, tuple(self.handlers))
            if protocol is not None:
                stream.set_protocol(protocol)
                await self.handlers[protocol](stream)
        except StreamError:
            pass  # the peer closed or reset it
        except ProtocolFault as fault:
            self.punish(peer_id, fault)
        except BaseLibp2pError:
            pass  # no agreement, or an expected end in one of libp2p's own handlers
        except Exception as error:  # noqa: BLE001 - the guard
            self.punish(
                peer_id,
                ProtocolFault("transport", f"broke the handler of {stream.get_protocol()}: {error!r}"),
            )
        finally:
            if not stream.send_closed:
                stream.reset_now()


def text_of(peer_id: ID) -> PeerId:
    """The text form that `p2p.network` uses."""
    text: str = peer_id.to_base58()
    return text
