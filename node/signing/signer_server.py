"""The other end of `node.signing.remote_signer`: serves a `LocalSigner` on a Unix socket.

Who may connect is the file system's to say: the socket has mode 0600. A client gets its refusals as messages and is cut
off for what is no request. A failing store or a damaged record ends the server: nobody knows then what was signed.
Clients are few and one of them is enough; what comes beyond `MAX_CLIENTS` is hung up on at once.
"""

import errno
import os
import socket
import stat
from pathlib import Path
from typing import Final

import trio

from consensus.errors import BandUnknown
from ledger.errors import CodecError
from node.logs import Log
from node.signing.errors import (
    AlreadySigned,
    AlreadyVoted,
    SignerBindFailed,
    SigningRefused,
    SurroundRefused,
)
from node.signing.local_signer import LocalSigner
from node.signing.wire import (
    LENGTH_BYTES,
    MAX_REFUSAL_CHARACTERS,
    MAX_REQUEST_BYTES,
    REQUEST_DEADLINE_S,
    SIGNER_VERSION,
    HeldKey,
    Hello,
    Keys,
    Message,
    Refused,
    Reveal,
    Revealed,
    SignBlock,
    SignVote,
    content_length,
    decode_content,
    encode_frame,
)

MAX_CLIENTS: Final = 8
CONNECT_CHECK_S: Final = 1.0
"""How long we wait for whoever may serve on our path already."""


class SignerServer:
    """One per socket. `run` is the service."""

    def __init__(self, signer: LocalSigner, genesis_hash: bytes, *, log: Log) -> None:
        self._signer = signer
        self._genesis_hash = genesis_hash
        self._log = log
        self._clients = 0
        self._one_at_a_time = trio.CapacityLimiter(1)

    async def run(self, path: Path, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve on `path` until cancelled; started when clients can connect.

        Errors: `SignerBindFailed`; `SigningRecordCorrupted` and the store's, in an exception group.
        """
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(listening_socket(path)))
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(trio.serve_listeners, self._serve, [listener])
                self._log.info("signer started", socket=str(path), keys=len(self._signer.public_keys()))
                task_status.started()
        finally:
            path.unlink(missing_ok=True)  # noqa: ASYNC240 - at the end, and nobody waits

    async def _serve(self, stream: trio.SocketStream) -> None:
        if self._clients >= MAX_CLIENTS:
            self._log.warning("signer hung up on a client", reason="too many clients", limit=MAX_CLIENTS)
            await stream.aclose()
            return
        self._clients += 1
        try:
            await self._converse(stream)
        except CodecError as error:
            self._log.warning("signer hung up on a client", reason=str(error))
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError) as error:
            self._log.info("client of the signer is gone", reason=type(error).__name__)
        finally:
            self._clients -= 1
            with trio.CancelScope(shield=True), trio.move_on_after(REQUEST_DEADLINE_S):
                await stream.aclose()

    async def _converse(self, stream: trio.SocketStream) -> None:
        """Until the client hangs up. Errors: `CodecError`, those of the stream, `trio.TooSlowError`."""
        greeted = False
        while True:
            first = await stream.receive_some(1)
            if not first:
                return
            with trio.fail_after(REQUEST_DEADLINE_S):
                prefix = first + await _receive(stream, LENGTH_BYTES - 1)
                content = await _receive(stream, content_length(prefix, MAX_REQUEST_BYTES))
                request = decode_content(content)
                if isinstance(request, Hello):
                    reply = await self._greeting(request)
                    greeted = isinstance(reply, Keys)
                elif greeted:
                    reply = await self._answer(request)
                else:
                    reply = Refused(
                        "HelloMissing", "say hello first, with the genesis hash of your network", 0
                    )
                await stream.send_all(encode_frame(reply))
            if not greeted:
                return

    async def _greeting(self, hello: Hello) -> Message:
        if hello.version != SIGNER_VERSION or hello.genesis_hash != self._genesis_hash:
            message = (
                f"this signer signs for genesis {self._genesis_hash.hex()} in version {SIGNER_VERSION}, the node asked "
                f"for genesis {hello.genesis_hash.hex()} in version {hello.version}"
            )
            self._log.warning("signer refused a node of another network", reason=message)
            return Refused("WrongGenesis", message, 0)
        histories = await trio.to_thread.run_sync(self._signer.histories, limiter=self._one_at_a_time)
        return Keys(
            SIGNER_VERSION,
            self._genesis_hash,
            tuple(
                HeldKey(
                    history.public_key,
                    0 if history.block is None else history.block.slot,
                    0 if history.vote is None else history.vote.source_period,
                    0 if history.vote is None else history.vote.target_period,
                )
                for history in histories
            ),
        )

    async def _answer(self, request: Message) -> Message:
        def sign() -> Message:
            match request:
                case SignBlock(public_key, core):
                    return self._signer.sign_block(public_key, core)
                case SignVote(public_key, core):
                    return self._signer.sign_vote(public_key, core)
                case Reveal(public_key, generation, layers):
                    return Revealed(self._signer.reveal(public_key, generation, layers))
                case _:
                    return Refused("NotARequest", f"{type(request).__name__} is no request", 0)

        try:
            return await trio.to_thread.run_sync(sign, limiter=self._one_at_a_time)
        except SigningRefused as error:
            self._log.warning("signer refused", rule=error.code, error=str(error))
            last = error.last if isinstance(error, AlreadySigned | AlreadyVoted | SurroundRefused) else 0
            return Refused(error.code, str(error)[:MAX_REFUSAL_CHARACTERS], last)
        except (CodecError, BandUnknown) as error:
            return Refused(type(error).__name__, str(error)[:MAX_REFUSAL_CHARACTERS], 0)


def listening_socket(path: Path) -> socket.socket:
    """A socket that listens on `path`, for its owner alone from the moment that it is there. One that a killed signer
    left behind is removed. Errors: `SignerBindFailed`."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        _remove_stale(path)
        # The mask is the process's; a signer that starts has no second thread.
        mask = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(mask)
        listener.listen(MAX_CLIENTS)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise SignerBindFailed(path, "another process took the path just now; stop it first") from None
        raise SignerBindFailed(path, error.strerror or str(error)) from None
    except SignerBindFailed:
        listener.close()
        raise
    return listener


def _remove_stale(path: Path) -> None:
    """Errors: `SignerBindFailed` when somebody answers there or it is no socket; `OSError`."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise SignerBindFailed(path, "there is a file that is no socket; choose another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as probe:
        probe.settimeout(CONNECT_CHECK_S)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
        else:
            raise SignerBindFailed(path, "another signer serves there; stop it first, or choose another path")


async def _receive(stream: trio.SocketStream, count: int) -> bytes:
    """Exactly `count` bytes. Errors: `trio.BrokenResourceError` when the client hangs up before."""
    received = bytearray()
    while len(received) < count:
        part = await stream.receive_some(count - len(received))
        if not part:
            raise trio.BrokenResourceError("the client hung up in the middle of a request")
        received += part
    return bytes(received)
