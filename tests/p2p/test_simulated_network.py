"""The wire in memory: interface, faults, crashes, and that a seed fixes everything."""

from collections.abc import Callable, Mapping

import pytest
import trio
from builders.deterministic import on_virtual_time
from builders.simulated_peers import TOPIC, Inbox, address_of, all_connected, in_a_line, joined

from p2p.errors import (
    AddressMalformed,
    DialFailed,
    MessageTooLarge,
    NetworkClosed,
    RequestFailed,
    RequestRefused,
    RequestTimeout,
)
from p2p.event_queue import EventQueue
from p2p.network import PeerConnected, PeerDisconnected, PeerId, PeerInfo, PeerMisbehaved, Verdict
from p2p.simulated import MAX_IN_FLIGHT_PER_LINK, SimulatedFabric
from p2p.simulated_links import LinkFaults
from p2p.simulated_network import MAX_JUDGED_AT_ONCE, MAX_STREAMS_PER_PEER, SimulatedNetwork


async def inboxes(*networks: SimulatedNetwork, max_bytes: int = 1_000) -> list[Inbox]:
    """Subscribe each network to the topic."""
    made = [Inbox() for _ in networks]
    for network, inbox in zip(networks, made, strict=True):
        await network.subscribe(TOPIC, inbox.judge, max_bytes=max_bytes)
    return made


async def echo(peer: PeerId, data: bytes) -> bytes:
    """A handler."""
    return data


async def crash_after(fabric: SimulatedFabric, seconds: float) -> None:
    """Crash node b."""
    await trio.sleep(seconds)
    fabric.crash("b")


# Connections


@on_virtual_time
async def test_both_sides_see_a_new_connection() -> None:
    async with SimulatedFabric(1) as fabric, in_a_line(fabric, ["a", "b"]) as (a, b):
        assert await a.next_event() == PeerConnected(PeerInfo("b", ("/memory/b",), "outbound"))
        assert await b.next_event() == PeerConnected(PeerInfo("a", ("/memory/a",), "inbound"))
        assert a.peers() == (PeerInfo("b", ("/memory/b",), "outbound"),)


@on_virtual_time
async def test_the_listen_address_is_the_one_that_others_dial() -> None:
    async with SimulatedFabric(1) as fabric, joined(fabric, ["a", "b"]) as (a, b):
        assert await a.connect(b.listen_addresses[0]) == "b"


@on_virtual_time
async def test_N8_a_node_never_connects_to_itself() -> None:
    async with SimulatedFabric(1) as fabric, joined(fabric, ["a"]) as (a,):
        with pytest.raises(DialFailed, match="itself"):
            await a.connect(address_of("a"))
        with pytest.raises(DialFailed, match="itself"):
            await a.connect("/memory/a/p2p/someone-else")


@on_virtual_time
async def test_N8_an_address_with_a_wrong_id_is_refused() -> None:
    async with SimulatedFabric(1) as fabric, joined(fabric, ["a", "b"]) as (a, b):
        with pytest.raises(DialFailed, match="expected peer c, found b"):
            await a.connect("/memory/b/p2p/c")
        assert b.peers() == ()


@on_virtual_time
async def test_N8_dialling_at_the_same_time_makes_one_connection() -> None:
    async with SimulatedFabric(1) as fabric, joined(fabric, ["a", "b"]) as (a, b):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(a.connect, address_of("b"))
            nursery.start_soon(b.connect, address_of("a"))
        assert len(a.peers()) == len(b.peers()) == 1
        assert {a.peers()[0].direction, b.peers()[0].direction} == {"inbound", "outbound"}


@on_virtual_time
async def test_dialling_a_connected_peer_returns_at_once() -> None:
    async with SimulatedFabric(1) as fabric, in_a_line(fabric, ["a", "b"]) as (a, _):
        before = trio.current_time()
        assert await a.connect(address_of("b")) == "b"
        assert trio.current_time() == before


@on_virtual_time
async def test_an_address_where_nobody_listens_refuses() -> None:
    async with SimulatedFabric(1) as fabric, joined(fabric, ["a"]) as (a,):
        with pytest.raises(DialFailed, match="refused"):
            await a.connect(address_of("nobody"))


