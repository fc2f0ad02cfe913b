"""Limits, scores and bans over the simulated network: the same code runs over real sockets."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from builders.deterministic import on_virtual_time
from builders.simulated_peers import TOPIC, Inbox, address_of, in_a_line, joined

from p2p.buckets import Rate
from p2p.errors import PeerBanned, RequestFailed, RequestRefused, RequestTimeout
from p2p.guard_limits import GuardLimits
from p2p.guarded import GuardedNetwork, fault_of, open_guarded
from p2p.network import PeerConnected, PeerDisconnected, PeerId, PeerMisbehaved, Verdict
from p2p.peers import Fault, PeerBook
from p2p.simulated import SimulatedFabric
from p2p.simulated_links import LinkFaults
from p2p.simulated_network import SimulatedNetwork

TIGHT = GuardLimits(
    gossip_default=Rate(per_second=10, burst=20), request_default=Rate(per_second=10, burst=20)
)


@asynccontextmanager
async def guarded_node(
    fabric: SimulatedFabric, name: PeerId, limits: GuardLimits = TIGHT, endpoint: str | None = None
) -> AsyncIterator[tuple[GuardedNetwork, Inbox]]:
    """A guarded endpoint that takes part in the topic."""
    async with (
        fabric.join(name, endpoint=endpoint) as wire,
        open_guarded(wire, PeerBook(), limits) as network,
    ):
        inbox = Inbox()
        await network.subscribe(TOPIC, inbox.judge, max_bytes=100_000)
        yield network, inbox


@asynccontextmanager
async def raw_and_guarded(
    limits: GuardLimits = TIGHT,
) -> AsyncIterator[tuple[SimulatedFabric, SimulatedNetwork, GuardedNetwork, Inbox]]:
    """A peer `a` without any manners, connected to a guarded node `b`."""
    async with (
        SimulatedFabric(1) as fabric,
        guarded_node(fabric, "b", limits) as (b, inbox),
        fabric.join("a") as a,
    ):
        await a.connect(address_of("b"))
        yield fabric, a, b, inbox


async def flood(network: SimulatedNetwork, count: int, every_s: float = 0.0) -> None:
    """Publish `count` different messages."""
    for number in range(count):
        await network.publish(TOPIC, f"{network.peer_id} {number}".encode())
        await trio.sleep(every_s)


async def echo(peer: PeerId, data: bytes) -> bytes:
    """A handler."""
    return data


# The interface


@on_virtual_time
async def test_a_guarded_network_is_a_network() -> None:
    async with (
        SimulatedFabric(1) as fabric,
        guarded_node(fabric, "a") as (a, _),
        guarded_node(fabric, "b") as (b, inbox),
    ):
        await b.serve("/echo/1", echo, max_request_bytes=10)
        assert await a.connect(b.listen_addresses[0]) == "b" == b.peer_id
        await a.publish(TOPIC, b"hello")
        assert await a.request("b", "/echo/1", b"hi", max_reply_bytes=10, timeout_s=1) == b"hi"
        assert inbox.received == [("a", b"hello")]
        assert [info.peer_id for info in a.peers()] == ["b"]
        assert a.topics() == (TOPIC,)
        assert isinstance(await a.next_event(), PeerConnected)
        await a.disconnect("b")
        assert isinstance(await a.next_event(), PeerDisconnected)
        assert a.peers() == ()
        assert b.stats.gossip_accepted == 1 and b.stats.requests_answered == 1 and a.stats.requests_sent == 1


# Gossip


@on_virtual_time
async def test_N2_what_exceeds_the_bucket_never_reaches_the_validator_and_costs_score() -> None:
    async with raw_and_guarded() as (_, a, b, inbox):
        await flood(a, 60)
        await trio.sleep(1)
        assert len(inbox.messages) == 20
        assert b.stats.gossip_over_limit == 40
        assert b.score("a") == -40


@on_virtual_time
async def test_a_large_message_costs_more_than_a_small_one() -> None:
    async with raw_and_guarded() as (_, a, _b, inbox):
        for number in range(10):
            await a.publish(TOPIC, bytes([number]) * 80_000)
        await trio.sleep(0.1)
        assert len(inbox.messages) == 4


@on_virtual_time
async def test_a_topic_can_have_its_own_rate() -> None:
    limits = GuardLimits(gossip={TOPIC: Rate(per_second=1, burst=4)})
    async with raw_and_guarded(limits) as (_, a, _b, inbox):
        await flood(a, 60)
        await trio.sleep(0.1)
        assert len(inbox.messages) == 4


@on_virtual_time
async def test_N2_a_flood_is_banned_within_ten_seconds() -> None:
    async with raw_and_guarded() as (_, a, b, _inbox):
        started_s = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(flood, a, 10_000, 0.02)
            while not isinstance(await b.next_event(), PeerDisconnected):
                pass
            nursery.cancel_scope.cancel()
        assert b.score("a") == -100
        assert trio.current_time() - started_s < 10
        await trio.sleep(0.1)
        assert b.peers() == a.peers() == ()


@on_virtual_time
async def test_N2_forty_flooding_sybils_are_banned_and_no_honest_message_is_late() -> None:
    """All valid, all useless: each sybil sends at four times the limit to one node that an honest peer talks to."""
    arrived_s: dict[bytes, float] = {}

    async def note_arrival(peer: PeerId, data: bytes) -> Verdict:
        if peer == "honest":
            arrived_s[data] = trio.current_time()
        return Verdict.ACCEPT

    sybil_names = [f"sybil-{number:02}" for number in range(40)]
    async with (
        SimulatedFabric(1) as fabric,
        guarded_node(fabric, "victim") as (victim, _),
        guarded_node(fabric, "honest") as (honest, _),
        joined(fabric, sybil_names) as sybils,
    ):
        await victim.subscribe(TOPIC, note_arrival, max_bytes=1_000)
        await honest.connect(address_of("victim"))
        for sybil in sybils:
            await sybil.connect(address_of("victim"))
        sent_s: dict[bytes, float] = {}
        async with trio.open_nursery() as nursery:
            for sybil in sybils:
                nursery.start_soon(flood, sybil, 400, 0.025)
            for number in range(60):
                data = b"honest %d" % number
                sent_s[data] = trio.current_time()
                await honest.publish(TOPIC, data)
                await trio.sleep(0.3)
        assert [info.peer_id for info in victim.peers()] == ["honest"]
        assert len(victim.bans()) == 40
        assert sorted(arrived_s) == sorted(sent_s)
        assert max(arrived_s[data] - sent_s[data] for data in sent_s) < 0.03
        assert victim.score("honest") == honest.score("victim") == 0


@on_virtual_time
async def test_N2_a_node_that_forwards_a_flood_below_the_limit_is_not_banned_for_it() -> None:
    """Ten sybils at half the limit each are five limits to forward: the victim's neighbour would ban the victim."""
    async with (
        SimulatedFabric(1) as fabric,
        guarded_node(fabric, "victim") as (victim, _),
        guarded_node(fabric, "neighbour") as (neighbour, inbox),
        joined(fabric, [f"sybil-{number}" for number in range(10)]) as sybils,
    ):
        await victim.connect(address_of("neighbour"))
        async with trio.open_nursery() as nursery:
            for sybil in sybils:
                await sybil.connect(address_of("victim"))
                nursery.start_soon(flood, sybil, 400, 0.2)
            for number in range(100):
                await victim.publish(TOPIC, b"own %d" % number)
                await trio.sleep(0.8)
        assert victim.stats.gossip_not_forwarded > 100
        assert neighbour.stats.gossip_over_limit == 0
        assert neighbour.score("victim") == 0
        assert sum(data.startswith(b"own") for data in inbox.messages) == 100


