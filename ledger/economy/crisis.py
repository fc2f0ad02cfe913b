"""The crisis drain: TRANSITION_RESERVE pays into F_FLOOR when the floor cannot meet its near need, and only then.

Economic loop, milestone 5. Bounds, all of them at once (reliability.md, D6): never without a lack, never more than the
lack, never more than the reserve holds, never more than the limit of one epoch. Reserve and floor are both inside of R:
a drain is no issuance.
"""

from dataclasses import dataclass
from typing import Final

from ledger.accounts import F_FLOOR_ADDRESS, TRANSITION_RESERVE_ADDRESS
from ledger.economy.journal import all_legs_or_none
from ledger.encoding import Codec, Count, Record
from ledger.state import Overlay, StateReader
from ledger.transfer import move_units

CRISIS_KEY: Final = b"lc"
"""State key of `CrisisRecord`; absent: there never was a drain."""


@dataclass(frozen=True, slots=True)
class CrisisNeed:
    """What the floor has for its near future, and what it needs; units."""

    have_units: int
    """F_FLOOR's balance less what it owes already."""
    need_units: int
    """What it is to pay out within the horizon."""

    @property
    def lack_units(self) -> int:
        """What is missing; 0 when there is no crisis."""
        return max(0, self.need_units - max(0, self.have_units))


class CrisisRecord(Record, frozen=True):
    """What crises have drained since genesis."""

    epoch: Count
    """Of the last drain."""
    units: Count
    """Drained in that epoch."""
    epochs: Count
    """In how many epochs there was a drain."""
    total_units: Count


NO_CRISIS: Final = CrisisRecord(0, 0, 0, 0)
CRISIS_CODEC: Final = Codec(CrisisRecord, "crisis record", 64)


@dataclass(frozen=True, slots=True)
class CrisisDrain:
    """One drain."""

    epoch: int
    lack_units: int
    drained_units: int
    """TRANSITION_RESERVE -> F_FLOOR, at least 1."""


def read_crisis(reader: StateReader) -> CrisisRecord:
    """The drains so far."""
    raw = reader.get(CRISIS_KEY)
    return NO_CRISIS if raw is None else CRISIS_CODEC.decode(raw)


class CrisisDrainController:
    """The seed's named entry to the drain, over one overlay."""

    __slots__ = ("_overlay",)

    def __init__(self, overlay: Overlay) -> None:
        self._overlay = overlay

    def execute_crisis_drain(
        self, need: CrisisNeed, limit_units: int, epoch: int
    ) -> tuple[bool, CrisisDrain | None, str]:
        """Snapshot, execute, roll back: drain min(lack, reserve, what `limit_units` leaves in this epoch), or nothing.

        `limit_units` is of the whole epoch: a second call in one epoch gets what the first left of it. Returns
        (success, drain or None, message); no drain without a crisis. A failure of the state below is raised after the
        rollback.
        """
        overlay = self._overlay
        lack = need.lack_units
        if lack == 0:
            return (
                False,
                None,
                f"no crisis: the floor has {need.have_units} units and needs {need.need_units}",
            )
        known = read_crisis(overlay)
        again = known.units > 0 and known.epoch == epoch
        left = limit_units - (known.units if again else 0)
        reserve = overlay.account(TRANSITION_RESERVE_ADDRESS).balance
        units = min(lack, reserve, left)
        if units <= 0:
            return (
                False,
                None,
                f"the floor lacks {lack} units, but the reserve holds {reserve} and this epoch's limit leaves {left}",
            )
        record = CrisisRecord(
            epoch,
            units + (known.units if again else 0),
            known.epochs + (0 if again else 1),
            known.total_units + units,
        )
        with all_legs_or_none(overlay):
            move_units(overlay, TRANSITION_RESERVE_ADDRESS, F_FLOOR_ADDRESS, units)
            overlay.put(CRISIS_KEY, CRISIS_CODEC.encode(record))
        return True, CrisisDrain(epoch, lack, units), "applied"
