"""When a node may follow what its peers show it, and when it must be told a checkpoint first.

Votes prove something as long as the stake behind them can be slashed. After the unbonding time old keys cost nothing,
and whoever bought two thirds of them can sign another history from there on. So a node whose last finality is older
than half of that time begins with a checkpoint that somebody vouches for (reliability.md, L17).
"""

from collections.abc import Collection

from consensus.params import Params, epoch_at

LONE_NETWORKS: Collection[str] = ("devnet", "fast")
"""Networks for tests, on one desk: they are stopped as a whole and go on later, and nobody sells their keys."""


def checkpoint_is_needed(params: Params, finalised_slot: int, now_slot: int) -> bool:
    """Whether the last finality is too old to go on from it without a checkpoint."""
    return params.network not in LONE_NETWORKS and is_too_old(params, finalised_slot, now_slot)


def is_too_old(params: Params, finalised_slot: int, now_slot: int) -> bool:
    """Whether a finalised block of that slot is more than half of the unbonding time ago."""
    age = epoch_at(params, max(0, now_slot)) - epoch_at(params, finalised_slot)
    return 2 * age > params.unbonding_epochs