@on_virtual_time
async def test_publishing_a_lot_at_once_waits_instead_of_overrunning_the_peers() -> None:
    async with (
        SimulatedFabric(1) as fabric,
        guarded_node(fabric, "a") as (a, _),
        guarded_node(fabric, "b") as (b, inbox),
    ):
        await a.connect(address_of("b"))
        started_s = trio.current_time()
        for number in range(100):
            await a.publish(TOPIC, b"%d" % number)
        await trio.sleep(1)
        assert len(inbox.messages) == 100
        assert b.score("a") == 0
        assert 9 < trio.current_time() - started_s < 15


@on_virtual_time
async def test_N3_the_fifth_invalid_message_bans_and_none_is_forwarded() -> None:
    async with (
        SimulatedFabric(1) as fabric,
        guarded_node(fabric, "b") as (b, inbox),
        guarded_node(fabric, "c") as (_, end),
        fabric.join("a") as a,
    ):
        await a.connect(address_of("b"))
        await b.connect(address_of("c"))
        inbox.verdict = Verdict.REJECT
        await flood(a, 4, 0.1)
        assert b.score("a") == -80 and len(a.peers()) == 1
        await flood(a, 5, 0.1)
        assert len(inbox.messages) == 5
        assert [ban.subject for ban in b.bans()] == ["a"]
        assert a.peers() == ()
        assert end.messages == []
        assert b.stats.gossip_rejected == 5 and b.stats.bans == 1


