"""Importing a chain from a finalised checkpoint on: its state, chunk by chunk, then its window, page by page.

Everything goes into the store that the node will run on, under a mark that is written first and removed by the last
batch; with the mark a store is no chain and no engine opens it. Each step is one synced batch together with the
progress, so an import goes on where a crash left it. What is imported is judged before it is written, and the upper
part of the window is derived anew before the mark goes: README, Fast sync, says what rests on what.
"""

from collections.abc import Iterator, Sequence

import msgspec

from consensus.blocks import Block, decode_block, genesis_block
from consensus.body_tree import body_root
from consensus.certificates import CERTIFICATE_CODEC
from consensus.commit_chain import EMPTY, append_commit
from consensus.errors import ConsensusError, ConsensusFault
from consensus.finality import CHECKPOINT_CODEC, FINALITY_CODEC
from consensus.finality_tracking import FinalityTracker
from consensus.ghostdag import colour
from consensus.ghostdag_records import GhostdagData
from consensus.header_validation import validate_header_in_isolation
from consensus.import_marker import IMPORT_KEY, PROGRESS_CODEC, ImportProgress, read_import
from consensus.light_client import FinalityProof, Trusted
from consensus.merge_depth import MergeRoots
from consensus.opening import head_of
from consensus.order import ghostdag_rules
from consensus.params import Params, epoch_at
from consensus.proof_store import stage_proof
from consensus.pruning import PROGRESS_CODEC as PRUNING_CODEC
from consensus.pruning import PROGRESS_KEY, Progress
from consensus.retention import Retention
from consensus.schedule import schedule_from_genesis
from consensus.stores import (
    BASE_CODEC,
    BASE_KEY,
    CERTIFICATES_PREFIX,
    FINALISED_KEY,
    HEAD_CODEC,
    HEAD_KEY,
    IDENTITY_CODEC,
    IDENTITY_KEY,
    META_PREFIX,
    SCHEMA_VERSION,
    ConsensusStores,
    Identity,
    Status,
    number_key,
)
from consensus.votes import votes_root
from consensus.window import MANIFEST_CODEC, SnapshotManifest, WindowPage
from ledger.errors import CodecError, LedgerError
from ledger.genesis import Genesis, genesis_hash, genesis_state
from ledger.staking.snapshot import SNAPSHOT_CODEC, SnapshotDigest, snapshot_digest
from ledger.state_commitment import StateTree
from ledger.state_snapshot import StateChunk, chunk_count, chunk_level, verify_chunk
from ledger.storage.fail_points import fail_point
from ledger.storage.state_store import STATE_PREFIX
from ledger.storage.store import Store, WriteBatch

MANIFEST_KEY = META_PREFIX + b"import-manifest"

_PLACEHOLDER = bytes(32)
"""What blocks stand on in the tree whose selected parents lie below the window, until the import ends."""

_DELETED_AT_ONCE = 10_000

_colouring_decoder = msgspec.msgpack.Decoder(GhostdagData)


