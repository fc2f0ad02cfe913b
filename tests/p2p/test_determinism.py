"""A seed fixes everything: the p2p stack on a faulty wire leaves the same trace, to the byte, in every run."""

import os
import subprocess
import sys
from pathlib import Path

from builders import gossiping_nodes


def test_the_same_seed_gives_the_same_trace_twice_in_one_process() -> None:
    first, second = gossiping_nodes.run(5, seconds=30), gossiping_nodes.run(5, seconds=30)
    assert first == second
    assert first.counts["crashed"] >= 2 and first.counts["cut"] >= 2 and first.counts["judged"] > 100


def test_another_seed_gives_another_trace() -> None:
    assert gossiping_nodes.run(5, seconds=10).trace_hash != gossiping_nodes.run(6, seconds=10).trace_hash


def test_the_same_seed_gives_the_same_trace_for_any_hash_seed() -> None:
    tests = Path(__file__).parent.parent
    search = os.pathsep.join([str(tests), str(tests.parent)])
    hashes = [
        subprocess.run(
            [sys.executable, str(tests / "builders" / "gossiping_nodes.py"), "7"],
            env=os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": search},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for hash_seed in ("0", "1", "4242")
    ]
    assert hashes[0] and hashes == [hashes[0]] * 3
