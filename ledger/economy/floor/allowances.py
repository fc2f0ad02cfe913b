"""What a citizen has at its disposal: settled by the accumulators, claimed as money or spent by category. Pure."""

import msgspec

from ledger.amounts import PPM
from ledger.economy.apportionment import largest_remainder
from ledger.economy.floor.records import Citizen, FloorState


def settled(citizen: Citizen, floor: FloorState) -> Citizen:
    """The citizen with everything in `left` that was paid to it up to now."""
    return msgspec.structs.replace(
        citizen,
        seen=floor.accumulators,
        left=tuple(
            [
                left + now - seen
                for left, now, seen in zip(citizen.left, floor.accumulators, citizen.seen, strict=True)
            ]
        ),
    )


def claimable_units(citizen: Citizen, cash_ppm: int) -> int:
    """Units that a settled citizen may claim as money now: of all that it ever got `cash_ppm`, less what it claimed.

    Never more than is left. Repeated claims reach no further than one.
    """
    left = sum(citizen.left)
    received = left + citizen.claimed_units + citizen.spent_units
    return max(0, min(left, received * cash_ppm // PPM - citizen.claimed_units))


def after_claim(citizen: Citizen, units: int) -> Citizen:
    """A settled citizen after claiming 1 to Σ left units, taken from all categories in proportion to what is left."""
    taken = largest_remainder(units, citizen.left)
    return msgspec.structs.replace(
        citizen,
        left=tuple([left - part for left, part in zip(citizen.left, taken, strict=True)]),
        claimed_units=citizen.claimed_units + units,
    )


def after_spending(citizen: Citizen, category: int, units: int) -> Citizen:
    """A settled citizen after paying `units` of what is left in a category, which holds as many."""
    left = list(citizen.left)
    left[category] -= units
    return msgspec.structs.replace(citizen, left=tuple(left), spent_units=citizen.spent_units + units)
