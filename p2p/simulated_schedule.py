"""What happens when in simulated time: one heap, one task. Ties go by order of entry, so they are the same each run."""

import heapq
from collections.abc import Callable

import trio


class Schedule:
    """Synchronous actions at given times of `trio.current_time()`."""

    __slots__ = ("_entries", "_heap", "_sleeping")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._entries = 0
        self._sleeping: trio.CancelScope | None = None

    def after(self, delay_s: float, action: Callable[[], None]) -> None:
        """Run `action` in `delay_s` seconds. It must not wait and must not raise."""
        due_s = trio.current_time() + delay_s
        self._entries += 1
        heapq.heappush(self._heap, (due_s, self._entries, action))
        if self._sleeping is not None and due_s < self._sleeping.deadline:
            self._sleeping.deadline = due_s

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            while self._heap and self._heap[0][0] <= trio.current_time():
                _, _, action = heapq.heappop(self._heap)
                action()
            next_s = self._heap[0][0] if self._heap else float("inf")
            with trio.CancelScope(deadline=next_s) as self._sleeping:
                await trio.sleep_forever()
            self._sleeping = None
