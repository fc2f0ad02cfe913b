"""Real engines for tests: founded from a devnet genesis in memory, fed with signed blocks for chosen lanes and parents.

A `Workshop` makes blocks. It has an engine of its own that knows every block, so it can state the right colouring and
state for any parents; the nodes under test are other engines that are given the blocks. In its text language a line (or
what stands between semicolons) is a block, and words after the parents say more::

    a1: genesis                       slot and band by default: one after the greatest parent, first free band
    b1: genesis                       the same slot, the next band
    a2: a1 b1  pay alice bob 5        carries a transfer of 5 units with alice's next nonce in the block's own state
    c4: a2     slot 4 band 3          slot and band given
    d4: a2     wrong-state            a false state root (also: wrong-receipts)
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import msgspec
from builders.blocks import FoundedChain, found_chain

from consensus.blocks import HEADER_VERSION, Block, HeaderCore, sign_block
from consensus.body_tree import body_root
from consensus.engine import Engine
from consensus.events import BlockRefused, Event
from consensus.ghostdag import colour
from consensus.prepare import PreparedBlock, prepare_decoded
from consensus.virtual import ChangedState
from consensus.votes import Vote, votes_root
from ledger.accounts import Account, decode_account
from ledger.addresses import address_of
from ledger.amounts import UNITS_PER_NXT
from ledger.execution import Receipt
from ledger.state import account_key
from ledger.storage.memory import MemoryStore
from ledger.storage.store import Store
from ledger.transactions import SignedTransaction
from wnsp.spectrum import BAND_COUNT

WALLETS = ("alice", "bob", "carol", "dave", "erin", "frank", "grace", "henry")
"""Names of the funded accounts, by number."""

WALLET_UNITS = 100 * UNITS_PER_NXT

FAR_SLOT = 1_000_000
"""An expiry that no test reaches and every slot of a test allows."""

GENESIS = "genesis"


def devnet(validators: int = 6) -> FoundedChain:
    """A devnet with equal stakes; six validators have a band each."""
    return found_chain(validators)


def address_named(chain: FoundedChain, name: str) -> bytes:
    """20-byte address of a wallet."""
    return address_of(chain.accounts[WALLETS.index(name)].public_key)


def new_engine(chain: FoundedChain, store: Store | None = None) -> Engine:
    """A real engine of `chain`, over a new store in memory unless one is given."""
    return Engine.open(MemoryStore() if store is None else store, chain.genesis, chain.registry)


def prepare(chain: FoundedChain, block: Block) -> PreparedBlock:
    """`block` as it comes out of validation in isolation, by the real rules, in its own slot."""
    return prepare_decoded(
        block, chain.params, chain.rules, chain.registry, chain.schedule, block.header.slot
    )


@dataclass(frozen=True, slots=True)
class Picture:
    """What every node that knows the same DAG must agree on."""

    sink: bytes
    chain: tuple[bytes, ...]
    order: tuple[bytes, ...]
    state_root: bytes
    receipts: tuple[tuple[Receipt, ...], ...]


def picture(engine: Engine) -> Picture:
    """The picture of `engine`, read from its store but for the colouring."""
    stores = engine.stores
    chain = (engine.genesis_id, *stores.dag.reachability.chain_up(engine.genesis_id, engine.head.id))
    order = tuple(merged for block in chain for merged in stores.dag.data.get(block).mergeset)
    receipts = tuple(stores.ledger.receipts(block) or () for block in chain[1:])
    return Picture(engine.head.id, chain, (*order, engine.head.id), engine.head.state_root, receipts)


def state_of(engine: Engine) -> dict[bytes, bytes]:
    """The state on disk."""
    return dict(engine.stores.ledger.state())


def account_of(engine: Engine, chain: FoundedChain, name: str) -> Account:
    """A wallet's account at the sink, as it is on disk."""
    raw = engine.stores.ledger.get(account_key(address_named(chain, name)))
    return Account(0, 0) if raw is None else decode_account(raw)


