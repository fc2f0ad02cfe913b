"""How many faults the simulations of a session have injected, in all processes together (reliability.md 5, row 1).

A test that simulates a network says how many there were: `record_property(REAL_FAULTS, number)` for a network of real
nodes, `MODEL_FAULTS` for a pure model of the protocol. The sum stands at the end of the output; a run of the whole
suite that injected fewer than promised has failed. Only crashes, partitions, disk faults and byzantine acts count.
"""

from collections import Counter
from typing import Final

import pytest

REAL_FAULTS: Final = "faults of real nodes"
MODEL_FAULTS: Final = "faults of models"

PROMISED: Final = 2_000
"""Of which the models may give half."""

_injected: Counter[str] = Counter()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """With xdist this runs where all reports come together."""
    if report.when == "call":
        for name, value in report.user_properties:
            if name in (REAL_FAULTS, MODEL_FAULTS):
                _injected[name] += int(str(value))


def counted() -> int:
    """All real ones, and as many of the models' as may count."""
    return _injected[REAL_FAULTS] + min(_injected[MODEL_FAULTS], PROMISED // 2)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line, when there is something to say."""
    if _injected:
        terminalreporter.write_line(
            f"simulated faults: {_injected[REAL_FAULTS]} on real nodes, {_injected[MODEL_FAULTS]} on models"
        )


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fail a whole, otherwise good run that was too kind."""
    config = session.config
    is_worker = hasattr(config, "workerinput")
    is_whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS and not (
        config.option.keyword or config.option.markexpr or config.option.collectonly
    )
    if not is_worker and is_whole and exitstatus == pytest.ExitCode.OK and counted() < PROMISED:
        print(f"\nonly {counted()} simulated faults count, {PROMISED} are promised")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
