"""What a hostile or broken peer can do to a real host. After every case the host still gossips with honest peers.

Unpatched py-libp2p 0.8.1 dies of 1 to 5 (one message of one peer ends the host), admits 7, and suffers from the others:

 1. garbage instead of protobuf on a gossip stream
 2. a published message whose key does not decode
 3. a published message with a junk RSA key
 4. an exception in a stream handler
 5. an exception in a validator before its first await
 6. an exception in a validator after an await
 7. a dialler that only speaks plaintext
 8. garbage on TCP connections instead of a handshake
 9. slowloris: connections that never finish the handshake
10. a hundred full connections that come and go
11. a hundred TCP connections that are opened and closed at once
12. a connection that is cut in the middle of a frame, a request, a message
13. a gossip RPC above the limit, and a message above its topic's limit
14. a slow reader, and streams on which nothing happens
15. a flood of messages within one tick
16. a frozen peer
17. a stale address first, then the good one
18. a peer that restarts, with and without saying goodbye
19. memory: data pushed past the receive window

Further down: control messages that make the router remember or dial things, stream floods, ping floods.
"""

import hashlib
import struct
from contextlib import suppress

import pytest
import trio
import trio.lowlevel
from builders.attackers import GOSSIP, Attacker, endpoint, grafting, open_attacker
from builders.hosts import ECHO, TOPIC, Node, assert_gossip_flows, open_line, open_node, wait_for
from libp2p.crypto.pb import crypto_pb2
from libp2p.custom_types import TProtocol
from libp2p.exceptions import BaseLibp2pError
from libp2p.network.stream.exceptions import StreamError
from libp2p.peer.id import ID
from libp2p.protocol_muxer.exceptions import MultiselectClientError
from libp2p.pubsub.pb import rpc_pb2
from libp2p.utils.varint import encode_varint_prefixed

from p2p import transport, yamux, yamux_stream
from p2p.errors import DialFailed, RequestFailed
from p2p.network import PeerId, Verdict
from p2p.switch import MAX_HANDSHAKES
from p2p.wire import ask_for


async def test_case_1_garbage_on_a_gossip_stream_costs_the_peer_its_connection() -> None:
    async with open_line(2) as (victim, honest), open_attacker(victim.address) as attacker:
        stream = await attacker.open(GOSSIP)
        await stream.write(encode_varint_prefixed(b"\xff" * 50))
        await _assert_punished(victim, attacker, "malformed")
        await assert_gossip_flows(victim, honest)


async def test_case_2_a_message_whose_key_does_not_decode_costs_the_peer_its_connection() -> None:
    async with open_line(2) as (victim, honest), open_attacker(victim.address) as attacker:
        message = attacker.message(b"x", 1)
        message.from_id = b"\x12\x20" + bytes(32)
        message.key = b"\xff\xff\xff"
        await attacker.gossip(rpc_pb2.RPC(publish=[message]))
        await _assert_punished(victim, attacker, "malformed")
        await assert_gossip_flows(victim, honest)


async def test_case_3_a_junk_rsa_key_costs_the_peer_its_connection() -> None:
    async with open_line(2) as (victim, honest), open_attacker(victim.address) as attacker:
        message = attacker.message(b"x", 1)
        message.key = crypto_pb2.PublicKey(key_type=crypto_pb2.KeyType.RSA, data=b"junk").SerializeToString()
        message.from_id = b"\x12\x20" + _sha256(message.key)
        await attacker.gossip(rpc_pb2.RPC(publish=[message]))
        await _assert_punished(victim, attacker, "malformed")
        await assert_gossip_flows(victim, honest)


@pytest.mark.parametrize("raised", [ValueError("boom"), ExceptionGroup("two", [KeyError("a"), OSError("b")])])
async def test_case_4_a_raising_stream_handler_ends_that_peer_only(raised: Exception) -> None:
    async def handler(stream: object) -> None:
        raise raised

    async with open_line(2) as (victim, honest), open_attacker(victim.address) as attacker:
        victim.network._switch.handlers[TProtocol("/test/boom/1")] = handler
        with suppress(BaseLibp2pError):  # the connection may be gone before the answer is here
            await attacker.open("/test/boom/1")
        await _assert_punished(victim, attacker, "transport")
        await assert_gossip_flows(victim, honest)


