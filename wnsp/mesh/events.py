"""What `MeshProtocol` gives back: things to send (`Transmit`) and things that happened. The node acts and logs."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Transmit:
    """Send `datagram` to one neighbour, or to everybody on every link when `neighbour` is None."""

    neighbour: str | None
    datagram: bytes


@dataclass(frozen=True, slots=True)
class Delivered:
    """A bundle for us, once. It stays in the inbox until `taken(bundle_id)`."""

    bundle_id: bytes
    envelope: bytes
    neighbour: str
    """That it came from."""


@dataclass(frozen=True, slots=True)
class Queued:
    """One of our own is in custody."""

    bundle_id: bytes


@dataclass(frozen=True, slots=True)
class Relayed:
    """A neighbour took custody of a bundle that we hold."""

    bundle_id: bytes
    neighbour: str
    own: bool
    copies_left: int


@dataclass(frozen=True, slots=True)
class CustodyTaken:
    """We carry a stranger's bundle."""

    bundle_id: bytes
    neighbour: str


@dataclass(frozen=True, slots=True)
class Receipted:
    """A valid receipt for one of our own bundles: `recipient` has it."""

    bundle_id: bytes
    recipient: bytes
    delivered_ms: int
    """By the recipient's clock."""


@dataclass(frozen=True, slots=True)
class CustodyFreed:
    """A bundle left custody. `why`: receipt, expired, evicted, released, taken."""

    bundle_id: bytes
    own: bool
    why: str


@dataclass(frozen=True, slots=True)
class Resprayed:
    """No receipt in time: the source lets loose another round of copies."""

    bundle_id: bytes
    round: int


@dataclass(frozen=True, slots=True)
class NeighbourHeard:
    """A contact began."""

    neighbour: str
    address: bytes
    gateway: bool


@dataclass(frozen=True, slots=True)
class NeighbourLost:
    """A contact ended: silence, or room was needed for another."""

    neighbour: str
    address: bytes


@dataclass(frozen=True, slots=True)
class RouteLearnt:
    """A newer announcement of `address` came by `neighbour`."""

    address: bytes
    neighbour: str
    cost: int
    sequence: int


@dataclass(frozen=True, slots=True)
class Refused:
    """A datagram, or a part of it, that broke a rule. `code` is the error class's name."""

    neighbour: str
    code: str
    text: str


Event = (
    Delivered
    | Queued
    | Relayed
    | CustodyTaken
    | Receipted
    | CustodyFreed
    | Resprayed
    | NeighbourHeard
    | NeighbourLost
    | RouteLearnt
    | Refused
)
Action = Transmit
Output = Event | Action
