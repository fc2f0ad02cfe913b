"""Four real node processes over real sockets: links are cut, stalled, reset and restored, and all end on one chain.

The links are seeded TCP proxies; as root, network namespaces with veth pairs too, where a cut takes the whole cable.
"""

import warnings
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from builders.namespaces import Network, command_prefix, in_namespace, two_switches, unavailable
from builders.node_processes import (
    NodeProcess,
    advanced,
    chain_indices,
    common_block,
    connected,
    prepare_nodes,
    reserved_port,
    running,
)
from builders.tcp_proxy import LinkShape, TcpProxy, cut_all, open_proxy, restore_all

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("processes")]

SLOT_MS = 500
SHAPE = LinkShape(latency_s=(0.005, 0.040), bytes_per_second=4_000_000)
UNREACHABLE = "/ip4/127.0.0.1/tcp/9"
"""What the nodes say of themselves, or they would find each other past the proxies."""


@dataclass(eq=False)
class Mesh:
    """Four nodes, a proxy on each of the six links: of the pair (later, earlier) the later one dials."""

    nodes: list[NodeProcess]
    links: dict[tuple[int, int], TcpProxy]

    def between(self, one: Sequence[int], other: Sequence[int]) -> list[TcpProxy]:
        """The links from one group to the other."""
        return [self.links[max(a, b), min(a, b)] for a in one for b in other]

    def group(self, numbers: Sequence[int]) -> list[NodeProcess]:
        """Nodes by number."""
        return [self.nodes[number - 1] for number in numbers]


@asynccontextmanager
async def proxied_mesh(directory: Path) -> AsyncIterator[Mesh]:
    """Running and connected."""
    nodes = prepare_nodes(directory, 4, slot_ms=SLOT_MS)
    async with AsyncExitStack() as stack:
        ports = {node.number: stack.enter_context(reserved_port()) for node in nodes}
        links: dict[tuple[int, int], TcpProxy] = {}
        for later in nodes:
            for earlier in nodes[: later.number - 1]:
                pair, target = (later.number, earlier.number), ("127.0.0.1", ports[earlier.number])
                proxy = open_proxy(SHAPE, seed=f"link {pair}", target=target)
                links[pair] = await stack.enter_async_context(proxy)

        def options(node: NodeProcess) -> list[str]:
            known = [
                f"/ip4/127.0.0.1/tcp/{links[node.number, other.number].address[1]}/p2p/{other.peer_id}"
                for other in nodes[: node.number - 1]
            ]
            listen = f"/ip4/127.0.0.1/tcp/{ports[node.number]}"
            return ["--p2p-listen", listen, "--p2p-announce", UNREACHABLE, "--bootstrap", ",".join(known)]

        async with running(nodes, options):
            for node in nodes:
                await connected(node, [other for other in nodes if other is not node])
            yield Mesh(nodes, links)


async def test_N11_one_chain_after_proxied_links_were_cut_stalled_reset_and_restored(tmp_path: Path) -> None:
    async with proxied_mesh(tmp_path) as mesh:
        reached = await common_block(mesh.nodes, above=1)
        halves = mesh.between((1, 2), (3, 4))
        cut_all(halves[:2])
        for link in halves[2:]:
            link.stall("from target")
        await connected(mesh.nodes[0], mesh.group([2]))
        await connected(mesh.nodes[3], mesh.group([3]))
        for link in mesh.between((1,), (2,)):
            link.reset()
        await advanced(mesh.nodes, by=2)
        await connected(mesh.nodes[0], mesh.group([2]))
        restore_all(halves)
        await common_block(mesh.nodes, above=max(reached, *await chain_indices(mesh.nodes)))


@pytest.fixture
def _namespaces_can_be_made() -> None:
    reason = unavailable()
    if reason:
        warnings.warn(f"REAL LINKS IN NETWORK NAMESPACES ARE NOT TESTED: {reason}", stacklevel=1)
        pytest.skip(reason)


@asynccontextmanager
async def namespaced_nodes(directory: Path, network: Network) -> AsyncIterator[list[NodeProcess]]:
    """A node on each host, running and connected."""
    nodes = prepare_nodes(directory, len(network.hosts), slot_ms=SLOT_MS)
    for node in nodes:
        node.prefix = tuple(command_prefix(network, node.number))
        node.inside = _inside(network.namespace(node.number))

    def options(node: NodeProcess) -> list[str]:
        known = [f"{_endpoint(other)}/p2p/{other.peer_id}" for other in nodes if other is not node]
        return ["--p2p-listen", _endpoint(node), "--bootstrap", ",".join(known)]

    async with running(nodes, options):
        for node in nodes:
            await connected(node, [other for other in nodes if other is not node])
        yield nodes


def _endpoint(node: NodeProcess) -> str:
    return f"/ip4/{Network.address(node.number)}/tcp/16110"


def _inside(name: str) -> Callable[[Callable[[], object]], object]:
    return partial(in_namespace, name)


@pytest.mark.usefixtures("_namespaces_can_be_made")
async def test_N11_one_chain_after_cables_between_namespaces_were_pulled_and_plugged_in(
    tmp_path: Path,
) -> None:
    """Three parts, {1}, {2} and {3, 4}: the trunk and the cable of node 2 are cut."""
    with two_switches(4) as network:
        async with namespaced_nodes(tmp_path, network) as nodes:
            reached = await common_block(nodes, above=1)
            network.cut_trunk()
            network.cut_host(2)
            for node in nodes[:2]:
                await connected(node, [])
            await connected(nodes[3], [nodes[2]])
            await advanced(nodes, by=2)
            network.restore_trunk()
            network.restore_host(2)
            await common_block(nodes, above=max(reached, *await chain_indices(nodes)))
