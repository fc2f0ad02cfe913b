"""Routes by cost with expiry, learnt from announcements; and the prekeys that came with them (M8)."""

from dataclasses import dataclass, field

from wnsp.identity import identity_hash
from wnsp.mesh.announcements import validate_announcement
from wnsp.mesh.datagrams import Announcement, announcement_core
from wnsp.mesh.errors import AnnouncementRefused, QuotaExceeded
from wnsp.mesh.limits import Limits

EXPIRY_INTERVAL_MS = 60_000
MAX_COST = 0xFFFF
"""Of a path; the wire's u16. Sums stop there."""


@dataclass(frozen=True, slots=True)
class NextHop:
    """One way to a destination."""

    neighbour: str
    cost: int
    expires_ms: int


@dataclass(frozen=True, slots=True)
class PrekeyChoice:
    """The key to seal to."""

    public_key: bytes
    fallback: bool
    """True when it is the signed rotating prekey because no unused one-time prekey is left (M8)."""


@dataclass(slots=True)
class Route:
    """What is known of one destination."""

    announcement: Announcement
    introduced_by: str
    taken_ms: int
    next_hops: dict[str, NextHop] = field(default_factory=dict)
    used_prekeys: set[bytes] = field(default_factory=set)


class RouteTable:
    """Destinations by address. Bounded; one neighbour introduces an eighth of it at most."""

    def __init__(self, genesis: bytes, limits: Limits) -> None:
        self._genesis = genesis
        self._limits = limits
        self._routes: dict[bytes, Route] = {}
        self._address_of_key: dict[bytes, bytes] = {}
        """Of known destinations: hashing a new key checks that it is a point, which costs as much as a signature."""
        self._next_expiry_ms = 0
        self._introduced: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._routes)

    def get(self, address: bytes) -> Route | None:
        """What is known of the address."""
        return self._routes.get(address)

    def addresses(self) -> tuple[bytes, ...]:
        """Known destinations, in byte order."""
        return tuple(sorted(self._routes))

    def next_hops(self, address: bytes, now_ms: int) -> tuple[NextHop, ...]:
        """Live ways to the address, cheapest first (then by name)."""
        route = self._routes.get(address)
        if route is None:
            return ()
        live = [hop for hop in route.next_hops.values() if hop.expires_ms > now_ms]
        return tuple(sorted(live, key=lambda hop: (hop.cost, hop.neighbour)))

    def gateways(self, now_ms: int) -> tuple[bytes, ...]:
        """Addresses that announce themselves as gateways and have a live way, cheapest first."""
        found = []
        for address, route in self._routes.items():
            hops = self.next_hops(address, now_ms)
            if route.announcement.gateway and hops:
                found.append((hops[0].cost, address))
        return tuple(address for _, address in sorted(found))

    def learn(
        self, announcement: Announcement, neighbour: str, link_cost: int, now_ms: int
    ) -> tuple[bytes, NextHop, bool] | None:
        """Take an announcement heard from a neighbour: (address, the way through it, whether it is newer than what was
        known); None when it says nothing new. Verifies a signature only when the sequence is new.

        Errors: `AnnouncementRefused`, `QuotaExceeded`.
        """
        public_key = announcement.public_key
        address = self._address_of_key.get(public_key) or identity_hash(public_key)
        known = self._routes.get(address)
        hop = NextHop(
            neighbour,
            min(MAX_COST, announcement.cost + link_cost),
            min(now_ms + self._limits.route_lifetime_ms, announcement.expires_ms),
        )
        if known is not None and announcement.sequence <= known.announcement.sequence:
            same = announcement.signature == known.announcement.signature and announcement_core(
                announcement
            ) == announcement_core(known.announcement)
            if not same or hop.expires_ms <= now_ms:
                return None
            self._keep_hop(known, hop, now_ms)
            return address, hop, False
        if known is not None and now_ms - known.taken_ms < self._limits.announcement_spacing_ms:
            spacing_ms = self._limits.announcement_spacing_ms
            raise AnnouncementRefused(
                f"{now_ms - known.taken_ms} ms after the last, at least {spacing_ms} ms"
            )
        validate_announcement(announcement, self._genesis, now_ms)
        if known is None:
            known = self._introduce(address, announcement, neighbour, now_ms)
        else:
            known.announcement, known.taken_ms = announcement, now_ms
            known.used_prekeys &= {prekey.public_key for prekey in announcement.prekeys}
            known.next_hops.clear()
        self._keep_hop(known, hop, now_ms)
        return address, hop, True

    def choose_prekey(self, address: bytes, now_ms: int) -> PrekeyChoice | None:
        """An unused one-time prekey, marked used; else the rotating one that lives longest, flagged; else None."""
        route = self._routes.get(address)
        if route is None:
            return None
        live = [prekey for prekey in route.announcement.prekeys if prekey.expires_ms > now_ms]
        for prekey in live:
            if prekey.one_time and prekey.public_key not in route.used_prekeys:
                route.used_prekeys.add(prekey.public_key)
                return PrekeyChoice(prekey.public_key, fallback=False)
        rotating = [prekey for prekey in live if not prekey.one_time]
        if not rotating:
            return None
        chosen = max(rotating, key=lambda prekey: (prekey.expires_ms, prekey.public_key))
        return PrekeyChoice(chosen.public_key, fallback=True)

    def drop_neighbour(self, neighbour: str) -> None:
        """The link broke: nothing leads through it any more, until it is heard and announces anew."""
        for route in self._routes.values():
            route.next_hops.pop(neighbour, None)

    def expire(self, now_ms: int) -> None:
        """Drop announcements past their time, and dead ways; looked for once a minute."""
        if now_ms < self._next_expiry_ms:
            return
        self._next_expiry_ms = now_ms + EXPIRY_INTERVAL_MS
        for address in [a for a, route in self._routes.items() if route.announcement.expires_ms <= now_ms]:
            self._forget(address)
        for route in self._routes.values():
            for name in [name for name, hop in route.next_hops.items() if hop.expires_ms <= now_ms]:
                del route.next_hops[name]

    def _keep_hop(self, route: Route, hop: NextHop, now_ms: int) -> None:
        route.next_hops[hop.neighbour] = hop
        if len(route.next_hops) > self._limits.next_hops:
            worst = max(
                route.next_hops.values(), key=lambda way: (way.expires_ms <= now_ms, way.cost, way.neighbour)
            )
            del route.next_hops[worst.neighbour]

    def _introduce(self, address: bytes, announcement: Announcement, neighbour: str, now_ms: int) -> Route:
        introduced = self._introduced.get(neighbour, 0) + 1
        limit = max(1, self._limits.routes // 8)
        if introduced > limit:
            raise QuotaExceeded("destinations introduced by this neighbour", introduced, limit)
        if len(self._routes) >= self._limits.routes:
            routes = self._routes
            self._forget(min(routes, key=lambda a: (routes[a].announcement.expires_ms, a)))
        route = Route(announcement, neighbour, now_ms)
        self._routes[address] = route
        self._address_of_key[announcement.public_key] = address
        self._introduced[neighbour] = introduced
        return route

    def _forget(self, address: bytes) -> None:
        route = self._routes.pop(address)
        del self._address_of_key[route.announcement.public_key]
        neighbour = route.introduced_by
        self._introduced[neighbour] -= 1
        if not self._introduced[neighbour]:
            del self._introduced[neighbour]
