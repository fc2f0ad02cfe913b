"""The state transition: a chain block's merge set, executed in consensus order on an overlay.

`execute_mergeset` is pure: equal state, blocks and context give equal bytes, in any process. Per transaction:

* *skipped* (costs nothing, changes nothing): Duplicate, Expired, NonceUsed, NonceAhead, FeeUnpayable;
* *failed*: nonce and fee are taken, everything else is rolled back, the reason is the kind's own;
* *applied*: nonce, fee and the kind's whole effect.

A transaction that several parallel blocks carry is charged once, at the first carrier in consensus order where it is
chargeable; its later copies in the same merge set are skipped as Duplicate, those in later chain blocks as NonceUsed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from ledger.accounts import Account
from ledger.amounts import MAX_SUPPLY_UNITS
from ledger.encoding import Codec, Count, Hash32, Record
from ledger.epoch_transition import LEDGER_EPOCH_STEPS, EpochSteps, begin_epoch
from ledger.errors import ConservationBroken
from ledger.fee_credits import credit_fees, fee_credit
from ledger.governed.pauses import paused_kind
from ledger.hashing import digest, tagged
from ledger.issuance import note_block
from ledger.registry import KindRegistry, Rejected
from ledger.rules import BlockContext
from ledger.staking.activity import note_activity
from ledger.state import Overlay, StateReader
from ledger.transactions import SignedTransaction

__all__ = [
    "APPLIED",
    "FAILED",
    "SKIPPED",
    "BlockContext",
    "MergedBlock",
    "Outcome",
    "Receipt",
    "execute_mergeset",
    "fee_credit",
]

APPLIED: Final = 0
FAILED: Final = 1
SKIPPED: Final = 2

DUPLICATE: Final = "Duplicate"
EXPIRED: Final = "Expired"
NONCE_USED: Final = "NonceUsed"
NONCE_AHEAD: Final = "NonceAhead"
FEE_UNPAYABLE: Final = "FeeUnpayable"
KIND_PAUSED: Final = "KindPaused"

MAX_RESULTS = 8
"""Numbers in a receipt."""

MAX_RECEIPTS_BYTES = 128 * 1024 * 1024
"""Above what 180 merged blocks of 512 KiB can hold in transactions, and receipts are shorter than those."""

NO_RESULT: Final[tuple[int, ...]] = ()

_RECEIPTS_TAG = tagged("nexus/receipts/v1")


class Receipt(Record, frozen=True):
    """What became of one transaction in one carrier."""

    transaction_id: Hash32
    block_id: Hash32
    """The carrier: the merged block whose body holds the transaction."""
    status: Annotated[int, msgspec.Meta(ge=APPLIED, le=SKIPPED)]
    """0 applied, 1 failed (fee charged), 2 skipped (nothing charged)."""
    reason: Annotated[str, msgspec.Meta(max_length=64)]
    """Stable symbol; empty when applied."""
    fee: Count
    """Units charged; 0 when skipped."""
    kind: Count
    """Number of the transaction's kind."""
    result: Annotated[tuple[Count, ...], msgspec.Meta(max_length=MAX_RESULTS)]
    """What it did, in numbers that the kind names (`Kind.result_names`); empty unless applied."""


RECEIPTS_CODEC: Final[Codec[tuple[Receipt, ...]]] = Codec(tuple[Receipt, ...], "receipts", MAX_RECEIPTS_BYTES)


@dataclass(frozen=True, slots=True)
class MergedBlock:
    """One block of a merge set, as the state transition sees it."""

    id: bytes
    proposer: int
    """Validator index."""
    blue: bool
    transactions: Sequence[SignedTransaction]
    epoch: int = 0
    """Of its slot: its reveal counts in this epoch only."""
    reveal: bytes = b""
    """Its proposer's onion layer of that epoch, 32 bytes; empty for genesis and for what is no block yet."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a merge set does to the state."""

    changes: dict[bytes, bytes | None]
    """State key -> new value, None to delete; in key order; only what really changes."""
    previous: dict[bytes, bytes | None]
    """The same keys -> old value, None for absent: the undo."""
    receipts: tuple[Receipt, ...]
    """One per carried transaction, in consensus order."""
    receipts_encoded: bytes
    """Canonical bytes of `receipts`, as stored."""
    receipts_root: bytes
    """32 bytes over `receipts_encoded`."""
    applied: int
    failed: int
    skipped: int


