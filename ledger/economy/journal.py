"""One journal around an operation of several legs: all of them, or none."""

from collections.abc import Iterator
from contextlib import contextmanager

from ledger.state import Overlay


@contextmanager
def all_legs_or_none(overlay: Overlay) -> Iterator[None]:
    """Roll back every write of the body when it is left by an exception, which goes on its way."""
    mark = overlay.checkpoint()
    try:
        yield
    except BaseException:
        overlay.rollback(mark)
        raise
