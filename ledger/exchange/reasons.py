"""Why the exchange rejects a transaction: the stable symbols in receipts. README says when."""

from typing import Final

UNKNOWN_POOL: Final = "UnknownPool"
POOL_EXISTS: Final = "PoolExists"
SLIPPAGE_EXCEEDED: Final = "SlippageExceeded"
"""The result is worse for the sender than the bound that it signed."""
INSUFFICIENT_LIQUIDITY: Final = "InsufficientLiquidity"
INSUFFICIENT_SHARES: Final = "InsufficientShares"
AMOUNT_TOO_SMALL: Final = "AmountTooSmall"
"""Rounding would leave nothing of it."""
AMOUNT_TOO_LARGE: Final = "AmountTooLarge"
"""A reserve or the shares would exceed 2^63 − 1."""
POSITION_LOCKED: Final = "PositionLocked"
POOL_INVARIANT_BROKEN: Final = "PoolInvariantBroken"
"""The product of the reserves would fall. No input leads here; if one ever did, it would move nothing."""
