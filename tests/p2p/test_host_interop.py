"""Our host against py-libp2p's own transport, muxer, connection table and pubsub, in both directions."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import libp2p
import pytest
import trio
from builders.hosts import TOPIC, Node, open_node, wait_for
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.custom_types import TProtocol
from libp2p.host.ping import PingService
from libp2p.identity.identify.identify import ID as IDENTIFY
from libp2p.identity.identify.identify import parse_identify_response
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pubsub import Pubsub
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as Noise
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX
from libp2p.stream_muxer.yamux.yamux import Yamux
from libp2p.tools.anyio_service import background_trio_service
from multiaddr import Multiaddr


@asynccontextmanager
async def open_library_host() -> AsyncIterator[tuple[libp2p.IHost, Pubsub]]:
    """A plain py-libp2p host with gossip."""
    key_pair = create_new_key_pair(b"\x42" * 32)
    listen = [Multiaddr("/ip4/127.0.0.1/tcp/0")]
    host = libp2p.new_host(
        key_pair=key_pair,
        sec_opt={TProtocol(NOISE): Noise(key_pair, noise_privkey=create_noise_key_pair().private_key)},
        muxer_opt={TProtocol(YAMUX): Yamux},
        listen_addrs=listen,
    )
    router = GossipSub(
        protocols=[TProtocol("/meshsub/1.1.0")],
        degree=6,
        degree_low=4,
        degree_high=12,
        heartbeat_interval=1,
        adaptive_gossip_enabled=False,
        spam_protection_enabled=False,
        eclipse_protection_enabled=False,
    )
    pubsub = Pubsub(host, router)
    async with host.run(listen), background_trio_service(pubsub), background_trio_service(router):
        await pubsub.wait_until_ready()
        yield host, pubsub
        with trio.CancelScope(shield=True), trio.move_on_after(3):
            await host.close()
        pubsub.seen_messages.stop()


async def _connect(node: Node, host: libp2p.IHost, who_dials: str) -> None:
    if who_dials == "we dial":
        await node.network.connect(str(host.get_addrs()[0]))
    else:
        await host.connect(info_from_p2p_addr(Multiaddr(node.address)))
    await wait_for(lambda: node.connected() == [host.get_id().to_base58()])


@pytest.mark.parametrize("who_dials", ["we dial", "it dials"])
async def test_gossip_of_small_and_large_messages_goes_both_ways(who_dials: str) -> None:
    async with open_node(1) as node, open_library_host() as (host, pubsub):
        subscription = await pubsub.subscribe(TOPIC)
        await _connect(node, host, who_dials)
        for data in (b"small", bytes(range(256)) * 2_000):
            await node.network.publish(TOPIC, data)
            with trio.fail_after(10):
                assert (await subscription.get()).data == data
        await wait_for(lambda: pubsub.peer_topics.get(TOPIC))
        for data in (b"back", bytes(range(255, -1, -1)) * 2_000):
            await pubsub.publish(TOPIC, data)
            await wait_for(lambda data=data: data in node.received)
        assert node.own_faults() == []
        assert node.history_of(host.get_id().to_base58()) == ["up"]


async def test_it_can_ping_us_and_learn_what_we_speak() -> None:
    async with open_node(1) as node, open_library_host() as (host, _):
        await _connect(node, host, "it dials")
        peer_id = info_from_p2p_addr(Multiaddr(node.address)).peer_id
        assert len(await PingService(host).ping(peer_id, 3)) == 3
        stream = await host.new_stream(peer_id, [IDENTIFY])
        answer = bytearray()
        with trio.fail_after(5):
            try:
                while True:
                    answer += await stream.read(4_096)
            except EOFError:
                pass
        identity = parse_identify_response(bytes(answer))
        assert identity.agent_version == "nexusos"
        assert {"/meshsub/1.1.0", "/meshsub/1.2.0", "/ipfs/ping/1.0.0"} <= set(identity.protocols)
        assert [Multiaddr(address) for address in identity.listen_addrs] == [
            Multiaddr(node.address.partition("/p2p/")[0])
        ]


async def test_it_survives_our_liveness_pings_while_idle() -> None:
    async with (
        open_node(1, liveness_tick_s=0.05, liveness_misses=2) as node,
        open_library_host() as (host, _),
    ):
        await _connect(node, host, "we dial")
        connection = next(iter(node.network._switch._sessions.values())).connections[0][0]
        before = connection._heard
        await wait_for(lambda: connection._heard >= before + 10)
        assert node.connected() == [host.get_id().to_base58()]


async def test_its_goodbye_is_a_disconnection() -> None:
    async with open_node(1) as node:
        async with open_library_host() as (host, _):
            await _connect(node, host, "it dials")
            peer = host.get_id().to_base58()
        await wait_for(lambda: node.history_of(peer) == ["up", "down"])
        assert node.faults_of(peer) == []


async def test_a_pinned_version_is_installed_that_bounds_its_reads() -> None:
    version = tuple(int(part) for part in libp2p.__version__.split("."))
    assert version == (0, 8, 1), (
        "our code replaces parts of this very version; read them again before moving on"
    )
