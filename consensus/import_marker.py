"""The mark of a store into which a chain is being imported: until it is gone the store is no chain."""

from typing import Final

from consensus.errors import RecordDamaged
from consensus.stores import META_PREFIX
from consensus.votes import Checkpoint
from ledger.encoding import Codec, Count, Record
from ledger.errors import CodecError
from ledger.storage.errors import StoreError
from ledger.storage.store import Reader

IMPORT_KEY: Final = META_PREFIX + b"import"


class ImportProgress(Record, frozen=True):
    """How far the import of the state and the window of a checkpoint has come."""

    checkpoint: Checkpoint
    chunks: Count
    """State chunks that are written: those of lower numbers."""
    index: Count
    """The next page of the window begins at this chain index; 0 before the first."""
    offset: Count
    """And at this place of that block's merge set."""
    blocks: Count
    """Of the window, written so far."""


PROGRESS_CODEC: Final = Codec(ImportProgress, "import progress", 128)


class ImportUnfinished(StoreError):
    """The store holds a part of a chain: a node imports it, or was stopped while it did."""

    def __init__(self, where: str) -> None:
        super().__init__(
            f"the store in {where} holds an import that is not finished; start the node with the --checkpoint that it "
            "began with, or remove the directory",
            where,
        )


def is_importing(reader: Reader) -> bool:
    """Whether the mark is there."""
    return reader.get(IMPORT_KEY) is not None


def read_import(reader: Reader) -> ImportProgress | None:
    """How far an import has come; None where there is none. Errors: `RecordDamaged`."""
    raw = reader.get(IMPORT_KEY)
    if raw is None:
        return None
    try:
        return PROGRESS_CODEC.decode(raw)
    except CodecError as error:
        raise RecordDamaged(PROGRESS_CODEC.what, IMPORT_KEY, str(error)) from None
