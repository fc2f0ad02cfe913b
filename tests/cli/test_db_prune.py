"""`nexus db prune` on the store of a stopped node."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from builders.history import make_history, tiny_engine, tiny_parameters

from consensus.stores import SCHEMA_VERSION, read_base
from ledger.genesis_text import genesis_to_json
from ledger.storage.database import Database
from node.layout import database_directory

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def node_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with some periods to prune."""
    directory = tmp_path_factory.mktemp("node")
    past = make_history(1, 190, presence=0.3)
    (directory / "genesis.json").write_text(genesis_to_json(past.chain.genesis))
    database = Database(
        database_directory(directory),
        schema_version=SCHEMA_VERSION,
        min_free_bytes=0,
        write_buffer_bytes=64 * 1024,  # several tables, as in a store of some age
    )
    engine = tiny_engine(past.chain, database)
    for block in past.blocks:
        engine.process_blocks([engine.prepare_decoded(block.block, block.block.header.slot)])
    database.close()
    return directory


def base_slot(directory: Path) -> int:
    database = Database(database_directory(directory), schema_version=SCHEMA_VERSION, create=False)
    try:
        base = read_base(database)
        return 0 if base is None else base.slot
    finally:
        database.close()


def test_a_dry_run_says_what_would_go_and_what_stops_working_and_changes_nothing(
    nexus: Command, node_directory: Path
) -> None:
    with tiny_parameters():
        code, shown, _ = nexus("db", "prune", "--dry-run", "--dir", node_directory)
        assert code == 0
        assert "blocks would go" in shown
        for named in ("chain_getBlock", "chain_getDag", "tx_get", "tx_status", "/nexus/sync/1"):
            assert named in shown
        assert base_slot(node_directory) == 0
        code, raw, _ = nexus("db", "prune", "--dry-run", "--output", "json", "--dir", node_directory)
    result = json.loads(raw)
    assert result["blocks"] > 50
    assert result["records"] > 10 * result["blocks"]
    assert result["bytes"] > 1_000 * result["blocks"]


def test_pruning_removes_what_the_dry_run_named_and_the_store_is_whole(
    nexus: Command, node_directory: Path
) -> None:
    with tiny_parameters():
        code, raw, _ = nexus("db", "prune", "--output", "json", "--dir", node_directory)
        assert code == 0
        result = json.loads(raw)
        assert base_slot(node_directory) == int(result["base_slot"]) > 0
        assert result["store_bytes_after"] < result["store_bytes"]
        _, again, _ = nexus("db", "prune", "--dry-run", "--output", "json", "--dir", node_directory)
        assert json.loads(again)["blocks"] == 0
        code, shown, _ = nexus("db", "check", "--dir", node_directory)
    assert code == 0
    assert "whole" in shown


def test_without_a_genesis_document_it_says_where_to_put_one(
    nexus: Command, node_directory: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "node"
    copy.mkdir()
    database_directory(node_directory).rename(database_directory(copy))
    try:
        code, _, error = nexus("db", "prune", "--dir", copy)
    finally:
        database_directory(copy).rename(database_directory(node_directory))
    assert code == 78
    assert "genesis.json" in error
