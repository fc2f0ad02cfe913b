"""Reorganisations of chains that are full of economy, in the middle of epochs and across their transitions.

Two branches live on their own, with real engines and templates, each with random transactions of all kinds; then a node
gets one after the other. What it has at last is what a node has that was shown the winning chain alone.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from random import Random

import pytest
from builders.blocks import FoundedChain, chain_of
from builders.chain import feed, new_engine, picture, shuffled_topologically, state_of
from builders.economy import REGISTRARS, EconomyChain
from builders.economy_invariants import applied, audit_economy
from builders.ledger import devnet_genesis, key_pair
from properties.economy_walk import OPERATIONS, EconomyWalk, RandomChoices

from consensus.engine import Engine
from consensus.errors import SlotNotAvailable
from consensus.events import ChainAdvanced
from consensus.params import epoch_at
from consensus.prepare import PreparedBlock
from consensus.virtual import ChangedState
from ledger.addresses import NXT_ASSET, address_of
from ledger.amounts import UNITS_PER_NXT
from ledger.exchange.kinds import PoolCreate
from ledger.execution import APPLIED
from ledger.genesis import chain_rules
from ledger.keys import KeyPair
from ledger.storage.audit import audit
from ledger.storage.memory import MemoryStore
from ledger.tokens.kinds import TokenCreate
from ledger.tokens.records import TOKEN_PREFIX
from ledger.transactions import SignedTransaction
from ledger.transfer import Transfer

NXT = UNITS_PER_NXT
SEED = "reorganised economy"
EPOCH_SLOTS = 8
TRUNK_SLOTS = 21
NOT_HERE = {"accuse", "send_again", "send_ahead", "go_on", "next_epoch", "trade_in_new_epoch", "reorganise"}
"""Operations that need the walk's own chain."""
CHOSEN = sorted(OPERATIONS.keys() - NOT_HERE)


def _founded() -> FoundedChain:
    registrars = [address_of(key_pair(SEED, "account", number).public_key) for number in REGISTRARS]
    genesis, keys, accounts = devnet_genesis(
        6, seed=SEED, epoch_slots=EPOCH_SLOTS, account_units=5_000 * NXT, registrars=registrars
    )
    return chain_of(genesis, keys, accounts)


CHAIN = _founded()


class Wallets(EconomyWalk):
    """A walk over a copy of the state, whose transactions are kept for a real block."""

    def __init__(self) -> None:
        economy = EconomyChain(seed=SEED, staking=CHAIN.params.staking, registry=CHAIN.registry)
        economy.genesis, economy.rules = CHAIN.genesis, chain_rules(CHAIN.genesis)
        super().__init__(economy)
        self.made: list[SignedTransaction] = []

    def execute(self, transactions: Sequence[SignedTransaction]) -> None:
        self.made += transactions
        super().execute(transactions)

    def look(self, engine: Engine, slot: int) -> None:
        """Begin again with what the next block of `engine` will see."""
        virtual = engine.virtual_state()
        assert isinstance(virtual, ChangedState)
        self.chain.state = applied(state_of(engine), virtual._changes)
        self.chain.epoch, self.chain.slot_in_epoch = divmod(slot, EPOCH_SLOTS)
        self.made, self.steps = [], []


@dataclass
class Branch:
    """An engine that lives on, and everything that it was shown."""

    rng: Random
    engine: Engine = field(default_factory=lambda: new_engine(CHAIN))
    wallets: Wallets = field(default_factory=Wallets)
    blocks: list[PreparedBlock] = field(default_factory=list)

    def fork(self, seed: int) -> "Branch":
        """Another branch that knows the same blocks."""
        other = Branch(Random(seed))
        other.show(self.blocks)
        other.wallets.chain.tokens = list(self.wallets.chain.tokens)
        return other

    def show(self, blocks: Iterable[PreparedBlock]) -> None:
        """Let the engine process what it does not know yet."""
        for block in blocks:
            if not self.engine.has_block(block.block_id):
                feed(self.engine, [block])
                self.blocks.append(block)

    def block(self, slot: int, band: int, transactions: Sequence[SignedTransaction]) -> PreparedBlock | None:
        """The template for a lane with what fits of the transactions; None when the lane has a block."""
        proposer = self.engine.schedule.proposer(slot, band)
        assert proposer is not None
        reveal = CHAIN.reveal(proposer, slot)
        try:
            made = self.engine.build_block(slot, band, proposer, transactions, reveal=reveal)
        except SlotNotAvailable:
            return None
        return self.engine.prepare_decoded(made.sign(CHAIN.keys[proposer]), slot)

    def live(self, slots: int, *, presence: float, operations: int) -> None:
        """So many more slots; every block has the transactions of so many random operations at most."""
        for slot in range(self.engine.head.slot + 1, self.engine.head.slot + 1 + slots):
            bands = [band for band in range(6) if self.rng.random() < presence] or [0]
            made = []
            for band in bands:
                self.wallets.look(self.engine, slot)
                for _ in range(self.rng.randrange(operations + 1)):
                    self.wallets.step(self.rng.choice(CHOSEN), RandomChoices(self.rng))
                made.append(self.block(slot, band, self.wallets.made))
            self.show(block for block in made if block is not None)

    def found(self) -> None:
        """Tokens, pools and owners with means, so that the operations find something."""
        wallets = self.wallets
        chain, founder = wallets.chain, wallets.chain.accounts[0]
        for slot in range(1, 5):
            wallets.look(self.engine, slot)
            if slot == 1:
                for number, owner in enumerate(chain.owners):
                    wallets.send((chain.accounts[number], "transfer", Transfer(_of(owner), 300 * NXT, b"")))
                for symbol in ("ALPHA", "BETA", "GAMMA"):
                    wallets.send((founder, "token_create", TokenCreate(symbol, symbol, 8, 10**15)))
            elif slot == 3:
                alpha, beta, gamma = self.wallets.chain.tokens = _tokens(chain.state)
                for first, second in ((NXT_ASSET, alpha), (alpha, beta), (beta, gamma), (NXT_ASSET, beta)):
                    first, second = sorted((first, second))
                    amounts = [500 * NXT if asset == NXT_ASSET else 10**13 for asset in (first, second)]
                    wallets.send((founder, "pool_create", PoolCreate(first, second, 30, *amounts)))
            block = self.block(slot, 0, wallets.made)
            assert block is not None
            self.show([block])


