"""A frame in time: one cell per symbol, in reading order, in the colour and as high as the intensity of its light."""

from wnsp.frame import WNSPFrame
from wnsp.rendering.colour import Rgb, display_rgb, readable_on
from wnsp.rendering.scene import FAINT_INK, Box, Label, Scene, Shape, caption, png, svg
from wnsp.rendering.spectrum_picture import LEAST_WIDTH, MOST_WIDTH, WIDTH
from wnsp.rendering.tones import SYMBOL_MS, Drawable, Tone, readable, tones, version_of
from wnsp.spectrum import BANDS

MARGIN = 20
CELL_WIDTH = 40
CELL_HEIGHT = 46
BAR_HEIGHT = 28
ROW_GAP = 8
PLATE: Rgb = (34, 38, 48)
MOST_SYMBOLS = 400
"""More are counted in the last line, not drawn."""


def frame_svg(message: Drawable, *, version: int = 2, width: int = WIDTH) -> str:
    """A text, bytes, frame or sequence of wavelengths as a strip of coloured cells, SVG. Errors as
    `visualize_spectrum`."""
    return svg(frame_scene(message, version, width))


def frame_png(message: Drawable, *, version: int = 2, width: int = WIDTH) -> bytes:
    """The same as a PNG of twice as many pixels."""
    return png(frame_scene(message, version, width))


def frame_scene(message: Drawable, version: int, width: int) -> Scene:
    """The drawing: a caption, rows of cells, and under each row the time at which it begins."""
    if not LEAST_WIDTH <= width <= MOST_WIDTH:
        raise ValueError(f"a drawing is {LEAST_WIDTH} to {MOST_WIDTH} units wide, not {width}")
    sequence = tones(message, version)
    symbol_ms = SYMBOL_MS[version_of(message, version)]
    title = f"{len(sequence)} symbols, {symbol_ms} ms each, {len(sequence) * symbol_ms / 1_000:g} s"
    shapes: list[Shape] = [caption(title, width, MARGIN)]
    y = 44
    if isinstance(message, WNSPFrame):
        for line in _facts(message, width):
            shapes.append(Label(MARGIN, y, line, 12, FAINT_INK, "start"))
            y += 18
        y += 4
    columns = max(1, (width - 2 * MARGIN) // CELL_WIDTH)
    drawn = sequence[:MOST_SYMBOLS]
    graded = any(tone.level < 1 for tone in drawn)
    for start in range(0, len(drawn), columns):
        for column, tone in enumerate(drawn[start : start + columns]):
            shapes += _cell(tone, MARGIN + column * CELL_WIDTH, y, graded)
        y += CELL_HEIGHT + (BAR_HEIGHT if graded else 0)
        shapes.append(Label(MARGIN, y + 9, f"{start * symbol_ms / 1_000:g} s", 10, FAINT_INK, "start"))
        y += 18 + ROW_GAP
    if len(sequence) > len(drawn):
        more = f"and {len(sequence) - len(drawn)} more symbols, not drawn"
        shapes.append(Label(MARGIN, y + 6, more, 12, FAINT_INK, "start"))
        y += 24
    return Scene(width, y + 8, title, tuple(shapes))


def _cell(tone: Tone, x: int, y: int, graded: bool) -> list[Shape]:
    """Character and wavelength in nm on the colour; or, where intensities differ, above a bar as high as the
    intensity."""
    colour = display_rgb(tone.wavelength_pm)
    width = CELL_WIDTH - 2
    lit = max(1.0, BAR_HEIGHT * tone.level)
    ground = PLATE if graded else colour
    shapes: list[Shape] = [Box(x, y, width, CELL_HEIGHT, ground)]
    if graded:
        shapes.append(Box(x, y + CELL_HEIGHT, width, BAR_HEIGHT, PLATE))
        shapes.append(Box(x, y + CELL_HEIGHT + BAR_HEIGHT - lit, width, lit, colour))
    ink = readable_on(ground)
    shapes.append(Label(x + width / 2, y + 16, readable(tone.label), 17, ink))
    shapes.append(Label(x + width / 2, y + 36, f"{tone.wavelength_pm / 1_000:g}", 11, ink))
    return shapes


def _facts(frame: WNSPFrame, width: int) -> list[str]:
    """The header in words, in as many lines as the width needs."""
    facts = [
        f"version {frame.version}",
        f"message {frame.sequence}",
        f"fragment {frame.fragment}" + (" (last)" if frame.last else ""),
        f"carrier {BANDS[frame.region].name.lower()}",
        "sealed, scheme " + str(frame.scheme) if frame.encrypted else "not sealed",
        f"{len(frame.payload)} bytes",
    ]
    lines = [facts[0]]
    for fact in facts[1:]:
        longer = f"{lines[-1]}  ·  {fact}"
        if len(longer) * 6.6 <= width - 2 * MARGIN:
            lines[-1] = longer
        else:
            lines.append(fact)
    return lines
