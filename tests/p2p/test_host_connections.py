"""Connecting, limits, events and closing of real hosts over loopback."""

import socket
import threading
from pathlib import Path

import pytest
import trio
from builders.attackers import endpoint, open_attacker
from builders.hosts import ECHO, TOPIC, assert_gossip_flows, open_line, open_node, seed, wait_for

from p2p.errors import AddressMalformed, BindFailed, DialFailed, NetworkClosed
from p2p.host import HostConfig, open_network
from p2p.network import PeerConnected


async def test_both_sides_see_the_connection_with_its_direction() -> None:
    async with open_line(2) as (left, right):
        await wait_for(lambda: left.events and right.events)
        dialled, accepted = left.events[0], right.events[0]
        assert isinstance(dialled, PeerConnected) and isinstance(accepted, PeerConnected)
        assert (dialled.peer.peer_id, dialled.peer.direction) == (right.peer_id, "outbound")
        assert (accepted.peer.peer_id, accepted.peer.direction) == (left.peer_id, "inbound")
        assert dialled.peer.addresses == (right.address.split("/p2p/")[0],)
        assert left.network.peers() == (dialled.peer,)


async def test_the_peer_id_is_the_one_of_the_seed_on_every_start() -> None:
    async with open_node(7) as first:
        before = first.peer_id
    async with open_node(7) as second:
        assert second.peer_id == before


async def test_port_zero_is_announced_as_the_real_port() -> None:
    async with open_node(1) as node:
        host, port = endpoint(node.address)
        assert host == "127.0.0.1" and port > 0
        assert node.address == f"/ip4/127.0.0.1/tcp/{port}/p2p/{node.peer_id}"


async def test_a_wildcard_address_is_announced_as_addresses_that_can_be_dialled() -> None:
    async with open_node(1, listen=("/ip4/0.0.0.0/tcp/0",)) as wide, open_node(2) as other:
        assert all("/0.0.0.0/" not in address for address in wide.network.listen_addresses)
        await other.network.connect(wide.network.listen_addresses[0])


async def test_an_announced_address_replaces_the_listening_one() -> None:
    async with open_node(1, announce=("/dns4/node.example/tcp/4001",)) as node:
        assert node.network.listen_addresses == (f"/dns4/node.example/tcp/4001/p2p/{node.peer_id}",)


async def test_connecting_twice_keeps_the_first_connection() -> None:
    async with open_line(2) as (left, right):
        assert await left.network.connect(right.address) == right.peer_id
        assert await right.network.connect(left.address) == left.peer_id
        await assert_gossip_flows(left, right)
        assert left.history_of(right.peer_id) == ["up"]
        assert right.history_of(left.peer_id) == ["up"]


async def test_ten_connects_at_once_make_one_connection() -> None:
    async with open_node(1) as left, open_node(2) as right:
        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(left.network.connect, right.address)
        await assert_gossip_flows(left, right)
        assert right.history_of(left.peer_id) == ["up"]


async def test_N8_two_hosts_that_dial_each_other_at_once_are_one_peer_to_each_other() -> None:
    async with open_node(1) as left, open_node(2) as right:
        for round_number in range(5):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(left.network.connect, right.address)
                nursery.start_soon(right.network.connect, left.address)
            await assert_gossip_flows(left, right, mark=f"round {round_number}")
            assert left.connected() == [right.peer_id] and right.connected() == [left.peer_id]
            await left.network.disconnect(right.peer_id)
            await wait_for(lambda: not left.connected() and not right.connected())
        expected = ["up", "down"] * 5
        await wait_for(
            lambda: len(left.history_of(right.peer_id)) == len(right.history_of(left.peer_id)) == 10
        )
        assert left.history_of(right.peer_id) == right.history_of(left.peer_id) == expected


async def test_disconnecting_is_seen_on_both_sides_and_connecting_again_works() -> None:
    async with open_line(2) as (left, right):
        await left.network.disconnect(right.peer_id)
        assert left.connected() == []
        await wait_for(lambda: right.history_of(left.peer_id) == ["up", "down"])
        await wait_for(lambda: left.history_of(right.peer_id) == ["up", "down"])
        assert left.why_gone(right.peer_id) == "closed by us"
        assert "closed by the peer" in right.why_gone(left.peer_id)
        await left.network.connect(right.address)
        await assert_gossip_flows(left, right)


async def test_disconnecting_a_peer_that_is_not_there_is_no_error() -> None:
    async with open_node(1) as left, open_node(2) as right:
        await left.network.disconnect(right.peer_id)


