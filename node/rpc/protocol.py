"""JSON-RPC 2.0 as values: strict parsing of a body, the error table, replies. No I/O.

Strict means: no duplicate keys, no NaN or Infinity, no floats, integers of at most 20 digits, at most 16 levels,
at most 32,768 values, at most 50 calls in a batch, 4 MiB of results (reliability.md C11, R6).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

MAX_BODY_BYTES = 1024 * 1024
MAX_BATCH = 50
MAX_RESULT_BYTES = 4 * 1024 * 1024
"""Of all results that one body asks for."""
MAX_DEPTH = 16
MAX_VALUES = 32_768
"""Commas and opening brackets in a body: a batch of 50 calls with 512 transactions each has fewer. A body of nothing
else would keep the loop busy for a quarter of a second."""
MAX_INTEGER_DIGITS = 20

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
REJECTED = -32001
"""The node understood and declines; `data.code` is the rule's symbol."""
NOT_FOUND = -32002


class RpcError(Exception):
    """An error as the caller sees it."""

    def __init__(self, number: int, message: str, *, code: str, hint: str = "") -> None:
        """`number` is JSON-RPC's, `code` the stable symbol for programs, `hint` what to do next."""
        super().__init__(message)
        self.number = number
        self.message = message
        self.code = code
        self.hint = hint

    def to_json(self) -> dict[str, object]:
        """The reply's `error` member."""
        data: dict[str, object] = {"code": self.code}
        if self.hint:
            data["hint"] = self.hint
        return {"code": self.number, "message": self.message, "data": data}


def pruned(what: str, base_slot: int) -> RpcError:
    """The error about something that lies below the slot from which this node keeps blocks."""
    return RpcError(
        NOT_FOUND,
        f"{what} is pruned: this node keeps blocks from slot {base_slot} on",
        code="Pruned",
        hint="ask a node that runs with --archive",
    )


@dataclass(frozen=True, slots=True)
class Call:
    """One well-formed call."""

    method: str
    params: Mapping[str, object] | list[object]
    id: str | int | None
    is_notification: bool


def _integer(text: str) -> int:
    if len(text) > MAX_INTEGER_DIGITS:
        raise RpcError(
            PARSE_ERROR,
            f"an integer of {len(text)} digits, at most {MAX_INTEGER_DIGITS} are read",
            code="IntegerTooLong",
            hint="send amounts as strings",
        )
    return int(text)


def _no_float(text: str) -> object:
    raise RpcError(
        PARSE_ERROR,
        f"the number {text[:40]} is not an integer",
        code="FloatRefused",
        hint="send amounts as strings of units",
    )


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members: dict[str, object] = {}
    for key, value in pairs:
        if key in members:
            raise RpcError(PARSE_ERROR, f"the key {key[:40]!r} stands twice", code="DuplicateKey")
        members[key] = value
    return members


def _require_shallow(value: object) -> None:
    level: list[object] = [value]
    for _ in range(MAX_DEPTH):
        deeper: list[object] = []
        for item in level:
            if isinstance(item, dict):
                deeper.extend(item.values())
            elif isinstance(item, list):
                deeper.extend(item)
        if not deeper:
            return
        level = deeper
    raise RpcError(PARSE_ERROR, f"nested deeper than {MAX_DEPTH} levels", code="TooDeep")


def parse_body(body: bytes) -> object:
    """The JSON value of a request body. Errors: `RpcError` PARSE_ERROR."""
    values = sum(map(body.count, (b",", b"[", b"{")))
    if values > MAX_VALUES:
        raise RpcError(PARSE_ERROR, f"{values} values, at most {MAX_VALUES} are read", code="TooManyValues")
    try:
        text = body.decode("utf-8", errors="strict")
        value = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_int=_integer,
            parse_float=_no_float,
            parse_constant=_no_float,
        )
    except UnicodeDecodeError:
        raise RpcError(PARSE_ERROR, "the body is not UTF-8", code="NotUtf8") from None
    except RecursionError:
        raise RpcError(PARSE_ERROR, f"nested deeper than {MAX_DEPTH} levels", code="TooDeep") from None
    except json.JSONDecodeError as error:
        raise RpcError(PARSE_ERROR, f"the body is not JSON: {error}", code="NotJson") from None
    _require_shallow(value)
    return value


def parse_call(value: object) -> Call:
    """One call out of a parsed body. Errors: `RpcError` INVALID_REQUEST."""
    if not isinstance(value, dict):
        raise RpcError(INVALID_REQUEST, "a call must be an object", code="NotAnObject")
    if value.get("jsonrpc") != "2.0":
        raise RpcError(INVALID_REQUEST, 'expected "jsonrpc": "2.0"', code="WrongVersion")
    method = value.get("method")
    if not isinstance(method, str):
        raise RpcError(INVALID_REQUEST, "method must be a string", code="MethodMissing")
    params = value.get("params", {})
    if not isinstance(params, dict | list):
        raise RpcError(INVALID_REQUEST, "params must be an object or an array", code="ParamsMalformed")
    call_id = value.get("id")
    if isinstance(call_id, bool) or not isinstance(call_id, str | int | None):
        raise RpcError(INVALID_REQUEST, "id must be a string, an integer or null", code="IdMalformed")
    return Call(method, params, call_id, is_notification="id" not in value)


def error_reply(call_id: str | int | None, error: RpcError) -> dict[str, object]:
    """A reply that carries an error."""
    return {"jsonrpc": "2.0", "id": call_id, "error": error.to_json()}


def result_reply(call_id: str | int | None, result: object) -> dict[str, object]:
    """A reply that carries a result."""
    return {"jsonrpc": "2.0", "id": call_id, "result": result}


def to_body(value: object) -> bytes:
    """JSON bytes of a reply: compact, ASCII (so a lone surrogate of a caller cannot break the encoding)."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode("ascii")