@pytest.mark.parametrize("address", ["", "b", "/memory/b", "/memory/b/p2p/", "/ip4/1.2.3.4/tcp/0/p2p/b"])
@on_virtual_time
async def test_an_address_outside_the_grammar_is_malformed(address: str) -> None:
    async with SimulatedFabric(1) as fabric, joined(fabric, ["a"]) as (a,):
        with pytest.raises(AddressMalformed):
            await a.connect(address)


@on_virtual_time
async def test_a_peer_id_can_join_only_once_at_a_time() -> None:
    async with SimulatedFabric(1) as fabric, joined(fabric, ["a"]):
        with pytest.raises(ValueError, match="already"):
            async with fabric.join("a"):
                pass


@on_virtual_time
async def test_both_sides_see_the_end_of_a_connection() -> None:
    async with SimulatedFabric(1) as fabric, in_a_line(fabric, ["a", "b"]) as (a, b):
        await a.next_event(), await b.next_event()
        await a.disconnect("b")
        assert await a.next_event() == PeerDisconnected("b", "closed by us")
        assert await b.next_event() == PeerDisconnected("a", "closed by the peer")
        assert a.peers() == b.peers() == ()


@on_virtual_time
async def test_leaving_closes_the_endpoint_and_tells_the_peers() -> None:
    async with SimulatedFabric(1) as fabric, joined(fabric, ["a"]) as (a,):
        async with fabric.join("b") as b:
            await a.connect(address_of("b"))
            await a.next_event()
        assert await a.next_event() == PeerDisconnected("b", "closed by the peer")
        with pytest.raises(NetworkClosed):
            await b.publish(TOPIC, b"x")


# Gossip


@on_virtual_time
async def test_gossip_reaches_every_node_of_a_line_once() -> None:
    async with SimulatedFabric(1) as fabric, in_a_line(fabric, ["a", "b", "c", "d"]) as nodes:
        own, *others = await inboxes(*nodes)
        await nodes[0].publish(TOPIC, b"hello")
        await trio.sleep(1)
        assert [inbox.received for inbox in others] == [
            [("a", b"hello")],
            [("b", b"hello")],
            [("c", b"hello")],
        ]
        assert own.received == []


@on_virtual_time
async def test_gossip_reaches_every_node_of_a_clique_once() -> None:
    async with SimulatedFabric(1) as fabric, all_connected(fabric, [f"n{i}" for i in range(6)]) as nodes:
        _, *others = await inboxes(*nodes)
        await nodes[0].publish(TOPIC, b"hello")
        await trio.sleep(1)
        assert [inbox.messages for inbox in others] == [[b"hello"]] * 5


@pytest.mark.parametrize("verdict", [Verdict.IGNORE, Verdict.REJECT])
@on_virtual_time
async def test_N3_only_accepted_gossip_is_forwarded(verdict: Verdict) -> None:
    async with SimulatedFabric(1) as fabric, in_a_line(fabric, ["a", "b", "c"]) as (a, b, c):
        _, middle, end = await inboxes(a, b, c)
        middle.verdict = verdict
        await a.publish(TOPIC, b"hello")
        await trio.sleep(1)
        assert middle.messages == [b"hello"]
        assert end.messages == []


@on_virtual_time
async def test_a_node_without_the_topic_neither_gets_nor_forwards_it() -> None:
    async with SimulatedFabric(1) as fabric, in_a_line(fabric, ["a", "b", "c"]) as (a, b, c):
        _, end = await inboxes(a, c)
        await a.publish(TOPIC, b"hello")
        await trio.sleep(1)
        assert end.messages == []
        assert (a.topics(), b.topics()) == ((TOPIC,), ())


@on_virtual_time
async def test_the_same_data_on_another_topic_is_another_message() -> None:
    async with SimulatedFabric(1) as fabric, in_a_line(fabric, ["a", "b"]) as (a, b):
        inbox = Inbox()
        for topic in ("/one", "/two"):
            await b.subscribe(topic, inbox.judge, max_bytes=10)
            await a.publish(topic, b"hello")
        await trio.sleep(1)
        assert inbox.messages == [b"hello", b"hello"]


