"""Spam and junk (reliability rows N2 and N6): at the node's own rates, through a network, and on real sockets."""

import random
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import trio
from builders.deterministic import on_virtual_time
from builders.hosts import TOPIC as HOST_TOPIC
from builders.hosts import open_line, wait_for
from builders.ledger import devnet_genesis
from builders.simulated_peers import TOPIC, address_of, joined

from consensus.params import params_from_genesis
from node.flows.wire import blocks_topic, transactions_topic
from node.peer_watch import guard_limits
from p2p.buckets import Rate
from p2p.guard_limits import GuardLimits
from p2p.guarded import GuardedNetwork, open_guarded
from p2p.network import PeerDisconnected, PeerId, Verdict
from p2p.peers import PeerBook
from p2p.simulated import SimulatedFabric
from p2p.simulated_network import SimulatedNetwork

PARAMS = params_from_genesis(devnet_genesis()[0])
NODE_LIMITS = guard_limits(PARAMS, 42)


@pytest.mark.parametrize(
    ("topic", "fastest_slot_s"),
    [(blocks_topic(PARAMS.chain_id), 1.0), (transactions_topic(PARAMS.chain_id), None)],
    ids=["blocks", "transactions"],
)
@on_virtual_time
async def test_N2_a_flood_at_the_nodes_own_rates_is_banned_within_ten_seconds(
    topic: str, fastest_slot_s: float | None
) -> None:
    """Invariant 3 of the README: a ban after (burst + 100) / (flood - rate) seconds."""
    rate = NODE_LIMITS.gossip[topic]
    if fastest_slot_s is not None:
        rate = Rate(rate.per_second * PARAMS.slot_ms / 1_000 / fastest_slot_s, rate.burst)
    flood_per_s = rate.per_second + (rate.burst + 100) / 9
    judged = 0

    async def accept(peer: PeerId, data: bytes) -> Verdict:
        nonlocal judged
        judged += 1
        return Verdict.ACCEPT

    async def flood(spammer: SimulatedNetwork) -> None:
        number = 0
        while True:
            for _ in range(int(flood_per_s / 20)):
                number += 1
                await spammer.publish(topic, b"%d" % number)
            await trio.sleep(0.05)

    async with (
        SimulatedFabric(1) as fabric,
        fabric.join("victim") as wire,
        open_guarded(wire, PeerBook(), replace(NODE_LIMITS, gossip={topic: rate})) as victim,
        fabric.join("spammer") as spammer,
    ):
        await victim.subscribe(topic, accept, max_bytes=1_000)
        await spammer.connect(address_of("victim"))
        started_s = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(flood, spammer)
            while not isinstance(await victim.next_event(), PeerDisconnected):
                pass
            nursery.cancel_scope.cancel()
        took_s = trio.current_time() - started_s
        assert victim.score("spammer") == -100
        assert 8 < took_s < 10
        assert judged <= rate.burst + rate.per_second * took_s


SYBILS_PER_NODE = 40
RING = GuardLimits(gossip_default=Rate(per_second=20, burst=40), outbound_peers=2)


@asynccontextmanager
async def honest_ring(
    fabric: SimulatedFabric, names: Sequence[PeerId]
) -> AsyncIterator[list[GuardedNetwork]]:
    """Guarded nodes; each dials the next two."""
    async with AsyncExitStack() as stack:
        nodes = []
        for name in names:
            wire = await stack.enter_async_context(fabric.join(name))
            nodes.append(await stack.enter_async_context(open_guarded(wire, PeerBook(), RING)))
        for index, node in enumerate(nodes):
            for step in (1, 2):
                await node.connect(address_of(names[(index + step) % len(names)]))
        yield nodes


