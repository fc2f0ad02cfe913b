"""The Yamux multiplexer, /yamux/1.0.0: many streams on one encrypted connection, and a watch over whether it lives.

libp2p's own is not used: it takes any amount of data past the receive window, lets two writers of one stream mix their
frames, loses the connection's encryption state when a write is cancelled, hangs in `close` behind a stalled write and
opens inbound streams without a limit. Byte table and limits: README.
"""

import struct
from collections import deque
from collections.abc import Awaitable, Callable

import trio
from libp2p.abc import ISecureConn
from libp2p.io.exceptions import ConnectionClosedError, IncompleteReadError, IOException
from libp2p.peer.id import ID

from p2p.errors import ProtocolFault
from p2p.yamux_stream import MAX_FRAME_DATA_BYTES, WINDOW_BYTES, YamuxStream

PROTOCOL = "/yamux/1.0.0"
HEADER = struct.Struct("!BBHII")
"""Version, type, flags, stream id, length."""
DATA, WINDOW_UPDATE, PING, GO_AWAY = range(4)
SYN, ACK, FIN, RST = 1, 2, 4, 8

MAX_INBOUND_STREAMS = 64
"""Open at once per connection (reliability N4); further ones are reset."""
MAX_REFUSED_STREAMS = 1_000
"""Streams above the limit before we take it for an attack."""
MAX_OUTBOUND_STREAMS = 128
MAX_BUFFERED_BYTES = 4_194_304
"""Unread data of all streams of a connection together."""
MAX_LATE_BYTES = 16_777_216
"""Data that may still arrive for streams that are done: a window's worth for each, up to this."""
OUTBOX_BYTES = 131_072
"""Above this writers wait."""
OUTBOX_FATAL_BYTES = 1_048_576
"""Answers to pings, window updates and resets do not wait; a peer that makes us collect this much of them does not
read."""
HALF_CLOSED_S = 10.0
"""A stream that we closed and the peer has not closed after this long is reset."""
CLOSE_FLUSH_S = 0.3

_PACKET_BYTES = MAX_FRAME_DATA_BYTES + HEADER.size


