"""Photon frames: what a sealed message is modulated onto, as integers on a lattice.

A frame has five dimensions: wavelength in picometres, amplitude 1 to 8, phase in 1/65,536 of a turn, polarisation 0
to 3 (horizontal, diagonal, vertical, antidiagonal), time as the frame's place in the message. A value off the lattice
is refused, never rounded. Source: wnsp/CRYPTOGRAPHY.md, Frames.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wnsp.ciphers.errors import OffLattice

DIMENSIONS = ("wavelength", "amplitude", "phase", "polarisation", "time")
WAVELENGTH, AMPLITUDE, PHASE, POLARISATION, TIME = range(5)

SHORTEST_PM = 380_000
STEP_PM = 1_450
"""256 steps end at 749,750 pm, inside visible light."""

LATTICE = ((SHORTEST_PM, STEP_PM, 256), (1, 1, 8), (0, 4_096, 16), (0, 1, 4))
"""(first value, step, number of values) of wavelength, amplitude, phase and polarisation."""

MAX_VALUE = 0xFFFF_FFFF


class PhotonFrame(NamedTuple):
    """One frame."""

    wavelength_pm: int
    amplitude: int
    phase: int
    """In 1/65,536 of a turn."""
    polarisation: int
    time: int
    """Place in the message, from 0."""


@dataclass(frozen=True, slots=True, eq=False)
class PhotonFrames:
    """All frames of a message, held by dimension."""

    columns: NDArray[np.uint32]
    """uint32[5, frames], read-only, in the order of `DIMENSIONS`."""

    def __len__(self) -> int:
        return int(self.columns.shape[1])

    def __getitem__(self, index: int) -> PhotonFrame:
        return PhotonFrame(*self.columns[:, index].tolist())

    def __iter__(self) -> Iterator[PhotonFrame]:
        return (PhotonFrame(*values) for values in self.columns.T.tolist())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PhotonFrames) and np.array_equal(self.columns, other.columns)

    def __hash__(self) -> int:
        return hash(self.columns.tobytes())

    @classmethod
    def from_columns(cls, columns: NDArray[np.uint32]) -> "PhotonFrames":
        """Frames from uint32[5, frames]; the array is taken over and locked."""
        columns.setflags(write=False)
        return cls(columns)

    @classmethod
    def from_frames(cls, frames: Iterable[tuple[int, int, int, int, int]]) -> "PhotonFrames":
        """Frames from anybody's integers. Raises `OffLattice` for what no frame can hold."""
        rows = [tuple(frame) for frame in frames]
        for number, row in enumerate(rows):
            for dimension, value in zip(DIMENSIONS, row, strict=True):
                if not 0 <= value <= MAX_VALUE:
                    raise OffLattice(dimension, number, value)
        columns = np.array(rows, dtype=np.uint32).reshape(len(rows), len(DIMENSIONS)).T
        return cls.from_columns(np.ascontiguousarray(columns))


def lattice_indices(frames: PhotonFrames) -> NDArray[np.uint8]:
    """Steps from the first value of each dimension: uint8[4, frames] (time has no lattice of its own).

    Raises `OffLattice` for the first frame of the first dimension that is off it, or out of its place in time.
    """
    indices = np.empty((4, len(frames)), dtype=np.uint8)
    for dimension in range(4):
        wrong = off_lattice(frames, dimension)
        if wrong.any():
            frame = int(wrong.argmax())
            raise OffLattice(DIMENSIONS[dimension], frame, int(frames.columns[dimension, frame]))
        first, step, _ = LATTICE[dimension]
        indices[dimension] = (frames.columns[dimension] - np.uint32(first)) // np.uint32(step)
    misplaced = off_lattice(frames, TIME)
    if misplaced.any():
        frame = int(misplaced.argmax())
        raise OffLattice("time", frame, int(frames.columns[TIME, frame]))
    return indices


def off_lattice(frames: PhotonFrames, dimension: int) -> NDArray[np.bool_]:
    """For each frame, whether its value in `dimension` is none that a frame may hold: bool[frames]."""
    values = frames.columns[dimension]
    if dimension == TIME:
        misplaced: NDArray[np.bool_] = values != np.arange(len(frames), dtype=np.uint32)
        return misplaced
    first, step, count = LATTICE[dimension]
    offset = values - np.uint32(first)  # below the first value it wraps to far above the last
    off: NDArray[np.bool_] = (offset > np.uint32(step * (count - 1))) | (offset % np.uint32(step) != 0)
    return off


def frames_from_indices(indices: NDArray[np.uint8]) -> PhotonFrames:
    """Frames from steps uint8[4, frames]; time counts from 0."""
    count = indices.shape[1]
    columns = np.empty((5, count), dtype=np.uint32)
    for dimension, (first, step, _) in enumerate(LATTICE):
        np.multiply(indices[dimension], np.uint32(step), out=columns[dimension], dtype=np.uint32)
        columns[dimension] += np.uint32(first)
    columns[TIME] = np.arange(count, dtype=np.uint32)
    return PhotonFrames.from_columns(columns)


def dimension_bytes(frames: PhotonFrames, dimension: int) -> bytes:
    """The values of one dimension, in order, u32 big-endian each."""
    raw: bytes = frames.columns[dimension].astype(">u4").tobytes()
    return raw


def canonical_frames(frames: PhotonFrames) -> bytes:
    """What is hashed of frames: their number (u32), then the five dimensions one after the other."""
    return len(frames).to_bytes(4, "big") + frames.columns.astype(">u4").tobytes()
