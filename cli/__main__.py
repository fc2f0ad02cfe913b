"""Entry point of the `nexus` command and of `python -m cli`."""

import sys

from cli.main import run_command


def main() -> int:
    """Run the command line of this process; the exit code."""
    return run_command(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
