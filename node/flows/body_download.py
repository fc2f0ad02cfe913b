"""Bodies of a run of headers, from several peers at once, out in the headers' order.

The peer that planned the blocks is the lead; others help whose chains are as long by their word. Each is asked for a
batch at a time. A peer that fails, serves a wrong body or is too slow is out; its blocks go to another, and what one
peer has kept waiting for two seconds while others are idle is asked of one of those too.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import trio

from consensus.blocks import Block
from consensus.params import Params
from ledger.encoding import MAX_INTEGER
from node.flows.asking import PeerServedJunk
from node.flows.body_fetch import EMPTY_BODY_ROOT, BodyFetcher, size_of
from node.flows.header_stage import JudgedHeader
from node.flows.sync_sources import Pace, SyncSources
from p2p.errors import NetworkError
from p2p.network import PeerId
from p2p.peers import Fault

MAX_SOURCES = 4
BATCH_BODIES = 64
MAX_QUEUED_BLOCKS = 512
"""Headers taken in whose bodies are not all here; the headers wait when there are more."""
MAX_HELD_BYTES = 16 * 1024 * 1024
"""Bodies that wait for an earlier one; beyond, only the first that is missing is asked for."""
MAX_GROUP_BLOCKS = 64
"""What is handed on at once: one batch of the writer."""
MAX_GROUP_BYTES = 1024 * 1024
OVERDUE_AFTER_S = 2.0
LOOK_AGAIN_S = 0.5


@dataclass(frozen=True, slots=True)
class FullBlock:
    """A block whose header is judged and whose body has the header's root."""

    block: Block
    signer_key: bytes
    """See `JudgedHeader`."""


@dataclass(slots=True, eq=False)
class _Wanted:
    """A block on its way."""

    judged: JudgedHeader
    transactions: tuple[bytes, ...] | None
    size: int = 0
    asked_of: PeerId | None = None
    """Who was asked last, and has not failed yet."""
    asked_s: float = 0.0


