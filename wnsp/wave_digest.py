"""The digest of a wave message, and whether its frames are plausible.

What is checked is BLAKE2b-256; that the frames are light only makes some errors visible earlier. Each plausibility
check has an error of its own. Source: wnsp/CRYPTOGRAPHY.md, Wave digest.
"""

from hashlib import blake2b
from typing import Final

import numpy as np

from wnsp.ciphers.errors import EnergyDiffers, OutsideRegion, WrongSize
from wnsp.ciphers.photons import AMPLITUDE, WAVELENGTH, PhotonFrames, canonical_frames, lattice_indices

DIGEST_BYTES: Final = 32
FIRST: Final = bytes(DIGEST_BYTES)
"""The previous digest of a message that follows none."""

PERSON: Final = b"wnsp-wave-v1"

PLANCK_TIMES_LIGHT_UEV_PM: Final = 1_239_841_984_332
"""h·c in micro-electronvolts times picometres (CODATA 2018, exact constants; rounded down)."""


def wave_digest(previous: bytes, header: bytes, frames: PhotonFrames) -> bytes:
    """32 bytes: BLAKE2b-256 of the previous digest, the header with its length in front, and all frames.

    Raises `WrongSize`.
    """
    if len(previous) != DIGEST_BYTES:
        raise WrongSize("previous digest", DIGEST_BYTES, len(previous))
    hasher = blake2b(previous, digest_size=DIGEST_BYTES, person=PERSON)
    hasher.update(len(header).to_bytes(4, "big"))
    hasher.update(header)
    hasher.update(canonical_frames(frames))
    return hasher.digest()


def check_lattice(frames: PhotonFrames) -> None:
    """Raises `OffLattice` for the first value that no frame may hold."""
    lattice_indices(frames)


def check_region(frames: PhotonFrames, shortest_pm: int, longest_pm: int) -> None:
    """Every wavelength lies within the region, ends included. Raises `OutsideRegion`."""
    wavelengths = frames.columns[WAVELENGTH].astype(np.int64)
    outside = (wavelengths < shortest_pm) | (wavelengths > longest_pm)
    if outside.any():
        frame = int(outside.argmax())
        raise OutsideRegion(frame, int(wavelengths[frame]), shortest_pm, longest_pm)


def energy_uev(frames: PhotonFrames) -> int:
    """Energy of all frames in micro-electronvolts: amplitude times h·c by wavelength, each photon's rounded down.

    The frames must be on the lattice.
    """
    photons = PLANCK_TIMES_LIGHT_UEV_PM // frames.columns[WAVELENGTH].astype(np.int64)
    return int((photons * frames.columns[AMPLITUDE].astype(np.int64)).sum())


def check_energy(frames: PhotonFrames, declared_uev: int) -> None:
    """Raises `EnergyDiffers`."""
    found = energy_uev(frames)
    if found != declared_uev:
        raise EnergyDiffers(declared_uev, found)
