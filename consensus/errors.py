"""Every way in which consensus says no. One class per rule; the class name is the stable symbol.

Families by consequence (architecture.md, Errors): `InvalidBlock` (forever: this id can never be part of the DAG),
`BodyMismatch` (this body, not this id), `MissingParents` (not yet: keep it and ask), `SlotInFuture` and
`BlockNotJudged` (not yet: keep it, punish nobody), `BelowBase` (too old for this node: drop it, punish nobody),
`ConsensusFault` (our own data contradict each other or do not fit: the process must stop).
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


class VotesMismatch(BodyMismatch):
    """The votes are not those that the header commits to; other votes of the same id may be."""

    def __init__(self, found: bytes, expected: bytes) -> None:
        ConsensusError.__init__(
            self,
            f"votes root {found.hex()}, the header commits to {expected.hex()}; ask another peer for the block",
        )
        self.found = found
        self.expected = expected


class ProofMismatch(BodyMismatch):
    """Signed with a key of the proposer that is not the one of the block's epoch; the id does not cover the signature,
    so another copy of the same block may be right."""

    def __init__(self, proposer: int, found: bytes, expected: bytes) -> None:
        ConsensusError.__init__(
            self,
            f"signed with key {found.hex()[:16]} of validator {proposer}, in this epoch it signs with "
            f"{expected.hex()[:16]}; ask another peer for the block",
        )
        self.found = found
        self.expected = expected


class MissingParents(ConsensusError):
    """Parents that are not known yet: keep the block and ask for them."""

    def __init__(self, ids: tuple[bytes, ...]) -> None:
        shown = ", ".join(parent.hex()[:16] for parent in ids)
        super().__init__(f"{len(ids)} parents are not known: {shown}; fetch them first")
        self.ids = ids


class BelowBase(ConsensusError):
    """A block whose selected chain does not pass this node's base: what it stands on is pruned here, and no chain that
    contains our finalised checkpoint can merge it. Nobody is punished: a node that keeps more may know it."""

    def __init__(self, block: bytes, slot: int, base_slot: int) -> None:
        super().__init__(
            f"block {block.hex()[:16]} of slot {slot} does not stand on the chain above slot {base_slot}; "
            "what lies below is pruned here and can never be merged again"
        )
        self.block = block
        self.slot = slot
        self.base_slot = base_slot


class LocatorPruned(ConsensusError):
    """A peer knows nothing of our chain above our base: what it lacks first is pruned here."""

    def __init__(self, base_slot: int) -> None:
        super().__init__(
            f"pruned: this node keeps blocks from slot {base_slot} on, none of those named is among them; "
            "start from a checkpoint (fast sync), or ask a node that runs with --archive"
        )
        self.base_slot = base_slot


class SlotInFuture(ConsensusError):
    """A block for a slot that has not come yet. The node queues it; no clock is exact enough for a penalty."""

    def __init__(self, slot: int, now_slot: int, allowed: int) -> None:
        super().__init__(
            f"slot {slot} is more than {allowed} ahead of slot {now_slot}; "
            f"keep the block until slot {slot - allowed}"
        )
        self.slot = slot
        self.now_slot = now_slot


class BlockNotJudged(ConsensusError):
    """The block depends on what this node does not know yet. Keep it or ask again later; punish nobody."""


class AnchorNotExecuted(BlockNotJudged):
    """The block's schedule rests on a snapshot that this node has not executed: it is further behind than an epoch, or
    the block is of another chain."""

    def __init__(self, transition: bytes, epoch: int) -> None:
        super().__init__(
            f"the schedule of epoch {epoch} rests on the state of block {transition.hex()[:16]}, which was not "
            "executed here; bring the chain up to it first"
        )
        self.transition = transition
        self.epoch = epoch


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


class ValidatorUnknown(BlockNotJudged):
    """The proposer's key is in no snapshot that this node knows; it may be in one of epochs to come."""

    def __init__(self, found: int, slot: int) -> None:
        super().__init__(
            f"no key known for proposer {found} verifies its block of slot {slot}; "
            "it may have registered or changed its key since the last epoch that is known here"
        )
        self.found = found
        self.slot = slot


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


