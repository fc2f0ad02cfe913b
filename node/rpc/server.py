"""The HTTP side of the RPC: an ASGI application, served by hypercorn on trio.

`POST /` takes JSON-RPC; `GET /livez` says that the process answers, `GET /readyz` that it can do its work. Everything
else is 404. The Host header must name this server (reliability.md R1: DNS rebinding), a body is
`application/json` and no page of another origin may send one (R2), both refused before the body is read.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import hypercorn.trio
import trio
from hypercorn.config import Config, Sockets

from node.rpc.protocol import (
    INVALID_REQUEST,
    MAX_BATCH,
    MAX_BODY_BYTES,
    MAX_RESULT_BYTES,
    METHOD_NOT_FOUND,
    REJECTED,
    Call,
    RpcError,
    error_reply,
    parse_body,
    parse_call,
    result_reply,
    to_body,
)

BODY_TIMEOUT_S = 10
IDLE_TIMEOUT_S = 30
MAX_CONCURRENT_REQUESTS = 128

Message = Mapping[str, object]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Methods(Protocol):
    """What the server calls: the table of methods."""

    def names(self) -> tuple[str, ...]:
        """All methods, sorted."""
        ...

    async def call(self, method: str, params: Mapping[str, object] | list[object]) -> object:
        """The JSON result. Errors: `RpcError`."""
        ...

    def readiness(self) -> tuple[bool, dict[str, str]]:
        """Whether the node can do its work, and each check's state in words."""
        ...


CallObserver = Callable[[str, str, float], None]
"""Called after each call with method, `ok` or the error's symbol, and seconds."""


@dataclass(frozen=True, slots=True)
class RpcAddress:
    """Where the RPC can be reached."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """For clients."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


def allowed_hosts(address: RpcAddress, further: Iterable[str]) -> frozenset[str]:
    """The Host headers that are answered: loopback names with our port, our own address, and `further`."""
    names = ["127.0.0.1", "localhost", "[::1]", address.host]
    return frozenset([*(f"{name}:{address.port}".lower() for name in names), *(h.lower() for h in further)])


