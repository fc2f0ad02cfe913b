"""Finding the four corner marks, whatever the picture's size and turn.

Only white has light in all three channels, every state of a cell lacks at least one. So in the picture of each
pixel's *least* channel the coloured cells are black, and the marks, concentric dark-white-dark squares, stand out
alone. A line through a mark's middle crosses runs in the ratio 1 : 1 : 3 : 1 : 1 whatever the angle (as in
ISO/IEC 18004). Such runs are sought along all rows and all columns; where both agree is a mark. Cost: O(pixels),
and at most `MOST_MARKS` candidates.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from wnsp.optical.picture_file import Pixels

Floats = npt.NDArray[np.float64]

MOST_MARKS = 12
MOST_QUADRILATERALS = 6
THRESHOLD_SHARES = (0.5, 0.35, 0.65)
"""Where between dark and white the border is put, one try after the other."""
MOST_CHANGES_SHARE = 0.12
"""Of neighbouring pixels that differ; beyond it the picture is noise, and looking costs much and finds nothing."""
LEAST_UNIT_PIXELS = 1.5
"""A cell smaller than this is not read."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A finder mark's centre and the size of its cells, in pixels."""

    x: float
    y: float
    unit: float
    votes: int


def quadrilaterals(pixels: Pixels) -> Iterator[tuple[Mark, Mark, Mark, Mark]]:
    """Likely sets of four marks, most likely first, each in cyclic order (clockwise on the screen)."""
    least = pixels.min(axis=2)
    for smoothing in (False, True):
        grey = _smoothed(least) if smoothing else least
        low, high = np.percentile(grey[::4, ::4], (0.5, 99.5))
        if high - low < 24:
            continue
        for share in THRESHOLD_SHARES:
            found = find_marks(grey > low + (high - low) * share)
            yield from _squares(found)


def find_marks(white: npt.NDArray[np.bool_]) -> list[Mark]:
    """Marks in a picture of white (True) and dark, best supported first."""
    x, row, unit_x = _crossings(white)
    y, column, unit_y = _crossings(np.ascontiguousarray(white.T))
    if not len(x) or not len(y):
        return []
    height, width = white.shape
    cell = 4
    across = width // cell + 3
    along_rows = np.bincount(
        (row // cell + 1) * across + (x / cell).astype(np.int64) + 1, minlength=across * (height // cell + 3)
    ).reshape(-1, across)
    along_columns = np.bincount(
        ((y / cell).astype(np.int64) + 1) * across + column // cell + 1,
        minlength=across * (height // cell + 3),
    ).reshape(-1, across)
    votes = np.minimum(_spread(along_rows), _spread(along_columns))
    marks: list[Mark] = []
    while len(marks) < MOST_MARKS:
        best = int(votes.argmax())
        supporters = int(votes.flat[best])
        if supporters < 2:
            break
        near_y, near_x = ((best // across - 0.5) * cell, (best % across - 0.5) * cell)
        reach = 2.5 * cell
        in_rows = (abs(x - near_x) < reach) & (abs(row - near_y) < reach)
        unit = float(np.median(unit_x[in_rows])) if in_rows.any() else cell
        in_rows = (abs(x - near_x) < unit) & (abs(row - near_y) < 2 * unit + 2)
        in_columns = (abs(y - near_y) < unit) & (abs(column - near_x) < 2 * unit + 2)
        if in_rows.any() and in_columns.any():
            size = float(np.sqrt(np.median(unit_x[in_rows]) * np.median(unit_y[in_columns])))
            if size >= LEAST_UNIT_PIXELS:
                marks.append(
                    Mark(float(x[in_rows].mean()), float(y[in_columns].mean()), size, int(in_rows.sum()))
                )
        clear = max(2, int(4 * unit / cell))
        top, left = best // across, best % across
        votes[max(0, top - clear) : top + clear + 1, max(0, left - clear) : left + clear + 1] = 0
    return marks


def _crossings(white: npt.NDArray[np.bool_]) -> tuple[Floats, npt.NDArray[np.int64], Floats]:
    """Centre, line number and unit of every 1 : 1 : 3 : 1 : 1 of dark, white, dark, white, dark runs along axis 1."""
    height, width = white.shape
    padded = np.ones((height, width + 2), dtype=np.bool_)
    padded[:, 1:-1] = white
    padded[:, 0] = ~padded[:, 1]  # every line begins and ends with a change
    padded[:, -1] = ~padded[:, -2]
    changes = np.flatnonzero(padded[:, 1:] != padded[:, :-1])
    line, start = changes // (width + 1), changes % (width + 1)
    if len(start) < 6 or len(start) > MOST_CHANGES_SHARE * white.size:
        return np.zeros(0), np.zeros(0, dtype=np.int64), np.zeros(0)
    lengths = np.stack([start[1 + k : len(start) - 4 + k] - start[k : len(start) - 5 + k] for k in range(5)])
    same_line = line[5:] == line[:-5]
    first_dark = ~white[line[:-5], np.minimum(start[:-5], width - 1)]
    unit = lengths.sum(axis=0) / 7
    wanted = np.array([1, 1, 3, 1, 1])[:, None] * unit
    tolerance = np.maximum(np.array([0.6, 0.6, 1.0, 0.6, 0.6])[:, None] * unit, 1.0)
    fits = (abs(lengths - wanted) <= tolerance).all(axis=0) & same_line & first_dark & (unit >= 1)
    chosen = np.flatnonzero(fits)
    # The middle of the core and the middle of the whole agree in a mark; their mean is the steadier centre.
    core = start[chosen + 2] + lengths[2, chosen] / 2
    whole = (start[chosen] + start[chosen + 5]) / 2
    near = abs(core - whole) <= np.maximum(unit[chosen] / 2, 1.0)
    return ((core + whole) / 2)[near], line[chosen][near], unit[chosen][near]


def _spread(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Each entry with its eight neighbours."""
    padded = np.pad(counts, 1)
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    return np.asarray(rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:])


def _smoothed(grey: Pixels) -> Pixels:
    """Mean over 3 by 3 pixels; against noise."""
    padded = np.pad(grey, 1, mode="edge").astype(np.uint16)
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    return np.asarray((rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) // 9, dtype=np.uint8)


def _squares(marks: list[Mark]) -> Iterator[tuple[Mark, Mark, Mark, Mark]]:
    scored: list[tuple[float, int, tuple[Mark, Mark, Mark, Mark]]] = []
    for number, four in enumerate(combinations(marks, 4)):
        units = [mark.unit for mark in four]
        if max(units) > 1.7 * min(units):
            continue
        centre_x, centre_y = sum(mark.x for mark in four) / 4, sum(mark.y for mark in four) / 4
        ring = sorted(four, key=lambda mark: np.arctan2(mark.y - centre_y, mark.x - centre_x))
        sides = [float(np.hypot(ring[k].x - ring[k - 1].x, ring[k].y - ring[k - 1].y)) for k in (1, 2, 3, 0)]
        diagonals = [float(np.hypot(ring[k].x - ring[k + 2].x, ring[k].y - ring[k + 2].y)) for k in (0, 1)]
        if min(*sides, *diagonals) < 10 * max(units):
            continue
        unevenness = max(sides) / min(sides) + max(diagonals) / min(diagonals) - 2
        if unevenness > 0.9:
            continue
        scored.append(
            (unevenness - 0.1 * float(np.log(min(sides))), number, (ring[0], ring[1], ring[2], ring[3]))
        )
    scored.sort(key=lambda entry: entry[:2])
    yield from (four for _, _, four in scored[:MOST_QUADRILATERALS])
