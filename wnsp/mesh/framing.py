"""Datagrams larger than a link's MTU, cut into WNSP frames and put together again (wnsp/fragments)."""

from hashlib import blake2b

from wnsp.errors import MtuOutOfRange
from wnsp.fragments import Reassembler, ReassemblyLimits, fragment
from wnsp.frame import MAX_FRAME_BYTES, SYNC, decode_frame, encode_frame
from wnsp.mesh.datagrams import MAX_DATAGRAM_BYTES
from wnsp.mesh.limits import Limits

MIN_LINK_BYTES = 64
"""Below, the frames' 16 bytes each are most of what is sent."""
REASSEMBLY_MS = 60_000
"""Longer than the first three attempts take, so that what one attempt lost the next one fills in."""


def require_link_bytes(link_bytes: int) -> int:
    """`link_bytes`, when datagrams can be cut to it. Errors: `MtuOutOfRange`."""
    if not MIN_LINK_BYTES <= link_bytes <= MAX_FRAME_BYTES:
        raise MtuOutOfRange(link_bytes, MIN_LINK_BYTES, MAX_FRAME_BYTES)
    return link_bytes


def split_datagram(datagram: bytes, link_bytes: int) -> tuple[bytes, ...]:
    """The datagram itself when it fits; else frames. Equal datagrams give equal frames, so attempts add up."""
    if len(datagram) <= link_bytes:
        return (datagram,)
    sequence = int.from_bytes(blake2b(datagram, digest_size=4).digest(), "big")
    return tuple(encode_frame(frame) for frame in fragment(datagram, link_bytes, sequence))


class Joiner:
    """Unfinished datagrams of all neighbours, bounded and expiring."""

    def __init__(self, limits: Limits) -> None:
        self._reassembler = Reassembler(
            ReassemblyLimits(
                message_bytes=min(limits.reassembly_bytes, 8 * MAX_DATAGRAM_BYTES),
                total_bytes=limits.reassembly_bytes,
                expiry_ms=REASSEMBLY_MS,
            )
        )

    @property
    def held_bytes(self) -> int:
        """Of unfinished datagrams."""
        return self._reassembler.held_bytes

    def join(self, part: bytes, neighbour: str, now_ms: int) -> bytes | None:
        """A whole datagram, or None when more frames are missing. Errors: `FrameError`."""
        if part[:1] != bytes((SYNC,)):
            return part
        return self._reassembler.add(decode_frame(part), neighbour, now_ms)
