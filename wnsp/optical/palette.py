"""The eight states of a cell: no light, or light of one of seven wavelengths.

The wavelengths lie on the lattice of WNSP v2 (380 + 6 k nm). They were chosen by an exhaustive local search as
the set whose sRGB colours, with black, have the greatest least distance in luma and chroma, the space in which
JPEG adds its error.
"""

from wnsp.rendering.colour import DARK, Rgb, wavelength_rgb

WAVELENGTHS_PM = (404_000, 476_000, 494_000, 518_000, 566_000, 590_000, 614_000)
COLOURS: tuple[Rgb, ...] = (DARK, *(wavelength_rgb(wavelength) for wavelength in WAVELENGTHS_PM))
"""sRGB per state; every colour has a channel at 0, so white (marks, margins) is what the least channel shows."""

WHITE: Rgb = (255, 255, 255)

STATES_OF_TWO_BITS = (0, 2, 4, 6)
"""Dark, 476, 518 and 590 nm: the states used where a cell carries two bits (the header, and pictures of four
colours)."""
STATES_OF_THREE_BITS = (0, 1, 2, 3, 4, 5, 6, 7)


def states(bits_per_cell: int) -> tuple[int, ...]:
    """The states in use, in the order of the bits' value; `bits_per_cell` is 2 or 3."""
    return STATES_OF_TWO_BITS if bits_per_cell == 2 else STATES_OF_THREE_BITS
