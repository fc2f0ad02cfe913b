"""What newcomers are given: finality proofs, a state snapshot of a recent checkpoint, and the window below it.

The snapshot is made anew every `SNAPSHOT_SLOTS`, at the first finalised checkpoint of an epoch, which is the same for
all nodes: a newcomer may take its chunks from any of them. Making it holds the finalised state still, so proofs for
clients wait meanwhile; the chain goes on.
"""

from contextlib import closing
from pathlib import Path
from typing import TypeVar

import trio

from consensus.errors import MissingRecord
from consensus.finalised_state import FinalisedState, UndoRecordsGone
from consensus.params import epoch_at
from consensus.proof_making import make_finality_proof
from consensus.proof_store import (
    earlier_snapshots,
    epoch_after_period,
    proof_of_checkpoint,
    read_proofs,
)
from consensus.stores import Base
from consensus.votes import Checkpoint
from consensus.window import PAGE_CODEC, WindowPage, describe_window, read_window
from ledger.encoding import Codec
from ledger.errors import CodecError
from ledger.storage.store import Reader
from node.chain_context import ChainContext
from node.chain_writer import ChainWriter, ChainWriterClosed
from node.env import Workers
from node.finalised_keeper import FinalisedKeeper, NothingProved
from node.flows.asking import Report
from node.flows.snapshot_wire import (
    CHUNK_REQUEST_CODEC,
    CHUNKS_PROTOCOL,
    EARLIER_BYTES,
    MAX_PROOFS,
    PROOFS_BYTES,
    PROOFS_PROTOCOL,
    PROOFS_REPLY_CODEC,
    PROOFS_REQUEST_CODEC,
    SNAPSHOT_PROTOCOL,
    SNAPSHOT_REQUEST_CODEC,
    WINDOW_PROTOCOL,
    WINDOW_REQUEST_CODEC,
    ProofsReply,
    ProofsRequest,
)
from node.logs import Log
from node.snapshot_files import SNAPSHOTS_KEPT, OfferedSnapshot, read_snapshots, write_snapshot
from p2p.errors import RequestRefused
from p2p.network import Network, PeerId
from p2p.peers import Fault

T = TypeVar("T")

SNAPSHOT_SLOTS = 512
"""Between two snapshots, rounded up to epochs: 17 minutes on main."""


