"""Lists in pages: what is listed has no bound, what one call reads has one (reliability.md R6)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

from ledger.state import StateListing
from ledger.storage.state_store import LedgerStore

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some items of a list."""

    items: list[T]
    more: bool
    """Whether the list goes on; the next page comes after the last item."""

    @property
    def last(self) -> T | None:
        """The cursor of the next page, None at the end of the list."""
        return self.items[-1] if self.more else None


def page(items: Iterable[T], limit: int) -> Page[T]:
    """The first `limit` (>= 1) of `items`; one more is read to know whether there is a next page."""
    found = list(islice(items, limit + 1))
    return Page(found[:limit], len(found) > limit)


class LaterListing:
    """A state whose lists begin above one key; everything else is read as it stands."""

    def __init__(self, state: LedgerStore, key: bytes) -> None:
        self._state = state
        self._key = key

    def get(self, key: bytes) -> bytes | None:
        """See `StateReader`."""
        return self._state.get(key)

    def state(self, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """See `StateListing`."""
        return self._state.state(prefix, after=self._key)


def listed_after(state: LedgerStore, key: bytes | None) -> StateListing:
    """`state` with lists that begin above the state key `key`; with all of them when it is None."""
    return state if key is None else LaterListing(state, key)