class WindowInvalid(ConsensusError):
    """What a peer offered cannot be the window or the manifest of the checkpoint."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the snapshot is refused: {reason}")
        self.reason = reason


def stored_manifest(store: Store) -> SnapshotManifest | None:
    """The manifest of the import that the store is marked with; None where there is none, or it is damaged."""
    raw = store.get(MANIFEST_KEY)
    if raw is None or read_import(store) is None:
        return None
    try:
        return MANIFEST_CODEC.decode(raw)
    except CodecError:
        return None


def check_manifest(manifest: SnapshotManifest, trusted: Trusted) -> None:
    """The manifest is about the checkpoint that `trusted` has reached, and its snapshots are those that the state
    names. Errors: `WindowInvalid`."""
    if manifest.checkpoint != trusted.finalised:
        raise WindowInvalid(
            f"it is of period {manifest.checkpoint.period}, what is proved is {trusted.finalised.period}"
        )
    base, top = manifest.base, manifest.chain_index
    if not (
        0 < base.chain_index < top and base.slot < trusted.slot and top - base.chain_index < manifest.blocks
    ):
        raise WindowInvalid(f"base {base.chain_index} of {manifest.blocks} blocks does not lie below {top}")
    for one in manifest.snapshots:
        try:
            epoch = SNAPSHOT_CODEC.decode(one.snapshot).epoch
        except CodecError as error:
            raise WindowInvalid(str(error)) from None
        if SnapshotDigest(epoch, snapshot_digest(one.snapshot)) not in trusted.history:
            raise WindowInvalid(f"the validators of epoch {epoch} are none that the state names")


class ChainImport:
    """One import into one store. One thread at a time."""

    def __init__(self, store: Store, genesis: Genesis, params: Params, manifest: SnapshotManifest) -> None:
        """Go on with the import of `manifest`, which was checked; a store that holds another import, or none, is
        cleared. Errors: the store's."""
        self._store = store
        self._genesis = genesis
        self.manifest = manifest
        self.params = params
        self.level = chunk_level(manifest.entry_count)
        self.chunk_count = chunk_count(self.level)
        progress = read_import(store)
        if progress is None or not _is_same(stored_manifest(store), manifest):
            progress = self._begin()
        self.progress = progress
        self._open()

    def _begin(self) -> ImportProgress:
        """Clear the store, then mark it."""
        while True:
            batch = WriteBatch()
            for key, _ in self._store.iterate(b""):
                if key != IMPORT_KEY:
                    batch.delete(key)
                if len(batch) == _DELETED_AT_ONCE:
                    break
            if not len(batch):
                break
            self._store.write(batch, sync=True)
        progress = ImportProgress(self.manifest.checkpoint, 0, 0, 0, 0)
        batch = WriteBatch()
        batch.put(IMPORT_KEY, PROGRESS_CODEC.encode(progress))
        batch.put(MANIFEST_KEY, MANIFEST_CODEC.encode(self.manifest))
        self._store.write(batch, sync=True)
        return progress

    def _open(self) -> None:
        params = self.params
        self._stores = ConsensusStores(
            self._store, lambda headers, finality: ghostdag_rules(params, headers, finality), "the import"
        )

    # the state ------------------------------------------------------------------------------------------------------

    @property
    def state_is_complete(self) -> bool:
        """Whether all chunks are written."""
        return self.progress.chunks == self.chunk_count

    def put_chunk(self, chunk: StateChunk) -> None:
        """Verify and write the next chunk. Errors: `ChunkInvalid`; `WindowInvalid` for another than the next."""
        if chunk.number != self.progress.chunks:
            raise WindowInvalid(f"chunk {chunk.number} came, chunk {self.progress.chunks} was asked for")
        verify_chunk(self.manifest.finality.header.state_root, self.level, chunk)
        batch = WriteBatch()
        for key, value in chunk.entries:
            batch.put(STATE_PREFIX + key, value)
        self._write(batch, msgspec.structs.replace(self.progress, chunks=chunk.number + 1))

    # the window -----------------------------------------------------------------------------------------------------

    @property
    def window_is_complete(self) -> bool:
        """Whether all blocks are written."""
        return self.progress.blocks == self.manifest.blocks

    def put_page(self, page: WindowPage) -> None:
        """Check and write the next page of the window. Errors: `WindowInvalid`, after which nothing has changed."""
        try:
            batch = WriteBatch()
            count = 0
            for block, colouring, finality in _decoded(page):
                self._add(block, colouring, finality)
                count += 1
            done = self.progress.blocks + count
            is_last = not page.next_index
            if not count or done > self.manifest.blocks or is_last != (done == self.manifest.blocks):
                raise WindowInvalid(f"{done} of {self.manifest.blocks} blocks when the pages end or go on")
        except (ConsensusFault, ConsensusError, LedgerError) as error:
            self._open()  # forgets what was staged
            raise error if isinstance(error, WindowInvalid) else WindowInvalid(str(error)) from None
        progress = msgspec.structs.replace(
            self.progress, index=page.next_index, offset=page.next_offset, blocks=done
        )
        self._stores.stage_into(batch)
        self._write(batch, progress)
        self._stores.commit()

    def _add(self, block: Block, data: GhostdagData, finality: bytes) -> None:
        header, block_id, stores = block.header, block.header_id, self._stores
        dag = stores.dag
        if body_root(block.transactions) != header.body_root or votes_root(block.votes) != header.votes_root:
            raise WindowInvalid(f"block {block_id.hex()} came with another body or other votes")
        _check_colouring(block, data)
        if not self.progress.blocks and not dag.relations.tips():
            if block_id != self.manifest.base.block_id or header.slot != self.manifest.base.slot:
                raise WindowInvalid(f"it begins with block {block_id.hex()}, not with its base")
            dag.reachability.add_placeholder(_PLACEHOLDER, self.manifest.base.chain_index - 1)
        stores.headers.put(block_id, header)
        stores.finality.put(block_id, FINALITY_CODEC.decode(finality))
        stores.bodies.put(block_id, block.transactions)
        if block.votes:
            stores.votes.put(block_id, block.votes)
        stores.slots.put(number_key(header.slot) + block_id, header.band)
        chain_parent = data.selected_parent if dag.has(data.selected_parent) else _PLACEHOLDER
        dag.restore(
            block_id,
            [parent for parent in header.parents if dag.has(parent)],
            chain_parent,
            [merged for merged in data.mergeset[1:] if dag.has(merged)],
            data,
        )

    # the end --------------------------------------------------------------------------------------------------------

    def finish(self, trusted: Trusted, proofs: Sequence[FinalityProof] = ()) -> None:
        """Derive the upper window anew and make the store a chain, in one batch. `proofs`, which led to `trusted`, are
        kept for others. Errors: `WindowInvalid`, after which the import begins anew."""
        try:
            self._finish(trusted, proofs)
        except (ConsensusFault, ConsensusError, LedgerError) as error:
            self.progress = self._begin()
            self._open()
            raise error if isinstance(error, WindowInvalid) else WindowInvalid(str(error)) from None

    def _finish(self, trusted: Trusted, proofs: Sequence[FinalityProof]) -> None:
        stores, manifest = self._stores, self.manifest
        base, checkpoint = manifest.base, manifest.checkpoint
        dag = stores.dag
        if dag.relations.tips() != (checkpoint.block_id,):
            raise WindowInvalid("not all of its blocks are in the past of the checkpoint")
        for one in manifest.snapshots:
            stores.epochs.put(one.transition, SNAPSHOT_CODEC.decode(one.snapshot))
        dag.reachability.raise_root(base.block_id)
        dag.reachability.remove_root(_PLACEHOLDER)
        chain = self._put_chain()
        self._check_snapshots(chain, trusted)
        self._verify(chain)
        dag.reachability.advance_root(checkpoint.block_id)
        header = stores.headers.get(checkpoint.block_id)
        if header.state_root != trusted.state_root:
            raise WindowInvalid("the checkpoint's block has another state root than the proved one")
        batch = WriteBatch()
        stores.stage_into(batch)
        batch.put(IDENTITY_KEY, IDENTITY_CODEC.encode(Identity(SCHEMA_VERSION, genesis_hash(self._genesis))))
        batch.put(HEAD_KEY, HEAD_CODEC.encode(head_of(stores, checkpoint.block_id)))
        batch.put(FINALISED_KEY, CHECKPOINT_CODEC.encode(checkpoint))
        batch.put(BASE_KEY, BASE_CODEC.encode(base))
        batch.put(PROGRESS_KEY, PRUNING_CODEC.encode(Progress(manifest.chain_index, base.chain_index, 0)))
        for certificate in (manifest.finality.justifying, manifest.finality.finalising):
            batch.put(
                CERTIFICATES_PREFIX + number_key(certificate.target.period),
                CERTIFICATE_CODEC.encode(certificate),
            )
        for proof in proofs:
            stage_proof(batch, self._store, self.params, proof, archive=True)
        batch.delete(IMPORT_KEY)
        batch.delete(MANIFEST_KEY)
        append_commit(batch, EMPTY)
        self._store.write(batch, sync=True)
        stores.commit()

    def _put_chain(self) -> tuple[bytes, ...]:
        """The chain from the base to the checkpoint, with its index and marks."""
        stores, base, top = self._stores, self.manifest.base, self.manifest.checkpoint.block_id
        down = []
        block = top
        while block != base.block_id:
            down.append(block)
            block = stores.dag.data.get(block).selected_parent
        chain = (base.block_id, *reversed(down))
        if len(chain) != self.manifest.chain_index - base.chain_index + 1:
            raise WindowInvalid(f"its chain has {len(chain)} blocks, not those that it says")
        marked = 0
        for index, block in enumerate(chain, start=base.chain_index):
            stores.chain.put(number_key(index), block)
            stores.set_status(block, Status.VALID)
            if index > base.chain_index:
                for merged in stores.dag.data.get(block).mergeset:
                    stores.merged.put(merged, index)
                    marked += 1
        if marked + 1 != self.manifest.blocks:
            raise WindowInvalid(f"its chain merges {marked} blocks, {self.manifest.blocks - 1} came")
        return chain

    def _check_snapshots(self, chain: tuple[bytes, ...], trusted: Trusted) -> None:
        """The transition of every chain block has its epoch's snapshot, by the state's own word."""
        named = {entry.epoch: entry.digest for entry in trusted.history}
        given = {one.transition: one.snapshot for one in self.manifest.snapshots}
        for block in chain:
            transition = self._stores.finality.get(block).transition
            epoch = epoch_at(self.params, self._stores.headers.get(block).slot)
            raw = given.get(transition)
            if raw is None or named.get(epoch) != snapshot_digest(raw):
                raise WindowInvalid(f"the validators of epoch {epoch} are missing or others")

    def _verify(self, chain: tuple[bytes, ...]) -> None:
        """Colour, finality and signature of everything that has the floor on its chain, derived anew."""
        stores, params, manifest = self._stores, self.params, self.manifest
        genesis_id = self._genesis_id()
        stores.chain.put(number_key(0), genesis_id)
        schedule = schedule_from_genesis(self._genesis, params)
        for snapshot in manifest.snapshots:
            entries = SNAPSHOT_CODEC.decode(snapshot.snapshot).validators
            schedule.learn_keys((one.index, one.consensus_key) for one in entries)
        dag = stores.dag
        roots = MergeRoots(
            params.merge_depth_slots,
            lambda block: stores.headers.get(block).slot,
            lambda block: stores.dag.data.get(block).selected_parent,
            dag.reachability.chain_child_towards,
            lambda block: stores.finality.get(block).view.finalised.block_id,
        )
        base, top = manifest.base, chain[-1]
        lowest = Retention(stores, params, genesis_id, roots.floor).lowest_base(top)
        if lowest is None or lowest.chain_index < base.chain_index or lowest.floor_id != base.floor_id:
            raise WindowInvalid("its base is too high, or its floor another")
        tracker = FinalityTracker(stores, params, schedule, genesis_id, roots.floor)
        for merger in chain[1:]:
            for block in (*dag.data.get(merger).mergeset[1:], merger):
                data = dag.data.get(block)
                header = stores.headers.get(block)
                if not dag.has(data.selected_parent) or not dag.reachability.is_chain_ancestor(
                    base.floor_id, data.selected_parent
                ):
                    continue
                validate_header_in_isolation(header, params, schedule, header.slot)
                if colour(dag, header.parents, limit=params.mergeset_limit) != data:
                    raise WindowInvalid(f"block {block.hex()} is coloured otherwise")
                if tracker.of_block(block, header, data) != stores.finality.get(block):
                    raise WindowInvalid(f"block {block.hex()} has another finality")

    def _genesis_id(self) -> bytes:
        root = StateTree.build(genesis_state(self._genesis).items()).root
        return genesis_block(self._genesis, root).header_id

    def _write(self, batch: WriteBatch, progress: ImportProgress) -> None:
        """A chunk or a page with the progress, in one synced batch."""
        batch.put(IMPORT_KEY, PROGRESS_CODEC.encode(progress))
        fail_point("snapshot_chunk_before")
        self._store.write(batch, sync=True)
        fail_point("snapshot_chunk_after")
        self.progress = progress


def _is_same(one: SnapshotManifest | None, other: SnapshotManifest) -> bool:
    """Whether chunks and pages of both are the same. Other nodes may have other votes for one checkpoint."""
    return (
        one is not None
        and one == msgspec.structs.replace(other, finality=one.finality)
        and (one.checkpoint == other.checkpoint)
    )


def _decoded(page: WindowPage) -> Iterator[tuple[Block, GhostdagData, bytes]]:
    for one in page.blocks:
        try:
            data = _colouring_decoder.decode(one.colouring)
        except msgspec.MsgspecError as error:
            raise WindowInvalid(f"colouring: {error}") from None
        yield decode_block(one.block), data, one.finality


def _check_colouring(block: Block, data: GhostdagData) -> None:
    """The colouring is the one that the header sums up."""
    header = block.header
    if (
        (data.blue_score, data.blue_work) != (header.blue_score, header.blue_work)
        or data.selected_parent not in header.parents
        or data.mergeset[:1] != (data.selected_parent,)
        or sorted((*data.mergeset_blues, *data.mergeset_reds)) != sorted(data.mergeset)
        or len(set(data.mergeset)) != len(data.mergeset)
    ):
        raise WindowInvalid(f"the colouring of block {block.header_id.hex()} is not the header's")
