"""One simulated node over all its lives: what is outside of `run_node`, and how a life begins and ends."""

import io
import random
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import trio
from builders.ledger import GENESIS_TIME_MS
from faults.faulty_store import Crash, FaultyDisk

from consensus.errors import FinalityConflict
from consensus.stores import Head
from ledger.storage.errors import StoreError
from ledger.storage.store import Store
from node.config import NodeConfig
from node.daemon import NodeHandle, run_node
from node.env import Env, NetworkSettings
from node.layout import SIGNER_DIRECTORY
from node.logs import Redactor, open_log
from p2p.network import Network
from p2p.simulated import SimulatedFabric

T = TypeVar("T")

DATABASE = "db"


class SimulatedWorkers:
    """Workers that run each job at once, as in `InlineWorkers`; what goes to a disk takes the disk's time first."""

    verifiers = 1

    def __init__(self, delay_s: Callable[[], float]) -> None:
        """`delay_s`: how slow the disk is now."""
        self._delay_s = delay_s
        self._disk = trio.Lock()

    async def run_writer(self, job: Callable[[], T]) -> T:
        """In the order of calls."""
        async with self._disk:
            await trio.sleep(self._delay_s())
            return job()

    async def run_signer(self, job: Callable[[], T]) -> T:
        """Beside the writer."""
        await trio.sleep(self._delay_s())
        return job()

    async def run_reader(self, job: Callable[[], T]) -> T:
        """At once."""
        await trio.lowlevel.checkpoint()
        return job()

    async def run_verifier(self, job: Callable[[], T]) -> T:
        """At once."""
        await trio.lowlevel.checkpoint()
        return job()

    async def run_closer(self, job: Callable[[], T]) -> T:
        """At once."""
        await trio.lowlevel.checkpoint()
        return job()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all nodes of a run share."""

    seed: int
    fabric: SimulatedFabric
    names: tuple[str, ...]
    may_halt: bool


class SimulatedNode:
    """A node, its disks and its clock."""

    def __init__(
        self, number: int, directory: Path, around: Surroundings, offset_ms: int, *, honest: bool
    ) -> None:
        self.number = number
        self.name = around.names[number]
        self.directory = directory
        self.honest = honest
        self.offset_ms = offset_ms
        """How wrong its clock is."""
        self.disk_delay_s = 0.0
        self.life = 0
        chance = random.Random(f"disks/{around.seed}/{self.name}")
        self.disks = {
            store: FaultyDisk(chance.getrandbits(32), f"{self.name}/{store}")
            for store in (DATABASE, SIGNER_DIRECTORY)
        }
        self.handle: NodeHandle | None = None
        self.scope = trio.CancelScope()
        self.ended = trio.Event()
        self.may_end = False
        """This life was told to crash, or one of its writes to fail."""
        self.halted: FinalityConflict | None = None
        """It stopped for good: final checkpoints contradict each other."""
        self.committed: Head | None = None
        """The last head that the node told of: it must be there after any crash."""
        self.finalised_period = 0
        """The highest that it told of."""
        self.finalised_index = 0
        """Chain index of that block."""
        self.log = io.StringIO()
        self._up = trio.Event()
        """Set, and replaced, when a life has begun."""
        self._around = around

    @property
    def runs(self) -> bool:
        """Whether it is up, and not about to end."""
        return self.handle is not None and not self.may_end

    async def is_up(self) -> None:
        """Wait until it runs."""
        while not self.runs:
            await self._up.wait()

    def now_ms(self) -> int:
        """What its clock shows."""
        return true_time_ms() + self.offset_ms

    async def live(self, follow: Callable[["SimulatedNode", NodeHandle], Awaitable[None]]) -> None:
        """One life, from start to its end, whatever ends it. `follow` runs beside the node."""
        self.life += 1
        self.may_end = False
        self.scope, self.ended = trio.CancelScope(), trio.Event()
        log = open_log(level="info", style="json", now_ms=true_time_ms, redactor=Redactor(), stream=self.log)
        env, config = self._env(), self._config()

        async def run(task_status: trio.TaskStatus[NodeHandle]) -> None:
            await run_node(env, config, log=log, task_status=task_status)

        try:
            with self.scope:
                async with trio.open_nursery() as nursery:
                    self.handle = await nursery.start(run)
                    self._up.set()
                    self._up = trio.Event()
                    await follow(self, self.handle)
        except BaseExceptionGroup as group:
            conflict, rest = group.split(FinalityConflict)
            if conflict is not None and rest is None and self._around.may_halt:
                self.halted = _first(conflict)
            elif group.split(StoreError)[1] is not None or not self.may_end:
                raise
            self.crash_disks(Crash.KEEP_ALL)
        finally:
            self.handle = None
            self.ended.set()

    def crash(self, kind: Crash) -> None:
        """The process dies, now. A fault of the disk that was to come does not."""
        self.may_end = True
        self.handle = None
        if self.name in self._around.fabric.running():
            self._around.fabric.crash(self.name)
        self.mend_disks()
        self.crash_disks(kind)
        self.scope.cancel()

    def crash_disks(self, kind: Crash) -> None:
        """What happens to the writes when the process ends."""
        for disk in self.disks.values():
            disk.crash(kind)

    def mend_disks(self) -> None:
        """No write fails any more; a node whose disk was about to fail lives on."""
        for disk in self.disks.values():
            disk.mend()
        self.may_end = self.may_end and self.handle is None

    def _env(self) -> Env:
        """The outside of one life."""
        life = f"{self._around.seed}/{self.name}/{self.life}"

        def open_store(path: Path) -> Store:
            return self.disks[path.name].open()

        def open_network(_settings: NetworkSettings) -> AbstractAsyncContextManager[Network]:
            return self._around.fabric.join(self.name)

        return Env(
            now_ms=self.now_ms,
            random=random.Random(life),
            entropy=random.Random(f"secrets/{life}").randbytes,
            open_store=open_store,
            open_network=open_network,
            workers=SimulatedWorkers(lambda: self.disk_delay_s),
        )

    def _config(self) -> NodeConfig:
        """Everybody knows the next two."""
        names = self._around.names
        known = {names[(self.number + step) % len(names)] for step in (1, 2)} - {self.name}
        return NodeConfig(
            dir=str(self.directory),
            p2p_listen=(f"/memory/{self.name}",),
            bootstrap=tuple(f"/memory/{name}/p2p/{name}" for name in sorted(known)),
            outbound_peers=max(1, min(4, len(names) - 1)),
            rpc_port=-1,
            metrics_port=-1,
        )


def true_time_ms() -> int:
    """Of no node's clock."""
    return GENESIS_TIME_MS + int(trio.current_time() * 1000)


def _first(group: BaseExceptionGroup[FinalityConflict]) -> FinalityConflict:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, FinalityConflict)
    return error