def _of(key: KeyPair) -> bytes:
    return address_of(key.public_key)


def _tokens(state: dict[bytes, bytes]) -> list[bytes]:
    return sorted(key[len(TOKEN_PREFIX) :] for key in state if key.startswith(TOKEN_PREFIX))


def reorganised(node: Engine, blocks: Sequence[PreparedBlock]) -> list[bytes]:
    """What left the selected chain while the node took up `blocks`."""
    known = [block for block in blocks if not node.has_block(block.block_id)]
    return [
        removed
        for event in feed(node, known)
        if isinstance(event, ChainAdvanced)
        for removed in event.removed
    ]


def assert_equals_replay(node: Engine, blocks: Sequence[PreparedBlock]) -> None:
    """The node's chain, state, receipts and results are those of a new node that was shown `blocks` alone."""
    fresh = new_engine(CHAIN)
    feed(fresh, blocks)
    assert picture(node) == picture(fresh)
    assert state_of(node) == state_of(fresh)


def assert_sound(node: Engine) -> None:
    store = node.stores.store
    assert isinstance(store, MemoryStore)
    assert audit(store).faults == ()
    assert audit_economy(node.stores.ledger) == []


@pytest.fixture(scope="module")
def trunk() -> Branch:
    branch = Branch(Random(0))
    branch.found()
    branch.live(TRUNK_SLOTS - 4, presence=0.4, operations=3)
    return branch


@pytest.mark.parametrize("seed", range(4))
def test_a_reorganised_economy_equals_a_replay_of_the_winning_chain(trunk: Branch, seed: int) -> None:
    """From the middle of an epoch across two transitions, there, back again, and together at last."""
    left, right = trunk.fork(2 * seed + 1), trunk.fork(2 * seed + 2)
    left.live(13, presence=0.3, operations=3)
    right.live(14, presence=0.6, operations=3)
    node = new_engine(CHAIN)
    feed(node, left.blocks)
    removed = reorganised(node, right.blocks)
    slots = [node.stores.headers.get(block).slot for block in removed]
    assert len({epoch_at(CHAIN.params, slot) for slot in slots}) >= 2, "no transition was undone"
    assert any(slot % EPOCH_SLOTS for slot in slots)
    assert_equals_replay(node, right.blocks)
    left.live(10, presence=0.8, operations=2)
    assert reorganised(node, left.blocks)
    assert_equals_replay(node, left.blocks)
    both = Branch(Random(seed), node, blocks=[*left.blocks, *right.blocks[len(trunk.blocks) :]])
    both.wallets.chain.tokens = list(trunk.wallets.chain.tokens)
    both.live(3, presence=0.5, operations=3)
    assert_sound(node)
    assert_equals_replay(node, shuffled_topologically(both.blocks, Random(seed)))


def test_the_branches_are_full_of_economy(trunk: Branch) -> None:
    """Or the test above would show nothing."""
    branch = trunk.fork(1)
    branch.live(13, presence=0.3, operations=3)
    receipts = [receipt for block in picture(branch.engine).receipts for receipt in block]
    kinds = {receipt.kind for receipt in receipts if receipt.status == APPLIED}
    assert len(kinds) >= 15, sorted(kinds)
    assert any(receipt.result for receipt in receipts)
