"""Every group's wrong usage, and what works without a node: exit codes, texts, files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

UNREACHABLE = "http://127.0.0.1:1"

Command = Callable[..., tuple[int, str, str]]


# the command itself


def test_no_arguments_print_the_help(nexus: Command) -> None:
    code, out, err = nexus()
    assert (code, err) == (0, "")
    assert "ghostdag" not in out and "wallet" in out


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("wallt", "wallet"), ("chian", "chain"), ("devent", "devnet"), ("DB", ""), ("zzz", "")],
)
def test_unknown_group_gets_the_nearest_name(nexus: Command, typed: str, meant: str) -> None:
    code, out, err = nexus(typed)
    assert (code, out) == (2, "")
    assert repr(typed) in err and "nexus --help" in err
    assert (f"did you mean {meant!r}" in err) == bool(meant)


@pytest.mark.parametrize(
    "arguments",
    [
        ["wallet", "nwe", "alice"],
        ["wallet", "new"],
        ["wallet", "new", "alice", "bob"],
        ["wallet", "send", "--from", "alice", "1"],
        ["wallet", "list", "--output", "xml"],
        ["chain", "heads"],
        ["chain", "dag", "--blocks", "many"],
        ["chain", "head", "--timeout", "soon"],
        ["devnet", "up", "--validators", "a dozen"],
        ["devnet", "kill"],
        ["validator", "keys", "--create", "x"],
        ["db", "mend"],
        ["lab", "ghostdag-replay"],
        ["config", "set"],
        ["run", "--colour", "blue"],
        ["--verbose"],
    ],
)
def test_wrong_commands_and_options_are_usage_errors(nexus: Command, arguments: list[str]) -> None:
    code, out, err = nexus(*arguments)
    assert (code, out) == (2, "")
    assert "usage: nexus" in err and "error: " in err


@pytest.mark.parametrize("group", ["wallet", "devnet", "chain", "validator", "db", "lab", "config"])
def test_group_without_a_command_prints_its_commands(nexus: Command, group: str) -> None:
    code, out, _ = nexus(group)
    assert code == 2
    assert f"usage: nexus {group}" in out


# wallet


@pytest.mark.parametrize(
    "name", ["", "Alice", "1st", "-a", "a b", "a.b", "../a", "a/b", "é", "a" * 33, "con\0", "a\n"]
)
def test_wallet_names_are_plain_words(nexus: Command, tmp_path: Path, name: str) -> None:
    code, _, err = nexus("wallet", "new", "--dir", tmp_path, "--", name)
    assert code == 2
    assert "is no wallet name" in err
    assert not (tmp_path / "wallets").exists()


def test_new_wallet_is_for_its_owner_only_and_listed(nexus: Command, tmp_path: Path) -> None:
    for name in ("bob", "alice-2_x", "a" * 32):
        assert nexus("wallet", "new", name, "--dir", tmp_path)[0] == 0
        assert (tmp_path / "wallets" / f"{name}.json").stat().st_mode & 0o777 == 0o600
    assert nexus("wallet", "list", "--dir", tmp_path)[1].split() == ["a" * 32, "alice-2_x", "bob"]
    assert json.loads(nexus("wallet", "list", "--output", "json", "--dir", tmp_path)[1]) == [
        "a" * 32,
        "alice-2_x",
        "bob",
    ]


def test_directory_without_wallets_lists_nothing(nexus: Command, tmp_path: Path) -> None:
    assert nexus("wallet", "list", "--dir", tmp_path) == (0, "", "")
    assert nexus("wallet", "list", "--output", "json", "--dir", tmp_path) == (0, "[]\n", "")


def test_second_wallet_of_a_name_is_refused_and_the_first_one_stays(nexus: Command, tmp_path: Path) -> None:
    nexus("wallet", "new", "alice", "--dir", tmp_path)
    before = (tmp_path / "wallets/alice.json").read_bytes()
    code, _, err = nexus("wallet", "new", "alice", "--dir", tmp_path)
    assert code == 4
    assert "exists already" in err
    assert (tmp_path / "wallets/alice.json").read_bytes() == before


def test_no_secret_of_a_wallet_is_printed(nexus: Command, tmp_path: Path) -> None:
    _, out, err = nexus("wallet", "new", "alice", "--output", "json", "--dir", tmp_path)
    seed = json.loads((tmp_path / "wallets/alice.json").read_text())["seed"]
    assert len(seed) == 64
    assert seed not in out + err
    assert set(json.loads(out)) == {"name", "file"}


def test_missing_wallet_names_those_that_there_are(nexus: Command, tmp_path: Path) -> None:
    nexus("wallet", "new", "alice", "--dir", tmp_path)
    code, _, err = nexus("wallet", "address", "bob", "--dir", tmp_path)
    assert code == 5
    assert "there are: alice" in err and "nexus wallet new bob" in err


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"seed": 1}', '{"seed": "ff"}', "\0"])
def test_file_that_is_no_wallet_is_a_configuration_error(
    nexus: Command, tmp_path: Path, content: str
) -> None:
    nexus("wallet", "new", "alice", "--dir", tmp_path)
    (tmp_path / "wallets/alice.json").write_text(content)
    code, _, err = nexus("wallet", "address", "alice", "--dir", tmp_path, "--rpc", UNREACHABLE)
    assert code == 78
    assert "alice.json" in err


def test_wallet_directory_that_cannot_be_made_is_a_storage_error(nexus: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, _, err = nexus("wallet", "new", "alice", "--dir", tmp_path / "file")
    assert code == 74
    assert "cannot" in err


@pytest.mark.parametrize("option", ["amount", "fee"])
@pytest.mark.parametrize(
    "text", ["", "x", "1,5", "1e3", "0x10", "1_000", "٣", "1.123456789", "NaN", "99999999999999999999", " 1"]
)
def test_amounts_are_plain_decimals_of_nxt(nexus: Command, tmp_path: Path, option: str, text: str) -> None:
    nexus("wallet", "new", "alice", "--dir", tmp_path)
    amount, fee = (text, "1") if option == "amount" else ("1", text)
    code, _, err = nexus(
        *("wallet", "send", "--from", "alice", "--to", "alice", "--fee", fee),
        *("--dir", tmp_path, "--rpc", UNREACHABLE, "--", amount),
    )
    assert code == 2
    assert "amount" in err


def test_client_command_without_a_network_says_how_to_get_one(nexus: Command, tmp_path: Path) -> None:
    nexus("wallet", "new", "alice", "--dir", tmp_path)
    for arguments in (
        ("balance", "alice"),
        ("address", "alice"),
        ("send", "--from", "alice", "--to", "alice", "1"),
    ):
        code, _, err = nexus("wallet", *arguments, "--dir", tmp_path)
        assert code == 3
        assert "nexus devnet up" in err and "--rpc" in err


# devnet and chain


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--nodes", 0),
        ("--nodes", -1),
        ("--nodes", 33),
        ("--validators", 0),
        ("--validators", 1_001),
        ("--slot-ms", 99),
        ("--slot-ms", 60_001),
    ],
)
def test_devnet_options_out_of_range_make_nothing(
    nexus: Command, tmp_path: Path, option: str, value: int
) -> None:
    code, _, err = nexus("devnet", "up", option, value, "--dir", tmp_path / "new")
    assert code == 2
    assert f"{option} {value}: expected" in err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "arguments", [["status"], ["compare"], ["kill", "1"], ["heal", "1"], ["load"], ["down"]]
)
def test_devnet_commands_without_a_devnet_find_none(
    nexus: Command, tmp_path: Path, arguments: list[str]
) -> None:
    code, _, err = nexus("devnet", *arguments, "--dir", tmp_path)
    assert code == 5
    assert f"nexus devnet up --dir {tmp_path}" in err


def stopped_devnet(directory: Path, nodes: int = 2) -> Path:
    """A devnet's description, none of whose nodes runs."""
    entries = [
        {
            "number": number,
            "dir": f"node{number}",
            "validators": [],
            "rpc": "",
            "p2p": "",
            "metrics": "",
            "pid": 0,
        }
        for number in range(1, nodes + 1)
    ]
    description = {"chain_id": "devnet-1", "slot_ms": 1000, "validators": 12, "nodes": entries}
    (directory / "devnet.json").write_text(json.dumps(description))
    return directory


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["devnet", "status"], 0),
        (["devnet", "compare"], 3),
        (["devnet", "kill", "1"], 5),
        (["devnet", "kill", "3"], 2),
        (["devnet", "heal", "0"], 2),
        (["devnet", "load"], 3),
        (["devnet", "load", "--senders", "0"], 2),
        (["devnet", "load", "--senders", "257"], 2),
        (["devnet", "up", "--nodes", "3"], 4),
        (["devnet", "up", "--slot-ms", "999"], 4),
        (["chain", "head", "--node", "3"], 2),
        (["chain", "head", "--node", "1"], 3),
        (["db", "check"], 2),
        (["db", "audit", "--node", "1"], 74),
    ],
)
def test_stopped_devnet_answers_with_the_right_code(
    nexus: Command, tmp_path: Path, arguments: list[str], code: int
) -> None:
    found, _, err = nexus(*arguments, "--dir", stopped_devnet(tmp_path))
    assert found == code, err
    assert (err == "") == (code == 0)


