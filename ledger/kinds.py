"""The ledger's own kinds of transactions, as a registry that packages above extend."""

from ledger.batch_transfer import BATCH_TRANSFER
from ledger.registry import Kind, KindRegistry, Rejected
from ledger.staking.delegation_kinds import DELEGATE, UNDELEGATE, WITHDRAW
from ledger.staking.validator_kinds import (
    COMMISSION_SET,
    KEY_ROTATE,
    ONION_RENEW,
    UNJAIL,
    VALIDATOR_EXIT,
    VALIDATOR_REGISTER,
)
from ledger.transfer import TRANSFER

__all__ = ["Kind", "KindRegistry", "Rejected", "ledger_kinds"]


def ledger_kinds() -> KindRegistry:
    """Money: transfer (1), batch_transfer (2). Staking: 10 to 18."""
    return KindRegistry(
        (
            TRANSFER,
            BATCH_TRANSFER,
            VALIDATOR_REGISTER,
            DELEGATE,
            UNDELEGATE,
            WITHDRAW,
            COMMISSION_SET,
            ONION_RENEW,
            KEY_ROTATE,
            VALIDATOR_EXIT,
            UNJAIL,
        )
    )
