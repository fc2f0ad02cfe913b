"""Where bundles wait: an ordered store of bytes with a capacity. The node's is LevelDB, this one is memory.

What the mesh relies on: a `put` or `delete` that returned is there after a crash (the node's store syncs), one `write`
is all or nothing, and `iterate` gives keys in byte order.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from typing import Protocol

from wnsp.mesh.errors import CustodyFull


class Custody(Protocol):
    """The store that the node passes in."""

    @property
    def used_bytes(self) -> int:
        """Keys and values now held."""
        ...

    @property
    def capacity_bytes(self) -> int:
        """What they may come to."""
        ...

    def get(self, key: bytes) -> bytes | None:
        """The value, or None."""
        ...

    def put(self, key: bytes, value: bytes) -> None:
        """Set one value. Errors: `CustodyFull`, and nothing changed."""
        ...

    def delete(self, key: bytes) -> None:
        """Remove the key if it is there."""
        ...

    def write(self, puts: Sequence[tuple[bytes, bytes]], deletes: Sequence[bytes] = ()) -> None:
        """All of it or nothing; deletes first. Errors: `CustodyFull`, and nothing changed."""
        ...

    def iterate(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Keys that begin with `prefix`, in byte order, with values."""
        ...


class MemoryCustody:
    """Custody in memory, for tests, simulation and nodes without a disk."""

    def __init__(self, capacity_bytes: int) -> None:
        self._capacity_bytes = capacity_bytes
        self._used_bytes = 0
        self._values: dict[bytes, bytes] = {}
        self._keys: list[bytes] = []

    @property
    def used_bytes(self) -> int:
        """Keys and values now held."""
        return self._used_bytes

    @property
    def capacity_bytes(self) -> int:
        """What they may come to."""
        return self._capacity_bytes

    def get(self, key: bytes) -> bytes | None:
        """The value, or None."""
        return self._values.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        """Set one value. Errors: `CustodyFull`."""
        self.write(((key, value),))

    def delete(self, key: bytes) -> None:
        """Remove the key if it is there."""
        self.write((), (key,))

    def write(self, puts: Sequence[tuple[bytes, bytes]], deletes: Sequence[bytes] = ()) -> None:
        """All of it or nothing; deletes first. Errors: `CustodyFull`."""
        after: dict[bytes, bytes | None] = dict.fromkeys(deletes)
        after.update(puts)
        growth = 0
        for key, value in after.items():
            before = self._values.get(key)
            growth -= 0 if before is None else len(key) + len(before)
            growth += 0 if value is None else len(key) + len(value)
        if growth > 0 and self._used_bytes + growth > self._capacity_bytes:
            raise CustodyFull(self._used_bytes + growth, self._capacity_bytes)
        self._used_bytes += growth
        for key, value in after.items():
            held = key in self._values
            if value is None:
                if held:
                    del self._values[key]
                    del self._keys[bisect_left(self._keys, key)]
            else:
                if not held:
                    insort(self._keys, key)
                self._values[key] = value

    def iterate(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Keys that begin with `prefix`, in byte order, with values; what is written meanwhile does not show."""
        start = bisect_left(self._keys, prefix)
        found = []
        for key in self._keys[start:]:
            if not key.startswith(prefix):
                break
            found.append((key, self._values[key]))
        return iter(found)
