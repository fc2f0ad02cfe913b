"""What a body must fulfil. Its transactions are decoded here, once, and handed on.

Their signatures are not checked here: the node does that in worker threads, with a cache (architecture.md, One
block's way); a failing one becomes `TransactionInvalid` there too. Whether a transaction *applies* is for execution.
"""

from collections.abc import Sequence

from consensus.blocks import Block, encode_block
from consensus.body_tree import body_root
from consensus.errors import (
    BlockOversized,
    BlockTooHeavy,
    BodyMismatch,
    ExpiryTooFar,
    TransactionDuplicated,
    TransactionExpired,
    TransactionInvalid,
)
from consensus.params import MAX_BLOCK_TOUCHES, Params
from ledger.errors import CodecError, InvalidTransaction, Oversized
from ledger.registry import KindRegistry
from ledger.rules import ChainRules
from ledger.transaction_validation import validate_transaction_in_isolation
from ledger.transactions import SignedTransaction, decode_transaction


def validate_body_in_isolation(
    block: Block, rules: ChainRules, registry: KindRegistry
) -> tuple[SignedTransaction, ...]:
    """The decoded transactions of `block`, after all rules that need no other block. Safe in any thread.

    The root comes first: before it, what is wrong with the body says nothing about the block id.

    Errors: `BodyMismatch`; then `BlockOversized`, `TransactionInvalid`, `TransactionDuplicated`, `BlockTooHeavy`, all
    `InvalidBlock`.
    """
    found = body_root(block.transactions)
    if found != block.header.body_root:
        raise BodyMismatch(found, block.header.body_root)
    try:
        encode_block(block)
    except Oversized as error:
        raise BlockOversized(error.found, error.limit) from None
    transactions = []
    positions: dict[bytes, int] = {}
    touches = 0
    for position, raw in enumerate(block.transactions):
        try:
            transaction = decode_transaction(raw, registry)
            validate_transaction_in_isolation(transaction, rules, registry)
        except (CodecError, InvalidTransaction) as error:
            raise TransactionInvalid(position, error) from None
        first_position = positions.setdefault(transaction.id, position)
        if first_position != position:
            raise TransactionDuplicated(position, first_position)
        transactions.append(transaction)
        touches += touches_of(transaction, registry)
    if touches > MAX_BLOCK_TOUCHES:
        raise BlockTooHeavy(touches, MAX_BLOCK_TOUCHES)
    return tuple(transactions)


def touches_of(transaction: SignedTransaction, registry: KindRegistry) -> int:
    """Records beside the sender's account that the transaction may create or change, at least one: what a block has
    room for MAX_BLOCK_TOUCHES of, so that a small body cannot be long work."""
    return max(1, registry.kind(transaction.body.kind).touches(transaction.payload))


def validate_body_in_context(transactions: Sequence[SignedTransaction], slot: int, params: Params) -> None:
    """What a block of `slot` may carry. The chain block that accepts it has a greater slot, and expiry counts there.

    So an expiry slot <= `slot` can never be met. The upper bound keeps what every node must remember finite.
    Templates and the mempool use the same rule through `check_expiry`.

    Errors: `TransactionExpired`, `ExpiryTooFar`.
    """
    for position, transaction in enumerate(transactions):
        check_expiry(transaction.body.expiry_slot, slot, params, position)


def check_expiry(expiry_slot: int, slot: int, params: Params, position: int = 0) -> None:
    """A transaction of `expiry_slot` may stand in a block of `slot`: slot < expiry <= slot + max_expiry_slots.

    Errors: `TransactionExpired`, `ExpiryTooFar`.
    """
    if expiry_slot <= slot:
        raise TransactionExpired(position, expiry_slot, slot)
    latest = slot + params.max_expiry_slots
    if expiry_slot > latest:
        raise ExpiryTooFar(position, expiry_slot, latest)
