"""Bodies: root, size, transactions, expiry, and the preparation of whole blocks."""

import hashlib

import msgspec
import pytest
from builders.blocks import FoundedChain, found_chain
from builders.ledger import batch_transfer, block_context

from consensus.blocks import Block, encode_block
from consensus.body_validation import check_expiry, validate_body_in_context, validate_body_in_isolation
from consensus.errors import (
    BlockOversized,
    BlockSignatureInvalid,
    BlockTooHeavy,
    BodyMismatch,
    ExpiryTooFar,
    InvalidBlock,
    SlotInFuture,
    TransactionDuplicated,
    TransactionExpired,
    TransactionInvalid,
)
from consensus.params import MAX_BLOCK_BYTES, MAX_BLOCK_TOUCHES
from consensus.prepare import prepare_block, prepare_decoded
from ledger.errors import CodecError, FeeTooLow, NotCanonical, UnknownKind, WrongChain
from ledger.execution import MergedBlock, execute_mergeset
from ledger.genesis import genesis_state
from ledger.registry import KindRegistry
from ledger.transactions import SignedTransaction

CHAIN = found_chain()
ONE = CHAIN.transfer(0, 1, 5, nonce=0)
TWO = CHAIN.transfer(0, 2, 6, nonce=1)


def _isolated(block: Block, chain: FoundedChain = CHAIN) -> tuple[SignedTransaction, ...]:
    return validate_body_in_isolation(block, chain.rules, chain.registry)


def _prepared(raw: bytes, now_slot: int = 10) -> object:
    return prepare_block(raw, CHAIN.params, CHAIN.rules, CHAIN.registry, CHAIN.schedule, now_slot)


def test_transactions_come_back_decoded_in_the_blocks_order() -> None:
    assert _isolated(CHAIN.block(transactions=(TWO.raw, ONE.raw))) == (TWO, ONE)


def test_an_empty_body_is_valid() -> None:
    assert _isolated(CHAIN.block()) == ()


@pytest.mark.parametrize("body", [(), (TWO.raw,), (ONE.raw, TWO.raw), (ONE.raw, ONE.raw)])
def test_another_body_than_the_header_commits_to_is_a_mismatch_and_not_an_invalid_block(
    body: tuple[bytes, ...],
) -> None:
    block = CHAIN.block(transactions=(ONE.raw,))
    with pytest.raises(BodyMismatch) as caught:
        _isolated(Block(block.header, block.header_id, (), body))
    assert not isinstance(caught.value, InvalidBlock)


def test_a_body_of_garbage_is_a_mismatch_before_anything_is_decoded() -> None:
    block = CHAIN.block(transactions=(ONE.raw,))
    with pytest.raises(BodyMismatch):
        _isolated(Block(block.header, block.header_id, (), (b"garbage",)))


def test_C2_a_body_that_makes_the_block_too_large_is_refused() -> None:
    block = CHAIN.block(transactions=[bytes(16_000)] * 33)
    with pytest.raises(BlockOversized, match=f"at most {MAX_BLOCK_BYTES} are allowed"):
        _isolated(block)


def test_what_is_no_transaction_makes_the_block_invalid() -> None:
    with pytest.raises(TransactionInvalid, match="transaction 1: Malformed") as caught:
        _isolated(CHAIN.block(transactions=(ONE.raw, b"garbage")))
    assert caught.value.position == 1
    assert isinstance(caught.value.cause, CodecError)


def test_C6_a_longer_spelling_of_a_transaction_makes_the_block_invalid() -> None:
    at = ONE.raw.index(b"\x01")
    longer = ONE.raw[:at] + b"\xcc\x01" + ONE.raw[at + 1 :]
    with pytest.raises(TransactionInvalid) as caught:
        _isolated(CHAIN.block(transactions=(longer,)))
    assert isinstance(caught.value.cause, NotCanonical)


def test_L3_a_transaction_of_another_chain_makes_the_block_invalid() -> None:
    other = found_chain(chain_id="other-chain").transfer(0, 1)
    with pytest.raises(TransactionInvalid) as caught:
        _isolated(CHAIN.block(transactions=(other.raw,)))
    assert isinstance(caught.value.cause, WrongChain)


def test_a_fee_below_the_least_makes_the_block_invalid() -> None:
    cheap = CHAIN.transfer(0, 1, fee=999)
    with pytest.raises(TransactionInvalid) as caught:
        _isolated(CHAIN.block(transactions=(cheap.raw,)))
    assert isinstance(caught.value.cause, FeeTooLow)


def test_a_kind_that_the_registry_does_not_hold_makes_the_block_invalid() -> None:
    with pytest.raises(TransactionInvalid) as caught:
        validate_body_in_isolation(CHAIN.block(transactions=(ONE.raw,)), CHAIN.rules, KindRegistry(()))
    assert isinstance(caught.value.cause, UnknownKind)


def test_one_transaction_twice_makes_the_block_invalid() -> None:
    with pytest.raises(TransactionDuplicated, match="transaction 2 is the same as transaction 0"):
        _isolated(CHAIN.block(transactions=(ONE.raw, TWO.raw, ONE.raw)))


