"""What the mesh needs to know of an envelope. The rest of it is opaque bytes to every relay."""

from dataclasses import dataclass
from typing import Protocol

from wnsp.envelope import envelope_id, open_envelope
from wnsp.mesh.limits import ANONYMOUS_ADDRESS, BROADCAST_ADDRESS

MAX_TIME_MS = (1 << 64) - 1
"""What the records' times hold; an expiry beyond is refused anyway."""


@dataclass(frozen=True, slots=True)
class BundleFacts:
    """Read off a signed envelope whose signature holds."""

    bundle_id: bytes
    """BLAKE2b-256 of the envelope."""
    sender: bytes
    """Address, 20 bytes; `ANONYMOUS_ADDRESS` when nobody signed on the outside."""
    recipient: bytes
    """Address, 20 bytes; `BROADCAST_ADDRESS` or `GATEWAY_ADDRESS` for those."""
    expires_ms: int
    """Unix time, milliseconds; signed."""
    priority: int
    """Larger goes first."""


class EnvelopeReader(Protocol):
    """Reads envelopes of one network."""

    def bundle_id(self, envelope: bytes) -> bytes:
        """The id, without checking anything: cheap enough for duplicates."""
        ...

    def read(self, envelope: bytes) -> BundleFacts:
        """The facts of a valid envelope of this network. Errors: `WnspError`."""
        ...


class NetworkEnvelopes:
    """The reader of one network's message envelopes (wnsp/envelope), whose times are slots."""

    def __init__(self, genesis: bytes, genesis_ms: int, slot_ms: int) -> None:
        self._genesis = genesis
        self._genesis_ms = genesis_ms
        self._slot_ms = slot_ms

    def bundle_id(self, envelope: bytes) -> bytes:
        """The envelope's id."""
        return envelope_id(envelope)

    def read(self, envelope: bytes) -> BundleFacts:
        """Every rule of envelopes is checked, the signature last. Errors: as `open_envelope`."""
        opened = open_envelope(envelope, self._genesis)
        fields = opened.envelope
        return BundleFacts(
            bundle_id=opened.id,
            sender=opened.sender_hash or ANONYMOUS_ADDRESS,
            recipient=fields.recipient or BROADCAST_ADDRESS,
            expires_ms=min(MAX_TIME_MS, self._genesis_ms + (fields.expiry_slot + 1) * self._slot_ms),
            priority=fields.priority,
        )
