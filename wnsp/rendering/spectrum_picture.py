"""The spectrum of a message: which wavelengths it uses and how often, over the visible spectrum with its scales."""

from wnsp.physics import LIGHT_METRES_PER_SECOND, photon_energy_ev
from wnsp.rendering.colour import display_rgb
from wnsp.rendering.scene import (
    FAINT_INK,
    INK,
    RULE,
    Box,
    Label,
    Line,
    Scene,
    Shape,
    caption,
    png,
    spread_apart,
    svg,
    text_width,
)
from wnsp.rendering.tones import Drawable, Tone, readable, tones
from wnsp.spectrum import BANDS

SHORTEST_NM, LONGEST_NM = 380, 780
LEAST_WIDTH, MOST_WIDTH = 280, 4_000
WIDTH = 960
"""A desktop's column; 360 suits a phone."""
MARGIN = 20
STEM_HEIGHT = 170
RIBBON_HEIGHT = 44


def visualize_spectrum(message: Drawable = "", *, version: int = 2, width: int = WIDTH) -> str:
    """The spectrum of a text, bytes, frame or sequence of wavelengths as SVG, `width` units wide.

    Each wavelength used is a line in its colour, as high as it is frequent, above the visible spectrum with the
    six bands and scales in nm, THz and eV. Raises ValueError for a width outside 280 to 4,000, and as `tones`.
    """
    return svg(spectrum_scene(tones(message, version), width))


def spectrum_png(message: Drawable = "", *, version: int = 2, width: int = WIDTH) -> bytes:
    """The same as a PNG of twice as many pixels."""
    return png(spectrum_scene(tones(message, version), width))


def spectrum_scene(sequence: tuple[Tone, ...], width: int) -> Scene:
    """The drawing of `visualize_spectrum`."""
    if not LEAST_WIDTH <= width <= MOST_WIDTH:
        raise ValueError(f"a drawing is {LEAST_WIDTH} to {MOST_WIDTH} units wide, not {width}")
    amounts: dict[int, float] = {}
    labels: dict[int, str] = {}
    for tone in sequence:
        amounts[tone.wavelength_pm] = amounts.get(tone.wavelength_pm, 0.0) + tone.level
        labels[tone.wavelength_pm] = tone.label
    title = (
        f"Spectrum of {len(sequence)} symbols, {len(amounts)} wavelengths" if sequence else "Visible spectrum"
    )
    shapes: list[Shape] = [caption(title, width, MARGIN)]
    top = 52
    ribbon = top + STEM_HEIGHT if amounts else 48
    shapes += _stems(amounts, labels, width, top, ribbon)
    shapes += _ribbon(width, ribbon)
    below = ribbon + RIBBON_HEIGHT
    shapes += _bands(width, below)
    shapes += _scales(width, below + 44)
    return Scene(width, below + 44 + 106, title, tuple(shapes))


def _place(nanometres: float, width: int) -> float:
    share = (nanometres - SHORTEST_NM) / (LONGEST_NM - SHORTEST_NM)
    return MARGIN + share * (width - 2 * MARGIN)


def _stems(
    amounts: dict[int, float], labels: dict[int, str], width: int, top: int, ribbon: int
) -> list[Shape]:
    if not amounts:
        return []
    greatest = max(max(amounts.values()), 1e-9)
    room = ribbon - top - 26
    thick = max(2.0, min(7.0, (width - 2 * MARGIN) / 110))
    shapes: list[Shape] = []
    names: list[Label] = []
    tops: list[tuple[float, float]] = []
    for wavelength in sorted(amounts, key=lambda wavelength: (-amounts[wavelength], wavelength)):
        x = _place(wavelength / 1_000, width)
        height = max(3.0, room * amounts[wavelength] / greatest)
        shapes.append(Box(x - thick / 2, ribbon - 6 - height, thick, height, display_rgb(wavelength)))
        tops.append((x, ribbon - 6 - height))
        names.append(Label(x, ribbon - 6 - height - 10, readable(labels[wavelength]), 13))
    shapes += _uncrowded(names, tops, thick)
    return shapes


