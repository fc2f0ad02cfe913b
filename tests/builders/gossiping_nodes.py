"""A network of small gossiping nodes on a faulty wire, the whole p2p stack in each; prints or returns its trace hash.

Run as a script by the determinism test, in processes with different PYTHONHASHSEED: `python gossiping_nodes.py SEED`.
"""

import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import trio
from builders.deterministic import TraceHash, run_deterministic

from p2p.address_book import AddressBook
from p2p.discovery import keep_connected
from p2p.errors import NetworkError
from p2p.guarded import open_guarded
from p2p.network import PeerId, Verdict
from p2p.peer_exchange import exchange_peers
from p2p.peers import PeerBook
from p2p.simulated import SimulatedFabric
from p2p.simulated_links import LinkFaults

TOPIC = "/nexus/test/1"
FAULTY = LinkFaults(loss=0.05, delay_min_ms=20, delay_max_ms=400, duplication=0.05, corruption=0.001)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run did."""

    trace_hash: str
    counts: dict[str, int]
    received: dict[PeerId, int]


async def gossip_for(seed: int, names: Sequence[PeerId], seconds: float) -> Outcome:
    """Nodes publish and ask each other; every 7 s the wire is cut at random, every 11 s a node crashes."""
    rng = random.Random(seed)
    trace = TraceHash()
    received = dict.fromkeys(names, 0)
    scopes: dict[PeerId, trio.CancelScope] = {}

    async def node(name: PeerId, life: int) -> None:
        own = random.Random(f"{seed}/{name}/{life}")
        book = AddressBook(name.encode().ljust(16, b"\0"))
        with trio.CancelScope() as scopes[name]:
            async with (
                fabric.join(name) as wire,
                open_guarded(wire, PeerBook()) as network,
                trio.open_nursery() as tasks,
            ):

                async def judge(peer: PeerId, data: bytes) -> Verdict:
                    await trio.sleep(own.random() / 100)
                    received[name] += 1
                    return Verdict.ACCEPT if data.isascii() else Verdict.REJECT

                async def echo(peer: PeerId, data: bytes) -> bytes:
                    await trio.sleep(own.random() / 100)
                    return data

                await network.subscribe(TOPIC, judge, max_bytes=1_000)
                await network.serve("/echo/1", echo, max_request_bytes=1_000)
                bootstrap = [f"/memory/{names[0]}/p2p/{names[0]}", f"/memory/{names[1]}/p2p/{names[1]}"]
                tasks.start_soon(lambda: keep_connected(network, book, bootstrap, rng=own))
                tasks.start_soon(lambda: exchange_peers(network, book, network.report, rng=own))
                for number in range(1_000_000):
                    await trio.sleep(0.5 + own.random())
                    await network.publish(TOPIC, f"{name} {life} {number}".encode())
                    for info in network.peers()[:2]:
                        try:
                            await network.request(
                                info.peer_id, "/echo/1", b"x", max_reply_bytes=9, timeout_s=1
                            )
                        except NetworkError as error:
                            fabric.note("request failed", peer=name, error=str(error))

    async def crashes() -> None:
        for life in range(1, 1_000_000):
            await trio.sleep(11)
            name = names[rng.randrange(len(names))]
            fabric.crash(name)
            scopes[name].cancel()
            await trio.sleep(2)
            nursery.start_soon(node, name, life)

    async def cuts() -> None:
        while True:
            await trio.sleep(7)
            order = list(names)
            rng.shuffle(order)
            half = len(order) // 2
            fabric.partition([order[:half], order[half:]], sever_after_s=3)
            await trio.sleep(1 + 4 * rng.random())
            fabric.heal()

    async with SimulatedFabric(seed, faults=FAULTY, trace=trace) as fabric, trio.open_nursery() as nursery:
        for name in names:
            nursery.start_soon(node, name, 0)
        nursery.start_soon(crashes)
        nursery.start_soon(cuts)
        await trio.sleep(seconds)
        nursery.cancel_scope.cancel()
    assert not fabric.own_faults, fabric.own_faults
    return Outcome(trace.hexdigest, trace.counts, received)


def run(seed: int, nodes: int = 8, seconds: float = 60.0) -> Outcome:
    """Under virtual time."""
    names = [f"node-{number}" for number in range(nodes)]
    return run_deterministic(gossip_for, seed, seed, names, seconds)


if __name__ == "__main__":
    print(run(int(sys.argv[1]), nodes=6, seconds=20).trace_hash)
