"""The faults of simulated links: loss, delay, duplication, corruption, cuts. Pure: a seed and calls in, fates out.

Every directed link has its own generator, seeded with (seed, source, target), and every message takes the same number
of draws whatever the faults are. So traffic on one link never changes the fate of another's, and a failing run can be
shrunk by taking faults away one by one.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from p2p.network import PeerId


@dataclass(frozen=True, slots=True)
class LinkFaults:
    """What a link does to the messages on it. The probabilities are per message and direction, 0..1."""

    loss: float = 0.0
    delay_min_ms: float = 5.0
    delay_max_ms: float = 20.0
    """Each message draws its own delay, evenly between the two: a wide range reorders."""
    duplication: float = 0.0
    """Gossip only: a stream cannot carry a request twice. The copy draws its own delay."""
    corruption: float = 0.0
    """One byte changes. Real links don't do this unnoticed (TCP, Noise); a lying peer does, and decoders must live."""

    def __post_init__(self) -> None:
        for name in ("loss", "duplication", "corruption"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected a probability, 0..1")
        if not 0 <= self.delay_min_ms <= self.delay_max_ms:
            raise ValueError(f"delay {self.delay_min_ms}..{self.delay_max_ms} ms, expected 0 <= min <= max")


@dataclass(frozen=True, slots=True)
class Arrival:
    """One copy of a message that will arrive."""

    delay_s: float
    data: bytes
    corrupted: bool


class Links:
    """State of all directed links: faults, generators, cuts."""

    def __init__(self, seed: int, faults: LinkFaults) -> None:
        self._seed = seed
        self._default = faults
        self._special: dict[tuple[PeerId, PeerId], LinkFaults] = {}
        self._generators: dict[tuple[PeerId, PeerId], random.Random] = {}
        self._groups: tuple[tuple[PeerId, ...], ...] = ()
        self._cuts: dict[tuple[PeerId, PeerId], None] = {}

    def set_faults(self, faults: LinkFaults, source: PeerId | None, target: PeerId | None) -> None:
        """For the link source -> target; without both, for all links, and special ones are forgotten."""
        if source is None and target is None:
            self._default = faults
            self._special.clear()
        elif source is None or target is None:
            raise ValueError("a link has a source and a target: give both or neither")
        else:
            self._special[(source, target)] = faults

    def partition(self, groups: Sequence[Sequence[PeerId]]) -> None:
        """Only peers with a group in common reach each other; one in several groups is a bridge. Peers in no group form
        one more group together."""
        self._groups = tuple(tuple(group) for group in groups)

    def cut(self, source: PeerId, target: PeerId) -> None:
        """Nothing passes from source to target; the other direction stays."""
        self._cuts[(source, target)] = None

    def heal(self) -> None:
        """Ends partition and cuts; faults stay."""
        self._groups = ()
        self._cuts.clear()

    def is_open(self, source: PeerId, target: PeerId) -> bool:
        """Whether anything may pass from source to target now."""
        if (source, target) in self._cuts:
            return False
        if not self._groups:
            return True
        placed = False
        for group in self._groups:
            if source in group and target in group:
                return True
            placed = placed or source in group or target in group
        return not placed

    def delay_s(self, source: PeerId, target: PeerId) -> float:
        """A delay for a notice that is never lost (the end of a connection)."""
        faults = self._special.get((source, target), self._default)
        return _between(faults, self._generator(source, target).random())

    def fate(self, source: PeerId, target: PeerId, data: bytes, *, duplicable: bool) -> tuple[Arrival, ...]:
        """What becomes of one message on an open link: no, one or two arrivals."""
        faults = self._special.get((source, target), self._default)
        generator = self._generator(source, target)
        lost, first, twice, second, corrupted, position, flip = (generator.random() for _ in range(7))
        if lost < faults.loss:
            return ()
        spoiled = corrupted < faults.corruption and len(data) > 0
        if spoiled:
            index = int(position * len(data))
            changed = data[index] ^ (1 + int(flip * 255))
            data = data[:index] + bytes([changed]) + data[index + 1 :]
        arrival = Arrival(_between(faults, first), data, spoiled)
        if duplicable and twice < faults.duplication:
            return arrival, Arrival(_between(faults, second), data, spoiled)
        return (arrival,)

    def _generator(self, source: PeerId, target: PeerId) -> random.Random:
        generator = self._generators.get((source, target))
        if generator is None:
            # A text seed goes through SHA-512 in random.seed, so it does not depend on PYTHONHASHSEED.
            generator = random.Random(f"{self._seed}/{source}/{target}")
            self._generators[(source, target)] = generator
        return generator


def _between(faults: LinkFaults, fraction: float) -> float:
    """Seconds."""
    return (faults.delay_min_ms + fraction * (faults.delay_max_ms - faults.delay_min_ms)) / 1000
