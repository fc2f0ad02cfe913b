"""Mesh nodes over links of the test's choosing: envelopes, nodes, and a world that carries datagrams between them."""

from collections import Counter, deque
from collections.abc import Callable, Iterable
from hashlib import blake2b
from itertools import pairwise
from random import Random

from wnsp.envelope import ENVELOPE_VERSION, Envelope, sign_envelope
from wnsp.identity import Identity
from wnsp.mesh.bundles import NetworkEnvelopes
from wnsp.mesh.custody import MemoryCustody
from wnsp.mesh.datagrams import MAGIC, Kind
from wnsp.mesh.events import Output, Transmit
from wnsp.mesh.limits import Limits
from wnsp.mesh.protocol import MeshProtocol

GENESIS = blake2b(b"mesh tests", digest_size=32).digest()
START_MS = 1_800_000_000_000
SLOT_MS = 1_000
HOUR_MS = 3_600_000
READER = NetworkEnvelopes(GENESIS, START_MS, SLOT_MS)
Drop = Callable[[str, str, bytes], bool]
Silenced = Callable[[str, bytes], bool]


def identity(name: str) -> Identity:
    """The same key for the same name."""
    return Identity.from_seed(blake2b(name.encode(), digest_size=32).digest())


def envelope(
    sender: Identity,
    recipient: bytes,
    payload: bytes = b"hello",
    *,
    created_ms: int = START_MS,
    lifetime_ms: int = HOUR_MS,
    priority: int = 1,
) -> bytes:
    """A signed envelope; its times are whole slots."""
    created_slot = (created_ms - START_MS) // SLOT_MS
    fields = Envelope(
        version=ENVELOPE_VERSION,
        genesis=GENESIS,
        sender=sender.public_key,
        recipient=recipient,
        created_slot=created_slot,
        expiry_slot=created_slot + lifetime_ms // SLOT_MS - 1,
        region=2,
        modulation=0,
        scheme=0,
        parents=(),
        priority=priority,
        payload=payload,
    )
    return sign_envelope(fields, sender)


class MeshNode:
    """A protocol with its store, which outlives `restart`."""

    def __init__(self, name: str, limits: Limits | None = None, gateway: bool = False) -> None:
        self.name = name
        self.identity = identity(name)
        self.limits = limits or Limits()
        self.gateway = gateway
        self.custody = MemoryCustody(2 * self.limits.custody_bytes)
        self.events: list[Output] = []
        self.restart()

    def restart(self) -> None:
        """What a crash leaves: the store."""
        self.protocol = MeshProtocol(
            self.identity,
            self.custody,
            self.limits,
            Random(self.name).randbytes,
            READER,
            GENESIS,
            gateway=self.gateway,
        )

    @property
    def address(self) -> bytes:
        """20 bytes."""
        return self.identity.hash

    def all(self, kind: type) -> list:
        """Events of a class so far."""
        return [event for event in self.events if isinstance(event, kind)]


class MeshWorld:
    """Carries datagrams between nodes that are linked, at once, unless `drop(source, target, datagram)`."""

    def __init__(self, nodes: Iterable[MeshNode], links: Iterable[tuple[str, str]] = ()) -> None:
        self.nodes = {node.name: node for node in nodes}
        self.now_ms = START_MS
        self.linked: dict[str, list[str]] = {name: [] for name in self.nodes}
        for one, other in links:
            self.link(one, other)
        self.drop: Drop = lambda source, target, datagram: False
        self.silenced: Silenced = lambda source, datagram: False
        """Whether a node keeps to itself what it ought to send."""
        self.sent: Counter[str] = Counter()
        self.sent_bytes: Counter[str] = Counter()
        self.heard: Counter[tuple[str, str]] = Counter()

    def link(self, one: str, other: str) -> None:
        """In reach of each other from now on."""
        self.linked[one].append(other)
        self.linked[other].append(one)

    def unlink(self, one: str, other: str) -> None:
        """Out of reach."""
        self.linked[one].remove(other)
        self.linked[other].remove(one)

    def run(self, duration_ms: int, step_ms: int = 1_000) -> None:
        """Let time pass."""
        end_ms = self.now_ms + duration_ms
        while self.now_ms < end_ms:
            self.now_ms += step_ms
            for name, node in self.nodes.items():
                self.act(name, node.protocol.tick(self.now_ms))

    def submit(self, name: str, raw: bytes) -> None:
        """One of the node's own."""
        self.act(name, self.nodes[name].protocol.submit(raw, self.now_ms))

    def act(self, name: str, outputs: Iterable[Output]) -> None:
        """Carry what a node wants sent, and what comes of it, until it is quiet."""
        waiting = deque((name, output) for output in outputs)
        while waiting:
            source, output = waiting.popleft()
            if not isinstance(output, Transmit):
                self.nodes[source].events.append(output)
                continue
            if self.silenced(source, output.datagram):
                continue
            kind = kind_of(output.datagram)
            self.sent[kind] += 1
            self.sent_bytes[kind] += len(output.datagram)
            targets = self.linked[source] if output.neighbour is None else [output.neighbour]
            for target in targets:
                if target not in self.linked[source] or self.drop(source, target, output.datagram):
                    continue
                self.heard[source, target] += 1
                answers = self.nodes[target].protocol.receive(output.datagram, source, self.now_ms)
                waiting.extend((target, answer) for answer in answers)


def kind_of(datagram: bytes) -> str:
    """The datagram's kind by name, or FRAME."""
    return Kind(datagram[1] & 0x0F).name if datagram[0] == MAGIC else "FRAME"


def line(names: str, limits: Limits | None = None) -> MeshWorld:
    """Nodes in a row, each in reach of the next only."""
    return MeshWorld([MeshNode(name, limits) for name in names], pairwise(names))