async def test_leaving_the_network_tells_the_peers_and_frees_the_port() -> None:
    async with open_node(1) as stays:
        async with open_node(2) as leaves:
            port = endpoint(leaves.address)[1]
            await stays.network.connect(leaves.address)
            await wait_for(leaves.connected)
        await wait_for(lambda: stays.history_of(leaves.peer_id) == ["up", "down"])
        async with open_node(3, listen=(f"/ip4/127.0.0.1/tcp/{port}",)) as successor:
            assert endpoint(successor.address)[1] == port


async def test_a_second_host_on_the_same_port_does_not_bind() -> None:
    async with open_node(1) as first:
        host, port = endpoint(first.address)
        with pytest.raises(BindFailed, match=f"cannot listen on /ip4/{host}/tcp/{port}: .*in use"):
            async with open_network(HostConfig(identity_seed=seed(2), listen=(f"/ip4/{host}/tcp/{port}",))):
                pass


async def test_a_failed_bind_leaves_no_socket_behind() -> None:
    with socket.socket() as owner:
        owner.bind(("127.0.0.1", 0))
        owner.listen()
        free = _free_port()
        taken = owner.getsockname()[1]
        listen = (f"/ip4/127.0.0.1/tcp/{free}", f"/ip4/127.0.0.1/tcp/{taken}")
        with pytest.raises(BindFailed):
            async with open_network(HostConfig(identity_seed=seed(1), listen=listen)):
                pass
    async with open_node(2, listen=(f"/ip4/127.0.0.1/tcp/{free}",)):
        pass


@pytest.mark.parametrize(
    "text", ["", "/ip4/127.0.0.1", "/ip4/127.0.0.1/udp/1", "/ip4/localhost/tcp/1", "/ip6/::/tcp/x"]
)
async def test_an_endpoint_that_nobody_can_listen_on_is_a_failed_bind(text: str) -> None:
    with pytest.raises(BindFailed):
        async with open_network(HostConfig(identity_seed=seed(1), listen=(text,))):
            pass


@pytest.mark.parametrize(
    "address",
    [
        "nonsense",
        "/ip4/127.0.0.1/tcp/4001",
        "/ip4/127.0.0.1/tcp/4001/p2p/abc",
        "/ip4/127.0.0.1/tcp/4001/p2p/0OIl",
        "/ip4/999.0.0.1/tcp/4001/p2p/12D3KooWJWoaqZhDaoEFshF7Rh1bpY9ohihFhzcW6d69Lr2NASuq",
        "/memory/x/p2p/12D3KooWJWoaqZhDaoEFshF7Rh1bpY9ohihFhzcW6d69Lr2NASuq",
    ],
)
async def test_an_address_without_a_peer_id_is_malformed(address: str) -> None:
    async with open_node(1) as node:
        with pytest.raises(AddressMalformed):
            await node.network.connect(address)


async def test_a_port_where_nobody_listens_fails_the_dial() -> None:
    async with open_node(1) as node, open_node(2) as other:
        address = f"/ip4/127.0.0.1/tcp/{_free_port()}/p2p/{other.peer_id}"
        with pytest.raises(DialFailed, match=f"cannot reach {address}"):
            await node.network.connect(address)


async def test_N8_another_peer_than_the_one_dialled_fails_the_dial() -> None:
    async with open_node(1) as node, open_node(2) as other, open_node(3) as expected:
        host, port = endpoint(other.address)
        with pytest.raises(DialFailed, match="does not correspond"):
            await node.network.connect(f"/ip4/{host}/tcp/{port}/p2p/{expected.peer_id}")
        assert node.connected() == []


async def test_N4_a_listener_that_says_nothing_fails_the_dial_in_time() -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        async with open_node(1, handshake_timeout_s=0.2) as node, open_node(2) as other:
            address = f"/ip4/127.0.0.1/tcp/{mute.getsockname()[1]}/p2p/{other.peer_id}"
            with pytest.raises(DialFailed, match=r"no handshake within 0.2 s"), trio.fail_after(3):
                await node.network.connect(address)


async def test_N8_dialling_ourselves_is_refused() -> None:
    async with open_node(1) as node:
        with pytest.raises(DialFailed, match="ourselves"):
            await node.network.connect(node.address)


async def test_no_more_peers_than_the_limit_get_in() -> None:
    async with open_node(1, max_connections=2, max_inbound=2) as hub, open_node(2) as a, open_node(3) as b:
        await a.network.connect(hub.address)
        await b.network.connect(hub.address)
        await wait_for(lambda: len(hub.connected()) == 2)
        async with open_node(4) as late:
            with pytest.raises(DialFailed):
                await late.network.connect(hub.address)
        await assert_gossip_flows(hub, a, b)