def execute_mergeset(
    reader: StateReader,
    merged: Sequence[MergedBlock],
    context: BlockContext,
    registry: KindRegistry,
    steps: EpochSteps = LEDGER_EPOCH_STEPS,
) -> Outcome:
    """Execute the blocks' transactions in the order given, which is the consensus order. Writes nothing.

    The first chain block of an epoch runs the epoch transition, `steps`, before them.

    Every transaction has passed `validate_transaction_in_isolation` and `verify_transaction_signature`; what depends on
    the state is checked here. Errors: `ConservationBroken`, `AccountOutOfRange` and any other failure of a kind are
    faults of ours; `UnknownKind` when the transactions were decoded with another registry.
    """
    overlay = Overlay(reader)
    begin_epoch(overlay, context, steps)
    receipts: list[Receipt] = []
    counts = [0, 0, 0]
    charged: set[bytes] = set()
    credits: dict[int, int] = {}
    slot = context.slot
    kind_of = registry.kind
    paused = paused_kind(overlay, context.epoch)
    collected = 0
    for block in merged:
        earned = 0
        for transaction in block.transactions:
            body = transaction.body
            result: tuple[int, ...] | None = None
            account = overlay.account(transaction.sender)
            if body.nonce != account.nonce or slot > body.expiry_slot or body.fee > account.balance:
                status, fee = SKIPPED, 0
                reason = _skip_reason(transaction, account, slot, charged)
            else:
                fee = body.fee
                overlay.set_account(transaction.sender, Account(account.balance - fee, account.nonce + 1))
                mark = overlay.checkpoint()
                try:
                    if body.kind == paused:
                        raise Rejected(
                            KIND_PAUSED, f"an emergency vote has paused it in epoch {context.epoch}"
                        )
                    result = kind_of(body.kind).apply(overlay, transaction, transaction.payload, context)
                    status, reason = APPLIED, ""
                except Rejected as rejected:
                    overlay.rollback(mark)
                    status, reason = FAILED, rejected.reason
                charged.add(transaction.id)
                earned += fee
            counts[status] += 1
            receipts.append(
                Receipt(transaction.id, block.id, status, reason, fee, body.kind, result or NO_RESULT)
            )
        if earned:
            collected += earned
            beneficiary = block.proposer if block.blue else context.merging_proposer
            credits[beneficiary] = credits.get(beneficiary, 0) + earned
    credit_fees(overlay, credits)
    note_block(overlay, collected, counts[APPLIED])
    note_activity(overlay, merged, context)
    drift = overlay.balance_drift()
    if drift != 0:
        raise ConservationBroken("merge set", MAX_SUPPLY_UNITS + drift, MAX_SUPPLY_UNITS)
    changes, previous = overlay.differences()
    encoded = RECEIPTS_CODEC.encode(tuple(receipts))
    return Outcome(
        changes=changes,
        previous=previous,
        receipts=tuple(receipts),
        receipts_encoded=encoded,
        receipts_root=digest(_RECEIPTS_TAG, encoded),
        applied=counts[APPLIED],
        failed=counts[FAILED],
        skipped=counts[SKIPPED],
    )


def _skip_reason(transaction: SignedTransaction, account: Account, slot: int, charged: set[bytes]) -> str:
    """Why a transaction that cannot be charged is skipped."""
    nonce = transaction.body.nonce
    if nonce > account.nonce:
        return NONCE_AHEAD
    if nonce < account.nonce:
        return DUPLICATE if transaction.id in charged else NONCE_USED
    return EXPIRED if slot > transaction.body.expiry_slot else FEE_UNPAYABLE