@pytest.mark.parametrize("case", ["case_5_before_its_first_await", "case_6_after_an_await"])
async def test_cases_5_and_6_a_raising_validator_is_our_own_fault_and_the_message_is_ignored(
    case: str,
) -> None:
    async def judge(peer: PeerId, data: bytes) -> Verdict:
        if case == "case_6_after_an_await":
            await trio.lowlevel.checkpoint()
        raise ZeroDivisionError("boom")

    async with open_line(3) as (sender, victim, beyond):
        await assert_gossip_flows(sender, victim, beyond)
        await victim.network.subscribe(TOPIC, judge, max_bytes=600_000)
        await sender.network.publish(TOPIC, b"not forwarded")
        await wait_for(victim.own_faults)
        assert "ZeroDivisionError" in victim.own_faults()[0]
        assert victim.faults_of(sender.peer_id) == []
        await victim.network.publish(TOPIC, b"still here")
        await wait_for(lambda: b"still here" in sender.received and b"still here" in beyond.received)
        assert b"not forwarded" not in beyond.received


@pytest.mark.parametrize("protocol", ["/plaintext/2.0.0", "/secio/1.0.0", "/tls/1.0.0"])
async def test_case_7_a_dialler_without_noise_is_turned_away(protocol: str) -> None:
    async with open_line(2) as (victim, honest):
        stream = await transport.dial(*endpoint(victim.address))
        with pytest.raises(MultiselectClientError, match="not supported"), trio.fail_after(5):
            await ask_for(stream, [TProtocol(protocol)])
        await stream.close()
        assert victim.connected() == [honest.peer_id]
        await assert_gossip_flows(victim, honest)


_MULTISTREAM = b"\x13/multistream/1.0.0\n"
GARBAGE = {
    "zeros": bytes(65_536),
    "ones": b"\xff" * 65_536,
    "http": b"GET / HTTP/1.1\r\nHost: node\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    "a line of 2^62 bytes": b"\xff\xff\xff\xff\xff\xff\xff\xff\x3f" + bytes(1_000),
    "a line that is no text": b"\x05\xff\xfe\xfd\xfc\n",
    "noise that is noise": _MULTISTREAM + b"\x07/noise\n" + b"\xff\xff" + b"\x5a" * 65_535,
    "a noise key of zeros": _MULTISTREAM
    + b"\x07/noise\n"
    + b"\x00\x20"
    + bytes(32)
    + b"\x00\x40"
    + bytes(64),
}


async def test_N6_case_8_garbage_instead_of_a_handshake_is_hung_up_on() -> None:
    async def send(garbage: bytes) -> None:
        stream = await trio.open_tcp_stream(*endpoint(victim.address))
        try:
            await stream.send_all(garbage)
            while await stream.receive_some():
                pass
        except trio.BrokenResourceError:
            pass  # a reset is an answer too
        await stream.aclose()

    async with open_line(2, handshake_timeout_s=1.0) as (victim, honest):
        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                for garbage in GARBAGE.values():
                    for _ in range(5):
                        nursery.start_soon(send, garbage)
                await assert_gossip_flows(victim, honest)
        assert victim.connected() == [honest.peer_id]
        assert victim.own_faults() == []


async def test_N4_case_9_slowloris_connections_keep_nobody_out_and_are_closed_in_time() -> None:
    async with open_node(1, handshake_timeout_s=2.0) as victim, open_node(2) as honest:
        slow = [await trio.open_tcp_stream(*endpoint(victim.address)) for _ in range(MAX_HANDSHAKES + 22)]
        for stream in slow[::2]:
            await stream.send_all(_MULTISTREAM[:5])
        with trio.fail_after(1.5):
            await honest.network.connect(victim.address)
        await assert_gossip_flows(victim, honest)
        with trio.fail_after(5):
            for stream in slow:
                try:
                    while await stream.receive_some():
                        pass
                except trio.BrokenResourceError:
                    pass
        assert len(victim.network._switch._handshakes) == 0


async def test_case_10_a_hundred_full_connections_that_come_and_go_use_nothing_up() -> None:
    async def visit(number: int) -> None:
        async with limiter, open_attacker(victim.address, number) as attacker:
            stream = await attacker.open(ECHO)
            await stream.write(b"\x00\x00\x00\x00")
            await stream.read()

    limiter = trio.CapacityLimiter(5)
    async with open_node(1, max_connections=10, max_inbound=8) as victim, open_node(2) as honest:
        await honest.network.connect(victim.address)
        with trio.fail_after(30):
            async with trio.open_nursery() as nursery:
                for number in range(1_000, 1_100):
                    nursery.start_soon(visit, number)
        await wait_for(lambda: victim.connected() == [honest.peer_id])
        await wait_for(lambda: len(victim.events) == 1 + 2 * 100)
        await assert_gossip_flows(victim, honest)