class Workshop:
    """Makes blocks with the right contents for any parents, and remembers them by name."""

    def __init__(self, chain: FoundedChain | None = None) -> None:
        self.chain = devnet() if chain is None else chain
        self.engine = new_engine(self.chain)
        self.blocks: dict[str, Block] = {}
        self._bands_of_slot: dict[int, int] = {}

    def id(self, name: str) -> bytes:
        """Id of a named block."""
        return self.engine.genesis_id if name == GENESIS else self.blocks[name].header_id

    def name(self, block_id: bytes) -> str:
        """The opposite."""
        if block_id == self.engine.genesis_id:
            return GENESIS
        return next(name for name, block in self.blocks.items() if block.header_id == block_id)

    def prepared(self, *names: str) -> list[PreparedBlock]:
        """Named blocks (all, in order of making, when none is named), ready for an engine."""
        return [prepare(self.chain, self.blocks[name]) for name in names or self.blocks]

    def transfer(
        self,
        sender: str,
        recipient: str,
        units: int,
        nonce: int,
        *,
        fee: int | None = None,
        expiry_slot: int = FAR_SLOT,
    ) -> SignedTransaction:
        """A signed transfer between named wallets."""
        numbers = WALLETS.index(sender), WALLETS.index(recipient)
        return self.chain.transfer(*numbers, units, nonce=nonce, fee=fee, expiry_slot=expiry_slot)

    def make(
        self,
        name: str,
        parents: Sequence[str],
        *,
        slot: int | None = None,
        band: int | None = None,
        pay: Sequence[tuple[str, str, int]] = (),
        transactions: Sequence[SignedTransaction] = (),
        votes: Sequence[Vote] = (),
        **fields: Any,
    ) -> Block:
        """Make a block and add it to the own engine. `pay`: (sender, recipient, units), nonces from the block's state.

        `votes` are carried as they are. `fields` replace what is right in the core, for faulty blocks. A block that the
        engine refuses is kept by name.
        """
        parent_ids = tuple(sorted(self.id(parent) for parent in parents))
        headers = self.engine.stores.headers
        if slot is None:
            slot = 1 + max(headers.get(parent).slot for parent in parent_ids)
        if band is None:
            band = self._bands_of_slot.get(slot, 0)
        self._bands_of_slot[slot] = (band + 1) % BAND_COUNT
        core, body = self.right_contents(parent_ids, slot, band, pay, transactions)
        core = msgspec.structs.replace(core, **({"votes_root": votes_root(tuple(votes))} | fields))
        block = sign_block(core, votes, body, self.chain.keys[core.proposer], self.chain.params.genesis_hash)
        self.blocks[name] = block
        self.engine.process_blocks([prepare(self.chain, block)])
        return block

    def right_contents(
        self,
        parents: tuple[bytes, ...],
        slot: int,
        band: int,
        pay: Sequence[tuple[str, str, int]],
        transactions: Sequence[SignedTransaction],
    ) -> tuple[HeaderCore, tuple[bytes, ...]]:
        """The right core. On a disqualified selected parent there is no right state: the roots are zeros."""
        data = colour(self.engine.stores.dag, parents)
        proposer = self.engine._tracker.epoch_schedule(data.selected_parent, slot).proposer(slot, band)
        assert proposer is not None
        virtual = self.engine._chain
        state_root = receipts_root = bytes(32)
        carried = list(transactions)
        if virtual.qualifies(data.selected_parent):
            outcome, state_root = virtual.merged(data, slot, proposer)
            receipts_root = outcome.receipts_root
            state = ChangedState(virtual.state, outcome.changes)
            nonces: dict[str, int] = {}
            for sender, recipient, units in pay:
                raw = state.get(account_key(address_named(self.chain, sender)))
                nonce = nonces.get(sender, 0 if raw is None else decode_account(raw).nonce)
                nonces[sender] = nonce + 1
                carried.append(self.transfer(sender, recipient, units, nonce))
        virtual.drop()
        body = tuple(transaction.raw for transaction in carried)
        core = HeaderCore(
            version=HEADER_VERSION,
            parents=parents,
            slot=slot,
            band=band,
            proposer=proposer,
            blue_score=data.blue_score,
            blue_work=data.blue_work,
            state_root=state_root,
            receipts_root=receipts_root,
            body_root=body_root(body),
            votes_root=votes_root(()),
            reveal=self.chain.reveal(proposer, slot),
        )
        return core, body

    def script(self, text: str) -> None:
        """Make the blocks of a text (the module's docstring has the language)."""
        for line in text.replace(";", "\n").splitlines():
            words = line.replace(":", " : ").split()
            if words:
                self._make_line(words)

    def _make_line(self, words: list[str]) -> None:
        parents: list[str] = []
        pay: list[tuple[str, str, int]] = []
        options: dict[str, Any] = {}
        rest = iter(words[2:])
        for word in rest:
            if word in ("slot", "band"):
                options[word] = int(next(rest))
            elif word == "pay":
                pay.append((next(rest), next(rest), int(next(rest))))
            elif word == "wrong-state":
                options["state_root"] = bytes(32)
            elif word == "wrong-receipts":
                options["receipts_root"] = bytes(32)
            else:
                parents.append(word)
        self.make(words[0], parents, pay=pay, **options)


