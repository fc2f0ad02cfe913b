"""Child process of test_pruning_faults: `pruning_worker.py DIRECTORY` prunes the store there, in small slices."""

import sys
from contextlib import closing
from pathlib import Path
from unittest.mock import patch

from builders.history import tiny_chain, tiny_engine

from consensus.engine import Engine
from consensus.stores import SCHEMA_VERSION
from ledger.storage.database import Database

SMALL_SLICE_KEYS = 36
"""So that a short history has several slices."""


def open_database(directory: Path) -> Database:
    """The store."""
    return Database(directory, schema_version=SCHEMA_VERSION)


def prune_fully(engine: Engine) -> int:
    """Slice after slice until nothing is left to do; how many."""
    slices = 0
    with patch("consensus.pruning.SLICE_KEYS", SMALL_SLICE_KEYS):
        while engine.prune() is not None:
            slices += 1
    return slices


def main(directory: Path) -> None:
    """Prune."""
    with closing(open_database(directory)) as database:
        prune_fully(tiny_engine(tiny_chain(), database))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
