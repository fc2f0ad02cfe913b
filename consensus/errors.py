"""Every way in which consensus says no. One class per rule; the class name is the stable symbol.

Families by consequence (architecture.md, Errors): `InvalidBlock` (forever: this id can never be part of the DAG),
`BodyMismatch` (this body, not this id), `MissingParents` (not yet: keep it and ask), `SlotInFuture` (not yet: keep it,
punish nobody), `ConsensusFault` (our own data contradict each other or do not fit: the process must stop).
A block that only states a wrong state is none of these: it is disqualified from the chain, which is an event.
Bytes that are no block at all raise `ledger.errors.CodecError`.
"""

from ledger.errors import CodecError, LedgerError


class ConsensusError(Exception):
    """Base of the errors of consensus."""

    @property
    def code(self) -> str:
        """Stable symbol of the rule, for logs, RPC and tests."""
        return type(self).__name__


class InvalidBlock(ConsensusError):
    """The block breaks a rule that no later knowledge can mend. Never in the DAG; its sender is penalised."""


class BodyMismatch(ConsensusError):
    """The transactions are not those that the header commits to; another body of the same id may be."""

    def __init__(self, found: bytes, expected: bytes) -> None:
        super().__init__(
            f"body root {found.hex()}, the header commits to {expected.hex()}; ask another peer for the body"
        )
        self.found = found
        self.expected = expected


class MissingParents(ConsensusError):
    """Parents that are not known yet: keep the block and ask for them."""

    def __init__(self, ids: tuple[bytes, ...]) -> None:
        shown = ", ".join(parent.hex()[:16] for parent in ids)
        super().__init__(f"{len(ids)} parents are not known: {shown}; fetch them first")
        self.ids = ids


class SlotInFuture(ConsensusError):
    """A block for a slot that has not come yet. The node queues it; no clock is exact enough for a penalty."""

    def __init__(self, slot: int, now_slot: int, allowed: int) -> None:
        super().__init__(
            f"slot {slot} is more than {allowed} ahead of slot {now_slot}; "
            f"keep the block until slot {slot - allowed}"
        )
        self.slot = slot
        self.now_slot = now_slot


class ConsensusFault(ConsensusError):
    """Our own fault, never a peer's: stored data that contradict each other or are not this chain's."""


# Shape and isolation


class UnknownHeaderVersion(InvalidBlock, CodecError):
    """A header version that this software does not know. Also a `CodecError`: other versions have other shapes."""

    def __init__(self, found: int, expected: int) -> None:
        super().__init__(f"header version {found}, this node knows {expected}; a newer node may be needed")
        self.found = found
        self.expected = expected


class ParentCountInvalid(InvalidBlock):
    """No parent, or too many."""

    def __init__(self, found: int, limit: int) -> None:
        super().__init__(f"{found} parents, expected 1 to {limit}")
        self.found = found
        self.limit = limit


class ParentsNotSorted(InvalidBlock):
    """Parents stand in ascending order, each once."""

    def __init__(self, position: int) -> None:
        super().__init__(
            f"parent {position} is not greater than parent {position - 1}; expected ascending and distinct"
        )
        self.position = position


class BandUnknown(InvalidBlock):
    """No such band in the spectrum."""

    def __init__(self, found: int, count: int) -> None:
        super().__init__(f"band {found}, expected 0 to {count - 1}")
        self.found = found


class SlotReserved(InvalidBlock):
    """Slot 0 is the genesis block's alone."""

    def __init__(self, found: int) -> None:
        super().__init__(f"slot {found}, the first slot of a proposed block is 1")
        self.found = found


class ValidatorUnknown(InvalidBlock):
    """The proposer's index is in no validator set that the header could mean."""

    def __init__(self, found: int, count: int) -> None:
        super().__init__(f"proposer {found} is none of the {count} validators")
        self.found = found


class BandDigestWrong(InvalidBlock):
    """The band's digest is not that of the header core."""

    def __init__(self, band: str, found: bytes, expected: bytes) -> None:
        super().__init__(f"{band} digest {found.hex()[:16]}…, the header core gives {expected.hex()[:16]}…")
        self.found = found
        self.expected = expected


