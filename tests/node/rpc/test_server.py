"""The HTTP side of the RPC on a real socket: who is answered, with what, and what is refused before it is read."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest
import trio

from node.rpc.protocol import INVALID_PARAMS, MAX_BODY_BYTES, RpcError
from node.rpc.server import RpcAddress, RpcBindFailed, serve_rpc


class EchoMethods:
    """Two methods: one answers, one declines."""

    def __init__(self) -> None:
        self.ready = True

    def names(self) -> tuple[str, ...]:
        return ("test_decline", "test_echo")

    async def call(self, method: str, params: Mapping[str, object] | list[object]) -> object:
        if method == "test_decline":
            raise RpcError(INVALID_PARAMS, "no", code="Declined", hint="ask nicely")
        return params

    def readiness(self) -> tuple[bool, dict[str, str]]:
        return self.ready, {"store": "open"}


@asynccontextmanager
async def running_server() -> AsyncIterator[tuple[RpcAddress, EchoMethods, list[tuple[str, str]]]]:
    methods = EchoMethods()
    observed: list[tuple[str, str]] = []

    def observe(method: str, outcome: str, _seconds: float) -> None:
        observed.append((method, outcome))

    async def serve(task_status: trio.TaskStatus[RpcAddress]) -> None:
        await serve_rpc(
            methods, host="127.0.0.1", port=0, further_hosts=(), observe=observe, task_status=task_status
        )

    async with trio.open_nursery() as nursery:
        address = await nursery.start(serve)
        yield address, methods, observed
        nursery.cancel_scope.cancel()


async def exchange(address: RpcAddress, raw: bytes) -> tuple[int, bytes]:
    """Send raw bytes, read until the server closes; the status of the first response and everything after."""
    with trio.fail_after(20):
        stream = await trio.open_tcp_stream(address.host, address.port)
        async with stream:
            await stream.send_all(raw)
            received = bytearray()
            async for chunk in stream:
                received += chunk
    head, _, body = bytes(received).partition(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1]), body


def request(
    address: RpcAddress,
    body: bytes,
    *,
    host: str | None = None,
    content_type: str = "application/json",
    path: str = "/",
    verb: str = "POST",
    further: str = "",
) -> bytes:
    return (
        f"{verb} {path} HTTP/1.1\r\nHost: {host or f'127.0.0.1:{address.port}'}\r\nConnection: close\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n{further}\r\n"
    ).encode() + body


def call(method: str, params: object = None, call_id: object = 1) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": call_id, "method": method, "params": params or {}}).encode()


async def test_a_call_is_answered_with_its_id_and_counted() -> None:
    async with running_server() as (address, _, observed):
        status, body = await exchange(address, request(address, call("test_echo", {"a": "1"}, "x")))
    assert status == 200
    assert json.loads(body) == {"jsonrpc": "2.0", "id": "x", "result": {"a": "1"}}
    assert observed == [("test_echo", "ok")]


async def test_an_error_carries_number_symbol_and_hint() -> None:
    async with running_server() as (address, _, observed):
        _, body = await exchange(address, request(address, call("test_decline")))
    assert json.loads(body)["error"] == {
        "code": INVALID_PARAMS,
        "message": "no",
        "data": {"code": "Declined", "hint": "ask nicely"},
    }
    assert observed == [("test_decline", "Declined")]


async def test_an_unknown_method_is_counted_under_one_label() -> None:
    async with running_server() as (address, _, observed):
        _, body = await exchange(address, request(address, call("no_such_method")))
    assert json.loads(body)["error"]["data"]["code"] == "MethodNotFound"
    assert observed == [("unknown", "MethodNotFound")]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1", "127.0.0.1:1", ""])
async def test_R1_a_foreign_host_is_refused_before_the_body_is_read(host: str) -> None:
    async with running_server() as (address, _, observed):
        raw = f"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: 999999\r\n\r\n"
        status, _ = await exchange(address, raw.encode())
    assert status == 403
    assert observed == []


async def test_R1_localhost_with_our_port_is_served() -> None:
    async with running_server() as (address, _, _observed):
        raw = request(address, call("test_echo"), host=f"LocalHost:{address.port}")
        status, _ = await exchange(address, raw)
    assert status == 200


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_R2_a_form_of_a_web_page_is_refused(content_type: str) -> None:
    async with running_server() as (address, _, observed):
        raw = request(address, call("test_echo"), content_type=content_type)
        status, _ = await exchange(address, raw)
    assert status == 415
    assert observed == []


async def test_R2_another_origin_is_refused() -> None:
    async with running_server() as (address, _, observed):
        raw = request(address, call("test_echo"), further="Origin: https://evil.example\r\n")
        status, _ = await exchange(address, raw)
    assert status == 403
    assert observed == []


async def test_R6_a_body_over_the_limit_is_refused() -> None:
    async with running_server() as (address, _, _observed):
        status, _ = await exchange(address, request(address, b"[" + b" " * MAX_BODY_BYTES + b"]"))
    assert status == 413


async def test_R6_a_batch_over_the_limit_is_refused_whole() -> None:
    async with running_server() as (address, _, observed):
        batch = b"[" + b",".join([call("test_echo")] * 51) + b"]"
        status, body = await exchange(address, request(address, batch))
    assert status == 400
    assert json.loads(body)["error"]["data"]["code"] == "BatchSize"
    assert observed == []


async def test_a_batch_is_answered_in_order_without_its_notifications() -> None:
    async with running_server() as (address, _, _observed):
        note = b'{"jsonrpc":"2.0","method":"test_echo"}'
        batch = (
            b"[" + call("test_echo", call_id=1) + b"," + note + b"," + call("test_decline", call_id=2) + b"]"
        )
        _, body = await exchange(address, request(address, batch))
    assert [reply["id"] for reply in json.loads(body)] == [1, 2]


@pytest.mark.parametrize(
    ("body", "symbol"),
    [
        (b"{", "NotJson"),
        (b"\xff", "NotUtf8"),
        (b'{"a":1,"a":2}', "DuplicateKey"),
        (b'{"a":1e999}', "FloatRefused"),
        (b'{"a":NaN}', "FloatRefused"),
        (b'{"a":123456789012345678901}', "IntegerTooLong"),
        (b"[" * 17 + b"]" * 17, "TooDeep"),
        (b"[" * 30_000, "TooDeep"),
        (b"[" * 100_000, "TooManyValues"),
    ],
)
async def test_C11_malformed_json_gets_its_named_error(body: bytes, symbol: str) -> None:
    async with running_server() as (address, _, _observed):
        status, reply = await exchange(address, request(address, body))
    assert status == 400
    assert json.loads(reply)["error"]["data"]["code"] == symbol


@pytest.mark.parametrize("body", [b"1", b'"x"', b"{}", b'{"jsonrpc":"2.0","method":1}'])
async def test_a_value_that_is_no_call_is_an_invalid_request(body: bytes) -> None:
    async with running_server() as (address, _, _observed):
        _, reply = await exchange(address, request(address, body))
    assert json.loads(reply)["error"]["code"] == -32600


@pytest.mark.parametrize(
    "raw",
    [
        b"GARBAGE\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\n folded: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\x00b\r\n\r\n",
    ],
)
async def test_R4_a_malformed_request_is_refused_and_closed(raw: bytes) -> None:
    async with running_server() as (address, _, observed):
        status, _ = await exchange(address, raw)
    assert status in (400, 403)
    assert observed == []


async def test_health_says_live_and_ready_apart() -> None:
    async with running_server() as (address, methods, _observed):
        live, _ = await exchange(address, request(address, b"", path="/livez", verb="GET"))
        ready, _ = await exchange(address, request(address, b"", path="/readyz", verb="GET"))
        methods.ready = False
        unready, body = await exchange(address, request(address, b"", path="/readyz", verb="GET"))
    assert (live, ready, unready) == (200, 200, 503)
    assert json.loads(body) == {"ready": False, "checks": {"store": "open"}}


async def test_a_taken_port_is_named() -> None:
    async with running_server() as (address, methods, _observed):
        with pytest.raises(RpcBindFailed, match=str(address.port)):
            await serve_rpc(
                methods,
                host=address.host,
                port=address.port,
                further_hosts=(),
                observe=lambda *_: None,
            )
