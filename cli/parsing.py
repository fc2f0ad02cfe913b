"""argparse without its slowest import: it asks shutil for the terminal's width, again for every option it is given."""

import argparse
import os
import sys


class CommandFormatter(argparse.HelpFormatter):
    """Help as wide as the terminal."""

    def __init__(self, prog: str, indent_increment: int = 2, max_help_position: int = 24) -> None:
        super().__init__(prog, indent_increment, max_help_position, width=_terminal_columns() - 2)


class CommandParser(argparse.ArgumentParser):
    """A parser whose help is a `CommandFormatter`'s; its commands' parsers are of the same class."""

    def __init__(self, prog: str | None = None, description: str | None = None, **options: object) -> None:
        """As argparse's, by name."""
        super().__init__(prog=prog, description=description, formatter_class=CommandFormatter, **options)  # type: ignore[arg-type]


def _terminal_columns() -> int:
    """$COLUMNS, else the width of the terminal at standard output, else 80: as shutil has it."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns):
        return int(columns)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or 80
    except (OSError, ValueError, AttributeError):
        return 80
