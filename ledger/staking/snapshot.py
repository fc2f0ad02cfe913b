"""The validator set of an epoch as the state holds it: what schedules are dealt from and handovers are proved with.

One record under one state key, replaced by every epoch transition, so that one membership proof under a finalised
state root hands the whole set to a light client. Bytes: README, Staking.
"""

from typing import Annotated, Final

import msgspec

from ledger.encoding import Codec, Count, Hash32, Record
from ledger.errors import Malformed
from ledger.hashing import digest, tagged
from ledger.state import StateReader

SNAPSHOT_KEY: Final = b"es"
"""State key of the latest snapshot."""

HISTORY_KEY: Final = b"eh"
"""State key of the digests of the last snapshots. Absent until the first transition."""

HISTORY_SNAPSHOTS = 64
"""Snapshots that a state names. Certificates rest on snapshots of some epochs before: who trusts one state can check
those that come after it, also where finality stood still for some epochs in between."""

_SNAPSHOT_TAG = tagged("nexus/epoch-snapshot/v1")

MAX_SNAPSHOT_VALIDATORS = 4_096
"""Active ones and those whose key alone is known."""

ValidatorIndex = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]


class SnapshotValidator(Record, frozen=True):
    """One validator at the beginning of an epoch."""

    index: ValidatorIndex
    consensus_key: Hash32
    stake_units: Count
    """Own and delegated stake; 0: it takes no part, only its key is known."""
    onion_tip: Hash32
    onion_epoch: Count
    """The epoch whose reveal `onion_tip` is, or in which it was committed to."""
    onion_layers: Count
    """Layers left under the tip."""
    onion_generation: Count


class EpochSnapshot(Record, frozen=True):
    """The validators and the randomness that an epoch began with."""

    epoch: Count
    """The epoch at whose beginning it was taken; 0 for genesis."""
    mix: Hash32
    """What all reveals so far came to: nobody could choose it."""
    validators: Annotated[tuple[SnapshotValidator, ...], msgspec.Meta(max_length=MAX_SNAPSHOT_VALIDATORS)]
    """Ascending by index."""


class SnapshotDigest(Record, frozen=True):
    """Which snapshot an epoch had."""

    epoch: Count
    digest: Hash32


SNAPSHOT_CODEC: Final = Codec(EpochSnapshot, "epoch snapshot", 1024 * 1024)
HISTORY_CODEC: Final[Codec[tuple[SnapshotDigest, ...]]] = Codec(
    Annotated[tuple[SnapshotDigest, ...], msgspec.Meta(max_length=HISTORY_SNAPSHOTS)],  # type: ignore[arg-type]
    "snapshot history",
    HISTORY_SNAPSHOTS * 48,
)


def snapshot_digest(raw: bytes) -> bytes:
    """32 bytes over the canonical bytes of a snapshot."""
    return digest(_SNAPSHOT_TAG, raw)


def read_history(reader: StateReader) -> tuple[SnapshotDigest, ...]:
    """The last snapshots' digests, ascending by epoch; empty before the first transition. Errors: `Malformed`."""
    raw = reader.get(HISTORY_KEY)
    return () if raw is None else HISTORY_CODEC.decode(raw)


def longer_history(reader: StateReader, epoch: int, raw: bytes) -> bytes:
    """The value at `HISTORY_KEY` once the snapshot `raw` of `epoch` follows those of the state. Errors: `Malformed`."""
    known = read_history(reader)
    if not known:  # the snapshot of genesis
        before = reader.get(SNAPSHOT_KEY)
        if before is not None:
            known = (SnapshotDigest(SNAPSHOT_CODEC.decode(before).epoch, snapshot_digest(before)),)
    return HISTORY_CODEC.encode((*known, SnapshotDigest(epoch, snapshot_digest(raw)))[-HISTORY_SNAPSHOTS:])


def read_snapshot(reader: StateReader) -> EpochSnapshot:
    """The latest snapshot of a state. Errors: `Malformed` when the state has none or a damaged one."""
    raw = reader.get(SNAPSHOT_KEY)
    if raw is None:
        raise Malformed("epoch snapshot", "the state holds none")
    return SNAPSHOT_CODEC.decode(raw)
