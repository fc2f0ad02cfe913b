"""The real engine over LevelDB in processes that are meant to be killed: what they do, and what they acknowledge.

As a program this is the nursery of test_kill_writer: for each line `DIRECTORY SEED` on its standard input it forks a
worker, which opens the store in that directory and adds blocks, lane after lane, until it is killed; then it reports
how the worker ended. No store is open when it forks, and all imports are done: a worker starts in milliseconds.

The journal on standard output, one line per fact, each written at once:

    started PROCESS_ID
    locked                           the store is open
    opened SEQUENCE                  the engine is open; number of the last commit
    accepted TRANSACTION BLOCK       written once the advance in which BLOCK accepted TRANSACTION is committed
    committed                        the end of a call's lines
    ended EXIT_CODE                  by the nursery; a signal is negative
"""

import os
import random
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from builders.blocks import FoundedChain
from builders.chain import devnet, new_engine, propose
from builders.ledger import transfer

from consensus.commit_chain import read_commit_chain
from consensus.engine import Engine
from consensus.events import ChainAdvanced, Event
from consensus.prepare import PreparedBlock
from consensus.stores import SCHEMA_VERSION
from ledger.addresses import address_of
from ledger.execution import APPLIED
from ledger.genesis import Genesis, genesis_hash
from ledger.keys import KeyPair
from ledger.storage.database import Database
from ledger.storage.store import Store
from ledger.transactions import SignedTransaction
from wnsp.spectrum import BAND_COUNT

ECHO = 0.3
"""Share of blocks that also carry a transfer which a parallel lane carries: it is applied once and skipped once."""


@dataclass(frozen=True, slots=True)
class WriterChain:
    """A devnet with a validator per band, and where its stores are."""

    founded: FoundedChain

    @property
    def genesis(self) -> Genesis:
        """The document."""
        return self.founded.genesis

    @property
    def accounts(self) -> tuple[KeyPair, ...]:
        """Funded ones, one a band."""
        return self.founded.accounts[:BAND_COUNT]

    def open_database(self, directory: Path) -> Database:
        """The store on disk, as a node opens it."""
        return Database(directory, schema_version=SCHEMA_VERSION, genesis_hash=genesis_hash(self.genesis))

    def open_engine(self, store: Store) -> Engine:
        """The engine on `store`, founded there or continued."""
        return new_engine(self.founded, store)


def writer_chain() -> WriterChain:
    """The same chain in every process."""
    return WriterChain(devnet(BAND_COUNT))


class LaneWriter:
    """Makes the blocks of all lanes, slot after slot, from where the engine's tips are.

    Each lane spends its own account's money, so no two transfers compete and every one that is accepted stays so.
    """

    def __init__(self, chain: WriterChain, engine: Engine, seed: int | str) -> None:
        self._chain = chain
        self.engine = engine
        self._random = random.Random(seed)
        self.slot = 1 + max(engine.stores.headers.get(tip).slot for tip in engine.tips)
        """The next slot."""

    def next_slot(self, bands: Sequence[int] = range(BAND_COUNT)) -> Iterator[PreparedBlock]:
        """The slot's blocks of `bands`; the caller gives each to the engine before it takes the next."""
        carried: list[SignedTransaction] = []
        for band in bands:
            own = self._transfers(band)
            echo = [self._random.choice(carried)] if carried and self._random.random() < ECHO else []
            yield self._block(band, [*own, *echo])
            carried += own
        self.slot += 1

    def _transfers(self, band: int) -> list[SignedTransaction]:
        """One to three transfers by the band's account, to any account."""
        engine, generator = self.engine, self._random
        key = self._chain.accounts[band]
        nonce = engine.virtual_account(address_of(key.public_key)).nonce
        recipients = generator.choices(self._chain.accounts, k=generator.randint(1, 3))
        return [
            transfer(
                key, engine.rules, nonce + number, address_of(recipient.public_key), generator.randint(1, 999)
            )
            for number, recipient in enumerate(recipients)
        ]

    def _block(self, band: int, candidates: Sequence[SignedTransaction]) -> PreparedBlock:
        return propose(self.engine, self._chain.founded, self.slot, band, candidates)


def accepted(events: Sequence[Event]) -> dict[str, str]:
    """Ids of the transactions that the events' chain blocks applied -> id of the accepting block, in hex."""
    return {
        receipt.transaction_id.hex(): block.block_id.hex()
        for event in events
        if isinstance(event, ChainAdvanced)
        for block in event.added
        for receipt in block.receipts
        if receipt.status == APPLIED
    }


def report(*words: object) -> None:
    """Write one line of the journal; lines of this length are written whole or not at all."""
    os.write(sys.stdout.fileno(), (" ".join(map(str, words)) + "\n").encode("ascii"))


def work(directory: Path, seed: str) -> None:
    """Write blocks until killed."""
    report("started", os.getpid())
    chain = writer_chain()
    with closing(chain.open_database(directory)) as database:
        report("locked")
        engine = chain.open_engine(database)
        report("opened", read_commit_chain(database).sequence)
        writer = LaneWriter(chain, engine, seed)
        while True:
            for block in writer.next_slot():
                for transaction, accepting in accepted(engine.process_block(block)).items():
                    report("accepted", transaction, accepting)
                report("committed")


def main() -> None:
    """The nursery."""
    for line in sys.stdin:
        directory, seed = line.split()
        worker = os.fork()
        if not worker:
            work(Path(directory), seed)
        _, status = os.waitpid(worker, 0)
        report("ended", os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
