"""Blocks that wait: for their parents (orphans), for our chain to move (postponed), or for their slot (future blocks).
Bounded and pure; time comes in.

Orphans (reliability.md L10): at most 512 blocks and 64 MiB, 64 of one peer, 60 s each. Whoever exceeds a bound pushes
out the oldest: of the same peer for the peer's bound, of all for the others. Only blocks that a known validator signed
come here; those at or below the finalised slot leave. Postponed: at most 64, 60 s each. Future blocks (L9): at most 64;
the ones farthest ahead go first.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, replace

from consensus.params import MAX_QUEUED_FUTURE_BLOCKS
from consensus.prepare import PreparedBlock
from p2p.network import PeerId

MAX_ORPHANS = 512
MAX_ORPHAN_BYTES = 64 * 1024 * 1024
MAX_ORPHANS_PER_PEER = 64
ORPHAN_LIFETIME_S = 60.0
MAX_POSTPONED = 64
"""Ten slots of six lanes: more cannot be postponed for long while the chain moves."""
ORPHAN_PATIENCE_S = 10.0
"""The deadline of one request. A parent that has not come by then is a matter of synchronisation."""


@dataclass(frozen=True, slots=True)
class Orphan:
    """A block whose parents are not all known."""

    prepared: PreparedBlock
    peer: PeerId
    """Who sent it; "" for ourselves."""
    size: int
    """Bytes of the encoded block."""
    depth: int
    """0 for a gossiped block, one more for each step from child to parent that was fetched for it."""
    publish: bool = False
    """Whether we gossip it once it is in the DAG."""
    since_s: float | None = None
    """When it was first postponed, of one that is tried again."""


@dataclass(slots=True)
class _Waiting:
    orphan: Orphan
    missing: set[bytes]
    since_s: float


class OrphanPool:
    """See the module."""

    def __init__(
        self,
        *,
        max_blocks: int = MAX_ORPHANS,
        max_bytes: int = MAX_ORPHAN_BYTES,
        max_per_peer: int = MAX_ORPHANS_PER_PEER,
        lifetime_s: float = ORPHAN_LIFETIME_S,
    ) -> None:
        self._max_blocks = max_blocks
        self._max_bytes = max_bytes
        self._max_per_peer = max_per_peer
        self._lifetime_s = lifetime_s
        self._waiting: OrderedDict[bytes, _Waiting] = OrderedDict()
        self._children: dict[bytes, list[bytes]] = {}
        """Missing block -> orphans that wait for it, in order of arrival."""
        self._by_peer: dict[PeerId, OrderedDict[bytes, None]] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, block_id: bytes) -> bool:
        return block_id in self._waiting

    @property
    def size_bytes(self) -> int:
        """Bytes of all orphans."""
        return self._bytes

    def add(self, orphan: Orphan, missing: Iterable[bytes], now_s: float) -> tuple[bytes, ...]:
        """Keep `orphan` until `missing` are there. Returns the missing blocks that are not orphans themselves, to be
        asked for; none when the block is too large or was here already."""
        block_id = orphan.prepared.block_id
        if block_id in self._waiting or orphan.size > self._max_bytes:
            return ()
        mine = self._by_peer.setdefault(orphan.peer, OrderedDict())
        while len(mine) >= self._max_per_peer:
            self._remove(next(iter(mine)))
            mine = self._by_peer.setdefault(orphan.peer, OrderedDict())
        while len(self._waiting) >= self._max_blocks or self._bytes + orphan.size > self._max_bytes:
            self._remove(next(iter(self._waiting)))
        wanted = dict.fromkeys(missing)
        self._waiting[block_id] = _Waiting(orphan, set(wanted), now_s)
        self._by_peer.setdefault(orphan.peer, OrderedDict())[block_id] = None
        self._bytes += orphan.size
        for parent in wanted:
            self._children.setdefault(parent, []).append(block_id)
        return tuple(parent for parent in wanted if parent not in self._waiting)

    def arrived(self, block_id: bytes) -> tuple[Orphan, ...]:
        """`block_id` is in the DAG: the orphans that waited for nothing else leave the pool."""
        ready: list[Orphan] = []
        for child in self._children.pop(block_id, ()):
            waiting = self._waiting[child]
            waiting.missing.discard(block_id)
            if not waiting.missing:
                ready.append(waiting.orphan)
        for orphan in ready:
            self._remove(orphan.prepared.block_id)
        return tuple(ready)

    def refused(self, block_id: bytes) -> tuple[bytes, ...]:
        """`block_id` can never be in the DAG: its descendants here leave. Their ids."""
        gone: list[bytes] = []
        pending = [block_id]
        while pending:
            for child in tuple(self._children.get(pending.pop(), ())):
                if child in self._waiting:
                    self._remove(child)
                    gone.append(child)
                    pending.append(child)
        return tuple(gone)

    def overdue(self, now_s: float) -> tuple[PeerId, ...]:
        """Who sent the orphans that have waited longer than fetching their parents takes."""
        found: dict[PeerId, None] = {}
        for waiting in self._waiting.values():
            if waiting.since_s + ORPHAN_PATIENCE_S > now_s:
                break
            found[waiting.orphan.peer] = None
        return tuple(found)

    def expire(self, now_s: float) -> tuple[bytes, ...]:
        """Drop what has waited for its lifetime. The ids."""
        gone: list[bytes] = []
        while self._waiting:
            block_id, waiting = next(iter(self._waiting.items()))
            if waiting.since_s + self._lifetime_s > now_s:
                break
            self._remove(block_id)
            gone.append(block_id)
        return tuple(gone)

    def drop_up_to(self, slot: int) -> tuple[bytes, ...]:
        """Drop orphans of slots up to `slot`, the finalised one, with their descendants here: nothing that our chain
        may contain refers to them any more. The ids."""
        gone: list[bytes] = []
        for block_id in tuple(self._waiting):
            waiting = self._waiting.get(block_id)
            if waiting is not None and waiting.orphan.prepared.block.header.slot <= slot:
                self._remove(block_id)
                gone.extend((block_id, *self.refused(block_id)))
        return tuple(gone)

    def _remove(self, block_id: bytes) -> None:
        waiting = self._waiting.pop(block_id)
        self._bytes -= waiting.orphan.size
        mine = self._by_peer[waiting.orphan.peer]
        del mine[block_id]
        if not mine:
            del self._by_peer[waiting.orphan.peer]
        for parent in waiting.missing:
            children = self._children.get(parent)
            if children is not None:
                children.remove(block_id)
                if not children:
                    del self._children[parent]


class PostponedBlocks:
    """Blocks that could not be judged yet, for what their epoch is judged by was not executed here. Each is tried again
    when the head has moved. At most 64, the oldest leaves; 60 s."""

    def __init__(self, *, limit: int = MAX_POSTPONED, lifetime_s: float = ORPHAN_LIFETIME_S) -> None:
        self._limit = limit
        self._lifetime_s = lifetime_s
        self._blocks: OrderedDict[bytes, tuple[Orphan, bytes]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._blocks)

    def __contains__(self, block_id: bytes) -> bool:
        return block_id in self._blocks

    def add(self, orphan: Orphan, head_id: bytes, now_s: float) -> None:
        """Keep `orphan`, which could not be judged while `head_id` was the head. Its lifetime began with the first
        try."""
        since_s = now_s if orphan.since_s is None else orphan.since_s
        self._blocks[orphan.prepared.block_id] = (replace(orphan, since_s=since_s), head_id)
        while len(self._blocks) > self._limit:
            self._blocks.popitem(last=False)

    def due(self, head_id: bytes, now_s: float) -> tuple[Orphan, ...]:
        """Those that may be tried again with the head `head_id`; they leave, and so do expired ones, which are not
        among them."""
        ready: list[Orphan] = []
        for block_id, (orphan, tried_with) in tuple(self._blocks.items()):
            if orphan.since_s is not None and orphan.since_s + self._lifetime_s <= now_s:
                del self._blocks[block_id]
            elif tried_with != head_id:
                del self._blocks[block_id]
                ready.append(orphan)
        return tuple(ready)


@dataclass(frozen=True, slots=True)
class FutureBlock:
    """A block whose slot has not come."""

    message: bytes
    """As it was gossiped."""
    peer: PeerId
    slot: int
    block_id: bytes


class FutureBlocks:
    """At most 64 of them, nearest slots first."""

    def __init__(self, limit: int = MAX_QUEUED_FUTURE_BLOCKS) -> None:
        self._limit = limit
        self._blocks: dict[bytes, FutureBlock] = {}

    def __len__(self) -> int:
        return len(self._blocks)

    def __contains__(self, block_id: bytes) -> bool:
        return block_id in self._blocks

    def add(self, block: FutureBlock) -> None:
        """Keep it; beyond the limit the block farthest ahead leaves."""
        self._blocks[block.block_id] = block
        if len(self._blocks) > self._limit:
            farthest = max(self._blocks.values(), key=lambda one: (one.slot, one.block_id))
            del self._blocks[farthest.block_id]

    def due(self, last_slot: int) -> tuple[FutureBlock, ...]:
        """Blocks of slots up to `last_slot`, in order; they leave."""
        ready = [one for one in self._blocks.values() if one.slot <= last_slot]
        for one in ready:
            del self._blocks[one.block_id]
        return tuple(sorted(ready, key=lambda one: (one.slot, one.block_id)))
