"""The Python client of the RPC, blocking, on one kept-open connection. What the CLI and the tests use.

Imports little, because every client command pays for it.
"""

import http.client
import json
from collections.abc import Sequence
from urllib.parse import urlsplit


class RpcUnreachable(Exception):
    """Nobody answers at the address, or not in JSON-RPC."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"no node answers at {url}: {reason}; is it running? (`nexus devnet status`)")
        self.url = url


class RpcTimeout(Exception):
    """No answer within the deadline."""

    def __init__(self, url: str, method: str, timeout_s: float) -> None:
        super().__init__(f"{url} did not answer {method} within {timeout_s:g} s")


class RpcCallFailed(Exception):
    """The node answered with an error."""

    def __init__(self, method: str, number: int, message: str, code: str, hint: str) -> None:
        """`number` is JSON-RPC's error code, `code` the stable symbol."""
        super().__init__(f"{message} [{code}]" + (f"; {hint}" if hint else ""))
        self.method = method
        self.number = number
        self.message = message
        self.code = code
        self.hint = hint


class RpcClient:
    """Calls one node. Not safe for use by several threads at once."""

    def __init__(self, url: str, *, timeout_s: float = 10.0) -> None:
        """`url` such as http://127.0.0.1:16210; `timeout_s` bounds each wait on the socket."""
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = None
        if parts.scheme != "http" or not parts.hostname or port is None:
            raise RpcUnreachable(url, "expected http://HOST:PORT")
        self.url = url
        self.timeout_s = timeout_s
        self._connection = http.client.HTTPConnection(parts.hostname, port, timeout=timeout_s)
        self._next_id = 1

    def call(self, method: str, **params: object) -> object:
        """The result of one call. Errors: `RpcUnreachable`, `RpcTimeout`, `RpcCallFailed`."""
        return _result(method, self._exchange(method, self._request(method, params)))

    def batch(self, calls: Sequence[tuple[str, dict[str, object]]]) -> list[object]:
        """Results of up to 50 calls in one exchange, in order; a failed call's result is its `RpcCallFailed`."""
        requests = [self._request(method, params) for method, params in calls]
        replies = self._exchange(calls[0][0], requests)
        if not isinstance(replies, list):
            return [_result(calls[0][0], replies)]
        by_id = {reply.get("id"): reply for reply in replies if isinstance(reply, dict)}
        results: list[object] = []
        for request, (method, _) in zip(requests, calls, strict=True):
            try:
                results.append(_result(method, by_id.get(request["id"])))
            except RpcCallFailed as error:
                results.append(error)
        return results

    def get(self, path: str) -> tuple[int, object]:
        """GET a health endpoint: (status, JSON)."""
        return self._send("GET", path, None)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def __enter__(self) -> "RpcClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _request(self, method: str, params: dict[str, object]) -> dict[str, object]:
        call_id = self._next_id
        self._next_id += 1
        return {"jsonrpc": "2.0", "id": call_id, "method": method, "params": params}

    def _exchange(self, method: str, value: object) -> object:
        return self._send("POST", "/", json.dumps(value).encode("ascii"), method)[1]

    def _send(self, verb: str, path: str, body: bytes | None, what: str = "") -> tuple[int, object]:
        for attempt in (1, 2):
            fresh = self._connection.sock is None
            try:
                self._connection.request(verb, path, body, {"Content-Type": "application/json"})
                response = self._connection.getresponse()
                return response.status, json.loads(response.read() or b"null")
            except TimeoutError:
                self.close()
                raise RpcTimeout(self.url, what or path, self.timeout_s) from None
            except (OSError, http.client.HTTPException) as error:
                self.close()
                # A kept-open connection that the server has closed meanwhile is no failure: dial once more.
                if fresh or attempt == 2:
                    raise RpcUnreachable(self.url, str(error) or type(error).__name__) from None
            except ValueError:
                self.close()
                raise RpcUnreachable(self.url, "the answer is not JSON") from None
        raise AssertionError("unreachable")


def _result(method: str, reply: object) -> object:
    if isinstance(reply, dict):
        error = reply.get("error")
        if isinstance(error, dict):
            data = error.get("data")
            data = data if isinstance(data, dict) else {}
            raise RpcCallFailed(
                method,
                int(error.get("code", 0)),
                str(error.get("message", "")),
                str(data.get("code", "")),
                str(data.get("hint", "")),
            )
        if "result" in reply:
            return reply["result"]
    raise RpcCallFailed(method, 0, f"not a JSON-RPC reply: {str(reply)[:80]}", "NotAReply", "")
