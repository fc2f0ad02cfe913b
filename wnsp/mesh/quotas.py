"""How much of custody each link, each destination and all strangers together may take (M4). Counts, no store."""

from dataclasses import dataclass, field

from wnsp.mesh.errors import QuotaExceeded
from wnsp.mesh.limits import Limits

RECORD_OVERHEAD_BYTES = 256
"""Charged per bundle for its keys and its meta record, so that small bundles aren't free."""


def charged_bytes(envelope_bytes: int) -> int:
    """What a bundle counts for."""
    return envelope_bytes + RECORD_OVERHEAD_BYTES


def relay_share(amount: int, limits: Limits) -> int:
    """`amount` less the reserve for own bundles, rounded down."""
    return amount * (100 - limits.own_reserve_percent) // 100


@dataclass(slots=True)
class Usage:
    """What is held now, in charged bytes. The empty link is ourselves."""

    bundles: int = 0
    total_bytes: int = 0
    relayed_bundles: int = 0
    relayed_bytes: int = 0
    link_bytes: dict[bytes, int] = field(default_factory=dict)
    destination_bundles: dict[bytes, int] = field(default_factory=dict)

    def add(self, link: bytes, destination: bytes, size: int) -> None:
        """Count a bundle in."""
        self.bundles += 1
        self.total_bytes += size
        if link:
            self.relayed_bundles += 1
            self.relayed_bytes += size
            self.link_bytes[link] = self.link_bytes.get(link, 0) + size
            self.destination_bundles[destination] = self.destination_bundles.get(destination, 0) + 1

    def remove(self, link: bytes, destination: bytes, size: int) -> None:
        """Count a bundle out."""
        self.bundles -= 1
        self.total_bytes -= size
        if link:
            self.relayed_bundles -= 1
            self.relayed_bytes -= size
            _lower(self.link_bytes, link, size)
            _lower(self.destination_bundles, destination, 1)

    def validate_link_and_destination(
        self, link: bytes, destination: bytes, size: int, limits: Limits
    ) -> None:
        """The quotas that no eviction can help, for a relayed bundle. Errors: `QuotaExceeded`."""
        of_link = self.link_bytes.get(link, 0) + size
        if of_link > limits.neighbour_bytes:
            raise QuotaExceeded("bytes from this neighbour", of_link, limits.neighbour_bytes)
        for_destination = self.destination_bundles.get(destination, 0) + 1
        if for_destination > limits.bundles_per_destination:
            raise QuotaExceeded(
                "bundles for this destination", for_destination, limits.bundles_per_destination
            )

    def overflow(self, link: bytes, size: int, limits: Limits) -> QuotaExceeded | None:
        """The total that would be exceeded, which evictions can lower. Own bundles may use everything."""
        rules = [
            ("bytes in custody", self.total_bytes + size, limits.custody_bytes),
            ("bundles in custody", self.bundles + 1, limits.bundles),
        ]
        if link:
            rules += [
                ("relayed bytes", self.relayed_bytes + size, relay_share(limits.custody_bytes, limits)),
                ("relayed bundles", self.relayed_bundles + 1, relay_share(limits.bundles, limits)),
            ]
        for rule, found, limit in rules:
            if found > limit:
                return QuotaExceeded(rule, found, limit)
        return None

    def heaviest_link(self) -> bytes | None:
        """The link whose bundles take most; the lesser name among equals."""
        if not self.link_bytes:
            return None
        return min(self.link_bytes, key=lambda link: (-self.link_bytes[link], link))


def _lower(counts: dict[bytes, int], key: bytes, by: int) -> None:
    left = counts[key] - by
    if left:
        counts[key] = left
    else:
        del counts[key]
