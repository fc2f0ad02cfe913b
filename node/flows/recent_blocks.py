"""Blocks that we have passed on and that may not be in the store yet: whoever hears of one from us may ask us for it.

Written on the event loop, read from any thread.
"""

from collections import OrderedDict

from consensus.blocks import Block
from consensus.stores import read_block
from ledger.storage.store import Reader

MAX_RECENT_BLOCKS = 64
MAX_RECENT_BYTES = 16 * 1024 * 1024


class RecentBlocks:
    """The last of them, bounded by number and bytes."""

    def __init__(self, *, max_blocks: int = MAX_RECENT_BLOCKS, max_bytes: int = MAX_RECENT_BYTES) -> None:
        self._max_blocks = max_blocks
        self._max_bytes = max_bytes
        self._blocks: OrderedDict[bytes, tuple[Block, int]] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._blocks)

    def put(self, block: Block, size: int) -> None:
        """Keep a block of `size` bytes; the oldest leave."""
        if block.header_id in self._blocks:
            return
        self._blocks[block.header_id] = (block, size)
        self._bytes += size
        while len(self._blocks) > self._max_blocks or self._bytes > self._max_bytes:
            _, (_, gone) = self._blocks.popitem(last=False)
            self._bytes -= gone

    def read(self, reader: Reader, block_id: bytes) -> Block | None:
        """A recent block, or one of the DAG with its body; None when there is neither."""
        recent = self._blocks.get(block_id)
        return read_block(reader, block_id) if recent is None else recent[0]
