"""The visible spectrum in integers: six bands, their wavelength ranges in picometres, their hash functions.

Source: consensus.md, Spectrum. Everything here is a constant of the protocol; changing one changes every block.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


class _Hash(Protocol):
    def digest(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Band:
    """One spectral band."""

    index: int
    """Position in order of wavelength, 0 (violet) to 5 (red); the band's number on the wire."""
    name: str
    shortest_pm: int
    """Inclusive."""
    longest_pm: int
    """Exclusive, but for red."""
    hash_name: str
    digest_bytes: int
    _hash: Callable[[bytes], _Hash]

    @property
    def centre_pm(self) -> int:
        """Centre wavelength in picometres (the borders' sum is even in every band)."""
        return (self.shortest_pm + self.longest_pm) // 2

    def digest(self, data: bytes) -> bytes:
        """The band's own hash of `data`: `digest_bytes` long."""
        return self._hash(data).digest()


BANDS: tuple[Band, ...] = (
    Band(0, "VIOLET", 380_000, 450_000, "SHA3-256", 32, hashlib.sha3_256),
    Band(1, "BLUE", 450_000, 495_000, "SHA3-512", 64, hashlib.sha3_512),
    Band(2, "GREEN", 495_000, 570_000, "BLAKE2b", 64, hashlib.blake2b),
    Band(3, "YELLOW", 570_000, 590_000, "BLAKE2s", 32, hashlib.blake2s),
    Band(4, "ORANGE", 590_000, 620_000, "SHA-512", 64, hashlib.sha512),
    Band(5, "RED", 620_000, 750_000, "SHA-256", 32, hashlib.sha256),
)
"""All bands in order of wavelength."""

BAND_COUNT = len(BANDS)
MAX_DIGEST_BYTES = max(band.digest_bytes for band in BANDS)
