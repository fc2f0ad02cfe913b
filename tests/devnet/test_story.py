"""The economy's story on a real devnet: every balance explained to the unit, by a book that computes for itself."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cli.main import run_command
from cli.story import formulas

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("processes")]

LIMIT_S = 170.0


def story(directory: Path, *options: str) -> tuple[int, Any]:
    """(exit code, what the story tells)."""
    command = [sys.executable, "-m", "cli", "lab", "story", "economy", "--timeout", "60", "--output", "json"]
    done = subprocess.run(
        [*command, *options, "--dir", str(directory)],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def units_of(told: Any, account: str, cause: str) -> int:
    row = next(row for row in told["accounts"] if (row["account"], row["asset"]) == (account, "NXT"))
    return int(row["causes"].get(cause, 0))


def test_the_story_explains_every_balance_to_the_unit_and_its_stores_are_exact(tmp_path: Path) -> None:
    code, told = story(tmp_path / "stage", "--slot-ms", "100")
    assert code == 0
    assert told["explained"] is True
    assert told["audits"] == {"node1": [], "node2": []}
    assert len(told["acts"]) == 12
    assert all(not act["differences"] and act["figures"] > 75 for act in told["acts"])
    for row in told["accounts"]:
        assert int(row["before"]) + sum(map(int, row["causes"].values())) == int(row["after"])
    # What the story is about has happened.
    assert (
        units_of(told, "F_FLOOR", "crisis drain") == -units_of(told, "TRANSITION_RESERVE", "crisis drain") > 0
    )
    assert units_of(told, "TRANSITION_RESERVE", "campaign burn") == 100 * 10**8
    assert units_of(told, "TRANSITION_RESERVE", "message burn") > 0
    assert units_of(told, "ben", "floor claim") > 0
    assert units_of(told, "ada", "floor spending") > 0
    assert units_of(told, "ada", "deposit") == -units_of(told, "ada", "deposit back") == -10 * 10**8
    assert units_of(told, "BONDED", "rewards") > 0


def test_a_unit_that_the_book_does_not_explain_ends_the_story(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def dearer(region: int, priority: int, size_bytes: int, rise_ppm: int) -> int:
        return published(region, priority, size_bytes, rise_ppm) + (priority == 0)

    published = formulas.message_units
    monkeypatch.setattr(formulas, "message_units", dearer)
    options = ("--slot-ms", "100", "--nodes", "1", "--output", "json", "--dir", str(tmp_path / "stage"))
    assert run_command(["lab", "story", "economy", *options]) == 4
    told = json.loads(capsys.readouterr().out)
    assert told["explained"] is False
    differences = {
        one["figure"]: int(one["expected"]) - int(one["found"])
        for one in told["acts"][-1]["differences"]
        if one["found"].isdigit()
    }
    assert differences["TRANSITION_RESERVE"] == 1
    assert differences["cleo"] == -1
    assert len(told["acts"]) == 2
