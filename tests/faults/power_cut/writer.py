"""The real engine over LevelDB under the power-cut shim: what the child does, and the oracle that it is judged by.

As a program, with the shim preloaded, this is the nursery of test_power_cut: for each line `KIND DIRECTORY TRACE
GRAVEYARD CUT_AT` on its standard input it forks a worker, which writes below DIRECTORY until it is killed, ends at
the shim's CUT_AT-th call, or has done everything. The journal on standard output:

    started PROCESS_ID
    opened SEQUENCE            batches that the worker found
    committed SEQUENCE         this batch, synced, and all before it were acknowledged by the store
    finished PROCESS_ID        everything is done; with CUT_AT 0 the worker waits to be killed
    ended EXIT_CODE            by the nursery; a signal is negative

Kinds: `engine`; `unsynced-engine`, the same with every sync left out, which shows that the harness can fail;
`batches`, numbered batches of which every third is synced (only those are acknowledged); `unsynced-logs`, the same
without the sync of earlier logs that our store adds to LevelDB's; `limited-engine`, without the shim (TRACE and
GRAVEYARD are not used), where no file can grow beyond CUT_AT bytes.
"""

import ctypes
import os
import random
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from pathlib import Path

from builders.blocks import FoundedChain
from builders.chain import WALLETS, address_named, devnet, new_engine, propose
from faults.store_writer import numbered_batch

from consensus.commit_chain import COMMITS_PREFIX, read_commit_chain
from consensus.engine import Engine
from consensus.ghostdag import GHOSTDAG_PREFIX
from consensus.prepare import PreparedBlock
from consensus.stores import SCHEMA_VERSION, Head
from ledger.genesis import genesis_hash
from ledger.storage.database import Database
from ledger.storage.errors import StoreError
from ledger.storage.memory import MemoryStore
from ledger.storage.store import WriteBatch
from wnsp.spectrum import BAND_COUNT

SLOTS = 30
MOST_CALLS_OF_A_SLOT = 3
TRANSFERS_OF_A_BLOCK = 6
SMALL_BUFFER_BYTES = 64 * 1024
"""LevelDB's least write buffer: the log is left and a table written every few calls."""

RESTART_DEPENDENT = (COMMITS_PREFIX, GHOSTDAG_PREFIX)
"""Keys whose bytes, not whose meaning, depend on restarts: a map of GHOSTDAG is written in the order in which memory
has it, and the commit chain hashes these bytes."""

LIMITED = "limited-engine"
EXIT_STORE_FAILED = 74

SYNCED_EVERY = 3
NUMBERED_BATCHES = 2_000


@dataclass(frozen=True, slots=True)
class Moment:
    """What must be in the store after so many batches."""

    commits: int
    head: Head
    tips: tuple[bytes, ...]
    content: bytes
    """Digest over every key and value, but for those of which a restart changes the bytes and not the meaning."""


@dataclass(frozen=True, slots=True)
class Run:
    """The calls, and the moment of an engine that never crashed before the first and after each of them."""

    chain: FoundedChain
    calls: tuple[tuple[PreparedBlock, ...], ...]
    moments: tuple[Moment, ...]


@cache
def whole_run() -> Run:
    """The same in every process."""
    chain = devnet()
    calls = tuple(_calls(chain))
    oracle = new_engine(chain)
    moments = [moment_of(oracle)]
    for call in calls:
        oracle.process_blocks(call)
        moments.append(moment_of(oracle))
    return Run(chain, calls, tuple(moments))


def moment_of(engine: Engine) -> Moment:
    """What the engine's store holds now."""
    store = engine.stores.store
    content = blake2b()
    for key, value in store.iterate(b""):
        if not key.startswith(RESTART_DEPENDENT):
            content.update(b"%d,%d;" % (len(key), len(value)) + key + value)
    return Moment(read_commit_chain(store).sequence, engine.head, engine.tips, content.digest())


def open_database(
    chain: FoundedChain,
    directory: Path,
    kind: type[Database] = Database,
    buffer_bytes: int = SMALL_BUFFER_BYTES,
) -> Database:
    """As a node opens it, with a small buffer."""
    return kind(
        directory,
        schema_version=SCHEMA_VERSION,
        genesis_hash=genesis_hash(chain.genesis),
        write_buffer_bytes=buffer_bytes,
    )


