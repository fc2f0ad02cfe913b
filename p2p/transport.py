"""TCP below libp2p: one buffered stream, dialling and listening.

libp2p's own TCP transport is not used: it listens with SO_REUSEPORT, so a second node on the same port binds without
an error and takes half of our connections, and it reads without a limit before the handshake.
"""

import socket
from ipaddress import ip_address

import trio
from libp2p.io.exceptions import ConnectionClosedError, IOException

READ_BLOCK_BYTES = 65_536
MAX_READ_BYTES = 1_048_576
"""Longest single read: nothing below the muxer asks for more than one Noise packet of 64 KiB; a length above it is
garbage sent before the handshake."""
LISTEN_BACKLOG = 256


class TcpStream:
    """A socket as libp2p's layers want it. `read(n)` waits for all n bytes, fewer only when the peer has closed:
    libp2p's `read_exactly` gives up after 100 partial reads, and one Noise packet may well come in more segments."""

    __slots__ = ("_buffer", "_ended", "_stream", "endpoint", "is_initiator")

    def __init__(self, stream: trio.SocketStream, *, is_initiator: bool) -> None:
        self._stream = stream
        self._buffer = bytearray()
        self._ended = False
        self.is_initiator = is_initiator
        self.endpoint = endpoint_text(stream.socket.getpeername())
        """The other side, without /p2p/."""

    async def read(self, n: int | None = None) -> bytes:
        """n bytes, or with None whatever there is; empty at the end. Errors: `IOException`."""
        wanted = 1 if n is None else n
        if wanted > MAX_READ_BYTES:
            raise IOException(f"a read of {wanted} bytes, the limit is {MAX_READ_BYTES}")
        while len(self._buffer) < wanted and not self._ended:
            try:
                block = await self._stream.receive_some(READ_BLOCK_BYTES)
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                raise ConnectionClosedError("connection lost", transport="tcp") from error
            self._buffer += block
            self._ended = not block
        size = len(self._buffer) if n is None else n
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    async def write(self, data: bytes) -> None:
        """Errors: `IOException`."""
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ConnectionClosedError("connection lost", transport="tcp") from error

    async def close(self) -> None:
        """At once; whoever reads or writes gets an error."""
        await trio.aclose_forcefully(self._stream)

    def get_remote_address(self) -> tuple[str, int] | None:
        """Host and port, for libp2p."""
        parts = self.endpoint.split("/")
        return parts[2], int(parts[4])


def endpoint_text(address: tuple[object, ...]) -> str:
    """`/ip4/HOST/tcp/PORT` or `/ip6/…` of a socket address."""
    host, port = str(address[0]).partition("%")[0], address[1]
    return f"/ip{ip_address(host).version}/{host}/tcp/{port}"


async def dial(host: str, port: int) -> TcpStream:
    """Errors: `OSError`. The caller bounds the time."""
    return TcpStream(await trio.open_tcp_stream(host, port), is_initiator=True)


async def listen(endpoint: str) -> list[trio.SocketListener]:
    """Listening sockets for `/ip4|ip6/HOST/tcp/PORT`, port 0 for any free one. Errors: `OSError`, `ValueError`."""
    match endpoint.split("/"):
        case ["", "ip4" | "ip6", host, "tcp", port] if port.isdecimal() and int(port) <= 65535:
            ip_address(host)
            return await trio.open_tcp_listeners(int(port), host=host, backlog=LISTEN_BACKLOG)
        case _:
            raise ValueError("expected /ip4/HOST/tcp/PORT or /ip6/HOST/tcp/PORT")


def reachable_endpoints(listener: trio.SocketListener) -> tuple[str, ...]:
    """How others dial this listener. A wildcard address becomes loopback and the address that this machine would use
    towards the internet (asked of the kernel's routing table; nothing is sent)."""
    address = listener.socket.getsockname()
    host = ip_address(str(address[0]))
    if not host.is_unspecified:
        return (endpoint_text(address),)
    hosts = ["127.0.0.1" if host.version == 4 else "::1"]
    family, beyond = (socket.AF_INET, "192.0.2.1") if host.version == 4 else (socket.AF_INET6, "2001:db8::1")
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((beyond, 9))
            hosts.append(probe.getsockname()[0])
        except OSError:
            pass  # no route: only this machine can reach us
    return tuple(endpoint_text((text, address[1])) for text in dict.fromkeys(hosts))
