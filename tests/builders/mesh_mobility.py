"""Fifty nodes on the move, black holes and loss: the mesh protocol against epidemic flooding on the same walks.

Flooding is the strongest that we know to write: nodes know for nothing what a neighbour already has (black holes say so
truly), a node hears a message from one neighbour at a time, and neither summary vectors nor hellos are counted.
"""

from dataclasses import dataclass, field
from random import Random

import numpy as np
from builders.mesh import HOUR_MS, READER, START_MS, MeshNode, MeshWorld, envelope, kind_of

from wnsp.mesh.events import Delivered, Receipted
from wnsp.mesh.limits import Limits

SIDE_M = 1_000.0
RANGE_M = 150.0
SPEED_M_PER_S = (1.0, 5.0)
STEP_MS = 5_000
BLACK_HOLES_SWALLOW = frozenset(("OFFER", "BUNDLE", "RECEIPT"))
"""What a black hole never sends. It does greet, announce, want and take custody."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One run."""

    seed: int
    nodes: int = 50
    black_hole_percent: int = 30
    loss_percent: int = 10
    messages: int = 40
    payload_bytes: int = 1_024
    first_ms: int = 60_000
    spread_ms: int = 5 * 60_000
    """Messages are sent within this after `first_ms`."""
    lifetime_ms: int = HOUR_MS // 3


