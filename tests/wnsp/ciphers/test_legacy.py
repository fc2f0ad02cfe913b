"""W9: frames of the first scheme are read for study, flagged, and cannot be written."""

import hashlib
import inspect
import math

import pytest

from wnsp import ciphers
from wnsp.ciphers import legacy
from wnsp.ciphers.carriers import MODES
from wnsp.ciphers.errors import LegacyFrameUnreadable, ModeUnknown
from wnsp.ciphers.legacy import LETTERS, LegacyFrame, read_legacy

DIGEST = hashlib.sha256(b"mykey123").digest()


def as_published(text: str, method: str) -> list[LegacyFrame]:
    """The scheme as its authors wrote it, in floats: energy shifted by up to a fifth, cut off at 380 and 750 nm."""
    frames = []
    for place, letter in enumerate(text):
        key = DIGEST[place % 32]
        wavelength_nm, intensity, bit = 380.0 + 16 * LETTERS.index(letter), 4, 1
        if method in ("fse", "qiml"):
            energy_ev = 6.626e-34 * 2.998e8 / (wavelength_nm * 1e-9) / 1.602e-19
            energy_ev *= 1 + (key / 255 - 0.5) * 0.4
            wavelength_nm = min(750.0, max(380.0, 6.626e-34 * 2.998e8 / (energy_ev * 1.602e-19) * 1e9))
        if method in ("ame", "qiml"):
            intensity = max(0, min(7, intensity + key % 8 - 4))
        if method in ("pme", "qiml"):
            bit ^= key % 2
        frames.append(LegacyFrame(math.floor(wavelength_nm * 1_000 + 0.5), intensity, bit))
    return frames


@pytest.mark.parametrize("method", ["fse", "ame", "pme", "qiml"])
def test_W9_published_frames_are_read_with_the_key_hash_that_they_carry(method: str) -> None:
    text = "THEQUICKBROWNFOXJUMPSOVERTHELAZYDOGANDBACKAGAIN"
    reading = read_legacy(as_published(text, method), method, DIGEST)
    assert reading.insecure
    for place, (read, written) in enumerate(zip(reading.letters, text, strict=True)):
        assert read == written or place in reading.lost
    assert len(reading.lost) < len(text)
    assert {frame.bit for frame in reading.frames} == {1}


def test_W9_letters_that_the_scheme_cut_off_are_reported_as_lost() -> None:
    reading = read_legacy(as_published("A" * 32, "fse"), "fse", DIGEST)
    assert 0 < len(reading.lost) < 32


def test_W9_nothing_writes_the_legacy_scheme() -> None:
    functions = [
        name
        for name, function in inspect.getmembers(legacy, inspect.isfunction)
        if function.__module__ == legacy.__name__ and not name.startswith("_")
    ]
    assert functions == ["read_legacy"]
    assert "legacy" not in [name.lower() for name in MODES]
    assert not [name for name in ciphers.__all__ if "egacy" in name]


@pytest.mark.parametrize(
    "values",
    [
        (379_999, 4, 1),
        (780_001, 4, 1),
        (500_000, 8, 1),
        (500_000, 4, 2),
    ],
)
def test_values_that_the_scheme_could_not_write_are_named(values: tuple[int, int, int]) -> None:
    with pytest.raises(LegacyFrameUnreadable):
        read_legacy([LegacyFrame(*values)], "fse", DIGEST)


def test_methods_and_digests_are_checked() -> None:
    with pytest.raises(ModeUnknown):
        read_legacy([], "FSE2", DIGEST)
    with pytest.raises(LegacyFrameUnreadable):
        read_legacy([], "fse", b"")
