"""The README's tour, command by command, as it is printed there."""

import os
import re
import signal
import subprocess
import threading
from pathlib import Path
from time import monotonic, sleep

import pytest
from builders.commands import LIMIT_S, is_running, own_environment

ROOT = Path(__file__).resolve().parents[2]
READY = "Ctrl-C stops the network."


def tour_blocks() -> list[tuple[str, list[str]]]:
    """(kind, commands) of the README's tour blocks in order."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```(tour|tour-background)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [(kind, body.strip().splitlines()) for kind, body in blocks]


class Background:
    """A command that runs until it is interrupted, with what it has printed."""

    def __init__(self, command: str, directory: Path) -> None:
        self.process = subprocess.Popen(
            ["bash", "-c", f"exec {command}"],
            cwd=ROOT,
            env=own_environment(NEXUS_DIR=str(directory)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())

    def await_line(self, wanted: str) -> None:
        deadline = monotonic() + LIMIT_S * 2
        while not any(wanted in line for line in list(self.lines)):
            assert self.process.poll() is None, "ended early:\n" + "\n".join(self.lines)
            assert monotonic() < deadline, "not ready:\n" + "\n".join(self.lines)
            sleep(0.05)

    def interrupt(self) -> int:
        """Ctrl-C to the whole foreground group, as a terminal sends it; the exit code."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(timeout=LIMIT_S)


@pytest.mark.processes
@pytest.mark.xdist_group("processes")
def test_every_command_of_the_tour_does_what_the_readme_says(tmp_path: Path) -> None:
    blocks = tour_blocks()
    assert blocks[0][0] == "tour-background"
    directory = tmp_path / "devnet"
    background = Background(blocks[0][1][0], directory)
    printed: dict[str, str] = {}
    try:
        background.await_line(READY)
        for kind, commands in blocks[1:]:
            assert kind == "tour"
            for command in commands:
                done = subprocess.run(
                    ["bash", "-c", command],
                    cwd=ROOT,
                    env=own_environment(NEXUS_DIR=str(directory)),
                    capture_output=True,
                    text=True,
                    timeout=LIMIT_S,
                    check=False,
                )
                assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
                printed[command.removeprefix(".venv/bin/nexus ")] = done.stdout
        pids = [int(pid) for line in background.lines for pid in re.findall(r"pid (\d+)", line)]
    finally:
        exit_code = background.interrupt()
    assert exit_code in (0, 2, 130, -signal.SIGINT)
    assert len(pids) == 4
    assert not any(is_running(pid) for pid in pids)
    transcript = "\n".join(printed.values())
    assert "accepted: 12.5 NXT from alice to bob" in transcript
    assert printed["wallet balance bob --node 3"].splitlines()[0] == "10012.5 NXT"
    assert "accepted: 3 NXT from bob to carol" in transcript
    assert "accepted: 0.5 NXT from carol to alice" in transcript
    carol = float(printed["wallet balance carol --node 2"].split()[0])
    assert 10_004.49 < carol < 10_004.492  # 10,000 + 2 + 3 - 0.5, less 0.009 for the message and two fees
    assert "final: 2 NXT from alice to carol" in transcript
    assert int(re.findall(r"finalised +period=(\d+)", transcript)[0]) > 0
    assert "delegated 100 NXT" in printed["validator stakes alice"]
    assert "equal everywhere" in transcript
    assert "exact to the unit" in transcript
