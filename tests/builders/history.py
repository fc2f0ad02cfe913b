"""Long histories of a chain that finalises, with every irregularity that pruning must bear, under tiny parameters.

`make_history` lets one engine live through some hundred slots: lanes propose on its templates, all validators vote as
the real rule says, and now and then a block is made beside that: on old parents, of a lane that stayed empty, twice for
one lane, or shown late. What comes out is the blocks in the order in which nodes get them.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any
from unittest.mock import patch

from builders.blocks import FoundedChain, found_chain
from builders.chain import new_engine

from consensus.blocks import HEADER_VERSION, HeaderCore, sign_block
from consensus.body_tree import body_root
from consensus.engine import Engine
from consensus.errors import SlotNotAvailable
from consensus.ghostdag import colour
from consensus.params import Params, epoch_at, params_from_genesis, period_at
from consensus.prepare import PreparedBlock
from consensus.votes import NO_VOTES_ROOT, Vote, VoteCore, sign_vote
from consensus.voting import bound_of_past, choose_vote, vote_slot
from ledger.accounts import decode_account
from ledger.addresses import address_of
from ledger.genesis import Genesis
from ledger.state import account_key
from ledger.storage.store import Store
from ledger.transactions import SignedTransaction
from wnsp.spectrum import BAND_COUNT

EPOCH_SLOTS = 8
RETENTION_SLOTS = 24
MERGE_DEPTH_SLOTS = 20
GHOSTDAG_K = 6


def tiny(params: Params) -> Params:
    """The same network with distances that a test outlives."""
    return replace(
        params,
        retention_slots=RETENTION_SLOTS,
        merge_depth_slots=MERGE_DEPTH_SLOTS,
        ghostdag_k=GHOSTDAG_K,
        mergeset_limit=10 * GHOSTDAG_K,
    )


@contextmanager
def tiny_parameters() -> Iterator[None]:
    """Engines that are opened inside have them."""

    def shortened(genesis: Genesis) -> Params:
        return tiny(params_from_genesis(genesis))

    with patch("consensus.engine.params_from_genesis", shortened):
        yield


def tiny_chain(validators: int = 6) -> FoundedChain:
    """A devnet with the tiny parameters."""
    chain = found_chain(validators, epoch_slots=EPOCH_SLOTS)
    return replace(chain, params=tiny(chain.params))


def tiny_engine(chain: FoundedChain, store: Store | None = None, **options: Any) -> Engine:
    """An engine with the tiny parameters."""
    with tiny_parameters():
        return new_engine(chain, store, **options)


@dataclass
class History:
    """What happened, in order of arrival."""

    chain: FoundedChain
    blocks: list[PreparedBlock] = field(default_factory=list)
    odd: dict[bytes, str] = field(default_factory=dict)
    """Irregular blocks, by what is irregular."""


class Maker:
    """One engine, and everybody's keys."""

    def __init__(self, chain: FoundedChain, rng: Random) -> None:
        self.chain = chain
        self.engine = tiny_engine(chain)
        self.rng = rng
        self.history = History(chain)
        self._late: list[tuple[int, PreparedBlock]] = []
        self._votes: list[Vote] = []
        self._voted: dict[int, int] = {}
        self._nonces = [0] * len(chain.accounts)

    def live(self, slots: int, *, presence: float, odd: float, payments: int) -> None:
        """Live through the next slots."""
        for slot in range(self.engine.head.slot + 1, self.engine.head.slot + 1 + slots):
            for due, block in self._late:
                if due <= slot:
                    self._arrive(block)
            self._late = [entry for entry in self._late if entry[0] > slot]
            self._vote(slot)
            bands = [band for band in range(BAND_COUNT) if self.rng.random() < presence]
            made = [self._proposed(slot, band, payments) for band in bands or [0]]
            for block in made:
                if block is not None:
                    self._arrive(block)
            if self.rng.random() < odd:
                self._make_odd(slot)

    def _arrive(self, block: PreparedBlock) -> None:
        self.engine.process_blocks([block])
        if self.engine.has_block(block.block_id):
            self.history.blocks.append(block)

    def _proposed(self, slot: int, band: int, payments: int) -> PreparedBlock | None:
        engine, chain = self.engine, self.chain
        proposer = engine.schedule.proposer(slot, band)
        assert proposer is not None
        try:
            unsigned = engine.build_block(
                slot,
                band,
                proposer,
                self._payments(band, payments),
                [vote for vote in self._votes if vote.target.period >= period_at(chain.params, slot) - 2],
                reveal=chain.reveal(proposer, slot),
            )
        except SlotNotAvailable:
            return None
        return prepare_with(engine, unsigned.sign(chain.keys[proposer]), slot)

    def _payments(self, band: int, count: int) -> list[SignedTransaction]:
        """Transfers of one account per band, so that parallel blocks do not compete."""
        if not count:
            return []
        state = self.engine.virtual_state()
        raw = state.get(account_key(address_of(self.chain.accounts[band].public_key)))
        nonce = 0 if raw is None else decode_account(raw).nonce
        return [
            self.chain.transfer(band, 7, 1, nonce=nonce + number, expiry_slot=1_000_000)
            for number in range(count)
        ]

    def _vote(self, slot: int) -> None:
        params, engine = self.chain.params, self.engine
        period = period_at(params, slot)
        if period < 1 or slot != vote_slot(params, period):
            return
        reader = engine.stores.store
        bound = bound_of_past(reader, params, period)
        seats = engine.schedule.of_epoch(epoch_at(params, period * params.period_slots)).seats
        for validator, key in enumerate(self.chain.keys):
            choice = choose_vote(reader, params, period, bound, self._voted.get(validator, 0))
            if choice is None:
                continue
            self._voted[validator] = choice.source.period
            core = VoteCore(validator, seats[validator].band, choice.source, choice.target)
            self._votes.append(sign_vote(core, key, params.genesis_hash))
        self._votes = self._votes[-4 * len(self.chain.keys) :]

    # irregular blocks -----------------------------------------------------------------------------------------------

    def _make_odd(self, slot: int) -> None:
        rng = self.rng
        kind = rng.choice(("late", "double", "forgotten", "stale"))
        recent = self.history.blocks[-18:]
        if not recent:
            return
        if kind == "late":  # an honest block that comes some slots late
            self._show(self._odd(slot, rng.randrange(BAND_COUNT), self._some_parents(recent, slot)), kind, 3)
        elif kind == "double":  # a second block of a lane, with other parents
            one = rng.choice(recent).block.header
            older = [block for block in recent if block.block.header.slot < one.slot]
            self._show(
                self._odd(one.slot, one.band, self._some_parents(older, one.slot)), kind, rng.randrange(3)
            )
        elif kind == "forgotten":  # an old lane, signed now
            base = rng.choice(self.history.blocks[rng.choice((-60, -10_000)) :]).block
            at = base.header.slot + 1
            self._show(self._odd(at, rng.randrange(BAND_COUNT), (base.header_id,)), kind, rng.randrange(30))
        else:  # a block of this slot on an old parent
            base = rng.choice(self.history.blocks[-40:]).block
            self._show(self._odd(slot, rng.randrange(BAND_COUNT), (base.header_id,)), kind, 0)

    def _show(self, block: PreparedBlock | None, kind: str, delay: int) -> None:
        if block is None or self.engine.has_block(block.block_id):
            return
        self.history.odd[block.block_id] = kind
        if delay:
            self._late.append((block.block.header.slot + delay, block))
        else:
            self._arrive(block)

    def _some_parents(self, blocks: Sequence[PreparedBlock], slot: int) -> tuple[bytes, ...]:
        dag = self.engine.stores.dag
        older = [
            block.block_id for block in blocks if block.block.header.slot < slot and dag.has(block.block_id)
        ]
        chosen = self.rng.sample(older, min(len(older), self.rng.randint(1, 3)))
        return tuple(
            one for one in chosen if not any(one != other and dag.is_ancestor(one, other) for other in chosen)
        )

    def _odd(self, slot: int, band: int, parents: tuple[bytes, ...]) -> PreparedBlock | None:
        """A block with right scores, and a right state where its chain may be selected at all."""
        if not parents or slot < 1:
            return None
        engine, chain = self.engine, self.chain
        data = colour(engine.stores.dag, parents)
        schedule = engine._tracker.epoch_schedule(data.selected_parent, slot)
        proposer = schedule.proposer(slot, band)
        assert proposer is not None
        virtual = engine._chain
        state_root = receipts_root = bytes(32)
        if virtual.qualifies(data.selected_parent):
            outcome, state_root = virtual.merged(data, slot, proposer)
            receipts_root = outcome.receipts_root
        virtual.drop()
        core = HeaderCore(
            version=HEADER_VERSION,
            parents=tuple(sorted(parents)),
            slot=slot,
            band=band,
            proposer=proposer,
            blue_score=data.blue_score,
            blue_work=data.blue_work,
            state_root=state_root,
            receipts_root=receipts_root,
            body_root=body_root(()),
            votes_root=NO_VOTES_ROOT,
            reveal=chain.reveal(proposer, slot),
        )
        return prepare_with(
            engine, sign_block(core, (), (), chain.keys[proposer], chain.params.genesis_hash), slot
        )


def prepare_with(engine: Engine, block: Any, slot: int) -> PreparedBlock:
    """`block` as it comes out of validation in isolation."""
    return engine.prepare_decoded(block, slot)


def make_history(
    seed: int, slots: int, *, presence: float = 0.4, odd: float = 0.3, payments: int = 0
) -> History:
    """A history of so many slots, the same for the same arguments."""
    maker = Maker(tiny_chain(), Random(seed))
    maker.live(slots, presence=presence, odd=odd, payments=payments)
    return maker.history
