"""How far down blocks are of use to us: our finalised checkpoint.

What is not above it and not in the past of a chain that has it will never be merged: we neither ask for it nor keep it
waiting, so old forks cost us nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass

from consensus.stores import index_on_chain, read_header
from ledger.storage.store import Reader


@dataclass(frozen=True, slots=True)
class Floor:
    """The finalised checkpoint."""

    block_id: bytes
    slot: int
    """0 for genesis: nothing lies below."""
    chain_index: int


class FinalityFloor:
    """Reads it anew when it has moved. For any thread."""

    def __init__(self, reader: Reader, finalised_id: Callable[[], bytes]) -> None:
        self._reader = reader
        self._finalised_id = finalised_id
        self._floor: Floor | None = None

    def read(self) -> Floor:
        """As of now."""
        block_id = self._finalised_id()
        floor = self._floor
        if floor is None or floor.block_id != block_id:
            header, index = read_header(self._reader, block_id), index_on_chain(self._reader, block_id)
            floor = Floor(block_id, 0 if header is None else header.slot, 0 if index is None else index)
            self._floor = floor
        return floor

    @property
    def slot(self) -> int:
        """Slot of the checkpoint."""
        return self.read().slot