async def delivery_times(sybils_per_node: int, messages: int) -> tuple[list[float], int]:
    """How long each message of each honest node took to each other one, ascending, and how many sybils were banned.

    Every node has as many sybils. One in twenty sends at three times what it may; the others stay at an eighth, so that
    nobody bans them, and what they send is well-formed and useless: the validators of the node ignore it."""
    names = [f"honest-{number}" for number in range(6)]
    arrived_s: dict[tuple[PeerId, bytes], float] = {}
    sent_s: dict[bytes, float] = {}
    async with SimulatedFabric(7) as fabric, honest_ring(fabric, names) as nodes:

        async def listen(node: GuardedNetwork) -> None:
            async def judge(peer: PeerId, data: bytes) -> Verdict:
                if data not in sent_s:
                    return Verdict.IGNORE
                arrived_s[node.peer_id, data] = trio.current_time()
                return Verdict.ACCEPT

            await node.subscribe(TOPIC, judge, max_bytes=1_000)

        async def spam(sybil: SimulatedNetwork, every_s: float) -> None:
            number = 0
            await trio.sleep(random.Random(sybil.peer_id).random() * every_s)
            while True:
                number += 1
                await sybil.publish(TOPIC, f"{sybil.peer_id} {number}".encode())
                await trio.sleep(every_s)

        async def talk(node: GuardedNetwork, index: int) -> None:
            await trio.sleep(1 + index / 12)
            for number in range(messages):
                data = b"honest %d %d" % (index, number)
                sent_s[data] = trio.current_time()
                await node.publish(TOPIC, data)
                await trio.sleep(0.5)

        rate = RING.gossip_default.per_second
        sybil_names = [f"sybil-{number}" for number in range(sybils_per_node * len(names))]
        async with joined(fabric, sybil_names) as sybils, trio.open_nursery() as nursery:
            for node in nodes:
                await listen(node)
            for index, sybil in enumerate(sybils):
                await sybil.connect(address_of(names[index % len(names)]))
                nursery.start_soon(spam, sybil, 1 / (3 * rate) if index // 6 % 20 == 0 else 8 / rate)
            async with trio.open_nursery() as talking:
                for index, node in enumerate(nodes):
                    talking.start_soon(talk, node, index)
            nursery.cancel_scope.cancel()
        assert all(node.score(name) == 0 for node in nodes for name in names)
        banned = sum(len(node.bans()) for node in nodes)
    times = [
        arrived_s.get((name, data), float("inf")) - at_s
        for data, at_s in sent_s.items()
        for name in names
        if name != names[int(data.split()[1])]
    ]
    return sorted(times), banned


@on_virtual_time
async def test_N2_forty_sybils_to_one_less_than_double_the_honest_p99() -> None:
    (calm, _), (flooded, banned) = await delivery_times(0, 8), await delivery_times(SYBILS_PER_NODE, 8)
    assert len(calm) == len(flooded) == 8 * 6 * 5
    assert banned == 6 * SYBILS_PER_NODE / 20
    assert flooded[-1] < float("inf"), "every honest message arrives everywhere"
    assert flooded[len(flooded) * 99 // 100] < 2 * calm[len(calm) * 99 // 100]


@on_virtual_time
async def test_N2_a_flood_below_the_limits_does_not_take_the_place_of_what_our_outbound_peers_send() -> None:
    """Forty sybils send valid messages that all forward; the node under attack is the only way from one end to the
    other."""
    names = ["left", "middle", "right"]
    async with AsyncExitStack() as stack:
        fabric = await stack.enter_async_context(SimulatedFabric(3))
        nodes: list[GuardedNetwork] = []
        arrived: dict[PeerId, list[bytes]] = {name: [] for name in names}
        for name in names:
            wire = await stack.enter_async_context(fabric.join(name))
            nodes.append(await stack.enter_async_context(open_guarded(wire, PeerBook(), RING)))

            async def judge(peer: PeerId, data: bytes, inbox: list[bytes] = arrived[name]) -> Verdict:
                inbox.append(data)
                return Verdict.ACCEPT

            await nodes[-1].subscribe(TOPIC, judge, max_bytes=1_000)
        left, middle, right = nodes
        await middle.connect(address_of("left"))
        await middle.connect(address_of("right"))

        async def spam(sybil: SimulatedNetwork) -> None:
            for number in range(60):
                await sybil.publish(TOPIC, f"{sybil.peer_id} {number}".encode())
                await trio.sleep(0.5)

        sybils = await stack.enter_async_context(
            joined(fabric, [f"sybil-{n}" for n in range(SYBILS_PER_NODE)])
        )
        async with trio.open_nursery() as nursery:
            for sybil in sybils:
                await sybil.connect(address_of("middle"))
                nursery.start_soon(spam, sybil)
            await trio.sleep(5)
            for number in range(20):
                await left.publish(TOPIC, b"from left %d" % number)
                await right.publish(TOPIC, b"from right %d" % number)
                await trio.sleep(1)
        assert middle.stats.gossip_not_forwarded > 1_000
        assert sum(data.startswith(b"from left") for data in arrived["right"]) == 20
        assert sum(data.startswith(b"from right") for data in arrived["left"]) == 20
        assert left.score("middle") == right.score("middle") == 0
        assert left.stats.gossip_over_limit == right.stats.gossip_over_limit == 0


CONNECTIONS = 1_000
MEMORY_LIMIT_KIB = 64 * 1024

JUNK_SENDER = """
import random, socket, sys
host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
rng = random.Random(1)
negotiated = bytes([19]) + b"/multistream/1.0.0\\n" + bytes([7]) + b"/noise\\n"
waiting = []
refused = 0
for number in range(count):
    junk = rng.randbytes(65536)
    kind = number % 4
    if kind == 1:
        junk = negotiated + b"\\xff\\xff" + junk
    elif kind == 2:
        junk = b"\\x13" + junk
    elif kind == 3:
        junk = negotiated + b"\\x00\\x20" + junk
    connection = socket.create_connection((host, port), timeout=10)
    connection.setblocking(False)
    try:
        connection.send(junk)
    except OSError:
        refused += 1
    waiting.append(connection)
    if len(waiting) > 200:
        waiting.pop(0).close()
print(count, "connections")
"""


def resident_kib() -> int:
    """Of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError("no VmRSS")


async def test_N6_junk_on_a_thousand_connections_neither_stops_gossip_nor_takes_memory() -> None:
    """The junk comes from another process, so what this one grows by is what two nodes keep of it."""
    async with open_line(2) as (victim, honest):
        _, _, host, _, port, *_ = victim.address.split("/")
        before_kib, highest_kib, published = resident_kib(), 0, 0
        async with trio.open_nursery() as nursery:
            command = [sys.executable, "-c", JUNK_SENDER, host, port, str(CONNECTIONS)]
            attack = await nursery.start(partial(trio.run_process, command, stdout=subprocess.DEVNULL))
            with trio.fail_after(60):
                while attack.returncode is None or published < 20:
                    data = b"through the junk %d" % published
                    await honest.network.publish(HOST_TOPIC, data)
                    await wait_for(lambda data=data: data in victim.received)
                    published += 1
                    highest_kib = max(highest_kib, resident_kib())
        await wait_for(lambda: not victim.network._switch._handshakes)
        assert attack.returncode == 0
        assert published >= 20
        assert highest_kib - before_kib < MEMORY_LIMIT_KIB
        assert victim.connected() == [honest.peer_id]
        assert victim.own_faults() == []
        assert victim.history_of(honest.peer_id) == ["up"]
