"""`Env`: everything that enters the node from outside, in one record.

Clock, randomness, entropy, stores, workers and the network come in here and nowhere else, so that the node which runs
under a simulation is the node that runs for real: only this record differs. Timers and deadlines use trio's clock
(`trio.current_time`, `trio.sleep`), which a simulation replaces with a mock.
"""

import os
import random
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import trio

from ledger.storage.database import Database
from ledger.storage.store import Store
from node.layout import schema_version
from p2p.network import Network

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """What a network endpoint needs to know."""

    identity_seed: bytes
    """32 bytes, the seed of the Ed25519 key that is our peer id."""
    listen: tuple[str, ...]
    """Multiaddresses to listen on; port 0 lets the system choose."""
    max_connections: int
    announce: tuple[str, ...] = ()
    """Multiaddresses that others reach us at, where they differ from `listen`."""


class Workers(Protocol):
    """Where CPU work and blocking I/O go, so that the event loop never waits for either."""

    async def run_writer(self, job: Callable[[], T]) -> T:
        """Run on the single writer; jobs run one at a time, in the order of their calls. Not cancellable midway."""
        ...

    async def run_reader(self, job: Callable[[], T]) -> T:
        """Run a short blocking read (a store look-up) beside others."""
        ...

    async def run_verifier(self, job: Callable[[], T]) -> T:
        """Run CPU work that releases the GIL (signatures), at most `verifiers` at once."""
        ...

    async def run_signer(self, job: Callable[[], T]) -> T:
        """Run a call of a signer, which may wait for a disk or a socket up to 2 s, beside others. Not cancellable."""
        ...

    async def run_closer(self, job: Callable[[], T]) -> T:
        """Run what gives something back at the end. When cancelled midway it is left to itself."""
        ...

    @property
    def verifiers(self) -> int:
        """How many verifier jobs make progress at once; callers split work into that many pieces."""
        ...


class ThreadWorkers:
    """Workers as threads: one writer, a few readers and signers, as many verifiers as there are cores."""

    def __init__(self, cores: int) -> None:
        """`cores` is the number of verifier threads (>= 1)."""
        self.verifiers = cores
        self._writer = trio.CapacityLimiter(1)
        self._readers = trio.CapacityLimiter(4)
        self._verifier_limit = trio.CapacityLimiter(cores)
        self._signers = trio.CapacityLimiter(4)

    async def run_writer(self, job: Callable[[], T]) -> T:
        """See `Workers`."""
        return await trio.to_thread.run_sync(job, limiter=self._writer)

    async def run_reader(self, job: Callable[[], T]) -> T:
        """See `Workers`."""
        return await trio.to_thread.run_sync(job, limiter=self._readers)

    async def run_verifier(self, job: Callable[[], T]) -> T:
        """See `Workers`."""
        return await trio.to_thread.run_sync(job, limiter=self._verifier_limit)

    async def run_signer(self, job: Callable[[], T]) -> T:
        """See `Workers`."""
        return await trio.to_thread.run_sync(job, limiter=self._signers)

    async def run_closer(self, job: Callable[[], T]) -> T:
        """See `Workers`."""
        return await trio.to_thread.run_sync(job, abandon_on_cancel=True)


class InlineWorkers:
    """Workers of a simulation: each job runs at once on the caller's task, between two checkpoints."""

    verifiers = 1

    async def run_writer(self, job: Callable[[], T]) -> T:
        """See `Workers`."""
        await trio.lowlevel.checkpoint()
        return job()

    async def run_reader(self, job: Callable[[], T]) -> T:
        """See `Workers`."""
        await trio.lowlevel.checkpoint()
        return job()

    async def run_verifier(self, job: Callable[[], T]) -> T:
        """See `Workers`."""
        await trio.lowlevel.checkpoint()
        return job()

    async def run_signer(self, job: Callable[[], T]) -> T:
        """See `Workers`."""
        await trio.lowlevel.checkpoint()
        return job()

    async def run_closer(self, job: Callable[[], T]) -> T:
        """See `Workers`."""
        await trio.lowlevel.checkpoint()
        return job()


@dataclass(frozen=True, slots=True)
class Env:
    """The node's outside."""

    now_ms: Callable[[], int]
    """Wall clock, milliseconds since the Unix epoch."""
    random: random.Random
    """For choices that need not be secret: jitter, which peer to ask."""
    entropy: Callable[[int], bytes]
    """n bytes fit for keys."""
    open_store: Callable[[Path], Store]
    """Opens (or creates) the store of a data directory. Errors: those of `ledger.storage.errors`."""
    open_network: Callable[[NetworkSettings], AbstractAsyncContextManager[Network]]
    """Opens the endpoint; leaving the context closes it. Errors: `BindFailed`."""
    workers: Workers


def _wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


def _open_database(directory: Path) -> Store:
    return Database(directory, schema_version=schema_version(directory))


def _open_libp2p(settings: NetworkSettings) -> AbstractAsyncContextManager[Network]:
    # Imported here: libp2p costs over a second, and neither simulation nor `db` commands need it.
    from p2p.host import HostConfig, open_network

    return open_network(
        HostConfig(
            identity_seed=settings.identity_seed,
            listen=settings.listen,
            max_connections=settings.max_connections,
            announce=settings.announce,
        )
    )


def real_env() -> Env:
    """The real outside: system clock, LevelDB, libp2p, threads."""
    return Env(
        now_ms=_wall_clock_ms,
        random=random.SystemRandom(),
        entropy=os.urandom,
        open_store=_open_database,
        open_network=_open_libp2p,
        workers=ThreadWorkers(len(os.sched_getaffinity(0))),
    )
