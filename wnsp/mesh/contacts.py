"""The neighbours now heard: their budgets, and what is under way to each."""

from dataclasses import dataclass, field

from wnsp.mesh.duty import DutyBudget
from wnsp.mesh.errors import QuotaExceeded
from wnsp.mesh.holdings import link_key
from wnsp.mesh.limits import Limits

MAX_PENDING = 1_024
"""Bundles and receipts under way to one neighbour."""
DEFAULT_LINK_COST = 10
"""Of a link that the node did not describe; a LAN. Slower links cost more."""


@dataclass(slots=True)
class Pending:
    """A bundle or a receipt on its way to a neighbour."""

    copies: int
    """That it takes along."""
    due_ms: int
    """When it is offered, or offered again."""
    tries: int = 0
    offered: bool = False
    """An offer went out, and may be answered by WANTED once."""
    wanted: bool = False
    """The bundle is to go out as soon as our duty cycle allows."""
    sent: bool = False
    """The bundle itself went out and awaits its answer."""


@dataclass(slots=True)
class Contact:
    """One neighbour on one link."""

    neighbour: str
    link: bytes
    heard_ms: int
    duty_in: DutyBudget
    duty_out: DutyBudget
    link_bytes: int
    cost: int = DEFAULT_LINK_COST
    address: bytes = b""
    """From its hello; empty before."""
    gateway: bool = False
    scanned_bundles: int = 0
    """Serial of the holdings up to which pending was filled."""
    scanned_receipts: int = 0
    pending: dict[bytes, Pending] = field(default_factory=dict)
    """By `b` bundle id, or `r` bundle id, recipient."""

    def begin(self, address: bytes, gateway: bool) -> bool:
        """A hello came. True when it opens a contact: the first, or with another address than before."""
        opens = self.address != address
        if opens:
            self.scanned_bundles = self.scanned_receipts = 0
            self.pending.clear()
        self.address, self.gateway = address, gateway
        return opens

    def add(self, key: bytes, pending: Pending) -> bool:
        """Put something under way. False when too much is."""
        if key not in self.pending and len(self.pending) >= MAX_PENDING:
            return False
        self.pending[key] = pending
        return True


class ContactTable:
    """Neighbours by name, bounded."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._contacts: dict[str, Contact] = {}
        self._in_order: tuple[Contact, ...] | None = None

    def __len__(self) -> int:
        return len(self._contacts)

    def get(self, neighbour: str) -> Contact | None:
        """The neighbour, when it is heard."""
        return self._contacts.get(neighbour)

    def all(self) -> tuple[Contact, ...]:
        """In order of name."""
        if self._in_order is None:
            self._in_order = tuple(self._contacts[name] for name in sorted(self._contacts))
        return self._in_order

    def hear(self, neighbour: str, now_ms: int) -> tuple[Contact, Contact | None]:
        """The neighbour's contact, made if need be; and the one that had to go for it, silent for a hello's interval.

        Errors: `QuotaExceeded` when nobody is silent.
        """
        contact = self._contacts.get(neighbour)
        evicted = None
        if contact is None:
            if len(self._contacts) >= self._limits.neighbours:
                evicted = min(self._contacts.values(), key=lambda other: (other.heard_ms, other.neighbour))
                if now_ms - evicted.heard_ms < self._limits.hello_interval_ms:
                    raise QuotaExceeded("neighbours", len(self._contacts) + 1, self._limits.neighbours)
                self.drop(evicted.neighbour)
            contact = Contact(
                neighbour,
                link_key(neighbour),
                now_ms,
                DutyBudget.full(self._limits, now_ms),
                DutyBudget.for_sending(self._limits, now_ms),
                self._limits.link_bytes,
            )
            self._contacts[neighbour] = contact
            self._in_order = None
        return contact, evicted

    def drop_silent(self, now_ms: int) -> tuple[Contact, ...]:
        """Neighbours not heard for their lifetime; they are forgotten."""
        oldest_ms = now_ms - self._limits.neighbour_lifetime_ms
        silent = tuple(contact for contact in self.all() if contact.heard_ms < oldest_ms)
        for contact in silent:
            self.drop(contact.neighbour)
        return silent

    def drop(self, neighbour: str) -> None:
        """Forget the neighbour if it is known."""
        self._contacts.pop(neighbour, None)
        self._in_order = None
