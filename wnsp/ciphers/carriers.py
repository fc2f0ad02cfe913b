"""The four modes as carriers: an exact, reversible modulation of bytes onto photon frames.

A carrier protects nothing: what it carries is sealed before. Dimensions that carry no bits hold public values that
follow from the header, so that every number of every frame is checked. Source: wnsp/CRYPTOGRAPHY.md, Modes.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wnsp.ciphers.errors import BodyPaddingNotZero, CarrierChanged, FrameCountWrong, ModeUnknown
from wnsp.ciphers.photons import (
    AMPLITUDE,
    DIMENSIONS,
    LATTICE,
    PHASE,
    POLARISATION,
    WAVELENGTH,
    PhotonFrames,
    frames_from_indices,
    lattice_indices,
)

CARRIER_DOMAIN = b"nexus/wnsp/v2/carrier"


@dataclass(frozen=True, slots=True)
class Carrier:
    """One mode."""

    name: str
    number: int
    """The mode's byte in the header."""
    carries: tuple[tuple[int, int], ...]
    """(dimension, bits of each frame), in the order in which a frame's bits are dealt, highest first."""

    @property
    def bits_per_frame(self) -> int:
        """What one frame carries."""
        return sum(bits for _, bits in self.carries)

    @property
    def carrying(self) -> tuple[str, ...]:
        """Names of the dimensions that carry bits."""
        return tuple(DIMENSIONS[dimension] for dimension, _ in self.carries)

    @property
    def silent(self) -> tuple[int, ...]:
        """Dimensions with a lattice that carry nothing."""
        carrying = [dimension for dimension, _ in self.carries]
        return tuple(dimension for dimension in range(4) if dimension not in carrying)


CARRIERS = (
    Carrier("FSE", 1, ((WAVELENGTH, 8),)),
    Carrier("AME", 2, ((AMPLITUDE, 3),)),
    Carrier("PME", 3, ((PHASE, 4), (POLARISATION, 2))),
    Carrier("QIML", 4, ((WAVELENGTH, 8), (AMPLITUDE, 3), (PHASE, 4), (POLARISATION, 2))),
)
MODES = tuple(carrier.name for carrier in CARRIERS)
_BY_NAME = {carrier.name: carrier for carrier in CARRIERS}
BY_NUMBER = {carrier.number: carrier for carrier in CARRIERS}


def carrier_named(mode: str) -> Carrier:
    """The carrier of a mode. Raises `ModeUnknown`."""
    found = _BY_NAME.get(mode)
    if found is None:
        raise ModeUnknown(mode)
    return found


def frame_count(carrier: Carrier, body_length: int) -> int:
    """Frames that `body_length` bytes take."""
    return -(-8 * body_length // carrier.bits_per_frame)


def silent_values(header: bytes, dimension: int, frames: int) -> NDArray[np.uint8]:
    """What a dimension that carries nothing holds, as lattice steps: uint8[frames].

    The i-th byte of SHAKE-256(domain ‖ dimension ‖ header), modulo the number of the dimension's values, which is a
    power of two.
    """
    stream = hashlib.shake_256(CARRIER_DOMAIN + bytes((dimension,)) + header).digest(frames)
    return np.frombuffer(stream, dtype=np.uint8) & np.uint8(LATTICE[dimension][2] - 1)


def modulate(carrier: Carrier, header: bytes, body: bytes) -> PhotonFrames:
    """Frames that carry `body`; the last frame is filled up with zero bits."""
    count = frame_count(carrier, len(body))
    bits = np.zeros(count * carrier.bits_per_frame, dtype=np.uint8)
    bits[: 8 * len(body)] = np.unpackbits(np.frombuffer(body, dtype=np.uint8))
    dealt = bits.reshape(count, carrier.bits_per_frame)
    indices = np.empty((4, count), dtype=np.uint8)
    start = 0
    for dimension, width in carrier.carries:
        octets = np.packbits(dealt[:, start : start + width], axis=1)[:, 0]
        np.right_shift(octets, 8 - width, out=indices[dimension])
        start += width
    for dimension in carrier.silent:
        indices[dimension] = silent_values(header, dimension, count)
    return frames_from_indices(indices)


def demodulate(carrier: Carrier, header: bytes, body_length: int, frames: PhotonFrames) -> bytes:
    """The body of `body_length` bytes that the frames carry.

    Raises `FrameCountWrong`, `OffLattice`, `CarrierChanged`, `BodyPaddingNotZero`.
    """
    count = frame_count(carrier, body_length)
    if len(frames) != count:
        raise FrameCountWrong(count, len(frames))
    indices = lattice_indices(frames)
    for dimension in carrier.silent:
        wrong = indices[dimension] != silent_values(header, dimension, count)
        if wrong.any():
            frame = int(wrong.argmax())
            first, step, _ = LATTICE[dimension]
            expected = first + step * int(silent_values(header, dimension, count)[frame])
            raise CarrierChanged(
                DIMENSIONS[dimension], frame, expected, int(frames.columns[dimension, frame])
            )
    dealt = np.empty((count, carrier.bits_per_frame), dtype=np.uint8)
    start = 0
    for dimension, width in carrier.carries:
        octets = np.unpackbits(indices[dimension][:, np.newaxis], axis=1)
        dealt[:, start : start + width] = octets[:, 8 - width :]
        start += width
    bits = dealt.reshape(-1)
    if bits[8 * body_length :].any():
        raise BodyPaddingNotZero(len(bits) - 8 * body_length)
    return np.packbits(bits[: 8 * body_length]).tobytes()