async def test_N6_case_11_a_hundred_tcp_connections_opened_and_closed_at_once_leave_nothing_behind() -> None:
    async with open_line(2) as (victim, honest):
        for _ in range(100):
            await (await trio.open_tcp_stream(*endpoint(victim.address))).aclose()
        await wait_for(lambda: not victim.network._switch._handshakes)
        assert victim.connected() == [honest.peer_id]
        await assert_gossip_flows(victim, honest)


@pytest.mark.parametrize("when", ["in a frame", "in a request", "in a message", "in a reply"])
async def test_case_12_a_connection_cut_in_the_middle_is_a_disconnection(when: str) -> None:
    async with open_line(2) as (victim, honest), open_attacker(victim.address) as attacker:
        match when:
            case "in a frame":
                await attacker.secured.write(
                    yamux.HEADER.pack(0, yamux.DATA, 0, 1, 5_000) + b"the first bytes"
                )
            case "in a request":
                await (await attacker.open(ECHO)).write((5_000).to_bytes(4) + b"the first bytes")
            case "in a message":
                await (await attacker.open(GOSSIP)).write(b"\x88\x27the first bytes")
            case "in a reply":
                await (await attacker.open(ECHO)).write((500_000).to_bytes(4) + bytes(500_000))
        await wait_for(lambda: attacker.connection._outbox_bytes == 0)
        _cut(attacker)
        await wait_for(lambda: victim.history_of(attacker.peer_id) == ["up", "down"])
        assert victim.faults_of(attacker.peer_id) == []
        await assert_gossip_flows(victim, honest)


async def test_case_13_an_oversized_gossip_rpc_is_noticed_at_its_length() -> None:
    async with open_line(2) as (victim, honest), open_attacker(victim.address) as attacker:
        stream = await attacker.open(GOSSIP)
        await stream.write(encode_varint_prefixed(bytes(1_100_000))[:5])
        await _assert_punished(victim, attacker, "oversized")
        await assert_gossip_flows(victim, honest)


async def test_case_13_a_message_above_its_topics_limit_costs_the_peer_its_connection() -> None:
    async with open_line(2) as (victim, honest), open_attacker(victim.address) as attacker:
        await attacker.gossip(rpc_pb2.RPC(publish=[attacker.message(bytes(600_001), 1)]))
        await _assert_punished(victim, attacker, "oversized")
        await assert_gossip_flows(victim, honest)
        assert all(len(data) < 100 for data in victim.received)


async def test_N4_case_14_a_slow_reader_delays_nobody_and_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yamux_stream, "WRITE_STALL_S", 4.0)
    async with open_line(2) as (victim, honest), open_attacker(victim.address) as attacker:
        attacker.reads = False
        await attacker.gossip(grafting())
        await wait_for(lambda: len(victim.network._router.mesh[TOPIC]) == 2)
        before = trio.current_time()
        for number in range(60):
            await victim.network.publish(TOPIC, b"%03d" % number + bytes(20_000))
        assert trio.current_time() - before < 3, "one wait of a second for the slow one, no more"
        await wait_for(lambda: len(honest.received) == 60)
        await wait_for(lambda: victim.history_of(attacker.peer_id) == ["up", "down"])
        assert victim.why_gone(attacker.peer_id) == "its gossip stream failed"
        assert victim.faults_of(attacker.peer_id) == []
        await assert_gossip_flows(victim, honest)


async def test_case_14_a_slow_reader_in_the_minority_is_not_waited_for_at_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("p2p.gossip.ROOM_WAIT_S", 8.0)
    async with open_line(3) as (one, victim, other), open_attacker(victim.address) as attacker:
        attacker.reads = False
        await attacker.gossip(grafting())
        await wait_for(lambda: len(victim.network._router.mesh[TOPIC]) == 3)
        before = trio.current_time()
        for number in range(60):
            await victim.network.publish(TOPIC, b"%03d" % number + bytes(20_000))
        assert trio.current_time() - before < 6
        await wait_for(lambda: len(one.received) == len(other.received) == 60)


