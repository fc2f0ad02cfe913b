"""Topics, protocols and the bytes of their messages. README, Wire messages, has the byte tables.

Everything is a fixed-depth record of `ledger.encoding`: bounded fields, one spelling per value, no maps. A gossiped
block is one tag byte and the block, or, when the block is large, one tag byte and its header: whoever wants the body
fetches it by stream.
"""

from typing import Annotated, Final

import msgspec

from consensus.params import MAX_BLOCK_BYTES, MAX_HEADER_BYTES
from consensus.sync_plan import MAX_LOCATOR_IDS
from ledger.encoding import Codec, Count, Hash32, Record
from ledger.errors import Malformed
from ledger.transactions import MAX_TRANSACTION_BYTES

BLOCKS_PROTOCOL: Final = "/nexus/blocks/1"
SYNC_PROTOCOL: Final = "/nexus/sync/1"
STATUS_PROTOCOL: Final = "/nexus/status/1"

WIRE_VERSION: Final = 1

MAX_GOSSIPED_BLOCK_BYTES: Final = 200_000
"""Larger blocks are announced by their header and fetched (p2p-notes.md, section 0)."""
MAX_BLOCK_MESSAGE_BYTES: Final = MAX_GOSSIPED_BLOCK_BYTES + 1

MAX_BATCH_TRANSACTIONS: Final = 512
MAX_BATCH_BYTES: Final = 128 * 1024
"""Of one gossiped batch of transactions."""

MAX_REPLY_BYTES: Final = 1024 * 1024
"""Reliability row N5."""
MAX_IDS: Final = 512
"""Blocks asked for at once; a node sends as many of them as fit into a reply."""
MAX_LOCATOR: Final = MAX_LOCATOR_IDS + 1
"""A locator, and before it the block where the last answer ended."""
PLAN_LIMIT: Final = 1_024
"""Blocks in one answer to a locator, but that the last chain block comes with its whole merge set."""
MAX_PLAN_IDS: Final = 2 * PLAN_LIMIT

_WHOLE = b"\x01"
_ANNOUNCED = b"\x02"


def blocks_topic(chain_id: str) -> str:
    """Gossip of blocks and announcements."""
    return f"nexus/{chain_id}/blocks/1"


def transactions_topic(chain_id: str) -> str:
    """Gossip of batches of transactions."""
    return f"nexus/{chain_id}/transactions/1"


class Status(Record, frozen=True):
    """Who we are and how far we are; exchanged when a connection comes up and every few seconds after."""

    version: Count
    genesis_hash: Hash32
    chain_id: Annotated[str, msgspec.Meta(min_length=1, max_length=32)]
    head_slot: Count
    blue_score: Count
    """Of the head."""
    head_id: Hash32


class BlocksRequest(Record, frozen=True):
    """The blocks with these ids, please."""

    ids: Annotated[tuple[Hash32, ...], msgspec.Meta(min_length=1, max_length=MAX_IDS)]


class BlocksReply(Record, frozen=True):
    """Blocks in the order in which they were asked for; unknown ones are left out."""

    blocks: Annotated[
        tuple[Annotated[bytes, msgspec.Meta(max_length=MAX_BLOCK_BYTES)], ...],
        msgspec.Meta(max_length=MAX_IDS),
    ]
    considered: Count
    """How many of the ids were looked at before the reply was full: ask again for the others."""


class AntipastMark(Record, frozen=True):
    """A place in the order (slot, id) of the blocks beyond the sink's past."""

    slot: Count
    block_id: Hash32


class SyncRequest(Record, frozen=True):
    """What do I lack? I have the blocks of `locator` with their pasts: of my selected chain, from the head down in
    growing steps; the first may be where your last answer ended."""

    locator: Annotated[tuple[Hash32, ...], msgspec.Meta(min_length=1, max_length=MAX_LOCATOR)]
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_PLAN_IDS)]
    antipast_after: Annotated[tuple[AntipastMark, ...], msgspec.Meta(max_length=1)]
    """The last answer's `resume_antipast`."""


class SyncReply(Record, frozen=True):
    """A `consensus.sync_plan.SyncPlan`, with how far the answerer is."""

    common: Hash32
    ids: Annotated[tuple[Hash32, ...], msgspec.Meta(max_length=MAX_PLAN_IDS)]
    complete: bool
    resume: Hash32
    resume_antipast: Annotated[tuple[AntipastMark, ...], msgspec.Meta(max_length=1)]
    blue_score: Count
    """Of the answerer's head."""


STATUS_CODEC: Final = Codec(Status, "status", 256)
BLOCKS_REQUEST_CODEC: Final = Codec(BlocksRequest, "request for blocks", 34 * MAX_IDS + 16)
BLOCKS_REPLY_CODEC: Final = Codec(BlocksReply, "reply with blocks", MAX_REPLY_BYTES)
SYNC_REQUEST_CODEC: Final = Codec(SyncRequest, "request to synchronise", 34 * MAX_LOCATOR + 64)
SYNC_REPLY_CODEC: Final = Codec(SyncReply, "reply to synchronise", 34 * MAX_PLAN_IDS + 256)

RawTransactions = Annotated[
    tuple[Annotated[bytes, msgspec.Meta(min_length=1, max_length=MAX_TRANSACTION_BYTES)], ...],
    msgspec.Meta(min_length=1, max_length=MAX_BATCH_TRANSACTIONS),
]
TRANSACTIONS_CODEC: Final[Codec[tuple[bytes, ...]]] = Codec(
    RawTransactions, "batch of transactions", MAX_BATCH_BYTES
)

ENTRY_OVERHEAD_BYTES: Final = 5
"""MessagePack's header of one binary entry, at most."""


def block_message(raw_block: bytes) -> bytes:
    """Gossip of a whole block."""
    return _WHOLE + raw_block


def announcement(raw_header: bytes) -> bytes:
    """Gossip of a block that is too large to be gossiped."""
    return _ANNOUNCED + raw_header


def read_block_message(raw: bytes) -> tuple[bytes | None, bytes | None]:
    """(block, None) or (None, header), as bytes. Errors: `Malformed`."""
    if raw[:1] == _WHOLE and len(raw) <= MAX_BLOCK_MESSAGE_BYTES:
        return raw[1:], None
    if raw[:1] == _ANNOUNCED and len(raw) <= MAX_HEADER_BYTES + 1:
        return None, raw[1:]
    raise Malformed("block message", f"{len(raw)} bytes with tag {raw[:1].hex() or '(none)'}")
