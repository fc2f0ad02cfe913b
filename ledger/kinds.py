"""The ledger's own kinds of transactions, as a registry that packages above extend."""

from ledger.batch_transfer import BATCH_TRANSFER
from ledger.registry import Kind, KindRegistry, Rejected
from ledger.transfer import TRANSFER

__all__ = ["Kind", "KindRegistry", "Rejected", "ledger_kinds"]


def ledger_kinds() -> KindRegistry:
    """transfer (1) and batch_transfer (2)."""
    return KindRegistry((TRANSFER, BATCH_TRANSFER))
