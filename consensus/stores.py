"""All records of consensus in the node's one database, and how they are read from any thread.

The engine writes through `ConsensusStores`: every change of a call is staged in tables and goes out in one synced
batch, so the disk always holds the result of a whole call. Everybody else reads with the free functions below over a
`Reader`, which is the store or a snapshot of it, and never touches the writer's caches. Keys: README, Storage keys.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Protocol, TypeVar

from consensus.blocks import Block, Header, decode_header
from consensus.certificates import CERTIFICATE_CODEC, Certificate
from consensus.errors import RecordDamaged
from consensus.finality import CHECKPOINT_CODEC, FINALITY_CODEC, BlockFinality, FinalityStatus
from consensus.ghostdag import GHOSTDAG_PREFIX, Dag, GhostdagData, GhostdagRules
from consensus.reachability import INTERVALS_PREFIX
from consensus.relations import CHILDREN_PREFIX, PARENTS_PREFIX, TIPS_PREFIX
from consensus.tables import Table
from consensus.votes import VOTES_CODEC, Checkpoint, Vote
from ledger.encoding import Codec, Count, Hash32, Record
from ledger.errors import CodecError
from ledger.staking.snapshot import SNAPSHOT_CODEC, EpochSnapshot
from ledger.storage.state_store import LedgerStore
from ledger.storage.store import Reader, Store, WriteBatch

T = TypeVar("T")

SCHEMA_VERSION: Final = 3
"""Layout of keys and values, ledger's and consensus's together. The node opens its database with this number."""

HEADERS_PREFIX: Final = b"ch"
BODIES_PREFIX: Final = b"cb"
VOTES_PREFIX: Final = b"cv"
STATUSES_PREFIX: Final = b"cs"
CHAIN_PREFIX: Final = b"ci"
MERGED_PREFIX: Final = b"cm"
SLOTS_PREFIX: Final = b"co"
FINALITY_PREFIX: Final = b"cf"
EPOCHS_PREFIX: Final = b"ce"
CERTIFICATES_PREFIX: Final = b"cq"
META_PREFIX: Final = b"cx"

IDENTITY_KEY: Final = META_PREFIX + b"identity"
HEAD_KEY: Final = META_PREFIX + b"head"
FINALISED_KEY: Final = META_PREFIX + b"finalised"
BASE_KEY: Final = META_PREFIX + b"base"

EPOCHS_IN_MEMORY = 8
"""Snapshots in memory: each is asked for once, and its sets are kept elsewhere."""

BODIES_KEPT = 64
"""Bodies in memory: they are large, and each is asked for once or twice."""

VOTES_KEPT = 512
"""Blocks whose votes are in memory: those of some ten periods' certificates."""

GENERATION_BLOCKS = 16_384
"""Blocks whose records each table keeps in memory: about 45 minutes of six lanes at one slot a second."""


class Status(IntEnum):
    """What is known of a block's state. A block without a status was never a candidate for the chain."""

    VALID = 1
    """Executed on the selected chain: its state and receipts are what its header says."""
    DISQUALIFIED = 2
    """Never on the selected chain."""


class Identity(Record, frozen=True):
    """Which chain the records belong to, and in which layout."""

    schema_version: Count
    genesis_hash: Hash32


class Head(Record, frozen=True):
    """The sink: the block that the selected chain ends with. The state on disk is the one of this block."""

    id: Hash32
    slot: Count
    blue_score: Count
    blue_work: Count
    state_root: Hash32
    chain_index: Count
    """Blocks on the selected chain below it; genesis has 0."""


class Base(Record, frozen=True):
    """The lowest chain block that a store keeps with its records; genesis while nothing was pruned. Its past is gone,
    or going; of genesis the chain's index remembers the id."""

    block_id: Hash32
    chain_index: Count
    slot: Count
    floor_id: Hash32
    """A chain block above it that new blocks must have on their selected chains: those are judged as by a node that
    keeps everything (README, Pruning)."""


@dataclass(frozen=True, slots=True)
class SlotEntry:
    """A block of the DAG in order of slots."""

    slot: int
    block_id: bytes


IDENTITY_CODEC: Final = Codec(Identity, "store identity", 64)
HEAD_CODEC: Final = Codec(Head, "head", 256)
BASE_CODEC: Final = Codec(Base, "base", 128)

