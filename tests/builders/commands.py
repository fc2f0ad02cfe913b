"""Running the `nexus` command as a user would, and the life of a devnet in a test."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

LIMIT_S = 60.0
"""How long anything may take before the test fails."""


def nexus(*arguments: str, directory: Path, expect: int | None = 0) -> subprocess.CompletedProcess[str]:
    """Run one command with `--dir directory`; with `expect`, its exit code must be that."""
    command = [sys.executable, "-m", "cli", *arguments, "--dir", str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S * 2, check=False)
    if expect is not None:
        assert done.returncode == expect, f"{arguments}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def nexus_json(*arguments: str, directory: Path) -> Any:
    """The JSON that a command prints."""
    return json.loads(nexus(*arguments, "--output", "json", directory=directory).stdout)


@contextmanager
def devnet(directory: Path, *options: str) -> Iterator[dict[str, Any]]:
    """A running devnet; its description. Stopped at the end, whatever happened."""
    description = nexus_json("devnet", "up", "--detach", *options, directory=directory)
    try:
        yield description
    finally:
        nexus("devnet", "down", directory=directory, expect=None)


def await_equal(directory: Path) -> Any:
    """Wait until all nodes show the same block and state root at the same chain index; what they show."""
    deadline = monotonic() + LIMIT_S
    while True:
        done = nexus("devnet", "compare", "--output", "json", directory=directory, expect=None)
        if done.returncode == 0:
            return json.loads(done.stdout)
        assert monotonic() < deadline, f"nodes still differ after {LIMIT_S} s:\n{done.stdout}\n{done.stderr}"
        sleep(0.2)


def await_balance(directory: Path, name: str, units: int, node: int) -> None:
    """Wait until `node` shows the balance."""
    deadline = monotonic() + LIMIT_S
    while True:
        found = nexus_json("wallet", "balance", name, "--node", str(node), directory=directory)["balance"]
        if int(found) == units:
            return
        assert monotonic() < deadline, f"{name} has {found} units at node {node}, expected {units}"
        sleep(0.2)


def is_running(pid: int) -> bool:
    """Whether a process of this number runs (a zombie does not)."""
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def own_environment(**changes: str) -> dict[str, str]:
    """This process's environment with changes."""
    return {**os.environ, **changes}
