"""Who may attest that an address belongs to one person: named in genesis, changed by votes."""

from typing import Annotated, Final

import msgspec

from ledger.encoding import Address20, Codec
from ledger.state import Overlay, StateReader

REGISTRARS_KEY: Final = b"gr"
"""State key of the canonical array of their addresses, ascending."""

MAX_REGISTRARS: Final = 64

REGISTRARS_CODEC: Final[Codec[tuple[bytes, ...]]] = Codec(
    Annotated[tuple[Address20, ...], msgspec.Meta(max_length=MAX_REGISTRARS)],  # type: ignore[arg-type]
    "registrars",
    2_048,
)


def read_registrars(reader: StateReader) -> tuple[bytes, ...]:
    """Their addresses (20 bytes), ascending."""
    raw = reader.get(REGISTRARS_KEY)
    return () if raw is None else REGISTRARS_CODEC.decode(raw)


def add_registrar(overlay: Overlay, address: bytes) -> bool:
    """Whether `address` is a registrar now and was none before; False also when there are too many."""
    known = read_registrars(overlay)
    if address in known or len(known) >= MAX_REGISTRARS:
        return False
    overlay.put(REGISTRARS_KEY, REGISTRARS_CODEC.encode(tuple(sorted((*known, address)))))
    return True


def remove_registrar(overlay: Overlay, address: bytes) -> bool:
    """Whether `address` was a registrar; it is none now."""
    known = read_registrars(overlay)
    if address not in known:
        return False
    left = tuple(one for one in known if one != address)
    if left:
        overlay.put(REGISTRARS_KEY, REGISTRARS_CODEC.encode(left))
    else:
        overlay.delete(REGISTRARS_KEY)
    return True
