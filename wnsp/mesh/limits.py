"""The mesh's limits in one record. Every table that a stranger can fill has a bound here."""

from dataclasses import dataclass

ADDRESS_BYTES = 20
"""An identity hash."""
BUNDLE_ID_BYTES = 32
PUBLIC_KEY_BYTES = 32
SIGNATURE_BYTES = 64

BROADCAST_ADDRESS = bytes(ADDRESS_BYTES)
"""Everybody; 20 zero bytes, which no identity hashes to."""
ANONYMOUS_ADDRESS = BROADCAST_ADDRESS
"""As a sender: nobody says who it is. Receipts for it find their way by those who carried the bundle."""
GATEWAY_ADDRESS = b"\xff" * ADDRESS_BYTES
"""Whichever gateway gets it first; 20 bytes of 0xFF."""

HOP_LIMIT = 16
"""Outside the signature, clamped on arrival (M2)."""
SPRAY_COPIES = 6
"""Copies that a source lets loose at a time (M3; Spyropoulos et al. 2005, Spray and Wait)."""
MAX_ENVELOPE_BYTES = 64 * 1024
"""C2: a mesh bundle."""
MAX_LIFETIME_MS = 7 * 24 * 3_600_000
"""The longest a bundle lives (wnsp.md, section 6)."""
CLOCK_SKEW_MS = 10 * 60_000
"""What clocks may differ by (M1)."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes, durations in milliseconds. The defaults are the protocol's; small devices lower them."""

    custody_bytes: int = 64 * 1024 * 1024
    """All bundles together (M4)."""
    neighbour_bytes: int = 1024 * 1024
    """Relayed bundles that came over one neighbour link (M4)."""
    bundles_per_destination: int = 256
    """Relayed bundles for one address (M4)."""
    own_reserve_percent: int = 10
    """Of `custody_bytes`, that relayed bundles never take (M4)."""
    bundles: int = 8_192
    """In custody, whatever their size: bounds the index in memory."""
    receipts: int = 4_096
    """In custody, for carrying on; 64 and a sixteenth of it by one neighbour."""
    seen: int = 65_536
    """Ids delivered here and not yet past expiry and skew. Full means: refuse, never forget (M1)."""
    neighbours: int = 256
    routes: int = 2_048
    """Destinations with a known announcement."""
    next_hops: int = 3
    """Kept per destination, for disjoint attempts (M3)."""
    duty_bytes_per_second: int = 32 * 1024
    """What one neighbour may send us, and we it, on average (M10)."""
    duty_burst_bytes: int = 256 * 1024
    """And at once."""
    duty_neighbours: int = 8
    """All neighbours together get this many budgets."""
    hello_interval_ms: int = 15_000
    neighbour_lifetime_ms: int = 40_000
    """Silence after which a neighbour is gone: two lost hellos and a late one."""
    announcement_interval_ms: int = 30 * 60_000
    announcement_spacing_ms: int = 30_000
    """Newer announcements of one identity are taken at most this often (M8)."""
    route_lifetime_ms: int = 70 * 60_000
    """Two announcements and some. A link that breaks ends its routes at once."""
    retry_ms: int = 5_000
    """An offer or a bundle without an answer is sent again after this, doubled each time."""
    tries: int = 4
    """Per bundle and neighbour and contact."""
    respray_ms: int = 5 * 60_000
    """A source without a receipt lets loose another spray after this, doubled each time."""
    resprays: int = 7
    offers: int = 32
    """Bundles in one offer."""
    link_bytes: int = 1_200
    """The largest datagram that the links carry (their MTU). A larger one is cut into frames."""
    reassembly_bytes: int = 4 * 1024 * 1024
    """All unfinished datagrams together."""
