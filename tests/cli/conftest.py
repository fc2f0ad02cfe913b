"""Running commands in the tests' own process."""

from collections.abc import Callable

import pytest

from cli.main import run_command

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def nexus(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command in this process: (exit code, standard output, standard error)."""

    def run(*arguments: object) -> tuple[int, str, str]:
        code = run_command([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run
