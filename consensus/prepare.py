"""From bytes to a block that the engine can take: decoding and everything that needs no store. For any thread."""

from collections.abc import Sequence
from dataclasses import dataclass

from consensus.blocks import Block, Header, decode_block
from consensus.body_validation import validate_body_in_context, validate_body_in_isolation
from consensus.header_validation import KnownKeys, validate_header_in_isolation
from consensus.params import Params
from consensus.vote_validation import validate_votes_in_isolation
from consensus.votes import Vote
from ledger.registry import KindRegistry
from ledger.rules import ChainRules
from ledger.transactions import SignedTransaction


@dataclass(frozen=True, slots=True)
class PreparedBlock:
    """A block that is valid in isolation. Its transactions' signatures are not verified yet."""

    block: Block
    transactions: tuple[SignedTransaction, ...]
    """Decoded, in the block's order."""
    signer_key: bytes
    """The key that the header's signature was verified with."""

    @property
    def block_id(self) -> bytes:
        """32 bytes."""
        return self.block.header_id


def prepare_block(
    raw: bytes,
    params: Params,
    rules: ChainRules,
    registry: KindRegistry,
    keys: KnownKeys,
    now_slot: int,
) -> PreparedBlock:
    """The block in `raw`, decoded once and valid as far as it can be judged alone. `keys`: the `Schedule`.

    Errors: `CodecError` (no block at all); those of `prepare_header` and `prepare_body`.
    """
    return prepare_decoded(decode_block(raw), params, rules, registry, keys, now_slot)


def prepare_decoded(
    block: Block,
    params: Params,
    rules: ChainRules,
    registry: KindRegistry,
    keys: KnownKeys,
    now_slot: int,
) -> PreparedBlock:
    """The same for a block that is decoded already, such as one of our own or one joined from header and body."""
    signer_key = prepare_header(block.header, block.votes, params, keys, now_slot)
    return prepare_body(block, signer_key, params, rules, registry)


def prepare_header(
    header: Header, votes: Sequence[Vote], params: Params, keys: KnownKeys, now_slot: int
) -> bytes:
    """Judge what travels without a body: the header and its votes. Returns the key that signed.

    Errors: `InvalidBlock`, `VotesMismatch`, `ValidatorUnknown`, `SlotInFuture` as in `validate_header_in_isolation` and
    `validate_votes_in_isolation`.
    """
    signer_key = validate_header_in_isolation(header, params, keys, now_slot)
    validate_votes_in_isolation(header, votes, params)
    return signer_key


def prepare_body(
    block: Block, signer_key: bytes, params: Params, rules: ChainRules, registry: KindRegistry
) -> PreparedBlock:
    """The block of a header that `prepare_header` has found good, with its body judged.

    Errors: `InvalidBlock`, `BodyMismatch` as in `validate_body_in_isolation` and `validate_body_in_context`.
    """
    transactions = validate_body_in_isolation(block, rules, registry)
    validate_body_in_context(transactions, block.header.slot, params)
    return PreparedBlock(block, transactions, signer_key)
