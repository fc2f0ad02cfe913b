"""kill -9 of the engine over LevelDB: what was acknowledged is there afterwards, and it can go on (R19).

A test kills ten workers in a row on one directory. Each is killed after so many acknowledgements as a seeded generator
says, whatever it does at that instant; after each the directory is opened here and judged by the journal.
"""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO

import pytest
from faults.engine_writer import WriterChain, writer_chain

from consensus.commit_chain import read_commit_chain
from consensus.engine import Engine
from consensus.stores import blocks_by_slot, index_on_chain, read_block
from ledger.amounts import MAX_SUPPLY_UNITS
from ledger.execution import APPLIED
from ledger.storage.audit import audit
from ledger.storage.database import Database
from ledger.storage.memory import MemoryStore
from ledger.storage.state_store import LedgerStore
from ledger.storage.store import Reader

REPOSITORY = Path(__file__).resolve().parents[2]
KILLS = 10
MOST_ACKNOWLEDGEMENTS = 90
"""Of one worker before it is killed: some ten slots."""


class Journal:
    """What the workers of one directory have acknowledged."""

    def __init__(self) -> None:
        self.accepted: dict[bytes, bytes] = {}
        """Transaction -> the block that accepted it, by the latest line."""
        self.commits = 0
        """Commits that are certain."""
        self.exit_code: int | None = None

    def read(self, line: str) -> str:
        """Take in one line; its first word."""
        word, *facts = line.split()
        if word == "opened":
            self.commits = int(facts[0])
        elif word == "accepted":
            self.accepted[bytes.fromhex(facts[0])] = bytes.fromhex(facts[1])
        elif word == "committed":
            self.commits += 1
        elif word == "ended":
            self.exit_code = int(facts[0])
        return word


@contextmanager
def nursery() -> Iterator[subprocess.Popen[str]]:
    """The process that forks workers; it and its worker are gone afterwards."""
    process = subprocess.Popen(
        [sys.executable, str(REPOSITORY / "tests/faults/engine_writer.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "tests")])},
    )
    with process:
        try:
            yield process
        finally:
            process.kill()  # a worker that still runs ends at its next line, which nobody reads


def next_line(stream: IO[str]) -> str:
    """The journal's next line; fails when there is none any more."""
    line = stream.readline()
    assert line, "the nursery has ended; its traceback is below"
    return line


def run_and_kill(
    process: subprocess.Popen[str], directory: Path, seed: str, until: tuple[str, int], journal: Journal
) -> None:
    """Let one worker write, kill it after so many lines of a kind, and take in all that it has reported."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(f"{directory} {seed}\n")
    process.stdin.flush()
    word, left = until
    worker = 0
    while left:
        line = next_line(process.stdout)
        found = journal.read(line)
        if found == "started":
            worker = int(line.split()[1])
        left -= found == word
    os.kill(worker, signal.SIGKILL)
    while journal.read(next_line(process.stdout)) != "ended":
        pass
    assert journal.exit_code == -signal.SIGKILL


def check_store(database: Database, engine: Engine, journal: Journal) -> None:
    """Everything that was acknowledged is there, and at most one commit more, which the journal takes in."""
    commits = read_commit_chain(database).sequence
    assert journal.commits <= commits <= journal.commits + 1
    ledger = LedgerStore(database)
    for transaction, accepting in journal.accepted.items():
        found = ledger.transaction(transaction)
        assert found is not None, f"{transaction.hex()} is lost"
        location, receipt = found
        assert receipt.status == APPLIED
        if location.accepting_block != accepting:
            # The commit that was not acknowledged any more moved the chain to another block of the slot.
            assert index_on_chain(database, accepting) is None
            assert commits == journal.commits + 1
            journal.accepted[transaction] = location.accepting_block
        assert index_on_chain(database, location.accepting_block) is not None
    journal.commits = commits
    report = audit(database)
    assert report.faults == ()
    assert report.total_units == MAX_SUPPLY_UNITS
    assert engine.head.state_root == engine.stores.headers.get(engine.head.id).state_root


def replayed(chain: WriterChain, reader: Reader) -> Engine:
    """An engine that was never killed, given all blocks of the store."""
    oracle = chain.open_engine(MemoryStore())
    for entry in blocks_by_slot(reader, first_slot=1):
        block = read_block(reader, entry.block_id)
        assert block is not None
        oracle.process_block(oracle.prepare_decoded(block, entry.slot))
    return oracle


@pytest.mark.parametrize("seed", range(5))
def test_R19_kill_9_of_the_engine_loses_no_accepted_transfer(tmp_path: Path, seed: int) -> None:
    directory = tmp_path / "db"
    chain = writer_chain()
    generator = random.Random(seed)
    journal = Journal()
    with nursery() as process:
        for kill in range(KILLS):
            # Every third worker is killed while it founds the chain, or opens what the last one left.
            until = ("accepted", generator.randrange(1, MOST_ACKNOWLEDGEMENTS))
            if kill % 3 == 0:
                until = (generator.choice(("started", "locked", "opened")), 1)
            run_and_kill(process, directory, f"{seed}/{kill}", until, journal)
            with closing(chain.open_database(directory)) as database:
                engine = chain.open_engine(database)
                check_store(database, engine, journal)
                if kill == KILLS - 1:
                    oracle = replayed(chain, database)
    assert len(journal.accepted) > KILLS
    assert (oracle.head, oracle.tips) == (engine.head, engine.tips)