class SnapshotServer:
    """One per node. `run` is the service."""

    def __init__(
        self,
        chain: ChainContext,
        writer: ChainWriter,
        keeper: FinalisedKeeper,
        network: Network,
        workers: Workers,
        directory: Path,
        *,
        report: Report,
        log: Log,
    ) -> None:
        """`directory`: of the snapshots."""
        self._chain = chain
        self._writer = writer
        self._keeper = keeper
        self._network = network
        self._workers = workers
        self._directory = directory
        self._report = report
        self._log = log
        self._offered: tuple[OfferedSnapshot, ...] = ()
        params = chain.params
        self._every_epochs = -(-SNAPSHOT_SLOTS // params.epoch_slots)

    @property
    def offered(self) -> tuple[OfferedSnapshot, ...]:
        """Ascending by period."""
        return self._offered

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Answer, and make snapshots, until cancelled or the writer ends."""
        self._offered = await self._workers.run_reader(lambda: read_snapshots(self._directory))
        serve = self._network.serve
        await serve(PROOFS_PROTOCOL, self._proofs, max_request_bytes=PROOFS_REQUEST_CODEC.max_bytes)
        await serve(SNAPSHOT_PROTOCOL, self._manifest, max_request_bytes=SNAPSHOT_REQUEST_CODEC.max_bytes)
        await serve(CHUNKS_PROTOCOL, self._chunk, max_request_bytes=CHUNK_REQUEST_CODEC.max_bytes)
        await serve(WINDOW_PROTOCOL, self._window, max_request_bytes=WINDOW_REQUEST_CODEC.max_bytes)
        task_status.started()
        while True:
            try:
                await self._make()
            except NothingProved:
                pass
            except ChainWriterClosed:
                return
            except (OSError, CodecError, UndoRecordsGone, MissingRecord) as error:
                self._log.warning("snapshot could not be made", reason=str(error))
            await trio.sleep(self._chain.params.slot_ms / 1000)

    # making ---------------------------------------------------------------------------------------------------------

    async def _make(self) -> None:
        """A snapshot, when the finalised state stands at a checkpoint that is due."""
        checkpoint = self._due()
        if checkpoint is None or any(one.manifest.checkpoint == checkpoint for one in self._offered):
            return
        base = await self._writer.call(lambda engine: engine.newcomers_base(checkpoint.block_id))
        if base is None:
            return
        started_s = trio.current_time()
        made = await self._keeper.use(lambda state, reader: self._written(state, reader, checkpoint, base))
        if made is None:
            return
        self._offered = (*self._offered, made)[-SNAPSHOTS_KEPT:]
        self._log.info(
            "snapshot made",
            period=checkpoint.period,
            entries=made.manifest.entry_count,
            chunks=len(made.ends),
            blocks=made.manifest.blocks,
            seconds=round(trio.current_time() - started_s, 1),
        )

    def _due(self) -> Checkpoint | None:
        """Where the finalised state stands, when that is a checkpoint to make a snapshot of."""
        position = self._keeper.position
        if position is None:
            return None
        checkpoint, slot = position
        epoch = epoch_at(self._chain.params, slot)
        if not epoch or epoch % self._every_epochs:
            return None
        proof = proof_of_checkpoint(self._chain.store, self._chain.params, checkpoint)
        return None if proof is None else checkpoint

    def _written(
        self, state: FinalisedState, reader: Reader, checkpoint: Checkpoint, base: Base
    ) -> OfferedSnapshot | None:
        proof = make_finality_proof(reader, state)
        if state.checkpoint != checkpoint or proof is None:
            return None
        manifest = describe_window(reader, proof, base, len(state))
        return None if manifest is None else write_snapshot(self._directory, manifest, state, reader)

    # serving --------------------------------------------------------------------------------------------------------

    def _decoded(self, codec: Codec[T], peer: PeerId, data: bytes) -> T:
        try:
            return codec.decode(data)
        except CodecError as error:
            self._report(peer, Fault.MALFORMED)
            raise RequestRefused(str(error)) from None

    async def _proofs(self, peer: PeerId, data: bytes) -> bytes:
        request = self._decoded(PROOFS_REQUEST_CODEC, peer, data)
        return PROOFS_REPLY_CODEC.encode(await self._workers.run_reader(lambda: self._stored(request)))

    def _stored(self, request: ProofsRequest) -> ProofsReply:
        with closing(self._chain.store.snapshot()) as reader:
            first = epoch_after_period(reader, self._chain.params, request.after_period)
            earlier = earlier_snapshots(reader, first, max_bytes=EARLIER_BYTES) if request.earlier else ()
            page = read_proofs(reader, first, limit=MAX_PROOFS, max_bytes=PROOFS_BYTES)
        return ProofsReply(page.proofs, earlier, page.next_epoch is None)

    async def _manifest(self, peer: PeerId, data: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        request = self._decoded(SNAPSHOT_REQUEST_CODEC, peer, data)
        able = [one for one in self._offered if one.manifest.checkpoint.period >= request.from_period]
        if not able:
            raise RequestRefused(
                f"no snapshot of period {request.from_period} or later is here; a chain that is too young to be "
                "pruned has none, start without a checkpoint"
            )
        return next((one for one in able if (one.block_id,) == request.wanted), able[-1]).raw_manifest

    async def _chunk(self, peer: PeerId, data: bytes) -> bytes:
        request = self._decoded(CHUNK_REQUEST_CODEC, peer, data)
        offered = self._find(request.block_id)
        try:
            chunk = await self._workers.run_reader(lambda: offered.chunk(request.number))
        except OSError as error:
            raise RequestRefused(f"the snapshot cannot be read: {error.strerror}") from None
        if chunk is None:
            raise RequestRefused(f"the snapshot has {len(offered.ends)} chunks")
        return chunk

    async def _window(self, peer: PeerId, data: bytes) -> bytes:
        request = self._decoded(WINDOW_REQUEST_CODEC, peer, data)
        manifest = self._find(request.block_id).manifest

        def page() -> WindowPage:
            with closing(self._chain.store.snapshot()) as reader:
                return read_window(reader, manifest.base, manifest.chain_index, request.index, request.offset)

        try:
            return PAGE_CODEC.encode(await self._workers.run_reader(page))
        except MissingRecord:
            raise RequestRefused("the window is pruned") from None

    def _find(self, block_id: bytes) -> OfferedSnapshot:
        for one in self._offered:
            if one.block_id == block_id:
                return one
        raise RequestRefused("that snapshot is not here")