def _uncrowded(names: list[Label], tops: list[tuple[float, float]], thick: float) -> tuple[Label, ...]:
    """Labels that touch neither an earlier label nor another's stem."""
    kept: list[Label] = []
    for name in names:
        half = max(5.5, text_width(name.text, name.size) / 2)
        clear = all(
            abs(name.x - other.x) >= half + 5.5 or abs(name.y - other.y) >= 15 for other in kept
        ) and all(x == name.x or abs(name.x - x) >= half + thick / 2 or top >= name.y + 7 for x, top in tops)
        if clear:
            kept.append(name)
    return tuple(kept)


def _ribbon(width: int, top: int) -> list[Shape]:
    shapes: list[Shape] = []
    left = MARGIN
    right = width - MARGIN
    for x in range(left, right):
        nanometres = SHORTEST_NM + (x + 0.5 - left) / (right - left) * (LONGEST_NM - SHORTEST_NM)
        shapes.append(Box(x, top, 1, RIBBON_HEIGHT, display_rgb(round(nanometres * 1_000))))
    return shapes


def _bands(width: int, top: int) -> list[Shape]:
    shapes: list[Shape] = []
    for band in BANDS:
        left, right = _place(band.shortest_pm / 1_000, width), _place(band.longest_pm / 1_000, width)
        shapes.append(Line(left, top + 4, left, top + 28, RULE))
        shapes.append(Box(left + 1, top + 5, right - left - 1, 3, display_rgb(band.centre_pm)))
        for name in (band.name.capitalize(), band.name[:1]):
            if text_width(name, 12) <= right - left:
                shapes.append(Label((left + right) / 2, top + 19, name, 12, FAINT_INK))
                break
    end = _place(BANDS[-1].longest_pm / 1_000, width)
    shapes.append(Line(end, top + 4, end, top + 28, RULE))
    return shapes


def _scales(width: int, top: int) -> list[Shape]:
    """Wavelength, frequency and photon energy, each with its own round steps."""
    wavelengths = [(float(nm), f"{nm}") for nm in range(SHORTEST_NM, LONGEST_NM + 1, 20)]
    frequencies = [(LIGHT_METRES_PER_SECOND / thz / 1_000, f"{thz}") for thz in range(400, 781, 20)]
    one_ev_nm = photon_energy_ev(1_000)
    energies = [(one_ev_nm / (tenths / 10), f"{tenths / 10:.1f}") for tenths in range(16, 33)]
    shapes: list[Shape] = []
    for row, (unit, ticks) in enumerate((("nm", wavelengths), ("THz", frequencies), ("eV", energies))):
        y = top + 34 * row
        shapes.append(Line(MARGIN, y, width - MARGIN, y, RULE))
        unit_label = Label(width - MARGIN, y + 13, unit, 11, INK, "end")
        unit_left = width - MARGIN - text_width(unit, 11) - 4
        marks = [
            Label(_place(nanometres, width), y + 13, text, 11, FAINT_INK)
            for nanometres, text in ticks
            if SHORTEST_NM <= nanometres <= LONGEST_NM
        ]
        shapes += [Line(mark.x, y, mark.x, y + 4, FAINT_INK) for mark in marks]
        fitting = [
            mark
            for mark in marks
            if mark.x + text_width(mark.text, 11) / 2 <= unit_left
            and mark.x - text_width(mark.text, 11) / 2 >= 2
        ]
        step = next(
            step
            for step in (1, 2, 3, 4, 5, 10, len(fitting) + 1)
            if len(spread_apart(fitting[::step], 5)) == len(fitting[::step])
        )
        shapes += fitting[::step]
        shapes.append(unit_label)
    return shapes
