"""Beginning at a checkpoint: what a node does before it has a chain.

    proofs      finality proofs from the checkpoint to a recent one, followed as a light client does
    snapshot    the state there, chunk by chunk, each verified by itself
    window      the blocks below that the next ones are judged by
    live        the store is a chain: the node opens it and synchronises as any other

One peer is asked at a time. One that is silent, or answers what does not fit, is left alone for a while and another has
its turn; what was written stays. The store is no chain until the last step, and a start with the same checkpoint goes
on where a crash left it (`consensus.chain_import`).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import trio

from consensus.blocks import genesis_block
from consensus.chain_import import ChainImport, WindowInvalid, check_manifest, stored_manifest
from consensus.import_marker import is_importing
from consensus.light_client import (
    FINALITY_PROOF_CODEC,
    FinalityProof,
    LightClientRefused,
    Trusted,
    follow_all,
    learn,
    trust_checkpoint,
    trust_genesis,
)
from consensus.opening import is_empty
from consensus.params import Params, slot_at
from consensus.stores import index_on_chain, read_finalised, read_header
from consensus.votes import Checkpoint
from consensus.weak_subjectivity import checkpoint_is_needed
from consensus.window import MANIFEST_CODEC, PAGE_CODEC, SnapshotManifest
from ledger.encoding import Codec
from ledger.errors import CodecError
from ledger.genesis import Genesis, genesis_state
from ledger.state_commitment import StateTree
from ledger.state_snapshot import CHUNK_CODEC, ChunkInvalid
from ledger.storage.store import Store
from node.config import ConfigError
from node.env import Workers
from node.flows.asking import PeerServedJunk, Report, ask
from node.flows.snapshot_wire import (
    CHUNK_REQUEST_CODEC,
    CHUNKS_PROTOCOL,
    PROOFS_PROTOCOL,
    PROOFS_REPLY_CODEC,
    PROOFS_REQUEST_CODEC,
    SNAPSHOT_PROTOCOL,
    SNAPSHOT_REQUEST_CODEC,
    WINDOW_PROTOCOL,
    WINDOW_REQUEST_CODEC,
    ChunkRequest,
    ProofsRequest,
    SnapshotRequest,
    WindowRequest,
)
from node.logs import Log
from p2p.errors import NetworkError
from p2p.network import Network, PeerId
from p2p.peers import Fault

T = TypeVar("T")

IDLE_S = 1.0
AVOID_S = 15.0
"""How long a peer is left alone that failed us."""
TELL_EVERY_S = 5.0

JUNK = (LightClientRefused, WindowInvalid, ChunkInvalid)
"""What is wrong with an answer that decodes."""


@dataclass(frozen=True, slots=True)
class NewcomerStatus:
    """For the operator."""

    stage: str = "looking for peers"
    """Or `proofs`, `snapshot`, `window`."""
    done: int = 0
    """Epochs, chunks or blocks."""
    target: int = 0
    per_second: float = 0.0
    seconds_left: float | None = None
    reason: str = ""
    """Why the last peer did not serve; empty while one does."""


def parse_checkpoint(text: str) -> Checkpoint:
    """The checkpoint in `PERIOD:ID`. Errors: `ConfigError`."""
    period, _, block = text.partition(":")
    if period.isascii() and period.isdigit() and len(period) <= 18 and len(block) == 64:
        try:
            return Checkpoint(int(period), bytes.fromhex(block))
        except ValueError:
            pass
    raise ConfigError(f"checkpoint {text[:100]!r} is none: expected PERIOD:ID, the id in 64 hex digits")


def checkpoint_to_begin_with(store: Store, params: Params, text: str, now_ms: int) -> Checkpoint | None:
    """The checkpoint from which the store must be filled before it can be opened; None when there is nothing to do.

    `text`: what the operator gave, or the empty text. Errors: `ConfigError` when a checkpoint is needed and missing,
    too old itself, or not on the chain that the store holds.
    """
    checkpoint = parse_checkpoint(text) if text else None
    now_slot = slot_at(params, now_ms)
    if is_empty(store) or is_importing(store):
        if checkpoint is None and is_empty(store):
            _require_recent(params, 0, now_slot, "this node has no chain yet")
        elif checkpoint is not None:
            slot = checkpoint.period * params.period_slots
            if checkpoint_is_needed(params, slot, now_slot):
                raise ConfigError(
                    f"checkpoint {text} is of slot {slot}, more than half of the unbonding time ago; ask for a newer "
                    "one, as `nexus chain checkpoint` prints it"
                )
        return checkpoint
    finalised = read_finalised(store)
    if finalised is None:
        return None
    header = read_header(store, finalised.block_id)
    if checkpoint is None:
        _require_recent(
            params, 0 if header is None else header.slot, now_slot, "its last finality is too old"
        )
    elif finalised.period >= checkpoint.period and _is_elsewhere(store, checkpoint):
        raise ConfigError(
            f"the chain of this node is final beyond period {checkpoint.period} and does not contain checkpoint "
            f"{text}: one of them is not the network's; compare with other operators, then move the database away"
        )
    return None


def _is_elsewhere(store: Store, checkpoint: Checkpoint) -> bool:
    """Whether the checkpoint's block is known not to be on the chain. Where it was pruned nobody can tell."""
    return read_header(store, checkpoint.block_id) is not None and (
        index_on_chain(store, checkpoint.block_id) is None
    )


