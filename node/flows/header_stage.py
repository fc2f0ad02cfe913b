"""The first stage of catching up: plans, and headers with their votes, judged before any body is asked for.

Headers come in chunks of a plan, in its order; while one chunk is judged the next is on its way. Judged means: of the
id that was planned, each parent in our DAG or before it in the plan, then everything else that needs no other block.
Left out, with what stands on them: slots that have not come, and what lies below our finalised checkpoint beyond the
peer's chain.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import trio

from consensus.errors import BlockNotJudged, BodyMismatch, InvalidBlock
from consensus.stores import read_header
from ledger.encoding import MAX_INTEGER
from node.chain_context import ChainContext
from node.chain_writer import ChainWriter
from node.env import Workers
from node.flows.asking import PeerServedJunk, Report
from node.flows.finality_floor import FinalityFloor
from node.flows.header_fetch import BareBlock, fetch_headers
from node.flows.judging import BlockJudge
from node.flows.plans import PlanAsker
from node.flows.sync_sources import Pace
from node.flows.sync_window import SyncWindow
from node.flows.verdicts import consequence_of
from node.flows.wire import PLAN_LIMIT, AntipastMark, SyncReply
from p2p.errors import NetworkError
from p2p.network import Network, PeerId
from p2p.peers import Fault

CHUNK_HEADERS = 256
GROUP_HEADERS = 64
"""Handed on at once."""
IDLE_PLANS = 16
"""Plans one after the other without a block that we lack, besides those that our own blocks could fill twice."""


@dataclass(frozen=True, slots=True)
class JudgedHeader:
    """A header that is good in isolation."""

    bare: BareBlock
    signer_key: bytes
    """The key that its signature was verified with."""


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Headers as they were served."""

    blocks: tuple[BareBlock, ...]
    beyond: frozenset[bytes]
    """Ids that the peer plans beyond its sink's past."""


@dataclass(slots=True)
class _Linked:
    """What came of a chunk's places in the plan."""

    kept: list[BareBlock] = field(default_factory=list)
    left_out: int = 0
    too_early: int = 0
    """Of those left out: their slots have not come."""
    fault: str = ""
    """Why nothing more of the plan can be used, for which the peer is to blame."""
    too_old: str = ""
    """The same, without blame."""


