"""Signing with keys in another process, over a Unix socket: `nexus validator signer` serves, this asks.

One connection, one request at a time, each within `REQUEST_DEADLINE_S`, waiting for other threads included. What goes
wrong is `SignerUnavailable`: the node misses a slot or a vote and goes on. Asking again is always safe, because the
signer gives the same signature for the same message and none for another, so a connection that turns out to have died
since the last request is made anew within the same deadline. After a failure nobody waits again for `RETRY_AFTER_S`.
"""

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from consensus.blocks import Header, HeaderCore, core_of
from consensus.votes import Vote, VoteCore, vote_core
from ledger.errors import CodecError
from node.signing.errors import (
    AlreadySigned,
    AlreadyVoted,
    KeyUnknown,
    SignerRefused,
    SignerUnavailable,
    SigningRefused,
    SurroundRefused,
)
from node.signing.protection import KeyHistory, LastBlock, LastVote
from node.signing.wire import (
    LENGTH_BYTES,
    MAX_REPLY_BYTES,
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

RETRY_AFTER_S: Final = 0.5

Reply = TypeVar("Reply", Keys, Header, Vote, Revealed)


class _ConnectionLost(Exception):
    """The other side is gone, or does not speak our language; the text says how."""


class RemoteSigner:
    """A `Signer` whose keys are elsewhere. Knows no key before the first successful `probe`."""

    def __init__(
        self,
        path: Path,
        genesis_hash: bytes,
        *,
        deadline_s: float = REQUEST_DEADLINE_S,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`path`: the socket; `now_s`: seconds of a clock that is never set. Connects when it is first asked."""
        self._path = path
        self._genesis_hash = genesis_hash
        self._hello = encode_frame(Hello(SIGNER_VERSION, genesis_hash))
        self._deadline_s = deadline_s
        self._now_s = now_s
        self._lock = threading.Lock()
        self._connection: socket.socket | None = None
        self._keys: tuple[HeldKey, ...] = ()
        self._failure: SignerUnavailable | None = None
        self._retry_at_s = 0.0

    def probe(self) -> None:
        """See `Signer`; also learns the keys and their history anew."""
        self._call(Hello(SIGNER_VERSION, self._genesis_hash), Keys)

    def histories(self) -> tuple[KeyHistory, ...]:
        """See `Signer`: as of the last `probe`."""
        return tuple(
            KeyHistory(
                held.public_key,
                LastBlock(held.slot) if held.slot else None,
                LastVote(held.source_period, held.target_period) if held.target_period else None,
            )
            for held in self._keys
        )

    def public_keys(self) -> tuple[bytes, ...]:
        """See `Signer`."""
        return tuple(held.public_key for held in self._keys)

    def sign_block(self, public_key: bytes, core: HeaderCore) -> Header:
        """See `Signer`."""
        try:
            header = self._call(SignBlock(public_key, core), Header)
        except _RefusedBySigner as error:
            raise _refusal(error.refused, public_key, core.slot, 0) from None
        if core_of(header) != core:
            raise SignerUnavailable(self._path, "it has signed another block than it was asked to")
        return header

    def sign_vote(self, public_key: bytes, core: VoteCore) -> Vote:
        """See `Signer`."""
        try:
            vote = self._call(SignVote(public_key, core), Vote)
        except _RefusedBySigner as error:
            raise _refusal(error.refused, public_key, core.target.period, core.source.period) from None
        if vote_core(vote) != core:
            raise SignerUnavailable(self._path, "it has signed another vote than it was asked to")
        return vote

    def reveal(self, public_key: bytes, generation: int, layers: int) -> bytes:
        """See `Signer`."""
        try:
            return self._call(Reveal(public_key, generation, layers), Revealed).layer
        except _RefusedBySigner as error:
            raise _refusal(error.refused, public_key, 0, 0) from None

    def close(self) -> None:
        """Hang up. A later call connects again."""
        with self._lock:
            self._hang_up()

    def _call(self, request: Message, kind: type[Reply]) -> Reply:
        """The reply within the deadline. Errors: `SignerUnavailable`, `_RefusedBySigner`, `CodecError`."""
        frame = encode_frame(request)
        until_s = self._now_s() + self._deadline_s
        if not self._lock.acquire(timeout=self._deadline_s):
            raise SignerUnavailable(
                self._path, f"no answer to an earlier request within {self._deadline_s:g} s"
            )
        try:
            if self._failure is not None and self._now_s() < self._retry_at_s:
                raise self._failure
            try:
                reply = self._exchange(frame, isinstance(request, Hello), until_s)
            except (_ConnectionLost, OSError, CodecError) as error:
                self._hang_up()
                self._retry_at_s = self._now_s() + RETRY_AFTER_S
                self._failure = SignerUnavailable(self._path, _reason(error, self._deadline_s))
                raise self._failure from None
            self._failure = None
            if isinstance(reply, Refused):
                raise _RefusedBySigner(reply)
            if not isinstance(reply, kind):
                self._hang_up()
                raise SignerUnavailable(
                    self._path, f"{type(reply).__name__} came where {kind.__name__} was due"
                )
            return reply
        finally:
            self._lock.release()

    def _exchange(self, frame: bytes, is_hello: bool, until_s: float) -> Message:
        """Over the connection that there is, else over a new one. A hello's answer is never a refusal here."""
        if self._connection is not None:
            try:
                reply = self._ask(self._connection, frame, until_s)
            except TimeoutError:
                raise
            except (_ConnectionLost, OSError):
                self._hang_up()
            else:
                return self._welcomed(reply) if is_hello else reply
        connection = self._connection = self._connect(until_s)
        keys = self._welcomed(self._ask(connection, self._hello, until_s))
        return keys if is_hello else self._ask(connection, frame, until_s)

    def _welcomed(self, reply: Message) -> Keys:
        if isinstance(reply, Refused):
            raise _ConnectionLost(reply.message)
        if not isinstance(reply, Keys):
            raise _ConnectionLost(f"{type(reply).__name__} came where {Keys.__name__} was due")
        if reply.version != SIGNER_VERSION or reply.genesis_hash != self._genesis_hash:
            raise _ConnectionLost(
                f"it signs for genesis {reply.genesis_hash.hex()} in version {reply.version}, expected "
                f"{self._genesis_hash.hex()} in version {SIGNER_VERSION}"
            )
        self._keys = reply.keys
        return reply

    def _connect(self, until_s: float) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            connection.settimeout(self._remaining_s(until_s))
            connection.connect(str(self._path))
        except OSError:
            connection.close()
            raise
        return connection

    def _ask(self, connection: socket.socket, frame: bytes, until_s: float) -> Message:
        connection.settimeout(self._remaining_s(until_s))
        connection.sendall(frame)
        length = content_length(self._receive(connection, LENGTH_BYTES, until_s), MAX_REPLY_BYTES)
        return decode_content(self._receive(connection, length, until_s))

    def _receive(self, connection: socket.socket, count: int, until_s: float) -> bytes:
        received = bytearray()
        while len(received) < count:
            connection.settimeout(self._remaining_s(until_s))
            part = connection.recv(count - len(received))
            if not part:
                raise _ConnectionLost("it hung up")
            received += part
        return bytes(received)

    def _remaining_s(self, until_s: float) -> float:
        remaining_s = until_s - self._now_s()
        if remaining_s <= 0:
            raise TimeoutError
        return remaining_s

    def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class _RefusedBySigner(Exception):
    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.symbol)
        self.refused = refused


def _refusal(refused: Refused, public_key: bytes, at: int, source: int) -> SigningRefused:
    """The refusal as our own class where we have one. `at`: the slot or target that was asked for."""
    match refused.symbol:
        case AlreadySigned.__name__:
            return AlreadySigned(public_key, at, refused.last)
        case AlreadyVoted.__name__:
            return AlreadyVoted(public_key, at, refused.last)
        case SurroundRefused.__name__:
            return SurroundRefused(public_key, source, refused.last)
        case KeyUnknown.__name__:
            return KeyUnknown(public_key)
        case _:
            return SignerRefused(refused.symbol, refused.message)


def _reason(error: Exception, deadline_s: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {deadline_s:g} s"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error)
