"""Money: integers only. 1 NXT = 100,000,000 units; the whole supply exists from genesis on.

The one parser from text to units, and the one printer, for CLI, RPC and console.
"""

import re

from ledger.errors import AmountNotInteger, AmountOutOfRange, AmountTextMalformed

UNITS_PER_NXT = 100_000_000
DECIMALS = 8
PPM = 1_000_000
"""The whole, in parts per million."""
MAX_SUPPLY_UNITS = 1_000_000 * UNITS_PER_NXT
"""Every unit there will ever be (ledger.md, Money)."""

_DECIMAL = re.compile(r"(0|[1-9][0-9]{0,15})(?:\.([0-9]{1,20}))?", re.ASCII)


def require_units(value: object, what: str = "amount", *, least: int = 0) -> int:
    """`value` when it is an int from `least` to MAX_SUPPLY_UNITS; bool and float are not ints here.

    Errors: `AmountNotInteger`, `AmountOutOfRange`.
    """
    if type(value) is not int:
        raise AmountNotInteger(what, value)
    if value < least or value > MAX_SUPPLY_UNITS:
        raise AmountOutOfRange(what, value, least, MAX_SUPPLY_UNITS)
    return value


def parse_nxt(text: str) -> int:
    """Units of a decimal amount such as `12.5`. No sign, no exponent, no grouping, at most 8 decimals.

    Errors: `AmountTextMalformed`, `AmountOutOfRange`.
    """
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise AmountTextMalformed(text, "expected digits with at most one decimal point")
    whole, fraction = match[1], match[2] or ""
    if len(fraction) > DECIMALS:
        raise AmountTextMalformed(text, f"{len(fraction)} decimals, at most {DECIMALS} exist")
    return require_units(int(whole) * UNITS_PER_NXT + int(fraction.ljust(DECIMALS, "0")))


def format_nxt(units: int) -> str:
    """Decimal NXT without trailing zeros: 1_250_000_000 -> `12.5`. Negative differences keep their sign."""
    whole, fraction = divmod(abs(units), UNITS_PER_NXT)
    digits = f"{fraction:08d}".rstrip("0")
    sign = "-" if units < 0 else ""
    return f"{sign}{whole}.{digits}" if digits else f"{sign}{whole}"