@on_virtual_time
async def test_published_anew_after_the_seen_time_it_is_delivered_anew() -> None:
    async with SimulatedFabric(1) as fabric, in_a_line(fabric, ["a", "b"]) as (a, b):
        _, inbox = await inboxes(a, b)
        for _ in range(2):
            await a.publish(TOPIC, b"hello")
            await trio.sleep(60)
        assert inbox.messages == [b"hello"]
        await trio.sleep(60)
        await a.publish(TOPIC, b"hello")
        await trio.sleep(1)
        assert inbox.messages == [b"hello", b"hello"]


@on_virtual_time
async def test_publishing_more_than_the_limit_is_refused() -> None:
    async with SimulatedFabric(1) as fabric, joined(fabric, ["a"]) as (a,):
        await inboxes(a, max_bytes=4)
        with pytest.raises(MessageTooLarge, match=r"5 bytes.* 4"):
            await a.publish(TOPIC, b"12345")


@on_virtual_time
async def test_C2_gossip_above_the_limit_is_dropped_and_blamed_on_its_sender() -> None:
    async with SimulatedFabric(1) as fabric, in_a_line(fabric, ["a", "b"]) as (a, b):
        (inbox,) = await inboxes(b, max_bytes=4)
        await b.next_event()
        await a.publish(TOPIC, b"12345")
        assert await b.next_event() == PeerMisbehaved("a", "oversized")
        assert inbox.received == []


@on_virtual_time
async def test_a_validator_that_raises_counts_as_ignore_and_as_our_own_fault() -> None:
    async def raising(peer: PeerId, data: bytes) -> Verdict:
        raise RuntimeError("broken validator")

    async with SimulatedFabric(1) as fabric, in_a_line(fabric, ["a", "b", "c"]) as (a, b, c):
        _, end = await inboxes(a, c)
        await b.subscribe(TOPIC, raising, max_bytes=10)
        await b.next_event(), await b.next_event()
        await a.publish(TOPIC, b"hello")
        event = await b.next_event()
        assert isinstance(event, PeerMisbehaved) and event.peer_id == "" and "broken validator" in event.fault
        await trio.sleep(1)
        assert end.messages == []
        assert [str(error) for error in fabric.own_faults] == ["broken validator"]


# Requests


@on_virtual_time
async def test_a_request_gets_its_reply_after_both_delays() -> None:
    faults = LinkFaults(delay_min_ms=100, delay_max_ms=100)
    async with SimulatedFabric(1, faults=faults) as fabric, in_a_line(fabric, ["a", "b"]) as (a, b):
        await b.serve("/echo/1", echo, max_request_bytes=10)
        before = trio.current_time()
        assert await a.request("b", "/echo/1", b"hi", max_reply_bytes=10, timeout_s=1) == b"hi"
        assert trio.current_time() - before == pytest.approx(0.2)


@on_virtual_time
async def test_a_refusal_reaches_the_caller_with_its_reason() -> None:
    async def refuse(peer: PeerId, data: bytes) -> bytes:
        raise RequestRefused("not today")

    async with SimulatedFabric(1) as fabric, in_a_line(fabric, ["a", "b"]) as (a, b):
        await b.serve("/echo/1", refuse, max_request_bytes=10)
        with pytest.raises(RequestRefused, match="not today"):
            await a.request("b", "/echo/1", b"", max_reply_bytes=10, timeout_s=1)
        assert not fabric.own_faults


@on_virtual_time
async def test_a_handler_that_raises_fails_the_request_and_is_our_own_fault() -> None:
    async def raising(peer: PeerId, data: bytes) -> bytes:
        raise RuntimeError("broken handler")

    async with SimulatedFabric(1) as fabric, in_a_line(fabric, ["a", "b"]) as (a, b):
        await b.serve("/echo/1", raising, max_request_bytes=10)
        with pytest.raises(RequestFailed, match="reset"):
            await a.request("b", "/echo/1", b"", max_reply_bytes=10, timeout_s=1)
        assert [str(error) for error in fabric.own_faults] == ["broken handler"]


@on_virtual_time
async def test_a_lost_request_ends_at_its_deadline() -> None:
    async with SimulatedFabric(1) as fabric, in_a_line(fabric, ["a", "b"]) as (a, b):
        await b.serve("/echo/1", echo, max_request_bytes=10)
        fabric.set_faults(LinkFaults(loss=1))
        before = trio.current_time()
        with pytest.raises(RequestTimeout):
            await a.request("b", "/echo/1", b"", max_reply_bytes=10, timeout_s=3)
        assert trio.current_time() - before == pytest.approx(3)


