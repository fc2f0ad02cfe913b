"""A chain that finalises, for tests: one engine, all keys, and validators that vote for its own chain."""

from collections.abc import Collection, Iterable, Sequence

from builders.blocks import FoundedChain, found_chain
from builders.chain import new_engine

from consensus.engine import Engine
from consensus.events import BlockRefused, Event
from consensus.params import checkpoint_end_slot, period_at
from consensus.prepare import PreparedBlock
from consensus.schedule import EpochSchedule
from consensus.votes import Checkpoint, Vote, VoteCore, sign_vote
from ledger.keys import KeyPair
from ledger.storage.store import Store
from ledger.transactions import SignedTransaction

PERIOD = 8
VOTE_OFFSET = 3


def checkpoint_of(engine: Engine, period: int, tip: bytes | None = None) -> Checkpoint:
    """The checkpoint of `period` on the chain of `tip`, the sink when None."""
    headers = engine.stores.headers
    end = checkpoint_end_slot(engine.params, period)
    for block in engine.stores.dag.reachability.chain_down(engine.head.id if tip is None else tip):
        if headers.get(block).slot < end:
            return Checkpoint(period, block)
    raise AssertionError("genesis is below every end")


def schedule_of(engine: Engine, target: Checkpoint) -> EpochSchedule:
    """The schedule by which votes for `target` count."""
    return engine._tracker.schedule_of_target(target)


def sign_for(
    engine: Engine, chain: FoundedChain, validator: int, source: Checkpoint, target: Checkpoint
) -> Vote:
    """The right vote of a validator for a link."""
    band = schedule_of(engine, target).band_of(validator)
    core = VoteCore(validator, 0 if band is None else band, source, target)
    return sign_vote(core, chain.keys[validator], chain.params.genesis_hash)


class Life:
    """One engine that lives through slots. `keys` grows when validators register later."""

    def __init__(self, chain: FoundedChain | None = None, store: Store | None = None) -> None:
        self.chain = found_chain(6) if chain is None else chain
        self.engine = new_engine(self.chain, store)
        self.keys: dict[int, KeyPair] = dict(enumerate(self.chain.keys))
        self.slot = 0
        self.votes: list[Vote] = []
        self.blocks: list[PreparedBlock] = []
        self.events: list[Event] = []

    def vote(self, validator: int, source: Checkpoint, target: Checkpoint) -> Vote:
        """The right vote of a validator for a link."""
        band = schedule_of(self.engine, target).band_of(validator)
        core = VoteCore(validator, 0 if band is None else band, source, target)
        return sign_vote(core, self.keys[validator], self.chain.params.genesis_hash)

    def checkpoint(self, period: int) -> Checkpoint:
        """On the sink's chain."""
        return checkpoint_of(self.engine, period)

    def live(
        self,
        until: int,
        *,
        bands: Iterable[int] = (0, 3),
        voters: Collection[int] | None = None,
        transactions: Sequence[SignedTransaction] = (),
    ) -> None:
        """Live up to and with slot `until`. `voters` None: all who have a seat."""
        bands = tuple(bands)
        while self.slot < until:
            self.slot += 1
            if self.slot % PERIOD == VOTE_OFFSET and self.slot > PERIOD:
                self._vote(voters)
            made = [self.propose(self.slot, band, transactions) for band in bands]
            transactions = ()
            for block in made:
                self.take(block)

    def propose(self, slot: int, band: int, transactions: Sequence[SignedTransaction] = ()) -> PreparedBlock:
        """The engine's template for a lane, signed."""
        engine = self.engine
        schedule = engine.schedule.of_slot(slot)
        proposer = schedule.proposer(slot, band)
        assert proposer is not None
        unsigned = engine.build_block(
            slot,
            band,
            proposer,
            transactions,
            self.votes,
            reveal=self.chain.reveal_of(self.keys[proposer], slot),
        )
        return engine.prepare_decoded(unsigned.sign(self.keys[proposer]), slot)

    def take(self, block: PreparedBlock) -> None:
        """Process a block that must be good."""
        for event in self.engine.process_blocks([block]):
            assert not isinstance(event, BlockRefused), event.error
            self.events.append(event)
        self.blocks.append(block)

    def _vote(self, voters: Collection[int] | None) -> None:
        period = period_at(self.chain.params, self.slot)
        source, target = self.engine.justified, self.checkpoint(period)
        if source.period >= period:
            return
        seats = schedule_of(self.engine, target).seats
        chosen = seats if voters is None else [index for index in voters if index in seats]
        self.votes = [vote for vote in self.votes if vote.target.period >= period - 2]
        self.votes.extend(self.vote(validator, source, target) for validator in chosen)