_BODY_CODEC: Final[Codec[tuple[bytes, ...]]] = Codec(tuple[bytes, ...], "stored body", 2**20)
_IDS_CODEC: Final[Codec[tuple[bytes, ...]]] = Codec(tuple[bytes, ...], "stored ids", 2**30)
_DATA_CODEC: Final = Codec(GhostdagData, "stored ghostdag data", 2**24)
_ID_CODEC: Final[Codec[bytes]] = Codec(bytes, "stored id", 64)
_NUMBER_CODEC: Final[Codec[int]] = Codec(int, "stored number", 16)
_INTERVAL_CODEC: Final[Codec[tuple[int, int]]] = Codec(tuple[int, int], "stored interval", 32)


class StagedTable(Protocol):
    """What is done with every table alike."""

    def delete(self, key: bytes) -> None:
        """Stage the removal of a record."""
        ...

    def stage_into(self, batch: WriteBatch) -> None:
        """Add the staged writes."""
        ...

    def commit(self) -> None:
        """They have been written."""
        ...


class ConsensusStores:
    """The writer's side: tables over the store, changed by one thread, staged and committed together."""

    def __init__(
        self,
        store: Store,
        rules_of: Callable[[Table[Header], Table[BlockFinality]], GhostdagRules],
        where: str = "memory",
        *,
        blocks_kept: int = GENERATION_BLOCKS,
    ) -> None:
        """`rules_of` gives the rules of `dag` from headers and finality, where a block is put before it is added.
        `where` names the store in errors."""
        self.store = store
        self.where = where
        self.headers: Table[Header] = Table(
            "headers", Header, store=store, prefix=HEADERS_PREFIX, capacity=blocks_kept
        )
        self.finality: Table[BlockFinality] = Table(
            "finality", BlockFinality, store=store, prefix=FINALITY_PREFIX, capacity=blocks_kept
        )
        """id -> what the block's past has finalised, and by which epoch it is judged."""
        self.dag = Dag(rules_of(self.headers, self.finality), store, capacity=blocks_kept)
        self.bodies: Table[tuple[bytes, ...]] = Table(
            "bodies", tuple[bytes, ...], store=store, prefix=BODIES_PREFIX, capacity=BODIES_KEPT
        )
        """id -> raw transactions in order."""
        self.votes: Table[tuple[Vote, ...]] = Table(
            "votes", tuple[Vote, ...], store=store, prefix=VOTES_PREFIX, capacity=VOTES_KEPT
        )
        """id -> the votes that the block carries; no record when there are none."""
        self.statuses: Table[int] = Table(
            "statuses", int, store=store, prefix=STATUSES_PREFIX, capacity=blocks_kept
        )
        """id -> `Status`."""
        self.chain: Table[bytes] = Table(
            "selected chain", bytes, store=store, prefix=CHAIN_PREFIX, capacity=blocks_kept
        )
        """Chain index (8 bytes, big-endian) -> id."""
        self.merged: Table[int] = Table(
            "merging chain indices", int, store=store, prefix=MERGED_PREFIX, capacity=blocks_kept
        )
        """id -> index of the chain block that merges it. A block has one exactly when it is in the past of the sink."""
        self.epochs: Table[EpochSnapshot] = Table(
            "epochs", EpochSnapshot, store=store, prefix=EPOCHS_PREFIX, capacity=EPOCHS_IN_MEMORY
        )
        """Transition block -> the snapshot that its execution wrote."""
        self.slots: Table[int] = Table("slots", int, store=store, prefix=SLOTS_PREFIX, capacity=blocks_kept)
        """Slot (8 bytes, big-endian) and id -> band."""
        self.ledger = LedgerStore(store, self.where)

    def add_block(self, block: Block, data: GhostdagData, finality: BlockFinality) -> None:
        """Stage a valid block with its colouring and finality; its parents are in the DAG."""
        header, block_id = block.header, block.header_id
        self.headers.put(block_id, header)
        self.finality.put(block_id, finality)
        self.bodies.put(block_id, block.transactions)
        if block.votes:
            self.votes.put(block_id, block.votes)
        self.slots.put(number_key(header.slot) + block_id, header.band)
        if header.parents:
            self.dag.add(block_id, header.parents, data)
        else:
            self.dag.add_genesis(block_id)

    def remove_leaf(self, block_id: bytes) -> None:
        """Stage the removal of a block without children, with all that is known of it."""
        self.dag.remove_leaf(block_id)
        self._forget(block_id)
        self.epochs.delete(block_id)

    def remove_root(self, block_id: bytes) -> None:
        """Stage the removal of a block whose parents are all removed; a snapshot that it wrote stays."""
        self.dag.remove_root(block_id)
        self._forget(block_id)

    def _forget(self, block_id: bytes) -> None:
        self.slots.delete(number_key(self.headers.get(block_id).slot) + block_id)
        for table in (self.headers, self.bodies, self.votes, self.finality, self.statuses, self.merged):
            table.delete(block_id)

    def status(self, block_id: bytes) -> Status | None:
        """The block's status, or None."""
        number = self.statuses.find(block_id)
        return None if number is None else Status(number)

    def set_status(self, block_id: bytes, status: Status) -> None:
        """Stage the block's status."""
        self.statuses.put(block_id, int(status))

    def append_to_chain(self, block_id: bytes, index: int) -> None:
        """Stage `block_id` as the chain block of `index`, with the blocks that it merges."""
        self.chain.put(number_key(index), block_id)
        for merged in self.dag.data.get(block_id).mergeset:
            self.merged.put(merged, index)

    def remove_from_chain(self, block_id: bytes, index: int) -> None:
        """Stage the opposite, for the highest chain block."""
        self.chain.delete(number_key(index))
        for merged in self.dag.data.get(block_id).mergeset:
            self.merged.delete(merged)

    def stage_into(self, batch: WriteBatch) -> None:
        """Add all staged records to `batch`."""
        self.dag.stage_into(batch)
        for table in self._tables():
            table.stage_into(batch)

    def commit(self) -> None:
        """The batch has been written."""
        self.dag.commit()
        for table in self._tables():
            table.commit()

    def _tables(self) -> tuple[StagedTable, ...]:
        return (
            self.headers,
            self.bodies,
            self.votes,
            self.finality,
            self.epochs,
            self.statuses,
            self.chain,
            self.merged,
            self.slots,
        )


