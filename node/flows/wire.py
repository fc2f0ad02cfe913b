"""Topics, protocols and the bytes of their messages. README, Wire messages, has the byte tables.

Everything is a fixed-depth record of `ledger.encoding`: bounded fields, one spelling per value, no maps. A gossiped
block is one tag byte and the block, or, from about ten transactions on, one tag byte and the compact block: header,
votes and the ids of its transactions, which most nodes have in their mempools.
"""

from typing import Annotated, Final

import msgspec

from consensus.blocks import MAX_TRANSACTIONS, RawTransaction
from consensus.params import MAX_BLOCK_BYTES, MAX_HEADER_BYTES
from consensus.sync_plan import MAX_LOCATOR_IDS
from consensus.votes import MAX_BLOCK_VOTES, MAX_VOTE_BYTES
from ledger.encoding import Codec, Count, Hash32, Record
from ledger.errors import Malformed
from ledger.transactions import MAX_TRANSACTION_BYTES

BLOCKS_PROTOCOL: Final = "/nexus/blocks/1"
HEADERS_PROTOCOL: Final = "/nexus/headers/1"
BODIES_PROTOCOL: Final = "/nexus/bodies/1"
BLOCK_TRANSACTIONS_PROTOCOL: Final = "/nexus/blocktxs/1"
SYNC_PROTOCOL: Final = "/nexus/sync/1"
STATUS_PROTOCOL: Final = "/nexus/status/1"

WIRE_VERSION: Final = 1

MAX_GOSSIPED_BLOCK_BYTES: Final = 200_000
"""Of a whole or compact block in one message. The largest compact block, 4,096 ids and 128 votes, has 168 kB."""
MAX_BLOCK_MESSAGE_BYTES: Final = MAX_GOSSIPED_BLOCK_BYTES + 1
COMPACT_FROM_BYTES: Final = 2_048
"""Of transactions in a block that is gossiped compact: about ten. Below that the ids save less than a packet, and a
missing one costs a round trip."""

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
_COMPACT = b"\x02"


def blocks_topic(chain_id: str) -> str:
    """Gossip of blocks, whole and compact."""
    return f"nexus/{chain_id}/blocks/1"


def transactions_topic(chain_id: str) -> str:
    """Gossip of batches of transactions."""
    return f"nexus/{chain_id}/transactions/1"


def votes_topic(chain_id: str) -> str:
    """Gossip of finality votes."""
    return f"nexus/{chain_id}/votes/1"


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


class HeaderEntry(Record, frozen=True):
    """A block without its body. The header's `votes_root` binds the votes."""

    header: Annotated[bytes, msgspec.Meta(max_length=MAX_HEADER_BYTES)]
    """Encoded by itself, so that a header of another version is told from junk."""
    votes: Annotated[bytes, msgspec.Meta(max_length=MAX_BLOCK_VOTES * MAX_VOTE_BYTES)]
    """`consensus.votes.VOTES_CODEC`."""


class HeadersReply(Record, frozen=True):
    """To a `BlocksRequest`: headers in the order of the ids; unknown ones are left out."""

    entries: Annotated[tuple[HeaderEntry, ...], msgspec.Meta(max_length=MAX_IDS)]
    considered: Count
    """As in `BlocksReply`."""


class BodyEntry(Record, frozen=True):
    """The transactions of one block."""

    position: Annotated[int, msgspec.Meta(ge=0, lt=MAX_IDS)]
    """Of its id in the request."""
    transactions: Annotated[tuple[RawTransaction, ...], msgspec.Meta(max_length=MAX_TRANSACTIONS)]


class BodiesReply(Record, frozen=True):
    """To a `BlocksRequest`: bodies in ascending order of position; those that the answerer lacks are left out."""

    bodies: Annotated[tuple[BodyEntry, ...], msgspec.Meta(max_length=MAX_IDS)]
    considered: Count
    """As in `BlocksReply`."""


class CompactBlock(Record, frozen=True):
    """A block with the ids of its transactions in their places."""

    header: Annotated[bytes, msgspec.Meta(max_length=MAX_HEADER_BYTES)]
    votes: Annotated[bytes, msgspec.Meta(max_length=MAX_BLOCK_VOTES * MAX_VOTE_BYTES)]
    ids: Annotated[tuple[Hash32, ...], msgspec.Meta(max_length=MAX_TRANSACTIONS)]


class BlockTransactionsRequest(Record, frozen=True):
    """These transactions of a block, please."""

    block_id: Hash32
    positions: Annotated[
        tuple[Annotated[int, msgspec.Meta(ge=0, lt=MAX_TRANSACTIONS)], ...],
        msgspec.Meta(min_length=1, max_length=MAX_TRANSACTIONS),
    ]


class BlockTransactionsReply(Record, frozen=True):
    """All of them in the order of the positions, or none when the answerer does not have the block."""

    transactions: Annotated[tuple[RawTransaction, ...], msgspec.Meta(max_length=MAX_TRANSACTIONS)]


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
HEADERS_REPLY_CODEC: Final = Codec(HeadersReply, "reply with headers", MAX_REPLY_BYTES)
BODIES_REPLY_CODEC: Final = Codec(BodiesReply, "reply with bodies", MAX_REPLY_BYTES)
COMPACT_CODEC: Final = Codec(CompactBlock, "compact block", MAX_GOSSIPED_BLOCK_BYTES)
BLOCK_TRANSACTIONS_REQUEST_CODEC: Final = Codec(
    BlockTransactionsRequest, "request for transactions of a block", 3 * MAX_TRANSACTIONS + 64
)
BLOCK_TRANSACTIONS_REPLY_CODEC: Final = Codec(
    BlockTransactionsReply, "reply with transactions of a block", MAX_BLOCK_BYTES
)
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


def compact_message(compact: CompactBlock) -> bytes:
    """Gossip of a block whose transactions most nodes have."""
    return _COMPACT + COMPACT_CODEC.encode(compact)


def read_block_message(raw: bytes) -> bytes | CompactBlock:
    """The bytes of a whole block, or a compact one. Errors: `CodecError`."""
    if raw[:1] == _WHOLE and len(raw) <= MAX_BLOCK_MESSAGE_BYTES:
        return raw[1:]
    if raw[:1] == _COMPACT:
        return COMPACT_CODEC.decode(raw[1:])
    raise Malformed("block message", f"{len(raw)} bytes with tag {raw[:1].hex() or '(none)'}")
