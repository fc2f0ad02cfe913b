"""Real node processes whose links a test controls: started all at once, asked by RPC, always ended."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import trio

from cli.connection import read_json_file
from cli.devnet_files import create_devnet
from node.keystore import write_identity
from node.layout import identity_path
from node.rpc.client import RpcCallFailed, RpcClient, RpcTimeout, RpcUnreachable
from p2p.identity import key_pair_from_seed, peer_id_of

LIMIT_S = 60.0
POLL_S = 0.05


def _here(job: Callable[[], Any]) -> Any:
    return job()


@dataclass(eq=False)
class NodeProcess:
    """One node. `number` from 1."""

    number: int
    directory: Path
    peer_id: str
    prefix: tuple[str, ...] = ()
    """Of its command line."""
    inside: Callable[[Callable[[], Any]], Any] = _here
    """Runs a job where the node's addresses can be reached."""
    process: subprocess.Popen[bytes] | None = None
    endpoints: dict[str, Any] = field(default_factory=dict)

    async def call(self, method: str, **params: Any) -> Any:
        """The result of an RPC."""

        def job() -> Any:
            client = RpcClient(self.endpoints["rpc"], timeout_s=10.0)
            try:
                return client.call(method, **params)
            finally:
                client.close()

        return await trio.to_thread.run_sync(partial(self.inside, job))

    def last_words(self) -> str:
        """The end of its log."""
        return "\n".join((self.directory / "node.log").read_text(errors="replace").splitlines()[-8:])


@contextmanager
def reserved_port() -> Iterator[int]:
    """A port of loopback that the system gives nobody else in the block, and that a node may listen on."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def prepare_nodes(directory: Path, count: int, *, slot_ms: int) -> list[NodeProcess]:
    """Directories with keys, three validators each, and identities that are known before the nodes start."""
    create_devnet(
        directory, validators=3 * count, nodes=count, slot_ms=slot_ms, now_ms=time.time_ns() // 1_000_000
    )
    nodes = []
    for number in range(1, count + 1):
        seed = number.to_bytes(32)
        write_identity(identity_path(directory / f"node{number}"), seed)
        peer_id = peer_id_of(key_pair_from_seed(seed)).to_base58()
        nodes.append(NodeProcess(number, directory / f"node{number}", peer_id))
    return nodes


@asynccontextmanager
async def running(
    nodes: Sequence[NodeProcess], options: Callable[[NodeProcess], Sequence[str]]
) -> AsyncIterator[None]:
    """All of them with their `options`, from when each serves until the end of the block."""
    try:
        for node in nodes:
            command = [*node.prefix, sys.executable, "-m", "cli", "run", "--dir", str(node.directory)]
            command += ["--rpc-port", "0", "--metrics-port", "-1", "--log-format", "json", *options(node)]
            with (node.directory / "node.log").open("ab") as log:
                node.process = subprocess.Popen(  # noqa: ASYNC220 - it returns at once, and is waited for below
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
                )
        for node in nodes:
            await _await_endpoints(node)
        yield
    finally:
        for node in nodes:
            if node.process is not None and node.process.poll() is None:
                os.kill(node.process.pid, signal.SIGTERM)
        for node in nodes:
            if node.process is not None:
                try:
                    node.process.wait(timeout=10)
                except subprocess.TimeoutExpired:
                    node.process.kill()
                    node.process.wait()


async def _await_endpoints(node: NodeProcess) -> None:
    path = node.directory / "endpoints.json"

    async def serves() -> bool:
        assert node.process is not None and node.process.poll() is None, node.last_words()
        return path.exists()

    await until(serves, [node])
    node.endpoints = read_json_file(path)


async def until(condition: Callable[[], Awaitable[Any]], nodes: Sequence[NodeProcess]) -> Any:
    """What `condition` returns as soon as that is true. A node that does not answer yet is waited for."""
    deadline = time.monotonic() + LIMIT_S
    while True:
        try:
            found = await condition()
        except (RpcUnreachable, RpcTimeout, RpcCallFailed):
            found = None
        if found:
            return found
        assert time.monotonic() < deadline, "\n".join(
            f"node {node.number}:\n{node.last_words()}" for node in nodes
        )
        await trio.sleep(POLL_S)


async def chain_indices(nodes: Sequence[NodeProcess]) -> list[int]:
    """Of their heads."""
    return [int((await node.call("chain_head"))["chain_index"]) for node in nodes]


async def common_block(nodes: Sequence[NodeProcess], *, above: int) -> int:
    """Wait until all nodes have the same block at one chain index above `above`; that index."""

    async def equal() -> int:
        index = min(await chain_indices(nodes))
        if index <= above:
            return 0
        ids = {(await node.call("chain_getBlock", index=index))["id"] for node in nodes}
        return index if len(ids) == 1 else 0

    return int(await until(equal, nodes))


async def advanced(nodes: Sequence[NodeProcess], *, by: int) -> None:
    """Wait until each node's chain is so much longer than now."""
    before = await chain_indices(nodes)

    async def longer() -> bool:
        return all(now >= then + by for now, then in zip(await chain_indices(nodes), before, strict=True))

    await until(longer, nodes)


async def connected(node: NodeProcess, others: Sequence[NodeProcess]) -> None:
    """Wait until exactly these are the node's peers."""
    wanted = sorted(other.peer_id for other in others)

    async def as_wanted() -> bool:
        found = (await node.call("node_peers"))["peers"]
        return sorted(peer["peer_id"] for peer in found) == wanted

    await until(as_wanted, [node])
