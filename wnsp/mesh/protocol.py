"""The mesh protocol without I/O: datagrams and the time in, datagrams and events out. README, State machine.

Nothing here reads a clock, draws chance, waits or opens anything. `receive` never raises for what strangers send: a
rule that is broken becomes a `Refused` event. `CustodyCorrupted` is our own fault and propagates.
"""

from collections.abc import Callable, Iterable

from wnsp.errors import WnspError
from wnsp.identity import Identity, identity_hash
from wnsp.mesh.announcements import sign_announcement
from wnsp.mesh.arrivals import make_receipt, take_datagram
from wnsp.mesh.bundle_files import DirectoryFile, decode_file, encode_file
from wnsp.mesh.bundles import EnvelopeReader
from wnsp.mesh.contacts import Contact, ContactTable
from wnsp.mesh.custody import Custody
from wnsp.mesh.datagrams import (
    MAX_PREKEYS,
    Announcement,
    BundleDatagram,
    Prekey,
    ReceiptDatagram,
    encode_datagram,
)
from wnsp.mesh.departures import serve_neighbours
from wnsp.mesh.duty import DutyBudget
from wnsp.mesh.errors import (
    BundleOversized,
    CustodyCorrupted,
    DatagramMalformed,
)
from wnsp.mesh.events import (
    Delivered,
    NeighbourLost,
    Output,
    Queued,
    Refused,
    Resprayed,
    Transmit,
)
from wnsp.mesh.framing import Joiner, require_link_bytes
from wnsp.mesh.holdings import OWN_LINK, Held, Holdings, link_key
from wnsp.mesh.limits import (
    HOP_LIMIT,
    MAX_ENVELOPE_BYTES,
    SPRAY_COPIES,
    Limits,
)
from wnsp.mesh.receipts import ReceiptTable
from wnsp.mesh.routes import PrekeyChoice, RouteTable
from wnsp.mesh.spraying import DIRECT_FIRST_MS
from wnsp.mesh.state import MeshState, freed, hello_datagram, is_for_us, urgency

TIMER_MS = 15_000
"""How often custody is looked through for expiries and second attempts."""
ANNOUNCEMENT_LIFES = 3
"""An announcement outlives so many intervals."""
_SEQUENCE_KEY = b"a"


