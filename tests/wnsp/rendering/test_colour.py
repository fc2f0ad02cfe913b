"""The CIE table against its published checksums, and colours against what is known of them."""

import pytest

from wnsp.rendering.colour import (
    DARK,
    display_rgb,
    linear_srgb,
    luminous_efficiency,
    readable_on,
    tristimulus,
    wavelength_rgb,
)
from wnsp.rendering.colour_matching import COLOUR_MATCHING, FIRST_NM, LAST_NM, STEP_NM


def test_the_table_has_the_standards_sums_of_columns() -> None:
    sums = tuple(sum(column) for column in zip(*COLOUR_MATCHING, strict=True))
    assert sums == (21_371_524, 21_371_327, 21_371_540)  # CIE 15, table of 5 nm, 380 to 780 nm
    assert len(COLOUR_MATCHING) == (LAST_NM - FIRST_NM) // STEP_NM + 1 == 81


def test_the_eye_is_most_sensitive_at_555_nanometres() -> None:
    assert luminous_efficiency(555) == 1.0
    assert max(luminous_efficiency(nanometres) for nanometres in range(380, 781)) == 1.0


def test_between_two_rows_the_functions_are_linear() -> None:
    between = tristimulus(452.5)
    middle = [(low + high) / 2 for low, high in zip(tristimulus(450), tristimulus(455), strict=True)]
    assert between == pytest.approx(tuple(middle))


def test_equal_energy_white_has_chromaticity_one_third() -> None:
    total = [sum(tristimulus(nm)[k] for nm in range(380, 781, 5)) for k in range(3)]
    assert [part / sum(total) for part in total] == pytest.approx([1 / 3] * 3, abs=1e-5)


@pytest.mark.parametrize(
    ("wavelength_pm", "colour"),
    [
        (464_000, (0, 0, 255)),
        (530_000, (0, 255, 0)),
        (630_000, (255, 0, 0)),
        (379_999, DARK),
        (780_001, DARK),
    ],
)
def test_a_wavelength_has_the_colour_that_people_call_it_by(
    wavelength_pm: int, colour: tuple[int, int, int]
) -> None:
    assert wavelength_rgb(wavelength_pm) == pytest.approx(colour, abs=2)


def test_yellow_lies_between_green_and_red_and_violet_has_red_in_it() -> None:
    yellow, violet = wavelength_rgb(575_000), wavelength_rgb(410_000)
    assert min(yellow[:2]) > 200 and yellow[2] == 0
    assert violet[0] > 80 and violet[1] == 0 and violet[2] == 255


def test_every_visible_colour_is_in_gamut_with_a_channel_at_zero_and_one_at_full() -> None:
    for nanometres in range(380, 781):
        channels = linear_srgb(nanometres)
        assert min(channels) == 0.0 and max(channels) == 1.0


def test_the_ends_of_the_spectrum_are_dimmed_but_visible() -> None:
    assert max(display_rgb(550_000)) == 255
    assert 100 < max(display_rgb(380_000)) < 200
    assert 100 < max(display_rgb(780_000)) < 200


def test_text_is_black_on_yellow_and_white_on_blue() -> None:
    assert readable_on((255, 255, 0)) == (0, 0, 0)
    assert readable_on((0, 0, 255)) == (255, 255, 255)