class BlockSignatureInvalid(InvalidBlock):
    """The signature is not the named proposer's over this block on this chain."""

    def __init__(self, proposer: int) -> None:
        super().__init__(
            f"signature does not verify with the key of validator {proposer}: "
            "wrong key, changed content, or signed for another chain"
        )
        self.proposer = proposer


# Header in context


class LaneEmpty(InvalidBlock):
    """The band has no validators in this epoch, so nobody may propose in it."""

    def __init__(self, slot: int, band: int) -> None:
        super().__init__(f"band {band} has no validators at slot {slot}; its lane stays empty")
        self.slot = slot
        self.band = band


class WrongProposer(InvalidBlock):
    """Another validator is scheduled for the lane."""

    def __init__(self, slot: int, band: int, found: int, expected: int) -> None:
        super().__init__(
            f"validator {found} proposes in slot {slot}, band {band}; scheduled is validator {expected}"
        )
        self.found = found
        self.expected = expected


class SlotNotAfterParent(InvalidBlock):
    """A block's slot is greater than that of every parent."""

    def __init__(self, slot: int, parent_slot: int, parent: bytes) -> None:
        super().__init__(f"slot {slot} is not after slot {parent_slot} of parent {parent.hex()[:16]}")
        self.slot = slot
        self.parent_slot = parent_slot


class ParentsNotAntichain(InvalidBlock):
    """One parent is an ancestor of another, so naming it says nothing."""

    def __init__(self, ancestor: bytes, descendant: bytes) -> None:
        super().__init__(f"parent {ancestor.hex()[:16]} is an ancestor of parent {descendant.hex()[:16]}")
        self.ancestor = ancestor
        self.descendant = descendant


class MergesetTooLarge(InvalidBlock):
    """More blocks merged at once than colouring is bounded for."""

    def __init__(self, found: int, limit: int) -> None:
        super().__init__(f"merge set has {found} blocks or more, at most {limit} are allowed")
        self.found = found
        self.limit = limit


class BlueScoreWrong(InvalidBlock):
    """The header's blue score is not what its parents give."""

    def __init__(self, found: int, expected: int) -> None:
        super().__init__(f"blue score {found}, parents give {expected}")
        self.found = found
        self.expected = expected


class BlueWorkWrong(InvalidBlock):
    """The header's blue work is not what its parents give."""

    def __init__(self, found: int, expected: int) -> None:
        super().__init__(f"blue work {found}, parents give {expected}")
        self.found = found
        self.expected = expected


class MergeTooDeep(InvalidBlock):
    """A red is merged that left the chain below the merge root."""

    def __init__(self, red: bytes, merge_root: bytes) -> None:
        super().__init__(
            f"merges red block {red.hex()[:16]} that does not have the merge root {merge_root.hex()[:16]} in its past, "
            "and no merged blue with that root on its chain brings it"
        )
        self.red = red
        self.merge_root = merge_root


# Body


class TransactionInvalid(InvalidBlock):
    """The body carries what is no transaction, or one that this network can never apply."""

    def __init__(self, position: int, cause: LedgerError) -> None:
        super().__init__(f"transaction {position}: {cause.code}: {cause}")
        self.position = position
        self.cause = cause


class TransactionDuplicated(InvalidBlock):
    """The body carries one transaction twice."""

    def __init__(self, position: int, first_position: int) -> None:
        super().__init__(f"transaction {position} is the same as transaction {first_position}")
        self.position = position
        self.first_position = first_position


class BlockOversized(InvalidBlock):
    """A block of more bytes than blocks may have."""

    def __init__(self, found: int, limit: int) -> None:
        super().__init__(f"block has {found} bytes, at most {limit} are allowed")
        self.found = found
        self.limit = limit


class TransactionExpired(InvalidBlock):
    """The transaction's expiry slot was over when the block was made, so nothing can apply it any more."""

    def __init__(self, position: int, expiry_slot: int, slot: int) -> None:
        super().__init__(f"transaction {position} expired at slot {expiry_slot}, the block is of slot {slot}")
        self.position = position
        self.expiry_slot = expiry_slot


class ExpiryTooFar(InvalidBlock):
    """The transaction stays valid for longer than a transaction may."""

    def __init__(self, position: int, expiry_slot: int, latest: int) -> None:
        super().__init__(
            f"transaction {position} expires at slot {expiry_slot}, at the latest {latest} is allowed"
        )
        self.position = position
        self.expiry_slot = expiry_slot