@on_virtual_time
async def test_a_lost_reply_ends_at_the_deadline_too() -> None:
    asked: list[bytes] = []

    async def answer(peer: PeerId, data: bytes) -> bytes:
        asked.append(data)
        return b""

    async with SimulatedFabric(1) as fabric, in_a_line(fabric, ["a", "b"]) as (a, b):
        await b.serve("/echo/1", answer, max_request_bytes=10)
        fabric.cut("b", "a")
        with pytest.raises(RequestTimeout):
            await a.request("b", "/echo/1", b"hi", max_reply_bytes=10, timeout_s=3)
        assert asked == [b"hi"]


@on_virtual_time
async def test_a_request_without_a_connection_or_a_handler_fails() -> None:
    async with SimulatedFabric(1) as fabric, in_a_line(fabric, ["a", "b"]) as (a, _):
        for peer, reason in (("b", "not served"), ("c", "not connected")):
            with pytest.raises(RequestFailed, match=reason):
                await a.request(peer, "/echo/1", b"", max_reply_bytes=10, timeout_s=1)


@on_virtual_time
async def test_C2_a_request_above_the_limit_fails_and_is_blamed_on_the_asker() -> None:
    async with SimulatedFabric(1) as fabric, in_a_line(fabric, ["a", "b"]) as (a, b):
        await b.serve("/echo/1", echo, max_request_bytes=4)
        await b.next_event()
        with pytest.raises(RequestFailed, match=r"5 bytes.* 4"):
            await a.request("b", "/echo/1", b"12345", max_reply_bytes=10, timeout_s=1)
        assert await b.next_event() == PeerMisbehaved("a", "oversized")


@on_virtual_time
async def test_C2_a_reply_above_the_limit_fails_and_is_blamed_on_the_answerer() -> None:
    async with SimulatedFabric(1) as fabric, in_a_line(fabric, ["a", "b"]) as (a, b):
        await b.serve("/echo/1", echo, max_request_bytes=10)
        await a.next_event()
        with pytest.raises(RequestFailed, match=r"5 bytes.* 4"):
            await a.request("b", "/echo/1", b"12345", max_reply_bytes=4, timeout_s=1)
        assert await a.next_event() == PeerMisbehaved("b", "oversized")


@on_virtual_time
async def test_N4_a_peer_has_at_most_64_streams_open() -> None:
    async def never(peer: PeerId, data: bytes) -> bytes:
        await trio.sleep_forever()
        raise AssertionError

    failures: list[str] = []

    async def ask() -> None:
        try:
            await a.request("b", "/echo/1", b"", max_reply_bytes=10, timeout_s=5)
        except RequestFailed as error:
            failures.append(error.reason)

    async with SimulatedFabric(1) as fabric, in_a_line(fabric, ["a", "b"]) as (a, b):
        await b.serve("/echo/1", never, max_request_bytes=4)
        async with trio.open_nursery() as nursery:
            for _ in range(MAX_STREAMS_PER_PEER + 3):
                nursery.start_soon(ask)
        assert sum("the limit is 64" in reason for reason in failures) == 3


@on_virtual_time
async def test_a_request_fails_when_the_peer_goes_away() -> None:
    async def slow(peer: PeerId, data: bytes) -> bytes:
        await trio.sleep(100)
        return b""

    async with SimulatedFabric(1) as fabric, in_a_line(fabric, ["a", "b"]) as (a, b):
        await b.serve("/slow/1", slow, max_request_bytes=10)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(b.disconnect, "a")
            with pytest.raises(RequestFailed, match="disconnected"):
                await a.request("b", "/slow/1", b"", max_reply_bytes=10, timeout_s=50)
        assert trio.current_time() < 1


# Faults of links


