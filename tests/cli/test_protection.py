"""`nexus validator protection`: histories to and from files, in this process."""

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from builders.blocks import found_chain
from builders.signing import block_core, vote_from
from builders.wallets import key_number

from ledger.genesis_text import genesis_to_json
from node.signing.local_signer import LocalSigner
from node.signing.protection import SigningProtection, open_protection_store

CHAIN = found_chain(2)
KEY = key_number(1)

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A node's directory."""
    (tmp_path / "genesis.json").write_text(genesis_to_json(CHAIN.genesis))
    return tmp_path


def test_a_history_moves_by_export_and_import(nexus: Command, place: Path) -> None:
    with closing(open_protection_store(place / "signer", create=True)) as store:
        signer = LocalSigner([KEY], SigningProtection(store, CHAIN.params.genesis_hash))
        signer.sign_block(KEY.public_key, block_core(7))
        signer.sign_vote(KEY.public_key, vote_from(2, 3))
    first, second = place / "first.json", place / "second.json"
    code, out, _ = nexus("validator", "protection", "export", first, "--dir", place)
    assert code == 0 and "1 keys" in out
    assert first.stat().st_mode & 0o777 == 0o600
    code, _, err = nexus("validator", "protection", "export", first, "--dir", place)
    assert code == 4 and "exists already" in err
    moved = ("--protection", place / "moved", "--dir", place)
    for raised in (1, 0):
        code, out, _ = nexus("validator", "protection", "import", first, *moved, "--output", "json")
        assert code == 0 and json.loads(out) == {"keys": 1, "raised": raised}
    assert nexus("validator", "protection", "export", second, *moved)[0] == 0
    assert second.read_bytes() == first.read_bytes()


def test_L22_an_open_history_is_left_alone(nexus: Command, place: Path) -> None:
    (place / "import").write_text("{}")
    with closing(open_protection_store(place / "signer", create=True)):
        for direction in ("export", "import"):
            code, _, err = nexus("validator", "protection", direction, place / direction, "--dir", place)
            assert code == 74 and "in use by" in err
    assert not (place / "export").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["export", "out.json"], 74, "no store in"),
        (["import", "none.json"], 5, "cannot read"),
        (["import", "junk.json"], 4, "no slashing-protection interchange"),
        (["import", "foreign.json"], 4, "belongs to the chain of genesis"),
        (["import", "foreign.json", "--genesis", "none.json"], 78, "none.json"),
    ],
)
def test_refused_files_have_their_exit_codes(
    nexus: Command, place: Path, arguments: list[str], code: int, said: str
) -> None:
    (place / "junk.json").write_text("{}")
    metadata = {"interchange_format_version": "5", "genesis_validators_root": "0x" + "11" * 32}
    (place / "foreign.json").write_text(json.dumps({"metadata": metadata, "data": []}))
    paths = [place / part if part.endswith(".json") else part for part in arguments]
    found, _, err = nexus("validator", "protection", *paths, "--dir", place)
    assert found == code and said in err and len(err.splitlines()) == 1


def test_a_signer_without_a_genesis_is_exit_78(nexus: Command, tmp_path: Path) -> None:
    options = ("--keys", tmp_path / "keys.json", "--socket", tmp_path / "s", "--dir", tmp_path)
    code, _, err = nexus("validator", "signer", *options)
    assert code == 78 and "genesis.json" in err
