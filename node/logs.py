"""Logs: one line per event on stderr, as text for people or JSON for machines.

An event is a short past-tense phrase, its facts are keys: `log.info("block accepted", block=…, slot=…)`. Levels: debug
per message, info per change of the chain, warning for a peer's fault, error for ours. Bytes are shown as hexadecimal.
No secret ever: values under telling names are hidden whatever they are, and the node's own secrets, once named to the
`Redactor`, are cut out of every finished line (reliability.md R13).
"""

import logging
import sys
from collections.abc import Callable, Iterable, MutableMapping
from datetime import UTC, datetime
from typing import Any, TextIO, cast

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor

Log = FilteringBoundLogger

HIDDEN = "[redacted]"
_TELLING = (
    "seed",
    "secret",
    "password",
    "passphrase",
    "token",
    "cookie",
    "mnemonic",
    "private",
    "signing_key",
)
"""A key that contains one of these has its value hidden."""
_SHORTEST_SECRET = 8
"""Shorter ones would tear holes into ordinary words."""

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
THIRD_PARTIES = ("libp2p", "multiaddr", "hypercorn", "asyncio", "wsgiref", "zeroconf")


class Redactor:
    """Knows the process's secrets and takes them out of text."""

    def __init__(self) -> None:
        self._secrets: list[str] = []

    def hide(self, secrets: Iterable[bytes | str]) -> None:
        """From now on these never appear: text as it is, bytes as hexadecimal in either case."""
        for secret in secrets:
            for text in (secret,) if isinstance(secret, str) else (secret.hex(), secret.hex().upper()):
                if len(text) >= _SHORTEST_SECRET and text not in self._secrets:
                    self._secrets.append(text)

    def cleaned(self, text: str) -> str:
        """`text` without any secret."""
        for secret in self._secrets:
            if secret in text:
                text = text.replace(secret, HIDDEN)
        return text


class _Lines:
    """The logger at the end of the chain: writes finished lines."""

    def __init__(self, stream: TextIO, redactor: Redactor) -> None:
        self._stream = stream
        self._redactor = redactor

    def msg(self, line: str) -> None:
        """Write one line."""
        self._stream.write(self._redactor.cleaned(line) + "\n")
        self._stream.flush()

    debug = info = warning = error = critical = exception = log = msg


def _hide_telling_keys(_logger: Any, _method: str, event: EventDict) -> EventDict:
    for key in event:
        if any(part in key.lower() for part in _TELLING):
            event[key] = HIDDEN
    return event


def _show_bytes(_logger: Any, _method: str, event: EventDict) -> EventDict:
    for key, value in event.items():
        event[key] = _shown(value)
    return event


def _shown(value: object) -> object:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    if isinstance(value, tuple | list):
        return [_shown(one) for one in value]
    return value


def _stamp(now_ms: Callable[[], int]) -> Processor:
    def add_time(_logger: Any, _method: str, event: EventDict) -> EventDict:
        moment = datetime.fromtimestamp(now_ms() / 1000, UTC)
        stamped: MutableMapping[str, Any] = {"time": moment.isoformat(timespec="milliseconds")}
        stamped.update(event)
        return stamped

    return add_time


def open_log(
    *,
    level: str,
    style: str,
    now_ms: Callable[[], int],
    redactor: Redactor,
    stream: TextIO | None = None,
) -> Log:
    """A logger of its own (nothing global). `level`: a key of `LEVELS`; `style`: console or json."""
    target = sys.stderr if stream is None else stream
    render: Processor
    if style == "json":
        render = structlog.processors.JSONRenderer(sort_keys=False, default=str)
    else:
        render = structlog.dev.ConsoleRenderer(
            colors=target.isatty(),
            timestamp_key="time",
            exception_formatter=structlog.dev.plain_traceback,
        )
    processors: list[Processor] = [
        structlog.processors.add_log_level,
        _hide_telling_keys,
        _show_bytes,
        _stamp(now_ms),
    ]
    if style == "json":
        processors.append(structlog.processors.format_exc_info)
    processors.append(render)
    return cast(
        Log,
        structlog.wrap_logger(
            _Lines(target, redactor),
            processors=processors,
            wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
            cache_logger_on_first_use=False,
        ),
    )


class _Forward(logging.Handler):
    """Hands the standard library's records to our log."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Record -> one line, with the library's name."""
        facts: dict[str, Any] = {"library": record.name, "message": record.getMessage()}
        if record.exc_info is not None and record.exc_info[1] is not None:
            facts["error"] = repr(record.exc_info[1])
        if record.levelno >= logging.ERROR:
            self._log.warning("library complained", **facts)
        else:
            self._log.debug("library complained", **facts)


def quiet_libraries(log: Log) -> None:
    """Route what libraries say through the standard library's logging into `log`, one level lower than they rate it:
    what they call an error is mostly a peer that went away. Process-wide, so only `main` calls it."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
    root.addHandler(_Forward(log))
    root.setLevel(logging.WARNING)
    for name in THIRD_PARTIES:
        library = logging.getLogger(name)
        for handler in list(library.handlers):
            library.removeHandler(handler)
        library.propagate = True
        library.setLevel(logging.ERROR)
