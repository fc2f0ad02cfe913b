"""The process: exit codes, signals, endpoints, and what stays on disk. Real clock, real LevelDB, real sockets."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from builders.chain import devnet

from consensus.errors import RecordDamaged
from ledger.errors import ConservationBroken, GenesisInvalid
from ledger.genesis_text import genesis_to_json
from ledger.storage.errors import StoreLocked, StoreWriteFailed
from node.config import ConfigError
from node.keystore import KeyFileMissing, write_validator_keys
from node.process import EXIT_CONFIG, EXIT_FAULT, EXIT_STORE, exit_code_of
from p2p.errors import BindFailed

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("processes")]

SCRIPT = """
import sys
from node.config import NodeConfig
from node.main import run_process
sys.exit(run_process(NodeConfig(
    dir=sys.argv[1], p2p_listen=("/ip4/127.0.0.1/tcp/0",), rpc_port=-1, metrics_port=0, log_format="json",
)))
"""
ROOT = Path(__file__).resolve().parents[2]


def node_directory(place: Path) -> Path:
    """Genesis of this minute and all validators' keys."""
    place.mkdir()
    chain = devnet()
    genesis = msgspec.structs.replace(chain.genesis, genesis_time_ms=int(time.time() * 1000))
    (place / "genesis.json").write_text(genesis_to_json(genesis), encoding="utf-8")
    write_validator_keys(place / "validators.json", chain.keys)
    return place


def start(place: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(place)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )


def await_endpoints(place: Path, process: subprocess.Popen[str]) -> dict[str, object]:
    deadline = time.monotonic() + 60
    path = place / "endpoints.json"
    while not path.exists():
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < deadline, "the node did not start"
        time.sleep(0.05)
    document: dict[str, object] = json.loads(path.read_text())
    return document


def await_moving_chain(endpoints: dict[str, object]) -> str:
    """The metrics once they show blue blocks."""
    deadline = time.monotonic() + 60
    while True:
        with urllib.request.urlopen(str(endpoints["metrics"]), timeout=10) as reply:
            metrics: str = reply.read().decode()
        if "nexus_dag_blue_score" in metrics and "nexus_dag_blue_score 0.0" not in metrics:
            return metrics
        assert time.monotonic() < deadline, metrics
        time.sleep(0.1)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[Path, subprocess.Popen[str], dict[str, object]]]:
    place = node_directory(tmp_path / "node")
    process = start(place)
    try:
        yield place, process, await_endpoints(place, process)
    finally:
        process.kill()
        process.communicate()


def test_R20_sigterm_ends_the_node_cleanly_and_metrics_are_served_until_then(
    running: tuple[Path, subprocess.Popen[str], dict[str, object]],
) -> None:
    place, process, endpoints = running
    metrics = await_moving_chain(endpoints)
    assert "nexus_conservation_error_units 0.0" in metrics
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, log = process.communicate(timeout=10)
    assert process.returncode == 0 and time.monotonic() - started < 10
    events = [json.loads(line)["event"] for line in log.splitlines()]
    assert events[-1] == "node stopped" and "signal received" in events
    for secret in devnet().keys:
        assert secret.seed.hex() not in log
    identity = json.loads((place / "identity.json").read_text())["seed"]
    assert identity not in log and (place / "peers.bin").exists()


def test_a_second_node_on_the_same_directory_is_refused_with_74(
    running: tuple[Path, subprocess.Popen[str], dict[str, object]],
) -> None:
    place, _, _ = running
    second = start(place)
    _, log = second.communicate(timeout=60)
    assert second.returncode == EXIT_STORE
    assert json.loads(log.splitlines()[-1])["rule"] == "StoreLocked"


def test_R19_kill_9_and_a_restart_continue_the_chain(
    running: tuple[Path, subprocess.Popen[str], dict[str, object]],
) -> None:
    place, process, endpoints = running
    await_moving_chain(endpoints)
    os.kill(process.pid, signal.SIGKILL)
    _, log = process.communicate(timeout=10)
    heads = [json.loads(line) for line in log.splitlines()]
    last = [line["blue_score"] for line in heads if line["event"] == "chain advanced"][-1]
    (place / "endpoints.json").unlink()
    again = start(place)
    try:
        await_endpoints(place, again)
        again.send_signal(signal.SIGTERM)
        _, log = again.communicate(timeout=10)
        opened = next(line for line in map(json.loads, log.splitlines()) if line["event"] == "chain opened")
        assert again.returncode == 0 and opened["blue_score"] >= last
    finally:
        again.kill()


@pytest.mark.parametrize(
    ("spoil", "rule"),
    [
        ("genesis.json missing", "ConfigError"),
        ("genesis.json not JSON", "GenesisInvalid"),
        ("validators.json for all to read", "KeyFilePermissions"),
    ],
)
def test_what_the_operator_must_mend_is_exit_78(tmp_path: Path, spoil: str, rule: str) -> None:
    place = node_directory(tmp_path / "node")
    match spoil:
        case "genesis.json missing":
            (place / "genesis.json").unlink()
        case "genesis.json not JSON":
            (place / "genesis.json").write_text("{")
        case _:
            (place / "validators.json").chmod(0o644)
    process = start(place)
    _, log = process.communicate(timeout=60)
    line = json.loads(log.splitlines()[-1])
    assert process.returncode == EXIT_CONFIG
    assert line["rule"] == rule and line["exit_code"] == EXIT_CONFIG and line["level"] == "error"


def test_the_gravest_error_gives_the_code_and_the_unforeseen_none() -> None:
    store, fault = StoreWriteFailed("here", "full"), RecordDamaged("headers", b"x", "why")
    config = GenesisInvalid("why")
    assert exit_code_of((config, fault, store)) == EXIT_STORE
    assert exit_code_of((config, fault)) == EXIT_FAULT
    assert exit_code_of((config,)) == EXIT_CONFIG
    for error in (ConfigError("x"), BindFailed("here", "taken"), KeyFileMissing(Path("x"))):
        assert exit_code_of((error,)) == EXIT_CONFIG
    assert exit_code_of((StoreLocked("here", "another"),)) == EXIT_STORE
    assert exit_code_of((ConservationBroken("here", 1, 2),)) == EXIT_FAULT
    assert exit_code_of((store, ZeroDivisionError())) is None
    assert exit_code_of(()) is None
