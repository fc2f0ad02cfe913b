"""Protocols by which a newcomer begins at a checkpoint, and the bytes of their messages. README, Wire messages.

`/nexus/proofs/1` finality proofs, `/nexus/snapshot/1` what is offered, `/nexus/chunks/1` the state, `/nexus/window/1`
the blocks below the checkpoint. Answers that are records elsewhere go as they are: `SnapshotManifest`, `StateChunk`,
`WindowPage`.
"""

from typing import Annotated, Final

import msgspec

from consensus.light_client import SNAPSHOTS_KEPT
from ledger.encoding import Codec, Count, Hash32, Record
from node.flows.wire import MAX_REPLY_BYTES

PROOFS_PROTOCOL: Final = "/nexus/proofs/1"
SNAPSHOT_PROTOCOL: Final = "/nexus/snapshot/1"
CHUNKS_PROTOCOL: Final = "/nexus/chunks/1"
WINDOW_PROTOCOL: Final = "/nexus/window/1"

MAX_PROOFS: Final = 256
PROOFS_BYTES: Final = 640 * 1024
"""Of proofs in one answer, unless the first one alone has more."""
EARLIER_BYTES: Final = 320 * 1024
"""Of earlier snapshots in one answer."""


class ProofsRequest(Record, frozen=True):
    """Your finality proofs of checkpoints after a period, please."""

    after_period: Count
    earlier: bool
    """Also the snapshots of the epochs before the first of them."""


class ProofsReply(Record, frozen=True):
    """Proofs ascending by epoch; none when there is none later."""

    proofs: Annotated[tuple[bytes, ...], msgspec.Meta(max_length=MAX_PROOFS)]
    earlier: Annotated[tuple[bytes, ...], msgspec.Meta(max_length=SNAPSHOTS_KEPT)]
    is_last: bool


class SnapshotRequest(Record, frozen=True):
    """Which snapshot do you offer that is not older than this period?"""

    from_period: Count
    wanted: Annotated[tuple[Hash32, ...], msgspec.Meta(max_length=1)]
    """The block of the one that was begun with: preferred."""


class ChunkRequest(Record, frozen=True):
    """A chunk of the state at a checkpoint's block."""

    block_id: Hash32
    number: Count


class WindowRequest(Record, frozen=True):
    """The window's page that begins at this chain index and place; 0 and 0 for the first."""

    block_id: Hash32
    index: Count
    offset: Count


PROOFS_REQUEST_CODEC: Final = Codec(ProofsRequest, "request for proofs", 32)
PROOFS_REPLY_CODEC: Final = Codec(ProofsReply, "reply with proofs", MAX_REPLY_BYTES)
SNAPSHOT_REQUEST_CODEC: Final = Codec(SnapshotRequest, "request for a snapshot", 64)
CHUNK_REQUEST_CODEC: Final = Codec(ChunkRequest, "request for a chunk", 64)
WINDOW_REQUEST_CODEC: Final = Codec(WindowRequest, "request for a window page", 64)