@on_virtual_time
async def test_an_ignored_message_costs_nothing() -> None:
    async with raw_and_guarded() as (_, a, b, inbox):
        inbox.verdict = Verdict.IGNORE
        await flood(a, 5)
        await trio.sleep(1)
        assert b.stats.gossip_ignored == 5
        assert b.score("a") == 0


# Bans


@on_virtual_time
async def test_a_banned_peer_is_closed_and_refused_and_gives_no_events() -> None:
    async with raw_and_guarded() as (_, a, b, _inbox):
        await trio.sleep(0.1)
        assert isinstance(await b.next_event(), PeerConnected)
        b.report("a", Fault.MALFORMED)
        assert await b.next_event() == PeerDisconnected("a", "banned: malformed")
        await trio.sleep(1)
        await a.connect(address_of("b"))
        with trio.move_on_after(5):
            raise AssertionError(await b.next_event())
        assert b.peers() == a.peers() == ()
        assert b.stats.peers_refused == 1
        with pytest.raises(PeerBanned, match="86394 s"):
            await b.connect(address_of("a"))


class SlowToClose:
    """A simulated network whose connections take a while to close, as a stuck socket does."""

    def __init__(self, network: SimulatedNetwork) -> None:
        self._network = network

    def __getattr__(self, name: str) -> object:
        return getattr(self._network, name)

    async def disconnect(self, peer: PeerId) -> None:
        """Late."""
        await trio.sleep(3)
        await self._network.disconnect(peer)


@on_virtual_time
async def test_a_banned_peer_is_refused_everything_even_before_its_connection_is_closed() -> None:
    async with (
        SimulatedFabric(1) as fabric,
        in_a_line(fabric, ["a", "b"]) as (a, wire),
        open_guarded(SlowToClose(wire), PeerBook(), TIGHT) as b,  # type: ignore[arg-type]
    ):
        inbox = Inbox()
        await b.subscribe(TOPIC, inbox.judge, max_bytes=10)
        await b.serve("/echo/1", echo, max_request_bytes=10)
        b.ban("a", "test")
        await flood(a, 1)
        with pytest.raises(RequestRefused, match="banned"):
            await a.request("b", "/echo/1", b"", max_reply_bytes=10, timeout_s=1)
        assert len(wire.peers()) == 1 and b.peers() == ()
        assert inbox.messages == []
        await trio.sleep(5)
        assert a.peers() == ()


@on_virtual_time
async def test_a_pardoned_peer_may_come_back() -> None:
    async with raw_and_guarded() as (_, a, b, inbox):
        b.ban("a", "test")
        await trio.sleep(1)
        assert b.pardon("a")
        await a.connect(address_of("b"))
        await flood(a, 1)
        await trio.sleep(1)
        assert len(inbox.messages) == 1


@on_virtual_time
async def test_a_ban_ends_after_a_day() -> None:
    async with raw_and_guarded() as (_, a, b, _inbox):
        b.report("a", Fault.OVERSIZED)
        await trio.sleep(86_399)
        await a.connect(address_of("b"))
        await trio.sleep(0.5)
        assert b.peers() == ()
        await trio.sleep(1)
        await a.connect(address_of("b"))
        assert len(b.peers()) == 1


