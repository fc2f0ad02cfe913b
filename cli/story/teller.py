"""What every act does: sign, send, wait, settle the book, and tell."""

from typing import Any

from cli.exits import CommandFailed, ExitCode
from cli.figures import format_units
from cli.story.book import Book
from cli.story.chain import Chain
from cli.story.entries import DROPPED, Entry
from cli.story.narrator import Narrator
from cli.story.stage import Cast
from cli.story.world import World
from ledger.registry import Kind

FINAL_LIMIT_S = 60.0


class StoryFailed(Exception):
    """The chain and the book do not agree; the differences were told."""


class Teller:
    """The story's hands and voice."""

    def __init__(
        self, chain: Chain, cast: Cast, book: Book, narrator: Narrator, validators: list[int]
    ) -> None:
        """`validators` are those of the cast, with more than two thirds of all stake together."""
        self.chain = chain
        self.cast = cast
        self.book = book
        self.narrator = narrator
        self.validators = validators
        self.address = cast.addresses()
        self._names = {address: name for name, address in self.address.items()}
        self._told_flows = 0

    @property
    def world(self) -> World:
        """The book's world as of the last settling."""
        return self.book.world

    def send(self, sender: str, kind: Kind, payload: Any, *, refused: str = "") -> Entry:
        """Sign and submit; with `refused` the reason that the chain must fail it with."""
        transaction = self.chain.sign(self.cast.keys[sender], self.address[sender], kind, payload)
        entry = Entry(
            number=len(self.book.entries),
            kind=kind.name,
            sender=sender,
            names=self._names,
            payload=payload,
            fee=transaction.body.fee,
            id=transaction.id.hex(),
            refused=refused,
        )
        self.chain.submit(transaction.raw)
        self.book.entries.append(entry)
        return entry

    def accepted(self) -> None:
        """Wait until all that was sent is on the chain. Errors: `CommandFailed`."""
        entries = self.book.entries
        self.chain.wait("acceptance", lambda: self.chain.refresh(entries))

    def act(self, sender: str, kind: Kind, payload: Any, *, refused: str = "") -> Entry:
        """`send`, and wait."""
        entry = self.send(sender, kind, payload, refused=refused)
        self.accepted()
        return entry

    def begin(self, title: str) -> None:
        """A new act."""
        self.narrator.begin(title)

    def tell(self, text: str) -> None:
        """What happens."""
        self.narrator.tell(text)

    def settle(self) -> None:
        """Every balance of the act, to the unit. Errors: `StoryFailed`, `CommandFailed`."""
        differences = self.book.settle()
        flows = self.world.flows[self._told_flows :]
        self._told_flows = len(self.world.flows)
        self.narrator.explain(flows, self.world, self.book.checked, differences)
        if differences:
            raise StoryFailed

    def wait_epoch(self, epoch: int) -> None:
        """Until the state is in `epoch`; says so, as it may take a while. Errors: `CommandFailed` TIMEOUT."""
        if self.chain.look() < epoch:
            seconds = self.chain.slot_ms * self.chain.calendar.epoch_slots / 1000
            self.narrator.say(f"  … until epoch {epoch}; an epoch takes {seconds:g} s")
            self.chain.wait_epoch(epoch)

    def wait_early(self) -> None:
        """Until an epoch has most of its slots before it, for what must happen within one. Errors: `CommandFailed`."""
        slots = self.chain.calendar.epoch_slots
        slot = int(self.chain.node.call("chain_head")["slot"])
        if slot % slots > slots // 3:
            self.wait_epoch(slot // slots + 1)

    def require(self, holds: bool, what: str) -> None:
        """Something that the story is about must have happened. Errors: `CommandFailed` REJECTED."""
        if not holds:
            raise CommandFailed(ExitCode.REJECTED, f"the story does not hold: {what}")

    def nxt(self, units: int) -> str:
        """Decimal NXT."""
        return format_units(units, 8)

    def final(self) -> None:
        """Wait until everything sent is final, so that the last settling cannot change any more."""
        slots_s = 120 * self.chain.slot_ms / 1000

        def done() -> bool:
            self.chain.refresh(self.book.entries)
            return all(entry.final or entry.status == DROPPED for entry in self.book.entries)

        self.chain.wait("finality", done, FINAL_LIMIT_S + slots_s)
