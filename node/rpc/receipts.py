"""What a receipt says, as JSON."""

from ledger.execution import Receipt
from ledger.registry import KindRegistry


def receipt_result(receipt: Receipt, registry: KindRegistry) -> dict[str, str]:
    """What a transaction did, in the numbers that its kind names."""
    names = registry.kind(receipt.kind).result_names
    return {name: str(number) for name, number in zip(names, receipt.result, strict=False)}
