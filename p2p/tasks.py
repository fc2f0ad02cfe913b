"""Tasks of library code that cannot end the node: what stands in for libp2p's service manager."""

from collections.abc import Awaitable, Callable
from typing import Any

import trio

RESTART_S = 1.0


class GuardedTasks:
    """Runs functions in a nursery; what they raise goes to `on_fault` and no further.

    libp2p's `TrioManager` ends the whole service at the first exception, searches all tasks at each start and allows
    1000 children per task; this has the part of its interface that Pubsub and GossipSub use.
    """

    def __init__(self, nursery: trio.Nursery, on_fault: Callable[[str, Exception], None]) -> None:
        self._nursery = nursery
        self._on_fault = on_fault

    @property
    def is_running(self) -> bool:
        """False once we are closing."""
        return not self._nursery.cancel_scope.cancel_called

    def run_task(self, function: Callable[..., Awaitable[object]], *arguments: Any) -> None:
        """Start it."""
        if self.is_running:
            self._nursery.start_soon(self._run, function, arguments)

    def run_daemon_task(self, function: Callable[..., Awaitable[object]], *arguments: Any) -> None:
        """Start it, and again a second after it has failed."""
        if self.is_running:
            self._nursery.start_soon(self._run_for_ever, function, arguments)

    async def _run(self, function: Callable[..., Awaitable[object]], arguments: tuple[Any, ...]) -> None:
        try:
            await function(*arguments)
        except Exception as error:  # noqa: BLE001 - the boundary to library code; reported as our fault
            self._on_fault(function.__qualname__, error)

    async def _run_for_ever(
        self, function: Callable[..., Awaitable[object]], arguments: tuple[Any, ...]
    ) -> None:
        while True:
            await self._run(function, arguments)
            await trio.sleep(RESTART_S)