class HeaderStage:
    """One per session."""

    def __init__(
        self,
        chain: ChainContext,
        writer: ChainWriter,
        network: Network,
        workers: Workers,
        asker: PlanAsker,
        judge: BlockJudge,
        floor: FinalityFloor,
        window: SyncWindow,
        lead: PeerId,
        *,
        report: Report,
    ) -> None:
        self._chain = chain
        self._writer = writer
        self._network = network
        self._workers = workers
        self._asker = asker
        self._judge = judge
        self._floor = floor
        self._window = window
        self._lead = lead
        self._report = report
        self._pace = Pace(chain.params)
        self._under_way: dict[bytes, None] = {}
        """Ids that were handed on and are not in the DAG yet."""
        self._left_out: dict[bytes, None] = {}
        self._old_in_plan = 0
        self.too_early = 0
        """Headers that were left out because their slots have not come."""

    def processed(self, block_id: bytes) -> None:
        """The block is in the DAG."""
        self._under_way.pop(block_id, None)

    async def run(self, out: trio.MemorySendChannel[tuple[JudgedHeader, ...]]) -> None:
        """Until the peer has nothing more. Errors: `NetworkError`; `PeerServedJunk` after the fault was reported.
        What was good before an error is out."""
        send, receive = trio.open_memory_channel[_Chunk | NetworkError | PeerServedJunk](1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._download, send)
            failure: NetworkError | PeerServedJunk | None = None
            async for chunk in receive:
                if isinstance(chunk, _Chunk):
                    failure = await self._hand_on(chunk, out)
                else:
                    failure = chunk
                if failure is not None:
                    break
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure

    # ---- download

    async def _download(self, send: trio.MemorySendChannel[_Chunk | NetworkError | PeerServedJunk]) -> None:
        """A failure goes the same way as what came before it."""
        async with send:
            try:
                await self._follow_plans(send)
            except (NetworkError, PeerServedJunk) as error:
                await send.send(error)

    async def _follow_plans(
        self, send: trio.MemorySendChannel[_Chunk | NetworkError | PeerServedJunk]
    ) -> None:
        resume: tuple[bytes, ...] = ()
        mark: tuple[AntipastMark, ...] = ()
        idle_plans = last_slot = 0
        while True:
            started_s = trio.current_time()
            plan = await self._asker.ask(self._lead, resume, mark)
            self._pace.note(self._lead, trio.current_time() - started_s, 0, 0)
            lacking = await self._workers.run_reader(lambda: self._lacking(plan))  # noqa: B023
            idle_plans = 0 if lacking else idle_plans + 1
            if idle_plans > IDLE_PLANS + 2 * self._writer.head.blue_score // PLAN_LIMIT:
                raise self._junk(f"{idle_plans} plans without a block that we lack")
            self._old_in_plan = 0
            beyond = _beyond(plan)
            at = 0
            while at < len(lacking):
                await self._window.wait_to_fetch(last_slot)
                blocks = await self._fetch(lacking[at : at + CHUNK_HEADERS])
                at += len(blocks)
                last_slot = max(block.header.slot for block in blocks)
                self._window.fetched(len(blocks))
                await send.send(_Chunk(blocks, beyond))
            if plan.complete:
                return
            if (plan.resume,) == resume and plan.resume_antipast == mark:
                raise self._junk("the same plan again")
            resume, mark = (plan.resume,), plan.resume_antipast

    def _lacking(self, plan: SyncReply) -> list[bytes]:
        return [
            one
            for one in plan.ids
            if one not in self._under_way
            and one not in self._left_out
            and read_header(self._chain.store, one) is None
        ]

    async def _fetch(self, ids: Sequence[bytes]) -> tuple[BareBlock, ...]:
        """The headers of the first of `ids`, one at least. Errors: `NetworkError`, `PeerServedJunk`."""
        started_s = trio.current_time()
        fetched = await fetch_headers(self._network, self._lead, ids, report=self._report)
        if len(fetched.blocks) < fetched.considered:
            self._report(self._lead, Fault.WITHHELD)
            raise PeerServedJunk(
                self._lead, f"{len(fetched.blocks)} of {fetched.considered} headers that it had planned"
            )
        waited_s = trio.current_time() - started_s
        self._pace.note(
            self._lead, waited_s, len(fetched.blocks), sum(block.size for block in fetched.blocks)
        )
        return fetched.blocks

    # ---- judging

    async def _hand_on(
        self, chunk: _Chunk, out: trio.MemorySendChannel[tuple[JudgedHeader, ...]]
    ) -> NetworkError | PeerServedJunk | None:
        """Judge and pass on; what was wrong with the first that could not be."""
        linked = await self._workers.run_reader(lambda: self._linked(chunk))
        if linked.left_out:
            self.too_early += linked.too_early
            self._window.left_out(linked.left_out)
        kept = linked.kept
        at = 0
        while at < len(kept):
            await self._window.wait_to_admit(kept[at].header.slot)
            last_slot = self._window.last_slot
            group: list[BareBlock] = []
            while at < len(kept) and len(group) < GROUP_HEADERS and kept[at].header.slot <= last_slot:
                group.append(kept[at])
                at += 1
            judged, failure = await self._judged(group)
            self._window.admitted(len(judged))
            await out.send(judged)
            if failure is not None:
                return failure
        if linked.too_old:
            return PeerServedJunk(self._lead, linked.too_old)
        return self._junk(linked.fault) if linked.fault else None

    def _linked(self, chunk: _Chunk) -> _Linked:
        """Those whose parents are known or stand before them. On a reader's thread."""
        linked = _Linked()
        last_slot = self._chain.now_slot() + self._chain.params.max_future_slots
        floor = self._floor.read()
        for block in chunk.blocks:
            header = block.header
            if header.slot > last_slot:
                # No fault, for our clock may be behind. But it may not come in: a validator can sign its lanes of
                # years to come at once, and they would outweigh the chain of the present.
                linked.too_early += 1
                drop = True
            elif any(parent in self._left_out for parent in header.parents):
                drop = True
            elif header.slot <= floor.slot:
                self._old_in_plan += 1
                drop = block.block_id in chunk.beyond
            else:
                drop = False
            if drop:
                self._left_out[block.block_id] = None
                linked.left_out += 1
                continue
            if self._old_in_plan > self._chain.params.mergeset_limit:
                linked.too_old = (
                    f"{self._old_in_plan} blocks up to the finalised slot {floor.slot} in one plan"
                )
                break
            unknown = [one for one in header.parents if not self._is_known(one)]
            if unknown:
                linked.fault = f"header {block.block_id.hex()[:16]} before its parent {unknown[0].hex()[:16]}"
                break
            self._under_way[block.block_id] = None
            linked.kept.append(block)
        return linked

    def _is_known(self, block_id: bytes) -> bool:
        return block_id in self._under_way or read_header(self._chain.store, block_id) is not None

    async def _judged(
        self, group: Sequence[BareBlock]
    ) -> tuple[tuple[JudgedHeader, ...], PeerServedJunk | None]:
        """The good ones up to the first that is not, and what was wrong with that."""
        done: list[JudgedHeader] = []

        def job() -> tuple[BareBlock, BlockNotJudged | InvalidBlock | BodyMismatch] | None:
            for bare in group[len(done) :]:
                try:
                    key = self._judge.header(bare.header, bare.votes, MAX_INTEGER)
                except (BlockNotJudged, InvalidBlock, BodyMismatch) as error:
                    return bare, error
                done.append(JudgedHeader(bare, key))
            return None

        found = await self._workers.run_verifier(job)
        if found is not None and isinstance(found[1], BlockNotJudged):
            # Its key may be in a snapshot that we are about to execute.
            await self._window.wait_for_all()
            found = await self._workers.run_verifier(job)
        if found is None:
            return tuple(done), None
        bare, error = found
        fault = consequence_of(error).fault
        if fault is not None:
            self._report(self._lead, fault)
        return tuple(done), PeerServedJunk(self._lead, f"header {bare.block_id.hex()[:16]}: {error}")

    def _junk(self, reason: str) -> PeerServedJunk:
        self._report(self._lead, Fault.BAD_REPLY)
        return PeerServedJunk(self._lead, reason)


def _beyond(plan: SyncReply) -> frozenset[bytes]:
    """The planned blocks that are not in the past of the peer's sink: those after the last chain block."""
    if plan.resume == plan.common:
        return frozenset(plan.ids)
    if plan.resume not in plan.ids:
        return frozenset()
    return frozenset(plan.ids[plan.ids.index(plan.resume) + 1 :])
