"""Bans outlive the node: an attacker gains nothing by making it restart (reliability, network rows)."""

from pathlib import Path

import pytest
import trio
from builders.blocks import found_chain
from builders.deterministic import on_virtual_time
from builders.live_node import Lines, clock_at, live_node
from builders.simulated_peers import address_of

from node.layout import bans_path
from p2p.errors import PeerBanned
from p2p.guarded import GuardedNetwork
from p2p.peers import Fault
from p2p.simulated import SimulatedFabric


@on_virtual_time
async def test_a_ban_holds_over_a_restart_and_ends_when_it_would_have(tmp_path: Path) -> None:
    chain = found_chain()
    clock = clock_at(chain, 1)
    async with SimulatedFabric(1) as fabric, fabric.join("bad") as bad, fabric.join("good") as good:
        async with live_node(fabric, chain, tmp_path, clock=clock) as node:
            await bad.connect(address_of("node"))
            assert isinstance(node.services.network, GuardedNetwork)
            node.services.network.report("bad", Fault.OVERSIZED)
        await trio.sleep(3_600)
        async with live_node(fabric, chain, tmp_path, clock=clock) as node:
            await bad.connect(address_of("node"))
            await good.connect(address_of("node"))
            await trio.sleep(1)
            assert [info.peer_id for info in node.services.network.peers()] == ["good"]
            with pytest.raises(PeerBanned, match=r"8279[0-9] s"):
                await node.services.network.connect(address_of("bad"))
        clock.step(82_800_000)
        async with live_node(fabric, chain, tmp_path, clock=clock) as node:
            await node.services.network.connect(address_of("bad"))


@on_virtual_time
async def test_a_ban_is_on_disk_at_once_so_that_a_crash_does_not_lift_it(tmp_path: Path) -> None:
    chain = found_chain()
    async with (
        SimulatedFabric(1) as fabric,
        fabric.join("bad") as bad,
        live_node(fabric, chain, tmp_path, clock=clock_at(chain, 1)) as node,
    ):
        await bad.connect(address_of("node"))
        assert isinstance(node.services.network, GuardedNetwork)
        await trio.sleep(1)
        assert not bans_path(tmp_path).exists()
        node.services.network.report("bad", Fault.OVERSIZED)
        await trio.sleep(0.1)
        assert b"bad" in bans_path(tmp_path).read_bytes()
        assert bans_path(tmp_path).stat().st_mode & 0o777 == 0o600


@on_virtual_time
async def test_damaged_bans_do_not_keep_the_node_from_starting(tmp_path: Path) -> None:
    chain, log = found_chain(), Lines()
    bans_path(tmp_path).write_bytes(b"\xc1")
    async with (
        SimulatedFabric(1) as fabric,
        live_node(fabric, chain, tmp_path, clock=clock_at(chain, 1), log=log),
    ):
        assert "bans could not be read and begin anew" in log.events("warning")