@on_virtual_time
async def test_a_ban_closes_and_refuses_the_whole_slash_24() -> None:
    async with (
        SimulatedFabric(1) as fabric,
        guarded_node(fabric, "b") as (b, _),
        fabric.join("near", endpoint="/ip4/203.0.113.7/tcp/1") as near,
        fabric.join("bad", endpoint="/ip4/203.0.113.8/tcp/1") as bad,
        fabric.join("late", endpoint="/ip4/203.0.113.9/tcp/1") as late,
        fabric.join("far", endpoint="/ip4/203.0.114.8/tcp/1") as far,
    ):
        for network in (near, bad, far):
            await network.connect(address_of("b"))
        await trio.sleep(1)
        b.report("bad", Fault.MALFORMED)
        await trio.sleep(1)
        await late.connect(address_of("b"))
        await trio.sleep(1)
        assert [info.peer_id for info in b.peers()] == ["far"]
        assert [ban.subject for ban in b.bans()] == ["203.0.113.0/24", "bad"]
        with pytest.raises(PeerBanned):
            await b.connect("/ip4/203.0.113.77/tcp/1/p2p/other")


@on_virtual_time
async def test_C2_a_fault_that_the_transport_saw_is_counted() -> None:
    async with SimulatedFabric(1) as fabric, guarded_node(fabric, "b") as (b, _), fabric.join("a") as a:
        await b.serve("/echo/1", echo, max_request_bytes=4)
        await a.connect(address_of("b"))
        with pytest.raises(RequestFailed):
            await a.request("b", "/echo/1", b"12345", max_reply_bytes=10, timeout_s=1)
        await trio.sleep(1)
        assert b.score("a") == -100
        assert a.peers() == ()
        assert isinstance(await b.next_event(), PeerConnected)
        assert await b.next_event() == PeerMisbehaved("a", "oversized")


def test_a_fault_text_that_is_none_of_ours_counts_as_a_fault_of_the_transport() -> None:
    assert fault_of("garbage on /meshsub/1.1.0") is Fault.TRANSPORT
    assert fault_of("oversized") is Fault.OVERSIZED


@on_virtual_time
async def test_a_validator_that_raises_is_our_fault_and_costs_the_sender_nothing() -> None:
    async def raising(peer: PeerId, data: bytes) -> Verdict:
        raise RuntimeError("broken")

    async with raw_and_guarded() as (_, a, b, _inbox):
        await b.subscribe(TOPIC, raising, max_bytes=10)
        await flood(a, 1)
        await trio.sleep(1)
        assert b.score("a") == 0
        assert b.stats.faults_of_ours == 1 and b.stats.faults_of_peers == 0


# Admission


@on_virtual_time
async def test_N1_a_third_inbound_peer_from_one_slash_24_is_refused() -> None:
    async with (
        SimulatedFabric(1) as fabric,
        guarded_node(fabric, "b") as (b, _),
        fabric.join("one", endpoint="/ip4/203.0.113.1/tcp/1") as one,
        fabric.join("two", endpoint="/ip4/203.0.113.2/tcp/1") as two,
        fabric.join("three", endpoint="/ip4/203.0.113.3/tcp/1") as three,
        fabric.join("other", endpoint="/ip4/198.51.100.3/tcp/1") as other,
    ):
        for network in (one, two, three, other):
            await network.connect(address_of("b"))
            await trio.sleep(0.5)
        assert [info.peer_id for info in b.peers()] == ["one", "other", "two"]
        assert b.score("three") == 0
        await one.disconnect("b")
        await trio.sleep(0.5)
        await three.connect(address_of("b"))
        await trio.sleep(0.5)
        assert [info.peer_id for info in b.peers()] == ["other", "three", "two"]


