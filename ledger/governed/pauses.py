"""The one kind of transaction that an emergency vote may pause, for one epoch and nothing else."""

from typing import Final

from ledger.errors import Malformed
from ledger.state import Overlay, StateReader

PAUSE_KEY: Final = b"gk"
"""State key of the latest pause: kind u32 ‖ epoch u64."""

PAUSABLE_KINDS: Final = frozenset((1, 2, 3, 20, 21, 22, 30, 31, 32, 33, 40, 41, 42, 43, 60))
"""Numbers of the kinds that may be paused: those whose `Kind.may_pause` says so, which a test compares. A proposal is
judged by this, since the registry of kinds stands above it. Never what finality, stakes and votes rest on."""

_BYTES: Final = 12


def read_pause(reader: StateReader) -> tuple[int, int] | None:
    """(kind's number, epoch) of the latest pause, or None. Errors: `Malformed` for a damaged state."""
    raw = reader.get(PAUSE_KEY)
    if raw is None:
        return None
    if len(raw) != _BYTES:
        raise Malformed("pause", f"{len(raw)} bytes, expected {_BYTES}")
    return int.from_bytes(raw[:4], "big"), int.from_bytes(raw[4:], "big")


def paused_kind(reader: StateReader, epoch: int) -> int | None:
    """The number of the kind that is paused in `epoch`, or None."""
    pause = read_pause(reader)
    return pause[0] if pause is not None and pause[1] == epoch else None


def pause_kind(overlay: Overlay, kind: int, epoch: int) -> None:
    """Pause a kind in `epoch`, instead of any other pause."""
    overlay.put(PAUSE_KEY, kind.to_bytes(4, "big") + epoch.to_bytes(8, "big"))