class YamuxConnection:
    """One connection. It lives while `run` runs, which nothing but `close` and `fail` ends: a cancelled host can so
    still say goodbye. Everything else may be called from any task."""

    def __init__(
        self,
        secured: ISecureConn,
        peer_id: ID,
        *,
        endpoint: str,
        is_initiator: bool,
        tick_s: float,
        misses: int,
        serve: Callable[[YamuxStream], Awaitable[None]],
    ) -> None:
        self.peer_id = peer_id
        self.endpoint = endpoint
        self.is_initiator = is_initiator
        self.close_reason = ""
        self.fault: ProtocolFault | None = None
        self.room = trio.Event()
        """Set, and replaced, when the outbox has shrunk."""
        self.finished = trio.Event()
        self._secured = secured
        self._serve = serve
        self._tick_s = tick_s
        self._misses = misses
        self._streams: dict[int, YamuxStream] = {}
        self._next_id = 1 if is_initiator else 2
        self._inbound = 0
        self._refused = 0
        self._heard = 0
        self._late_bytes = 0
        self._outbox: deque[bytes] = deque()
        self._outbox_bytes = 0
        self._outbox_filled = trio.Event()
        self._scope = trio.CancelScope(shield=True)
        self._nursery: trio.Nursery | None = None

    # Life

    async def run(self) -> None:
        """Until either side closes. Never raises."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    self._nursery = nursery
                    nursery.start_soon(self._write_frames)
                    nursery.start_soon(self._watch)
                    await self._read_frames()
        finally:
            self._nursery = None
            for stream in list(self._streams.values()):
                stream.on_reset()
            self._signal_room()
            with trio.CancelScope(shield=True):
                await self._secured.close()
            self.finished.set()

    def fail(self, reason: str, fault: ProtocolFault | None = None) -> None:
        """End the connection at once. The first reason counts."""
        if not self.close_reason:
            self.close_reason, self.fault = reason, fault
        self._scope.cancel()

    async def close(self, reason: str) -> None:
        """End it with a word to the peer; what is queued gets a moment to leave."""
        if not self.close_reason:
            self.close_reason = reason
        self._send(GO_AWAY, 0, 0, 0)
        with trio.move_on_after(CLOSE_FLUSH_S):
            while self._outbox_bytes and not self.finished.is_set():
                await self.room.wait()
        self._scope.cancel()
        await self.finished.wait()

    @property
    def is_closed(self) -> bool:
        """Whether it has ended or is about to."""
        return bool(self.close_reason) or self.finished.is_set()

    async def _watch(self) -> None:
        """A peer from which `misses` ticks in a row nothing has come, though we pinged it, is gone or frozen. Counting
        ticks instead of seconds keeps a pause of our own process from looking like a silence of everybody else."""
        silent = heard = pings = 0
        while True:
            await trio.sleep(self._tick_s)
            silent = silent + 1 if heard == self._heard else 0
            heard = self._heard
            if silent > self._misses:
                self.fail(f"no sign of life for {silent * self._tick_s:.1f} s")
            elif silent and not self._outbox_bytes:
                pings += 1
                self._send(PING, SYN, 0, pings)
            overdue = trio.current_time() - HALF_CLOSED_S
            for stream in list(self._streams.values()):
                if stream.send_closed and stream.closed_at < overdue:
                    stream.reset_now()

    # Streams

    def open_stream(self) -> YamuxStream:
        """A new stream. Errors: `IOException`."""
        ours = len(self._streams) - self._inbound
        if self.is_closed:
            raise ConnectionClosedError("the connection is closed")
        if ours >= MAX_OUTBOUND_STREAMS:
            raise IOException(f"{ours} streams of ours are open, the limit is {MAX_OUTBOUND_STREAMS}")
        stream = YamuxStream(self, self._next_id, is_ours=True)
        self._streams[self._next_id] = stream
        self._next_id += 2
        self._send(WINDOW_UPDATE, SYN, stream.stream_id, 0)
        return stream

    def forget(self, stream_id: int) -> None:
        """Drop a stream that is done; twice does no harm."""
        stream = self._streams.pop(stream_id, None)
        if stream is not None:
            self._late_bytes = min(self._late_bytes + WINDOW_BYTES, MAX_LATE_BYTES)
            self._inbound -= not stream.is_ours

    def get_remote_address(self) -> tuple[str, int] | None:
        """Host and port, for libp2p."""
        parts = self.endpoint.split("/")
        return parts[2], int(parts[4])

    # Sending: frames queue up in the outbox and one task writes them, so no caller's cancellation cuts a frame

    @property
    def has_room(self) -> bool:
        """Whether a writer may add data."""
        return self._outbox_bytes < OUTBOX_BYTES

    def send_data(self, stream_id: int, data: bytes) -> None:
        """At most `MAX_FRAME_DATA_BYTES`."""
        self._send(DATA, 0, stream_id, len(data), data)

    def send_window_update(self, stream_id: int, increment: int) -> None:
        """We have read `increment` bytes."""
        self._send(WINDOW_UPDATE, 0, stream_id, increment)

    def send_fin(self, stream_id: int) -> None:
        """We will send no more."""
        self._send(WINDOW_UPDATE, FIN, stream_id, 0)

    def send_reset(self, stream_id: int) -> None:
        """The stream is dead."""
        self._send(WINDOW_UPDATE, RST, stream_id, 0)

    def _send(self, kind: int, flags: int, stream_id: int, length: int, data: bytes = b"") -> None:
        if self.finished.is_set():
            return
        frame = HEADER.pack(0, kind, flags, stream_id, length) + data
        self._outbox.append(frame)
        self._outbox_bytes += len(frame)
        self._outbox_filled.set()
        if self._outbox_bytes > OUTBOX_FATAL_BYTES:
            self.fail("the peer does not read")

    async def _write_frames(self) -> None:
        while True:
            while not self._outbox:
                self._outbox_filled = trio.Event()
                await self._outbox_filled.wait()
            frames = [self._outbox.popleft()]
            size = len(frames[0])
            while self._outbox and size + len(self._outbox[0]) <= _PACKET_BYTES:
                frames.append(self._outbox.popleft())
                size += len(frames[-1])
            try:
                await self._secured.write(b"".join(frames))
            except (IOException, OSError) as error:
                self.fail(f"connection lost: {error}")
                return
            self._outbox_bytes -= size
            self._signal_room()

    def _signal_room(self) -> None:
        self.room.set()
        self.room = trio.Event()

    # Receiving

    async def _read_frames(self) -> None:
        received = bytearray()
        try:
            while True:
                received += await self._secured.read()
                self._heard += 1
                offset = 0
                while (end := self._take_frame(received, offset)) > offset:
                    offset = end
                del received[:offset]
        except ProtocolFault as fault:
            self.fail(f"protocol fault: {fault}", fault)
        except (ConnectionClosedError, IncompleteReadError) as error:
            self.fail(f"closed by the peer: {error}")
        except Exception as error:  # noqa: BLE001 - decryption and foreign layers: whatever they raise ends this peer
            self.fail(f"connection lost: {type(error).__name__}", ProtocolFault("transport", repr(error)))

    def _take_frame(self, received: bytearray, offset: int) -> int:
        """Handle the frame at `offset`; where it ends, or `offset` if it is not all there. Errors: `ProtocolFault`."""
        body = offset + HEADER.size
        if len(received) < body:
            return offset
        version, kind, flags, stream_id, length = HEADER.unpack_from(received, offset)
        if version != 0 or kind > GO_AWAY:
            raise ProtocolFault("malformed", f"yamux frame of version {version}, type {kind}")
        if kind == PING:
            if flags & SYN:
                self._send(PING, ACK, 0, length)
            return body
        if kind == GO_AWAY:
            self.fail(f"closed by the peer: go away, code {length}")
            return body
        data = b""
        if kind == DATA:
            if length > WINDOW_BYTES:
                raise ProtocolFault(
                    "oversized", f"yamux frame of {length} bytes, the window is {WINDOW_BYTES}"
                )
            if len(received) < body + length:
                return offset
            data = bytes(received[body : body + length])
        if flags & SYN:
            self._accept(stream_id)
        stream = self._streams.get(stream_id)
        if stream is not None:
            self._deliver(stream, flags, data, 0 if kind == DATA else length)
        else:
            self._late_bytes -= len(data)
            if self._late_bytes < 0:
                raise ProtocolFault("oversized", "more data than any window held, for streams that are done")
        return body + len(data)

    def _deliver(self, stream: YamuxStream, flags: int, data: bytes, increment: int) -> None:
        if len(data) > stream.receive_window:
            raise ProtocolFault(
                "oversized", f"{len(data)} bytes of data, the window has {stream.receive_window} bytes left"
            )
        if data and not stream.receive_closed:
            stream.on_data(data)
            self._check_buffered()
        if increment:
            stream.on_window_update(increment)
        if flags & RST:
            stream.on_reset()
        elif flags & FIN:
            stream.on_fin()

    def _check_buffered(self) -> None:
        if len(self._streams) * WINDOW_BYTES > MAX_BUFFERED_BYTES:
            buffered = sum(stream.buffered_bytes for stream in self._streams.values())
            if buffered > MAX_BUFFERED_BYTES:
                raise ProtocolFault(
                    "oversized", f"{buffered} unread bytes, the limit is {MAX_BUFFERED_BYTES}"
                )

    def _accept(self, stream_id: int) -> None:
        ours = stream_id % 2 == self._next_id % 2
        if stream_id == 0 or ours or stream_id in self._streams:
            raise ProtocolFault("malformed", f"yamux stream {stream_id} opened by the wrong side or twice")
        if self._inbound >= MAX_INBOUND_STREAMS:
            self._refused += 1
            if self._refused > MAX_REFUSED_STREAMS:
                raise ProtocolFault(
                    "transport", f"{self._refused} streams above {MAX_INBOUND_STREAMS} at once"
                )
            self._late_bytes = min(self._late_bytes + WINDOW_BYTES, MAX_LATE_BYTES)
            self.send_reset(stream_id)
            return
        stream = YamuxStream(self, stream_id, is_ours=False)
        self._streams[stream_id] = stream
        self._inbound += 1
        self._send(WINDOW_UPDATE, ACK, stream_id, 0)
        if self._nursery is not None:
            self._nursery.start_soon(self._serve, stream)
