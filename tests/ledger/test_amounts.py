"""Money at the edges: one parser, one printer, integers only."""

from decimal import Decimal
from random import Random

import pytest

from ledger.amounts import MAX_SUPPLY_UNITS, format_nxt, parse_nxt, require_units
from ledger.errors import AmountError, AmountNotInteger, AmountOutOfRange, AmountTextMalformed


@pytest.mark.parametrize(
    ("text", "units"),
    [("0", 0), ("1", 100_000_000), ("12.5", 1_250_000_000), ("0.00000001", 1), ("1000000", MAX_SUPPLY_UNITS)],
)
def test_amount_is_parsed_and_printed(text: str, units: int) -> None:
    assert parse_nxt(text) == units
    assert format_nxt(units) == text


def test_every_amount_comes_back_and_equals_its_decimal() -> None:
    rng = Random(4)
    for _ in range(2_000):
        units = rng.randrange(MAX_SUPPLY_UNITS + 1) >> rng.randrange(48)
        assert parse_nxt(format_nxt(units)) == units
        assert Decimal(format_nxt(units)) * 100_000_000 == units


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-1",
        "+1",
        "1e3",
        ".5",
        "5.",
        "1,5",
        "1_000",
        "01",
        " 1",
        "1 ",
        "0x1",
        "٣",
        "nan",
        "1.2.3",
        "1\n",
        "9" * 17,
    ],
)
def test_text_that_is_no_plain_decimal_is_malformed(text: str) -> None:
    with pytest.raises(AmountTextMalformed):
        parse_nxt(text)


def test_ninth_decimal_is_refused_not_rounded() -> None:
    with pytest.raises(AmountTextMalformed, match="9 decimals, at most 8"):
        parse_nxt("0.000000001")


def test_more_than_the_supply_is_out_of_range() -> None:
    with pytest.raises(AmountOutOfRange):
        parse_nxt("1000000.00000001")


@pytest.mark.parametrize("value", [True, False, 1.0, "1", None, Decimal(1)])
def test_C9_bool_float_and_text_are_no_units(value: object) -> None:
    with pytest.raises(AmountNotInteger):
        require_units(value)


@pytest.mark.parametrize("value", [-1, MAX_SUPPLY_UNITS + 1, 2**63, -(2**63), 10**400])
def test_C7_units_out_of_range_are_refused(value: int) -> None:
    with pytest.raises(AmountError):
        require_units(value)


def test_difference_keeps_its_sign_when_printed() -> None:
    assert format_nxt(-150_000_000) == "-1.5"
