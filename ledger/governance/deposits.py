"""What a proposal has to deposit: the base, doubled for every eight places that are taken already.

Whoever fills all 64 places pays 8 × base × (1 + 2 + … + 128) = 2,040 × base, and keeps others out only of what is dear;
who proposes while few are open pays the base. Emergencies have places of their own and pay the base. Source: README.
"""

from collections.abc import Sequence
from typing import Final

from ledger.amounts import MAX_SUPPLY_UNITS
from ledger.governance.classes import EMERGENCY, POLICY
from ledger.governance.records import OPEN_KEY, Due, read_due
from ledger.governed.parameters import PROPOSAL_DEPOSIT_UNITS, read_parameter
from ledger.state import StateReader

PLACES_PER_DOUBLING: Final = 8
"""The deposit doubles for every so many of the ordinary places that are taken."""


def places_taken(listed: Sequence[Due]) -> int:
    """Of the places that proposals and campaigns share: how many of the open ones, `listed`, take one."""
    return sum(one.class_ != EMERGENCY for one in listed)


def deposit_units(base_units: int, places: int, class_: int = POLICY) -> int:
    """Units that a proposal of `class_` deposits while `places` are taken; at most all units that there are."""
    doublings = 0 if class_ == EMERGENCY else places // PLACES_PER_DOUBLING
    return min(MAX_SUPPLY_UNITS, base_units << doublings)


def next_deposit_units(reader: StateReader, class_: int = POLICY) -> int:
    """Units that a proposal of `class_` would deposit now. Errors: `CodecError` for a damaged state."""
    places = places_taken(read_due(reader, OPEN_KEY))
    return deposit_units(read_parameter(reader, PROPOSAL_DEPOSIT_UNITS), places, class_)