def number_key(number: int) -> bytes:
    """Key of a slot or chain index: 8 bytes, big-endian, so that keys ascend with numbers."""
    return number.to_bytes(8, "big")


# Reading, from any thread. Errors of all of these: `RecordDamaged`, and what the store itself raises.


def read_identity(reader: Reader) -> Identity | None:
    """The chain that the store belongs to; None in an empty store."""
    return _decoded(IDENTITY_CODEC, reader, IDENTITY_KEY)


def read_head(reader: Reader) -> Head | None:
    """The sink; None in an empty store."""
    return _decoded(HEAD_CODEC, reader, HEAD_KEY)


def read_base(reader: Reader) -> Base | None:
    """The lowest chain block that is kept; None in an empty store."""
    base = _decoded(BASE_CODEC, reader, BASE_KEY)
    if base is not None:
        return base
    genesis = chain_index(reader, 0)
    return None if genesis is None else Base(genesis, 0, 0, genesis)


def read_header(reader: Reader, block_id: bytes) -> Header | None:
    """The header of a block of the DAG."""
    raw = reader.get(HEADERS_PREFIX + block_id)
    if raw is None:
        return None
    try:
        return decode_header(raw)
    except CodecError as error:
        raise RecordDamaged("headers", block_id, str(error)) from None


def read_block(reader: Reader, block_id: bytes) -> Block | None:
    """A block of the DAG with its votes and transactions; None also when its body was pruned."""
    header = read_header(reader, block_id)
    transactions = _decoded(_BODY_CODEC, reader, BODIES_PREFIX + block_id)
    if header is None or transactions is None:
        return None
    return Block(header, block_id, read_votes(reader, block_id), transactions)


def read_votes(reader: Reader, block_id: bytes) -> tuple[Vote, ...]:
    """The votes that a block of the DAG carries; none also when the block is not there."""
    return _decoded(VOTES_CODEC, reader, VOTES_PREFIX + block_id) or ()


def read_finality(reader: Reader, block_id: bytes) -> BlockFinality | None:
    """What the past of a block of the DAG has finalised."""
    return _decoded(FINALITY_CODEC, reader, FINALITY_PREFIX + block_id)


def read_epoch_snapshot(reader: Reader, transition: bytes) -> EpochSnapshot | None:
    """The snapshot that a transition block wrote; None while it is not executed."""
    return _decoded(SNAPSHOT_CODEC, reader, EPOCHS_PREFIX + transition)


def read_finality_status(reader: Reader) -> FinalityStatus | None:
    """What is justified in the view of the sink, and what this node has finalised; None in an empty store."""
    head = read_head(reader)
    finalised = _decoded(CHECKPOINT_CODEC, reader, FINALISED_KEY)
    if head is None or finalised is None:
        return None
    of_sink = read_finality(reader, head.id)
    if of_sink is None:
        raise RecordDamaged("finality", head.id, "the sink has none")
    return FinalityStatus(of_sink.view.justified, finalised)


def read_finalised(reader: Reader) -> Checkpoint | None:
    """The node's finalised checkpoint, which never falls; None in an empty store."""
    return _decoded(CHECKPOINT_CODEC, reader, FINALISED_KEY)


