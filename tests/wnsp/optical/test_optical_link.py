"""Bytes to pictures and back, undistorted, distorted, in several pictures. Limits are measured in tests/benchmarks."""

import random

import pytest
from builders.pictures import Distortion, distorted

from wnsp.optical.decoder import decode_picture, decode_pictures, read_picture
from wnsp.optical.encoder import (
    encode_animated_png,
    encode_animation,
    encode_picture,
    picture_capacity,
)
from wnsp.optical.errors import (
    MessagesMixed,
    MessageTooLong,
    PictureSizeUnknown,
    PicturesMissing,
    SettingOutOfRange,
    TooManyErrors,
)
from wnsp.optical.layout import sides
from wnsp.optical.palette import COLOURS, WAVELENGTHS_PM
from wnsp.optical.picture_file import read_pixels


def _message(length: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(length)


@pytest.mark.parametrize("length", [0, 1, 24, 25, 255, 1_000])
def test_a_picture_gives_back_the_bytes(length: int) -> None:
    assert decode_picture(encode_picture(_message(length))) == _message(length)


@pytest.mark.parametrize("bits_per_cell", [2, 3])
@pytest.mark.parametrize("redundancy", [1, 5])
def test_every_kind_of_picture_is_read_when_full(bits_per_cell: int, redundancy: int) -> None:
    for cells in (24, 40):
        capacity = picture_capacity(cells, bits_per_cell=bits_per_cell, redundancy=redundancy)
        picture = encode_picture(
            _message(capacity), cells=cells, bits_per_cell=bits_per_cell, redundancy=redundancy
        )
        assert decode_picture(picture) == _message(capacity)


def test_uniform_data_is_read_like_any_other() -> None:
    assert decode_picture(encode_picture(bytes(300))) == bytes(300)


WAYS = {
    "JPEG of quality 15": Distortion(quality=15),
    "half size, JPEG 30": Distortion(scale=0.5, quality=30),
    "three times the size, JPEG 75": Distortion(scale=3, quality=75),
    "turned by 7 degrees": Distortion(rotation_degrees=7, quality=75),
    "turned by 180 degrees": Distortion(rotation_degrees=180),
    "seen from below": Distortion(keystone=0.2, quality=75),
    "darker": Distortion(brightness=-0.3, quality=75),
    "brighter": Distortion(brightness=0.3, quality=75),
    "low contrast": Distortion(contrast=0.4, quality=75),
    "high contrast": Distortion(contrast=1.8, quality=75),
    "shaded": Distortion(shade=0.5, quality=75),
    "noise": Distortion(noise=50),
    "blurred": Distortion(blur_pixels=3),
    "part of a photograph": Distortion(photograph_share=0.6, rotation_degrees=3, quality=75),
    "all at once": Distortion(
        scale=0.7,
        rotation_degrees=4,
        keystone=0.03,
        brightness=-0.08,
        contrast=0.85,
        noise=8,
        quality=65,
    ),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_a_picture_is_read_after(way: Distortion) -> None:
    message = _message(picture_capacity(40))
    assert decode_picture(distorted(encode_picture(message, cells=40), way, seed=1)) == message


def test_corrections_are_counted() -> None:
    picture = encode_picture(_message(200))
    (clean,) = (read_picture(pixels) for pixels in read_pixels(picture))
    (damaged,) = (
        read_picture(pixels)
        for pixels in read_pixels(distorted(picture, Distortion(blur_pixels=4, noise=10)))
    )
    assert clean.corrected_bytes == 0 < damaged.corrected_bytes
    assert clean.part == damaged.part == _message(200)


def test_damage_beyond_repair_is_an_error_not_wrong_bytes() -> None:
    picture = encode_picture(_message(300), redundancy=1)
    with pytest.raises(TooManyErrors):
        decode_picture(distorted(picture, Distortion(blur_pixels=5, noise=20)))


def test_an_animation_is_read_in_any_order_with_repetitions() -> None:
    message = _message(900)
    pictures = list(encode_animation(message, cells=40))
    assert len(pictures) == 5
    random.Random(1).shuffle(pictures)
    assert decode_pictures([*pictures[:2], *pictures]) == message


def test_missing_pictures_are_named() -> None:
    pictures = encode_animation(_message(900), cells=40)
    with pytest.raises(PicturesMissing, match="3 of 5 pictures found; still to be shown: 1, 4") as raised:
        decode_pictures(picture for number, picture in enumerate(pictures) if number not in (1, 4))
    assert raised.value.missing == (1, 4)


def test_an_unreadable_picture_is_passed_over_when_it_is_shown_again() -> None:
    pictures = encode_animation(_message(300), cells=40)
    assert decode_pictures([b"smeared", *pictures]) == _message(300)


def test_pictures_of_two_messages_are_told_apart() -> None:
    with pytest.raises(MessagesMixed):
        decode_pictures([encode_picture(b"one"), encode_picture(b"two")])


def test_one_animated_file_holds_a_longer_message() -> None:
    message = _message(600)
    assert decode_picture(encode_animated_png(message, cells=40)) == message


def test_the_same_message_gives_the_same_picture() -> None:
    assert encode_picture(b"NEXUS") == encode_picture(b"NEXUS")


def test_more_than_fits_is_refused_with_both_numbers() -> None:
    limit = picture_capacity(max(sides()))
    with pytest.raises(MessageTooLong) as raised:
        encode_picture(bytes(limit + 1))
    assert (raised.value.found, raised.value.limit) == (limit + 1, limit)


@pytest.mark.parametrize(
    "settings", [{"redundancy": 0}, {"redundancy": 6}, {"bits_per_cell": 4}, {"cell_pixels": 3}]
)
def test_settings_outside_their_range_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(SettingOutOfRange):
        encode_picture(b"", **settings)


@pytest.mark.parametrize("cells", [20, 26, 132])
def test_an_impossible_side_is_refused(cells: int) -> None:
    with pytest.raises(PictureSizeUnknown):
        encode_picture(b"", cells=cells)


def test_every_colour_of_a_cell_lacks_a_channel_so_that_only_marks_are_white() -> None:
    assert all(min(colour) == 0 for colour in COLOURS)
    assert all((wavelength - 380_000) % 6_000 == 0 for wavelength in WAVELENGTHS_PM)
