"""The figures of `p2p.guarded`: what one peer may cost us, and what happened so far."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from p2p.buckets import Rate

DEFAULT_GOSSIP_RATE = Rate(per_second=50, burst=200)
DEFAULT_REQUEST_RATE = Rate(per_second=128, burst=512)


@dataclass(frozen=True, slots=True)
class GuardLimits:
    """What one peer may cost us. A message costs one token, and one more per `bytes_per_token` bytes."""

    gossip_default: Rate = DEFAULT_GOSSIP_RATE
    gossip: Mapping[str, Rate] = field(default_factory=dict)
    """By topic, where the default does not fit. All nodes of a network must agree on these figures."""
    request_default: Rate = DEFAULT_REQUEST_RATE
    requests: Mapping[str, Rate] = field(default_factory=dict)
    """By protocol. The reply is charged too: 128 tokens/s are 2 MiB/s."""
    bytes_per_token: int = 16_384
    max_in_flight: int = 10
    """Requests of one peer that we work on at once, and of ours to one peer (N5)."""
    max_in_flight_total: int = 256
    max_reply_bytes: int = 1_048_576
    send_share: float = 0.8
    """The part of a limit that we use when sending; the rest absorbs jitter and our own publishing."""
    max_inbound: int = 64
    outbound_peers: int = 8
    """How many peers we dial; they share a quarter of what we may forward, inbound peers another, all the rest."""
    max_inbound_per_group: int = 2
    """Per /24 of IPv4 or /48 of IPv6 (N1); loopback and private ranges are exempt."""
    max_buckets: int = 8_192


@dataclass(frozen=True, slots=True)
class GuardStats:
    """Counters since the start."""

    gossip_accepted: int = 0
    gossip_ignored: int = 0
    gossip_rejected: int = 0
    gossip_over_limit: int = 0
    gossip_not_forwarded: int = 0
    """Accepted, but forwarding it would have gone above what our peers take from us."""
    requests_answered: int = 0
    requests_over_limit: int = 0
    requests_sent: int = 0
    peers_refused: int = 0
    bans: int = 0
    faults_of_peers: int = 0
    faults_of_ours: int = 0