def read_certificate(reader: Reader, period: int) -> Certificate | None:
    """The certificate by which the own chain justified its checkpoint of `period`."""
    return _decoded(CERTIFICATE_CODEC, reader, CERTIFICATES_PREFIX + number_key(period))


def read_latest_certificate(reader: Reader) -> Certificate | None:
    """The certificate of the highest period."""
    for key, _ in reader.iterate(CERTIFICATES_PREFIX, reverse=True):
        return _decoded(CERTIFICATE_CODEC, reader, key)
    return None


def read_ghostdag(reader: Reader, block_id: bytes) -> GhostdagData | None:
    """A block's colouring."""
    return _decoded(_DATA_CODEC, reader, GHOSTDAG_PREFIX + block_id)


def read_parents(reader: Reader, block_id: bytes) -> tuple[bytes, ...] | None:
    """A block's parents, as it names them."""
    return _decoded(_IDS_CODEC, reader, PARENTS_PREFIX + block_id)


def read_children(reader: Reader, block_id: bytes) -> tuple[bytes, ...] | None:
    """A block's children, in the order in which this node met them."""
    return _decoded(_IDS_CODEC, reader, CHILDREN_PREFIX + block_id)


def read_status(reader: Reader, block_id: bytes) -> Status | None:
    """Whether the block was on the chain, or can never be; None when it was never a candidate."""
    number = _decoded(_NUMBER_CODEC, reader, STATUSES_PREFIX + block_id)
    return None if number is None else Status(number)


def chain_index(reader: Reader, index: int) -> bytes | None:
    """Id of the selected chain's block of `index` (genesis: 0); None above the head."""
    return _decoded(_ID_CODEC, reader, CHAIN_PREFIX + number_key(index))


def merging_index(reader: Reader, block_id: bytes) -> int | None:
    """Index of the chain block that merges `block_id`; None when the block is not in the past of the sink."""
    return _decoded(_NUMBER_CODEC, reader, MERGED_PREFIX + block_id)


def index_on_chain(reader: Reader, block_id: bytes) -> int | None:
    """Chain index of a block of the selected chain, else None."""
    head = read_head(reader)
    if head is None:
        return None
    merged_by = merging_index(reader, block_id)
    if merged_by is None:
        return head.chain_index if block_id == head.id else None
    # A chain block is merged by the next chain block, as its selected parent.
    return merged_by - 1 if chain_index(reader, merged_by - 1) == block_id else None


def is_chain_ancestor(reader: Reader, ancestor: bytes, descendant: bytes) -> bool:
    """Whether `ancestor` is on the selected chain of `descendant`, or the same block; False when one of them is gone.

    Intervals are dealt anew at times: give a snapshot, if the store is being written.
    """
    above = _decoded(_INTERVAL_CODEC, reader, INTERVALS_PREFIX + ancestor)
    below = _decoded(_INTERVAL_CODEC, reader, INTERVALS_PREFIX + descendant)
    return above is not None and below is not None and above[0] <= below[1] <= above[1]


def read_tips(reader: Reader) -> tuple[bytes, ...]:
    """Blocks without children, ascending by id."""
    return tuple(key[len(TIPS_PREFIX) :] for key, _ in reader.iterate(TIPS_PREFIX))


def blocks_by_slot(reader: Reader, first_slot: int = 0, last_slot: int | None = None) -> Iterator[SlotEntry]:
    """Blocks of the DAG from `first_slot` to `last_slot` (inclusive; None: no end), ascending by (slot, id)."""
    for key, _ in reader.iterate(SLOTS_PREFIX, start=SLOTS_PREFIX + number_key(first_slot)):
        entry = _slot_entry(key)
        if last_slot is not None and entry.slot > last_slot:
            return
        yield entry


def latest_blocks(reader: Reader, last_slot: int | None = None) -> Iterator[SlotEntry]:
    """Blocks of the DAG from the newest slot (or `last_slot`, inclusive) backwards, descending by (slot, id)."""
    start = None if last_slot is None else SLOTS_PREFIX + number_key(last_slot) + b"\xff" * 32
    for key, _ in reader.iterate(SLOTS_PREFIX, start=start, reverse=True):
        yield _slot_entry(key)


def _slot_entry(key: bytes) -> SlotEntry:
    at = len(SLOTS_PREFIX)
    return SlotEntry(int.from_bytes(key[at : at + 8], "big"), key[at + 8 :])


def _decoded(codec: Codec[T], reader: Reader, key: bytes) -> T | None:
    raw = reader.get(key)
    if raw is None:
        return None
    try:
        return codec.decode(raw)
    except CodecError as error:
        raise RecordDamaged(codec.what, key, str(error)) from None
