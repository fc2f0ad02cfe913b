"""What starting the command costs in imports, and how it fails in a process of its own. `make bench` has the times."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from builders.commands import own_environment

PROBE = """
import json, sys
from cli.main import run_command
code = run_command(sys.argv[1:])
print(json.dumps([code, sorted({name.partition(".")[0] for name in sys.modules})]), file=sys.stderr)
"""

DAEMON_MODULES = {
    "click",
    "h11",
    "hypercorn",
    "hypothesis",
    "libp2p",
    "msgpack",
    "numba",
    "plyvel",
    "prometheus_client",
    "structlog",
    "trio",
}
"""What only a running node may import."""

CRYPTOGRAPHY_MODULES = {"cffi", "msgspec", "nacl"}
"""What commands with keys and transactions need, and no others."""

UNREACHABLE = "http://127.0.0.1:1"


def imported(*arguments: str, expect: int) -> set[str]:
    """Top-level modules that a command has imported when it is done."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *arguments], capture_output=True, text=True, timeout=60, check=True
    )
    code, modules = json.loads(done.stderr.splitlines()[-1])
    assert code == expect, done.stderr
    return set(modules)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["wallt"],
        ["wallet", "--help"],
        ["chain", "--help"],
        ["dex", "--help"],
        ["governance", "--help"],
    ],
)
def test_help_imports_the_standard_library_alone(arguments: list[str]) -> None:
    modules = imported(*arguments, expect=2 if arguments == ["wallt"] else 0)
    assert not modules & (DAEMON_MODULES | CRYPTOGRAPHY_MODULES)
    assert not modules & {"node", "consensus", "ledger", "p2p"}


def test_client_commands_import_nothing_of_the_daemon(tmp_path: Path) -> None:
    where = ("--dir", str(tmp_path))
    for arguments, code in (
        (("wallet", "new", "alice"), 0),
        (("wallet", "list"), 0),
        (("wallet", "balance", "alice", "--rpc", UNREACHABLE), 3),
        (("wallet", "send", "--from", "alice", "--to", "bob", "1", "--rpc", UNREACHABLE), 3),
        (("chain", "head", "--rpc", UNREACHABLE), 3),
        (("devnet", "status"), 5),
        (("config", "show"), 0),
        (("validator", "keys"), 5),
        (("token", "send", "GOLD", "1", "--from", "alice", "--to", "bob", "--rpc", UNREACHABLE), 3),
        (("dex", "swap", "NXT", "1", "GOLD", "--from", "alice", "--rpc", UNREACHABLE), 3),
        (("message", "send", "hello", "--from", "alice", "--rpc", UNREACHABLE), 3),
        (("governance", "vote", "1", "yes", "--from", "alice", "--rpc", UNREACHABLE), 3),
        (("lab", "story", "economy", "--slot-ms", "1"), 2),
    ):
        modules = imported(*arguments, *where, expect=code)
        assert not modules & DAEMON_MODULES, arguments


def test_commands_without_keys_import_no_cryptography(tmp_path: Path) -> None:
    where = ("--dir", str(tmp_path))
    for arguments, code in (
        (("wallet", "list"), 0),
        (("chain", "head", "--rpc", UNREACHABLE), 3),
        (("dex", "pools", "--rpc", UNREACHABLE), 3),
        (("governance", "list", "--rpc", UNREACHABLE), 3),
        (("devnet", "status"), 5),
        (("config", "show"), 0),
    ):
        assert not imported(*arguments, *where, expect=code) & CRYPTOGRAPHY_MODULES, arguments


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "cli", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["chain", "head", "--rpc", UNREACHABLE], 3, UNREACHABLE),
        (["chain", "head", "--rpc", "nonsense"], 3, "expected http://HOST:PORT"),
        (["chain", "head"], 3, "nexus devnet up --dir"),
        (["devnet", "status"], 5, "nexus devnet up --dir"),
        (["wallet", "address", "alice"], 5, "nexus wallet new alice"),
        (["db", "audit"], 74, "no store in"),
        (["run"], 78, "genesis.json"),
    ],
)
def test_failures_are_one_line_that_names_the_next_step(
    tmp_path: Path, arguments: list[str], code: int, told: str
) -> None:
    done = run(*arguments, "--dir", str(tmp_path))
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    done = run("devnet", "status", "--debug", "--dir", str(tmp_path))
    assert done.returncode == 1
    assert "Traceback" in done.stderr and "CommandFailed" in done.stderr


def test_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cli", "config", "show", "--dir", str(tmp_path)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=own_environment(PYTHONUNBUFFERED="1")
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    with process:
        assert process.stderr.read() == b""