async def test_N4_case_14_streams_without_a_word_are_limited_and_reset(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("p2p.switch.NEGOTIATION_TIMEOUT_S", 0.5)
    async with open_line(2) as (victim, honest), open_attacker(victim.address) as attacker:
        idle = [attacker.connection.open_stream() for _ in range(100)]
        await wait_for(lambda: sum(stream.was_reset for stream in idle) == 100 - yamux.MAX_INBOUND_STREAMS)
        await wait_for(lambda: all(stream.was_reset for stream in idle))
        await (await attacker.open(ECHO)).write(b"\x00\x00\x00\x00")
        await assert_gossip_flows(victim, honest)


async def test_case_15_a_flood_within_one_tick_leaves_room_for_others() -> None:
    async with open_line(2) as (victim, honest), open_attacker(victim.address) as attacker:
        await assert_gossip_flows(victim, honest)
        flood = [attacker.message(b"flood %d" % number, number) for number in range(1, 2_001)]
        stream = await attacker.gossip(grafting())

        async def send() -> None:
            rpcs = [rpc_pb2.RPC(publish=flood[start : start + 100]) for start in range(0, 2_000, 100)]
            await stream.write(b"".join(encode_varint_prefixed(rpc.SerializeToString()) for rpc in rpcs))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            with trio.fail_after(5):
                await honest.network.publish(TOPIC, b"in between")
                while b"in between" not in victim.received:  # noqa: ASYNC110
                    await trio.sleep(0.002)
        await assert_gossip_flows(victim, honest)
        assert attacker.peer_id in victim.connected(), "how much is too much is for the layer above"


async def test_case_16_a_frozen_peer_is_dropped_in_seconds_and_a_healthy_one_kept() -> None:
    async with (
        open_line(2, liveness_tick_s=0.1) as (victim, honest),
        open_attacker(victim.address, runs=False) as frozen,
    ):
        await wait_for(lambda: victim.history_of(frozen.peer_id) == ["up", "down"], limit_s=3)
        assert victim.why_gone(frozen.peer_id).startswith("no sign of life for 0.")
        assert victim.faults_of(frozen.peer_id) == []
        await assert_gossip_flows(victim, honest)
        assert victim.history_of(honest.peer_id) == ["up"]


async def test_case_16_a_frozen_peer_is_dropped_though_a_write_to_it_is_stuck() -> None:
    async with (
        open_line(2, liveness_tick_s=0.1) as (victim, honest),
        open_attacker(victim.address, runs=False) as frozen,
    ):
        await wait_for(lambda: frozen.peer_id in victim.connected())
        connection = victim.network._switch._sessions[_id(frozen)].connections[0][0]
        for _ in range(20):
            connection._send(yamux.DATA, 0, 99, 40_000, bytes(40_000))
        await wait_for(lambda: victim.history_of(frozen.peer_id) == ["up", "down"], limit_s=3)
        await assert_gossip_flows(victim, honest)


async def test_case_17_a_good_address_works_right_after_a_stale_one() -> None:
    async with open_node(1) as node:
        async with open_node(2) as before:
            stale = before.address
        async with open_node(2) as moved:
            with pytest.raises(DialFailed):
                await node.network.connect(stale)
            with trio.fail_after(2):
                assert await node.network.connect(moved.address) == moved.peer_id
            await assert_gossip_flows(node, moved)


@pytest.mark.parametrize("goodbye", [True, False])
async def test_case_18_a_restarted_peer_is_connected_and_meshed_again(goodbye: bool) -> None:
    async with open_node(1) as node:
        async with open_node(2) as first_life:
            port = endpoint(first_life.address)[1]
            await node.network.connect(first_life.address)
            await assert_gossip_flows(node, first_life)
            if not goodbye:
                for session in first_life.network._switch._sessions.values():
                    await session.connections[0][0]._secured.close()
        await wait_for(lambda: not node.connected())
        async with open_node(2, listen=(f"/ip4/127.0.0.1/tcp/{port}",)) as second_life:
            await node.network.connect(second_life.address)
            await assert_gossip_flows(node, second_life, mark="second life")
            assert node.history_of(second_life.peer_id) == ["up", "down", "up"]


async def test_case_19_data_pushed_past_the_receive_window_ends_the_connection() -> None:
    async with open_line(2) as (victim, honest), open_attacker(victim.address) as attacker:
        victim.network._switch.handlers[TProtocol("/test/ignore/1")] = _ignore
        stream = await attacker.open("/test/ignore/1")
        for _ in range(20):  # 640 kB into a window of 256 KiB
            attacker.connection.send_data(stream.stream_id, bytes(32_000))
        await _assert_punished(victim, attacker, "oversized")
        await assert_gossip_flows(victim, honest)


async def test_case_19_data_pushed_into_a_dead_stream_ends_the_connection() -> None:
    async with open_line(2) as (victim, honest), open_attacker(victim.address, runs=False) as attacker:
        pushed = await _push(attacker, size=32_000, most=72_000_000)
        assert pushed < 16_000_000, "no more than socket buffers hold"
        await _assert_punished(victim, attacker, "oversized")
        await assert_gossip_flows(victim, honest)


async def test_case_19_one_frame_larger_than_any_window_ends_the_connection() -> None:
    async with open_line(2) as (victim, honest), open_attacker(victim.address, runs=False) as attacker:
        await attacker.secured.write(yamux.HEADER.pack(0, yamux.DATA, yamux.SYN, 1, 0xFFFFFFFF))
        await _assert_punished(victim, attacker, "oversized")
        await assert_gossip_flows(victim, honest)


async def test_case_19_all_windows_together_are_limited() -> None:
    async with open_line(2) as (victim, honest), open_attacker(victim.address) as attacker:
        victim.network._switch.handlers[TProtocol("/test/ignore/1")] = _ignore
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                with suppress(BaseLibp2pError):
                    stream = await attacker.open("/test/ignore/1")
                    nursery.start_soon(_write_quietly, stream, bytes(yamux_stream.WINDOW_BYTES))
        await _assert_punished(victim, attacker, "oversized")
        await assert_gossip_flows(victim, honest)


# Beyond the nineteen


async def test_frames_that_no_yamux_knows_end_the_connection() -> None:
    for header in (struct.pack("!BBHII", 1, 0, 1, 1, 0), struct.pack("!BBHII", 0, 9, 1, 1, 0)):
        async with open_line(2) as (victim, honest), open_attacker(victim.address, runs=False) as attacker:
            await attacker.secured.write(header)
            await _assert_punished(victim, attacker, "malformed")
            await assert_gossip_flows(victim, honest)


async def test_a_peer_that_opens_streams_without_an_end_is_dropped() -> None:
    async with open_line(2) as (victim, honest), open_attacker(victim.address, runs=False) as attacker:
        opening = b"".join(
            yamux.HEADER.pack(0, yamux.WINDOW_UPDATE, yamux.SYN, number, 0) for number in range(1, 2_401, 2)
        )
        await attacker.secured.write(opening)
        await _assert_punished(victim, attacker, "transport")
        await assert_gossip_flows(victim, honest)


async def test_a_peer_that_pings_and_never_reads_the_answers_is_dropped() -> None:
    async with open_line(2) as (victim, honest), open_attacker(victim.address, runs=False) as attacker:
        ping = yamux.HEADER.pack(0, yamux.PING, yamux.SYN, 0, 7) * 2_000
        with trio.fail_after(10):
            try:
                while True:
                    await attacker.secured.write(ping)
            except BaseLibp2pError:
                pass
        await wait_for(lambda: victim.history_of(attacker.peer_id) == ["up", "down"])
        await assert_gossip_flows(victim, honest)


async def test_N7_prunes_for_made_up_topics_are_not_remembered_and_their_peers_not_dialled() -> None:
    async with open_line(2) as (victim, honest), open_attacker(victim.address) as attacker:
        prunes = [
            rpc_pb2.ControlPrune(
                topicID=f"made up {number}", backoff=9, peers=[rpc_pb2.PeerInfo(peerID=b"\x00\x01x")]
            )
            for number in range(60)
        ]
        own = rpc_pb2.ControlPrune(
            topicID=TOPIC, backoff=2**60, peers=[rpc_pb2.PeerInfo(peerID=b"\x00\x01x")]
        )
        await attacker.gossip(rpc_pb2.RPC(control=rpc_pb2.ControlMessage(prune=[*prunes, own])))
        router = victim.network._router
        await wait_for(lambda: TOPIC in router.back_off)
        assert list(router.back_off) == [TOPIC]
        await assert_gossip_flows(victim, honest)


async def test_a_forged_signature_costs_the_peer_its_connection_and_does_not_hide_the_true_message() -> None:
    async with open_line(2) as (victim, honest), open_attacker(victim.address) as attacker:
        true = attacker.message(b"true", 5)
        forged = attacker.message(b"true", 5)
        forged.data = b"false"
        await attacker.gossip(rpc_pb2.RPC(publish=[forged]))
        await _assert_punished(victim, attacker, "invalid")
        async with open_attacker(victim.address, 667) as other:
            await other.gossip(rpc_pb2.RPC(publish=[true]))
            await wait_for(lambda: b"true" in victim.received)
        assert b"false" not in victim.received
        await assert_gossip_flows(victim, honest)


async def test_a_message_replayed_in_our_own_name_is_not_taken_for_news() -> None:
    async with open_line(2) as (victim, honest), open_attacker(victim.address) as attacker:
        await victim.network.publish(TOPIC, b"ours")
        await wait_for(lambda: honest.received)
        own = next(iter(victim.network._router.mcache.msgs.values()))
        victim.network._gossip.seen_messages._expiry.clear()
        await attacker.gossip(rpc_pb2.RPC(publish=[own, attacker.message(b"after it", 1)]))
        await wait_for(lambda: b"after it" in victim.received)
        assert b"ours" not in victim.received


@pytest.mark.parametrize("number_bytes", [b"", b"\x01", bytes(9)])
async def test_a_sequence_number_of_another_length_than_eight_costs_the_peer_its_connection(
    number_bytes: bytes,
) -> None:
    async with open_line(2) as (victim, honest), open_attacker(victim.address) as attacker:
        message = attacker.message(b"x", 1)
        message.seqno = number_bytes
        await attacker.gossip(rpc_pb2.RPC(publish=[message]))
        await _assert_punished(victim, attacker, "malformed")
        await assert_gossip_flows(victim, honest)


async def test_nothing_of_all_this_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    async with open_line(2, handshake_timeout_s=0.2) as (victim, honest):
        for garbage in GARBAGE.values():
            stream = await trio.open_tcp_stream(*endpoint(victim.address))
            with suppress(trio.BrokenResourceError):
                await stream.send_all(garbage)
            await stream.aclose()
        async with open_attacker(victim.address) as attacker:
            await (await attacker.open(GOSSIP)).write(encode_varint_prefixed(b"\xff" * 50))
            await _assert_punished(victim, attacker, "malformed")
        with pytest.raises(DialFailed):
            await honest.network.connect(victim.address.replace(victim.peer_id, attacker.peer_id))
        await assert_gossip_flows(victim, honest)
    assert capfd.readouterr() == ("", "")


async def test_a_reply_that_is_none_fails_the_request() -> None:
    async def gibberish(stream: object) -> None:
        await stream.read()
        await stream.write(b"\x77\x00\x00\x00\x01x")
        await stream.close()

    async with open_line(2) as (victim, attacker):
        attacker.network._switch.handlers[TProtocol("/test/odd/1")] = gibberish
        with pytest.raises(RequestFailed, match="status 119"):
            await victim.network.request(
                attacker.peer_id, "/test/odd/1", b"?", max_reply_bytes=9, timeout_s=5
            )
        await wait_for(lambda: victim.faults_of(attacker.peer_id) == ["malformed"])


async def _assert_punished(victim: Node, attacker: Attacker, fault: str) -> None:
    await wait_for(lambda: victim.history_of(attacker.peer_id) == ["up", "down"])
    assert victim.faults_of(attacker.peer_id) == [fault]
    assert attacker.peer_id not in victim.connected()


async def _ignore(stream: object) -> None:
    await trio.sleep_forever()


async def _push(attacker: Attacker, *, size: int, most: int) -> int:
    """Write data frames of a stream, window or no window; how many bytes went before the connection broke."""
    pushed = 0
    flags = yamux.SYN
    try:
        with trio.move_on_after(5):
            while pushed < most:
                await attacker.secured.write(yamux.HEADER.pack(0, yamux.DATA, flags, 1, size) + bytes(size))
                pushed += size
                flags = 0
    except BaseLibp2pError:
        pass
    return pushed


async def _write_quietly(stream: yamux_stream.YamuxStream, data: bytes) -> None:
    with suppress(StreamError):
        await stream.write(data)


def _cut(attacker: Attacker) -> None:
    """As a killed process: no goodbye, and a reset instead of an end."""
    socket = attacker.socket._stream.socket
    socket.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, struct.pack("ii", 1, 0))
    socket.close()


def _id(attacker: Attacker) -> ID:
    return ID.from_base58(attacker.peer_id)


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
