"""Commands on files, without a node: replay of a DAG file, check and audit of a database."""

import gzip
import json
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from faults.engine_writer import LaneWriter, writer_chain

from ledger.accounts import TREASURY_ADDRESS, Account, encode_account
from ledger.state import account_key
from ledger.storage.state_store import STATE_PREFIX
from ledger.storage.store import WriteBatch

VECTORS = sorted((Path(__file__).resolve().parents[1] / "vectors/ghostdag").glob("*.json.gz"))

Command = Callable[..., tuple[int, str, str]]


# lab


@pytest.mark.parametrize("vector", VECTORS, ids=lambda path: path.name.partition(".")[0])
def test_replay_of_a_vector_matches(nexus: Command, vector: Path) -> None:
    code, out, err = nexus("lab", "ghostdag-replay", vector)
    assert (code, err) == (0, "")
    assert "every expectation matches" in out


def altered_vector(directory: Path, change: Callable[[Any], None]) -> Path:
    """A copy of the first vector, changed."""
    document = json.loads(gzip.decompress(VECTORS[0].read_bytes()))
    change(document)
    file = directory / "altered.json"
    file.write_text(json.dumps(document))
    return file


def test_replay_of_an_altered_expectation_is_a_mismatch(nexus: Command, tmp_path: Path) -> None:
    def change(document: Any) -> None:
        document["Blocks"][7]["ExpectedScore"] += 1

    file = altered_vector(tmp_path, change)
    code, out, _ = nexus("lab", "ghostdag-replay", file)
    assert code == 4
    assert "1 mismatches" in out
    code, out, _ = nexus("lab", "ghostdag-replay", file, "--output", "json")
    assert code == 4
    assert len(json.loads(out)["mismatches"]) == 1


def test_replay_of_a_block_without_its_parent_is_malformed(nexus: Command, tmp_path: Path) -> None:
    def change(document: Any) -> None:
        document["Blocks"][7]["Parents"] = ["nobody"]

    code, out, err = nexus("lab", "ghostdag-replay", altered_vector(tmp_path, change))
    assert (code, out) == (2, "")
    assert "nobody" in err


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"Blocks": 1}', b"\x1f\x8bnot gzip", b"\xff"])
def test_replay_of_something_else_is_malformed(nexus: Command, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "dag.json"
    file.write_bytes(content)
    code, out, err = nexus("lab", "ghostdag-replay", file)
    assert (code, out) == (2, "")
    assert str(file) in err


def test_replay_of_a_cut_off_vector_is_malformed(nexus: Command, tmp_path: Path) -> None:
    file = tmp_path / "cut.json.gz"
    file.write_bytes(VECTORS[0].read_bytes()[:-100])
    assert nexus("lab", "ghostdag-replay", file)[0] == 2


def test_replay_of_a_missing_file_finds_none(nexus: Command, tmp_path: Path) -> None:
    code, _, err = nexus("lab", "ghostdag-replay", tmp_path / "none")
    assert code == 5
    assert "cannot read" in err
    assert nexus("lab", "ghostdag-replay", tmp_path)[0] == 5


# db


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A node's directory with a chain of a few slots."""
    directory = tmp_path_factory.mktemp("node")
    chain = writer_chain()
    with closing(chain.open_database(directory / "db")) as database:
        engine = chain.open_engine(database)
        writer = LaneWriter(chain, engine, 1)
        for _ in range(3):
            for block in writer.next_slot():
                engine.process_block(block)
    return directory


@pytest.fixture
def node_directory(written: Path, tmp_path: Path) -> Path:
    """A copy of it to damage."""
    directory = tmp_path / "node"
    shutil.copytree(written, directory)
    return directory


@pytest.mark.parametrize("command", ["check", "audit"])
def test_db_commands_on_a_missing_directory_create_nothing(
    nexus: Command, tmp_path: Path, command: str
) -> None:
    code, out, err = nexus("db", command, "--dir", tmp_path / "none")
    assert (code, out) == (74, "")
    assert str(tmp_path / "none") in err and "nexus run" in err
    assert not (tmp_path / "none").exists()


def test_whole_database_passes_check_and_audit(nexus: Command, node_directory: Path) -> None:
    code, out, err = nexus("db", "check", "--dir", node_directory)
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "whole"
    checked = json.loads(nexus("db", "check", "--output", "json", "--dir", node_directory)[1])
    assert checked["faults"] == [] and checked["blocks"] == 19 and checked["commits"] == 19
    code, out, err = nexus("db", "audit", "--dir", node_directory)
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "exact to the unit"
    audited = json.loads(nexus("db", "audit", "--output", "json", "--dir", node_directory)[1])
    assert audited["total_units"] == audited["expected_units"] == str(10**14)
    assert (audited["tokens"], audited["pools"], audited["open_proposals"]) == (0, 0, 0)
    assert "0 tokens, 0 pools" in out and "0 citizens are owed" in out


def test_flipped_bit_is_a_storage_error_and_names_the_next_step(nexus: Command, node_directory: Path) -> None:
    (log,) = (node_directory / "db").glob("*.log")
    content = bytearray(log.read_bytes())
    content[len(content) // 2] ^= 4
    log.write_bytes(content)
    for command in ("check", "audit"):
        code, _, err = nexus("db", command, "--dir", node_directory)
        assert code == 74
        assert len(err.splitlines()) == 1
        assert "db" in err


def test_unit_that_vanished_is_found_by_audit_and_check(nexus: Command, node_directory: Path) -> None:
    key = STATE_PREFIX + account_key(TREASURY_ADDRESS)
    with closing(writer_chain().open_database(node_directory / "db")) as database:
        database.write(WriteBatch({key: encode_account(Account(1, 0))}), sync=True)
    code, out, _ = nexus("db", "audit", "--dir", node_directory)
    assert code == 4
    assert "exact to the unit" not in out
    code, out, err = nexus("db", "check", "--dir", node_directory)
    assert code == 74
    assert "root" in out and f"nexus db repair --dir {node_directory}" in err


def test_db_commands_refuse_the_directory_of_a_running_node(nexus: Command, node_directory: Path) -> None:
    with closing(writer_chain().open_database(node_directory / "db")):
        for command in ("check", "audit"):
            code, _, err = nexus("db", command, "--dir", node_directory)
            assert code == 74
            assert "process" in err
