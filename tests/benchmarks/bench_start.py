"""Goal P9, starting: `python tests/benchmarks/bench_start.py`.

`nexus --help` against bare Python, and `nexus wallet list`, runs of all three in turn; how long a daemon of a devnet
with 12 validators takes from its start until /readyz answers 200; and the memory that it holds some seconds later.
"""

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, perf_counter, sleep, time_ns

from cli.devnet_files import create_devnet
from cli.keyfiles import write_wallet

RUNS = 15
STARTS = 3
VALIDATORS = 12
READY_LIMIT_S = 60.0
STOP_LIMIT_S = 15.0
POLL_S = 0.01
SETTLED_S = 5.0
"""From ready to the look at the memory."""


def nexus_command() -> list[str]:
    """The installed command of this environment, or the module that it calls."""
    script = Path(sys.executable).with_name("nexus")
    return [str(script)] if script.exists() else [sys.executable, "-m", "cli"]


def run_s(command: list[str]) -> float:
    """Seconds until the command has ended. Raises when it fails."""
    began = perf_counter()
    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    return perf_counter() - began


def command_starts() -> dict[str, float]:
    """Medians of the commands' times, and their ratios to bare Python's."""
    with tempfile.TemporaryDirectory(prefix="nexus-bench-") as directory:
        for name in ("alice", "bob", "carol"):
            write_wallet(Path(directory), name, os.urandom(32))
        commands = {
            "bare Python": [sys.executable, "-c", "pass"],
            "nexus --help": [*nexus_command(), "--help"],
            "nexus wallet list": [*nexus_command(), "wallet", "list", "--dir", directory],
        }
        took_s: dict[str, list[float]] = {name: [] for name in commands}
        for number in range(RUNS + 1):
            for name, command in commands.items():
                seconds = run_s(command)
                if number:  # the first round fills the caches
                    took_s[name].append(seconds)
    medians = {name: statistics.median(seconds) for name, seconds in took_s.items()}
    bare_s = medians["bare Python"]
    return {
        "bare Python, ms": bare_s * 1_000,
        "nexus --help against bare Python (goal <= 3)": medians["nexus --help"] / bare_s,
        "nexus wallet list against bare Python": medians["nexus wallet list"] / bare_s,
        "nexus wallet list, ms (goal <= 150)": medians["nexus wallet list"] * 1_000,
    }


@contextmanager
def daemon(node: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A running node; stopped at the end, whatever happened."""
    command = [sys.executable, "-m", "cli", "run", "--dir", str(node), "--p2p-listen", "/ip4/127.0.0.1/tcp/0"]
    command += ["--rpc-port", "0", "--metrics-port", "0"]
    with (node / "node.log").open("ab") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def await_ready(node: Path, process: subprocess.Popen[bytes]) -> None:
    """Until /readyz answers 200. Raises `AssertionError` with the node's log when it does not."""
    deadline = monotonic() + READY_LIMIT_S
    while monotonic() < deadline and process.poll() is None:
        if is_ready(node / "endpoints.json"):
            return
        sleep(POLL_S)
    raise AssertionError(f"the node is not ready:\n{(node / 'node.log').read_text()[-2_000:]}")


def is_ready(endpoints: Path) -> bool:
    """Whether the node that writes `endpoints` says that it is ready."""
    try:
        url = json.loads(endpoints.read_text())["rpc"]
        with urllib.request.urlopen(f"{url}/readyz", timeout=5.0) as reply:
            return bool(reply.status == 200)
    except (OSError, ValueError, urllib.error.URLError):
        return False


def resident_mib(pid: int) -> float:
    """Resident memory of a process."""
    for line in (Path("/proc") / str(pid) / "status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError(f"process {pid} has no resident memory")


def daemon_starts() -> dict[str, float]:
    """Median seconds until ready, and resident memory."""
    ready_s, memory_mib = [], []
    for _ in range(STARTS):
        with tempfile.TemporaryDirectory(prefix="nexus-bench-") as directory:
            create_devnet(
                Path(directory), validators=VALIDATORS, nodes=1, slot_ms=1_000, now_ms=time_ns() // 1_000_000
            )
            node = Path(directory) / "node1"
            began = perf_counter()
            with daemon(node) as process:
                await_ready(node, process)
                ready_s.append(perf_counter() - began)
                sleep(SETTLED_S)
                memory_mib.append(resident_mib(process.pid))
    return {
        "daemon ready, s (goal <= 6)": statistics.median(ready_s),
        "resident memory of a lone node, MiB (goal <= 220)": statistics.median(memory_mib),
    }


def run() -> dict[str, float]:
    """Print all figures and return them."""
    figures = command_starts() | daemon_starts()
    for figure, value in figures.items():
        print(f"{figure:>60} {value:10.2f}")
    return figures


if __name__ == "__main__":
    run()
