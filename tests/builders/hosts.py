"""Real hosts on loopback for tests of `p2p.host`: a node with everything that reached it, and waiting with a limit."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import trio

from p2p.host import HostConfig, LibP2PNetwork, open_network
from p2p.network import NetworkEvent, PeerConnected, PeerDisconnected, PeerId, PeerMisbehaved, Verdict

TOPIC = "/test/gossip/1"
ECHO = "/test/echo/1"
LIMIT_S = 10.0
"""No wait of these tests takes nearly as long; it is for loaded machines."""


@dataclass(eq=False)
class Node:
    """A host that subscribes to TOPIC, accepts everything there and answers ECHO with the request."""

    network: LibP2PNetwork
    received: list[bytes] = field(default_factory=list)
    events: list[NetworkEvent] = field(default_factory=list)
    verdict: Verdict = Verdict.ACCEPT

    @property
    def peer_id(self) -> PeerId:
        return self.network.peer_id

    @property
    def address(self) -> str:
        return self.network.listen_addresses[0]

    def connected(self) -> list[PeerId]:
        return [info.peer_id for info in self.network.peers()]

    def faults_of(self, peer: PeerId) -> list[str]:
        return [
            event.fault
            for event in self.events
            if isinstance(event, PeerMisbehaved) and event.peer_id == peer
        ]

    def own_faults(self) -> list[str]:
        return self.faults_of("")

    def history_of(self, peer: PeerId) -> list[str]:
        """ "up" and "down", as the events said."""
        history = []
        for event in self.events:
            if isinstance(event, PeerConnected) and event.peer.peer_id == peer:
                history.append("up")
            elif isinstance(event, PeerDisconnected) and event.peer_id == peer:
                history.append("down")
        return history

    def why_gone(self, peer: PeerId) -> str:
        return next(
            event.reason
            for event in self.events
            if isinstance(event, PeerDisconnected) and event.peer_id == peer
        )


def seed(number: int) -> bytes:
    """An identity seed for tests."""
    return number.to_bytes(32)


async def wait_for(condition: Callable[[], Any], limit_s: float = LIMIT_S) -> None:
    """Until `condition()` is true."""
    with trio.fail_after(limit_s):
        while not condition():  # noqa: ASYNC110 - conditions of foreign objects have no event
            await trio.sleep(0.002)


@asynccontextmanager
async def open_node(number: int, **config: Any) -> AsyncIterator[Node]:
    """One node with identity `number`."""
    async with open_network(HostConfig(identity_seed=seed(number), **config)) as network:
        node = Node(network)

        async def judge(peer: PeerId, data: bytes) -> Verdict:
            node.received.append(data)
            return node.verdict

        async def echo(peer: PeerId, data: bytes) -> bytes:
            return data

        async def collect() -> None:
            while True:
                node.events.append(await network.next_event())

        await network.subscribe(TOPIC, judge, max_bytes=600_000)
        await network.serve(ECHO, echo, max_request_bytes=600_000)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(collect)
            yield node
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def open_line(count: int, **config: Any) -> AsyncIterator[list[Node]]:
    """Nodes 1 to `count`, each connected to the next."""
    async with AsyncExitStack() as stack:
        nodes = [
            await stack.enter_async_context(open_node(number, **config)) for number in range(1, count + 1)
        ]
        for left, right in pairwise(nodes):
            await left.network.connect(right.address)
            await wait_for(lambda left=left, right=right: left.peer_id in right.connected())
        yield nodes


async def assert_gossip_flows(*nodes: Node, mark: str = "flows") -> None:
    """Each node's message reaches all others."""
    for index, node in enumerate(nodes):
        data = f"{mark} from {index}".encode()
        await node.network.publish(TOPIC, data)
        others = [other for other in nodes if other is not node]
        await wait_for(lambda data=data, others=others: all(data in other.received for other in others))
