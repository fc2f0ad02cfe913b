"""The kind `batch_transfer`: 1 to 256 legs out of one account, all or none."""

from typing import Annotated, Final

import msgspec

from ledger.amounts import MAX_SUPPLY_UNITS
from ledger.encoding import Address20, Codec, Count, Record
from ledger.errors import PayloadInvalid
from ledger.registry import Kind, Rejected
from ledger.rules import BlockContext, ChainRules
from ledger.state import Overlay
from ledger.transactions import MAX_PAYLOAD_BYTES, SignedTransaction
from ledger.transfer import INSUFFICIENT_BALANCE, check_leg

MAX_LEGS = 256


class Leg(Record, frozen=True):
    """One recipient of a batch."""

    recipient: Address20
    amount: Count
    """Units, at least 1."""


class BatchTransfer(Record, frozen=True):
    """Payload of kind 2. A recipient may appear more than once, the sender too."""

    legs: Annotated[tuple[Leg, ...], msgspec.Meta(min_length=1, max_length=MAX_LEGS)]


def total_units(payload: BatchTransfer) -> int:
    """Units that the sender must hold besides the fee."""
    return sum(leg.amount for leg in payload.legs)


def leg_count(payload: BatchTransfer) -> int:
    """Accounts beside the sender's that it credits."""
    return len(payload.legs)


def check_batch_transfer(payload: BatchTransfer, rules: ChainRules) -> None:
    """What no state can make valid. Errors: `PayloadInvalid`, `RecipientRefused`."""
    for leg in payload.legs:
        check_leg("batch_transfer", leg.recipient, leg.amount)
    total = total_units(payload)
    if total > MAX_SUPPLY_UNITS:
        raise PayloadInvalid("batch_transfer", f"legs sum to {total} units, at most {MAX_SUPPLY_UNITS} exist")


def apply_batch_transfer(
    overlay: Overlay, transaction: SignedTransaction, payload: BatchTransfer, context: BlockContext
) -> None:
    """Debit the sum once, then credit each leg in order. Errors: `Rejected` InsufficientBalance."""
    total = total_units(payload)
    if overlay.debit(transaction.sender, total) is None:
        balance = overlay.account(transaction.sender).balance
        raise Rejected(INSUFFICIENT_BALANCE, f"balance {balance} units, {total} needed")
    for leg in payload.legs:
        overlay.credit(leg.recipient, leg.amount)


BATCH_TRANSFER: Final = Kind(
    number=2,
    name="batch_transfer",
    payload_codec=Codec(BatchTransfer, "batch transfer payload", MAX_PAYLOAD_BYTES),
    check_payload=check_batch_transfer,
    apply=apply_batch_transfer,
    spends=total_units,
    touches=leg_count,
)
