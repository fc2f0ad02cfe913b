"""The signer as a process, and its history by the command line: locks, kills, exit codes, files."""

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from time import monotonic, sleep

import pytest
from builders.blocks import found_chain
from builders.signing import OTHER_CHAIN, block_core, slashable_pairs, vote_from
from builders.wallets import key_number

from consensus.blocks import Header
from consensus.votes import Vote
from ledger.genesis_text import genesis_to_json
from node.keystore import write_validator_keys
from node.signing.errors import SigningRefused
from node.signing.protection import SigningProtection, open_protection_store
from node.signing.remote_signer import RETRY_AFTER_S, RemoteSigner

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("processes")]

ROOT = Path(__file__).resolve().parents[3]
CHAIN = found_chain(2)
KEY = key_number(1)
LIMIT_S = 60.0


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Genesis and keys."""
    (tmp_path / "genesis.json").write_text(genesis_to_json(CHAIN.genesis))
    write_validator_keys(tmp_path / "keys.json", [KEY])
    return tmp_path


def start(place: Path, name: str = "s", protection: str = "signer", **options: str) -> subprocess.Popen[str]:
    """A signer process; `options` replace its own."""
    settings = {
        "keys": str(place / "keys.json"),
        "socket": str(place / name),
        "protection": str(place / protection),
        "log_format": "json",
        "dir": str(place),
    } | options
    arguments = [part for key, value in settings.items() for part in (f"--{key.replace('_', '-')}", value)]
    return subprocess.Popen(
        [sys.executable, "-m", "cli", "validator", "signer", *arguments],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )


@contextmanager
def running(place: Path, name: str = "s") -> Iterator[tuple[subprocess.Popen[str], RemoteSigner]]:
    """A signer that answers, and its client."""
    process = start(place, name)
    remote = RemoteSigner(place / name, CHAIN.params.genesis_hash)
    try:
        await_answer(remote, process)
        yield process, remote
    finally:
        remote.close()
        process.kill()
        process.communicate()


def await_answer(remote: RemoteSigner, process: subprocess.Popen[str]) -> None:
    """Until the signer answers."""
    deadline = monotonic() + LIMIT_S
    while True:
        try:
            remote.probe()
            return
        except SigningRefused:
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert monotonic() < deadline, "the signer did not start"
            sleep(0.05)


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit code, whole log, and the rule in its last line."""
    _, log = process.communicate(timeout=LIMIT_S)
    return process.returncode, log, json.loads(log.splitlines()[-1]).get("rule", "")


def nexus(*arguments: object) -> subprocess.CompletedProcess[str]:
    """A command."""
    return subprocess.run(
        [sys.executable, "-m", "cli", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def test_L22_the_lock_keeps_every_second_process_from_the_history(place: Path) -> None:
    with running(place) as (process, remote):
        code, log, rule = ended(start(place, "t"))
        assert (code, rule) == (74, "StoreLocked") and str(process.pid) in log
        done = nexus("validator", "protection", "export", place / "export", "--dir", place)
        assert done.returncode == 74 and str(process.pid) in done.stderr
        assert not (place / "export").exists()
        remote.sign_block(KEY.public_key, block_core(5))


def test_sigterm_ends_the_signer_and_its_log_shows_no_secret(place: Path) -> None:
    with running(place) as (process, remote):
        remote.sign_block(KEY.public_key, block_core(5))
        process.send_signal(signal.SIGTERM)
        code, log, _ = ended(process)
    assert code == 0 and not (place / "s").exists()
    events = [json.loads(line)["event"] for line in log.splitlines()]
    assert events[0] == "signer started" and events[-1] == "signer stopped"
    assert KEY.seed.hex() not in log


def test_R19_L8_a_signer_killed_again_and_again_signs_nothing_slashable(place: Path) -> None:
    chance = random.Random(4)
    headers: list[Header] = []
    votes: list[Vote] = []
    slot, unavailable = 10, 0
    for _ in range(4):
        with running(place) as (process, remote):
            kill_at = chance.randint(3, 12)
            for number in range(14):
                slot = max(1, slot + chance.choice((0, 1, 1, 2, -2)))
                if number == kill_at:
                    os.kill(process.pid, signal.SIGKILL)
                try:
                    core = block_core(slot, chance.randrange(2))
                    headers.append(remote.sign_block(KEY.public_key, core))
                    vote = vote_from(max(0, slot - chance.randint(1, 3)), slot, chance.randrange(2))
                    votes.append(remote.sign_vote(KEY.public_key, vote))
                except SigningRefused as error:
                    unavailable += error.code == "SignerUnavailable"
                    if error.code == "SignerUnavailable":
                        sleep(RETRY_AFTER_S / 10)
    assert unavailable > 0 and len(headers) > 5 and len(votes) > 5
    assert slashable_pairs(headers, votes) == []


@pytest.mark.parametrize(
    ("spoil", "code", "rule"),
    [
        ("keys for all to read", 78, "KeyFilePermissions"),
        ("history of another chain", 74, "WrongGenesis"),
    ],
)
def test_what_the_operator_must_mend_ends_the_signer_with_its_code(
    place: Path, spoil: str, code: int, rule: str
) -> None:
    if rule == "KeyFilePermissions":
        (place / "keys.json").chmod(0o644)
    else:
        with closing(open_protection_store(place / "signer", create=True)) as store:
            SigningProtection(store, OTHER_CHAIN)
    found, _, found_rule = ended(start(place))
    assert (found, found_rule) == (code, rule)