def test_two_transactions_of_one_nonce_are_for_execution_to_judge() -> None:
    rival = CHAIN.transfer(0, 2, 7, nonce=0)
    assert len(_isolated(CHAIN.block(transactions=(ONE.raw, rival.raw)))) == 2


# Expiry


def test_expiry_is_met_only_by_a_later_chain_block() -> None:
    transaction = CHAIN.transfer(0, 1, expiry_slot=9)
    validate_body_in_context((transaction,), 8, CHAIN.params)
    for slot in (9, 10):
        with pytest.raises(TransactionExpired, match=f"expired at slot 9, the block is of slot {slot}"):
            validate_body_in_context((transaction,), slot, CHAIN.params)


def test_expiry_lies_at_most_thirty_days_ahead() -> None:
    latest = 100 + CHAIN.params.max_expiry_slots
    assert CHAIN.params.max_expiry_slots * CHAIN.params.slot_ms == 30 * 24 * 3600 * 1000
    check_expiry(latest, 100, CHAIN.params)
    with pytest.raises(ExpiryTooFar, match=f"at the latest {latest} is allowed"):
        check_expiry(latest + 1, 100, CHAIN.params)


def test_the_faulty_transaction_is_named_by_its_place() -> None:
    transactions = [CHAIN.transfer(0, 1, expiry_slot=slot) for slot in (20, 21, 5)]
    with pytest.raises(TransactionExpired) as caught:
        validate_body_in_context(transactions, 10, CHAIN.params)
    assert caught.value.position == 2


# Preparation


def test_a_prepared_block_holds_block_id_and_transactions() -> None:
    block = CHAIN.block(transactions=(ONE.raw, TWO.raw))
    prepared = prepare_block(
        encode_block(block), CHAIN.params, CHAIN.rules, CHAIN.registry, CHAIN.schedule, 10
    )
    assert (prepared.block, prepared.block_id, prepared.transactions) == (block, block.header_id, (ONE, TWO))


def test_our_own_block_is_prepared_like_a_peers() -> None:
    block = CHAIN.block(transactions=(ONE.raw,))
    own = prepare_decoded(block, CHAIN.params, CHAIN.rules, CHAIN.registry, CHAIN.schedule, 10)
    assert own == _prepared(encode_block(block))


def test_the_header_is_judged_before_the_body() -> None:
    block = CHAIN.block(transactions=(b"garbage",))
    forged = msgspec.structs.replace(block.header, signature=bytes(64))
    with pytest.raises(BlockSignatureInvalid):
        _prepared(encode_block(Block(forged, block.header_id, block.votes, block.transactions)))


def test_an_early_block_is_kept_for_later_without_a_look_at_its_body() -> None:
    with pytest.raises(SlotInFuture):
        _prepared(encode_block(CHAIN.block(slot=40, transactions=(b"garbage",))))


def test_preparation_knows_expiry_too() -> None:
    expired = CHAIN.transfer(0, 1, expiry_slot=3)
    with pytest.raises(TransactionExpired):
        _prepared(encode_block(CHAIN.block(slot=4, transactions=(expired.raw,))))


def test_transaction_signatures_are_left_to_the_worker_threads() -> None:
    flipped = ONE.raw[:-1] + bytes([ONE.raw[-1] ^ 1])
    block = CHAIN.block(transactions=(flipped,))
    assert hashlib.sha256(flipped).digest() != hashlib.sha256(ONE.raw).digest()
    assert len(_isolated(block)) == 1


# Weight


def _batches(count: int, legs: int) -> tuple[bytes, ...]:
    """Batch transfers of `legs` legs each to accounts that do not exist, one sender after the other."""
    return tuple(
        batch_transfer(
            CHAIN.accounts[0],
            CHAIN.rules,
            nonce,
            [((nonce * legs + leg + 1_000).to_bytes(20, "big"), 1) for leg in range(legs)],
            expiry_slot=1_000,
        ).raw
        for nonce in range(count)
    )


def test_a_block_touches_a_bounded_number_of_records() -> None:
    full, rest = divmod(MAX_BLOCK_TOUCHES, 256)
    most = _batches(full, 256)
    assert _isolated(CHAIN.block(transactions=most))
    over = (*most, *(_batches(full + 1, rest + 1)[full:]))
    with pytest.raises(BlockTooHeavy, match=f"touch {MAX_BLOCK_TOUCHES + 1} records"):
        _isolated(CHAIN.block(transactions=over))


def test_the_heaviest_block_changes_no_more_than_it_may_touch() -> None:
    """What a block can make everybody execute and commit to is bounded by the sum of its touches."""
    raws = _batches(MAX_BLOCK_TOUCHES // 256, 256)
    transactions = _isolated(CHAIN.block(transactions=raws))
    state = dict(genesis_state(CHAIN.genesis))
    outcome = execute_mergeset(
        state,
        [MergedBlock(bytes(32), 0, True, transactions)],
        block_context(CHAIN.rules),
        CHAIN.registry,
    )
    assert outcome.applied == len(transactions)
    assert 5_800 < len(outcome.changes) <= MAX_BLOCK_TOUCHES + len(CHAIN.accounts) + 8