@on_virtual_time
async def test_every_delay_lies_between_its_limits() -> None:
    arrived_s: list[float] = []

    async def note_time(peer: PeerId, data: bytes) -> Verdict:
        arrived_s.append(trio.current_time() - sent_s)
        return Verdict.ACCEPT

    faults = LinkFaults(delay_min_ms=200, delay_max_ms=300)
    async with SimulatedFabric(1, faults=faults) as fabric, in_a_line(fabric, ["a", "b"]) as (a, b):
        await b.subscribe(TOPIC, note_time, max_bytes=10)
        sent_s = trio.current_time()
        for number in range(100):
            await a.publish(TOPIC, b"%d" % number)
        await trio.sleep(1)
        assert len(arrived_s) == 100
        assert 0.2 <= min(arrived_s) < 0.21 and 0.29 < max(arrived_s) <= 0.3 + 1e-9


@on_virtual_time
async def test_a_wide_range_of_delays_reorders() -> None:
    faults = LinkFaults(delay_min_ms=1, delay_max_ms=500)
    async with SimulatedFabric(1, faults=faults) as fabric, in_a_line(fabric, ["a", "b"]) as (a, b):
        (inbox,) = await inboxes(b)
        sent = [b"%02d" % number for number in range(20)]
        for data in sent:
            await a.publish(TOPIC, data)
        await trio.sleep(1)
        assert inbox.messages != sent
        assert sorted(inbox.messages) == sent


@on_virtual_time
async def test_loss_takes_about_its_share() -> None:
    async with SimulatedFabric(1) as fabric, in_a_line(fabric, ["a", "b"]) as (a, b):
        fabric.set_faults(LinkFaults(loss=0.3))
        (inbox,) = await inboxes(b)
        for number in range(1_000):
            await a.publish(TOPIC, b"%d" % number)
        await trio.sleep(1)
        assert 650 < len(inbox.messages) < 750


@on_virtual_time
async def test_a_duplicated_message_is_validated_once() -> None:
    async with SimulatedFabric(1) as fabric, in_a_line(fabric, ["a", "b", "c"]) as (a, b, c):
        fabric.set_faults(LinkFaults(duplication=1))
        _, middle, end = await inboxes(a, b, c)
        await a.publish(TOPIC, b"hello")
        await trio.sleep(1)
        assert middle.messages == end.messages == [b"hello"]


@on_virtual_time
async def test_faults_can_be_set_for_one_direction_and_taken_back() -> None:
    async with SimulatedFabric(1) as fabric, in_a_line(fabric, ["a", "b"]) as (a, b):
        left, right = await inboxes(a, b)
        fabric.set_faults(LinkFaults(loss=1), source="a", target="b")
        await a.publish(TOPIC, b"from a")
        await b.publish(TOPIC, b"from b")
        await trio.sleep(1)
        assert (left.messages, right.messages) == ([b"from b"], [])
        fabric.set_faults(LinkFaults())
        await a.publish(TOPIC, b"again")
        await trio.sleep(1)
        assert right.messages == [b"again"]


def count_losses(into: list[object]) -> Callable[[str, Mapping[str, object]], None]:
    """A trace that keeps why messages were lost."""
    return lambda event, fields: into.append(fields["why"]) if event == "lost" else None


@on_virtual_time
async def test_a_full_link_loses_messages_instead_of_growing() -> None:
    losses: list[object] = []
    async with (
        SimulatedFabric(1, trace=count_losses(losses)) as fabric,
        in_a_line(fabric, ["a", "b"]) as (a, b),
    ):
        fabric.set_faults(LinkFaults(delay_min_ms=50_000, delay_max_ms=90_000))
        (inbox,) = await inboxes(b)
        for number in range(MAX_IN_FLIGHT_PER_LINK + 5):
            await a.publish(TOPIC, b"%d" % number)
        await trio.sleep(100)
        assert losses == ["link full"] * 5
        assert len(inbox.messages) == MAX_IN_FLIGHT_PER_LINK


@on_virtual_time
async def test_messages_of_one_peer_beyond_256_open_validations_are_dropped() -> None:
    async def stuck(peer: PeerId, data: bytes) -> Verdict:
        await trio.sleep_forever()
        raise AssertionError

    losses: list[object] = []
    async with (
        SimulatedFabric(1, trace=count_losses(losses)) as fabric,
        in_a_line(fabric, ["a", "b"]) as (a, b),
    ):
        await b.subscribe(TOPIC, stuck, max_bytes=10)
        for number in range(MAX_JUDGED_AT_ONCE + 3):
            await a.publish(TOPIC, b"%d" % number)
        await trio.sleep(1)
        assert losses == ["validators busy"] * 3


