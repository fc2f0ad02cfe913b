"""Figures in text: percentages, and amounts of what has decimals of its own. Never through a float."""

from __future__ import annotations

import re

from cli.exits import CommandFailed, ExitCode

PPM_PER_PERCENT = 10_000
MAX_TOKEN_UNITS = 2**63 - 1
"""The greatest amount that a transaction can carry."""

_DECIMAL = re.compile(r"(0|[1-9][0-9]{0,18})(?:\.([0-9]{1,20}))?", re.ASCII)


def percent_ppm(text: str) -> int:
    """Parts per million of a percentage from 0 to 100 with up to four decimals; for argparse's `type`.

    Errors: `argparse.ArgumentTypeError`.
    """
    from argparse import ArgumentTypeError

    whole, point, fraction = text.partition(".")
    if (
        (point and not fraction)
        or not (whole.isascii() and whole.isdigit() and len(fraction) <= 4)
        or (fraction and not (fraction.isascii() and fraction.isdigit()))
    ):
        raise ArgumentTypeError(f"{text!r} is no percentage such as 5 or 2.5")
    ppm = int(whole) * PPM_PER_PERCENT + int(fraction.ljust(4, "0") or "0")
    if ppm > 100 * PPM_PER_PERCENT:
        raise ArgumentTypeError(f"{text} % is more than 100 %")
    return ppm


def format_percent(ppm: int) -> str:
    """`25 %`, `0.3 %` of parts per million."""
    whole, rest = divmod(abs(ppm), PPM_PER_PERCENT)
    digits = f"{rest:04d}".rstrip("0")
    return f"{'-' if ppm < 0 else ''}{whole}{'.' + digits if digits else ''} %"


def parse_units(text: str, decimals: int) -> int:
    """Units of a decimal amount such as `12.5` of something with `decimals` places. Errors: `CommandFailed` USAGE."""
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise CommandFailed(
            ExitCode.USAGE, f"amount {text!r}: expected digits with at most one decimal point"
        )
    whole, fraction = match[1], match[2] or ""
    if len(fraction) > decimals:
        raise CommandFailed(
            ExitCode.USAGE, f"amount {text!r} has {len(fraction)} decimals, at most {decimals} exist"
        )
    units: int = int(whole) * 10**decimals + int(fraction.ljust(decimals, "0") or "0")
    if units > MAX_TOKEN_UNITS:
        raise CommandFailed(
            ExitCode.USAGE, f"amount {text!r} is {units} units, at most {MAX_TOKEN_UNITS} fit"
        )
    return units


def format_units(units: int, decimals: int) -> str:
    """The opposite of `parse_units`, without trailing zeros; negative differences keep their sign."""
    whole, fraction = divmod(abs(units), 10**decimals)
    digits = f"{fraction:0{decimals}d}".rstrip("0") if decimals else ""
    return f"{'-' if units < 0 else ''}{whole}{'.' + digits if digits else ''}"