@on_virtual_time
async def test_N1_our_own_dials_are_not_held_to_the_inbound_limit() -> None:
    async with (
        SimulatedFabric(1) as fabric,
        guarded_node(fabric, "b") as (b, _),
        fabric.join("one", endpoint="/ip4/203.0.113.1/tcp/1"),
        fabric.join("two", endpoint="/ip4/203.0.113.2/tcp/1"),
        fabric.join("three", endpoint="/ip4/203.0.113.3/tcp/1"),
    ):
        for number, name in enumerate(["one", "two", "three"], start=1):
            await b.connect(f"/ip4/203.0.113.{number}/tcp/1/p2p/{name}")
        await trio.sleep(0.5)
        assert len(b.peers()) == 3


@on_virtual_time
async def test_loopback_and_private_peers_are_exempt_from_the_group_limit() -> None:
    async with (
        SimulatedFabric(1) as fabric,
        guarded_node(fabric, "b") as (b, _),
        fabric.join("one", endpoint="/ip4/127.0.0.1/tcp/1") as one,
        fabric.join("two", endpoint="/ip4/127.0.0.1/tcp/2") as two,
        fabric.join("three", endpoint="/ip4/127.0.0.1/tcp/3") as three,
    ):
        for network in (one, two, three):
            await network.connect(address_of("b"))
        await trio.sleep(0.5)
        assert len(b.peers()) == 3


@on_virtual_time
async def test_the_number_of_inbound_peers_is_bounded() -> None:
    names = [f"p{number}" for number in range(6)]
    async with (
        SimulatedFabric(1) as fabric,
        guarded_node(fabric, "b", GuardLimits(max_inbound=4)) as (b, _),
        joined(fabric, names) as networks,
    ):
        for network in networks:
            await network.connect(address_of("b"))
            await trio.sleep(0.2)
        assert [info.peer_id for info in b.peers()] == names[:4]


# Requests


@on_virtual_time
async def test_N5_requests_above_the_bucket_are_refused_and_cost_score() -> None:
    async with raw_and_guarded() as (fabric, a, b, _inbox):
        fabric.set_faults(LinkFaults(delay_min_ms=0, delay_max_ms=0))
        await b.serve("/echo/1", echo, max_request_bytes=10)
        outcomes: list[str] = []
        for _number in range(30):
            try:
                outcomes.append(
                    (await a.request("b", "/echo/1", b"x", max_reply_bytes=10, timeout_s=1)).decode()
                )
            except RequestRefused as refusal:
                outcomes.append(refusal.reason[:10])
        assert outcomes == ["x"] * 19 + ["rate limit"] * 11
        assert b.stats.requests_over_limit == 11
        assert b.score("a") == -11


@on_virtual_time
async def test_N5_a_reply_is_charged_by_its_size() -> None:
    async def generous(peer: PeerId, data: bytes) -> bytes:
        return bytes(900_000)

    async with raw_and_guarded() as (_, a, b, _inbox):
        await b.serve("/chunk/1", generous, max_request_bytes=10)
        assert len(await a.request("b", "/chunk/1", b"", max_reply_bytes=2**20, timeout_s=1)) == 900_000
        with pytest.raises(RequestRefused, match="wait"):
            await a.request("b", "/chunk/1", b"", max_reply_bytes=2**20, timeout_s=1)
        await trio.sleep(4)
        assert len(await a.request("b", "/chunk/1", b"", max_reply_bytes=2**20, timeout_s=1)) == 900_000


@on_virtual_time
async def test_N5_a_reply_above_one_mebibyte_is_never_sent() -> None:
    async def too_generous(peer: PeerId, data: bytes) -> bytes:
        return bytes(2**20 + 1)

    async with raw_and_guarded() as (_, a, b, _inbox):
        await b.serve("/chunk/1", too_generous, max_request_bytes=10)
        with pytest.raises(RequestRefused, match="1048577 bytes, the limit is 1048576"):
            await a.request("b", "/chunk/1", b"", max_reply_bytes=2**30, timeout_s=1)
        assert b.stats.faults_of_ours == 1