class MeshProtocol:
    """One node's side of the mesh.

    `identity` signs announcements and receipts; `custody` is the store, opened by the node; `entropy(n)` gives n random
    bytes and only spreads hellos in time; `reader` judges envelopes; `genesis` is the network's hash (32 bytes).
    """

    def __init__(
        self,
        identity: Identity,
        custody: Custody,
        limits: Limits,
        entropy: Callable[[int], bytes],
        reader: EnvelopeReader,
        genesis: bytes,
        gateway: bool = False,
    ) -> None:
        self.state = MeshState(
            identity=identity,
            address=identity_hash(identity.public_key),
            gateway=gateway,
            limits=limits,
            genesis=genesis,
            reader=reader,
            holdings=Holdings(custody, limits),
            receipts=ReceiptTable(custody, limits),
            routes=RouteTable(genesis, limits),
            contacts=ContactTable(limits),
        )
        self._custody = custody
        self._entropy = entropy
        self._joiner = Joiner(limits)
        self._everybody: DutyBudget | None = None
        self._prekeys: tuple[Prekey, ...] = ()
        stored = custody.get(_SEQUENCE_KEY)
        self._sequence = int.from_bytes(stored or bytes(8), "big")
        custody.put(_SEQUENCE_KEY, self._sequence.to_bytes(8, "big"))
        self._next_hello_ms = 0
        self._next_announcement_ms = 0
        self._timers_ms = 0
        for held in self.state.holdings:
            make_receipt(self.state, held)  # a crash may have come between the delivery and its receipt

    # Calls of the node.

    def set_prekeys(self, prekeys: Iterable[Prekey], now_ms: int) -> None:
        """What the next announcement carries, which goes out at the next tick. Errors: `DatagramMalformed`."""
        chosen = tuple(prekeys)
        if len(chosen) > MAX_PREKEYS:
            raise DatagramMalformed("announcement", f"{len(chosen)} prekeys, at most {MAX_PREKEYS}")
        self._prekeys = chosen
        self._next_announcement_ms = now_ms

    def describe_link(self, neighbour: str, cost: int, link_bytes: int, now_ms: int) -> tuple[Output, ...]:
        """What the node knows of the link to a neighbour: its cost, and the largest datagram that it carries.

        Errors: `MtuOutOfRange`, `QuotaExceeded` (too many neighbours).
        """
        outputs: list[Output] = []
        contact = self._contact(neighbour, now_ms, outputs)
        contact.cost, contact.link_bytes = max(1, cost), require_link_bytes(link_bytes)
        return tuple(outputs)

    def submit(self, envelope: bytes, now_ms: int) -> tuple[Output, ...]:
        """Take one of our own envelopes on its way; nothing happens when it is already.

        Errors: `BundleOversized`, what the reader raises, `BundleExpired`, `ExpiryTooFar`, `QuotaExceeded`,
        `CustodyFull`.
        """
        if len(envelope) > MAX_ENVELOPE_BYTES:
            raise BundleOversized(len(envelope), MAX_ENVELOPE_BYTES)
        facts = self.state.reader.read(envelope)
        if self.state.holdings.get(facts.bundle_id) is not None or self.state.holdings.seen(facts.bundle_id):
            return ()
        inbox = is_for_us(self.state, facts)
        carrying = facts.recipient != self.state.address
        held = Held(
            facts=facts,
            envelope_bytes=len(envelope),
            link=OWN_LINK,
            hops=HOP_LIMIT,
            copies=SPRAY_COPIES,
            inbox=inbox,
            carrying=carrying,
            arrived_ms=now_ms,
            next_attempt_ms=now_ms + self.state.limits.respray_ms,
        )
        evicted = self.state.holdings.admit(held, envelope, now_ms)
        outputs: list[Output] = [freed(victim, "evicted") for victim in evicted]
        outputs.append(Queued(facts.bundle_id))
        if inbox:
            outputs.append(Delivered(facts.bundle_id, envelope, ""))
        serve_neighbours(self.state, now_ms, outputs)
        return tuple(outputs)

    def inbox(self) -> tuple[Delivered, ...]:
        """What was delivered and not yet taken: after a restart, what the application may not have seen."""
        waiting = (held for held in self.state.holdings if held.inbox)
        return tuple(
            Delivered(held.facts.bundle_id, self.state.holdings.envelope(held), "") for held in waiting
        )

    def taken(self, bundle_id: bytes) -> tuple[Output, ...]:
        """The application has the bundle safely; custody of it ends here. Errors: `UnknownBundle`."""
        held = self.state.holdings.require(bundle_id)
        held.inbox = False
        if held.carrying:
            self.state.holdings.store(held)
            return ()
        self.state.holdings.release(held)
        return (freed(held, "taken"),)

    def release(self, bundle_id: bytes) -> tuple[Output, ...]:
        """Give up a bundle, for instance a payment that is final. Errors: `UnknownBundle`."""
        held = self.state.holdings.require(bundle_id)
        self.state.holdings.release(held)
        return (freed(held, "released"),)

    def choose_prekey(self, address: bytes, now_ms: int) -> PrekeyChoice | None:
        """The key to seal a message for the address to (M8); None when none is known."""
        return self.state.routes.choose_prekey(address, now_ms)

    def tick(self, now_ms: int) -> tuple[Output, ...]:
        """Everything that time brings: hellos, announcements, offers, second attempts, expiries. Once a second."""
        outputs: list[Output] = []
        for contact in self.state.contacts.drop_silent(now_ms):
            self._lost(contact, outputs)
        if now_ms >= self._timers_ms:
            self._run_timers(now_ms, outputs)
        if now_ms >= self._next_hello_ms:
            interval_ms = self.state.limits.hello_interval_ms
            jitter_ms = int.from_bytes(self._entropy(2), "big") * (interval_ms // 4) // 0xFFFF
            self._next_hello_ms = now_ms + interval_ms - jitter_ms
            outputs.append(Transmit(None, hello_datagram(self.state)))
        if now_ms >= self._next_announcement_ms:
            self._next_announcement_ms = now_ms + self.state.limits.announcement_interval_ms
            outputs.append(Transmit(None, encode_datagram(self._announce(now_ms))))
        serve_neighbours(self.state, now_ms, outputs)
        return tuple(outputs)

    def receive(self, datagram: bytes, neighbour: str, now_ms: int) -> tuple[Output, ...]:
        """One datagram, or one frame of it, from a neighbour. Never raises for what is in it."""
        outputs: list[Output] = []
        try:
            contact = self._contact(neighbour, now_ms, outputs)
            contact.duty_in.charge(len(datagram), now_ms, "the neighbour's")
            self._everybodys_budget(now_ms).charge(len(datagram), now_ms, "everybody's")
            whole = self._joiner.join(datagram, neighbour, now_ms)
            if whole is not None:
                take_datagram(self.state, whole, contact, now_ms, outputs)
        except CustodyCorrupted:
            raise
        except WnspError as error:
            outputs.append(Refused(neighbour, error.code, str(error)))
        return tuple(outputs)

    def export_file(self, now_ms: int, limit_bytes: int) -> bytes:
        """Bundles and receipts in custody, with our announcement, as the bytes of one file for a stick.

        The most urgent first, as many as fit. Custody stays here, since nobody can answer; a copied bundle takes half
        of the copies along, and ours stay as they are. Errors: `BundleFileMalformed` when the limit holds nothing.
        """
        datagrams = [encode_datagram(self._announce(now_ms))]
        for held in sorted(self.state.holdings, key=urgency):
            if held.carrying and held.hops and held.facts.expires_ms > now_ms:
                copies = max(1, held.copies // 2)
                envelope = self.state.holdings.envelope(held)
                datagrams.append(encode_datagram(BundleDatagram(held.hops - 1, copies, envelope)))
        for _, carried in self.state.receipts.changed_since(0):
            datagrams.append(encode_datagram(ReceiptDatagram(1, carried.receipt)))
        return encode_file(self.state.address, datagrams, limit_bytes)

    def import_file(self, data: bytes, now_ms: int) -> tuple[Output, ...]:
        """Take in a file. The quotas of a neighbour apply to the node that exported it, its duty cycle does not.

        Only events come out: what is to be sent on goes at the next tick. A file gives keys, not routes, since nothing
        can be sent through it. Errors: `BundleFileMalformed`.
        """
        file: DirectoryFile = decode_file(data)
        neighbour = f"file:{file.exporter.hex()}"
        outputs: list[Output] = []
        if file.exporter == self.state.address:
            return ()
        contact = Contact(
            neighbour,
            link_key(neighbour),
            now_ms,
            DutyBudget.full(self.state.limits, now_ms),
            DutyBudget.for_sending(self.state.limits, now_ms),
            self.state.limits.link_bytes,
        )
        for datagram in file.datagrams:
            try:
                take_datagram(self.state, datagram, contact, now_ms, outputs)
            except CustodyCorrupted:
                raise
            except WnspError as error:
                outputs.append(Refused(neighbour, error.code, str(error)))
        self.state.routes.drop_neighbour(neighbour)
        return tuple(output for output in outputs if not isinstance(output, Transmit))

    # Time, and what it brings.

    def _run_timers(self, now_ms: int, outputs: list[Output]) -> None:
        since_ms, self._timers_ms = self._timers_ms - TIMER_MS, now_ms + TIMER_MS
        outputs.extend(freed(held, "expired") for held in self.state.holdings.expire(now_ms))
        self.state.receipts.expire(now_ms)
        self.state.routes.expire(now_ms)
        for held in tuple(self.state.holdings):
            if not held.carrying:
                continue
            if held.next_attempt_ms and held.next_attempt_ms <= now_ms:
                self._attempt_again(held, now_ms, outputs)
            elif since_ms < held.arrived_ms + DIRECT_FIRST_MS <= now_ms:
                self.state.holdings.touch(held)

    def _attempt_again(self, held: Held, now_ms: int, outputs: list[Output]) -> None:
        """A source lets loose new copies, every second time also to those who had it; a relay looks for a way."""
        if not held.own:
            held.next_attempt_ms = 0
            self.state.holdings.store(held)
            return
        held.attempts += 1
        held.next_attempt_ms = now_ms + (self.state.limits.respray_ms << held.attempts)
        if held.attempts >= self.state.limits.resprays:
            held.next_attempt_ms = 0
        held.copies, held.focused = SPRAY_COPIES, 0
        if held.attempts % 2 == 0:
            held.given.clear()
        self.state.holdings.store(held)
        outputs.append(Resprayed(held.facts.bundle_id, held.attempts))

    def _announce(self, now_ms: int) -> Announcement:
        """A new announcement of ours. Its sequence is stored first, so that it rises over restarts."""
        self._sequence = max(self._sequence + 1, now_ms)
        self._custody.put(_SEQUENCE_KEY, self._sequence.to_bytes(8, "big"))
        interval_ms = self.state.limits.announcement_interval_ms
        announcement = sign_announcement(
            self.state.identity,
            self.state.genesis,
            self._sequence,
            now_ms + ANNOUNCEMENT_LIFES * interval_ms,
            self.state.gateway,
            self._prekeys,
        )
        self.state.announcement = announcement
        return announcement

    def _contact(self, neighbour: str, now_ms: int, outputs: list[Output]) -> Contact:
        contact, evicted = self.state.contacts.hear(neighbour, now_ms)
        if evicted is not None:
            self._lost(evicted, outputs)
        return contact

    def _lost(self, contact: Contact, outputs: list[Output]) -> None:
        self.state.routes.drop_neighbour(contact.neighbour)
        if contact.address:
            outputs.append(NeighbourLost(contact.neighbour, contact.address))

    def _everybodys_budget(self, now_ms: int) -> DutyBudget:
        if self._everybody is None:
            self._everybody = DutyBudget.full(self.state.limits, now_ms, self.state.limits.duty_neighbours)
        return self._everybody
