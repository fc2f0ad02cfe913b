"""What comes in, kind by kind. A rule that a datagram breaks is raised here and caught by `MeshProtocol.receive`."""

from dataclasses import replace

from wnsp.errors import WnspError
from wnsp.identity import identity_hash
from wnsp.mesh.contacts import Contact
from wnsp.mesh.datagrams import (
    Announcement,
    Answer,
    BundleDatagram,
    Hello,
    Offer,
    Receipt,
    ReceiptDatagram,
    Status,
    decode_datagram,
    encode_datagram,
)
from wnsp.mesh.departures import (
    accept_receipted,
    hand_over,
    send,
    send_answer,
    send_bundle,
    send_known_receipt,
)
from wnsp.mesh.errors import (
    CustodyCorrupted,
    DatagramMalformed,
    DatagramOversized,
    QuotaExceeded,
)
from wnsp.mesh.events import (
    CustodyTaken,
    Delivered,
    NeighbourHeard,
    Output,
    Receipted,
    Refused,
    RouteLearnt,
    Transmit,
)
from wnsp.mesh.holdings import OWN_LINK, Held
from wnsp.mesh.limits import (
    BROADCAST_ADDRESS,
    GATEWAY_ADDRESS,
    MAX_ENVELOPE_BYTES,
    SPRAY_COPIES,
)
from wnsp.mesh.receipts import CarriedReceipt, carried_receipt, sign_receipt, validate_receipt
from wnsp.mesh.state import MeshState, freed, hello_datagram, is_for_us

EXPECTED_MS = 5_000
"""A bundle that was just asked for is not asked for elsewhere."""
MAX_EXPECTED = 1_024


def take_datagram(
    state: MeshState, whole: bytes, contact: Contact, now_ms: int, outputs: list[Output]
) -> None:
    datagram = decode_datagram(whole)
    contact.heard_ms = max(contact.heard_ms, now_ms)
    if isinstance(datagram, Hello):
        _take_hello(state, datagram, contact, now_ms, outputs)
    elif isinstance(datagram, Announcement):
        _take_announcement(state, datagram, contact, now_ms, outputs)
    elif isinstance(datagram, Offer):
        _take_offer(state, datagram, contact, now_ms, outputs)
    elif isinstance(datagram, Answer):
        _take_answer(state, datagram, contact, now_ms, outputs)
    elif isinstance(datagram, BundleDatagram):
        _take_bundle(state, datagram, contact, now_ms, outputs)
    else:
        _take_receipt(state, datagram, contact, now_ms, outputs)


def _take_hello(state: MeshState, hello: Hello, contact: Contact, now_ms: int, outputs: list[Output]) -> None:
    if hello.address == state.address:
        state.contacts.drop(contact.neighbour)
        return
    if hello.address in (BROADCAST_ADDRESS, GATEWAY_ADDRESS):
        raise DatagramMalformed("hello", f"{hello.address.hex()} is nobody's address")
    if not contact.begin(hello.address, hello.gateway):
        return
    outputs.append(NeighbourHeard(contact.neighbour, hello.address, hello.gateway))
    send(state, contact, hello_datagram(state), now_ms, outputs)
    known = state.routes.get(hello.address) is not None
    if not known and state.announcement is not None and state.announcement.expires_ms > now_ms:
        send(state, contact, encode_datagram(state.announcement), now_ms, outputs)


def _take_announcement(
    state: MeshState, announcement: Announcement, contact: Contact, now_ms: int, outputs: list[Output]
) -> None:
    if announcement.public_key == state.identity.public_key:
        return
    learnt = state.routes.learn(announcement, contact.neighbour, contact.cost, now_ms)
    if learnt is None:
        return
    address, hop, newer = learnt
    for held in state.holdings.for_destination(address):
        state.holdings.touch(held)
    if newer:
        outputs.append(RouteLearnt(address, hop.neighbour, hop.cost, announcement.sequence))
        if announcement.hops:
            onward = replace(announcement, cost=hop.cost, hops=announcement.hops - 1)
            outputs.append(Transmit(None, encode_datagram(onward)))


