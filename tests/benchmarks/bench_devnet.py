"""A devnet under load, real processes: `python tests/benchmarks/bench_devnet.py`.

12 validators on 4 nodes, slots of a second, transfers from 128 accounts as fast as they are taken for half a minute:
`nexus devnet up`, `devnet load`, `devnet down --delete`. Everything runs on this machine, the sender too.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NODES = 4
VALIDATORS = 12
SENDERS = 128
SECONDS = 30


def nexus(*arguments: str, directory: Path) -> str:
    """What a command prints. Raises `CalledProcessError`; its errors go to ours."""
    command = [sys.executable, "-m", "cli", *arguments, "--dir", str(directory)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        try:
            output, _ = process.communicate()
        except BaseException:
            process.terminate()  # not killed: `devnet up` stops the nodes that it has started
            process.wait()
            raise
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return output


@contextmanager
def devnet() -> Iterator[Path]:
    """The directory of a running devnet; nodes and directory are gone at the end, whatever happened."""
    with tempfile.TemporaryDirectory(prefix="nexus-bench-") as parent:
        directory = Path(parent) / "devnet"
        try:
            nexus(
                *("devnet", "up", "--detach", "--nodes", str(NODES), "--validators", str(VALIDATORS)),
                directory=directory,
            )
            yield directory
        finally:
            if (directory / "devnet.json").exists():
                nexus("devnet", "down", "--delete", directory=directory)


def load(directory: Path) -> dict[str, Any]:
    """The report of `devnet load`."""
    report: dict[str, Any] = json.loads(
        nexus(
            *("devnet", "load", "--senders", str(SENDERS), "--seconds", str(SECONDS), "--output", "json"),
            directory=directory,
        )
    )
    return report


def run() -> dict[str, float]:
    """Print all figures and return them."""
    with devnet() as directory:
        report = load(directory)
    memory_mib = sorted(report["memory_mib"].values())
    figures = {
        "blocks/s (goal >= 6)": report["blocks_per_second"],
        "share of red blocks (goal <= 0.01)": report["red_share"],
        "accepted transfers/s (goal >= 2000)": report["accepted_per_second"],
        "submit to accepted, median, s": report["submit_to_accepted_p50_s"],
        "submit to accepted, p95, s (goal <= 32)": report["submit_to_accepted_p95_s"],
        "submit to final, median, slots": report["submit_to_final_p50_slots"],
        "submit to final, p95, slots (goal <= 32)": report["submit_to_final_p95_slots"],
        "transfers final": report["final"],
        "transfers lost": report["lost"],
        "resident memory of a node, median, MiB": memory_mib[len(memory_mib) // 2],
        "resident memory of a node, greatest, MiB": memory_mib[-1],
    }
    for figure, value in figures.items():
        print(f"{figure:>60} {value:10.2f}")
    return figures


if __name__ == "__main__":
    run()
