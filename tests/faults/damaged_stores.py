"""A store on disk with the run of `power_cut.writer` in it, and what can happen to its files."""

import random
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from builders.chain import new_engine
from faults.power_cut.writer import SMALL_BUFFER_BYTES, moment_of, open_database, whole_run

from consensus.commit_chain import read_commit_chain
from ledger.genesis_text import genesis_to_json
from ledger.storage.database import WRITE_BUFFER_BYTES

CALLS_IN_TABLES = 40
"""Calls before the last opening, which wrote their batches into tables."""
CALLS_IN_LOG = 12
COMMITS = 1 + CALLS_IN_TABLES + CALLS_IN_LOG
"""Batches of the store: one founded the chain."""

TABLES = "*.ldb"

Damage = Callable[[bytearray], None]


def write_store(directory: Path) -> None:
    """Make a data directory: genesis document, and a store with tables, a manifest, and a log with several batches."""
    directory.mkdir()
    run = whole_run()
    (directory / "genesis.json").write_text(genesis_to_json(run.chain.genesis), encoding="utf-8")
    in_tables, in_log = (
        run.calls[:CALLS_IN_TABLES],
        run.calls[CALLS_IN_TABLES : CALLS_IN_TABLES + CALLS_IN_LOG],
    )
    for calls, buffer_bytes in ((in_tables, SMALL_BUFFER_BYTES), (in_log, WRITE_BUFFER_BYTES)):
        with closing(open_database(run.chain, directory / "db", buffer_bytes=buffer_bytes)) as database:
            engine = new_engine(run.chain, database)
            for call in calls:
                engine.process_blocks(call)


def log_of(store: Path) -> Path:
    """The log with the last batches."""
    return max(store.glob("*.log"), key=lambda path: int(path.stem))


def damaged(pristine: Path, tmp_path: Path, name: str, damage: Damage) -> Path:
    """A copy of the data directory in which `damage` changed the newest file of that name; of tables, every one: the
    newest may be what a compaction left behind that the closing of the store interrupted, and then nobody reads it."""
    directory = tmp_path / "node"
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(pristine, directory)
    found = sorted((directory / "db").glob(name))
    for path in found if name == TABLES else found[-1:]:
        content = bytearray(path.read_bytes())
        damage(content)
        path.write_bytes(content)
    return directory


def commits_of(directory: Path) -> int:
    """Open the store as a node does, read everything, hold it against the oracle, and let it go on.

    How many batches it has. Errors: the store's.
    """
    run = whole_run()
    with closing(open_database(run.chain, directory / "db")) as database:
        engine = new_engine(run.chain, database)
        sequence = read_commit_chain(database).sequence
        assert moment_of(engine) == run.moments[sequence - 1]
        calls = run.calls[sequence - 1 : sequence + 2]
        for call in calls:
            engine.process_blocks(call)
        assert moment_of(engine) == run.moments[sequence - 1 + len(calls)]
    return sequence


def nothing(_content: bytearray) -> None:
    """No damage."""


def zeros_from(share: float) -> Damage:
    """Zeros from a share of the file on."""

    def damage(content: bytearray) -> None:
        at = int(share * len(content))
        content[at:] = bytes(len(content) - at)

    return damage


def cut_at(share: float) -> Damage:
    """The file ends early."""

    def damage(content: bytearray) -> None:
        del content[int(share * len(content)) :]

    return damage


def garbage_from(share: float, seed: int) -> Damage:
    """Other bytes from a share of the file on, as after a lost write onto a used disk."""

    def damage(content: bytearray) -> None:
        at = int(share * len(content))
        content[at:] = random.Random(seed).randbytes(len(content) - at)

    return damage


def flip(seed: int) -> Damage:
    """One bit, anywhere."""

    def damage(content: bytearray) -> None:
        bit = random.Random(seed).randrange(8 * len(content))
        content[bit // 8] ^= 1 << bit % 8

    return damage