class BodyDownload:
    """One run. `run` does everything; `stop` ends it early."""

    def __init__(
        self,
        fetcher: BodyFetcher,
        sources: SyncSources,
        lead: PeerId,
        params: Params,
        *,
        left: Callable[[PeerId, str], None],
    ) -> None:
        """`left(peer, reason)` is told of each peer that is out."""
        self._fetcher = fetcher
        self._sources = sources
        self._lead = lead
        self._params = params
        self._left = left
        self._queue: deque[_Wanted] = deque()
        self._held_bytes = 0
        self._workers: dict[PeerId, None] = {}
        self._out: dict[PeerId, None] = {}
        self._complete = False
        self._stopped = False
        self._failure: NetworkError | PeerServedJunk | None = None
        self._changed = trio.lowlevel.ParkingLot()
        self._nursery: trio.Nursery | None = None
        self.in_flight = 0
        """Requests that are open."""

    @property
    def sources(self) -> int:
        """How many peers are asked."""
        return len(self._workers)

    @property
    def is_waiting(self) -> bool:
        """Whether a header waits for its body."""
        return bool(self._queue)

    async def run(
        self,
        headers: trio.MemoryReceiveChannel[tuple[JudgedHeader, ...]],
        blocks: trio.MemorySendChannel[tuple[FullBlock, ...]],
    ) -> None:
        """Until all of `headers` are out at `blocks`, or nobody is left to ask: then everything before the first
        missing body is out. Errors: `NetworkError` or `PeerServedJunk`, the last that a source gave."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self._start(self._lead)
            nursery.start_soon(self._take_in, headers)
            await self._hand_on(blocks)
            nursery.cancel_scope.cancel()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Hand on what is here without a gap, and ask for nothing more."""
        if not self._stopped:
            self._complete = self._stopped = True
            gap = next((at for at, one in enumerate(self._queue) if one.transactions is None), None)
            if gap is not None:
                self._queue = deque(list(self._queue)[:gap])
            self._changed.unpark_all()

    # ---- in and out

    async def _take_in(self, headers: trio.MemoryReceiveChannel[tuple[JudgedHeader, ...]]) -> None:
        async for group in headers:
            if self._stopped:
                return
            for judged in group:
                empty = judged.bare.header.body_root == EMPTY_BODY_ROOT
                self._queue.append(_Wanted(judged, () if empty else None))
            self._find_helpers()
            self._changed.unpark_all()
            while len(self._queue) > MAX_QUEUED_BLOCKS:
                await self._changed.park()
        self._complete = True
        self._changed.unpark_all()

    async def _hand_on(self, blocks: trio.MemorySendChannel[tuple[FullBlock, ...]]) -> None:
        while True:
            group: list[FullBlock] = []
            size = 0
            while (
                self._queue
                and (body := self._queue[0].transactions) is not None
                and len(group) < MAX_GROUP_BLOCKS
                and size < MAX_GROUP_BYTES
            ):
                first = self._queue.popleft()
                size += first.size
                bare = first.judged.bare
                block = Block(bare.header, bare.block_id, bare.votes, body)
                group.append(FullBlock(block, first.judged.signer_key))
            self._held_bytes -= size
            if group:
                self._changed.unpark_all()
                await blocks.send(tuple(group))
            elif self._failure is not None or (self._complete and not self._queue):
                return
            else:
                await self._changed.park()

    # ---- sources

    def _start(self, peer: PeerId) -> None:
        if self._nursery is not None:
            self._workers[peer] = None
            self._nursery.start_soon(self._work, peer)

    def _find_helpers(self) -> None:
        """Ask others too, once there is more to ask for than one request takes."""
        lacking = [one.judged.bare.header.blue_score for one in self._queue if one.transactions is None]
        if not lacking or (len(lacking) <= BATCH_BODIES and self._workers):
            return
        for peer in self._sources.at_least(lacking[0]):
            if len(self._workers) >= MAX_SOURCES:
                return
            if peer not in self._workers and peer not in self._out:
                self._start(peer)

    async def _work(self, peer: PeerId) -> None:
        pace = Pace(self._params)
        try:
            while True:
                batch = self._next_batch(peer)
                if batch:
                    await self._fetch(peer, batch, pace)
                else:
                    with trio.move_on_after(LOOK_AGAIN_S):
                        await self._changed.park()
        except (NetworkError, PeerServedJunk) as error:
            self._drop(peer, error)

    def _drop(self, peer: PeerId, error: NetworkError | PeerServedJunk) -> None:
        del self._workers[peer]
        self._out[peer] = None
        self._left(peer, str(error))
        if not self._workers:
            self._find_helpers()
        if not self._workers:
            self._failure = error
        self._changed.unpark_all()

    def _next_batch(self, peer: PeerId) -> list[_Wanted]:
        """The first blocks that nobody is asked for; else the first that another has kept us waiting for."""
        most = MAX_INTEGER if peer == self._lead else self._sources.claim(peer)
        lacking = [
            one
            for one in self._queue
            if one.transactions is None and one.judged.bare.header.blue_score <= most
        ]
        if lacking and self._held_bytes > MAX_HELD_BYTES:
            lacking = [one for one in lacking if one is self._queue[0]]
        fresh = [one for one in lacking if one.asked_of is None]
        if not fresh:
            overdue_s = trio.current_time() - OVERDUE_AFTER_S
            fresh = [one for one in lacking if one.asked_of != peer and one.asked_s <= overdue_s]
        return fresh[:BATCH_BODIES]

    async def _fetch(self, peer: PeerId, batch: list[_Wanted], pace: Pace) -> None:
        started_s = trio.current_time()
        for wanted in batch:
            wanted.asked_of, wanted.asked_s = peer, started_s
        self.in_flight += 1
        try:
            fetched = await self._fetcher.fetch(peer, [wanted.judged.bare for wanted in batch])
            for position, transactions in fetched.bodies.items():
                wanted = batch[position]
                if wanted.transactions is None:
                    wanted.transactions, wanted.size = transactions, size_of(transactions)
                    self._held_bytes += wanted.size
        finally:
            self.in_flight -= 1
            for wanted in batch:
                if wanted.asked_of == peer:
                    wanted.asked_of = None
            self._changed.unpark_all()
        if len(fetched.bodies) < fetched.considered:
            if peer == self._lead:
                self._fetcher.report(peer, Fault.WITHHELD)
            raise PeerServedJunk(
                peer, f"{len(fetched.bodies)} of {fetched.considered} bodies that it should have"
            )
        pace.note(peer, trio.current_time() - started_s, len(fetched.bodies), fetched.size)