# Partitions


@on_virtual_time
async def test_N11_nothing_passes_between_the_parts_until_they_heal() -> None:
    async with SimulatedFabric(1) as fabric, all_connected(fabric, ["a", "b", "c", "d"]) as nodes:
        _, b, c, d = await inboxes(*nodes)
        fabric.partition([["a", "b"], ["c", "d"]])
        await nodes[0].publish(TOPIC, b"one")
        await trio.sleep(1)
        assert [inbox.messages for inbox in (b, c, d)] == [[b"one"], [], []]
        fabric.heal()
        await nodes[0].publish(TOPIC, b"two")
        await trio.sleep(1)
        assert [inbox.messages for inbox in (b, c, d)] == [[b"one", b"two"], [b"two"], [b"two"]]


@on_virtual_time
async def test_a_bridge_carries_gossip_between_the_parts() -> None:
    async with SimulatedFabric(1) as fabric, all_connected(fabric, ["a", "b", "c"]) as nodes:
        _, b, c = await inboxes(*nodes)
        fabric.partition([["a", "b"], ["b", "c"]])
        await nodes[0].publish(TOPIC, b"one")
        await trio.sleep(1)
        assert c.received == [("b", b"one")]


@on_virtual_time
async def test_a_one_way_cut_leaves_the_other_direction() -> None:
    async with SimulatedFabric(1) as fabric, in_a_line(fabric, ["a", "b"]) as (a, b):
        left, right = await inboxes(a, b)
        fabric.cut("a", "b")
        await a.publish(TOPIC, b"from a")
        await b.publish(TOPIC, b"from b")
        await trio.sleep(1)
        assert (left.messages, right.messages) == ([b"from b"], [])


@on_virtual_time
async def test_a_message_in_flight_when_the_cut_comes_is_lost() -> None:
    async with SimulatedFabric(1) as fabric, in_a_line(fabric, ["a", "b"]) as (a, b):
        (inbox,) = await inboxes(b)
        await a.publish(TOPIC, b"hello")
        fabric.partition([["a"], ["b"]])
        await trio.sleep(1)
        assert inbox.messages == []


@on_virtual_time
async def test_dialling_over_a_cut_fails_after_the_handshake_deadline() -> None:
    async with SimulatedFabric(1) as fabric, joined(fabric, ["a", "b"]) as (a, _):
        fabric.partition([["a"], ["b"]])
        before = trio.current_time()
        with pytest.raises(DialFailed, match="no answer"):
            await a.connect(address_of("b"))
        assert trio.current_time() - before == 5


@on_virtual_time
async def test_a_long_partition_severs_connections_and_a_short_one_does_not() -> None:
    async with SimulatedFabric(1) as fabric, in_a_line(fabric, ["a", "b"]) as (a, b):
        fabric.partition([["a"], ["b"]], sever_after_s=5)
        await trio.sleep(4)
        fabric.heal()
        await trio.sleep(4)
        assert len(a.peers()) == len(b.peers()) == 1
        fabric.partition([["a"], ["b"]], sever_after_s=5)
        await trio.sleep(6)
        assert a.peers() == b.peers() == ()


@on_virtual_time
async def test_the_end_of_a_connection_is_told_when_the_cut_heals() -> None:
    async with SimulatedFabric(1) as fabric, in_a_line(fabric, ["a", "b"]) as (a, b):
        fabric.partition([["a"], ["b"]])
        await a.disconnect("b")
        await trio.sleep(10)
        assert len(b.peers()) == 1
        fabric.heal()
        await trio.sleep(2)
        assert b.peers() == ()


@on_virtual_time
async def test_dialling_again_replaces_a_half_open_connection() -> None:
    async with SimulatedFabric(1) as fabric, in_a_line(fabric, ["a", "b"]) as (a, b):
        await b.next_event()
        fabric.partition([["a"], ["b"]])
        await a.disconnect("b")
        fabric.heal()
        (inbox,) = await inboxes(b)
        await a.connect(address_of("b"))
        await a.publish(TOPIC, b"hello")
        await trio.sleep(10)
        assert inbox.messages == [b"hello"]
        assert isinstance(await b.next_event(), PeerDisconnected)
        assert isinstance(await b.next_event(), PeerConnected)
        assert len(b.peers()) == 1


