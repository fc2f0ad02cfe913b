"""Key files: made whole, read strictly, for their owner alone."""

import json
from pathlib import Path

import pytest
from builders.wallets import key_number

from node.keystore import (
    KeyFileError,
    KeyFileExists,
    KeyFileMalformed,
    KeyFileMissing,
    KeyFilePermissions,
    KeyMismatch,
    read_identity,
    read_validator_keys,
    write_identity,
    write_validator_keys,
)

KEYS = tuple(key_number(n) for n in range(3))


def test_keys_come_back_in_order(tmp_path: Path) -> None:
    path = tmp_path / "validators.json"
    write_validator_keys(path, KEYS)
    assert read_validator_keys(path) == KEYS


def test_the_identity_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "identity.json"
    write_identity(path, bytes(range(32)))
    assert read_identity(path) == bytes(range(32))


def test_a_key_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "validators.json"
    write_validator_keys(path, KEYS)
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_file_that_others_can_touch_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "validators.json"
    write_validator_keys(path, KEYS)
    path.chmod(mode)
    with pytest.raises(KeyFilePermissions, match="chmod 600"):
        read_validator_keys(path)


def test_keys_are_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "validators.json"
    write_validator_keys(path, KEYS)
    with pytest.raises(KeyFileExists):
        write_validator_keys(path, KEYS[:1])
    assert read_validator_keys(path) == KEYS
    assert [one.name for one in tmp_path.iterdir()] == ["validators.json"]


def test_a_missing_file_names_the_next_command(tmp_path: Path) -> None:
    with pytest.raises(KeyFileMissing, match="nexus validator keys --create"):
        read_validator_keys(tmp_path / "none.json")


def test_a_public_key_that_is_not_its_seeds_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "validators.json"
    write_validator_keys(path, KEYS)
    document = json.loads(path.read_text())
    document["keys"][1]["public_key"] = "00" * 32
    path.write_text(json.dumps(document))
    with pytest.raises(KeyMismatch):
        read_validator_keys(path)


def test_a_key_may_not_stand_in_the_file_twice(tmp_path: Path) -> None:
    path = tmp_path / "validators.json"
    write_validator_keys(path, (KEYS[0], KEYS[0]))
    with pytest.raises(KeyFileMalformed):
        read_validator_keys(path)


SECRET = "5ec2e7" * 10


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{",
        '{"version": 1}',
        '{"version": 2, "keys": []}',
        '{"version": 1, "keys": [], "more": 1}',
        f'{{"version": 1, "keys": [{{"public_key": "{"0" * 64}", "seed": "{SECRET}"}}]}}',
        f'{{"version": 1, "keys": [{{"public_key": "{"0" * 64}", "seed": "{SECRET}zzzz"}}]}}',
        f'{{"version": 1, "keys": "{SECRET}"}}',
        f'{{"version": "{SECRET}", "keys": []}}',
        "\udcff",
        "[" * 100_000,
    ],
)
def test_anything_else_is_refused_without_showing_what_it_was(tmp_path: Path, content: str) -> None:
    path = tmp_path / "validators.json"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    path.chmod(0o600)
    with pytest.raises(KeyFileError) as caught:
        read_validator_keys(path)
    assert isinstance(caught.value, KeyFileMalformed)
    assert SECRET not in str(caught.value)
