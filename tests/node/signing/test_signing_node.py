"""Whole nodes that sign: two with one key, one that comes back, one whose signer is away."""

import threading
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import pytest
import trio
from builders.blocks import found_chain
from builders.live_node import KeptStores, Lines, clock_at, live_node
from builders.signing import slashable_pairs

from consensus.blocks import Header
from consensus.stores import blocks_by_slot, read_header
from ledger.storage.memory import MemoryStore
from ledger.storage.store import Reader, Store
from node.config import ConfigError
from node.signing.local_signer import LocalSigner
from node.signing.protection import SigningProtection
from node.signing.remote_signer import RETRY_AFTER_S
from node.signing.signer_server import SignerServer
from p2p.simulated import SimulatedFabric

CHAIN = found_chain(6, network="fast")
SLOT_S = CHAIN.params.slot_ms / 1000
WAIT_S = CHAIN.params.doppelganger_periods * CHAIN.params.period_slots * SLOT_S


def headers_of(store: Reader, proposer: int) -> list[Header]:
    """What a validator has signed, in the DAG."""
    headers = [read_header(store, entry.block_id) for entry in blocks_by_slot(store, 1)]
    return [header for header in headers if header is not None and header.proposer == proposer]


async def test_L22_of_two_nodes_with_one_key_the_second_signs_nothing(
    tmp_path: Path, autojump_clock: object
) -> None:
    clock, log = clock_at(CHAIN, 1), Lines()
    async with (
        SimulatedFabric(1) as fabric,
        live_node(fabric, CHAIN, tmp_path / "a", name="a", clock=clock, keys=CHAIN.keys) as first,
    ):
        await trio.sleep(10 * SLOT_S)
        async with live_node(
            fabric,
            CHAIN,
            tmp_path / "b",
            name="b",
            clock=clock,
            keys=CHAIN.keys[:1],
            bootstrap=["/memory/a/p2p/a"],
            log=log,
        ) as second:
            await trio.sleep(2 * WAIT_S)
            assert second.services.sync_status().state.value == "synchronised"
            signing = second.services.signing_report()
            assert signing["state"] == "doppelganger" and "Stop the other one" in str(signing["reason"])
            (alarm,) = [facts for _, event, facts in log.lines if event == "doppelganger seen"]
            assert "our keys: block" in str(alarm["error"])
            assert second.services.metrics.proposals.labels("made")._value.get() == 0
            for proposer in range(6):
                found = headers_of(first.services.store, proposer)
                assert found and slashable_pairs(found, []) == []


async def test_L22_a_node_that_comes_back_alone_waits_and_then_signs(
    tmp_path: Path, autojump_clock: object
) -> None:
    clock, stores, log = clock_at(CHAIN, 1), KeptStores(), Lines()
    async with SimulatedFabric(1) as fabric:
        async with live_node(fabric, CHAIN, tmp_path, clock=clock, keys=CHAIN.keys, stores=stores):
            await trio.sleep(10 * SLOT_S)
        async with live_node(
            fabric, CHAIN, tmp_path, clock=clock, keys=CHAIN.keys, stores=stores, log=log
        ) as node:
            slot = node.services.head.slot
            assert node.services.signing_report()["state"] == "waiting"
            await trio.sleep(WAIT_S - SLOT_S)
            assert node.services.head.slot == slot
            assert node.services.metrics.proposals.labels("waiting")._value.get() > 0
            await trio.sleep(4 * SLOT_S)
            assert node.services.signing_report()["state"] == "ready"
            assert node.services.head.slot > slot
    assert "doppelganger wait" in log.events("info")


@contextmanager
def signer_thread(path: Path, store: Store) -> Iterator[None]:
    """A remote signer with the chain's keys on a loop and a clock of its own, while the block lasts."""
    protection = SigningProtection(store, CHAIN.params.genesis_hash)
    server = SignerServer(
        LocalSigner(CHAIN.keys, protection),
        CHAIN.params.genesis_hash,
        log=Lines(),  # type: ignore[arg-type]
    )
    started, stop = threading.Event(), trio.Event()
    token: list[trio.lowlevel.TrioToken] = []

    async def serve() -> None:
        token.append(trio.lowlevel.current_trio_token())
        async with trio.open_nursery() as nursery:
            await nursery.start(server.run, path)
            started.set()
            await stop.wait()
            nursery.cancel_scope.cancel()

    thread = threading.Thread(target=trio.run, args=(serve,), daemon=True)
    thread.start()
    assert started.wait(60)
    try:
        yield
    finally:
        token[0].run_sync_soon(stop.set)
        thread.join(60)


@pytest.mark.xdist_group("processes")
async def test_a_node_misses_slots_while_its_remote_signer_is_away_and_goes_on_when_it_is_back(
    tmp_path: Path, autojump_clock: object
) -> None:
    clock, log, store = clock_at(CHAIN, 1), Lines(), MemoryStore()
    path = tmp_path / "s"
    async with SimulatedFabric(1) as fabric, AsyncExitStack() as stack:
        with signer_thread(path, store):
            node = await stack.enter_async_context(
                live_node(fabric, CHAIN, tmp_path, clock=clock, log=log, signer_socket=str(path))
            )
            await trio.sleep(6 * SLOT_S)
            assert node.services.signing_report()["state"] == "ready"
            assert node.services.validator_indices == tuple(range(6))
            before = node.services.head.slot
            assert before > 3
        await trio.sleep(6 * SLOT_S)
        proposals = node.services.metrics.proposals
        assert proposals.labels("signer_unavailable")._value.get() > 0
        assert node.services.signing_report()["state"] == "unavailable"
        assert node.services.head.slot <= before + 1
        # The signer's patience runs on a real clock, which stands beside the node's.
        time.sleep(2 * RETRY_AFTER_S)  # noqa: ASYNC251
        with signer_thread(path, store):
            await trio.sleep(6 * SLOT_S)
            assert node.services.signing_report()["state"] == "ready"
            assert node.services.head.slot > before + 2
            found = [headers_of(node.services.store, proposer) for proposer in range(6)]
            assert all(slashable_pairs(headers, []) == [] for headers in found)
            await stack.aclose()


async def test_a_node_whose_signer_is_away_runs_and_says_so(tmp_path: Path, autojump_clock: object) -> None:
    clock, log = clock_at(CHAIN, 1), Lines()
    async with (
        SimulatedFabric(1) as fabric,
        live_node(
            fabric, CHAIN, tmp_path, clock=clock, log=log, signer_socket=str(tmp_path / "nobody")
        ) as node,
    ):
        await trio.sleep(5)
        signing = node.services.signing_report()
        assert signing["state"] == "unavailable" and "nexus validator signer" in str(signing["reason"])
        assert node.services.validator_indices == ()
        assert log.events("error") == ["signer unavailable"]


async def test_L22_keys_at_hand_and_a_remote_signer_are_refused_together(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with SimulatedFabric(1) as fabric:
        node = live_node(
            fabric,
            CHAIN,
            tmp_path,
            clock=clock_at(CHAIN, 1),
            keys=CHAIN.keys,
            signer_socket=str(tmp_path / "s"),
        )
        with pytest.raises(ExceptionGroup) as caught:
            await node.__aenter__()
    assert caught.group_contains(ConfigError, match="two signers")
