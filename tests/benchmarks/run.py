"""What `make bench` runs: every benchmark, one table. `python tests/benchmarks/run.py [--only NAME ...]`.

Each benchmark runs in a process of its own, so that none meets what another has left in memory, and gives its figures
by name. Goals are those of performance.md (P1 to P9, P11); most are ratios of two measurements of one run, because
absolute figures move with the machine and with what else it does. A figure without a goal stands for itself.
"""

import argparse
import json
import operator
import os
import platform
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent

BENCHMARKS = {
    "ledger": "P1 to P3: blocks of 1,000 signed transfers, transfers in memory",
    "economy": "blocks of mixed kinds against transfers, epoch transitions of a full economy",
    "ghostdag": "P6: adding blocks to the DAG, in memory",
    "state_tree": "state root, at 100,000 and 1,000,000 accounts",
    "engine": "blocks through the engine, on LevelDB and in memory",
    "sync": "P8: a fresh node catches up with another, two processes",
    "start": "P9: starting the command and the daemon",
    "wnsp": "P11: messages to frames and back, size on the wire",
    "wnsp_ciphers": "P11: sealing and opening wave messages, signatures, pictures",
    "devnet": "P7: 12 validators on 4 nodes under load, with the sender on this machine",
}
"""Modules bench_NAME with `run() -> dict[str, float]`."""

COMPARE = {">=": operator.ge, "<=": operator.le}

GOAL_IN_NAME = re.compile(r" ?\(goal (?P<comparison>[<>]=) (?P<number>[0-9.]+)\)")


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure should be."""

    pattern: str
    """Regular expression over the figure's whole name."""
    title: str
    """What the table calls it; `{}` is the pattern's first group."""
    comparison: str | None = None
    number: float = 0.0


GOALS = {
    "ledger": (
        Goal(r"(.*): one", "P1 share of libsodium's rate, one thread: {}", ">=", 0.85),
        Goal(r"(.*): two", "P1 share of libsodium's rate, two threads: {}", ">=", 0.75),
        Goal(r"(.*): overlapped", "P1 the same, next block verified meanwhile: {}"),
        Goal(r"(.*): cached", "P2 signatures verified before, times P1: {}", ">=", 4),
        Goal(r"P3 transfers per second", "P3 transfers in memory/s", ">=", 500_000),
    ),
}
"""Titles and goals of benchmarks that do not name them in their figures."""

COLUMNS = (90, 12, 12, 9)


def rows(benchmark: str, figures: dict[str, float]) -> Iterator[tuple[str, str, str, str]]:
    """(figure, value, goal, reached) for each figure."""
    for name, value in figures.items():
        title, comparison, number = _goal(benchmark, name)
        if comparison is None:
            yield title, _shown(value), "", ""
        else:
            reached = COMPARE[comparison](value, number)
            yield title, _shown(value), f"{comparison} {number:,g}", "yes" if reached else "no"


def _goal(benchmark: str, name: str) -> tuple[str, str | None, float]:
    """Title, comparison and number; None where there is no goal."""
    inside = GOAL_IN_NAME.search(name)
    if inside:
        return _words(GOAL_IN_NAME.sub("", name)), inside["comparison"], float(inside["number"])
    for goal in GOALS.get(benchmark, ()):
        found = re.fullmatch(goal.pattern, name)
        if found:
            return goal.title.format(*found.groups()), goal.comparison, goal.number
    return _words(name), None, 0.0


def _words(name: str) -> str:
    """A figure's name that was made an identifier, as words."""
    return name if " " in name.removesuffix(" (recorded)") else name.replace("_", " ")


def _shown(value: float) -> str:
    """Three digits or more, whatever the size."""
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"


def _print_row(*cells: str) -> None:
    texts = [f"  {cells[0]}".ljust(COLUMNS[0])]
    texts += [cell.rjust(width) for cell, width in zip(cells[1:], COLUMNS[1:], strict=True)]
    print("".join(texts), flush=True)


def measure(benchmark: str) -> dict[str, float]:
    """The benchmark's figures, from a process of its own. Raises `CalledProcessError`."""
    command = [sys.executable, str(Path(__file__).resolve()), "--measure", benchmark]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            output, _ = process.communicate()
        except BaseException:
            process.terminate()  # it stops what it has started, then ends
            process.wait()
            raise
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    figures: dict[str, float] = json.loads(output)
    return figures


def _measure_here(benchmark: str) -> None:
    """Run the benchmark in this process and print its figures as JSON, and nothing else, to standard output."""
    sys.path.insert(0, str(HERE.parent))
    with redirect_stdout(sys.stderr if os.environ.get("NEXUS_BENCH_DETAILS") else _nowhere()):
        figures = import_module(f"bench_{benchmark}").run()
    print(json.dumps(figures))


def _nowhere() -> Any:
    return Path(os.devnull).open("w", encoding="utf-8")


def _end_by_signal(number: int, _: object) -> None:
    """SIGTERM as an exception, so that what was started is stopped."""
    sys.exit(128 + number)


def main() -> int:
    """Run what is asked for and print the table; 1 when a benchmark failed, whatever the goals."""
    parser = argparse.ArgumentParser(
        description="All benchmarks in one table. NEXUS_BENCH_DETAILS=1 shows more."
    )
    parser.add_argument(
        "--only", action="append", choices=tuple(BENCHMARKS), metavar="NAME", help=", ".join(BENCHMARKS)
    )
    parser.add_argument("--measure", choices=tuple(BENCHMARKS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, _end_by_signal)
    if options.measure:
        _measure_here(options.measure)
        return 0
    cores = len(os.sched_getaffinity(0))
    print(
        f"Python {platform.python_version()}, {platform.machine()}, {cores} cores; absolute figures are this machine's"
    )
    _print_row("figure", "value", "goal", "reached")
    failed = 0
    for benchmark in options.only or BENCHMARKS:
        print(f"{benchmark}: {BENCHMARKS[benchmark]}", flush=True)
        try:
            for row in rows(benchmark, measure(benchmark)):
                _print_row(*row)
        except subprocess.CalledProcessError as error:
            failed += 1
            _print_row(f"did not run (exit {error.returncode}), see above", "", "", "no")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