async def test_N1_inbound_peers_leave_room_for_outbound_ones() -> None:
    async with open_node(1, max_connections=2) as hub, open_node(2) as caller, open_node(3) as called:
        await caller.network.connect(hub.address)
        await wait_for(hub.connected)
        with pytest.raises(DialFailed):
            await called.network.connect(hub.address)
        await hub.network.connect(called.address)
        await assert_gossip_flows(hub, caller, called)


async def test_dialling_above_the_limit_fails_with_both_numbers() -> None:
    async with open_node(1, max_connections=1) as full, open_node(2) as a, open_node(3) as b:
        await full.network.connect(a.address)
        with pytest.raises(DialFailed, match="1 peers are connected, the limit is 1"):
            await full.network.connect(b.address)


def test_limits_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="max_inbound 5, possible are 1 to 4"):
        HostConfig(identity_seed=seed(1), max_connections=4, max_inbound=5)


def test_the_identity_seed_is_not_in_the_text_of_the_configuration() -> None:
    assert "identity_seed" not in repr(HostConfig(identity_seed=b"\x5a" * 32))


async def test_a_seed_of_a_wrong_length_is_refused() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with open_network(HostConfig(identity_seed=b"short")):
            pass
    assert caught.group_contains(ValueError, match="identity seed of 5 bytes, expected 32")


async def test_places_are_given_back_so_hundreds_may_come_and_go() -> None:
    async with open_node(1, max_connections=4) as hub, open_node(2) as visitor:
        for _ in range(30):
            await visitor.network.connect(hub.address)
            await visitor.network.disconnect(hub.peer_id)
        await wait_for(lambda: not hub.connected())
        await visitor.network.connect(hub.address)
        await assert_gossip_flows(hub, visitor)


async def test_N8_a_peer_that_comes_back_before_its_old_connection_is_noticed_replaces_it() -> None:
    async with open_node(1) as victim, open_attacker(victim.address, 5, runs=False) as silent:
        await wait_for(victim.connected)
        async with open_node(5) as restarted:
            await restarted.network.connect(victim.address)
            await assert_gossip_flows(victim, restarted)
            assert victim.history_of(silent.peer_id) == ["up", "down", "up"]
            assert "replaced" in victim.why_gone(silent.peer_id)


async def test_a_listening_only_second_address_works_too() -> None:
    async with (
        open_node(1, listen=("/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/0")) as node,
        open_node(2) as other,
    ):
        first, second = node.network.listen_addresses
        assert first != second
        await other.network.connect(second)
        assert await other.network.request(node.peer_id, ECHO, b"x", max_reply_bytes=1, timeout_s=5) == b"x"


async def test_closing_with_a_frozen_peer_takes_no_longer_than_three_seconds() -> None:
    async with open_node(1) as node, open_attacker(node.address, runs=False):
        await wait_for(node.connected)
        before = trio.current_time()
        await node.network._switch.close()
        assert trio.current_time() - before < 3


async def test_a_cancelled_host_still_says_goodbye() -> None:
    async with open_node(1) as stays:
        with trio.CancelScope() as scope:
            async with open_node(2) as leaves:
                await leaves.network.connect(stays.address)
                await wait_for(stays.connected)
                scope.cancel()
                await trio.sleep_forever()
        await wait_for(lambda: stays.history_of(leaves.peer_id) == ["up", "down"])
        assert "go away" in stays.why_gone(leaves.peer_id)


async def test_a_host_that_was_left_can_do_nothing_any_more() -> None:
    async with open_node(1) as stays:
        async with open_node(2) as leaves:
            pass
        for attempt in (
            leaves.network.connect(stays.address),
            leaves.network.publish(TOPIC, b""),
            leaves.network.request(stays.peer_id, ECHO, b"", max_reply_bytes=0, timeout_s=1),
            leaves.network.disconnect(stays.peer_id),
        ):
            with pytest.raises(NetworkClosed):
                await attempt


async def test_no_thread_and_no_socket_is_left_after_a_host() -> None:
    threads, descriptors = threading.active_count(), _open_descriptors()
    for _ in range(3):
        async with open_line(2) as nodes:
            await assert_gossip_flows(*nodes)
    assert threading.active_count() <= threads
    assert _open_descriptors() <= descriptors


def _open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
