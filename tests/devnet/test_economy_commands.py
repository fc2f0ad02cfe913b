"""The economy's commands against a real node, as users and validators type them."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from builders.commands import devnet

from cli.main import run_command

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("processes")]

Typed = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A devnet of one node."""
    place = tmp_path_factory.mktemp("devnet")
    with devnet(place, "--nodes", "1", "--validators", "6", "--slot-ms", "150"):
        yield place


@pytest.fixture
def typed(directory: Path, capsys: pytest.CaptureFixture[str]) -> Typed:
    """Runs a command in this process: (exit code, standard output, standard error)."""

    def run(*arguments: object) -> tuple[int, str, str]:
        code = run_command([*map(str, arguments), "--dir", str(directory)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def told(typed: Typed, *arguments: object) -> Any:
    """The JSON of a command that succeeds."""
    code, out, err = typed(*arguments, "--output", "json")
    assert code == 0, err
    return json.loads(out)


def test_a_symbol_of_two_tokens_must_be_an_id_and_a_swap_tells_what_it_really_gave(typed: Typed) -> None:
    create = (
        "token",
        "create",
        "TWIN",
        "--name",
        "One of two",
        "--decimals",
        "2",
        "--from",
        "alice",
        "--wait",
    )
    first, second = (told(typed, *create, "--supply", supply)["token"] for supply in ("1000", "5"))
    code, _, err = typed("dex", "create", "NXT", "10", "TWIN", "500", "--from", "alice", "--wait")
    assert code == 2
    assert first in err and second in err
    founded = told(typed, "dex", "create", first, "500", "NXT", "10", "--from", "alice", "--wait")
    assert founded["result"]["second"] == "50000"
    quote = told(typed, "dex", "quote", "NXT", "1", first, "--slippage", "1")
    code, out, _ = typed("dex", "swap", "NXT", "1", first, "--from", "bob", "--slippage", "1", "--wait")
    assert code == 0
    quoted, sent = out.splitlines()
    assert "at least" in quoted
    assert f"swapped for {int(quote['amount_out']) / 100:g} TWIN" in sent
    balance = told(typed, "wallet", "balance", "bob")
    assert [one["balance"] for one in balance["tokens"]] == [quote["amount_out"]]
    assert balance["debt_backing"]["display"].startswith("$")
    assert "10 NXT" not in typed("dex", "pool", "NXT", first)[1]
    assert typed("dex", "remove", first, "NXT", "all", "--from", "bob")[0] == 2


def test_a_person_becomes_a_citizen_with_the_secret_that_attest_has_made(typed: Typed) -> None:
    person = ("--person", "Carol, 1990")
    attested = told(typed, "floor", "attest", *person, "--subject", "carol", "--from", "registrar", "--wait")
    assert told(typed, "floor", "person", "--commitment", attested["commitment"])["ready"] is True
    secret = ("--blinding", attested["blinding"])
    registered = told(typed, "floor", "register", *person, *secret, "--from", "carol", "--wait")
    assert registered["result"]["population"] == "1"
    assert told(typed, "floor", "citizen", "carol")["person"] == attested["commitment"]
    code, _, err = typed("floor", "claim", "1000", "--from", "carol", "--wait")
    assert code == 4
    assert "AllowanceExceeded" in err


def test_a_validators_key_proposes_votes_and_reports(typed: Typed, directory: Path) -> None:
    key = ("--key", directory / "node1" / "validators.json")
    one = told(typed, "validator", "show", "1")
    assert (
        typed("wallet", "send", "--from", "alice", "--to", one["withdrawal_address"], "150", "--wait")[0] == 0
    )
    proposed = told(
        typed, "governance", "propose", "parameter", "reserve_share", "2%", *key, "--validator", "1", "--wait"
    )
    number = proposed["result"]["proposal"]
    assert (proposed["result"]["deposit_units"], proposed["max_deposit"]) == (
        str(10 * 10**8),
        str(20 * 10**8),
    )
    voted = told(typed, "governance", "vote", number, "yes", *key, "--validator", "1", "--wait")
    assert voted["result"]["weight"] == one["self_stake"]
    shown = told(typed, "governance", "show", number, "--votes", "1")
    assert (shown["action"]["value"], shown["status"], len(shown["votes"])) == ("20000", "open", 1)
    code, _, err = typed("governance", "vote", number, "yes", "--from", "bob")
    assert code == 4
    assert "has no stake" in err
    campaign = told(typed, "governance", "campaign", "Mills", *key, "--validator", "1", "--wait")
    assert told(typed, "governance", "show", campaign["result"]["proposal"])["burned"] == str(100 * 10**8)
    report = ("oracle", "report", "demand_water", "1100000", *key, "--wait")
    assert told(typed, *report, "--validator", "1")["kind"] == "oracle_report"
    code, _, err = typed("oracle", "report", "demand_watr", "1", *key, "--validator", "1")
    assert code == 2
    assert "did you mean 'demand_water'" in err
    code, _, err = typed("governance", "delegate", "bob", *key)
    assert code == 2
    assert "holds 6 keys" in err
    assert typed("governance", "delegate", "bob", *key, "--validator", "1", "--wait")[0] == 0
    assert told(typed, "governance", "weight", "bob")["delegators"][0]["address"] == one["withdrawal_address"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("economy", "status"),
        ("economy", "policy"),
        ("economy", "backing"),
        ("floor", "status"),
        ("governance", "list"),
        ("governance", "parameters", "policy"),
        ("oracle", "feeds", "--outliers"),
        ("message", "price"),
        ("message", "stats"),
        ("token", "list"),
        ("token", "balances", "alice"),
        ("dex", "pools"),
        ("dex", "positions", "alice"),
    ],
    ids=" ".join,
)
def test_readers_print_text_and_json(typed: Typed, arguments: tuple[str, ...]) -> None:
    code, out, err = typed(*arguments)
    assert (code, err) == (0, "")
    assert out.strip()
    assert told(typed, *arguments)