def test_damaged_description_is_a_configuration_error(nexus: Command, tmp_path: Path) -> None:
    (tmp_path / "devnet.json").write_text("{")
    code, _, err = nexus("devnet", "status", "--dir", tmp_path)
    assert code == 78
    assert "devnet.json is not JSON" in err


# validator


def test_validator_keys_are_made_once_for_their_owner_only(nexus: Command, tmp_path: Path) -> None:
    directory = tmp_path / "node"
    code, out, _ = nexus("validator", "keys", "--create", "3", "--output", "json", "--dir", directory)
    assert code == 0
    listing = json.loads(out)
    assert len({row["public_key"] for row in listing}) == 3
    file = directory / "validators.json"
    assert file.stat().st_mode & 0o777 == 0o600
    before = file.read_bytes()
    assert not any(seed in out for seed in secrets_in(json.loads(before)))
    code, _, err = nexus("validator", "keys", "--create", "3", "--dir", directory)
    assert code == 78
    assert "validators.json" in err
    assert file.read_bytes() == before
    assert json.loads(nexus("validator", "keys", "--output", "json", "--dir", directory)[1]) == listing


def secrets_in(document: Any) -> list[str]:
    """All seeds of a key file."""
    if isinstance(document, dict):
        found = [str(document["seed"])] if "seed" in document else []
        return found + [seed for value in document.values() for seed in secrets_in(value)]
    return [seed for value in document for seed in secrets_in(value)] if isinstance(document, list) else []


