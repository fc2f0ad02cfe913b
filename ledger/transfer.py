"""Transfers of NXT: the one function that moves units, the kind `transfer`, and the seed's `transfer_atomic`.

A transfer to oneself is allowed and moves nothing: the balance must cover the amount, only nonce and fee change (it is
how a wallet cancels a pending transaction). A user's transfer to a system account is refused: a donation would move
prices and circulating supply.
"""

from typing import Annotated, Final

import msgspec

from ledger.accounts import FEES_ADDRESS, SYSTEM_ADDRESSES, is_reserved_address, reserved_name
from ledger.addresses import ADDRESS_BYTES
from ledger.amounts import MAX_SUPPLY_UNITS
from ledger.encoding import Address20, Codec, Count, Record
from ledger.errors import PayloadInvalid, RecipientRefused
from ledger.registry import Kind, Rejected
from ledger.rules import BlockContext, ChainRules
from ledger.state import Overlay
from ledger.transactions import SignedTransaction

MAX_MEMO_BYTES = 256
MAX_REASON_CHARACTERS = 256

INSUFFICIENT_BALANCE = "InsufficientBalance"


class Transfer(Record, frozen=True):
    """Payload of kind 1."""

    recipient: Address20
    amount: Count
    """Units, at least 1."""
    memo: Annotated[bytes, msgspec.Meta(max_length=MAX_MEMO_BYTES)]
    """Free bytes; never interpreted on chain."""


def move_units(overlay: Overlay, sender: bytes, recipient: bytes, amount: int) -> None:
    """Take `amount` units (an int >= 0) from one address and give them to another, or to the same.

    Two writes; atomic only within the caller's checkpoint. Errors: `Rejected` InsufficientBalance, nothing written.
    """
    if overlay.debit(sender, amount) is None:
        raise Rejected(
            INSUFFICIENT_BALANCE, f"balance {overlay.account(sender).balance} units, {amount} needed"
        )
    overlay.credit(recipient, amount)


def check_leg(kind: str, recipient: bytes, amount: int) -> None:
    """One recipient and amount of a user's transfer. Errors: `PayloadInvalid`, `RecipientRefused`."""
    if not 1 <= amount <= MAX_SUPPLY_UNITS:
        raise PayloadInvalid(kind, f"amount is {amount} units, expected 1 to {MAX_SUPPLY_UNITS}")
    if is_reserved_address(recipient):
        raise RecipientRefused(reserved_name(recipient))


def check_transfer(payload: Transfer, rules: ChainRules) -> None:
    """What no state can make valid. Errors: `PayloadInvalid`, `RecipientRefused`."""
    check_leg("transfer", payload.recipient, payload.amount)


def apply_transfer(
    overlay: Overlay, transaction: SignedTransaction, payload: Transfer, context: BlockContext
) -> None:
    """Move the units. Errors: `Rejected` InsufficientBalance."""
    move_units(overlay, transaction.sender, payload.recipient, payload.amount)


def spent_units(payload: Transfer) -> int:
    """Units that the sender must own besides the fee."""
    return payload.amount


TRANSFER: Final = Kind(
    number=1,
    name="transfer",
    payload_codec=Codec(Transfer, "transfer payload", 512),
    check_payload=check_transfer,
    apply=apply_transfer,
    spends=spent_units,
)


class TokenTransaction(msgspec.Struct, frozen=True, gc=False):
    """What `transfer_atomic` did."""

    from_address: bytes
    to_address: bytes
    amount_units: int
    fee_units: int
    nonce: int
    """The sender's nonce that this transfer used."""
    reason: str


class NativeTokenSystem:
    """The seed's named entry to transfers, over one overlay."""

    __slots__ = ("_overlay",)

    def __init__(self, overlay: Overlay) -> None:
        self._overlay = overlay

    def transfer_atomic(
        self, from_address: bytes, to_address: bytes, amount: int, fee: int, reason: str
    ) -> tuple[bool, TokenTransaction | None, str]:
        """Snapshot, execute, roll back: all of amount, fee and nonce, or nothing at all. O(1).

        Addresses of 20 bytes; `amount` int units >= 1, `fee` int units >= 0 (goes to FEES), `reason` text of at most
        256 characters. Returns (success, transaction or None, message) and raises for no input whatever; a failure of
        the state below is raised after the rollback. A system account may be credited by system accounts only.
        """
        if not (
            type(amount) is int
            and type(fee) is int
            and 0 < amount <= MAX_SUPPLY_UNITS
            and 0 <= fee <= MAX_SUPPLY_UNITS
            and type(from_address) is bytes
            and type(to_address) is bytes
            and len(from_address) == ADDRESS_BYTES
            and len(to_address) == ADDRESS_BYTES
            and type(reason) is str
            and len(reason) <= MAX_REASON_CHARACTERS
            and (not is_reserved_address(to_address) or from_address in SYSTEM_ADDRESSES)
        ):
            return False, None, _argument_fault(from_address, to_address, amount, fee, reason)
        overlay = self._overlay
        mark = overlay.checkpoint()
        try:
            sender = overlay.debit(from_address, amount + fee, nonces=1)
            if sender is None:
                balance = overlay.account(from_address).balance
                return False, None, f"balance {balance} units, {amount + fee} needed"
            overlay.credit(to_address, amount)
            if fee:
                overlay.credit(FEES_ADDRESS, fee)
        except BaseException:
            overlay.rollback(mark)
            raise
        return (
            True,
            TokenTransaction(from_address, to_address, amount, fee, sender.nonce - 1, reason),
            "applied",
        )


def _argument_fault(
    from_address: object, to_address: object, amount: object, fee: object, reason: object
) -> str:
    """In words, which argument of `transfer_atomic` is wrong; one of them is. bool and float are no amounts."""
    if type(amount) is not int or type(fee) is not int:
        return "amount and fee must be int numbers of units"
    if not (0 < amount <= MAX_SUPPLY_UNITS and 0 <= fee <= MAX_SUPPLY_UNITS):
        return f"amount must be 1 to {MAX_SUPPLY_UNITS} units and fee 0 to as much"
    if type(from_address) is not bytes or len(from_address) != ADDRESS_BYTES:
        return f"from_address must be {ADDRESS_BYTES} bytes"
    if type(to_address) is not bytes or len(to_address) != ADDRESS_BYTES:
        return f"to_address must be {ADDRESS_BYTES} bytes"
    if type(reason) is not str or len(reason) > MAX_REASON_CHARACTERS:
        return f"reason must be text of at most {MAX_REASON_CHARACTERS} characters"
    return f"recipient is {reserved_name(to_address)}; users cannot pay to it"
