"""Requests and replies over kept-open streams. Byte table: README.

libp2p's RequestResponse opens a stream per request, which costs a negotiation of several round trips each time.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import trio
from libp2p.custom_types import TProtocol
from libp2p.exceptions import BaseLibp2pError
from libp2p.network.stream.exceptions import StreamError
from libp2p.peer.id import ID

from p2p.errors import RequestFailed, RequestRefused, RequestTimeout
from p2p.event_queue import EventQueue
from p2p.network import Handler, PeerMisbehaved
from p2p.switch import Switch, text_of
from p2p.yamux_stream import YamuxStream

LENGTH_BYTES = 4
ANSWERED, REFUSED, FAILED = 0, 1, 2
"""First byte of a reply."""
MAX_REASON_BYTES = 512
MAX_REPLY_BYTES = 2_097_152
"""What a handler of ours may return; the asker's own limit is usually lower."""
MAX_IN_FLIGHT = 10
"""Requests per peer and direction at once (reliability N5). Ours wait, the peer's are refused."""
REQUEST_READ_S = 10.0
"""From the first byte of a request to its last."""
HANDLER_S = 30.0
REPLY_WRITE_S = 20.0
IDLE_STREAM_S = 60.0
"""A stream without a request for this long is closed by the side that answers …"""
REUSE_STREAM_S = 30.0
"""… and not used again by the side that asks well before that, so that the two seldom meet."""
MAX_IDLE_STREAMS = 4
"""Kept open per peer and protocol."""


@dataclass(frozen=True, slots=True)
class _Service:
    protocol: str
    handler: Handler
    max_request_bytes: int