def _take_offer(state: MeshState, offer: Offer, contact: Contact, now_ms: int, outputs: list[Output]) -> None:
    answers: list[tuple[bytes, Status]] = []
    for bundle_id, envelope_bytes in offer.entries:
        status = _status_for_offer(state, bundle_id, envelope_bytes, contact, now_ms, outputs)
        if status is not None:
            answers.append((bundle_id, status))
    if answers:
        send(state, contact, encode_datagram(Answer(tuple(answers))), now_ms, outputs)


def _status_for_offer(
    state: MeshState,
    bundle_id: bytes,
    envelope_bytes: int,
    contact: Contact,
    now_ms: int,
    outputs: list[Output],
) -> Status | None:
    if send_known_receipt(state, bundle_id, contact, now_ms, outputs):
        return Status.DELIVERED
    if state.holdings.get(bundle_id) is not None or state.holdings.seen(bundle_id):
        return Status.HELD
    if envelope_bytes > MAX_ENVELOPE_BYTES:
        return Status.REFUSED
    try:
        state.holdings.validate_offer(contact.link, envelope_bytes)
    except QuotaExceeded as error:
        outputs.append(Refused(contact.neighbour, error.code, str(error)))
        return Status.REFUSED
    if state.expected.get(bundle_id, 0) > now_ms:
        return None
    if len(state.expected) >= MAX_EXPECTED:
        state.expected = {key: until for key, until in state.expected.items() if until > now_ms}
    if len(state.expected) < MAX_EXPECTED:
        state.expected[bundle_id] = now_ms + EXPECTED_MS
    return Status.WANTED


def _take_answer(
    state: MeshState, answer: Answer, contact: Contact, now_ms: int, outputs: list[Output]
) -> None:
    """Only what we offered counts: an answer that nobody asked for changes nothing."""
    for bundle_id, status in answer.entries:
        if status == Status.RECEIPTED:
            accept_receipted(state, bundle_id, contact)
            continue
        key = b"b" + bundle_id
        pending = contact.pending.get(key)
        held = state.holdings.get(bundle_id)
        if held is not None and status != Status.WANTED:
            held.under_way.answered(contact.link)
        if pending is None or held is None:
            contact.pending.pop(key, None)
        elif status == Status.WANTED:
            if not pending.offered:
                continue  # once per offer, so that an answer of 35 bytes cannot draw bundle on bundle
            pending.offered, pending.wanted = False, True
            send_bundle(state, held, pending, contact, now_ms, outputs)
        elif status == Status.ACCEPTED or (status == Status.HELD and pending.sent):
            del contact.pending[key]
            if pending.sent:
                hand_over(state, held, pending, contact, now_ms, outputs)
        elif status == Status.HELD:
            del contact.pending[key]
            held.give(contact.link)
        elif status == Status.REFUSED:
            pending.sent, pending.tries = False, 0
            pending.due_ms = now_ms + state.limits.respray_ms


def _take_bundle(
    state: MeshState, datagram: BundleDatagram, contact: Contact, now_ms: int, outputs: list[Output]
) -> None:
    envelope = datagram.envelope
    bundle_id = state.reader.bundle_id(envelope)
    state.expected.pop(bundle_id, None)
    if send_known_receipt(state, bundle_id, contact, now_ms, outputs):
        send_answer(state, bundle_id, Status.DELIVERED, contact, now_ms, outputs)
        return
    held = state.holdings.get(bundle_id)
    if held is not None or state.holdings.seen(bundle_id):
        again = held is not None and held.link == contact.link
        status = Status.ACCEPTED if again else Status.HELD
        send_answer(state, bundle_id, status, contact, now_ms, outputs)
        return
    try:
        status = _accept_bundle(state, datagram, contact, now_ms, outputs)
    except CustodyCorrupted:
        raise
    except WnspError:
        send_answer(state, bundle_id, Status.REFUSED, contact, now_ms, outputs)
        raise
    send_answer(state, bundle_id, status, contact, now_ms, outputs)
    send_known_receipt(state, bundle_id, contact, now_ms, outputs)


