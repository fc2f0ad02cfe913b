"""Certificates of what a chain has justified, made from the votes in its past, and the proof of two finalities at odds.

A certificate is written when its period is justified on the chain of the sink. Votes of a target are carried by blocks
of few periods, so collecting them walks some tens of chain blocks.
"""

from collections.abc import Iterator
from typing import Annotated, Final

import msgspec

from consensus.certificates import Certificate, make_certificate
from consensus.finality import FinalityView, Tally, has_quorum, voters_of
from consensus.finality_tracking import FinalityTracker
from consensus.params import Params
from consensus.stores import META_PREFIX, ConsensusStores, read_certificate
from consensus.votes import NO_VOTES_ROOT, Checkpoint, Vote
from ledger.encoding import Codec, Record
from ledger.errors import CodecError
from ledger.storage.errors import StoreCorrupted
from ledger.storage.store import Reader

CONFLICT_KEY: Final = META_PREFIX + b"conflict"


class FinalityProof(Record, frozen=True):
    """Why a checkpoint is final."""

    checkpoint: Checkpoint
    certificates: Annotated[tuple[Certificate, ...], msgspec.Meta(max_length=2)]
    """The one that justifies the checkpoint, and the one that justifies the next period from it. Fewer where this node
    began above it."""


class FinalityConflictRecord(Record, frozen=True):
    """Two final checkpoints on different chains: who signed both sides has at least a third of the stake."""

    ours: FinalityProof
    theirs: FinalityProof


CONFLICT_CODEC: Final = Codec(FinalityConflictRecord, "finality conflict", 1024 * 1024)


def read_conflict(reader: Reader) -> FinalityConflictRecord | None:
    """What this node stopped for, or None. Errors: `StoreCorrupted`."""
    raw = reader.get(CONFLICT_KEY)
    if raw is None:
        return None
    try:
        return CONFLICT_CODEC.decode(raw)
    except CodecError as error:
        raise StoreCorrupted("finality conflict", str(error)) from None


def newly_justified(before: FinalityView, after: FinalityView) -> tuple[Checkpoint, ...]:
    """What `after` has justified beyond `before`, ascending by period."""
    if after is before:
        return ()
    return tuple(one for one in after.justified_chain if one not in before.justified_chain)


class ProofMaker:
    """Makes certificates from the writer's tables."""

    def __init__(self, stores: ConsensusStores, params: Params, tracker: FinalityTracker) -> None:
        self._stores = stores
        self._params = params
        self._tracker = tracker

    def certificate(
        self, block: bytes, target: Checkpoint, source: Checkpoint | None = None
    ) -> Certificate | None:
        """The certificate for `target` (from `source`, when given) in the past of `block`, on its chain; None when the
        votes are not there."""
        for chain_block, view in self._views_down(block, target.period):
            for tally in view.tallies:
                if tally.target == target and source in (None, tally.source):
                    schedule = self._tracker.schedule_of_target(target)
                    if has_quorum(schedule, tally.signed):
                        return self._make(chain_block, view, tally)
        return None

    def proof(self, block: bytes, checkpoint: Checkpoint) -> FinalityProof:
        """Why the view of `block` has `checkpoint` final. Stored certificates stand in for votes that are not there."""
        following = next(
            (
                one
                for _, view in self._views_down(block, checkpoint.period)
                for one in view.justified_chain
                if one.period == checkpoint.period + 1
            ),
            None,
        )
        certificates = [self.certificate(block, checkpoint) or self._stored(checkpoint, None)]
        if following is not None:
            certificates.append(
                self.certificate(block, following, checkpoint) or self._stored(following, checkpoint)
            )
        return FinalityProof(checkpoint, tuple(one for one in certificates if one is not None))

    def _stored(self, target: Checkpoint, source: Checkpoint | None) -> Certificate | None:
        found = read_certificate(self._stores.store, target.period)
        if found is None or found.target != target or source not in (None, found.source):
            return None
        return found

    def _make(self, block: bytes, view: FinalityView, tally: Tally) -> Certificate:
        schedule = self._tracker.schedule_of_target(tally.target)
        wanted = dict.fromkeys(voters_of(tally, schedule))
        found: dict[int, Vote] = {}
        for vote in self._votes_below(block, tally.target.period):
            if len(found) == len(wanted):
                break
            if vote.target == tally.target and vote.source == tally.source and vote.validator in wanted:
                found.setdefault(vote.validator, vote)
        snapshot_epoch = self._tracker.anchors.anchor_of_target(tally.target).epoch
        return make_certificate(tally.source, tally.target, schedule, snapshot_epoch, tuple(found.values()))

    def _views_down(self, block: bytes, period: int) -> Iterator[tuple[bytes, FinalityView]]:
        """The views of the chain from `block` down to the begin of `period`, before which no vote for it counts."""
        for chain_block in self._chain_down(block, period):
            yield chain_block, self._stores.finality.get(chain_block).view

    def _votes_below(self, block: bytes, period: int) -> Iterator[Vote]:
        """The votes that the chain's merge sets carry, from `block` down to the begin of `period`."""
        headers, votes = self._stores.headers, self._stores.votes
        for chain_block in self._chain_down(block, period):
            for merged in self._stores.dag.data.get(chain_block).mergeset:
                if headers.get(merged).votes_root != NO_VOTES_ROOT:
                    yield from votes.get(merged)

    def _chain_down(self, block: bytes, period: int) -> Iterator[bytes]:
        first_slot = max(1, period * self._params.period_slots)
        while self._stores.headers.get(block).slot >= first_slot:
            yield block
            block = self._stores.dag.data.get(block).selected_parent