class Requests:
    """Both sides of all request protocols of one host."""

    def __init__(
        self, switch: Switch, events: EventQueue, on_own_fault: Callable[[str, Exception], None]
    ) -> None:
        self._switch = switch
        self._events = events
        self._on_own_fault = on_own_fault
        self._idle: dict[ID, dict[str, list[tuple[YamuxStream, float]]]] = {}
        self._slots: dict[ID, trio.Semaphore] = {}
        self._answering: dict[ID, int] = {}

    def forget(self, peer_id: ID) -> None:
        """The peer has gone."""
        self._idle.pop(peer_id, None)
        self._slots.pop(peer_id, None)

    # Asking

    async def request(
        self, peer_id: ID, protocol: str, data: bytes, *, max_reply_bytes: int, timeout_s: float
    ) -> bytes:
        """Errors: `RequestFailed`, `RequestTimeout`, `RequestRefused`. When a kept stream turns out dead before a byte
        of the reply has come, the request goes out a second time, so a peer may see it twice."""
        if not self._switch.is_connected(peer_id):
            raise RequestFailed(text_of(peer_id), protocol, "not connected")
        slots = self._slots.setdefault(peer_id, trio.Semaphore(MAX_IN_FLIGHT))
        with trio.move_on_after(timeout_s):
            async with slots:
                while True:
                    stream, is_fresh = await self._stream_to(peer_id, protocol)
                    try:
                        return await self._exchange(stream, peer_id, protocol, data, max_reply_bytes)
                    except StreamError as error:
                        if is_fresh:
                            raise RequestFailed(
                                text_of(peer_id), protocol, f"stream lost: {error}"
                            ) from error
        raise RequestTimeout(text_of(peer_id), protocol, timeout_s)

    async def _stream_to(self, peer_id: ID, protocol: str) -> tuple[YamuxStream, bool]:
        """An idle stream or a fresh one, and whether it is fresh."""
        idle = self._idle.get(peer_id, {}).get(protocol, [])
        while idle:
            stream, since = idle.pop()
            if not stream.is_closed and not stream.receive_closed:
                if trio.current_time() - since < REUSE_STREAM_S:
                    return stream, False
                stream.reset_now()
        try:
            return await self._switch.new_stream(peer_id, [TProtocol(protocol)]), True
        except BaseLibp2pError as error:
            raise RequestFailed(text_of(peer_id), protocol, str(error)) from error

    def _keep(self, stream: YamuxStream, peer_id: ID, protocol: str) -> None:
        idle = self._idle.setdefault(peer_id, {}).setdefault(protocol, [])
        idle.append((stream, trio.current_time()))
        if len(idle) > MAX_IDLE_STREAMS:
            idle.pop(0)[0].reset_now()

    async def _exchange(
        self, stream: YamuxStream, peer_id: ID, protocol: str, data: bytes, max_reply_bytes: int
    ) -> bytes:
        """One request and its reply. Errors: `StreamError` while nothing of the reply has come, else as `request`."""
        whole = False
        try:
            status, is_sent = await _send(stream, len(data).to_bytes(LENGTH_BYTES) + data)
            try:
                length = int.from_bytes(await read_exactly(stream, LENGTH_BYTES))
                limit = max_reply_bytes if status == ANSWERED else MAX_REASON_BYTES
                if status > FAILED or length > limit:
                    kind = "oversized" if status <= FAILED else "malformed"
                    reason = f"reply of {length} bytes, the limit is {limit}, status {status}"
                    self._events.put(PeerMisbehaved(text_of(peer_id), kind, f"{protocol}: {reason}"))
                    raise RequestFailed(text_of(peer_id), protocol, reason)
                body = await read_exactly(stream, length)
            except StreamError as error:
                raise RequestFailed(text_of(peer_id), protocol, f"reply cut off: {error}") from error
            whole = is_sent and not stream.receive_closed
        finally:
            if whole and self._switch.is_connected(peer_id):
                self._keep(stream, peer_id, protocol)
            else:
                stream.reset_now()
        if status == ANSWERED:
            return body
        reason = body.decode(errors="replace")
        raise (
            RequestRefused(reason) if status == REFUSED else RequestFailed(text_of(peer_id), protocol, reason)
        )

    # Answering

    def serve(self, protocol: str, handler: Handler, max_request_bytes: int) -> None:
        """Answer requests on `protocol`."""
        service = _Service(protocol, handler, max_request_bytes)
        self._switch.handlers[TProtocol(protocol)] = partial(self._serve_stream, service)

    async def _serve_stream(self, service: _Service, stream: YamuxStream) -> None:
        """Answer one request after the other until the stream ends, idles or errs. Errors: `StreamError`."""
        peer_id = stream.muxed_conn.peer_id
        while True:
            head = b""
            with trio.move_on_after(IDLE_STREAM_S):
                head = await stream.read(1)
            if not head:
                return
            self._answering[peer_id] = self._answering.get(peer_id, 0) + 1
            try:
                if not await self._serve_one(service, stream, peer_id, head):
                    return
            finally:
                self._answering[peer_id] -= 1
                if not self._answering[peer_id]:
                    del self._answering[peer_id]

    async def _serve_one(self, service: _Service, stream: YamuxStream, peer_id: ID, head: bytes) -> bool:
        """Whether the stream can take another request."""
        answering = self._answering[peer_id]
        data = bytearray()
        with trio.move_on_after(REQUEST_READ_S) as reading:
            head += await read_exactly(stream, LENGTH_BYTES - 1)
            length = int.from_bytes(head)
            if length > service.max_request_bytes:
                reason = f"request of {length} bytes, the limit is {service.max_request_bytes}"
                self._events.put(
                    PeerMisbehaved(text_of(peer_id), "oversized", f"{service.protocol}: {reason}")
                )
                await _reply(stream, FAILED, reason.encode())
                await stream.close()
                return False
            while length:
                block = await stream.read(length)
                length -= len(block)
                if answering <= MAX_IN_FLIGHT:
                    data += block  # else it is only read to get past it
        if reading.cancelled_caught:
            return False
        if answering > MAX_IN_FLIGHT:
            reason = f"{answering - 1} requests of yours are in flight, the limit is {MAX_IN_FLIGHT}"
            return await _reply(stream, REFUSED, reason.encode())
        status, body = await self._outcome(service, peer_id, bytes(data))
        return await _reply(stream, status, body)

    async def _outcome(self, service: _Service, peer_id: ID, data: bytes) -> tuple[int, bytes]:
        """Status and body of the reply; no exception of the handler gets past here."""
        with trio.move_on_after(HANDLER_S):
            try:
                body = await service.handler(text_of(peer_id), data)
            except RequestRefused as refusal:
                return REFUSED, refusal.reason.encode()[:MAX_REASON_BYTES]
            except Exception as error:  # noqa: BLE001 - foreign code at the boundary
                self._on_own_fault(f"handler of {service.protocol}", error)
                return FAILED, b"internal error"
            if len(body) > MAX_REPLY_BYTES:
                too_large = ValueError(f"reply of {len(body)} bytes, the limit is {MAX_REPLY_BYTES}")
                self._on_own_fault(f"handler of {service.protocol}", too_large)
                return FAILED, b"internal error"
            return ANSWERED, body
        self._on_own_fault(f"handler of {service.protocol}", TimeoutError(f"no reply within {HANDLER_S} s"))
        return FAILED, b"no reply in time"


async def _send(stream: YamuxStream, request: bytes) -> tuple[int, bool]:
    """Send a request; the status of its reply and whether all of the request went. A peer that refuses by the length
    alone answers without reading on, so what may have to wait for its window is written while we listen already.
    Errors: `StreamError`."""
    if len(request) <= stream.send_window:
        await stream.write(request)
        return (await read_exactly(stream, 1))[0], True
    status, is_sent = b"", False
    failure: StreamError | None = None

    async def write() -> None:
        nonlocal is_sent
        with suppress(StreamError):  # the reader sees it as well
            await stream.write(request)
            is_sent = True

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        try:
            status = await read_exactly(stream, 1)
        except StreamError as error:
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
    return status[0], is_sent


async def read_exactly(stream: YamuxStream, size: int) -> bytes:
    """`size` bytes. Errors: `StreamError` when it ends before."""
    data = bytearray()
    while len(data) < size:
        data += await stream.read(size - len(data))
    return bytes(data)


async def _reply(stream: YamuxStream, status: int, body: bytes) -> bool:
    """Whether it could be written in time."""
    with trio.move_on_after(REPLY_WRITE_S):
        await stream.write(bytes((status,)) + len(body).to_bytes(LENGTH_BYTES) + body)
        return True
    return False