# Crashes


@on_virtual_time
async def test_peers_see_a_crash_as_a_disconnect() -> None:
    async with SimulatedFabric(1) as fabric, in_a_line(fabric, ["a", "b"]) as (a, _):
        await a.next_event()
        fabric.crash("b")
        assert await a.next_event() == PeerDisconnected("b", "connection reset")
        assert fabric.running() == ("a",)


@on_virtual_time
async def test_what_is_in_flight_to_a_crashed_node_never_arrives() -> None:
    async with SimulatedFabric(1) as fabric, in_a_line(fabric, ["a", "b"]) as (a, b):
        (inbox,) = await inboxes(b)
        await a.publish(TOPIC, b"hello")
        fabric.crash("b")
        async with fabric.join("b") as restarted:
            (after,) = await inboxes(restarted)
            await trio.sleep(1)
            assert inbox.messages == after.messages == []


@on_virtual_time
async def test_validators_and_handlers_of_a_crashed_node_are_cancelled() -> None:
    started: list[str] = []
    finished: list[str] = []

    async def slow_judge(peer: PeerId, data: bytes) -> Verdict:
        started.append("validator")
        await trio.sleep(5)
        finished.append("validator")
        return Verdict.ACCEPT

    async def slow_answer(peer: PeerId, data: bytes) -> bytes:
        started.append("handler")
        await trio.sleep(5)
        finished.append("handler")
        return b""

    async with SimulatedFabric(1) as fabric, in_a_line(fabric, ["a", "b"]) as (a, b):
        await b.subscribe(TOPIC, slow_judge, max_bytes=10)
        await b.serve("/slow/1", slow_answer, max_request_bytes=10)
        await a.publish(TOPIC, b"hello")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(crash_after, fabric, 1.0)
            with pytest.raises(RequestFailed):
                await a.request("b", "/slow/1", b"", max_reply_bytes=10, timeout_s=9)
        await trio.sleep(20)
        assert sorted(started) == ["handler", "validator"]
        assert finished == []


@on_virtual_time
async def test_calls_of_a_crashed_node_block_for_ever() -> None:
    async with SimulatedFabric(1) as fabric, in_a_line(fabric, ["a", "b"]) as (_, b):
        fabric.crash("b")
        for call in (b.next_event, lambda: b.publish(TOPIC, b"x"), lambda: b.connect(address_of("a"))):
            with trio.move_on_after(1_000) as patience:
                await call()
            assert patience.cancelled_caught


@on_virtual_time
async def test_a_crashed_node_restarts_with_the_same_id() -> None:
    async with SimulatedFabric(1) as fabric, in_a_line(fabric, ["a", "b"]) as (a, _):
        own, *_ = await inboxes(a)
        fabric.crash("b")
        async with fabric.join("b") as restarted:
            await inboxes(restarted)
            await restarted.connect(address_of("a"))
            await restarted.publish(TOPIC, b"back")
            await trio.sleep(1)
            assert own.received == [("b", b"back")]
            assert [info.direction for info in a.peers()] == ["inbound"]


# Events


@on_virtual_time
async def test_a_full_event_queue_merges_obsolete_connection_events_away() -> None:
    queue = EventQueue(capacity=3)
    kept = PeerConnected(PeerInfo("a", (), "inbound"))
    queue.put(kept)
    for _ in range(50):
        queue.put(PeerConnected(PeerInfo("b", (), "inbound")))
        queue.put(PeerDisconnected("b", "closed"))
    events = [await queue.get() for _ in range(len(queue))]
    assert len(events) == 3
    assert events[0] == kept
    assert events[-1] == PeerDisconnected("b", "closed")
    assert queue.merged == 98


@on_virtual_time
async def test_a_full_event_queue_without_obsolete_events_drops_the_oldest() -> None:
    queue = EventQueue(capacity=2)
    for number in range(5):
        queue.put(PeerMisbehaved("a", str(number)))
    assert [await queue.get(), await queue.get()] == [PeerMisbehaved("a", "3"), PeerMisbehaved("a", "4")]
