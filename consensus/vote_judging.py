"""Votes that come by gossip, judged in any thread over what is stored.

The judge reads records that never change once they are there, so it needs no snapshot and no lock. What it finds valid
it remembers together with the engine, which then need not verify the signature again when a block brings the vote.
"""

from consensus.anchors import Anchors
from consensus.errors import AnchorNotExecuted, MissingRecord
from consensus.finality import BlockFinality
from consensus.params import Params, checkpoint_end_slot, period_at
from consensus.schedule import EpochSchedule, Schedule
from consensus.stores import (
    read_epoch_snapshot,
    read_finality,
    read_ghostdag,
    read_header,
)
from consensus.vote_errors import (
    VoteSignatureInvalid,
    VoteSourceWrong,
    VoteTargetUnknown,
    VoteTargetWrong,
    VoteTooEarly,
    VoteTooOld,
)
from consensus.vote_validation import VerifiedVotes, carried_periods, validate_link, validate_voter
from consensus.votes import Checkpoint, Vote, verify_vote_signature
from ledger.staking.snapshot import EpochSnapshot
from ledger.storage.store import Reader

LINKS_KEPT = 1_024
"""Links remembered with their answers: all votes of a period share one or two."""


class StoredRecords:
    """`anchors.ChainRecords` over a store. Errors of all: `MissingRecord` for what is not there, `RecordDamaged`."""

    __slots__ = ("_reader",)

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def slot_of(self, block: bytes) -> int:
        """Slot of a block."""
        header = read_header(self._reader, block)
        if header is None:
            raise MissingRecord("headers", block)
        return header.slot

    def selected_parent_of(self, block: bytes) -> bytes:
        """Selected parent of a block other than genesis."""
        data = read_ghostdag(self._reader, block)
        if data is None:
            raise MissingRecord("ghostdag data", block)
        return data.selected_parent

    def finality_of(self, block: bytes) -> BlockFinality:
        """The block's finality record."""
        finality = read_finality(self._reader, block)
        if finality is None:
            raise MissingRecord("finality", block)
        return finality

    def snapshot_of(self, transition: bytes) -> EpochSnapshot | None:
        """The snapshot that a transition block wrote; None while it is not executed."""
        return read_epoch_snapshot(self._reader, transition)


class VoteJudge:
    """Says what is wrong with a vote. Safe in any thread; bounded memory, which never changes an answer."""

    def __init__(
        self, reader: Reader, params: Params, schedule: Schedule, genesis_id: bytes, verified: VerifiedVotes
    ) -> None:
        """`verified` is the engine's (`Engine.verified_votes`)."""
        self._params = params
        self._schedule_of_network = schedule
        self._records = StoredRecords(reader)
        self._anchors = Anchors(params, schedule, self._records, genesis_id)
        self._verified = verified
        self._links: dict[tuple[Checkpoint, Checkpoint], bool] = {}

    def check(self, vote: Vote, now_slot: int) -> None:
        """The vote is valid on the chain of its target, and blocks of about `now_slot` may carry it.

        Errors: `VoteTooOld`, `VoteTooEarly`, `VoteTargetUnknown`, which are nobody's fault; `VoteLinkInvalid`,
        `VoteTargetWrong`, `VoterUnknown`, `VoteBandWrong`, `VoteSignatureInvalid`, `VoteSourceWrong`, all
        `InvalidVote`.
        """
        target = vote.target
        oldest, _ = carried_periods(self._params, now_slot)
        newest = period_at(self._params, now_slot + self._params.max_future_slots)
        if target.period < oldest:
            raise VoteTooOld(target.period, oldest)
        if target.period > newest:
            raise VoteTooEarly(target.period, newest)
        validate_link(vote)
        try:
            if self._records.slot_of(target.block_id) >= checkpoint_end_slot(self._params, target.period):
                raise VoteTargetWrong(target.period, target.block_id)
            schedule = self._schedule(target)
            validate_voter(vote, schedule, self._params.genesis_hash, self._verified)
            if not self._is_link(vote.source, target):
                raise VoteSourceWrong(vote.source.period, vote.source.block_id)
        except (MissingRecord, AnchorNotExecuted):
            raise VoteTargetUnknown(target.period, target.block_id) from None

    def is_worth_keeping(self, vote: Vote) -> bool:
        """Whether a vote that cannot be judged yet is signed by a key that we know for its validator.

        A filter for those who keep such votes, so that nobody but validators fills their memory.
        """
        for key in self._schedule_of_network.keys_of(vote.validator):
            try:
                verify_vote_signature(vote, key, self._params.genesis_hash)
            except VoteSignatureInvalid:
                continue
            return True
        return False

    def band_of(self, validator: int, target: Checkpoint) -> int | None:
        """The band that `validator` votes in for `target`; None outside the set. Errors: `VoteTargetUnknown`."""
        try:
            return self._schedule(target).band_of(validator)
        except (MissingRecord, AnchorNotExecuted):
            raise VoteTargetUnknown(target.period, target.block_id) from None

    def _schedule(self, target: Checkpoint) -> EpochSchedule:
        return self._anchors.schedule_of_target(target)

    def _is_link(self, source: Checkpoint, target: Checkpoint) -> bool:
        """Whether `source` is the checkpoint of its period on the chain of `target`."""
        known = self._links.get((source, target))
        if known is None:
            if len(self._links) >= LINKS_KEPT:
                self._links = {}
            known = self._links[source, target] = self._walk(source, target)
        return known

    def _walk(self, source: Checkpoint, target: Checkpoint) -> bool:
        """Down the chain from the target to its last block of a slot below the source period's end.

        A source that the target's view has not justified can only be justified by later blocks, which count votes for
        few periods back: an older one will never be, and no walk goes deeper.
        """
        if source in self._records.finality_of(target.block_id).view.justified_chain:
            return True
        oldest, _ = carried_periods(self._params, self._records.slot_of(target.block_id))
        if source.period < oldest:
            return False
        end = checkpoint_end_slot(self._params, source.period)
        block = target.block_id
        while self._records.slot_of(block) >= end:
            block = self._records.selected_parent_of(block)
        return block == source.block_id
