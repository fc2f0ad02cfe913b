"""One question to one peer: its deadline, the strict decoding of the reply, and what a bad reply costs."""

from collections.abc import Callable
from typing import TypeVar

from ledger.encoding import Codec
from ledger.errors import CodecError
from p2p.errors import RequestRefused
from p2p.network import Network, PeerId
from p2p.peers import Fault

T = TypeVar("T")

REQUEST_TIMEOUT_S = 10.0
"""Reliability row N4: a silent peer costs us at most this."""

Report = Callable[[PeerId, Fault], None]
"""Counts a fault of a peer."""


class PeerServedJunk(Exception):
    """A peer's reply that cannot be used; the fault is reported already."""

    def __init__(self, peer: PeerId, reason: str) -> None:
        super().__init__(f"peer {peer} served {reason}")
        self.peer = peer
        self.reason = reason


def understood(codec: Codec[T], peer: PeerId, data: bytes, report: Report) -> T:
    """A peer's request, decoded. Errors: `RequestRefused`, after the fault was reported."""
    try:
        return codec.decode(data)
    except CodecError as error:
        report(peer, Fault.MALFORMED)
        raise RequestRefused(str(error)) from None


async def ask(
    network: Network,
    peer: PeerId,
    protocol: str,
    request: bytes,
    reply: Codec[T],
    *,
    report: Report,
    timeout_s: float = REQUEST_TIMEOUT_S,
) -> T:
    """The decoded reply. Errors: `NetworkError`; `PeerServedJunk` after the fault was reported."""
    raw = await network.request(peer, protocol, request, max_reply_bytes=reply.max_bytes, timeout_s=timeout_s)
    try:
        return reply.decode(raw)
    except CodecError as error:
        report(peer, Fault.MALFORMED)
        raise PeerServedJunk(peer, f"a malformed reply: {error}") from None
