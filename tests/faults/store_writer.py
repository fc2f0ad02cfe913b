"""Child process of test_store_faults: `store_writer.py DIRECTORY [FILE_SIZE_LIMIT_BYTES]`.

Writes numbered batches of two keys, synced every third one, and prints each number once it is acknowledged. With a
limit, file writes beyond it fail as on a full disk: then it tries five more batches and prints what became of them.
"""

import resource
import sys
from pathlib import Path

from ledger.storage.database import Database
from ledger.storage.errors import StoreWriteFailed
from ledger.storage.store import WriteBatch

SCHEMA_VERSION = 1
VALUE_BYTES = 300


def numbered_batch(number: int) -> WriteBatch:
    """Two keys that must be there both or not at all."""
    return WriteBatch(
        {b"%s%08d" % (side, number): b"%d," % number * VALUE_BYTES for side in (b"left", b"right")}
    )


def main(directory: str, file_size_limit_bytes: int | None) -> None:
    """Write until killed or until a write fails."""
    database = Database(Path(directory), schema_version=SCHEMA_VERSION, write_buffer_bytes=256 * 1024)
    if file_size_limit_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_size_limit_bytes, file_size_limit_bytes))
    number = 0
    try:
        while True:
            database.write(numbered_batch(number), sync=number % 3 == 0)
            print(number, flush=True)
            number += 1
    except StoreWriteFailed as error:
        print("failed", error.reason, flush=True)
    for later in range(number, number + 5):
        try:
            database.write(numbered_batch(later), sync=True)
            print("accepted after a failure", flush=True)
        except StoreWriteFailed:
            print("refused", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else None)