def feed(engine: Engine, blocks: Iterable[PreparedBlock]) -> list[Event]:
    """Process the blocks one by one; all events. Raises what the engine raises."""
    events: list[Event] = []
    for block in blocks:
        events.extend(engine.process_block(block))
    return events


def feed_in_batches(engine: Engine, blocks: Sequence[PreparedBlock], rng: Random, greatest: int = 5) -> None:
    """Process the blocks in batches of random sizes; none may be refused."""
    at = 0
    while at < len(blocks):
        size = rng.randint(1, greatest)
        for event in engine.process_blocks(blocks[at : at + size]):
            assert not isinstance(event, BlockRefused), event.error
        at += size


def shuffled_topologically(blocks: Sequence[PreparedBlock], rng: Random) -> list[PreparedBlock]:
    """A random order in which parents stand before children."""
    present = {block.block_id for block in blocks}
    waiting = {
        block.block_id: sum(parent in present for parent in block.block.header.parents) for block in blocks
    }
    children: dict[bytes, list[PreparedBlock]] = {}
    for block in blocks:
        for parent in block.block.header.parents:
            children.setdefault(parent, []).append(block)
    ready = [block for block in blocks if not waiting[block.block_id]]
    order = []
    while ready:
        block = ready.pop(rng.randrange(len(ready)))
        order.append(block)
        for child in children.get(block.block_id, ()):
            waiting[child.block_id] -= 1
            if not waiting[child.block_id]:
                ready.append(child)
    return order


def random_workshop(
    seed: int,
    *,
    slots: int = 8,
    presence: float = 0.7,
    chain: FoundedChain | None = None,
    faulty: float = 0.0,
) -> Workshop:
    """A random DAG of six lanes with transfers: late and withheld blocks, conflicting spends, double proposals.

    Each block sees the others with a lag of its own; some blocks are shown to nobody but their maker's next block for
    a few slots. `faulty`: share of blocks with a wrong state root.
    """
    rng = Random(seed)
    shop = Workshop(chain)
    headers = shop.engine.stores.headers
    dag = shop.engine.stores.dag
    shown_at: dict[str, int] = {GENESIS: 0}
    last_of_band: dict[int, str] = {}
    for slot in range(1, slots + 1):
        for band in range(BAND_COUNT):
            if rng.random() > presence:
                continue
            lag = rng.choice((0, 0, 0, 1, 2))
            seen = [name for name, shown in shown_at.items() if name == GENESIS or shown <= slot - lag]
            own = last_of_band.get(band)
            if own is not None and own not in seen:
                seen.append(own)
            seen = [name for name in seen if headers.get(shop.id(name)).slot < slot]
            ids = {name: shop.id(name) for name in seen}
            parents = [
                name
                for name in seen
                if not any(
                    ids[name] != ids[other] and dag.is_ancestor(ids[name], ids[other]) for other in seen
                )
            ]
            for copy in range(2 if rng.random() < 0.06 else 1):
                pay = [
                    (sender, rng.choice(WALLETS), rng.randint(1, WALLET_UNITS // 3))
                    for sender in rng.choices(WALLETS, k=rng.randrange(copy, 3))
                ]
                options = {"state_root": bytes(32)} if rng.random() < faulty else {}
                name = f"{slot}.{band}.{copy}"
                made = shop.make(name, parents[:12], slot=slot, band=band, pay=pay, **options)
                if copy and made.header_id == shop.id(f"{slot}.{band}.0"):
                    del shop.blocks[name]  # the same block, where nothing can be paid
                    continue
                shown_at[name] = slot + (rng.randint(3, 5) if rng.random() < 0.12 else 1)
                last_of_band[band] = name
    return shop


def propose(
    engine: Engine, chain: FoundedChain, slot: int, band: int, candidates: Sequence[SignedTransaction] = ()
) -> PreparedBlock:
    """The template of `engine` for a lane, signed by its scheduled proposer and prepared; not processed yet."""
    proposer = chain.schedule.proposer(slot, band)
    assert proposer is not None
    reveal = chain.reveal(proposer, slot)
    unsigned = engine.build_block(slot, band, proposer, candidates, reveal=reveal)
    return prepare(chain, unsigned.sign(chain.keys[proposer]))


def propose_slot(
    engine: Engine, chain: FoundedChain, slot: int, bands: Iterable[int] = range(BAND_COUNT)
) -> list[PreparedBlock]:
    """What honest proposers of `bands` with the same view make in one slot; all processed by `engine`."""
    blocks = [propose(engine, chain, slot, band) for band in bands]
    feed(engine, blocks)
    return blocks