def _calls(chain: FoundedChain) -> Iterator[tuple[PreparedBlock, ...]]:
    """The blocks of all lanes, slot after slot, those of a slot in one to three calls."""
    generator = random.Random(4)
    maker = new_engine(chain, MemoryStore())
    for slot in range(1, SLOTS + 1):
        blocks = []
        for band in range(BAND_COUNT):
            nonce = maker.virtual_account(address_named(chain, WALLETS[band])).nonce
            transfers = [
                chain.transfer(
                    band, generator.randrange(len(WALLETS)), generator.randint(1, 999), nonce=number
                )
                for number in range(nonce, nonce + TRANSFERS_OF_A_BLOCK)
            ]
            blocks.append(propose(maker, chain, slot, band, transfers))
        maker.process_blocks(blocks)
        cuts = sorted(generator.sample(range(1, BAND_COUNT), generator.randrange(MOST_CALLS_OF_A_SLOT)))
        for first, last in zip([0, *cuts], [*cuts, BAND_COUNT], strict=True):
            yield tuple(blocks[first:last])


class UnsyncedDatabase(Database):
    """A store that forgets to sync."""

    def write(self, batch: WriteBatch, *, sync: bool) -> None:
        """Never synced."""
        super().write(batch, sync=False)


class LastLogDatabase(Database):
    """A store that leaves older logs as LevelDB does: it syncs the one that it writes now, and the directory."""

    def _sync_earlier_logs(self) -> None:
        descriptor = os.open(self.directory, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)


def report(*words: object) -> None:
    """One line of the journal, written whole or not at all."""
    os.write(sys.stdout.fileno(), (" ".join(map(str, words)) + "\n").encode("ascii"))


def write_blocks(directory: Path, kind: type[Database]) -> None:
    """Continue the run where the store in `directory` stands."""
    run = whole_run()
    with closing(open_database(run.chain, directory, kind)) as database:
        engine = new_engine(run.chain, database)
        sequence = read_commit_chain(database).sequence
        report("opened", sequence)
        for call in run.calls[sequence - 1 :]:
            engine.process_blocks(call)
            sequence += 1
            report("committed", sequence)


def write_batches(directory: Path, kind: type[Database]) -> None:
    """Numbered batches from where the store in `directory` stands."""
    with closing(kind(directory, schema_version=1, write_buffer_bytes=SMALL_BUFFER_BYTES)) as database:
        first = sum(1 for _ in database.iterate(b"left"))
        report("opened", first)
        for number in range(first, NUMBERED_BATCHES):
            sync = number % SYNCED_EVERY == 0
            database.write(numbered_batch(number), sync=sync)
            if sync:
                report("committed", number + 1)


WORK = {
    "engine": (write_blocks, Database),
    "unsynced-engine": (write_blocks, UnsyncedDatabase),
    "batches": (write_batches, Database),
    "unsynced-logs": (write_batches, LastLogDatabase),
    LIMITED: (write_blocks, Database),
}


def main() -> None:
    """The nursery."""
    shim = ctypes.CDLL(None)
    whole_run()
    for line in sys.stdin:
        kind, directory, trace, graveyard, cut_at = line.split()
        worker = os.fork()
        if not worker:
            report("started", os.getpid())
            write, database = WORK[kind]
            if kind == LIMITED:
                resource.setrlimit(resource.RLIMIT_FSIZE, (int(cut_at), int(cut_at)))
            else:
                paths = [os.fsencode(path) for path in (directory, graveyard, trace)]
                shim.power_cut_begin(*paths, ctypes.c_long(int(cut_at)))
            try:
                write(Path(directory) / "db", database)
            except StoreError:
                os._exit(EXIT_STORE_FAILED)
            report("finished", os.getpid())
            if not int(cut_at):
                signal.pause()  # whoever kills it must find it
            os._exit(0)
        _, status = os.waitpid(worker, 0)
        report("ended", os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
