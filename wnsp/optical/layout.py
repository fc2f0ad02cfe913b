"""Which cell of a picture holds what. A picture is a square of cells inside a white margin.

Corners: four finder marks, concentric squares of 7 cells, each with one white cell between it and the rest. Rows
and columns 6 and `cells - 7`, between the marks: timing, dark and white in turn. Rows and columns 0, 1 and the
last two, between the marks: calibration, patches of 2 by 2 cells with the eight states in order. What remains
carries: 128 cells, spread by a fixed rule, the header; the others, in reading order, the body.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from wnsp.optical.errors import PictureSizeUnknown
from wnsp.optical.palette import COLOURS

Int64s = npt.NDArray[np.int64]

LEAST_CELLS = 24
MOST_CELLS = 128
CELLS_STEP = 4
"""A side has 24, 28, … 128 cells."""
MARGIN_CELLS = 4
FINDER_CELLS = 7
FINDER_CENTRE = FINDER_CELLS / 2
CORNER_CELLS = FINDER_CELLS + 1
TIMING_LINE = 6
PATCH_CELLS = 2
HEADER_CELLS = 128


@dataclass(frozen=True, slots=True)
class Layout:
    """Positions as int64[n, 2] of (row, column)."""

    cells: int
    """Along a side, without the margin."""
    timing: Int64s
    """int64[4, cells - 16, 2]: the four lines, top, bottom, left, right; even positions along the line are dark."""
    calibration: Int64s
    calibration_states: Int64s
    header: Int64s
    body: Int64s

    @property
    def side_cells(self) -> int:
        """With the margin."""
        return self.cells + 2 * MARGIN_CELLS

    def finder_corners(self) -> tuple[tuple[int, int], ...]:
        """(row, column) of the first cell of each mark: top left, top right, bottom right, bottom left."""
        far = self.cells - FINDER_CELLS
        return ((0, 0), (0, far), (far, far), (far, 0))


def is_side(cells: int) -> bool:
    """Whether a picture can have that many cells along a side."""
    return LEAST_CELLS <= cells <= MOST_CELLS and (cells - LEAST_CELLS) % CELLS_STEP == 0


def sides() -> range:
    """All sides, smallest first."""
    return range(LEAST_CELLS, MOST_CELLS + 1, CELLS_STEP)


@lru_cache(maxsize=32)
def layout(cells: int) -> Layout:
    """The layout of a side. Raises PictureSizeUnknown."""
    if not is_side(cells):
        raise PictureSizeUnknown(cells=cells)
    taken = np.zeros((cells, cells), dtype=np.bool_)
    for rows in (slice(0, CORNER_CELLS), slice(cells - CORNER_CELLS, cells)):
        for columns in (slice(0, CORNER_CELLS), slice(cells - CORNER_CELLS, cells)):
            taken[rows, columns] = True
    between = np.arange(CORNER_CELLS, cells - CORNER_CELLS)
    timing = np.stack(
        [
            np.stack([np.full_like(between, TIMING_LINE), between], axis=1),
            np.stack([np.full_like(between, cells - 1 - TIMING_LINE), between], axis=1),
            np.stack([between, np.full_like(between, TIMING_LINE)], axis=1),
            np.stack([between, np.full_like(between, cells - 1 - TIMING_LINE)], axis=1),
        ]
    )
    taken[timing[..., 0], timing[..., 1]] = True
    calibration, calibration_states = _calibration(cells, between)
    taken[calibration[:, 0], calibration[:, 1]] = True
    free = np.argwhere(~taken)
    spread = np.argsort(_spread_keys(len(free)), kind="stable")
    header = free[spread[:HEADER_CELLS]]
    body = free[np.sort(spread[HEADER_CELLS:])]
    return Layout(cells, timing, calibration, calibration_states, header, body)


def _calibration(cells: int, between: Int64s) -> tuple[Int64s, Int64s]:
    """Sides in the order top, bottom, left, right; each starts two states later, so that opposite sides differ."""
    positions: list[tuple[int, int]] = []
    patch_states: list[int] = []
    for side in range(4):
        for step, along in enumerate(between.tolist()):
            state = (step // PATCH_CELLS + 2 * side) % len(COLOURS)
            for depth in range(PATCH_CELLS):
                across = depth if side in (0, 2) else cells - 1 - depth
                positions.append((across, along) if side < 2 else (along, across))
                patch_states.append(state)
    return np.array(positions, dtype=np.int64), np.array(patch_states, dtype=np.int64)


def _spread_keys(count: int) -> npt.NDArray[np.uint32]:
    stream = hashlib.shake_128(b"wnsp/optical/spread").digest(4 * count)
    return np.frombuffer(stream, dtype=">u4").astype(np.uint32)
