"""Requests and replies between real hosts over loopback."""

import pytest
import trio
from builders.attackers import open_attacker
from builders.hosts import ECHO, assert_gossip_flows, open_line, open_node, wait_for

from p2p import streams
from p2p.errors import RequestFailed, RequestRefused, RequestTimeout
from p2p.network import PeerId


async def test_a_reply_comes_back() -> None:
    async with open_line(2) as (left, right):
        reply = await left.network.request(right.peer_id, ECHO, b"hello", max_reply_bytes=5, timeout_s=5)
        assert reply == b"hello"


async def test_the_peer_that_was_dialled_can_ask_too() -> None:
    async with open_line(2) as (left, right):
        assert await right.network.request(left.peer_id, ECHO, b"", max_reply_bytes=0, timeout_s=5) == b""


async def test_600_kb_go_there_and_back() -> None:
    async with open_line(2) as (left, right):
        data = bytes(range(256)) * 2_343
        reply = await left.network.request(right.peer_id, ECHO, data, max_reply_bytes=600_000, timeout_s=10)
        assert reply == data


async def test_requests_one_after_the_other_use_one_stream() -> None:
    async with open_line(2) as (left, right):
        opened = _count_new_streams(left)
        for number in range(50):
            data = number.to_bytes(4)
            assert (
                await left.network.request(right.peer_id, ECHO, data, max_reply_bytes=4, timeout_s=5) == data
            )
        assert opened == [ECHO]


async def test_fifty_requests_at_once_wait_for_ten_places_and_all_are_answered() -> None:
    async with open_line(2) as (left, right):
        running, most, replies = 0, 0, []

        async def slow(peer: PeerId, data: bytes) -> bytes:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await trio.sleep(0.01)
            running -= 1
            return data

        async def ask(number: int) -> None:
            data = number.to_bytes(4)
            replies.append(
                await left.network.request(
                    right.peer_id, "/test/slow/1", data, max_reply_bytes=4, timeout_s=10
                )
            )

        await right.network.serve("/test/slow/1", slow, max_request_bytes=4)
        async with trio.open_nursery() as nursery:
            for number in range(50):
                nursery.start_soon(ask, number)
        assert sorted(replies) == [number.to_bytes(4) for number in range(50)]
        assert most <= streams.MAX_IN_FLIGHT


async def test_N5_an_eleventh_request_of_one_peer_is_refused_not_queued() -> None:
    async with open_node(1) as victim:
        entered, go_on = [], trio.Event()

        async def hold(peer: PeerId, data: bytes) -> bytes:
            entered.append(data)
            await go_on.wait()
            return data

        await victim.network.serve("/test/hold/1", hold, max_request_bytes=100)
        async with open_attacker(victim.address) as attacker:
            asked = [await attacker.open("/test/hold/1") for _ in range(11)]
            for stream in asked:
                await stream.write(_framed(b"x"))
            refused = await _first_reply(asked)
            assert refused == (streams.REFUSED, b"10 requests of yours are in flight, the limit is 10")
            assert len(entered) == 10
            go_on.set()


async def test_a_request_above_the_limit_fails_and_is_the_askers_fault() -> None:
    async with open_line(2) as (left, right):
        with pytest.raises(RequestFailed, match="request of 600001 bytes, the limit is 600000"):
            await left.network.request(right.peer_id, ECHO, bytes(600_001), max_reply_bytes=1, timeout_s=5)
        await wait_for(lambda: right.faults_of(left.peer_id) == ["oversized"])
        reply = await left.network.request(right.peer_id, ECHO, b"still", max_reply_bytes=5, timeout_s=5)
        assert reply == b"still"


async def test_N5_a_request_that_claims_four_gigabytes_is_not_waited_for() -> None:
    async with open_node(1) as victim, open_attacker(victim.address) as attacker:
        stream = await attacker.open(ECHO)
        await stream.write(b"\xff\xff\xff\xff")
        with trio.fail_after(5):
            assert (await streams.read_exactly(stream, 1))[0] == streams.FAILED
        await wait_for(lambda: victim.faults_of(attacker.peer_id) == ["oversized"])


async def test_a_reply_above_the_askers_limit_fails_and_is_the_answerers_fault() -> None:
    async with open_line(2) as (left, right):
        with pytest.raises(RequestFailed, match="reply of 1000 bytes, the limit is 999"):
            await left.network.request(right.peer_id, ECHO, bytes(1_000), max_reply_bytes=999, timeout_s=5)
        await wait_for(lambda: left.faults_of(right.peer_id) == ["oversized"])


async def test_N5_a_reply_above_our_own_limit_is_our_own_fault_and_not_sent() -> None:
    async with open_line(2) as (left, right):

        async def gush(peer: PeerId, data: bytes) -> bytes:
            return bytes(streams.MAX_REPLY_BYTES + 1)

        await right.network.serve("/test/gush/1", gush, max_request_bytes=10)
        with pytest.raises(RequestFailed, match="internal error"):
            await left.network.request(
                right.peer_id, "/test/gush/1", b"", max_reply_bytes=9_999_999, timeout_s=5
            )
        await wait_for(lambda: right.own_faults() and "2097153 bytes" in right.own_faults()[0])


