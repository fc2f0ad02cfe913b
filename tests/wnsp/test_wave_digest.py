"""The wave digest, plausibility, and the interference picture that is expanded from the digest."""

import hashlib
import math
from io import BytesIO

import numpy as np
import pytest
from builders.waves import KEY, entropy, with_header_bit, with_value
from PIL import Image

from wnsp.ciphers.errors import EnergyDiffers, OffLattice, OutsideRegion, WrongSize
from wnsp.ciphers.photons import canonical_frames
from wnsp.ciphers.sealed_body import seal
from wnsp.interference import (
    SINE_Q15,
    interference_field,
    interference_picture,
    interference_png,
    plane_waves,
)
from wnsp.wave_digest import FIRST, check_energy, check_lattice, check_region, energy_uev, wave_digest

MESSAGE = seal(KEY, b"digested", "QIML", entropy(40))
DIGEST = wave_digest(FIRST, MESSAGE.header, MESSAGE.frames)


def test_the_digest_is_the_documented_blake2b() -> None:
    header = MESSAGE.header
    content = bytes(32) + len(header).to_bytes(4, "big") + header + canonical_frames(MESSAGE.frames)
    assert hashlib.blake2b(content, digest_size=32, person=b"wnsp-wave-v1").digest() == DIGEST


def test_any_change_changes_the_digest() -> None:
    digests = {DIGEST, wave_digest(DIGEST, MESSAGE.header, MESSAGE.frames)}
    digests |= {
        wave_digest(FIRST, changed.header, changed.frames)
        for changed in [with_value(MESSAGE, dimension, 1, 77) for dimension in range(5)]
        + [with_header_bit(MESSAGE, bit) for bit in range(8 * len(MESSAGE.header))]
    }
    assert len(digests) == 2 + 5 + 8 * len(MESSAGE.header)


def test_a_previous_digest_of_another_size_is_refused() -> None:
    with pytest.raises(WrongSize):
        wave_digest(b"", MESSAGE.header, MESSAGE.frames)


def test_plausibility_has_an_error_for_each_rule() -> None:
    check_lattice(MESSAGE.frames)
    check_region(MESSAGE.frames, 380_000, 749_750)
    check_energy(MESSAGE.frames, energy_uev(MESSAGE.frames))
    with pytest.raises(OffLattice):
        check_lattice(with_value(MESSAGE, 0, 2, 380_001).frames)
    with pytest.raises(OutsideRegion) as outside:
        check_region(with_value(MESSAGE, 0, 2, 400_300).frames, 400_301, 749_750)
    assert outside.value.found_pm < 400_301
    with pytest.raises(EnergyDiffers):
        check_energy(MESSAGE.frames, energy_uev(MESSAGE.frames) + 1)


def test_energy_is_amplitude_times_h_c_by_wavelength() -> None:
    expected = sum(frame.amplitude * (1_239_841_984_332 // frame.wavelength_pm) for frame in MESSAGE.frames)
    assert energy_uev(MESSAGE.frames) == expected
    exact = sum(frame.amplitude * 1.239841984332e12 / frame.wavelength_pm for frame in MESSAGE.frames)
    assert 0 <= exact - expected < 8 * len(MESSAGE.frames)


def test_the_sine_table_is_the_sine_to_the_nearest_integer() -> None:
    expected = [round(math.sin(2 * math.pi * step / 1_024) * 32_767) for step in range(1_024)]
    assert SINE_Q15.tolist() == expected


def test_the_sine_table_never_changes() -> None:
    digest = hashlib.sha256(SINE_Q15.astype(">i4").tobytes()).hexdigest()
    assert digest == "d2b937ca14ba84b8abcffb42db655870e30789ff247f5fb9f74d0638aa730592"


def test_the_picture_is_the_same_to_the_bit_everywhere() -> None:
    assert (
        hashlib.sha256(interference_picture(bytes(range(32)), 256).tobytes()).hexdigest()
        == "93cdd66b9ee2d6cbc3c29a77ce2603c732a61d82f96459670ac26401d69f6325"
    )


def test_the_field_is_the_sum_of_twelve_plane_waves_of_real_sines() -> None:
    field = interference_field(DIGEST, 64)
    places = np.arange(64)
    exact = np.zeros((64, 64))
    for wave in plane_waves(DIGEST):
        turns = (wave.cycles_x * places[np.newaxis, :] + wave.cycles_y * places[:, np.newaxis]) / 64
        exact += wave.amplitude * 32_767 * np.sin(2 * np.pi * (turns + wave.phase / 1_024))
    assert np.abs(field - exact).max() <= sum(wave.amplitude for wave in plane_waves(DIGEST)) / 2


def test_one_changed_bit_of_the_digest_changes_most_of_the_picture() -> None:
    first = interference_picture(DIGEST)
    for bit in range(0, 256, 5):
        changed = bytearray(DIGEST)
        changed[bit // 8] ^= 1 << bit % 8
        other = interference_picture(bytes(changed))
        assert (first != other).mean() > 0.9


def test_one_changed_frame_changes_the_picture() -> None:
    changed = with_value(MESSAGE, 3, 0, (MESSAGE.frames[0].polarisation + 1) % 4)
    digest = wave_digest(FIRST, changed.header, changed.frames)
    assert (interference_picture(DIGEST) != interference_picture(digest)).mean() > 0.9


def test_a_small_picture_is_the_large_one_looked_at_coarsely() -> None:
    assert np.array_equal(interference_picture(DIGEST, 128), interference_picture(DIGEST, 512)[::4, ::4])


def test_the_png_holds_the_picture() -> None:
    image = Image.open(BytesIO(interference_png(DIGEST, 128)))
    assert np.array_equal(np.asarray(image), interference_picture(DIGEST, 128))
    assert len({tuple(pixel) for pixel in np.asarray(image.convert("RGB")).reshape(-1, 3).tolist()}) > 100


@pytest.mark.parametrize("side", [0, 63, 1_024])
def test_other_sides_are_refused(side: int) -> None:
    with pytest.raises(WrongSize):
        interference_picture(DIGEST, side)
    with pytest.raises(WrongSize):
        plane_waves(bytes(side % 32))
