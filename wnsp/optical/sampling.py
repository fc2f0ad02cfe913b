"""From pixels to cells: the projective map, the colours in the cells, and which state each colour is.

The map takes cell coordinates (column, row, in cells from the first cell's corner) to pixels; four points fix it
(Hartley and Zisserman, Multiple View Geometry, 4.1).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wnsp.optical.layout import FINDER_CENTRE, Layout
from wnsp.optical.picture_file import Pixels

Floats = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]

SAMPLES = 5
"""Per cell and direction, within the middle `SAMPLED_SHARE` of it."""
SAMPLED_SHARE = 0.5
REFINEMENTS = 2
PRIOR_WEIGHT = 4.0
"""How many cells the calibration of a state counts for when its colour is estimated again from the cells
themselves."""
NOISE_FLOOR = 9.0
"""Least variance per channel: rounding and what calibration patches, fewer than the cells, do not show."""


def projection(corners: Floats, side_cells: int) -> Floats:
    """float64[3, 3] that takes (column, row, 1) to pixels (x, y, 1); `corners: float64[4, 2]` are the marks' centres,
    top left first, clockwise."""
    near, far = FINDER_CENTRE, side_cells - FINDER_CENTRE
    rows: list[list[float]] = []
    for (u, v), (x, y) in zip(((near, near), (far, near), (far, far), (near, far)), corners, strict=True):
        rows.append([u, v, 1, 0, 0, 0, -u * x, -v * x])
        rows.append([0, 0, 0, u, v, 1, -u * y, -v * y])
    solution = np.linalg.lstsq(np.array(rows), np.asarray(corners).reshape(-1), rcond=None)[0]
    return np.asarray(np.append(solution, 1.0).reshape(3, 3), dtype=np.float64)


def sample(pixels: Pixels, matrix: Floats, positions: Int64s) -> Floats:
    """float64[n, 3]: mean colour in the middle of each cell (row, column); outside the picture its edge is taken."""
    offsets = (np.arange(SAMPLES) - (SAMPLES - 1) / 2) * (SAMPLED_SHARE / (SAMPLES - 1)) + 0.5
    columns = positions[:, 1, None, None] + offsets[None, None, :]
    rows = positions[:, 0, None, None] + offsets[None, :, None]
    columns, rows = np.broadcast_arrays(columns, rows)
    depth = matrix[2, 0] * columns + matrix[2, 1] * rows + matrix[2, 2]
    depth = np.where(abs(depth) < 1e-9, 1e-9, depth)
    x = (matrix[0, 0] * columns + matrix[0, 1] * rows + matrix[0, 2]) / depth - 0.5
    y = (matrix[1, 0] * columns + matrix[1, 1] * rows + matrix[1, 2]) / depth - 0.5
    return np.asarray(_bilinear(pixels, x, y).mean(axis=(1, 2)), dtype=np.float64)


def _bilinear(pixels: Pixels, x: Floats, y: Floats) -> Floats:
    height, width, _ = pixels.shape
    x = np.clip(x, 0, width - 1)
    y = np.clip(y, 0, height - 1)
    left, top = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    share_x, share_y = (x - left)[..., None], (y - top)[..., None]
    upper = pixels[top, left] * (1 - share_x) + pixels[top, right] * share_x
    lower = pixels[bottom, left] * (1 - share_x) + pixels[bottom, right] * share_x
    return np.asarray(upper * (1 - share_y) + lower * share_y, dtype=np.float64)


def timing_strength(pixels: Pixels, matrix: Floats, plan: Layout) -> float:
    """0 to 1: how clearly dark and white alternate along the four lines if the side is the plan's."""
    lines = sample(pixels, matrix, plan.timing.reshape(-1, 2)).min(axis=1).reshape(4, -1)
    signs = np.where(np.arange(lines.shape[1]) % 2 == 0, -1.0, 1.0)
    centred = lines - lines.mean(axis=1, keepdims=True)
    spread = np.sqrt((centred**2).sum(axis=1) * len(signs)) + 1e-9
    return float(np.median(abs((centred * signs).sum(axis=1)) / spread))


@dataclass(frozen=True, slots=True)
class Reference:
    """What the states look like in this picture."""

    means: Floats
    """float64[states, 3]."""
    whitening: Floats
    """float64[3, 3]: takes colour differences to units of the pooled noise."""


def reference(samples: Floats, states: Int64s, count: int) -> Reference:
    """Calibrated from cells whose state is known; every state must be among them."""
    means = np.stack([samples[states == state].mean(axis=0) for state in range(count)])
    return Reference(means, _whitening(samples - means[states]))


def likeness(samples: Floats, ideal: Floats) -> float:
    """0 to 1: share of the samples' variance that an affine change of the ideal colours (brightness, contrast, tint)
    explains; `float64[n, 3]` both. Tells the right turn of a picture from seven wrong ones."""
    known = np.concatenate([ideal, np.ones((len(ideal), 1))], axis=1)
    change = np.linalg.lstsq(known, samples, rcond=None)[0]
    total = ((samples - samples.mean(axis=0)) ** 2).sum()
    return 1.0 - float(((samples - known @ change) ** 2).sum() / (total + 1e-9))


def separation(calibrated: Reference) -> float:
    """Distance of the two nearest states in units of the noise."""
    white = calibrated.means @ calibrated.whitening.T
    distance = np.linalg.norm(white[:, None] - white[None], axis=2) + np.eye(len(white)) * 1e9
    return float(distance.min())


def classify(samples: Floats, calibrated: Reference, used: tuple[int, ...]) -> tuple[Int64s, Floats]:
    """(index within `used`, certainty) of each cell; certainty is the second least squared distance minus the least.

    The colours of the states in use are then estimated again from the cells, and the cells judged again.
    """
    prior = calibrated.means[list(used)]
    means, whitening = prior, calibrated.whitening
    chosen, certainty = _nearest(samples, means, whitening)
    for _ in range(REFINEMENTS):
        counts = np.bincount(chosen, minlength=len(used))[:, None]
        sums = np.stack([np.bincount(chosen, samples[:, k], minlength=len(used)) for k in range(3)], axis=1)
        means = (prior * PRIOR_WEIGHT + sums) / (PRIOR_WEIGHT + counts)
        whitening = _whitening(samples - means[chosen])
        chosen, certainty = _nearest(samples, means, whitening)
    return chosen, certainty


def _nearest(samples: Floats, means: Floats, whitening: Floats) -> tuple[Int64s, Floats]:
    differences = (samples[:, None] - means[None]) @ whitening.T
    distances = (differences**2).sum(axis=2)
    least = np.partition(distances, 1, axis=1)
    return distances.argmin(axis=1), least[:, 1] - least[:, 0]


def _whitening(residuals: Floats) -> Floats:
    covariance = residuals.T @ residuals / max(1, len(residuals)) + np.eye(3) * NOISE_FLOOR
    return np.linalg.inv(np.linalg.cholesky(covariance))