@dataclass(slots=True)
class Walks:
    """Random waypoints: everybody walks to a place at a speed, then to another."""

    rng: Random
    count: int
    place: np.ndarray = field(init=False)
    goal: np.ndarray = field(init=False)
    speed: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.place = np.array([self._anywhere() for _ in range(self.count)])
        self.goal = np.array([self._anywhere() for _ in range(self.count)])
        self.speed = np.array([self.rng.uniform(*SPEED_M_PER_S) for _ in range(self.count)])

    def step(self) -> np.ndarray:
        """One step; who is in reach of whom then: bool[count, count]."""
        way = self.goal - self.place
        distance = np.hypot(way[:, 0], way[:, 1])
        reach = self.speed * (STEP_MS // 1_000)
        arrived = distance <= reach
        self.place += way * np.minimum(1.0, reach / np.maximum(distance, 1e-9))[:, None]
        for index in np.flatnonzero(arrived):
            self.goal[index] = self._anywhere()
            self.speed[index] = self.rng.uniform(*SPEED_M_PER_S)
        apart = self.place[:, None, :] - self.place[None, :, :]
        near = np.hypot(apart[..., 0], apart[..., 1]) <= RANGE_M
        np.fill_diagonal(near, False)
        return near

    def _anywhere(self) -> tuple[float, float]:
        return self.rng.uniform(0, SIDE_M), self.rng.uniform(0, SIDE_M)


@dataclass(frozen=True, slots=True)
class Message:
    """Who writes to whom, when."""

    at_ms: int
    source: int
    target: int


@dataclass(slots=True)
class Result:
    """What came of a run."""

    delivered: int
    deliveries: int
    """With repetitions."""
    receipted: int
    bundles: int
    """Transmissions of messages."""
    all_bytes: int
    """Of everything sent."""
    message_bytes: int
    """Of everything but hellos and announcements, which go on without messages too."""
    delays_ms: list[int]
    sent: dict[str, int]


def black_holes(scenario: Scenario) -> frozenset[int]:
    """The nodes that swallow."""
    count = scenario.nodes * scenario.black_hole_percent // 100
    return frozenset(Random(f"{scenario.seed} holes").sample(range(scenario.nodes), count))


def messages(scenario: Scenario) -> list[Message]:
    """Between honest nodes, in order of time."""
    rng = Random(f"{scenario.seed} messages")
    honest = sorted(set(range(scenario.nodes)) - black_holes(scenario))
    written = []
    for _ in range(scenario.messages):
        source, target = rng.sample(honest, 2)
        at_ms = START_MS + scenario.first_ms + rng.randrange(0, scenario.spread_ms, STEP_MS)
        written.append(Message(at_ms, source, target))
    return sorted(written, key=lambda message: message.at_ms)


def end_ms(scenario: Scenario) -> int:
    """When the last message has expired."""
    return START_MS + scenario.first_ms + scenario.spread_ms + scenario.lifetime_ms


def run_mesh(scenario: Scenario) -> Result:
    """The protocol itself in every node."""
    limits = Limits(link_bytes=1_472)
    names = [f"node {index:02}" for index in range(scenario.nodes)]
    world = MeshWorld([MeshNode(name, limits) for name in names])
    holes = {names[index] for index in black_holes(scenario)}
    chance = Random(f"{scenario.seed} loss")

    def drop(source: str, target: str, datagram: bytes) -> bool:
        return chance.randrange(100) < scenario.loss_percent

    def silenced(source: str, datagram: bytes) -> bool:
        return source in holes and kind_of(datagram) in BLACK_HOLES_SWALLOW

    world.drop = drop
    world.silenced = silenced
    walks = Walks(Random(f"{scenario.seed} walks"), scenario.nodes)
    waiting = messages(scenario)
    written: dict[bytes, int] = {}
    arrived: dict[bytes, list[int]] = {}
    counted = dict.fromkeys(names, 0)
    while world.now_ms < end_ms(scenario):
        near = walks.step()
        for index, name in enumerate(names):
            world.linked[name] = [names[other] for other in np.flatnonzero(near[index])]
        while waiting and waiting[0].at_ms <= world.now_ms:
            message = waiting.pop(0)
            source, target = world.nodes[names[message.source]], world.nodes[names[message.target]]
            payload = Random(f"{scenario.seed} payload {len(waiting)}").randbytes(scenario.payload_bytes)
            raw = envelope(
                source.identity,
                target.address,
                payload,
                created_ms=world.now_ms,
                lifetime_ms=scenario.lifetime_ms,
            )
            written[READER.bundle_id(raw)] = world.now_ms
            world.submit(source.name, raw)
        world.run(STEP_MS, STEP_MS)
        for name, node in world.nodes.items():
            for event in node.events[counted[name] :]:
                if isinstance(event, Delivered):
                    arrived.setdefault(event.bundle_id, []).append(world.now_ms)
                    node.protocol.taken(event.bundle_id)
            counted[name] = len(node.events)
    signalling = world.sent_bytes["HELLO"] + world.sent_bytes["ANNOUNCEMENT"]
    total = sum(world.sent_bytes.values())
    return Result(
        delivered=len(arrived),
        deliveries=sum(len(times) for times in arrived.values()),
        receipted=len({e.bundle_id for node in world.nodes.values() for e in node.all(Receipted)}),
        bundles=world.sent["BUNDLE"],
        all_bytes=total,
        message_bytes=total - signalling,
        delays_ms=sorted(times[0] - written[bundle_id] for bundle_id, times in arrived.items()),
        sent=dict(world.sent),
    )


def run_flooding(scenario: Scenario) -> Result:
    """Epidemic routing (Vahdat and Becker 2000) until a message's expiry, on the same walks, with the same loss."""
    holes = black_holes(scenario)
    honest = np.array([index not in holes for index in range(scenario.nodes)])
    chance = Random(f"{scenario.seed} flooding loss")
    walks = Walks(Random(f"{scenario.seed} walks"), scenario.nodes)
    waiting = messages(scenario)
    under_way: list[tuple[Message, np.ndarray]] = []
    delays_ms: list[int] = []
    sent = 0
    now_ms = START_MS
    while now_ms < end_ms(scenario):
        near = walks.step()
        while waiting and waiting[0].at_ms <= now_ms:
            message = waiting.pop(0)
            has = np.zeros(scenario.nodes, dtype=bool)
            has[message.source] = True
            under_way.append((message, has))
        for message, has in under_way:
            hears = near[has & honest].any(axis=0) & ~has
            for index in np.flatnonzero(hears):
                sent += 1
                if chance.randrange(100) >= scenario.loss_percent:
                    has[index] = True
                    if index == message.target:
                        delays_ms.append(now_ms - message.at_ms)
        now_ms += STEP_MS
        under_way = [entry for entry in under_way if now_ms < entry[0].at_ms + scenario.lifetime_ms]
    size = sent * scenario.payload_bytes
    return Result(len(delays_ms), len(delays_ms), 0, sent, size, size, sorted(delays_ms), {"BUNDLE": sent})