def _require_recent(params: Params, slot: int, now_slot: int, why: str) -> None:
    if checkpoint_is_needed(params, slot, now_slot):
        raise ConfigError(
            f"{why}: give a checkpoint that you trust with --checkpoint PERIOD:ID (`nexus chain checkpoint` on a node "
            "that you trust prints one), or a whole forged history could be shown to this node"
        )


class Newcomer:
    """One attempt to fill one store."""

    def __init__(
        self,
        store: Store,
        genesis: Genesis,
        params: Params,
        checkpoint: Checkpoint,
        network: Network,
        workers: Workers,
        *,
        report: Report,
        log: Log,
    ) -> None:
        self._store = store
        self._genesis = genesis
        self._params = params
        self._checkpoint = checkpoint
        self._network = network
        self._workers = workers
        self._report = report
        self._log = log
        self._avoided: dict[PeerId, float] = {}
        self._status = NewcomerStatus()
        self._stage_began_s = trio.current_time()
        self._done_at_begin = 0

    @property
    def status(self) -> NewcomerStatus:
        """As of now."""
        status = self._status
        elapsed_s = trio.current_time() - self._stage_began_s
        gained = status.done - self._done_at_begin
        if not gained or elapsed_s <= 0:
            return status
        rate = gained / elapsed_s
        return replace(
            status, per_second=round(rate, 1), seconds_left=round((status.target - status.done) / rate, 1)
        )

    async def run(self) -> None:
        """Until the store is a chain. Errors: the store's."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._tell)
            while True:
                if await self._advance():
                    break
                await trio.sleep(IDLE_S)
            nursery.cancel_scope.cancel()

    async def _tell(self) -> None:
        while True:
            await trio.sleep(TELL_EVERY_S)
            status = self.status
            self._log.info(
                "beginning at a checkpoint",
                stage=status.stage,
                done=status.done,
                target=status.target,
                per_second=status.per_second,
                seconds_left=status.seconds_left,
                reason=status.reason,
            )

    async def _advance(self) -> bool:
        """Try every peer once; whether the store is a chain now."""
        now_s = trio.current_time()
        for info in self._network.peers():
            peer = info.peer_id
            if self._avoided.get(peer, 0.0) > now_s:
                continue
            try:
                await self._from_peer(peer)
                return True
            except (NetworkError, PeerServedJunk) as error:
                self._avoided[peer] = trio.current_time() + AVOID_S
                self._status = replace(self._status, reason=str(error))
                self._log.warning("peer does not bring us on", peer=peer, reason=str(error))
        if not self._network.peers():
            self._status = replace(self._status, reason="no peer is connected")
        return False

    async def _from_peer(self, peer: PeerId) -> None:
        """Everything from one peer. Errors: `NetworkError`, `PeerServedJunk`; the store's."""
        trusted, proofs = await self._prove(peer)
        manifest = await self._offered(peer)
        before = [one for one in proofs if one.justifying.target.period < manifest.checkpoint.period]
        trusted = self._judged(
            peer,
            lambda: (
                trusted
                if manifest.checkpoint == trusted.finalised
                else follow_all(trusted, [*before[1:], manifest.finality])
            ),
        )
        self._judged(peer, lambda: check_manifest(manifest, trusted))
        running = await self._workers.run_writer(
            lambda: ChainImport(self._store, self._genesis, self._params, manifest)
        )
        await self._state(peer, running)
        await self._window(peer, running)
        kept = before or proofs[:1]
        await self._judged_work(peer, lambda: running.finish(trusted, kept))
        self._log.info(
            "checkpoint reached",
            period=manifest.checkpoint.period,
            block=manifest.checkpoint.block_id,
            entries=manifest.entry_count,
            blocks=manifest.blocks,
        )

    async def _prove(self, peer: PeerId) -> tuple[Trusted, list[FinalityProof]]:
        """Trust in the checkpoint, and the proofs from its own on."""
        self._enter("proofs", 0, 0)
        proofs: list[FinalityProof] = []
        earlier: tuple[bytes, ...] = ()
        after = max(0, self._checkpoint.period - 1)
        while True:
            reply = await self._ask(
                peer,
                PROOFS_PROTOCOL,
                PROOFS_REQUEST_CODEC.encode(ProofsRequest(after, not proofs)),
                PROOFS_REPLY_CODEC,
            )
            earlier = earlier or reply.earlier
            try:
                page = [FINALITY_PROOF_CODEC.decode(raw) for raw in reply.proofs]
            except CodecError as error:
                raise self._junk(peer, str(error), Fault.MALFORMED) from None
            proofs += page
            self._status = replace(self._status, done=len(proofs), target=len(proofs))
            if reply.is_last or not page:
                break
            if page[-1].justifying.target.period <= after:
                raise self._junk(peer, "the same proofs again and again", Fault.BAD_REPLY)
            after = page[-1].justifying.target.period
        if not proofs or proofs[0].justifying.target != self._checkpoint:
            raise PeerServedJunk(peer, "no proof of the checkpoint: it knows nothing of it, or not any more")
        return self._judged(peer, lambda: self._begun(proofs[0], earlier)), proofs

    def _begun(self, proof: FinalityProof, earlier: tuple[bytes, ...]) -> Trusted:
        root = StateTree.build(genesis_state(self._genesis).items()).root
        trusted = trust_genesis(self._genesis, self._params, genesis_block(self._genesis, root).header_id)
        trusted = trust_checkpoint(trusted, self._checkpoint, proof)
        for raw in earlier:
            trusted = learn(trusted, raw)
        return trusted

    async def _offered(self, peer: PeerId) -> SnapshotManifest:
        begun = await self._workers.run_reader(lambda: stored_manifest(self._store))
        wanted = () if begun is None else (begun.checkpoint.block_id,)
        request = SNAPSHOT_REQUEST_CODEC.encode(SnapshotRequest(self._checkpoint.period, wanted))
        manifest = await self._ask(peer, SNAPSHOT_PROTOCOL, request, MANIFEST_CODEC)
        if manifest.checkpoint.period < self._checkpoint.period:
            raise self._junk(peer, "a snapshot from before the checkpoint", Fault.BAD_REPLY)
        return manifest

    async def _state(self, peer: PeerId, running: ChainImport) -> None:
        self._enter("snapshot", running.progress.chunks, running.chunk_count)
        block_id = running.manifest.checkpoint.block_id
        while not running.state_is_complete:
            request = CHUNK_REQUEST_CODEC.encode(ChunkRequest(block_id, running.progress.chunks))
            chunk = await self._ask(peer, CHUNKS_PROTOCOL, request, CHUNK_CODEC)
            await self._judged_work(peer, partial(running.put_chunk, chunk))
            self._status = replace(self._status, done=running.progress.chunks)

    async def _window(self, peer: PeerId, running: ChainImport) -> None:
        self._enter("window", running.progress.blocks, running.manifest.blocks)
        block_id = running.manifest.checkpoint.block_id
        while not running.window_is_complete:
            progress = running.progress
            request = WINDOW_REQUEST_CODEC.encode(WindowRequest(block_id, progress.index, progress.offset))
            page = await self._ask(peer, WINDOW_PROTOCOL, request, PAGE_CODEC)
            await self._judged_work(peer, partial(running.put_page, page))
            self._status = replace(self._status, done=running.progress.blocks)

    async def _ask(self, peer: PeerId, protocol: str, request: bytes, reply: Codec[T]) -> T:
        return await ask(self._network, peer, protocol, request, reply, report=self._report)

    async def _judged_work(self, peer: PeerId, job: Callable[[], None]) -> None:
        """A job over what the peer said, on the writer's thread. Errors: as `_judged`; the store's."""
        try:
            await self._workers.run_writer(job)
        except JUNK as error:
            raise self._junk(peer, str(error), Fault.INVALID) from None

    def _judged(self, peer: PeerId, job: Callable[[], T]) -> T:
        """The result of a job over what the peer said. Errors: `PeerServedJunk`, which is on its account."""
        try:
            return job()
        except JUNK as error:
            raise self._junk(peer, str(error), Fault.INVALID) from None

    def _junk(self, peer: PeerId, reason: str, fault: Fault) -> PeerServedJunk:
        self._report(peer, fault)
        return PeerServedJunk(peer, reason)

    def _enter(self, stage: str, done: int, target: int) -> None:
        self._status = NewcomerStatus(stage, done, target)
        self._stage_began_s = trio.current_time()
        self._done_at_begin = done
