"""The spectral regions of messages and their centres, in integers; the numbers are those of `wnsp.spectrum`.

The ledger does not import wnsp; `tests/ledger/economy/test_message_burn.py` holds the two tables equal.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Region:
    """One region of the visible spectrum."""

    name: str
    centre_pm: int
    """Wavelength of its centre in picometres."""


REGIONS: Final = (
    Region("VIOLET", 415_000),
    Region("BLUE", 472_500),
    Region("GREEN", 532_500),
    Region("YELLOW", 580_000),
    Region("ORANGE", 605_000),
    Region("RED", 685_000),
)
"""In order of wavelength: a region's place is its number on the wire, 0 to 5."""
