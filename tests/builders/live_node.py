"""One real node on a simulated wire, under a mock clock, for tests of a single node's behaviour.

Peers are bare endpoints of the fabric (`fabric.join`): what they send is bytes that a test chooses.
"""

import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import trio
from builders.blocks import FoundedChain

from consensus.params import slot_start_ms
from ledger.genesis_text import genesis_to_json
from ledger.keys import KeyPair
from ledger.storage.memory import MemoryStore
from ledger.storage.store import Store, WriteBatch
from node.config import NodeConfig
from node.daemon import NodeHandle, run_node
from node.env import Env, InlineWorkers, NetworkSettings, Workers
from node.keystore import write_validator_keys
from p2p.network import Network
from p2p.simulated import SimulatedFabric

T = TypeVar("T")


@dataclass
class WallClock:
    """Unix time that runs with trio's clock and can be set."""

    at_start_ms: int
    started_s: float = field(default_factory=trio.current_time)

    def __call__(self) -> int:
        """Now, in milliseconds."""
        return self.at_start_ms + int((trio.current_time() - self.started_s) * 1000)

    def step(self, by_ms: int) -> None:
        """Set the clock forwards or backwards."""
        self.at_start_ms += by_ms


def clock_at(chain: FoundedChain, slot: int, into_slot_ms: int = 100) -> WallClock:
    """A clock that stands in `slot`."""
    return WallClock(slot_start_ms(chain.params, slot) + into_slot_ms)


class KeptStores:
    """Stores by name that outlive the node: closing one keeps its content."""

    def __init__(self) -> None:
        self.contents: dict[str, dict[bytes, bytes]] = {}

    def open(self, path: Path) -> Store:
        """A store with what the last one of this name held."""
        return _KeptStore(self, path.name)


class _KeptStore(MemoryStore):
    def __init__(self, kept: KeptStores, name: str) -> None:
        super().__init__(name)
        self._kept = kept
        content = kept.contents.get(name)
        if content:
            self.write(WriteBatch(dict(content)), sync=True)

    def close(self) -> None:
        """Keep the content, then close."""
        if not self._closed:
            self._kept.contents[self.name] = dict(self._content)
        super().close()


class SlowWriter(InlineWorkers):
    """Workers whose writer takes a second of virtual time for each batch."""

    def __init__(self, batch_s: float = 1.0) -> None:
        self.batch_s = batch_s
        self.writing = 0

    async def run_writer(self, job: Callable[[], T]) -> T:
        """Count, wait, work."""
        self.writing += 1
        await trio.sleep(self.batch_s)
        try:
            return await super().run_writer(job)
        finally:
            self.writing -= 1


class Lines:
    """A log that remembers (level, event, facts)."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, Mapping[str, object]]] = []

    def __getattr__(self, level: str) -> Callable[..., None]:
        def write(event: str, **facts: object) -> None:
            self.lines.append((level, event, facts))

        return write

    def events(self, level: str | None = None) -> list[str]:
        """The events, of one level or of all."""
        return [event for at, event, _ in self.lines if level in (None, at)]


def prepare_directory(directory: Path, chain: FoundedChain, keys: Sequence[KeyPair]) -> None:
    """Genesis and key file, unless they are there."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "genesis.json").write_text(genesis_to_json(chain.genesis), encoding="utf-8")
    if keys and not (directory / "validators.json").exists():
        write_validator_keys(directory / "validators.json", keys)


@asynccontextmanager
async def live_node(
    fabric: SimulatedFabric,
    chain: FoundedChain,
    directory: Path,
    *,
    name: str = "node",
    clock: Callable[[], int],
    keys: Sequence[KeyPair] = (),
    bootstrap: Sequence[str] = (),
    stores: KeptStores | None = None,
    log: Lines | None = None,
    signer_socket: str = "",
    workers: Workers | None = None,
    checkpoint: str = "",
) -> AsyncIterator[NodeHandle]:
    """The node, running; leaving the block shuts it down in order. `keys`: the validators that it proposes for."""
    kept = KeptStores() if stores is None else stores
    prepare_directory(directory, chain, keys)

    def open_network(_settings: NetworkSettings) -> AbstractAsyncContextManager[Network]:
        return fabric.join(name)

    env = Env(
        now_ms=clock,
        random=random.Random(name),
        entropy=random.Random(f"secrets of {name}").randbytes,
        open_store=kept.open,
        open_network=open_network,
        workers=workers or InlineWorkers(),
    )
    config = NodeConfig(
        dir=str(directory),
        signer_socket=signer_socket,
        p2p_listen=("/memory",),
        bootstrap=tuple(bootstrap),
        rpc_port=-1,
        metrics_port=-1,
        checkpoint=checkpoint,
    )

    async def run(task_status: trio.TaskStatus[NodeHandle]) -> None:
        await run_node(env, config, log=log or Lines(), task_status=task_status)  # type: ignore[arg-type]

    async with trio.open_nursery() as nursery:
        handle: NodeHandle = await nursery.start(run)
        yield handle
        nursery.cancel_scope.cancel()
