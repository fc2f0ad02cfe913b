"""Duty-cycle budgets: a leaky bucket of bytes per neighbour, and one for all (M10). Integers and the caller's clock."""

from dataclasses import dataclass

from wnsp.mesh.errors import DutyCycleExceeded
from wnsp.mesh.limits import Limits

MILLI = 1_000


@dataclass(slots=True)
class DutyBudget:
    """Bytes that may still pass. Refills by `bytes_per_second` up to `burst_bytes`."""

    bytes_per_second: int
    burst_bytes: int
    left_millibytes: int
    at_ms: int

    @classmethod
    def full(cls, limits: Limits, now_ms: int, share: int = 1) -> "DutyBudget":
        """A fresh budget of `share` neighbours' size."""
        rate, burst = limits.duty_bytes_per_second * share, limits.duty_burst_bytes * share
        return cls(rate, burst, burst * MILLI, now_ms)

    @classmethod
    def for_sending(cls, limits: Limits, now_ms: int) -> "DutyBudget":
        """Half of what a neighbour takes: an honest node stays within it, whatever the clocks and its broadcasts."""
        rate, burst = limits.duty_bytes_per_second // 2, limits.duty_burst_bytes // 2
        return cls(rate, burst, burst * MILLI, now_ms)

    def left(self, now_ms: int) -> int:
        """Bytes that may pass now. A clock that went back refills nothing."""
        if now_ms > self.at_ms:
            refill = (now_ms - self.at_ms) * self.bytes_per_second
            self.left_millibytes = min(self.burst_bytes * MILLI, self.left_millibytes + refill)
        self.at_ms = now_ms
        return self.left_millibytes // MILLI

    def take(self, size: int) -> None:
        """Count `size` bytes, which `left` allowed."""
        self.left_millibytes -= size * MILLI

    def charge(self, size: int, now_ms: int, whose: str) -> None:
        """Count `size` bytes. Errors: `DutyCycleExceeded`, and nothing was counted."""
        left = self.left(now_ms)
        if size > left:
            raise DutyCycleExceeded(whose, size, left)
        self.take(size)