async def test_no_reply_within_the_deadline_is_a_timeout_and_the_next_request_works() -> None:
    async with open_line(2) as (left, right):

        async def sleepy(peer: PeerId, data: bytes) -> bytes:
            if data == b"sleep":
                await trio.sleep_forever()
            return data

        await right.network.serve("/test/sleepy/1", sleepy, max_request_bytes=10)
        with pytest.raises(RequestTimeout, match=r"no reply within 0.2 s"):
            await left.network.request(
                right.peer_id, "/test/sleepy/1", b"sleep", max_reply_bytes=10, timeout_s=0.2
            )
        reply = await left.network.request(
            right.peer_id, "/test/sleepy/1", b"go", max_reply_bytes=10, timeout_s=5
        )
        assert reply == b"go"


async def test_a_refusal_arrives_with_its_reason() -> None:
    async with open_line(2) as (left, right):

        async def refuse(peer: PeerId, data: bytes) -> bytes:
            raise RequestRefused("come back later")

        await right.network.serve("/test/refuse/1", refuse, max_request_bytes=10)
        for _ in range(2):
            with pytest.raises(RequestRefused, match="come back later"):
                await left.network.request(
                    right.peer_id, "/test/refuse/1", b"", max_reply_bytes=0, timeout_s=5
                )
        assert right.own_faults() == []


async def test_a_raising_handler_fails_the_request_and_nothing_else() -> None:
    async with open_line(2) as (left, right):

        async def broken(peer: PeerId, data: bytes) -> bytes:
            raise ZeroDivisionError("secret detail")

        await right.network.serve("/test/broken/1", broken, max_request_bytes=10)
        with pytest.raises(RequestFailed, match="internal error"):
            await left.network.request(right.peer_id, "/test/broken/1", b"", max_reply_bytes=0, timeout_s=5)
        await wait_for(right.own_faults)
        assert "ZeroDivisionError" in right.own_faults()[0]
        await assert_gossip_flows(left, right)


async def test_a_protocol_that_the_peer_does_not_serve_fails() -> None:
    async with open_line(2) as (left, right):
        with pytest.raises(RequestFailed, match="not supported"):
            await left.network.request(right.peer_id, "/test/unknown/1", b"", max_reply_bytes=0, timeout_s=5)


async def test_asking_a_peer_that_is_not_connected_fails_at_once() -> None:
    async with open_node(1) as left, open_node(2) as right:
        with pytest.raises(RequestFailed, match="not connected"):
            await left.network.request(right.peer_id, ECHO, b"", max_reply_bytes=0, timeout_s=5)


async def test_asking_what_is_no_peer_id_fails() -> None:
    async with open_node(1) as node:
        with pytest.raises(RequestFailed, match="'nonsense' is no peer id"):
            await node.network.request("nonsense", ECHO, b"", max_reply_bytes=0, timeout_s=5)
        await node.network.disconnect("nonsense")


async def test_a_peer_that_leaves_during_a_request_fails_it() -> None:
    async with open_line(2) as (left, right), trio.open_nursery() as nursery:

        async def leave(peer: PeerId, data: bytes) -> bytes:
            nursery.start_soon(right.network.disconnect, peer)
            await trio.sleep_forever()
            return b""

        await right.network.serve("/test/leave/1", leave, max_request_bytes=10)
        with pytest.raises(RequestFailed, match="stream lost"):
            await left.network.request(right.peer_id, "/test/leave/1", b"", max_reply_bytes=0, timeout_s=5)


async def test_a_kept_stream_that_the_peer_has_closed_is_replaced_without_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streams, "IDLE_STREAM_S", 0.05)
    async with open_line(2) as (left, right):
        opened = _count_new_streams(left)
        for _ in range(2):
            reply = await left.network.request(right.peer_id, ECHO, b"x", max_reply_bytes=1, timeout_s=5)
            assert reply == b"x"
            kept = left.network._requests._idle
            await wait_for(
                lambda kept=kept: all(entry[0].is_closed for idle in kept.values() for entry in idle[ECHO])
            )
        assert opened == [ECHO, ECHO]


async def test_N4_a_request_that_comes_in_drops_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "REQUEST_READ_S", 0.2)
    async with open_node(1) as victim, open_attacker(victim.address) as attacker:
        stream = await attacker.open(ECHO)
        await stream.write((100).to_bytes(4) + b"only the start")
        await wait_for(lambda: stream.was_reset)
        assert victim.faults_of(attacker.peer_id) == []


def _count_new_streams(node: object) -> list[str]:
    opened: list[str] = []
    switch = node.network._switch
    original = switch.new_stream

    async def counting(peer_id: object, protocols: list[str]) -> object:
        opened.extend(protocol for protocol in protocols if protocol == ECHO)
        return await original(peer_id, protocols)

    switch.new_stream = counting
    return opened


def _framed(data: bytes) -> bytes:
    return len(data).to_bytes(4) + data


async def _first_reply(asked: list) -> tuple[int, bytes]:
    replies: list[tuple[int, bytes]] = []

    async def read(stream: object, scope: trio.CancelScope) -> None:
        status = (await streams.read_exactly(stream, 1))[0]
        length = int.from_bytes(await streams.read_exactly(stream, 4))
        replies.append((status, await streams.read_exactly(stream, length)))
        scope.cancel()

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            for stream in asked:
                nursery.start_soon(read, stream, nursery.cancel_scope)
    return replies[0]
