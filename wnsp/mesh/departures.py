"""What goes out: offers, bundles, receipts and answers, within our own duty cycle. README, State machine."""

from wnsp.mesh.contacts import Contact, Pending
from wnsp.mesh.datagrams import (
    MAX_ENTRIES,
    Answer,
    BundleDatagram,
    Offer,
    ReceiptDatagram,
    Status,
    encode_datagram,
)
from wnsp.mesh.events import (
    Output,
    Relayed,
    Transmit,
)
from wnsp.mesh.framing import split_datagram
from wnsp.mesh.holdings import Held
from wnsp.mesh.limits import (
    BROADCAST_ADDRESS,
)
from wnsp.mesh.spraying import copies_of_receipt, is_target
from wnsp.mesh.state import MeshState, copies_for, urgency


def serve_neighbours(state: MeshState, now_ms: int, outputs: list[Output]) -> None:
    """Offer to every neighbour what is due for it."""
    for contact in state.contacts.all():
        if not contact.address:
            continue
        _fill_pending(state, contact, now_ms)
        if contact.pending:
            _send_pending(state, contact, now_ms, outputs)


def _fill_pending(state: MeshState, contact: Contact, now_ms: int) -> None:
    if contact.scanned_bundles != state.holdings.serial:
        serial = state.holdings.serial
        for held in state.holdings.changed_since(contact.scanned_bundles):
            key = b"b" + held.facts.bundle_id
            if key in contact.pending:
                continue
            copies = copies_for(state, held, contact, now_ms)
            if copies is not None and not contact.add(key, Pending(copies, now_ms)):
                serial = contact.scanned_bundles
                break
        contact.scanned_bundles = serial
    if contact.scanned_receipts != state.receipts.serial:
        serial = state.receipts.serial
        for receipt_key, carried in state.receipts.changed_since(contact.scanned_receipts):
            key = b"r" + receipt_key
            if key in contact.pending:
                continue
            copies = copies_of_receipt(carried, contact, state.contacts, state.routes, now_ms)
            if copies is not None and not contact.add(key, Pending(copies, now_ms)):
                serial = contact.scanned_receipts
                break
        contact.scanned_receipts = serial


def _send_pending(state: MeshState, contact: Contact, now_ms: int, outputs: list[Output]) -> None:
    for key, pending in tuple(contact.pending.items()):
        held = state.holdings.get(key[1:]) if pending.wanted else None
        if held is not None:
            send_bundle(state, held, pending, contact, now_ms, outputs)
        if held is not None and pending.wanted:
            return  # no budget: offers would only take it from what is wanted already
    due = [(key, pending) for key, pending in contact.pending.items() if pending.due_ms <= now_ms]
    offered: list[tuple[tuple[int, int, bytes], Held, Pending]] = []
    for key, pending in due:
        if key[:1] == b"r":
            _offer_receipt(state, key, pending, contact, now_ms, outputs)
            continue
        held = state.holdings.get(key[1:])
        pending.wanted = False
        if held is None or copies_for(state, held, contact, now_ms) is None:
            del contact.pending[key]
        else:
            offered.append((urgency(held), held, pending))
    offered.sort(key=lambda entry: entry[0])
    batch_size = min(state.limits.offers, MAX_ENTRIES)
    for start in range(0, len(offered), batch_size):
        batch = offered[start : start + batch_size]
        entries = tuple((held.facts.bundle_id, held.envelope_bytes) for _, held, _ in batch)
        if not send(state, contact, encode_datagram(Offer(entries)), now_ms, outputs):
            return
        for _, _, pending in batch:
            pending.offered = True
            _tried(state, pending, now_ms)


def _offer_receipt(
    state: MeshState, key: bytes, pending: Pending, contact: Contact, now_ms: int, outputs: list[Output]
) -> None:
    carried = state.receipts.find(key[1:])
    copies = None
    if carried is not None:
        copies = copies_of_receipt(carried, contact, state.contacts, state.routes, now_ms)
    if carried is None or copies is None:
        del contact.pending[key]
        return
    pending.copies = copies
    datagram = encode_datagram(ReceiptDatagram(copies, carried.receipt))
    if send(state, contact, datagram, now_ms, outputs):
        pending.sent = True
        carried.under_way.send(contact.link, copies, now_ms + state.limits.retry_ms)
        _tried(state, pending, now_ms)


