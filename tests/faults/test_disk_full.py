"""The disk is full under the real engine (R17): it stops at the first error, and with space again it goes on.

A limit on the size of files stands in for the disk (Python ignores SIGXFSZ, so a write beyond it fails with EFBIG, as
one on a full disk with ENOSPC): it strikes in logs, in tables that LevelDB writes in the background, and in
manifests.
"""

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults.damaged_stores import commits_of
from faults.power_cut.writer import EXIT_STORE_FAILED, whole_run

REPOSITORY = Path(__file__).resolve().parents[2]
TRIALS = 20

pytestmark = pytest.mark.xdist_group("processes")


@pytest.fixture(scope="module")
def nursery() -> Iterator[subprocess.Popen[str]]:
    """The process that forks workers."""
    process = subprocess.Popen(
        [sys.executable, str(REPOSITORY / "tests/faults/power_cut/writer.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "tests")])},
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def live(nursery: subprocess.Popen[str], directory: Path, limit_bytes: int) -> tuple[int, int]:
    """One worker under a limit: (last batch that it acknowledged or found, exit code)."""
    assert nursery.stdin is not None and nursery.stdout is not None
    nursery.stdin.write(f"limited-engine {directory} - - {limit_bytes}\n")
    nursery.stdin.flush()
    acknowledged = 0
    while True:
        line = nursery.stdout.readline()
        assert line, "the nursery has ended; its traceback is below"
        word, number = line.split()
        if word == "ended":
            return acknowledged, int(number)
        if word in ("opened", "committed"):
            acknowledged = int(number)


def test_R17_full_disk_loses_no_acknowledged_batch_and_the_restart_is_clean(
    nursery: subprocess.Popen[str], tmp_path: Path
) -> None:
    generator = random.Random(17)
    struck = []
    for trial in range(TRIALS):
        directory = tmp_path / str(trial)
        acknowledged, code = live(nursery, directory, generator.randrange(1_000, 300_000))
        if code == EXIT_STORE_FAILED:
            struck.append(acknowledged)
        else:  # LevelDB happened to merge no table that was too large for the limit
            assert (acknowledged, code) == (len(whole_run().moments), 0)
        # The batch whose write failed may be there: nobody was told either way.
        assert acknowledged <= commits_of(directory) <= max(1, acknowledged + 1)
    assert len(struck) > TRIALS // 2 and len(set(struck)) > TRIALS // 4
