"""What each peer has done to us: scores from a table of faults, forgiveness over time, bans. Time is an argument.

The transport library's own gossip scoring stays off (it cannot tell "ignore" from "reject"): this is the only one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType

from p2p.addresses import ban_groups
from p2p.network import PeerId


class Fault(Enum):
    """What a peer can do wrong. The value is also the text of `PeerMisbehaved.fault`."""

    OVERSIZED = "oversized"
    """A message, request or reply above its limit: the sender knows the limit (reliability C2)."""
    MALFORMED = "malformed"
    """Bytes that do not decode (C1, C3 to C6)."""
    INVALID = "invalid"
    """Decodes but breaks a rule for ever: bad signature, bad block; `Verdict.REJECT` (L1, N3)."""
    TRANSPORT = "transport"
    """The transport saw a fault and names no other (garbage on a stream)."""
    BAD_REPLY = "bad reply"
    """An answer that does not fit the question."""
    WITHHELD = "withheld"
    """Announced something and did not deliver it."""
    GOSSIP_RATE = "gossip rate"
    """One message above the bucket of its topic (N2)."""
    REQUEST_RATE = "request rate"
    """One request above the bucket of its protocol (N5)."""


FAULT_POINTS: Mapping[Fault, float] = MappingProxyType(
    {
        Fault.OVERSIZED: -100.0,
        Fault.MALFORMED: -100.0,
        Fault.INVALID: -20.0,
        Fault.TRANSPORT: -20.0,
        Fault.BAD_REPLY: -20.0,
        Fault.WITHHELD: -5.0,
        Fault.GOSSIP_RATE: -1.0,
        Fault.REQUEST_RATE: -1.0,
    }
)
"""Score points per fault. Time-outs cost nothing: in a partition honest nodes would ban each other."""


@dataclass(frozen=True, slots=True)
class ScoreRules:
    """When a score becomes a ban, and how it is forgiven."""

    points: Mapping[Fault, float] = field(default_factory=lambda: FAULT_POINTS)
    ban_at: float = -100.0
    ban_duration_s: float = 86_400.0
    quiet_s: float = 30.0
    """No forgiveness before this long after the last fault: five invalid messages within minutes are five."""
    half_life_s: float = 600.0
    """From then on the score halves in this time."""
    max_scores: int = 1_024
    max_bans: int = 4_096


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a report led to."""

    score: float
    newly_banned: bool


@dataclass(frozen=True, slots=True)
class Ban:
    """One ban, for the operator's eyes."""

    subject: str
    """A peer id, or a network as text ("203.0.113.0/24")."""
    remaining_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class _Score:
    points: float
    at_s: float


@dataclass(frozen=True, slots=True)
class _Sentence:
    until_s: float
    reason: str


class PeerBook:
    """Scores and bans. At the bounds the score nearest to 0, or the ban that ends first, makes room."""

    def __init__(self, rules: ScoreRules | None = None) -> None:
        self._rules = rules or ScoreRules()
        self._scores: dict[PeerId, _Score] = {}
        self._bans: dict[str, _Sentence] = {}

    def report(self, peer: PeerId, fault: Fault, now_s: float, endpoints: tuple[str, ...] = ()) -> Judgement:
        """Count a fault of `peer`, connected from `endpoints`; at the limit ban it and their neighbourhoods."""
        score = self.score(peer, now_s) + self._rules.points[fault]
        if score > self._rules.ban_at:
            self._remember(peer, _Score(score, now_s), now_s)
            return Judgement(score, newly_banned=False)
        newly = not self.is_banned(peer, now_s)
        self.ban(peer, now_s, reason=fault.value, endpoints=endpoints)
        return Judgement(self.score(peer, now_s), newly_banned=newly)

    def score(self, peer: PeerId, now_s: float) -> float:
        """0 for one who did nothing wrong, `ban_at` for a banned one, between them else."""
        if self.is_banned(peer, now_s):
            return self._rules.ban_at
        found = self._scores.get(peer)
        if found is None:
            return 0.0
        forgiving_s = max(0.0, now_s - found.at_s - self._rules.quiet_s)
        return float(found.points * 0.5 ** (forgiving_s / self._rules.half_life_s))

    def ban(
        self,
        peer: PeerId,
        now_s: float,
        *,
        reason: str,
        endpoints: tuple[str, ...] = (),
        duration_s: float | None = None,
    ) -> None:
        """Ban by id and by the groups of `endpoints` (exempt ranges give none). The score starts anew afterwards."""
        until_s = now_s + (self._rules.ban_duration_s if duration_s is None else duration_s)
        self._scores.pop(peer, None)
        for subject in (peer, *ban_groups(endpoints)):
            earlier = self._bans.pop(subject, None)
            if earlier is not None and earlier.until_s > until_s:
                self._bans[subject] = earlier
            else:
                self._bans[subject] = _Sentence(until_s, reason)
        while len(self._bans) > self._rules.max_bans:
            first_to_end = min(self._bans, key=lambda subject: (self._bans[subject].until_s, subject))
            del self._bans[first_to_end]

    def pardon(self, subject: str) -> bool:
        """Lift the ban of a peer id or group; whether there was one."""
        self._scores.pop(subject, None)
        return self._bans.pop(subject, None) is not None

    def ban_remaining_s(self, peer: PeerId | None, now_s: float, endpoints: tuple[str, ...] = ()) -> float:
        """Seconds until neither the id nor any group of the endpoints is banned; 0 when none is now."""
        remaining_s = 0.0
        if not self._bans:
            return remaining_s
        for subject in (peer, *ban_groups(endpoints)):
            sentence = None if subject is None else self._bans.get(subject)
            if sentence is not None and subject is not None:
                if sentence.until_s <= now_s:
                    del self._bans[subject]
                remaining_s = max(remaining_s, sentence.until_s - now_s)
        return remaining_s

    def is_banned(self, peer: PeerId | None, now_s: float, endpoints: tuple[str, ...] = ()) -> bool:
        """Whether the id or any group of the endpoints is banned now."""
        return self.ban_remaining_s(peer, now_s, endpoints) > 0

    def bans(self, now_s: float) -> tuple[Ban, ...]:
        """Bans in force, sorted by subject."""
        return tuple(
            Ban(subject, sentence.until_s - now_s, sentence.reason)
            for subject, sentence in sorted(self._bans.items())
            if sentence.until_s > now_s
        )

    def __len__(self) -> int:
        """Scores and bans held."""
        return len(self._scores) + len(self._bans)

    def _remember(self, peer: PeerId, score: _Score, now_s: float) -> None:
        self._scores.pop(peer, None)
        while len(self._scores) >= self._rules.max_scores:
            least = max(self._scores, key=lambda known: (self.score(known, now_s), known))
            del self._scores[least]
        self._scores[peer] = score
