"""The muxer alone: two connections over a pipe in memory."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from itertools import pairwise

import pytest
import trio
import trio.testing
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.network.stream.exceptions import StreamClosed, StreamEOF, StreamReset
from libp2p.peer.id import ID

from p2p import yamux
from p2p.errors import ProtocolFault
from p2p.gossip_messages import MAX_RPC_BYTES, take_frame
from p2p.yamux import YamuxConnection
from p2p.yamux_stream import WINDOW_BYTES, YamuxStream

Serve = Callable[[YamuxStream], Awaitable[None]]


class Pipe:
    """What is left of a secured connection without the cipher; counts what is written."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self.written = bytearray()

    async def read(self) -> bytes:
        data = await self._stream.receive_some()
        if not data:
            raise ConnectionClosedError("closed")
        return bytes(data)

    async def write(self, data: bytes) -> None:
        self.written += data
        await self._stream.send_all(data)

    async def close(self) -> None:
        await self._stream.aclose()


async def echo(stream: YamuxStream) -> None:
    try:
        while True:
            await stream.write(await stream.read())
    except StreamEOF:
        await stream.close()
    except StreamReset:
        pass


@asynccontextmanager
async def open_pair(serve: Serve = echo) -> AsyncIterator[tuple[YamuxConnection, YamuxConnection, Pipe]]:
    """A dialling and an accepting side, and the pipe of the dialling one."""
    left_end, right_end = trio.testing.memory_stream_pair()
    pipe = Pipe(left_end)
    common = {"endpoint": "/ip4/127.0.0.1/tcp/1", "tick_s": 1.0, "misses": 1_000, "serve": serve}
    left = YamuxConnection(pipe, ID(b"right"), is_initiator=True, **common)
    right = YamuxConnection(Pipe(right_end), ID(b"left"), is_initiator=False, **common)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(left.run)
        nursery.start_soon(right.run)
        try:
            yield left, right, pipe
        finally:
            left.fail("done")
            right.fail("done")


async def read_all(stream: YamuxStream, size: int) -> bytes:
    data = bytearray()
    with trio.fail_after(10):
        while len(data) < size:
            data += await stream.read(size - len(data))
    return bytes(data)


@pytest.mark.parametrize("size", [1, 32_756, 32_757, WINDOW_BYTES, WINDOW_BYTES + 1, 3_000_000])
async def test_bytes_come_back_as_they_went(size: int) -> None:
    data = random.Random(size).randbytes(size)
    async with open_pair() as (left, _, _), trio.open_nursery() as nursery:
        stream = left.open_stream()
        nursery.start_soon(stream.write, data)
        assert await read_all(stream, size) == data


async def test_both_sides_open_streams_and_the_ids_do_not_meet() -> None:
    async with open_pair() as (left, right, _):
        streams = [left.open_stream(), right.open_stream(), left.open_stream(), right.open_stream()]
        assert [stream.stream_id for stream in streams] == [1, 2, 3, 4]
        for index, stream in enumerate(streams):
            await stream.write(b"%d" % index)
        assert [await read_all(stream, 1) for stream in streams] == [b"0", b"1", b"2", b"3"]


async def test_writes_of_several_tasks_to_one_stream_do_not_mix() -> None:
    async with open_pair() as (left, _, _), trio.open_nursery() as nursery:
        stream = left.open_stream()
        for letter in b"abc":
            nursery.start_soon(stream.write, bytes([letter]) * 400_000)
        data = await read_all(stream, 1_200_000)
        runs = [data[0]] + [after for before, after in pairwise(data) if before != after]
        assert sorted(runs) == [*b"abc"]


async def test_a_cancelled_write_leaves_the_other_streams_intact() -> None:
    async with open_pair() as (left, _, _):
        kept = left.open_stream()
        for delay_s in (0, 0.001, 0.002, 0.005):
            cut = left.open_stream()
            with trio.move_on_after(delay_s):
                await cut.write(bytes(5_000_000))
            await cut.reset()
            await kept.write(b"intact")
            assert await read_all(kept, 6) == b"intact"


async def test_small_reads_are_acknowledged_in_halves_of_the_window() -> None:
    async with open_pair() as (left, _, pipe):
        stream = left.open_stream()
        for _ in range(100):
            await stream.write(bytes(2_000))
            await read_all(stream, 2_000)
        updates = [
            length
            for kind, flags, length in _frames(pipe.written)
            if kind == yamux.WINDOW_UPDATE and not flags
        ]
        assert len(updates) == 1 and updates[0] >= WINDOW_BYTES // 2


async def test_a_closed_side_can_still_read_and_no_longer_write() -> None:
    async with open_pair() as (left, _, _):
        stream = left.open_stream()
        await stream.write(b"last words")
        await stream.close()
        assert await read_all(stream, 10) == b"last words"
        with pytest.raises(StreamEOF):
            await stream.read()
        with pytest.raises(StreamClosed):
            await stream.write(b"more")


