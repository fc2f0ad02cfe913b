"""Token buckets: how much one peer may ask of us, and how much we may send without being a nuisance.

Time is an argument (`now_s`, seconds of any clock that only moves forward), so a bucket is the same in simulation.
"""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

SHORTEST_WAIT_S = 0.001
"""`wait_s` never answers less than this for an empty bucket: rounding may not turn a waiting loop into a busy one."""

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Rate:
    """A sustained rate and the largest burst above it. In any window of t seconds at most `burst + per_second x t`
    tokens pass. Errors: `ValueError` for a rate or burst that is not positive."""

    per_second: float
    burst: float

    def __post_init__(self) -> None:
        if not (self.per_second > 0 and self.burst > 0):
            raise ValueError(f"rate {self.per_second}/s with burst {self.burst}: both must be above 0")

    def scaled(self, share: float) -> "Rate":
        """The same shape at `share` (above 0) of rate and burst."""
        return Rate(self.per_second * share, self.burst * share)


class TokenBucket:
    """Starts full. Refills at `rate.per_second` up to `rate.burst`; may be charged into debt."""

    __slots__ = ("_level", "_rate", "_seen_s")

    def __init__(self, rate: Rate, now_s: float) -> None:
        self._rate = rate
        self._level = rate.burst
        self._seen_s = now_s

    @property
    def rate(self) -> Rate:
        """The rate that it was made with."""
        return self._rate

    def level(self, now_s: float) -> float:
        """Tokens in it now; negative while in debt. A clock that steps back refills nothing."""
        elapsed_s = now_s - self._seen_s
        if elapsed_s > 0:
            self._level = min(self._rate.burst, self._level + elapsed_s * self._rate.per_second)
            self._seen_s = now_s
        return self._level

    def take(self, cost: float, now_s: float, *, floor: float = 0.0) -> bool:
        """Take `cost` tokens if that leaves at least `floor` (which may be negative, for privileged use).

        Something dearer than the whole burst passes when the bucket is full and leaves a debt, or it could never pass.
        """
        level = self.level(now_s)
        if level - floor < min(cost, self._rate.burst):
            return False
        self._level = level - cost
        return True

    def charge(self, cost: float, now_s: float) -> None:
        """Take `cost` tokens whatever the level (the price became known afterwards); a negative cost gives back."""
        self._level = min(self._rate.burst, self.level(now_s) - cost)

    def wait_s(self, cost: float, now_s: float, *, floor: float = 0.0) -> float:
        """Seconds until `take(cost, floor=floor)` succeeds; 0 when it would now."""
        missing = floor + min(cost, self._rate.burst) - self.level(now_s)
        if missing <= 0:
            return 0.0
        return max(SHORTEST_WAIT_S, missing / self._rate.per_second)


class BucketTable(Generic[Key]):
    """At most `capacity` buckets by key. The one used longest ago goes first: by then it is full again, and a full
    bucket carries no memory (unless an attacker spends `capacity` identities to flush it)."""

    __slots__ = ("_buckets", "_capacity")

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._buckets: OrderedDict[Key, TokenBucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def bucket(self, key: Key, rate: Rate, now_s: float) -> TokenBucket:
        """The bucket of `key`, made full at first use."""
        found = self._buckets.get(key)
        if found is not None:
            self._buckets.move_to_end(key)
            return found
        while len(self._buckets) >= self._capacity:
            self._buckets.popitem(last=False)
        made = TokenBucket(rate, now_s)
        self._buckets[key] = made
        return made


def message_cost(size: int, bytes_per_token: int) -> float:
    """Tokens for a message of `size` bytes: one, and one more for each whole `bytes_per_token`."""
    return float(1 + size // bytes_per_token)
