"""Runs of trio that are the same each time: virtual time, seeded scheduling, and a hash over what happened."""

import functools
import hashlib
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import trio
import trio._core._run as trio_run
import trio.testing

Result = TypeVar("Result")


def run_deterministic(async_fn: Callable[..., Awaitable[Result]], seed: int, *args: Any) -> Result:
    """`trio.run(async_fn, *args)` on a clock that jumps to the next deadline, with trio's own shuffling seeded.

    The two switches are private to trio (which is pinned): without them each run takes tasks of one tick in another
    order. Nothing inside may wait for real I/O or threads, the clock would run away. The switches are put back.
    """
    allowed, state = trio_run._ALLOW_DETERMINISTIC_SCHEDULING, trio_run._r.getstate()
    trio_run._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]
    trio_run._r.seed(seed)
    try:
        return trio.run(async_fn, *args, clock=trio.testing.MockClock(autojump_threshold=0))
    finally:
        trio_run._ALLOW_DETERMINISTIC_SCHEDULING = allowed  # type: ignore[misc]
        trio_run._r.setstate(state)


def on_virtual_time(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Decorator: the async test becomes a plain one that runs in `run_deterministic`.

    (pytest-trio's `autojump_clock` works only as an argument of each test, and leaves trio's shuffling to chance.)
    """

    @functools.wraps(test)
    def run_test(**arguments: object) -> None:
        run_deterministic(functools.partial(test, **arguments), 0)

    return run_test


class TraceHash:
    """A `trace` callback for `SimulatedFabric`: a running hash, a count per event, and the last lines for a failure."""

    def __init__(self, keep_lines: int = 200) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self.counts: dict[str, int] = {}
        self.last_lines: deque[str] = deque(maxlen=keep_lines)

    def __call__(self, event: str, fields: Mapping[str, object]) -> None:
        line = f"{event} " + " ".join(f"{name}={fields[name]!r}" for name in sorted(fields))
        self._hash.update(line.encode() + b"\n")
        self.counts[event] = self.counts.get(event, 0) + 1
        self.last_lines.append(line)

    @property
    def hexdigest(self) -> str:
        """Over all lines so far."""
        return self._hash.hexdigest()
