"""Leaving takes bounded time, whatever a thread is busy with."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import trio
from builders.chain import devnet, new_engine
from builders.live_node import Lines

from ledger.storage.memory import MemoryStore
from ledger.storage.store import Store
from node.chain_context import ChainContext
from node.env import ThreadWorkers, real_env
from node.measuring import Auditor
from node.metrics import Metrics
from node.opening import CLOSE_S, opened_store

PATIENCE_S = 5.0
"""After which the threads of these tests give up, so that a failing one ends."""


class EndlessStore(MemoryStore):
    """Its snapshot has so many accounts that reading them all takes longer than anybody waits."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Event()
        self.stop = threading.Event()

    def snapshot(self) -> "EndlessSnapshot":  # type: ignore[override]
        return EndlessSnapshot(self)


class EndlessSnapshot:
    """The first account again and again."""

    def __init__(self, store: EndlessStore) -> None:
        self._store = store
        self._accounts = [
            (key, value) for key, value in sorted(store._content.items()) if key.startswith(b"sa")
        ]

    def iterate(
        self, _prefix: bytes, *, start: bytes | None = None, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        while not self._store.stop.wait(0.001):
            self._store.begun.set()
            yield self._accounts[0]

    def close(self) -> None:
        pass


async def test_R20_an_audit_of_any_length_does_not_hold_up_the_shutdown() -> None:
    founded, store = devnet(), EndlessStore()
    full = MemoryStore()
    engine = new_engine(founded, full)
    store._content.update(full._content)
    chain = ChainContext(
        founded.genesis, engine.params, engine.rules, engine.registry, engine.schedule, store, lambda: 0
    )
    auditor = Auditor(chain, ThreadWorkers(1), metrics=Metrics(process=False), log=Lines())  # type: ignore[arg-type]
    give_up = threading.Timer(PATIENCE_S, store.stop.set)
    give_up.start()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(auditor.run)
        await trio.to_thread.run_sync(store.begun.wait, PATIENCE_S)
        started_s = trio.current_time()
        nursery.cancel_scope.cancel()
    assert trio.current_time() - started_s < 1
    give_up.cancel()


async def test_R20_a_store_that_hangs_while_closing_is_left_behind(tmp_path: Path) -> None:
    release = threading.Event()

    class HangingStore(MemoryStore):
        def close(self) -> None:
            release.wait(PATIENCE_S)

    def open_store(_directory: Path) -> Store:
        return HangingStore()

    env = replace(real_env(), open_store=open_store)
    async with opened_store(env, tmp_path):
        started_s = trio.current_time()
    assert trio.current_time() - started_s < CLOSE_S + 1
    release.set()
