"""Agreeing on protocols (multistream-select) and becoming secret (Noise): what happens on a socket before Yamux.

Only Noise and only Yamux are offered. libp2p's default host also takes plaintext and SECIO.
"""

from collections.abc import Sequence

from libp2p.abc import ISecureConn
from libp2p.crypto.keys import KeyPair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.custom_types import TProtocol
from libp2p.exceptions import ParseError
from libp2p.io.abc import ReadWriteCloser
from libp2p.io.exceptions import IOException
from libp2p.io.utils import read_exactly
from libp2p.peer.id import ID
from libp2p.protocol_muxer.exceptions import MultiselectCommunicatorError
from libp2p.protocol_muxer.multiselect import Multiselect
from libp2p.protocol_muxer.multiselect_client import MultiselectClient
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE_PROTOCOL
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.utils.varint import decode_uvarint_from_stream

from p2p import yamux
from p2p.transport import TcpStream

MAX_NEGOTIATION_BYTES = 1_024
"""Longest line of multistream-select; ours are below 100."""
_NO_LIMIT_S = 3_600
"""libp2p insists on a time-out of its own; our callers have the real one."""


class BoundedCommunicator(MultiselectCommunicator):  # type: ignore[misc]
    """Reads no line longer than `MAX_NEGOTIATION_BYTES` and reports every malformed one as such (libp2p's takes any
    length and lets `UnicodeDecodeError` out)."""

    async def read(self) -> str:
        """The next line. Errors: `MultiselectCommunicatorError`."""
        try:
            length = await decode_uvarint_from_stream(self.read_writer)
            if length > MAX_NEGOTIATION_BYTES:
                raise ParseError(f"{length} bytes, the limit is {MAX_NEGOTIATION_BYTES}")
            line: str = (await read_exactly(self.read_writer, length)).decode()
        except (IOException, ParseError, UnicodeDecodeError) as error:
            raise MultiselectCommunicatorError(f"no multistream line: {error!r}") from error
        if not line.endswith("\n"):
            raise MultiselectCommunicatorError("multistream line without its end")
        return line[:-1]


async def ask_for(read_writer: ReadWriteCloser, protocols: Sequence[TProtocol]) -> TProtocol:
    """The first of `protocols` that the other side speaks. Errors: `MultiselectClientError`."""
    return await MultiselectClient().select_one_of(protocols, BoundedCommunicator(read_writer), _NO_LIMIT_S)


async def agree_on(read_writer: ReadWriteCloser, offered: Sequence[TProtocol]) -> TProtocol:
    """What the other side chooses of `offered`. Errors: `MultiselectError`."""
    muxer = Multiselect(dict.fromkeys(offered))
    protocol, _ = await muxer.negotiate(BoundedCommunicator(read_writer), _NO_LIMIT_S)
    return protocol


async def _settle(read_writer: ReadWriteCloser, protocol: TProtocol, *, is_initiator: bool) -> None:
    if is_initiator:
        await ask_for(read_writer, [protocol])
    else:
        await agree_on(read_writer, [protocol])


class Upgrader:
    """Makes encrypted connections out of sockets, with one identity."""

    def __init__(self, key_pair: KeyPair) -> None:
        self._noise = NoiseTransport(key_pair, noise_privkey=create_noise_key_pair().private_key)

    async def upgrade(self, stream: TcpStream, expected: ID | None) -> tuple[ISecureConn, ID]:
        """Noise XX, then Yamux agreed on; the connection and who is at its other end. With `expected` (we dialled) it
        is that peer or an error. Errors: whatever the layers raise on what the peer sent; the caller bounds the
        time."""
        await _settle(stream, NOISE_PROTOCOL, is_initiator=stream.is_initiator)
        if expected is not None:
            secured = await self._noise.secure_outbound(stream, expected)
        else:
            secured = await self._noise.secure_inbound(stream)
        peer_id = secured.get_remote_peer()
        await _settle(secured, TProtocol(yamux.PROTOCOL), is_initiator=stream.is_initiator)
        return secured, peer_id
