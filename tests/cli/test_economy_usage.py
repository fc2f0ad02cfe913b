"""The economy's commands without a node: wrong usage, parsing, what is refused before anything is asked or sent."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.exits import CommandFailed
from cli.governance_proposals import deposit_limit, deposit_needed, parameter_value
from cli.persons import person_commitment
from ledger.governance.classes import EMERGENCY, POLICY
from ledger.governed.parameters import FLOOR_FOOD_UNITS, RESERVE_SHARE_PPM, TARGET_TRANSACTIONS_PER_DAY

UNREACHABLE = "http://127.0.0.1:1"

Command = Callable[..., tuple[int, str, str]]

ALICE = ("--from", "alice")


@pytest.mark.parametrize("group", ["token", "dex", "message", "floor", "governance", "oracle", "economy"])
def test_group_without_a_command_prints_its_commands(nexus: Command, group: str) -> None:
    code, out, _ = nexus(group)
    assert code == 2
    assert f"usage: nexus {group}" in out


@pytest.mark.parametrize(
    "arguments",
    [
        ["token", "create", "GOLD", "--name", "Gold", *ALICE],
        ["token", "send", "GOLD", "1", *ALICE],
        ["token", "burn", "GOLD", *ALICE],
        ["dex", "swap", "NXT", "1", *ALICE],
        ["dex", "swap", "NXT", "1", "GOLD", "--slippage", "101", *ALICE],
        ["dex", "swap", "NXT", "1", "GOLD", "--deadline", "soon", *ALICE],
        ["dex", "pool", "NXT"],
        ["message", "send", *ALICE],
        ["message", "send", "hello", "--file", "x", *ALICE],
        ["message", "send", "hello", "--region", "INFRARED", *ALICE],
        ["message", "price", "--priority", "urgent"],
        ["floor", "attest", "--subject", "bob", *ALICE],
        ["floor", "register", "--commitment", "12", *ALICE],
        ["floor", "register", "--commitment", "AA" * 32, *ALICE],
        ["floor", "spend", "wine", "1", "--to", "bob", *ALICE],
        ["governance", "propose"],
        ["governance", "propose", "text", *ALICE],
        ["governance", "propose", "text", "Title"],
        ["governance", "vote", "1", "maybe", *ALICE],
        ["governance", "vote", "one", "yes", *ALICE],
        ["governance", "vote", "1", "yes"],
        ["governance", "vote", "1", "yes", "--key", "x", *ALICE],
        ["oracle", "report", "global_debt", "3.5", *ALICE],
        ["economy", "boom"],
        ["lab", "story", "cinderella"],
    ],
)
def test_wrong_options_are_usage_errors(nexus: Command, arguments: list[str]) -> None:
    code, out, err = nexus(*arguments)
    assert (code, out) == (2, "")
    assert "usage: nexus" in err and "error: " in err


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["token", "create", "GOLD", "--name", "Gold", "--supply", "1", "--decimals", "19"], 2, "0 to 18"),
        (["token", "create", "GOLD", "--name", "Gold", "--supply", "1.5", "--decimals", "0"], 2, "at most 0"),
        (["dex", "create", "NXT", "1", "GOLD", "1", "--pool-fee", "0.6"], 2, "0.1 to 0.5"),
        (["dex", "create", "NXT", "1", "GOLD", "1", "--pool-fee", "0.305"], 2, "0.1 to 0.5"),
        (["message", "send", "--file", "none.txt"], 5, "cannot read"),
        (["message", "send", ""], 2, "expected 1 to 8192"),
        (["message", "send", "x" * 8193], 2, "expected 1 to 8192"),
        (["message", "send", "hello", "--max-price", "1e3"], 2, "amount"),
        (["floor", "register", "--person", "Alice"], 2, "--blinding"),
        (["floor", "claim", "0"], 2, "`all`"),
        (["governance", "propose", "parameter", "reserve_shear", "1"], 2, "did you mean 'reserve_share'"),
        (
            ["governance", "propose", "parameter", "reserve_share", "many"],
            2,
            "expected a whole number of ppm",
        ),
        (["governance", "propose", "sector-token", "WINE", "GOLD"], 2, "ELECTRICITY"),
        (["governance", "propose", "pause", "vote"], 2, "cannot be paused"),
        (["governance", "propose", "budget", "bob", "x"], 2, "amount"),
        (["governance", "campaign", "Mills"], 2, "--validator"),
        (["governance", "vote", "1", "yes", "--not-own"], 2, "--also-for"),
        (["oracle", "report", "global_debt", "3"], 2, "--validator"),
    ],
)
def test_what_can_be_known_without_a_node_is_refused_without_one(
    nexus: Command, tmp_path: Path, arguments: list[str], code: int, told: str
) -> None:
    nexus("wallet", "new", "alice", "--dir", tmp_path)
    found, out, err = nexus(*arguments, *ALICE, "--dir", tmp_path, "--rpc", UNREACHABLE)
    assert (found, out) == (code, ""), err
    assert told in err and len(err.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["token", "list"],
        ["token", "balances", "alice"],
        ["dex", "pools"],
        ["dex", "quote", "NXT", "1", "GOLD"],
        ["message", "price"],
        ["message", "stats"],
        ["floor", "status"],
        ["floor", "citizen", "alice"],
        ["governance", "list"],
        ["governance", "parameters"],
        ["oracle", "feeds"],
        ["economy", "status"],
        ["economy", "policy"],
        ["economy", "backing"],
    ],
)
def test_readers_without_a_network_say_how_to_get_one(
    nexus: Command, tmp_path: Path, arguments: list[str]
) -> None:
    nexus("wallet", "new", "alice", "--dir", tmp_path)
    code, out, err = nexus(*arguments, "--dir", tmp_path)
    assert (code, out) == (3, "")
    assert "nexus devnet up" in err


def test_a_key_file_of_several_keys_needs_to_know_for_which_validator(nexus: Command, tmp_path: Path) -> None:
    nexus("validator", "keys", "--create", "2", "--dir", tmp_path)
    code, _, err = nexus(
        *("governance", "delegate", "nobody", "--key", tmp_path / "validators.json"),
        *("--dir", tmp_path, "--rpc", UNREACHABLE),
    )
    assert code == 3  # the node is asked first
    assert UNREACHABLE in err


def test_a_person_is_one_commitment_under_one_secret_and_tells_nothing_without_it() -> None:
    first, second = bytes(32), bytes([1]) * 32
    assert person_commitment("Ada", first) == person_commitment("Ada", first)
    assert person_commitment("Ada", first) != person_commitment("Ada", second)
    assert person_commitment("Ada", first) != person_commitment("Ben", first)
    assert (
        person_commitment("Ada", first).hex()
        == "1a5b96057c563eac39f7f607a6b79d69d6cc168d71b02ae608b237fb28b89d4b"
    )


@pytest.mark.parametrize(
    ("parameter", "text", "value"),
    [
        (RESERVE_SHARE_PPM, "20000", 20_000),
        (RESERVE_SHARE_PPM, "2%", 20_000),
        (RESERVE_SHARE_PPM, "2.5 %", 25_000),
        (FLOOR_FOOD_UNITS, "300NXT", 300 * 10**8),
        (FLOOR_FOOD_UNITS, "30000000000", 300 * 10**8),
    ],
)
def test_values_of_parameters_have_their_unit(parameter: object, text: str, value: int) -> None:
    assert parameter_value(parameter, text) == value  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("parameter", "text"),
    [
        (RESERVE_SHARE_PPM, "1NXT"),
        (FLOOR_FOOD_UNITS, "5%"),
        (TARGET_TRANSACTIONS_PER_DAY, "-1"),
        (RESERVE_SHARE_PPM, "101%"),
    ],
)
def test_values_in_another_unit_are_refused(parameter: object, text: str) -> None:
    with pytest.raises(CommandFailed):
        parameter_value(parameter, text)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--rpc", UNREACHABLE], "--rpc"),
        (["--slot-ms", "99"], "100 to 60000"),
        (["--slot-ms", "60001"], "100 to 60000"),
        (["--nodes", "0"], "1 to 4"),
    ],
)
def test_the_story_refuses_what_it_cannot_play_and_makes_nothing(
    nexus: Command, tmp_path: Path, options: list[str], told: str
) -> None:
    code, out, err = nexus("lab", "story", "economy", *options, "--dir", tmp_path / "stage")
    assert (code, out) == (2, "")
    assert told in err
    assert not (tmp_path / "stage").exists()


def test_the_story_does_not_start_a_devnet_that_somebody_stopped(nexus: Command, tmp_path: Path) -> None:
    (tmp_path / "devnet.json").write_text(json.dumps({"slot_ms": 1000, "nodes": []}))
    code, _, err = nexus("lab", "story", "economy", "--dir", tmp_path)
    assert code == 3
    assert f"nexus devnet up --dir {tmp_path}" in err


COMMANDS = {
    "token": "create list show balances send burn",
    "dex": "pools pool twap create add remove quote swap positions",
    "message": "price send stats",
    "floor": "status citizen person attest register claim spend",
    "governance": "list show parameters weight vote delegate campaign propose",
    "oracle": "feeds report",
    "economy": "status policy backing",
    "lab": "story",
}
PROPOSALS = "text constitution registrar-add registrar-remove sector-token budget parameter pause"


@pytest.mark.parametrize(
    "arguments",
    [[group, command] for group, commands in COMMANDS.items() for command in commands.split()]
    + [["governance", "propose", action] for action in PROPOSALS.split()],
    ids=" ".join,
)
def test_every_command_has_help(nexus: Command, arguments: list[str]) -> None:
    code, out, err = nexus(*arguments, "--help")
    assert (code, err) == (0, "")
    assert f"usage: nexus {' '.join(arguments)}" in out


def test_G4_a_proposal_signs_twice_the_deposit_that_is_needed_now_or_what_was_typed() -> None:
    assert deposit_limit(None, 40 * 10**8) == 80 * 10**8
    assert deposit_limit("40", 40 * 10**8) == 40 * 10**8
    assert deposit_limit(None, 900_000 * 10**8) == 1_000_000 * 10**8
    with pytest.raises(CommandFailed, match="needs now"):
        deposit_limit("39.99999999", 40 * 10**8)


def test_G4_an_emergency_asks_for_the_base_deposit() -> None:
    base = {"name": "proposal_deposit", "value": str(10 * 10**8)}
    answer = {"next_deposit": str(40 * 10**8), "parameters": [base]}
    assert [deposit_needed(answer, class_) for class_ in (POLICY, EMERGENCY)] == [40 * 10**8, 10 * 10**8]
