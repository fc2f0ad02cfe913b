"""From bytes to a block that the engine can take: decoding and everything that needs no store. For any thread."""

from dataclasses import dataclass

from consensus.blocks import Block, decode_block
from consensus.body_validation import validate_body_in_context, validate_body_in_isolation
from consensus.header_validation import validate_header_in_isolation
from consensus.params import Params
from consensus.schedule import ValidatorSet
from ledger.registry import KindRegistry
from ledger.rules import ChainRules
from ledger.transactions import SignedTransaction


@dataclass(frozen=True, slots=True)
class PreparedBlock:
    """A block that is valid in isolation. Its transactions' signatures are not verified yet."""

    block: Block
    transactions: tuple[SignedTransaction, ...]
    """Decoded, in the block's order."""

    @property
    def block_id(self) -> bytes:
        """32 bytes."""
        return self.block.header_id


def prepare_block(
    raw: bytes,
    params: Params,
    rules: ChainRules,
    registry: KindRegistry,
    validators: ValidatorSet,
    now_slot: int,
) -> PreparedBlock:
    """The block in `raw`, decoded once and valid as far as it can be judged alone.

    Errors: `CodecError` (no block at all); `InvalidBlock`, `BodyMismatch`, `SlotInFuture` and their classes as in
    `validate_header_in_isolation`, `validate_body_in_isolation` and `validate_body_in_context`.
    """
    return prepare_decoded(decode_block(raw), params, rules, registry, validators, now_slot)


def prepare_decoded(
    block: Block,
    params: Params,
    rules: ChainRules,
    registry: KindRegistry,
    validators: ValidatorSet,
    now_slot: int,
) -> PreparedBlock:
    """The same for a block that is decoded already, such as one of our own or one joined from header and body."""
    validate_header_in_isolation(block.header, params, validators, now_slot)
    transactions = validate_body_in_isolation(block, rules, registry)
    validate_body_in_context(transactions, block.header.slot, params)
    return PreparedBlock(block, transactions)