class RpcApplication:
    """The ASGI application."""

    def __init__(self, methods: Methods, hosts: frozenset[str], observe: CallObserver) -> None:
        """`hosts` are the allowed Host headers, lower case."""
        self._methods = methods
        self._hosts = hosts
        self._observe = observe
        self._slots = trio.CapacityLimiter(MAX_CONCURRENT_REQUESTS)

    async def __call__(self, scope: Mapping[str, object], receive: Receive, send: Send) -> None:
        """One request (or the lifespan exchange)."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        status, body, headers = await self._answer(scope, receive)
        fields = [(b"content-type", b"application/json"), (b"cache-control", b"no-store"), *headers]
        fields.append((b"content-length", str(len(body)).encode("ascii")))
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": body})

    async def _answer(
        self, scope: Mapping[str, object], receive: Receive
    ) -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
        headers = _headers(scope)
        if headers.get("host", "").lower() not in self._hosts:
            return 403, _problem("HostRefused", "this Host is not served; see rpc_allowed_hosts"), _CLOSE
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2].lower() not in self._hosts:
            return 403, _problem("OriginRefused", "pages of other origins may not call this RPC"), _CLOSE
        path, verb = scope["path"], scope["method"]
        if path == "/livez" and verb in ("GET", "HEAD"):
            return 200, to_body({"live": True}), []
        if path == "/readyz" and verb in ("GET", "HEAD"):
            ready, checks = self._methods.readiness()
            return (200 if ready else 503), to_body({"ready": ready, "checks": checks}), []
        if path != "/":
            return 404, _problem("NotFound", "POST / for JSON-RPC, GET /livez, GET /readyz"), _CLOSE
        if verb != "POST":
            return 405, _problem("MethodNotAllowed", "send JSON-RPC by POST"), [(b"allow", b"POST"), *_CLOSE]
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return 415, _problem("ContentTypeRefused", "send Content-Type: application/json"), _CLOSE
        try:
            self._slots.acquire_nowait()
        except trio.WouldBlock:
            return 503, _problem("Overloaded", "too many requests at once; try again"), _CLOSE
        try:
            return await self._json_rpc(receive)
        finally:
            self._slots.release()

    async def _json_rpc(self, receive: Receive) -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
        body = bytearray()
        with trio.move_on_after(BODY_TIMEOUT_S) as deadline:
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return 400, b"", _CLOSE
                body += message.get("body", b"")  # type: ignore[arg-type]
                if len(body) > MAX_BODY_BYTES:
                    return 413, _problem("BodyTooLarge", f"at most {MAX_BODY_BYTES} bytes"), _CLOSE
                more = bool(message.get("more_body", False))
        if deadline.cancelled_caught:
            return 408, _problem("BodyTooSlow", f"the body took over {BODY_TIMEOUT_S} s"), _CLOSE
        try:
            value = parse_body(bytes(body))
        except RpcError as error:
            return 400, to_body(error_reply(None, error)), []
        if not isinstance(value, list):
            answer, _ = await self._one(value, MAX_RESULT_BYTES)
            return (204, b"", []) if answer is None else (200, answer, [])
        if not 1 <= len(value) <= MAX_BATCH:
            batch_error = RpcError(
                INVALID_REQUEST, f"a batch of {len(value)} calls, expected 1 to {MAX_BATCH}", code="BatchSize"
            )
            return 400, to_body(error_reply(None, batch_error)), []
        answers: list[bytes] = []
        room = MAX_RESULT_BYTES
        for item in value:
            answer, size = await self._one(item, room)
            room -= size
            if answer is not None:
                answers.append(answer)
        return (200, b"[" + b",".join(answers) + b"]", []) if answers else (204, b"", [])

    async def _one(self, value: object, room: int) -> tuple[bytes | None, int]:
        """The reply to one call (an error when it has more than `room` bytes; no call when there is no room left), and
        the size of what was worked out."""
        try:
            call = parse_call(value)
        except RpcError as error:
            return to_body(error_reply(None, error)), 0
        started = trio.current_time()
        size = 0
        try:
            if room <= 0:
                raise _results_too_large()
            reply = to_body(result_reply(call.id, await self._dispatch(call)))
            size = len(reply)
            if size > room:
                raise _results_too_large()
        except RpcError as error:
            # A method's name comes from outside: only known ones become label values.
            known = call.method if call.method in self._methods.names() else "unknown"
            self._observe(known, error.code, trio.current_time() - started)
            return None if call.is_notification else to_body(error_reply(call.id, error)), size
        self._observe(call.method, "ok", trio.current_time() - started)
        return None if call.is_notification else reply, size

    async def _dispatch(self, call: Call) -> object:
        if call.method not in self._methods.names():
            raise RpcError(
                METHOD_NOT_FOUND,
                f"no method {call.method[:60]!r}",
                code="MethodNotFound",
                hint="methods: " + ", ".join(self._methods.names()),
            )
        return await self._methods.call(call.method, call.params)


_CLOSE = [(b"connection", b"close")]


def _headers(scope: Mapping[str, object]) -> dict[str, str]:
    """Header fields by lower-case name; a repeated Host or Content-Type is joined, and so matches nothing."""
    fields: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:  # type: ignore[attr-defined]
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        fields[name] = f"{fields[name]},{value}" if name in fields else value
    return fields


def _problem(code: str, message: str) -> bytes:
    return to_body(error_reply(None, RpcError(INVALID_REQUEST, message, code=code)))


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


def _results_too_large() -> RpcError:
    return RpcError(
        REJECTED,
        f"the results of one request have at most {MAX_RESULT_BYTES} bytes together",
        code="ResultTooLarge",
        hint="ask for less at once",
    )


class RpcBindFailed(Exception):
    """The RPC port is taken or not ours to open."""

    def __init__(self, host: str, port: int, reason: str) -> None:
        super().__init__(
            f"cannot serve RPC on {host}:{port}: {reason}; choose another with --rpc-port (0: any free one)"
        )


class _BoundConfig(Config):  # type: ignore[misc]  # hypercorn is not followed by mypy
    """Hypercorn's configuration with sockets that are bound already, so that port 0 is known before serving."""

    def __init__(self, sockets: Sockets) -> None:
        super().__init__()
        self._sockets = sockets

    def create_sockets(self) -> Sockets:
        return self._sockets


async def serve_rpc(
    methods: Methods,
    *,
    host: str,
    port: int,
    further_hosts: Iterable[str],
    observe: CallObserver,
    task_status: trio.TaskStatus[RpcAddress] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled; reports the address with the real port. Errors: `RpcBindFailed`."""
    config = Config()
    config.bind = [f"[{host}]:{port}" if ":" in host else f"{host}:{port}"]
    try:
        sockets = config.create_sockets()
    except OSError as error:
        raise RpcBindFailed(host, port, error.strerror or str(error)) from None
    for socket in sockets.insecure_sockets:
        socket.listen(128)
    address = RpcAddress(host, sockets.insecure_sockets[0].getsockname()[1])
    bound = _BoundConfig(sockets)
    bound.keep_alive_timeout = IDLE_TIMEOUT_S
    bound.read_timeout = IDLE_TIMEOUT_S
    bound.graceful_timeout = 1.0
    bound.h11_max_incomplete_size = 16 * 1024
    bound.errorlog = None
    bound.accesslog = None
    bound.include_server_header = False
    application = RpcApplication(methods, allowed_hosts(address, further_hosts), observe)
    task_status.started(address)
    try:
        await hypercorn.trio.serve(application, bound, mode="asgi", shutdown_trigger=trio.sleep_forever)
    finally:
        for socket in sockets.insecure_sockets:
            socket.close()