async def test_a_reset_reaches_the_other_side_at_once() -> None:
    arrived: list[Exception] = []

    async def serve(stream: YamuxStream) -> None:
        try:
            await stream.read()
        except StreamReset as error:
            arrived.append(error)

    async with open_pair(serve) as (left, right, _):
        stream = left.open_stream()
        await trio.testing.wait_all_tasks_blocked()
        await stream.reset()
        with trio.fail_after(5):
            while not arrived:  # noqa: ASYNC110
                await trio.sleep(0.001)
        with pytest.raises(StreamReset):
            await stream.write(b"x")
        assert not left._streams and not right._streams


async def test_streams_that_are_done_leave_nothing_behind() -> None:
    async with open_pair() as (left, right, _):
        for _ in range(200):
            stream = left.open_stream()
            await stream.write(b"x")
            await stream.close()
            assert await read_all(stream, 1) == b"x"
            with pytest.raises(StreamEOF):
                await stream.read()
        await trio.testing.wait_all_tasks_blocked()
        assert not left._streams and not right._streams and right._inbound == 0


async def test_readers_and_writers_end_when_the_connection_does() -> None:
    async def stall(stream: YamuxStream) -> None:
        await trio.sleep_forever()

    ended: list[str] = []

    async def read(stream: YamuxStream) -> None:
        with pytest.raises(StreamReset):
            await stream.read()
        ended.append("read")

    async def write(stream: YamuxStream) -> None:
        with pytest.raises(StreamReset):
            await stream.write(bytes(1_000_000))
        ended.append("write")

    async with open_pair(stall) as (left, right, _), trio.open_nursery() as nursery:
        nursery.start_soon(read, left.open_stream())
        nursery.start_soon(write, left.open_stream())
        await trio.testing.wait_all_tasks_blocked()
        await right.close("enough")
        with trio.fail_after(5):
            await left.finished.wait()
        assert "go away" in left.close_reason
        with pytest.raises(ConnectionClosedError):
            left.open_stream()
    assert sorted(ended) == ["read", "write"]


async def test_frames_cut_at_any_byte_are_put_together() -> None:
    frames = (
        yamux.HEADER.pack(0, yamux.DATA, yamux.SYN, 1, 5)
        + b"hello"
        + yamux.HEADER.pack(0, yamux.PING, 1, 0, 9)
    )
    for cut in range(1, len(frames)):
        async with open_pair() as (left, right, _):
            taken = right._take_frame(bytearray(frames[:cut]), 0)
            assert taken == (17 if cut >= 17 else 0)


@pytest.mark.parametrize("seed", range(200))
async def test_random_bytes_cause_protocol_faults_only(seed: int) -> None:
    rng = random.Random(seed)
    async with open_pair() as (left, _, _):
        received = bytearray()
        for _ in range(50):
            header = yamux.HEADER.pack(
                0, rng.randrange(4), rng.randrange(16), rng.randrange(6), rng.randrange(2_000)
            )
            received += (
                header + rng.randbytes(rng.randrange(300)) if rng.random() < 0.9 else rng.randbytes(30)
            )
        offset = 0
        with suppress(ProtocolFault):
            while (end := left._take_frame(received, offset)) > offset:
                offset = end


@pytest.mark.parametrize("seed", range(100))
def test_gossip_frames_cut_anywhere_are_found_again(seed: int) -> None:
    rng = random.Random(seed)
    frames = [rng.randbytes(rng.choice((0, 1, 127, 128, 16_383, 16_384, 70_000))) for _ in range(6)]
    wire = b"".join(_varint(len(frame)) + frame for frame in frames)
    received, found = bytearray(), []
    while len(wire) or (received and len(found) < 6):
        cut = rng.randrange(1, 40_000)
        received += wire[:cut]
        wire = wire[cut:]
        while (frame := take_frame(received)) is not None:
            found.append(frame)
    assert found == frames and not received


@pytest.mark.parametrize("length", [MAX_RPC_BYTES + 1, 2**21, 2**28 - 1, 2**28, 2**63])
def test_a_gossip_frame_above_the_limit_is_refused_before_its_body(length: int) -> None:
    with pytest.raises(ProtocolFault, match="oversized"):
        take_frame(bytearray(_varint(length)))


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _frames(data: bytes) -> list[tuple[int, int, int]]:
    """Type, flags and length of each."""
    frames, offset = [], 0
    while offset < len(data):
        _, kind, flags, _, length = yamux.HEADER.unpack_from(data, offset)
        frames.append((kind, flags, length))
        offset += yamux.HEADER.size + (length if kind == yamux.DATA else 0)
    return frames