@on_virtual_time
async def test_N5_an_eleventh_request_in_flight_is_refused() -> None:
    refusals: list[str] = []

    async def slow(peer: PeerId, data: bytes) -> bytes:
        await trio.sleep(5)
        return b""

    async def ask() -> None:
        try:
            await a.request("b", "/slow/1", b"", max_reply_bytes=10, timeout_s=9)
        except RequestRefused as refusal:
            refusals.append(refusal.reason)

    async with raw_and_guarded() as (_, a, b, _inbox):
        await b.serve("/slow/1", slow, max_request_bytes=10)
        async with trio.open_nursery() as nursery:
            for _number in range(12):
                nursery.start_soon(ask)
        assert len(refusals) == 2 and "10 requests of yours are in flight, the limit is 10" in refusals[0]
        assert b.score("a") == 0


@on_virtual_time
async def test_an_honest_asker_waits_its_turn_and_is_never_refused() -> None:
    replies: list[bytes] = []

    async def ask() -> None:
        replies.append(await a.request("b", "/echo/1", bytes(5_000), max_reply_bytes=9_000, timeout_s=60))

    async with (
        SimulatedFabric(1) as fabric,
        guarded_node(fabric, "a") as (a, _),
        guarded_node(fabric, "b") as (b, _),
    ):
        await a.connect(address_of("b"))
        await b.serve("/echo/1", echo, max_request_bytes=10_000)
        async with trio.open_nursery() as nursery:
            for _number in range(100):
                nursery.start_soon(ask)
        assert len(replies) == 100
        assert b.stats.requests_over_limit == 0 and b.score("a") == 0


@on_virtual_time
async def test_waiting_for_a_turn_ends_at_the_deadline() -> None:
    async def never(peer: PeerId, data: bytes) -> bytes:
        await trio.sleep_forever()
        raise AssertionError

    ended_s: list[float] = []

    async def ask() -> None:
        with pytest.raises(RequestTimeout):
            await a.request("b", "/never/1", b"", max_reply_bytes=10, timeout_s=3)
        ended_s.append(trio.current_time())

    async with (
        SimulatedFabric(1) as fabric,
        guarded_node(fabric, "a") as (a, _),
        guarded_node(fabric, "b") as (b, _),
    ):
        await a.connect(address_of("b"))
        await b.serve("/never/1", never, max_request_bytes=10)
        started_s = trio.current_time()
        async with trio.open_nursery() as nursery:
            for _number in range(15):
                nursery.start_soon(ask)
        assert [round(at_s - started_s, 6) for at_s in ended_s] == [3.0] * 15


@on_virtual_time
async def test_time_outs_cost_no_score_or_a_partition_would_end_in_bans() -> None:
    async with (
        SimulatedFabric(1) as fabric,
        guarded_node(fabric, "a") as (a, _),
        guarded_node(fabric, "b") as (b, _),
    ):
        await a.connect(address_of("b"))
        fabric.partition([["a"], ["b"]])
        for _number in range(30):
            with pytest.raises(RequestTimeout):
                await a.request("b", "/echo/1", b"", max_reply_bytes=10, timeout_s=2)
        assert a.score("b") == 0


@on_virtual_time
async def test_the_guard_stays_bounded_under_many_identities() -> None:
    limits = GuardLimits(gossip_default=TIGHT.gossip_default, max_buckets=50)
    async with SimulatedFabric(1) as fabric, guarded_node(fabric, "b", limits) as (b, inbox):
        for number in range(120):
            async with fabric.join(f"p{number}") as network:
                await network.connect(address_of("b"))
                await flood(network, 1)
                await trio.sleep(0.1)
        await trio.sleep(1)
        assert len(inbox.messages) == 120
        assert len(b._incoming) == 50
        assert b._admitted == b._leaving == b._expelled_for == b._in_flight == b._asking == {}


@on_virtual_time
async def test_gossip_passes_a_line_of_guarded_nodes() -> None:
    async with (
        SimulatedFabric(1) as fabric,
        in_a_line(fabric, ["x", "y"]) as (x, y),
        open_guarded(x, PeerBook()) as left,
        open_guarded(y, PeerBook()) as right,
    ):
        inbox = Inbox()
        await right.subscribe(TOPIC, inbox.judge, max_bytes=10)
        await left.publish(TOPIC, b"hello")
        await trio.sleep(1)
        assert inbox.received == [("x", b"hello")]
