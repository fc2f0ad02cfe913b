"""Endpoints on a simulated wire, joined and connected in one line."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from p2p.network import PeerId, Verdict
from p2p.simulated import SimulatedFabric
from p2p.simulated_network import SimulatedNetwork

TOPIC = "/nexus/test/1"


def address_of(peer_id: PeerId) -> str:
    """Where a peer of this name listens, unless it joined elsewhere."""
    return f"/memory/{peer_id}/p2p/{peer_id}"


@asynccontextmanager
async def joined(fabric: SimulatedFabric, names: Sequence[PeerId]) -> AsyncIterator[list[SimulatedNetwork]]:
    """One endpoint per name, not connected."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(fabric.join(name)) for name in names]


@asynccontextmanager
async def in_a_line(
    fabric: SimulatedFabric, names: Sequence[PeerId]
) -> AsyncIterator[list[SimulatedNetwork]]:
    """Each connected to the next: the earlier one dials."""
    async with joined(fabric, names) as networks:
        for network, after in zip(networks, names[1:], strict=False):
            await network.connect(address_of(after))
        yield networks


@asynccontextmanager
async def all_connected(
    fabric: SimulatedFabric, names: Sequence[PeerId]
) -> AsyncIterator[list[SimulatedNetwork]]:
    """Every pair connected."""
    async with joined(fabric, names) as networks:
        for index, network in enumerate(networks):
            for after in names[index + 1 :]:
                await network.connect(address_of(after))
        yield networks


class Inbox:
    """What a node's validator was given, and what it says about it."""

    def __init__(self, verdict: Verdict = Verdict.ACCEPT) -> None:
        self.verdict = verdict
        self.received: list[tuple[PeerId, bytes]] = []

    @property
    def messages(self) -> list[bytes]:
        """Without the senders."""
        return [data for _, data in self.received]

    async def judge(self, peer: PeerId, data: bytes) -> Verdict:
        """A `Validator`."""
        self.received.append((peer, data))
        return self.verdict
