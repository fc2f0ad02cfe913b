"""The proxy that stands for a link: what it does to the bytes, so that the tests that use it mean something."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
from builders.hosts import assert_gossip_flows, open_node, wait_for
from builders.tcp_proxy import Direction, LinkShape, TcpProxy, open_proxy

LIMIT_S = 10.0


@asynccontextmanager
async def echoing(shape: LinkShape | None = None) -> AsyncIterator[tuple[TcpProxy, trio.SocketStream]]:
    """A proxy before a server that sends everything back, and a connection through it."""

    async def echo(stream: trio.SocketStream) -> None:
        async with stream:
            try:
                async for block in stream:
                    await stream.send_all(block)
            except trio.BrokenResourceError:
                pass

    async with trio.open_nursery() as nursery:
        listener = (await nursery.start(partial(trio.serve_tcp, echo, 0, host="127.0.0.1")))[0]
        port = listener.socket.getsockname()[1]
        async with open_proxy(shape, seed=1, target=("127.0.0.1", port)) as proxy:
            stream = await trio.open_tcp_stream(*proxy.address)
            async with stream:
                yield proxy, stream
        nursery.cancel_scope.cancel()


async def exchange(stream: trio.SocketStream, data: bytes) -> float:
    """Send and get back; the seconds that it took."""
    started_s = trio.current_time()
    received = bytearray()
    with trio.fail_after(LIMIT_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.send_all, data)
            while len(received) < len(data):
                received += await stream.receive_some(65_536)
    assert received == data
    return trio.current_time() - started_s


async def test_bytes_pass_unchanged_and_in_order() -> None:
    async with echoing(LinkShape(latency_s=(0.0, 0.005))) as (proxy, stream):
        data = bytes(range(256)) * 2_000
        await exchange(stream, data)
        assert proxy.bytes_passed == {"to target": len(data), "from target": len(data)}


async def test_latency_and_throughput_are_as_given() -> None:
    async with echoing(LinkShape(latency_s=(0.05, 0.06))) as (_, stream):
        assert await exchange(stream, b"x") >= 0.1
    async with echoing(LinkShape(bytes_per_second=1_000_000)) as (_, stream):
        assert await exchange(stream, bytes(200_000)) >= 0.2


@pytest.mark.parametrize("direction", ["to target", "from target"])
async def test_a_stalled_direction_passes_nothing_until_it_is_restored(direction: Direction) -> None:
    async with echoing() as (proxy, stream):
        await exchange(stream, b"before")
        proxy.stall(direction)
        await stream.send_all(b"during")
        if direction == "from target":
            with trio.fail_after(LIMIT_S):
                while proxy.bytes_passed["to target"] < 12:  # noqa: ASYNC110 - the proxy has no event for it
                    await trio.sleep(0.002)
        with trio.move_on_after(0.05) as patience:
            await stream.receive_some(100)
        assert patience.cancelled_caught
        assert proxy.bytes_passed[direction] == 6
        proxy.restore()
        with trio.fail_after(LIMIT_S):
            assert await stream.receive_some(100) == b"during"


async def test_a_cut_link_takes_no_new_connection_until_it_is_restored() -> None:
    async with echoing() as (proxy, _):
        await wait_for(lambda: proxy.connections == 1)
        proxy.cut()
        late = await trio.open_tcp_stream(*proxy.address)
        await late.send_all(b"hello")
        with trio.move_on_after(0.05) as patience:
            await late.receive_some(100)
        assert patience.cancelled_caught and proxy.connections == 1
        proxy.restore()
        with trio.fail_after(LIMIT_S):
            assert await late.receive_some(100) == b"hello"
        await late.aclose()


async def test_a_reset_reaches_both_ends_as_one() -> None:
    async with echoing() as (proxy, stream):
        await exchange(stream, b"before")
        proxy.reset()
        with pytest.raises(trio.BrokenResourceError), trio.fail_after(LIMIT_S):
            await stream.receive_some(100)
        await wait_for(lambda: proxy.connections == 0)


async def test_an_end_of_stream_passes_on() -> None:
    async with echoing() as (_, stream):
        await stream.send_all(b"last")
        await stream.send_eof()
        with trio.fail_after(LIMIT_S):
            assert await stream.receive_some(100) == b"last"
            assert await stream.receive_some(100) == b""


@pytest.mark.parametrize("direction", ["to target", "from target"])
async def test_N4_a_peer_that_falls_silent_one_way_is_dropped_by_both_and_comes_back(
    direction: Direction,
) -> None:
    """Half of a link is worse than none: one side still hears the other."""
    quick = {"liveness_tick_s": 0.2, "liveness_misses": 3}
    async with open_node(1, **quick) as left, open_node(2, **quick) as right:
        _, _, host, _, port, *_ = right.address.split("/")
        async with open_proxy(seed=2, target=(host, int(port))) as proxy:
            through = f"/ip4/127.0.0.1/tcp/{proxy.address[1]}/p2p/{right.peer_id}"
            await left.network.connect(through)
            await wait_for(lambda: right.connected() == [left.peer_id])
            await assert_gossip_flows(left, right, mark="before")
            proxy.stall(direction)
            await wait_for(lambda: not left.connected() and not right.connected())
            proxy.restore()
            await left.network.connect(through)
            await wait_for(lambda: right.connected() == [left.peer_id])
            await assert_gossip_flows(left, right, mark="after")
            assert left.faults_of(right.peer_id) == right.faults_of(left.peer_id) == []