def _tried(state: MeshState, pending: Pending, now_ms: int) -> None:
    """Doubling waits within a contact, then a long one."""
    pending.due_ms = now_ms + (state.limits.retry_ms << pending.tries)
    pending.tries += 1
    if pending.tries >= state.limits.tries:
        pending.tries = 0
        pending.due_ms = now_ms + state.limits.respray_ms


def send_bundle(
    state: MeshState, held: Held, pending: Pending, contact: Contact, now_ms: int, outputs: list[Output]
) -> None:
    """A neighbour wants the bundle: it goes out, or stays wanted when our duty cycle is used up."""
    copies = copies_for(state, held, contact, now_ms)
    if copies is None:
        contact.pending.pop(b"b" + held.facts.bundle_id, None)
        return
    datagram = BundleDatagram(held.hops - 1, copies, state.holdings.envelope(held))
    if send(state, contact, encode_datagram(datagram), now_ms, outputs):
        pending.copies, pending.sent, pending.wanted = copies, True, False
        held.under_way.send(contact.link, copies, now_ms + state.limits.retry_ms)
        pending.due_ms = max(pending.due_ms, now_ms + state.limits.retry_ms)


def hand_over(
    state: MeshState, held: Held, pending: Pending, contact: Contact, now_ms: int, outputs: list[Output]
) -> None:
    """The neighbour took custody: our copies shrink by what it got; one always stays until the receipt."""
    held.give(contact.link)
    special = is_target(held, contact) or held.facts.recipient == BROADCAST_ADDRESS
    if not special and held.copies > 1:
        held.copies = max(1, held.copies - pending.copies)
    elif not special:
        held.focused += 1
        if not held.own:
            held.next_attempt_ms = now_ms + (state.limits.respray_ms << held.focused)
    state.holdings.store(held)
    outputs.append(Relayed(held.facts.bundle_id, contact.neighbour, held.own, held.copies))


def accept_receipted(state: MeshState, bundle_id: bytes, contact: Contact) -> None:
    """A neighbour has the receipts of this bundle that we sent it."""
    for carried in state.receipts.of_bundle(bundle_id):
        pending = contact.pending.pop(b"r" + bundle_id + carried.recipient, None)
        if pending is None or not pending.sent:
            continue
        carried.give(contact.link)
        carried.under_way.answered(contact.link)
        if contact.address == carried.receipt.sender or contact.link in carried.holders:
            continue
        if carried.copies > 1:
            carried.copies = max(1, carried.copies - pending.copies)
            state.receipts.store(carried)
        else:
            carried.focused += 1


def send_known_receipt(
    state: MeshState, bundle_id: bytes, contact: Contact, now_ms: int, outputs: list[Output]
) -> bool:
    """Answer somebody who still carries a bundle with its receipt. True when we know the receipt to be true."""
    for carried in state.receipts.of_bundle(bundle_id):
        if not carried.confirmed:
            continue
        carried.hold(contact.link)
        carried.given.pop(contact.link, None)
        key = b"r" + bundle_id + carried.recipient
        pending = contact.pending.get(key) or Pending(1, now_ms)
        if contact.add(key, pending):
            _offer_receipt(state, key, pending, contact, now_ms, outputs)
        return True
    return False


def send_answer(
    state: MeshState, bundle_id: bytes, status: Status, contact: Contact, now_ms: int, outputs: list[Output]
) -> None:
    """One answer about one bundle."""
    send(state, contact, encode_datagram(Answer(((bundle_id, status),))), now_ms, outputs)


def send(state: MeshState, contact: Contact, datagram: bytes, now_ms: int, outputs: list[Output]) -> bool:
    """False when our own duty cycle to the neighbour is used up: nothing was sent, a later tick tries again."""
    parts = split_datagram(datagram, contact.link_bytes)
    size = sum(len(part) for part in parts)
    if contact.duty_out.left(now_ms) < size:
        return False
    contact.duty_out.take(size)
    outputs.extend(Transmit(contact.neighbour, part) for part in parts)
    return True