# The DAG's own records


class MissingRecord(ConsensusFault):
    """A record that must be there is not. Asking for what may be absent is `Table.find`."""

    def __init__(self, table: str, key: bytes) -> None:
        super().__init__(f"no record of {key.hex()[:16]} in {table}; add the block and its past first")
        self.table = table
        self.key = key


class RecordDamaged(ConsensusFault):
    """Stored bytes are not a record of the table's type."""

    def __init__(self, table: str, key: bytes, reason: str) -> None:
        super().__init__(f"record of {key.hex()[:16]} in {table} is damaged: {reason}; run `nexus db check`")
        self.table = table
        self.key = key
        self.reason = reason


class WritesAreFinal(ConsensusFault):
    """A table without a store stages nothing, so it cannot take writes back."""

    def __init__(self, table: str) -> None:
        super().__init__(
            f"{table} is in memory only, its writes cannot be discarded; use a `MemoryStore` for that"
        )
        self.table = table


class BlockAlreadyInDag(ConsensusFault):
    """A block is added once; its records never change."""

    def __init__(self, block: bytes) -> None:
        super().__init__(f"block {block.hex()[:16]} is already in the DAG; ask `has` before adding")
        self.block = block


class NotOnChain(ConsensusFault):
    """A way along selected parents was asked for where there is none."""

    def __init__(self, ancestor: bytes, descendant: bytes) -> None:
        super().__init__(
            f"block {ancestor.hex()[:16]} is not below {descendant.hex()[:16]} on its selected chain"
        )
        self.ancestor = ancestor
        self.descendant = descendant


class IntervalsExhausted(ConsensusFault):
    """More blocks than the interval tree can number (about 2^50 below one reindex root)."""

    def __init__(self, found: int, limit: int) -> None:
        super().__init__(f"{found} blocks below the reindex root, its interval holds {limit}")
        self.found = found
        self.limit = limit


# Replay files


class ReplayFileMalformed(ConsensusError):
    """The file is not a DAG of one of the formats in README.md, Replay files."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"not a DAG file: {reason}; the formats are in consensus/README.md, Replay files")
        self.reason = reason


# The engine


class KnownInvalid(InvalidBlock):
    """A block that was refused before. `first` is the symbol of the rule that it broke."""

    def __init__(self, block: bytes, first: str) -> None:
        super().__init__(f"block {block.hex()[:16]} was refused before: {first}")
        self.block = block
        self.first = first


class ParentInvalid(InvalidBlock):
    """A block on top of one that can never be part of the DAG."""

    def __init__(self, parent: bytes, first: str) -> None:
        super().__init__(f"parent {parent.hex()[:16]} was refused: {first}")
        self.parent = parent
        self.first = first


class SlotNotAvailable(ConsensusError):
    """A template was asked for in a lane that the given validator does not have."""

    def __init__(self, slot: int, band: int, proposer: int, scheduled: int | None) -> None:
        shown = "nobody" if scheduled is None else f"validator {scheduled}"
        super().__init__(
            f"validator {proposer} cannot propose in slot {slot}, band {band}; scheduled is {shown}"
        )
        self.slot = slot
        self.band = band


class NoParentUsable(ConsensusError):
    """No block is older than the slot that a template was asked for."""

    def __init__(self, slot: int) -> None:
        super().__init__(f"no block is older than slot {slot}; ask for a slot from 1 on")
        self.slot = slot


class FinalityConflict(ConsensusFault):
    """A finalised block that is not on the chain of the sink. Two certificates contradict one another: halt, alarm."""

    def __init__(self, finalised: bytes, sink: bytes) -> None:
        super().__init__(
            f"finalised block {finalised.hex()[:16]} is not on the chain of sink {sink.hex()[:16]}; "
            "stop the node and keep both proofs"
        )
        self.finalised = finalised
        self.sink = sink


class CommitChainBroken(ConsensusFault):
    """Batches are missing from the store, or are not those that were written."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"commit chain broken: {reason}")
        self.reason = reason


class EngineHalted(ConsensusFault):
    """An earlier call failed in a way that leaves memory and disk apart. Restart the process: the disk is sound."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the engine has stopped after: {reason}; restart the node")
        self.reason = reason
