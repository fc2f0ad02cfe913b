"""Who is offered what: binary spray, then focus along routes. Pure decisions, no state of their own.

Sources: Spyropoulos, Psounis, Raghavendra, "Spray and Wait" (2005) and "Spray and Focus" (2007).
"""

from wnsp.mesh.contacts import Contact, ContactTable
from wnsp.mesh.holdings import Held, UnderWay
from wnsp.mesh.limits import BROADCAST_ADDRESS, GATEWAY_ADDRESS, Limits
from wnsp.mesh.receipts import CarriedReceipt
from wnsp.mesh.routes import RouteTable

DIRECT_FIRST_MS = 30_000
"""While the recipient itself is in contact, nobody else is bothered for so long. Not longer: a hello is unsigned."""


def is_target(held: Held, contact: Contact) -> bool:
    """Whether the neighbour is whom the bundle is for."""
    recipient = held.facts.recipient
    return contact.address == recipient or (contact.gateway and recipient == GATEWAY_ADDRESS)


def copies_for_neighbour(
    held: Held, contact: Contact, contacts: ContactTable, routes: RouteTable, limits: Limits, now_ms: int
) -> int | None:
    """How many copies the neighbour would get; None when it is not to be offered the bundle now."""
    facts = held.facts
    if not held.carrying or held.hops == 0 or facts.expires_ms <= now_ms or not contact.address:
        return None
    if contact.link == held.link or contact.address == facts.sender:
        return None
    if contact.address == facts.recipient:
        return 1
    if contact.link in held.given:
        return None
    if is_target(held, contact):
        return 1
    if facts.recipient == BROADCAST_ADDRESS:
        return 1
    if now_ms < held.arrived_ms + DIRECT_FIRST_MS and any(is_target(held, other) for other in contacts.all()):
        return None
    if held.copies > 1:
        return _half(held.copies, held.under_way, contact, now_ms)
    if held.focused < limits.next_hops and (held.own or now_ms >= held.next_attempt_ms):
        return 1 if _is_next_hop(facts.recipient, held.given, contact, contacts, routes, now_ms) else None
    return None


def copies_of_receipt(
    carried: CarriedReceipt, contact: Contact, contacts: ContactTable, routes: RouteTable, now_ms: int
) -> int | None:
    """The same for a receipt: to the sender, to those known to hold the bundle, then spray, then along a route."""
    if not contact.address or contact.link in carried.given or contact.link == carried.link:
        return None
    if contact.address == carried.receipt.sender or contact.link in carried.holders:
        return 1
    if carried.copies > 1:
        return _half(carried.copies, carried.under_way, contact, now_ms)
    if carried.copies == 1 and carried.focused == 0:
        sender = carried.receipt.sender
        return 1 if _is_next_hop(sender, carried.given, contact, contacts, routes, now_ms) else None
    return None


def _half(copies: int, under_way: UnderWay, contact: Contact, now_ms: int) -> int | None:
    """Half of the copies that are not on their way to others; None when there is nothing to share."""
    return max(0, copies - under_way.count(contact.link, now_ms)) // 2 or None


def _is_next_hop(
    address: bytes,
    given: dict[bytes, None],
    contact: Contact,
    contacts: ContactTable,
    routes: RouteTable,
    now_ms: int,
) -> bool:
    """Whether the neighbour is the cheapest live way to the address that has not had its chance."""
    for hop in routes.next_hops(address, now_ms):
        other = contacts.get(hop.neighbour)
        if other is not None and other.link not in given:
            return other is contact
    return False
