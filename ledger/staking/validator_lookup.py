"""Which validator a payload means, and whether the sender may act for it."""

from ledger.addresses import address_of
from ledger.registry import Rejected
from ledger.staking.records import EXITED, EXITING, ValidatorRecord, read_validator
from ledger.state import Overlay

UNKNOWN_VALIDATOR = "UnknownValidator"
VALIDATOR_EXITED = "ValidatorExited"
NOT_WITHDRAWAL_KEY = "NotWithdrawalKey"
NOT_VALIDATORS_KEY = "NotValidatorsKey"


def known_validator(overlay: Overlay, index: int) -> ValidatorRecord:
    """The record. Errors: `Rejected` UnknownValidator."""
    record = read_validator(overlay, index)
    if record is None:
        raise Rejected(UNKNOWN_VALIDATOR, f"no validator {index}")
    return record


def staying_validator(overlay: Overlay, index: int) -> ValidatorRecord:
    """The record of one that has not left. Errors: `Rejected` UnknownValidator, ValidatorExited."""
    record = known_validator(overlay, index)
    if record.status in (EXITING, EXITED):
        raise Rejected(VALIDATOR_EXITED, f"validator {index} left in epoch {record.exit_epoch}")
    return record


def require_withdrawal_key(record: ValidatorRecord, sender: bytes) -> None:
    """The sender (20 bytes) owns the self stake. Errors: `Rejected` NotWithdrawalKey."""
    if sender != record.withdrawal_address:
        raise Rejected(
            NOT_WITHDRAWAL_KEY,
            f"sender {sender.hex()}, validator {record.index} is owned by {record.withdrawal_address.hex()}",
        )


def require_operator(record: ValidatorRecord, sender: bytes) -> None:
    """The sender is the owner or has the consensus key. Errors: `Rejected` NotValidatorsKey."""
    if sender not in (record.withdrawal_address, address_of(record.consensus_key)):
        raise Rejected(
            NOT_VALIDATORS_KEY,
            f"sender {sender.hex()} is neither the withdrawal address nor the consensus key of {record.index}",
        )
