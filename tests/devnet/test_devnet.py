"""Real node processes over real sockets: kill -9, two networks side by side, restart, exact money."""

import json
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from builders.commands import LIMIT_S, await_balance, await_equal, devnet, is_running, nexus, nexus_json

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("processes")]

NXT = 100_000_000


def send(directory: Path, sender: str, recipient: str, amount: str) -> Any:
    return nexus_json(
        "wallet", "send", "--from", sender, "--to", recipient, amount, "--wait", "--timeout", "60",
        directory=directory,
    )  # fmt: skip


def require_sound(directory: Path, nodes: int) -> None:
    """Every node's stopped database is whole and its money exact."""
    for number in range(1, nodes + 1):
        nexus("db", "check", "--node", str(number), directory=directory)
        audit = nexus_json("db", "audit", "--node", str(number), directory=directory)
        assert audit["total_units"] == audit["expected_units"]


def test_a_full_daemon_killed_three_times_loses_nothing_that_was_accepted(tmp_path: Path) -> None:
    accepted: list[str] = []
    with devnet(tmp_path, "--slot-ms", "400"):
        for amount, number in enumerate((2, 3, 1), start=1):
            accepted.append(send(tmp_path, "alice", "bob", str(amount))["id"])
            nexus("devnet", "kill", str(number), directory=tmp_path)
            accepted.append(send(tmp_path, "carol", "bob", str(amount))["id"])
            nexus("devnet", "heal", str(number), directory=tmp_path)
            await_balance(tmp_path, "bob", 10_000 * NXT + amount * (amount + 1) * NXT, number)
        await_equal(tmp_path)
        for transaction in accepted:
            for number in range(1, 5):
                shown = nexus_json("chain", "tx", transaction, "--node", str(number), directory=tmp_path)
                assert shown["status"] == "accepted"
    require_sound(tmp_path, 4)


def test_two_devnets_run_side_by_side_and_a_stopped_one_resumes(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    options = ("--nodes", "2", "--validators", "6", "--slot-ms", "500")
    with devnet(first, *options) as one, devnet(second, *options) as other:
        assert one["chain_id"] != other["chain_id"]
        ports = [
            node[key] for network in (one, other) for node in network["nodes"] for key in ("rpc", "metrics")
        ]
        assert len(set(ports)) == len(ports)
        send(first, "alice", "bob", "7")
        assert nexus_json("wallet", "balance", "bob", directory=second)["balance"] == str(10_000 * NXT)
        nexus("devnet", "up", "--detach", directory=first, expect=4)
    with devnet(first):
        await_balance(first, "bob", 10_007 * NXT, node=2)
        send(first, "bob", "alice", "7")
    nexus("devnet", "up", "--detach", "--nodes", "3", directory=first, expect=4)
    require_sound(first, 2)


def test_sigterm_drains_and_metrics_and_health_tell_the_truth(tmp_path: Path) -> None:
    with devnet(tmp_path, "--nodes", "1", "--validators", "6", "--slot-ms", "500") as network:
        node = network["nodes"][0]
        send(tmp_path, "alice", "bob", "1")
        with urllib.request.urlopen(node["rpc"] + "/readyz", timeout=10) as reply:
            assert json.load(reply)["ready"] is True
        with urllib.request.urlopen(node["metrics"], timeout=10) as reply:
            metrics = reply.read().decode()
        assert float(re.search(r"^nexus_conservation_error_units (\S+)$", metrics, re.M)[1]) == 0.0
        assert float(re.search(r"^nexus_dag_blue_score (\S+)$", metrics, re.M)[1]) > 0
        stopped = nexus_json("devnet", "down", directory=tmp_path)
        assert stopped["killed"] == []
        assert not is_running(node["pid"])
    assert not (tmp_path / "node1" / "endpoints.json").exists()
    require_sound(tmp_path, 1)


def test_a_foreground_devnet_stops_its_nodes_on_ctrl_c(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "cli",
            "devnet",
            "up",
            "--nodes",
            "1",
            "--validators",
            "6",
            "--dir",
            str(tmp_path),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    line = ""
    pid = 0
    while "Ctrl-C" not in line:
        line = process.stdout.readline()
        assert line, "devnet up ended before the network ran"
        found = re.search(r"pid (\d+)", line)
        pid = int(found[1]) if found else pid
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=LIMIT_S) == 0
    assert not is_running(pid)
