"""Row R6: what one request may make us answer, however many calls it holds."""

import json
from collections.abc import Mapping

from node.rpc.protocol import MAX_BATCH, MAX_RESULT_BYTES
from node.rpc.server import RpcApplication

HOST = "127.0.0.1:1"
MEBIBYTE = 1024 * 1024


class WordyMethods:
    """One method that answers with as many bytes as it is asked for."""

    def __init__(self) -> None:
        self.calls = 0

    def names(self) -> tuple[str, ...]:
        return ("test_words",)

    async def call(self, _method: str, params: Mapping[str, object] | list[object]) -> object:
        self.calls += 1
        assert isinstance(params, dict)
        return "x" * params["size"]

    def readiness(self) -> tuple[bool, dict[str, str]]:
        return True, {}


async def ask(methods: WordyMethods, body: object) -> tuple[int, bytes]:
    """Status and body of the answer."""
    application = RpcApplication(methods, frozenset([HOST]), lambda _method, _code, _seconds: None)
    sent: list[Mapping[str, object]] = []

    async def receive() -> Mapping[str, object]:
        return {"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}

    async def send(message: Mapping[str, object]) -> None:
        sent.append(message)

    headers = [(b"host", HOST.encode()), (b"content-type", b"application/json")]
    scope = {"type": "http", "path": "/", "method": "POST", "headers": headers}
    await application(scope, receive, send)
    status, content = sent[0]["status"], sent[1]["body"]
    assert isinstance(status, int) and isinstance(content, bytes)
    return status, content


def call(number: int, size: int) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": number, "method": "test_words", "params": {"size": size}}


async def test_R6_the_answers_to_a_batch_are_bounded_together() -> None:
    methods = WordyMethods()
    status, body = await ask(methods, [call(number, MEBIBYTE) for number in range(MAX_BATCH)])
    replies = json.loads(body)
    assert status == 200 and len(body) <= MAX_RESULT_BYTES + MAX_BATCH * 300
    assert [reply["id"] for reply in replies] == list(range(MAX_BATCH))
    assert all("result" in reply for reply in replies[:3])
    assert all(reply["error"]["data"]["code"] == "ResultTooLarge" for reply in replies[4:])
    assert methods.calls <= 5


async def test_R6_one_answer_above_the_limit_is_an_error() -> None:
    status, body = await ask(WordyMethods(), call(1, MAX_RESULT_BYTES))
    assert status == 200 and json.loads(body)["error"]["data"]["code"] == "ResultTooLarge"


async def test_R6_what_stays_below_the_limit_is_answered_whole() -> None:
    status, body = await ask(WordyMethods(), [call(1, MEBIBYTE), call(2, 3)])
    assert status == 200 and [len(reply["result"]) for reply in json.loads(body)] == [MEBIBYTE, 3]
