"""Closing a store only when no call is inside it.

LevelDB calls release the interpreter lock, so closing under a running one would free memory in use.
"""

import threading
from pathlib import Path
from types import TracebackType

from ledger.storage.errors import StoreClosed


class CallGate:
    """Lets calls in until it is shut; shutting waits for those inside. Use as a context manager around each call."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._emptied = threading.Condition(self._lock)
        self._inside = 0
        self._is_shut = False

    def __enter__(self) -> None:
        with self._lock:
            if self._is_shut:
                raise StoreClosed(self._directory)
            self._inside += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._inside -= 1
            if self._is_shut and self._inside == 0:
                self._emptied.notify_all()

    def shut(self) -> None:
        """Refuse calls from here on with `StoreClosed` and wait for those inside. Idempotent."""
        with self._lock:
            self._is_shut = True
            self._emptied.wait_for(lambda: self._inside == 0)