def _accept_bundle(
    state: MeshState, datagram: BundleDatagram, contact: Contact, now_ms: int, outputs: list[Output]
) -> Status:
    """Into the inbox, or into custody, or both; or neither when its receipt was here before it.

    Errors: everything that `admit` and the reader raise.
    """
    envelope = datagram.envelope
    if len(envelope) > MAX_ENVELOPE_BYTES:
        raise DatagramOversized("envelope", len(envelope), MAX_ENVELOPE_BYTES)
    facts = state.reader.read(envelope)
    early = state.receipts.get(facts.bundle_id, facts.recipient)
    if early is not None and early.receipt.sender == facts.sender:
        early.confirmed = True
        return Status.DELIVERED
    inbox = is_for_us(state, facts)
    carrying = not inbox or facts.recipient == BROADCAST_ADDRESS
    held = Held(
        facts=facts,
        envelope_bytes=len(envelope),
        link=contact.link,
        hops=datagram.hops,
        copies=datagram.copies,
        inbox=inbox,
        carrying=carrying,
        arrived_ms=now_ms,
    )
    for victim in state.holdings.admit(held, envelope, now_ms):
        outputs.append(freed(victim, "evicted"))
    if not inbox:
        outputs.append(CustodyTaken(facts.bundle_id, contact.neighbour))
        return Status.ACCEPTED
    outputs.append(Delivered(facts.bundle_id, envelope, contact.neighbour))
    make_receipt(state, held, now_ms)
    return Status.ACCEPTED


def make_receipt(state: MeshState, held: Held, now_ms: int | None = None) -> None:
    """Our receipt for a bundle in the inbox, when there is none yet. Broadcasts have none.

    `now_ms` defaults to the time of arrival. Errors: `CustodyFull`.
    """
    facts = held.facts
    if not held.inbox or facts.recipient == BROADCAST_ADDRESS or held.own:
        return
    if state.receipts.get(facts.bundle_id, state.address) is not None:
        return
    delivered_ms = held.arrived_ms if now_ms is None else now_ms
    receipt = sign_receipt(
        state.identity, state.genesis, facts.bundle_id, facts.sender, delivered_ms, facts.expires_ms
    )
    carried = carried_receipt(receipt, OWN_LINK, SPRAY_COPIES)
    carried.confirmed = True
    carried.hold(held.link)
    state.receipts.admit(carried)


def _take_receipt(
    state: MeshState, datagram: ReceiptDatagram, contact: Contact, now_ms: int, outputs: list[Output]
) -> None:
    receipt = datagram.receipt
    key = receipt.bundle_id + identity_hash(receipt.public_key)
    known = state.receipts.find(key)
    if known is not None:
        known.give(contact.link)
        contact.pending.pop(b"r" + key, None)
        send_answer(state, receipt.bundle_id, Status.RECEIPTED, contact, now_ms, outputs)
        return
    validate_receipt(receipt, state.genesis, now_ms)
    carried = carried_receipt(receipt, contact.link, datagram.copies)
    held = state.holdings.get(receipt.bundle_id)
    if held is not None and not held.inbox:
        _apply_receipt(state, receipt, carried, held, outputs)
    state.receipts.admit(carried)
    send_answer(state, receipt.bundle_id, Status.RECEIPTED, contact, now_ms, outputs)


def _apply_receipt(
    state: MeshState, receipt: Receipt, carried: CarriedReceipt, held: Held, outputs: list[Output]
) -> None:
    """Frees custody when the bundle's own recipient signed. A gateway's word is news, and frees nothing: who is a
    gateway cannot be proved here."""
    facts = held.facts
    to_gateway = facts.recipient == GATEWAY_ADDRESS
    if facts.sender != receipt.sender or not (to_gateway or facts.recipient == carried.recipient):
        return
    if held.own:
        carried.copies = 1
        carried.focused = 1  # it has arrived: only those who hold the bundle need it from here on
        outputs.append(Receipted(facts.bundle_id, carried.recipient, receipt.delivered_ms))
    if to_gateway:
        return
    carried.confirmed = True
    for link in (*held.given, *([held.link] if held.link else [])):
        carried.hold(link)
    state.holdings.release(held)
    outputs.append(freed(held, "receipt"))
