"""The `Network` interface: publish, subscribe, request, serve, peers. Bytes only.

Two implementations keep it: `p2p.host.LibP2PNetwork` and `p2p.simulated.SimulatedNetwork`. Token buckets, verdicts
and scores sit above it (`p2p.peers`), so they are the same code in simulation and on real sockets.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import Literal, Protocol

PeerId = str
"""Text form of a peer's identity (for libp2p the base58 multihash of its public key)."""


class Verdict(Enum):
    """What becomes of a gossiped message."""

    ACCEPT = "accept"
    """Valid: forward it."""
    IGNORE = "ignore"
    """Not useful (seen before, too early, we are busy): don't forward, nobody is to blame."""
    REJECT = "reject"
    """Invalid for ever: don't forward, and the sender loses score."""


@dataclass(frozen=True, slots=True)
class PeerInfo:
    """A connected peer, as the operator sees it."""

    peer_id: PeerId
    addresses: tuple[str, ...]
    """Multiaddresses, without the /p2p/ part."""
    direction: Literal["inbound", "outbound"]


@dataclass(frozen=True, slots=True)
class PeerConnected:
    """Event: a connection to `peer` is up and usable."""

    peer: PeerInfo


@dataclass(frozen=True, slots=True)
class PeerDisconnected:
    """Event: the last connection to the peer has gone."""

    peer_id: PeerId
    reason: str


@dataclass(frozen=True, slots=True)
class PeerMisbehaved:
    """Event: the transport itself saw a fault of the peer (garbage on a stream, oversized frame …)."""

    peer_id: PeerId
    """Empty when the fault is our own (a validator or handler raised or took too long)."""
    fault: str
    """A value of `p2p.peers.Fault`; of our own faults, what happened."""
    detail: str = ""
    """For the log."""


NetworkEvent = PeerConnected | PeerDisconnected | PeerMisbehaved

Validator = Callable[[PeerId, bytes], Awaitable[Verdict]]
"""Called for each gossiped message with the peer that sent it to us. Must return fast (it may queue work) and never
raise; an exception counts as IGNORE and is reported as `PeerMisbehaved` of nobody, i.e. as our own fault."""

Handler = Callable[[PeerId, bytes], Awaitable[bytes]]
"""Answers one request. May raise `RequestRefused(reason)`, which reaches the caller as such."""


class Network(Protocol):
    """A running network endpoint. Made by an async context manager; leaving it closes everything."""

    @property
    def peer_id(self) -> PeerId:
        """Our own identity."""
        ...

    @property
    def listen_addresses(self) -> tuple[str, ...]:
        """Multiaddresses with /p2p/<peer id>, as another node would dial them; with the real port."""
        ...

    def sign(self, data: bytes) -> bytes:
        """Our identity key's Ed25519 signature over `data`: 64 bytes. `data` begins with a domain tag of its use."""
        ...

    def has_signed(self, peer: PeerId, data: bytes, signature: bytes) -> bool:
        """Whether `signature` over `data` is of the key that `peer` names; False for whatever is no such thing."""
        ...

    def topics(self) -> tuple[str, ...]:
        """Topics subscribed to, sorted."""
        ...

    def peers(self) -> tuple[PeerInfo, ...]:
        """Peers connected now, sorted by id."""
        ...

    async def next_event(self) -> NetworkEvent:
        """The next event; waits for one. Bounded queue: when full the oldest connection events are merged away."""
        ...

    async def subscribe(self, topic: str, validator: Validator, *, max_bytes: int) -> None:
        """Take part in `topic`. Each message of another node reaches `validator` once; larger ones are dropped and
        count as misbehaviour of the sender."""
        ...

    async def publish(self, topic: str, data: bytes) -> None:
        """Give `data` to the peers of `topic`. Our own validator is not called. Errors: `MessageTooLarge`."""
        ...

    async def serve(self, protocol: str, handler: Handler, *, max_request_bytes: int) -> None:
        """Answer requests on `protocol` with `handler`."""
        ...

    async def request(
        self, peer: PeerId, protocol: str, data: bytes, *, max_reply_bytes: int, timeout_s: float
    ) -> bytes:
        """Ask `peer`. Errors: `RequestFailed` (gone, reset, malformed), `RequestTimeout`, `RequestRefused`."""
        ...

    async def connect(self, address: str) -> PeerId:
        """Dial a multiaddress with /p2p/<id>. Errors: `DialFailed`. Connected already: returns at once."""
        ...

    async def disconnect(self, peer: PeerId) -> None:
        """Close all connections to the peer; no error when there is none."""
        ...