@pytest.mark.parametrize("count", [0, -1, 1_001])
def test_number_of_validator_keys_is_bounded(nexus: Command, tmp_path: Path, count: int) -> None:
    code, _, err = nexus("validator", "keys", "--create", count, "--dir", tmp_path)
    assert code == 2
    assert "expected 1 to 1000" in err
    assert list(tmp_path.iterdir()) == []


# config


def test_configuration_comes_in_layers_and_says_from_where(
    nexus: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nexus.toml").write_text('rpc_port = 1\nmax_connections = 7\nlog_format = "json"\n')
    monkeypatch.setenv("NEXUS_RPC_PORT", "2")
    code, out, _ = nexus("config", "show", "--origin", "--output", "json", "--dir", tmp_path)
    assert code == 0
    shown = json.loads(out)
    assert shown["rpc_port"] == {"value": 2, "origin": "environment NEXUS_RPC_PORT"}
    assert shown["max_connections"] == {"value": 7, "origin": f"file {tmp_path / 'nexus.toml'}"}
    assert shown["dir"] == {"value": str(tmp_path), "origin": "flag --dir"}
    assert shown["outbound_peers"]["origin"] == "default"
    code, out, _ = nexus("config", "show", "--origin", "--dir", tmp_path)
    assert code == 0
    assert "rpc_port = 2    # environment NEXUS_RPC_PORT\n" in out
    assert 'log_format = "json"    # file ' in out


def test_directory_from_the_environment_is_not_called_a_flag(
    nexus: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEXUS_DIR", str(tmp_path))
    shown = json.loads(nexus("config", "show", "--origin", "--output", "json")[1])
    assert shown["dir"] == {"value": str(tmp_path), "origin": "environment NEXUS_DIR"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rpc_prot = 1", "did you mean 'rpc_port'"),
        ("zzz = 1", "known: "),
        ('rpc_port = "one"', "must be a whole number"),
        ('log_level = "loud"', "debug, info, warning, error"),
        ("rpc_port = ", "is not TOML"),
    ],
)
def test_bad_configuration_file_is_refused_by_name(
    nexus: Command, tmp_path: Path, text: str, told: str
) -> None:
    file = tmp_path / "other.toml"
    file.write_text(text)
    code, out, err = nexus("config", "show", "--config", file, "--dir", tmp_path)
    assert (code, out) == (78, "")
    assert told in err and str(file) in err
    assert nexus("run", "--config", file, "--dir", tmp_path)[0] == 78


def test_missing_configuration_file_is_refused(nexus: Command, tmp_path: Path) -> None:
    code, _, err = nexus("config", "show", "--config", tmp_path / "none.toml", "--dir", tmp_path)
    assert code == 78
    assert "cannot read" in err


def test_bad_flags_of_run_are_refused_before_anything_is_made(nexus: Command, tmp_path: Path) -> None:
    code, _, err = nexus("run", "--rpc-port", "x", "--dir", tmp_path / "new")
    assert code == 78
    assert "flag --rpc-port" in err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("amount", ["0", "0.0"])
def test_taking_out_nothing_is_not_taking_out_everything(nexus: Command, tmp_path: Path, amount: str) -> None:
    """On the chain 0 units mean the whole delegation."""
    code, out, err = nexus(
        "validator",
        "undelegate",
        "3",
        amount,
        "--from",
        "alice",
        "--dir",
        str(tmp_path),
        "--rpc",
        UNREACHABLE,
    )
    assert (code, out) == (2, "")
    assert "`all`" in err
