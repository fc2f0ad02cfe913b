"""One Yamux stream: bytes in order both ways, with the flow control of the specification.

It is at once libp2p's muxed stream and its net stream: libp2p's Pubsub, Noise and multistream code uses it as it is.
"""

from typing import TYPE_CHECKING

import trio
from libp2p.custom_types import TProtocol
from libp2p.network.stream.exceptions import StreamClosed, StreamEOF, StreamReset

if TYPE_CHECKING:
    from p2p.yamux import YamuxConnection

WINDOW_BYTES = 262_144
"""Receive window of every stream, the specification's initial one. It never grows, so a peer can make us hold at most
this much per stream; at 100 ms it still carries 2.6 MB/s."""
MAX_FRAME_DATA_BYTES = 32_768 - 12
"""With its header one Noise packet of 32 KiB: small enough that peers on libp2p's own reader, which gives up after 100
partial reads, get it whole over any usual segment size."""
WRITE_STALL_S = 10.0
"""A writer whose peer makes no room for this long resets the stream."""


class YamuxStream:
    """Read, write, close (half), reset. One task reads at a time; writes of several tasks do not mix."""

    __slots__ = (
        "_buffer",
        "_consumed",
        "_protocol",
        "_readable",
        "_window_grew",
        "_write_lock",
        "closed_at",
        "is_ours",
        "metric_send_channel",
        "muxed_conn",
        "receive_closed",
        "receive_window",
        "send_closed",
        "send_window",
        "stream_id",
        "was_reset",
    )

    def __init__(self, connection: "YamuxConnection", stream_id: int, *, is_ours: bool) -> None:
        self.muxed_conn = connection
        self.stream_id = stream_id
        self.is_ours = is_ours
        """Whether we opened it."""
        self.metric_send_channel = None
        self.send_window = WINDOW_BYTES
        self.receive_window = WINDOW_BYTES
        self.send_closed = False
        self.receive_closed = False
        self.was_reset = False
        self.closed_at = 0.0
        """When we closed our side, trio time."""
        self._buffer = bytearray()
        self._consumed = 0
        self._readable = trio.Event()
        self._window_grew = trio.Event()
        self._write_lock = trio.Lock()
        self._protocol: TProtocol | None = None

    async def read(self, n: int | None = None) -> bytes:
        """1 to n bytes, or with None all that is there; waits for the first. Errors: `StreamEOF` after the peer has
        closed its side, `StreamReset`."""
        await trio.lowlevel.checkpoint()
        while not self._buffer:
            if self.was_reset:
                raise StreamReset("the stream was reset")
            if self.receive_closed:
                raise StreamEOF("the peer closed its side")
            await self._readable.wait()
        size = len(self._buffer) if n is None else min(n, len(self._buffer))
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        self._consumed += size
        if self._consumed >= WINDOW_BYTES // 2 and not self.receive_closed:
            self.receive_window += self._consumed
            self.muxed_conn.send_window_update(self.stream_id, self._consumed)
            self._consumed = 0
        return data

    async def write(self, data: bytes) -> None:
        """All of `data`; waits for the peer's window and our outbox. After a cancellation part of it may have gone:
        reset the stream then. Errors: `StreamClosed` after our own close, `StreamReset`."""
        await trio.lowlevel.checkpoint()
        async with self._write_lock:
            sent = 0
            while sent < len(data):
                await self._wait_for_room()
                chunk = data[sent : sent + min(self.send_window, MAX_FRAME_DATA_BYTES)]
                self.muxed_conn.send_data(self.stream_id, chunk)
                self.send_window -= len(chunk)
                sent += len(chunk)

    async def _wait_for_room(self) -> None:
        with trio.move_on_after(WRITE_STALL_S):
            while True:
                if self.was_reset:
                    raise StreamReset("the stream was reset")
                if self.send_closed:
                    raise StreamClosed("we closed our side")
                if self.send_window <= 0:
                    await self._window_grew.wait()
                elif not self.muxed_conn.has_room:
                    await self.muxed_conn.room.wait()
                else:
                    return
        await self.reset()
        raise StreamReset(f"the peer took nothing for {WRITE_STALL_S} s")

    async def close(self) -> None:
        """Close our side; the peer may still send."""
        if not self.send_closed and not self.was_reset:
            self.send_closed = True
            self.closed_at = trio.current_time()
            self.muxed_conn.send_fin(self.stream_id)
            self._forget_if_done()
        await trio.lowlevel.checkpoint()

    async def close_write(self) -> None:
        """The same as `close`."""
        await self.close()

    async def reset(self) -> None:
        """End both directions at once. Never waits, so it works in a cancelled scope too."""
        self.reset_now()

    def reset_now(self) -> None:
        """`reset` for code that is not async."""
        if not self.is_closed:
            self.muxed_conn.send_reset(self.stream_id)
        self.on_reset()

    @property
    def is_closed(self) -> bool:
        """Whether nothing moves any more in either direction."""
        return self.was_reset or (self.send_closed and self.receive_closed)

    @property
    def buffered_bytes(self) -> int:
        """Received and not read yet."""
        return len(self._buffer)

    def get_protocol(self) -> TProtocol | None:
        """The protocol agreed on."""
        return self._protocol

    def set_protocol(self, protocol_id: TProtocol) -> None:
        """Called once after the negotiation."""
        self._protocol = protocol_id

    def get_remote_address(self) -> tuple[str, int] | None:
        """Of the connection."""
        return self.muxed_conn.get_remote_address()

    # What the connection's reader calls

    def on_data(self, data: bytes) -> None:
        """Within the window; the connection has checked."""
        self.receive_window -= len(data)
        self._buffer += data
        self._wake_reader()

    def on_window_update(self, increment: int) -> None:
        """The peer has read `increment` bytes."""
        self.send_window += increment
        self._window_grew.set()
        self._window_grew = trio.Event()

    def on_fin(self) -> None:
        """The peer has closed its side."""
        self.receive_closed = True
        self._wake_reader()
        self._forget_if_done()

    def on_reset(self) -> None:
        """The stream is dead: reset by either side, or its connection has gone."""
        self.was_reset = True
        self._buffer.clear()
        self._wake_reader()
        self._window_grew.set()
        self.muxed_conn.forget(self.stream_id)

    def _wake_reader(self) -> None:
        self._readable.set()
        self._readable = trio.Event()

    def _forget_if_done(self) -> None:
        if self.send_closed and self.receive_closed:
            self.muxed_conn.forget(self.stream_id)
