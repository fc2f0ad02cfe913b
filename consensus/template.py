"""Block templates: parents, what merging them does, the votes and transactions it carries; ready to be signed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from consensus.blocks import HEADER_VERSION, Block, HeaderCore, sign_block
from consensus.body_tree import body_root
from consensus.certified_tip import certified_links
from consensus.errors import LaneEmpty, SlotNotAvailable, WrongProposer
from consensus.ghostdag import GhostdagData
from consensus.header_validation import KnownReveals, scheduled_proposer, validate_reveal
from consensus.params import Params
from consensus.parent_choice import ParentChoice
from consensus.transaction_choice import BodyBuilder
from consensus.virtual import ChangedState, VirtualChain
from consensus.vote_choice import choose_votes
from consensus.vote_validation import VerifiedVotes
from consensus.votes import VOTES_CODEC, Vote, votes_root
from ledger.execution import Outcome
from ledger.keys import KeyPair
from ledger.state import StateReader
from ledger.transactions import SignedTransaction


@dataclass(frozen=True, slots=True)
class UnsignedBlock:
    """A block without its proofs."""

    core: HeaderCore
    votes: tuple[Vote, ...]
    transactions: tuple[SignedTransaction, ...]
    genesis_hash: bytes
    refused: tuple[tuple[bytes, str], ...] = ()
    """Candidates that would be carried but break a rule of their kind in the block's state: (id, reason)."""

    def sign(self, key: KeyPair) -> Block:
        """The block, signed by the proposer's key. Errors: `CodecError`, `BandUnknown`."""
        raw = tuple(transaction.raw for transaction in self.transactions)
        return sign_block(self.core, self.votes, raw, key, self.genesis_hash)


@dataclass(frozen=True, slots=True)
class VirtualBlock:
    """The block that could be made on the present tips, without a lane and a body."""

    parents: tuple[bytes, ...]
    data: GhostdagData
    outcome: Outcome
    state_root: bytes
    state: StateReader
    """State of the block's past; readable until the chain is next changed."""


class TemplateBuilder:
    """Makes templates on the tips of one DAG. Moves the virtual chain and puts it back."""

    def __init__(
        self,
        chain: VirtualChain,
        choice: ParentChoice,
        params: Params,
        reveals: KnownReveals,
        verified: VerifiedVotes,
    ) -> None:
        self._chain = chain
        self._choice = choice
        self._params = params
        self._reveals = reveals
        self._verified = verified

    def virtual_block(self, slot: int, proposer: int) -> VirtualBlock:
        """What a block of `slot` by `proposer` would merge. The chain is left at the selected parent: `drop` it.

        Errors: `NoParentUsable`; faults of execution.
        """
        return self._merged(*self._choice.choose(slot), slot, proposer)

    def _merged(
        self, parents: tuple[bytes, ...], data: GhostdagData, slot: int, proposer: int
    ) -> VirtualBlock:
        """What a block with `parents` does, whose selected parent is where the chain stands."""
        chain = self._chain
        outcome, state_root = chain.merged(data, slot, proposer)
        return VirtualBlock(parents, data, outcome, state_root, ChangedState(chain.state, outcome.changes))

    def _virtual_block_with(self, slot: int, proposer: int, votes: Sequence[Vote]) -> VirtualBlock:
        """`virtual_block`, or one on a chain of which `votes` certify more than any view counts (`certified_tip`)."""
        virtual = self.virtual_block(slot, proposer)
        tracker = self._chain.executor.tracker
        view = tracker.view_of(virtual.data, slot)
        links = certified_links(
            votes,
            virtual.data.selected_parent,
            view,
            slot,
            self._params,
            self._chain.stores.dag,
            tracker,
        )
        for source, target in links:
            chosen = self._choice.choose_certified(slot, source, target, tracker)
            if chosen is not None:
                return self._merged(*chosen, slot, proposer)
        return self.virtual_block(slot, proposer) if links else virtual

    def build(
        self,
        slot: int,
        band: int,
        proposer: int,
        candidates: Iterable[SignedTransaction],
        votes: Sequence[Vote],
        reveal: bytes,
    ) -> UnsignedBlock:
        """A block for the lane. Leaves the chain at the sink.

        Errors: `SlotNotAvailable`, `RevealWrong` by the schedule of the chosen parent; those of `virtual_block`.
        """
        chain, params = self._chain, self._params
        tracker = chain.executor.tracker
        try:
            virtual = self._virtual_block_with(slot, proposer, votes)
            selected_parent = virtual.data.selected_parent
            schedule = tracker.epoch_schedule(selected_parent, slot)
            try:
                validator = scheduled_proposer(schedule, slot, band, proposer)
            except (LaneEmpty, WrongProposer):
                raise SlotNotAvailable(slot, band, proposer, schedule.proposer(slot, band)) from None
            validate_reveal(reveal, validator, schedule.epoch, self._reveals)
            view = tracker.view_of(virtual.data, slot)
            carried = choose_votes(votes, selected_parent, view, slot, params, tracker, self._verified)
            builder = BodyBuilder(
                chain.executor,
                params,
                virtual.state,
                slot,
                proposer,
                finalised_epoch=tracker.finalised_epoch(view),
                votes_bytes=len(VOTES_CODEC.encode(carried)),
            )
            transactions = builder.fill(candidates)
        finally:
            chain.drop()
        core = HeaderCore(
            version=HEADER_VERSION,
            parents=virtual.parents,
            slot=slot,
            band=band,
            proposer=proposer,
            blue_score=virtual.data.blue_score,
            blue_work=virtual.data.blue_work,
            state_root=virtual.state_root,
            receipts_root=virtual.outcome.receipts_root,
            body_root=body_root([transaction.raw for transaction in transactions]),
            votes_root=votes_root(carried),
            reveal=reveal,
        )
        return UnsignedBlock(core, carried, transactions, params.genesis_hash, tuple(builder.refused.items()))
