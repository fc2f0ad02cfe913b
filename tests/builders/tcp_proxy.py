"""A TCP link that misbehaves as told: latency, throughput, silence in one or both directions, resets. Seeded.

One proxy stands for one link: whoever should use the link dials `address`, and the bytes go to `target`. Faults act on
the connections that exist and on those that come later, until `restore`.
"""

import random
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Literal

import trio

BLOCK_BYTES = 16_384
BLOCKS_UNDER_WAY = 64
"""Per direction of a connection: 1 MiB; then the sender has to wait, as for a full socket buffer."""

Direction = Literal["to target", "from target"]
DIRECTIONS: tuple[Direction, ...] = ("to target", "from target")


@dataclass(frozen=True, slots=True)
class LinkShape:
    """What the link is like when nothing is wrong. The default costs nothing."""

    latency_s: tuple[float, float] = (0.0, 0.0)
    """One way; drawn evenly for each block of at most 16 KiB. Order is kept."""
    bytes_per_second: float | None = None


class TcpProxy:
    """Made by `open_proxy`."""

    def __init__(self, listener: trio.SocketListener, shape: LinkShape, seed: int | str) -> None:
        self.target: tuple[str, int] | None = None
        """Host and port; connections wait until it is set."""
        self._shape = shape
        self._seed = seed
        self._listener = listener
        self._connections: list[tuple[trio.SocketStream, trio.SocketStream]] = []
        self._count = 0
        self._held: dict[Direction, trio.Event] = {}
        self._targeted = trio.Event()
        self.bytes_passed: dict[Direction, int] = dict.fromkeys(DIRECTIONS, 0)

    @property
    def address(self) -> tuple[str, int]:
        """Where to dial."""
        host, port = self._listener.socket.getsockname()[:2]
        return str(host), int(port)

    @property
    def connections(self) -> int:
        """Open now."""
        return len(self._connections)

    def aim(self, host: str, port: int) -> None:
        """Set the target."""
        self.target = (host, port)
        self._targeted.set()

    # Faults

    def stall(self, direction: Direction) -> None:
        """Nothing passes in this direction any more; connections stay open. What is under way arrives at `restore`."""
        self._held.setdefault(direction, trio.Event())

    def cut(self) -> None:
        """Silence in both directions, as of a pulled cable."""
        for direction in DIRECTIONS:
            self.stall(direction)

    def restore(self) -> None:
        """End every stall and cut."""
        for event in self._held.values():
            event.set()
        self._held.clear()

    def reset(self) -> None:
        """RST to both ends of every connection."""
        for pair in self._connections:
            for stream in pair:
                with suppress(OSError):
                    stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                stream.socket.close()

    # Inside

    async def run(self) -> None:
        """Serve until cancelled."""
        await trio.serve_listeners(self._serve, [self._listener])

    async def _serve(self, near: trio.SocketStream) -> None:
        self._count += 1
        number = self._count
        await self._targeted.wait()
        while self._held:
            await next(iter(self._held.values())).wait()
        assert self.target is not None
        try:
            far = await trio.open_tcp_stream(*self.target)
        except OSError:
            await trio.aclose_forcefully(near)
            return
        pair = (near, far)
        self._connections.append(pair)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._carry, near, far, "to target", number)
                nursery.start_soon(self._carry, far, near, "from target", number)
        finally:
            self._connections.remove(pair)
            for stream in pair:
                with trio.CancelScope(shield=True):
                    await trio.aclose_forcefully(stream)

    async def _carry(
        self, source: trio.SocketStream, sink: trio.SocketStream, direction: Direction, number: int
    ) -> None:
        rng = random.Random(f"{self._seed}/{number}/{direction}")
        put, take = trio.open_memory_channel[tuple[float, bytes]](BLOCKS_UNDER_WAY)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._deliver, take, sink, direction)
            free_s = 0.0
            async with put:
                try:
                    while block := await source.receive_some(BLOCK_BYTES):
                        now_s = trio.current_time()
                        free_s = max(now_s, free_s)
                        if self._shape.bytes_per_second is not None:
                            free_s += len(block) / self._shape.bytes_per_second
                        await put.send((free_s + rng.uniform(*self._shape.latency_s), block))
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    return

    async def _deliver(
        self,
        blocks: trio.MemoryReceiveChannel[tuple[float, bytes]],
        sink: trio.SocketStream,
        direction: Direction,
    ) -> None:
        async with blocks:
            try:
                async for due_s, block in blocks:
                    await trio.sleep_until(due_s)
                    while direction in self._held:
                        await self._held[direction].wait()
                    await sink.send_all(block)
                    self.bytes_passed[direction] += len(block)
                await sink.send_eof()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return


@asynccontextmanager
async def open_proxy(
    shape: LinkShape | None = None, *, seed: int | str = 0, target: tuple[str, int] | None = None
) -> AsyncIterator[TcpProxy]:
    """A running proxy on a port of loopback that the system chose."""
    async with trio.open_nursery() as nursery:
        listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
        proxy = TcpProxy(listener, shape or LinkShape(), seed)
        if target is not None:
            proxy.aim(*target)
        nursery.start_soon(proxy.run)
        yield proxy
        nursery.cancel_scope.cancel()


def cut_all(proxies: Sequence[TcpProxy]) -> None:
    """A partition along these links."""
    for proxy in proxies:
        proxy.cut()


def restore_all(proxies: Sequence[TcpProxy]) -> None:
    """And its end."""
    for proxy in proxies:
        proxy.restore()
