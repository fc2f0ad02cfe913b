"""Reading frames of the first scheme that bore these names. For study: the scheme protects nothing.

It shifted the energy of each letter's photon by up to a fifth, its intensity by up to four and its bit by one, each
by a byte of SHA-256(passphrase) repeated every 32 letters, and sent SHA-256(passphrase) along: whoever has the message
has the key. Wavelengths beyond 380 to 750 nm were cut off there, so letters were lost. There is no
function that writes it.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from wnsp.ciphers.errors import LegacyFrameUnreadable, ModeUnknown

METHODS = ("fse", "ame", "pme", "qiml")
SHORTEST_PM, LONGEST_PM = 380_000, 750_000
LETTER_STEP_PM = 16_000
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True)
class LegacyFrame:
    """One frame as it was published, its wavelength rounded to picometres."""

    wavelength_pm: int
    intensity: int
    """0 to 7."""
    bit: int


@dataclass(frozen=True, slots=True)
class LegacyReading:
    """What the frames say."""

    frames: tuple[LegacyFrame, ...]
    """As they were before the shifts, as far as that is known."""
    letters: str
    """The nearest letter of each frame."""
    lost: tuple[int, ...]
    """Frames whose wavelength or intensity stands at an end, where values were cut off: their letters are guesses."""
    insecure: bool = True
    """Always. Show it."""


def read_legacy(frames: Sequence[LegacyFrame], method: str, key_digest: bytes) -> LegacyReading:
    """Undo the shifts. `key_digest` is SHA-256(passphrase), which every such message carries as its "key hash".

    Raises `ModeUnknown`, `LegacyFrameUnreadable`.
    """
    if method not in METHODS:
        raise ModeUnknown(method)
    if len(key_digest) != hashlib.sha256().digest_size:
        raise LegacyFrameUnreadable(0, "key hash of bytes", len(key_digest))
    read, lost = [], []
    for number, frame in enumerate(frames):
        _check(number, frame)
        shift = key_digest[number % len(key_digest)]
        wavelength_pm, intensity, bit = frame.wavelength_pm, frame.intensity, frame.bit
        if method in ("fse", "qiml"):
            if wavelength_pm in (SHORTEST_PM, LONGEST_PM):
                lost.append(number)
            # Energy had been multiplied by 1 + (shift/255 - 1/2)·2/5 = (1,020 + 2·shift)/1,275.
            wavelength_pm = wavelength_pm * (1_020 + 2 * shift) // 1_275
        if method in ("ame", "qiml"):
            if intensity in (0, 7) and number not in lost[-1:]:
                lost.append(number)
            intensity = max(0, min(7, intensity - shift % 8 + 4))
        if method in ("pme", "qiml"):
            bit ^= shift % 2
        read.append(LegacyFrame(wavelength_pm, intensity, bit))
    return LegacyReading(tuple(read), "".join(_letter(frame.wavelength_pm) for frame in read), tuple(lost))


def _check(number: int, frame: LegacyFrame) -> None:
    if not SHORTEST_PM <= frame.wavelength_pm <= 780_000:
        raise LegacyFrameUnreadable(number, "wavelength in pm", frame.wavelength_pm)
    if not 0 <= frame.intensity <= 7:
        raise LegacyFrameUnreadable(number, "intensity", frame.intensity)
    if frame.bit not in (0, 1):
        raise LegacyFrameUnreadable(number, "bit", frame.bit)


def _letter(wavelength_pm: int) -> str:
    place = (wavelength_pm - SHORTEST_PM + LETTER_STEP_PM // 2) // LETTER_STEP_PM
    return LETTERS[max(0, min(len(LETTERS) - 1, place))]
