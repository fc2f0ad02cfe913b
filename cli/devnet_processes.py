"""The processes of a devnet: start, watch, kill, stop. A node outlives the command that started it."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from cli.connection import read_json_file
from cli.devnet_files import write_devnet
from cli.exits import CommandFailed, ExitCode

START_LIMIT_S = 60.0
STOP_LIMIT_S = 10.0
POLL_S = 0.05


def is_alive(directory: Path, node: dict[str, Any]) -> bool:
    """Whether the node's process runs (and is that node's, not a later process of the same number)."""
    if not node["pid"]:
        return False
    process = Path("/proc") / str(node["pid"])
    try:
        command = (process / "cmdline").read_bytes().split(b"\0")
        state = (process / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return os.fsencode(directory / node["dir"]) in command and state != "Z"


def start_node(directory: Path, devnet: dict[str, Any], number: int) -> None:
    """Start node `number` and wait until it serves; records its URLs. The caller holds `devnet_lock`.

    Ports that the node had before are asked for again, so that its URLs stay; when one is taken meanwhile the system
    chooses. Errors: `CommandFailed` with the end of the node's log.
    """
    node = devnet["nodes"][number - 1]
    for ports in (_former_ports(node), (0, 0, 0)):
        process = _spawn(directory, devnet, node, ports)
        if _await_endpoints(directory, node, process):
            node["pid"] = process.pid
            write_devnet(directory, devnet)
            return
        if ports == (0, 0, 0):
            break
    log = directory / node["dir"] / "node.log"
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
    raise CommandFailed(
        ExitCode.FAILED, f"node {number} did not start (exit {process.poll()}); the end of {log}:\n{tail}"
    )


def _port(url: str) -> int:
    return int(url.rpartition(":")[2].partition("/")[0]) if url else 0


def _former_ports(node: dict[str, Any]) -> tuple[int, int, int]:
    """(p2p, rpc, metrics) of the last run, 0 where there was none."""
    p2p = int(node["p2p"].split("/tcp/")[1].split("/")[0]) if node["p2p"] else 0
    return p2p, _port(node["rpc"]), _port(node["metrics"])


def _spawn(
    directory: Path, devnet: dict[str, Any], node: dict[str, Any], ports: tuple[int, int, int]
) -> subprocess.Popen[bytes]:
    node_directory = directory / node["dir"]
    endpoints = node_directory / "endpoints.json"
    endpoints.unlink(missing_ok=True)
    others = [other["p2p"] for other in devnet["nodes"] if other is not node and other["p2p"]]
    command = [sys.executable, "-m", "cli", "run", "--dir", str(node_directory)]
    command += ["--p2p-listen", f"/ip4/127.0.0.1/tcp/{ports[0]}"]
    command += ["--rpc-port", str(ports[1]), "--metrics-port", str(ports[2])]
    command += ["--bootstrap", ",".join(others), "--log-format", "json"]
    with (node_directory / "node.log").open("ab") as log:
        # A session of its own: Ctrl-C in the terminal reaches only us, and we stop the nodes in order.
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )


def _await_endpoints(directory: Path, node: dict[str, Any], process: subprocess.Popen[bytes]) -> bool:
    """Wait until the node has written its URLs (True) or ended (False)."""
    path = directory / node["dir"] / "endpoints.json"
    deadline = monotonic() + START_LIMIT_S
    while monotonic() < deadline:
        if path.exists():
            endpoints = read_json_file(path)
            node["rpc"] = endpoints["rpc"]
            node["metrics"] = endpoints["metrics"]
            node["p2p"] = endpoints["p2p"][0]
            return True
        if process.poll() is not None:
            return False
        sleep(POLL_S)
    process.kill()
    return False


def kill_node(directory: Path, node: dict[str, Any]) -> None:
    """kill -9, as a power cut would. Errors: `CommandFailed` when it does not run."""
    if not is_alive(directory, node):
        raise CommandFailed(ExitCode.NOT_FOUND, f"node {node['number']} does not run")
    os.kill(node["pid"], signal.SIGKILL)
    _await_end(directory, [node], STOP_LIMIT_S)


def stop_nodes(directory: Path, devnet: dict[str, Any]) -> list[int]:
    """SIGTERM to all, then SIGKILL to those that have not ended in 10 s; the numbers of the latter."""
    running = [node for node in devnet["nodes"] if is_alive(directory, node)]
    for node in running:
        os.kill(node["pid"], signal.SIGTERM)
    late = _await_end(directory, running, STOP_LIMIT_S)
    for node in late:
        os.kill(node["pid"], signal.SIGKILL)
    _await_end(directory, late, STOP_LIMIT_S)
    return [node["number"] for node in late]


def _await_end(directory: Path, nodes: list[dict[str, Any]], limit_s: float) -> list[dict[str, Any]]:
    """Wait for the nodes' processes to end; those that still run at the limit."""
    deadline = monotonic() + limit_s
    running = nodes
    while running and monotonic() < deadline:
        for node in running:
            _reap(node["pid"])
        running = [node for node in running if is_alive(directory, node)]
        if running:
            sleep(POLL_S)
    return running


def _reap(pid: int) -> None:
    """Collect the exit status of a child of ours; nothing for other processes."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return
