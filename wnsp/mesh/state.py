"""What one node of the mesh knows, and the few things that everybody asks of it."""

from dataclasses import dataclass, field

from wnsp.identity import Identity
from wnsp.mesh.bundles import BundleFacts, EnvelopeReader
from wnsp.mesh.contacts import Contact, ContactTable
from wnsp.mesh.datagrams import Announcement, Hello, encode_datagram
from wnsp.mesh.events import CustodyFreed
from wnsp.mesh.holdings import Held, Holdings
from wnsp.mesh.limits import BROADCAST_ADDRESS, GATEWAY_ADDRESS, Limits
from wnsp.mesh.receipts import ReceiptTable
from wnsp.mesh.routes import RouteTable
from wnsp.mesh.spraying import copies_for_neighbour


@dataclass(slots=True)
class MeshState:
    """Shared by the modules that take datagrams in and send them out."""

    identity: Identity
    address: bytes
    gateway: bool
    limits: Limits
    genesis: bytes
    reader: EnvelopeReader
    holdings: Holdings
    receipts: ReceiptTable
    routes: RouteTable
    contacts: ContactTable
    announcement: Announcement | None = None
    """Our latest."""
    expected: dict[bytes, int] = field(default_factory=dict)
    """Bundles that were just asked for, until when (ms) nobody else is asked."""


def hello_datagram(state: MeshState) -> bytes:
    """Our hello."""
    return encode_datagram(Hello(state.address, state.gateway))


def is_for_us(state: MeshState, facts: BundleFacts) -> bool:
    """Whether the bundle is to be delivered here."""
    return (
        facts.recipient == state.address
        or (facts.recipient == BROADCAST_ADDRESS and facts.sender != state.address)
        or (facts.recipient == GATEWAY_ADDRESS and state.gateway)
    )


def copies_for(state: MeshState, held: Held, contact: Contact, now_ms: int) -> int | None:
    """How many copies of the bundle the neighbour would get now; None for no offer."""
    return copies_for_neighbour(held, contact, state.contacts, state.routes, state.limits, now_ms)


def freed(held: Held, why: str) -> CustodyFreed:
    """The event."""
    return CustodyFreed(held.facts.bundle_id, held.own, why)


def urgency(held: Held) -> tuple[int, int, bytes]:
    """Order of sending: priority, then what expires first; ids decide the rest."""
    return -held.facts.priority, held.facts.expires_ms, held.facts.bundle_id
