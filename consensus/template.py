"""Block templates: a block's parents, what merging them does, the transactions it carries; ready to be signed."""

from collections.abc import Iterable
from dataclasses import dataclass

from consensus.blocks import HEADER_VERSION, Block, HeaderCore, sign_block
from consensus.body_tree import body_root
from consensus.ghostdag import GhostdagData
from consensus.params import Params
from consensus.parent_choice import ParentChoice
from consensus.transaction_choice import BodyBuilder
from consensus.virtual import ChangedState, VirtualChain
from ledger.execution import Outcome
from ledger.keys import KeyPair
from ledger.state import StateReader
from ledger.transactions import SignedTransaction


@dataclass(frozen=True, slots=True)
class UnsignedBlock:
    """A block without its proofs."""

    core: HeaderCore
    transactions: tuple[SignedTransaction, ...]
    genesis_hash: bytes

    def sign(self, key: KeyPair) -> Block:
        """The block, signed by the proposer's key. Errors: `CodecError`, `BandUnknown`."""
        raw = tuple(transaction.raw for transaction in self.transactions)
        return sign_block(self.core, raw, key, self.genesis_hash)


@dataclass(frozen=True, slots=True)
class VirtualBlock:
    """The block that could be made on the present tips, without a lane and a body."""

    parents: tuple[bytes, ...]
    data: GhostdagData
    outcome: Outcome
    state_root: bytes
    state: StateReader
    """State of the block's past; readable until the chain is next changed."""


def virtual_block(chain: VirtualChain, choice: ParentChoice, slot: int, proposer: int) -> VirtualBlock:
    """What a block of `slot` by `proposer` would merge. `chain` is left at the selected parent: `drop` it afterwards.

    Errors: `NoParentUsable`; faults of execution.
    """
    parents, data = choice.choose(slot)
    outcome, state_root = chain.merged(data, slot, proposer)
    return VirtualBlock(parents, data, outcome, state_root, ChangedState(chain.state, outcome.changes))


def build_block(
    chain: VirtualChain,
    choice: ParentChoice,
    params: Params,
    slot: int,
    band: int,
    proposer: int,
    candidates: Iterable[SignedTransaction],
) -> UnsignedBlock:
    """A block for the lane. Leaves `chain` at the sink. Errors as `virtual_block`."""
    try:
        virtual = virtual_block(chain, choice, slot, proposer)
        builder = BodyBuilder(chain.executor, params, virtual.state, slot, proposer)
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
    )
    return UnsignedBlock(core, transactions, params.genesis_hash)