class RevealWrong(InvalidBlock):
    """The reveal is not the proposer's onion layer of the epoch."""

    def __init__(self, proposer: int, epoch: int, steps: int, layers: int) -> None:
        super().__init__(
            f"reveal of validator {proposer} for epoch {epoch} does not lie {steps} layers under its known tip "
            f"({layers} layers are left; where the onion does not reach so far 32 zero bytes are expected)"
        )
        self.proposer = proposer
        self.epoch = epoch


class VotesNotSorted(InvalidBlock):
    """Votes ascend by (target period, validator), each pair once."""

    def __init__(self, position: int) -> None:
        super().__init__(
            f"vote {position} does not stand after vote {position - 1}; "
            "expected ascending by target period and validator"
        )
        self.position = position


class TooManyVotes(InvalidBlock):
    """More votes than a block may carry."""

    def __init__(self, found: int, limit: int) -> None:
        super().__init__(f"{found} votes, at most {limit} are allowed")
        self.found = found
        self.limit = limit


class VotePeriodWrong(InvalidBlock):
    """A vote for a period that a block of this slot cannot carry votes for."""

    def __init__(self, position: int, period: int, oldest: int, newest: int) -> None:
        super().__init__(f"vote {position} is for period {period}, expected {oldest} to {newest}")
        self.position = position
        self.period = period


class BlockVoteInvalid(InvalidBlock):
    """The block carries a vote that is not valid on its chain."""

    def __init__(self, position: int, cause: ConsensusError) -> None:
        super().__init__(f"vote {position}: {cause.code}: {cause}")
        self.position = position
        self.cause = cause


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


class MergeBelowFloor(InvalidBlock):
    """A block is merged whose selected chain left ours below the merge floor: who prunes has forgotten that place."""

    def __init__(self, merged: bytes, merge_floor: bytes) -> None:
        super().__init__(
            f"merges block {merged.hex()[:16]} without the merge floor {merge_floor.hex()[:16]} on its selected chain: "
            "it left the chain more than the merge depth before the finalised checkpoint",
        )
        self.merged = merged
        self.merge_floor = merge_floor


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


class BlockTooHeavy(InvalidBlock):
    """The transactions together may touch more records than a block's execution is bounded for."""

    def __init__(self, found: int, limit: int) -> None:
        super().__init__(f"transactions touch {found} records, at most {limit} are allowed")
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


class BlockHasChildren(ConsensusFault):
    """Only a block without children can be taken off the top of the DAG."""

    def __init__(self, block: bytes) -> None:
        super().__init__(f"block {block.hex()[:16]} has children; remove them first")
        self.block = block


class BlockHasParents(ConsensusFault):
    """Only a block without parents can be taken off the bottom of the DAG."""

    def __init__(self, block: bytes) -> None:
        super().__init__(f"block {block.hex()[:16]} has parents; remove them first")
        self.block = block


class BlockIsTip(ConsensusFault):
    """The DAG never becomes empty from below."""

    def __init__(self, block: bytes) -> None:
        super().__init__(f"block {block.hex()[:16]} is a tip, it is not removed from below")
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
    """Two finalised checkpoints contradict one another: at least a third of the stake broke the rules. Halt, alarm."""

    def __init__(self, finalised: bytes, other: bytes) -> None:
        super().__init__(
            f"block {other.hex()[:16]} was finalised too, on another chain than finalised block "
            f"{finalised.hex()[:16]}; both proofs are kept in the store. This node has stopped: compare with other "
            "operators before starting from a checkpoint in a new data directory"
        )
        self.finalised = finalised
        self.other = other


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
