"""Percentages and amounts in text, and what a symbol means."""

import argparse
from typing import Any

import pytest

from cli.assets import Asset, resolve_asset, token_only
from cli.exits import CommandFailed
from cli.figures import format_percent, format_units, parse_units, percent_ppm

ADDRESS = "dnxt1qqqsyqcyq5rqwzqfpg9scrgwpugpzysn2ywgyf"


@pytest.mark.parametrize(
    ("text", "ppm"), [("0", 0), ("5", 50_000), ("0.5", 5_000), ("100", 1_000_000), ("0.0001", 1)]
)
def test_percentages_are_parts_per_million(text: str, ppm: int) -> None:
    assert percent_ppm(text) == ppm
    assert format_percent(ppm) == f"{text} %"


@pytest.mark.parametrize("text", ["", "-1", "x", "1.", "1.00001", "100.0001", "٣", "1e2", ".5", "1.٣"])
def test_what_is_no_percentage_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        percent_ppm(text)


@pytest.mark.parametrize(
    ("text", "decimals", "units"),
    [
        ("0", 0, 0),
        ("7", 0, 7),
        ("12.5", 2, 1_250),
        ("0.00000001", 8, 1),
        ("1", 18, 10**18),
        ("9223372036854775807", 0, 2**63 - 1),
    ],
)
def test_amounts_have_the_decimals_of_their_token(text: str, decimals: int, units: int) -> None:
    assert parse_units(text, decimals) == units
    assert format_units(units, decimals) == text


@pytest.mark.parametrize(
    ("text", "decimals"),
    [
        ("", 2),
        ("-1", 2),
        ("1.234", 2),
        ("1.0", 0),
        ("01", 2),
        ("1,5", 2),
        ("10", 18),
        ("9223372036854775808", 0),
    ],
)
def test_amounts_that_a_token_cannot_have_are_refused(text: str, decimals: int) -> None:
    with pytest.raises(CommandFailed):
        parse_units(text, decimals)


class Tokens:
    """A node that knows some tokens, two to a page."""

    def __init__(self, *symbols: str) -> None:
        self.tokens = [
            {
                "id": f"{place:040x}",
                "symbol": symbol,
                "name": f"Token {place}",
                "decimals": place,
                "creator": ADDRESS,
            }
            for place, symbol in enumerate(symbols, start=1)
        ]

    def call(self, method: str, **params: Any) -> Any:
        if method == "token_get":
            return next(token for token in self.tokens if token["id"] == params["id"])
        later = [token for token in self.tokens if token["id"] > params.get("after", "")]
        return {"tokens": later[:2], "next_after": later[1]["id"] if len(later) > 2 else None}


def asset_in(text: str, *symbols: str) -> Asset:
    return resolve_asset(Tokens(*symbols), text)  # type: ignore[arg-type]


def test_a_symbol_that_one_token_bears_is_found_on_any_page() -> None:
    asset = asset_in("corn", "GOLD", "SILVER", "OIL", "SALT", "CORN")
    assert (asset.text, asset.symbol, asset.decimals) == (f"{5:040x}", "CORN", 5)


def test_a_symbol_that_two_tokens_bear_is_refused_and_both_are_shown() -> None:
    with pytest.raises(CommandFailed) as refused:
        asset_in("GOLD", "GOLD", "SILVER", "GOLD")
    assert refused.value.exit_code == 2
    assert f"{1:040x}" in str(refused.value) and f"{3:040x}" in str(refused.value)
    assert asset_in(f"{3:040x}", "GOLD", "SILVER", "GOLD").decimals == 3


def test_a_symbol_of_no_token_is_not_found_and_nxt_needs_no_token() -> None:
    with pytest.raises(CommandFailed) as refused:
        asset_in("LEAD", "GOLD")
    assert refused.value.exit_code == 5
    assert asset_in("nxt").id == bytes(20)
    with pytest.raises(CommandFailed, match="no token"):
        token_only(asset_in("NXT"), "use another command")
