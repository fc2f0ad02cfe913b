"""The interference picture of a digest: twelve plane waves, superposed in integers, the same to the bit everywhere.

The picture is expanded from the digest, so a change of anything that was digested changes it, and comparing pictures by
eye or by machine is sound. It proves nothing by itself: what is checked is the digest.
Source: wnsp/CRYPTOGRAPHY.md, Interference picture.
"""

from hashlib import blake2b
from io import BytesIO
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wnsp.ciphers.errors import WrongSize

WAVES: Final = 12
MAX_CYCLES: Final = 16
"""A wave crosses the picture at most so many times in either direction."""

TABLE_SIZE: Final = 1_024
Q15_ONE: Final = 32_767
SIZES: Final = (64, 128, 256, 512)
"""Picture sides in pixels."""

EXPANSION_PERSON: Final = b"wnsp-picture-v1"

_FRACTION_BITS: Final = 96
_PI: Final = 0x3243F6A8885A308D313198A2E
"""π with 96 binary places, rounded down."""


class PlaneWave(NamedTuple):
    """One wave: amplitude times the sine of (cycles_x·x + cycles_y·y)/side + phase/1,024 turns."""

    cycles_x: int
    cycles_y: int
    phase: int
    amplitude: int


def _sine_q15(step: int) -> int:
    """sin(2π·step/1,024)·32,767, rounded to the nearest integer; the Taylor series in integers of 96 binary places."""
    quarter = TABLE_SIZE // 4
    if step >= 2 * quarter:
        return -_sine_q15(step - 2 * quarter)
    if step > quarter:
        return _sine_q15(2 * quarter - step)
    angle = 2 * _PI * step // TABLE_SIZE
    term = total = angle
    for power in range(1, 14):
        term = -(term * angle >> _FRACTION_BITS) * angle >> _FRACTION_BITS
        term //= 2 * power * (2 * power + 1)
        total += term
    return (total * Q15_ONE + (1 << _FRACTION_BITS - 1)) >> _FRACTION_BITS


SINE_Q15: Final[NDArray[np.int32]] = np.array([_sine_q15(step) for step in range(TABLE_SIZE)], dtype=np.int32)
"""One turn of the sine: int32[1024], -32,767 to 32,767."""
SINE_Q15.setflags(write=False)


def plane_waves(digest: bytes) -> tuple[PlaneWave, ...]:
    """The twelve waves of a 32-byte digest. Raises `WrongSize`.

    Five bytes a wave from BLAKE2b-512: cycles along x and y (a byte modulo 33, less 16), phase (two bytes modulo
    1,024), amplitude (a byte modulo 8, plus 1).
    """
    if len(digest) != 32:
        raise WrongSize("digest", 32, len(digest))
    stream = blake2b(digest, digest_size=64, person=EXPANSION_PERSON).digest()
    span = 2 * MAX_CYCLES + 1
    waves = []
    for start in range(0, 5 * WAVES, 5):
        x, y, high, low, amplitude = stream[start : start + 5]
        phase = (high << 8 | low) % TABLE_SIZE
        waves.append(PlaneWave(x % span - MAX_CYCLES, y % span - MAX_CYCLES, phase, amplitude % 8 + 1))
    return tuple(waves)


def interference_field(digest: bytes, side: int = 256) -> NDArray[np.int32]:
    """The superposed field: int32[side, side] in Q15 times amplitude, row by row. Raises `WrongSize`."""
    if side not in SIZES:
        raise WrongSize("picture side (64, 128, 256 or 512)", SIZES[2], side)
    steps = np.arange(side, dtype=np.int32) * (TABLE_SIZE // side)
    field = np.zeros((side, side), dtype=np.int32)
    for wave in plane_waves(digest):
        along_x = wave.cycles_x * steps[np.newaxis, :]
        along_y = wave.cycles_y * steps[:, np.newaxis]
        field += wave.amplitude * SINE_Q15[(along_x + along_y + wave.phase) & (TABLE_SIZE - 1)]
    return field


def interference_picture(digest: bytes, side: int = 256) -> NDArray[np.uint8]:
    """Brightness 0 to 255: uint8[side, side]; 128 is no field, 1 and 255 are half of the sum of all
    amplitudes and beyond (twelve crests hardly ever meet).

    Raises `WrongSize`.
    """
    field = interference_field(digest, side).astype(np.int64)
    crest = Q15_ONE * sum(wave.amplitude for wave in plane_waves(digest))
    return np.clip(128 + 2 * 127 * field // crest, 1, 255).astype(np.uint8)


def interference_png(digest: bytes, side: int = 256) -> bytes:
    """The picture as a PNG in the colours of a violet to red palette. The pixels are the same everywhere, the
    compressed bytes may differ between versions of zlib. Raises `WrongSize`.
    """
    image = Image.fromarray(interference_picture(digest, side))
    image.putpalette([channel for level in range(256) for channel in _palette(level)])
    target = BytesIO()
    image.save(target, "PNG")
    return target.getvalue()


def _palette(level: int) -> tuple[int, int, int]:
    """Colour of a brightness: straight lines between five stops, from dark violet through blue and green to yellow."""
    position = level * (len(_STOPS) - 1)
    stop, part = min(position // 255, len(_STOPS) - 2), position
    part -= stop * 255
    first, second = _STOPS[stop], _STOPS[stop + 1]
    red, green, blue = (low + (high - low) * part // 255 for low, high in zip(first, second, strict=True))
    return red, green, blue


_STOPS: Final = ((20, 4, 48), (60, 50, 150), (30, 145, 150), (100, 200, 90), (252, 236, 80))
