"""Whose the fees in FEES are: one record of units for each validator index. balance(FEES) == sum of all, always."""

from ledger.accounts import FEES_ADDRESS
from ledger.state import Overlay, StateReader, fee_credit_key


def credit_fees(overlay: Overlay, credits: dict[int, int]) -> None:
    """Put a merge set's fees, units by validator index, into FEES and note whose they are."""
    collected = sum(credits.values())
    if not collected:
        return
    overlay.credit(
        FEES_ADDRESS, collected
    )  # over the border of the reserves: `issuance.note_block` counts it
    for proposer in sorted(credits):
        key = fee_credit_key(proposer)
        units = decode_fee_credit(overlay.get(key)) + credits[proposer]
        overlay.put(key, units.to_bytes(8, "big"))


def decode_fee_credit(value: bytes | None) -> int:
    """Units in the record of a proposer's fee credit; 0 when there is none."""
    return 0 if value is None else int.from_bytes(value, "big")


def fee_credit(reader: StateReader, proposer: int) -> int:
    """Units of fees credited to a validator index and not yet paid."""
    return decode_fee_credit(reader.get(fee_credit_key(proposer)))
