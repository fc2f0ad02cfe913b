"""Fail points: places where a test lets the process die, as if the power of the process were cut there.

`NEXUS_FAILPOINT=name:n` in the environment ends the process with exit code 137 the n-th time (from 1) that it passes
the point `name`, without a destructor, a flush or a handler. The variable is read once, when this module is imported;
unset, a point costs one comparison. Source: reliability.md 4.2 (b).

A point stands before and after each thing that a crash may part: a write to a store, a rename, a signature, a message
that leaves. What holds at all of them: the next start opens the store, everything acknowledged is there, and no lane is
signed twice.
"""

import os
from collections.abc import Mapping

from ledger.errors import LedgerError

FAIL_POINT_VARIABLE = "NEXUS_FAILPOINT"

EXIT_FAIL_POINT = 137
"""As of a process that was killed by signal 9 (128 + 9)."""

FAIL_POINTS: Mapping[str, str] = {
    "database_open_before": "the directory is locked, LevelDB is not open yet",
    "database_open_after": "LevelDB is open, schema version and genesis hash are written or compared",
    "database_write_before": "a batch is complete, nothing of it is written",
    "database_write_after": "a batch is written (and synced, if asked for), nobody has been told",
    "file_replace_before": "a file's new content is written beside it, the old one is in place",
    "file_replace_after": "the new file is in place",
    "key_file_link_before": "a key file is written and synced under a temporary name",
    "key_file_link_after": "the key file has its name, the temporary one is there too",
    "signing_record_before": "a signature is allowed, the record of it is not written",
    "signing_record_after": "the record is synced, nothing is signed",
    "signature_after": "the signature is made, nobody has it",
    "block_publish_before": "an own block is in the chain, no peer has it",
    "block_publish_after": "an own block was given to the network",
    "vote_publish_before": "an own vote is signed, no peer has it",
    "vote_publish_after": "an own vote was given to the network",
    "pruning_slice_before": "a slice of pruning is chosen, nothing of it is deleted",
    "pruning_slice_after": "a slice of pruning is deleted and synced",
    "snapshot_chunk_before": "a chunk of a snapshot, or a page of its window, is verified, nothing of it is written",
    "snapshot_chunk_after": "it is written and synced, the import does not know",
    "repair_copy_before": "a damaged store is locked for its repair, nothing is copied",
    "repair_copy_after": "the copy is whole and synced, the store is untouched",
    "repair_cut_after": "a file of the store was cut back and synced, others may follow",
}
"""Every point: name -> what holds there. A test dies at each of them."""


class FailPointUnknown(LedgerError):
    """`NEXUS_FAILPOINT` names no point, or no occurrence of one. A typing error must not pass for a survived crash."""

    def __init__(self, specification: str) -> None:
        super().__init__(
            f"{FAIL_POINT_VARIABLE}={specification!r} is no fail point: expected name:n with n from 1 and a name of "
            f"{', '.join(FAIL_POINTS)}; unset the variable to run without one"
        )
        self.specification = specification


_armed: str | None = None
_passes_left = 0


def fail_point(name: str) -> None:
    """End the process here if this is the occurrence that was asked for. `name` is one of `FAIL_POINTS`."""
    if _armed is not None and _armed == name:
        _count_down()


def arm(specification: str) -> None:
    """Arm `name:n`; the empty text disarms. For the environment, and for a test's child right after its fork.

    Raises `FailPointUnknown`.
    """
    global _armed, _passes_left
    if not specification:
        _armed = None
        return
    name, _, occurrence = specification.partition(":")
    if name not in FAIL_POINTS or not occurrence.isdecimal() or int(occurrence) < 1:
        raise FailPointUnknown(specification)
    _armed, _passes_left = name, int(occurrence)


def _count_down() -> None:
    global _passes_left
    _passes_left -= 1
    if _passes_left == 0:
        os._exit(EXIT_FAIL_POINT)


arm(os.environ.get(FAIL_POINT_VARIABLE, ""))
