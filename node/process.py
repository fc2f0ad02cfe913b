"""One process of ours, a node or a signer: signals, limits, and the exit code.

0    stopped by SIGTERM or SIGINT
1    something that nobody foresaw; the traceback is on stderr
70   our own data contradict each other (a defect, or a changed disk)
74   the store: locked, damaged, full, or the disk failed
76   two finalities contradict each other: a third of the stake broke the rules; do not restart, ask other operators
78   configuration, genesis, keys, or an address that is taken
128 + n   a second signal n, during shutdown: at once
"""

import os
import resource
import signal
import sys
import traceback
from collections.abc import Awaitable, Callable, Iterator
from types import TracebackType

import trio

from consensus.errors import ConsensusFault, FinalityConflict
from ledger.errors import GenesisInvalid, LedgerFault
from ledger.storage.errors import StoreError
from node.config import ConfigError
from node.keystore import KeyFileError
from node.logs import Log, Redactor, open_log, quiet_libraries
from node.metrics import MetricsBindFailed
from node.signing.errors import SignerBindFailed, SigningRecordCorrupted
from p2p.errors import AddressMalformed, BindFailed

EXIT_OK = 0
EXIT_FAULT = 70
EXIT_STORE = 74
EXIT_CONFLICT = 76
EXIT_CONFIG = 78
EXIT_SIGNALLED = 128

_CONFIG_ERRORS = (
    ConfigError,
    GenesisInvalid,
    KeyFileError,
    BindFailed,
    MetricsBindFailed,
    SignerBindFailed,
    AddressMalformed,
)
_FAULTS = (ConsensusFault, LedgerFault, SigningRecordCorrupted)


Service = Callable[[Log, Redactor], Awaitable[None]]
"""Runs until it is cancelled."""


def run_service(service: Service, name: str, *, level: str, style: str, now_ms: Callable[[], int]) -> int:
    """Run `service` as this process until a signal; the exit code. `name` begins its last line in the log."""
    # A core file would hold the keys (reliability.md R13).
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    redactor = Redactor()
    log = open_log(level=level, style=style, now_ms=now_ms, redactor=redactor)
    quiet_libraries(log)
    _redact_tracebacks(redactor)
    try:
        trio.run(_run_until_signalled, service, name, log, redactor)
    except BaseExceptionGroup as group:
        return _explained(name, tuple(_leaves(group)), group, log)
    except (StoreError, *_FAULTS, *_CONFIG_ERRORS) as error:
        return _explained(name, (error,), error, log)
    return EXIT_OK


def exit_code_of(errors: tuple[BaseException, ...]) -> int | None:
    """The code for what ended a node, the gravest first; None for something unforeseen."""
    if not errors or any(_code(error) is None for error in errors):
        return None
    codes = [_code(error) for error in errors]
    return next(code for code in (EXIT_STORE, EXIT_CONFLICT, EXIT_FAULT, EXIT_CONFIG) if code in codes)


def _code(error: BaseException) -> int | None:
    if isinstance(error, StoreError):
        return EXIT_STORE
    if isinstance(error, FinalityConflict):
        return EXIT_CONFLICT
    if isinstance(error, _FAULTS):
        return EXIT_FAULT
    # `RpcBindFailed` is known by name: the RPC is not imported when it is off.
    if isinstance(error, _CONFIG_ERRORS) or type(error).__name__ == "RpcBindFailed":
        return EXIT_CONFIG
    return None


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _explained(name: str, errors: tuple[BaseException, ...], raised: BaseException, log: Log) -> int:
    code = exit_code_of(errors)
    if code is None:
        raise raised
    for error in errors:
        log.error(f"{name} failed", rule=type(error).__name__, error=str(error), exit_code=code)
    return code


async def _run_until_signalled(service: Service, name: str, log: Log, redactor: Redactor) -> None:
    # The receiver outlives the nursery: were it closed first, its own error would hide why the node failed.
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:

            async def stop_at_signal() -> None:
                async for number in signals:
                    if scope.cancel_called:
                        # The second one does not wait for anything.
                        os._exit(EXIT_SIGNALLED + number)
                    log.info("signal received", signal=signal.Signals(number).name)
                    scope.cancel()

            with trio.CancelScope() as scope:
                nursery.start_soon(stop_at_signal)
                await service(log, redactor)
            log.info(f"{name} stopped")
            nursery.cancel_scope.cancel()


def _redact_tracebacks(redactor: Redactor) -> None:
    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        sys.stderr.write(redactor.cleaned("".join(traceback.format_exception(kind, error, trace))))

    sys.excepthook = show
