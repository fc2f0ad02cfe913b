"""A js-libp2p peer (Noise, Yamux, identify, ping, gossipsub) against our host and against a real node.

`make interop` installs the peer's packages and runs this; `make test` does too where npm is present.
"""

import json
import shutil
import subprocess
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trio
from builders.commands import devnet
from builders.hosts import TOPIC, Node, open_node, wait_for
from libp2p.custom_types import TProtocol

from node.flows.wire import MAX_BLOCK_MESSAGE_BYTES, blocks_topic
from p2p.identity import parse_peer_id
from p2p.network import PeerId, Verdict

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("processes")]

HERE = Path(__file__).parent
OLDEST_NODE_JS = 20
LIMIT_S = 60.0
PING = TProtocol("/ipfs/ping/1.0.0")


def missing() -> str:
    """Why the peer cannot run here; empty when it can."""
    program = shutil.which("node")
    if program is None:
        return "Node.js is not installed"
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.lstrip("v").split(".")[0]) < OLDEST_NODE_JS:
        return f"Node.js {version.strip()} is older than {OLDEST_NODE_JS}"
    if not (HERE / "node_modules" / "libp2p").is_dir():
        return "the packages of tests/interop are not installed; `make interop` does"
    return ""


@pytest.fixture(autouse=True)
def _peer_can_run() -> None:
    reason = missing()
    if reason:
        warnings.warn(f"INTEROPERABILITY WITH js-libp2p IS NOT TESTED: {reason}", stacklevel=1)
        pytest.skip(reason)


@dataclass(eq=False)
class JsPeer:
    """The running peer."""

    process: trio.Process
    events: list[dict[str, Any]] = field(default_factory=list)

    def of(self, event: str) -> list[dict[str, Any]]:
        """The events of one kind, so far."""
        return [found for found in self.events if found["event"] == event]

    @property
    def address(self) -> str:
        return str(self.of("started")[0]["addresses"][0])

    @property
    def peer_id(self) -> PeerId:
        return self.address.rpartition("/")[2]

    @property
    def received(self) -> list[bytes]:
        """Gossip."""
        return [bytes.fromhex(found["data"]) for found in self.of("message")]

    async def read(self) -> None:
        """Take in what it says."""
        assert self.process.stdout is not None
        rest = b""
        async for block in self.process.stdout:
            *lines, rest = (rest + block).split(b"\n")
            self.events += [json.loads(line) for line in lines]

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait; on failure say what it said last."""
        try:
            await wait_for(condition, LIMIT_S)
        except trio.TooSlowError:
            raise AssertionError(f"the peer's last words: {self.events[-5:]}") from None

    async def order(self, order: str, **facts: Any) -> dict[str, Any]:
        """Have it do something; what came of it."""
        assert self.process.stdin is not None
        before = len(self.of("done"))
        await self.process.stdin.send_all(json.dumps({"order": order, **facts}).encode() + b"\n")
        await self.until(lambda: len(self.of("done")) > before or self.of("failed"))
        assert not self.of("failed"), self.of("failed")
        return self.of("done")[-1]


@asynccontextmanager
async def js_peer(topic: str) -> AsyncIterator[JsPeer]:
    """It listens and takes part in `topic`."""
    async with trio.open_nursery() as nursery:
        process = await trio.lowlevel.open_process(
            ["node", str(HERE / "peer.mjs"), topic], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        peer = JsPeer(process)
        try:
            nursery.start_soon(peer.read)
            await peer.until(lambda: peer.of("started"))
            yield peer
        finally:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
            nursery.cancel_scope.cancel()


async def ping(node: Node, peer: PeerId, payload: bytes) -> bytes:
    """What the peer answers to a ping of 32 bytes."""
    stream = await node.network._switch.new_stream(parse_peer_id(peer), [PING])
    await stream.write(payload)
    echo = b""
    with trio.fail_after(10):
        while len(echo) < len(payload):
            echo += await stream.read(len(payload) - len(echo))
    await stream.close()
    return echo


@pytest.mark.parametrize("who_dials", ["we dial", "it dials"])
async def test_gossip_identify_and_ping_go_both_ways(who_dials: str) -> None:
    async with open_node(1) as node, js_peer(TOPIC) as peer:
        if who_dials == "we dial":
            await node.network.connect(peer.address)
        else:
            spoken = await peer.order("dial", address=node.address)
            assert (spoken["encryption"], spoken["multiplexer"]) == ("/noise", "/yamux/1.0.0")
        await peer.until(lambda: peer.of("identified"))
        identity = peer.of("identified")[0]
        assert identity["peer"] == node.peer_id and identity["agent"] == "nexusos"
        assert "/meshsub/1.2.0" in identity["protocols"]
        assert (await peer.order("ping", address=node.address))["milliseconds"] < 5_000
        assert await ping(node, peer.peer_id, bytes(range(32))) == bytes(range(32))
        for data in (b"small", bytes(range(256)) * 1_000):
            await node.network.publish(TOPIC, data)
            await peer.until(lambda data=data: data in peer.received)
        for data in (b"back", bytes(range(255, -1, -1)) * 1_000):
            await peer.order("publish", data=data.hex())
            await peer.until(lambda data=data: data in node.received)
        assert node.own_faults() == [] and node.faults_of(peer.peer_id) == []
        assert node.history_of(peer.peer_id) == ["up"]


async def test_it_receives_the_live_blocks_of_a_running_node_and_answers_ping(tmp_path: Path) -> None:
    """A host of ours listens beside it: both hear the same bytes."""
    heard: list[bytes] = []

    async def judge(peer: PeerId, data: bytes) -> Verdict:
        heard.append(data)
        return Verdict.IGNORE

    with devnet(tmp_path, "--nodes", "1", "--validators", "6", "--slot-ms", "500") as network:
        topic = blocks_topic(network["chain_id"])
        async with js_peer(topic) as peer, open_node(1) as witness:
            address = network["nodes"][0]["p2p"]
            await witness.network.subscribe(topic, judge, max_bytes=MAX_BLOCK_MESSAGE_BYTES)
            await witness.network.connect(address)
            await peer.order("dial", address=address)
            await peer.until(lambda: len(set(peer.received) & set(heard)) >= 4)
            assert (await peer.order("ping", address=address))["milliseconds"] < 5_000
            await witness.network.connect(peer.address)
            assert await ping(witness, peer.peer_id, b"\x5a" * 32) == b"\x5a" * 32
            node_id = address.rpartition("/")[2]
            assert node_id in {found["peer"] for found in peer.of("identified")}
            assert node_id not in {found["peer"] for found in peer.of("disconnected")}
