"""Logs: one line per event, and no secret in any of them."""

import io
import json
import logging

import pytest

from node.logs import HIDDEN, LEVELS, Log, Redactor, open_log, quiet_libraries


def opened(
    level: str = "debug", style: str = "json", redactor: Redactor | None = None
) -> tuple[Log, io.StringIO]:
    stream = io.StringIO()
    log = open_log(
        level=level,
        style=style,
        now_ms=lambda: 1_700_000_000_123,
        redactor=redactor or Redactor(),
        stream=stream,
    )
    return log, stream


def test_a_json_line_carries_time_level_event_and_facts() -> None:
    log, stream = opened()
    log.info("block accepted", block=b"\xab\xcd", slot=7)
    assert json.loads(stream.getvalue()) == {
        "time": "2023-11-14T22:13:20.123+00:00",
        "event": "block accepted",
        "block": "abcd",
        "slot": 7,
        "level": "info",
    }


def test_lines_below_the_level_are_not_written() -> None:
    for level in LEVELS:
        log, stream = opened(level)
        for name in LEVELS:
            getattr(log, name)("said")
        assert len(stream.getvalue().splitlines()) == 4 - list(LEVELS).index(level)


def test_console_lines_are_plain_text_off_a_terminal() -> None:
    log, stream = opened(style="console")
    log.warning("peer left", peer="abc")
    assert "peer left" in stream.getvalue() and "\x1b" not in stream.getvalue()


@pytest.mark.parametrize("style", ["json", "console"])
@pytest.mark.parametrize("key", ["seed", "validator_seed", "password", "api_token", "private_key", "Cookie"])
def test_R13_values_under_telling_names_are_hidden(style: str, key: str) -> None:
    log, stream = opened(style=style)
    log.info("started", **{key: "hunter2hunter2"})
    assert "hunter2" not in stream.getvalue() and HIDDEN in stream.getvalue()


@pytest.mark.parametrize("style", ["json", "console"])
def test_R13_known_secrets_never_reach_a_line(style: str) -> None:
    secret, text = bytes(range(100, 132)), "correct horse battery"
    redactor = Redactor()
    redactor.hide([secret, text])
    log, stream = opened(style=style, redactor=redactor)
    log.info(f"said {secret.hex()}", raw=secret, upper=secret.hex().upper(), nested=[secret, (text, 1)])
    try:
        raise ValueError(f"bad {text} {secret.hex()}")
    except ValueError:
        log.exception("failed")
    written = stream.getvalue()
    for canary in (secret.hex(), secret.hex().upper(), text):
        assert canary not in written
    assert "Traceback" in written and "ValueError" in written


def test_libraries_speak_through_our_log_one_level_lower() -> None:
    log, stream = opened("debug")
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    try:
        quiet_libraries(log)
        logging.getLogger("libp2p.host").error("stream went away")
        logging.getLogger("libp2p.host").warning("chatter")
        logging.getLogger("elsewhere").warning("something")
    finally:
        root.handlers[:] = before
        root.setLevel(level)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(one["library"], one["level"]) for one in lines] == [
        ("libp2p.host", "warning"),
        ("elsewhere", "debug"),
    ]
