"""Spectrum and frame pictures: complete, well-formed, harmless to a page, and the same as SVG and PNG."""

import io
import xml.etree.ElementTree as ElementTree

import pytest
from PIL import Image

from wnsp.alphabet import SYMBOLS, WNSPWavelength, encode_letters, encode_text
from wnsp.errors import CharacterUnsupported
from wnsp.frame import FrameType, Modulation, WNSPFrame
from wnsp.rendering.colour import display_rgb, hexadecimal
from wnsp.rendering.frame_picture import MOST_SYMBOLS, frame_png, frame_svg
from wnsp.rendering.spectrum_picture import spectrum_png, visualize_spectrum
from wnsp.rendering.tones import tones

SVG = "{http://www.w3.org/2000/svg}"


def _frame(version: int, kind: FrameType, payload: bytes) -> WNSPFrame:
    return WNSPFrame(version, kind, 2, Modulation.OOK, True, False, 0, 7, 0, payload)


def _texts(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter(SVG + "text")]


def test_a_spectrum_names_bands_and_units_and_every_wavelength_used() -> None:
    texts = _texts(visualize_spectrum("NEXUS 7", width=1_200))
    assert {"Violet", "Blue", "Green", "Yellow", "Orange", "Red", "nm", "THz", "eV"} <= set(texts)
    assert {"N", "E", "X", "U", "S", "SP", "7"} <= set(texts)


def test_a_stem_has_its_wavelengths_colour_and_its_frequencys_height() -> None:
    drawing = ElementTree.fromstring(visualize_spectrum("AAZ"))
    heights = {
        character: max(
            float(box.get("height", "0"))
            for box in drawing.iter(SVG + "rect")
            if box.get("fill") == hexadecimal(display_rgb(tones(character)[0].wavelength_pm))
            and float(box.get("width", "0")) < 10
            and box.get("height") != "44"
        )
        for character in "AZ"
    }
    assert heights["A"] == pytest.approx(2 * heights["Z"], abs=0.02)


def test_a_frame_picture_shows_each_symbol_in_order_with_its_wavelength() -> None:
    texts = _texts(frame_svg("HI!"))
    assert [text for text in texts if len(text) == 1] == ["H", "I", "!"]
    assert {"422", "428", "614"} <= set(texts)


def test_a_letter_frame_is_drawn_with_intensities_and_its_header() -> None:
    frame = _frame(1, FrameType.LETTERS, encode_letters("LIGHT", intensity=3))
    assert [tone.level for tone in tones(frame)] == [3 / 7] * 5
    drawing = " ".join(_texts(frame_svg(frame)))
    assert "carrier green" in drawing and "100 ms each" in drawing


def test_a_text_frame_shows_its_characters_and_a_byte_frame_six_bits_a_symbol() -> None:
    assert "".join(tone.label for tone in tones(_frame(2, FrameType.TEXT, encode_text("A B")))) == "A B"
    tone, *others = tones(_frame(2, FrameType.BYTES, b"\xff\x00\x00"))
    assert tone.wavelength_pm == SYMBOLS.wavelength_pm(63) and len(others) == 3


def test_wavelengths_can_be_drawn_as_they_are() -> None:
    assert [tone.label for tone in tones([WNSPWavelength.of_character("Q")])] == ["Q"]


def test_markup_in_a_message_stays_text() -> None:
    drawing = frame_svg("<&>")
    assert _texts(drawing).count("<") == 1 and "<&" not in drawing


@pytest.mark.parametrize("drawing", [visualize_spectrum("NEXUS"), frame_svg("NEXUS")])
def test_a_drawing_holds_nothing_that_a_content_security_policy_stops(drawing: str) -> None:
    root = ElementTree.fromstring(drawing)
    assert {element.tag for element in root.iter()} <= {
        SVG + n for n in ("svg", "title", "rect", "line", "text")
    }
    names = {name for element in root.iter() for name in element.attrib}
    assert not {name for name in names if name.startswith("on") or name in ("style", "href", "class")}
    assert root.find(SVG + "title") is not None


@pytest.mark.parametrize("width", [280, 360, 960])
def test_all_text_stays_inside_the_picture(width: int) -> None:
    for drawing in (
        visualize_spectrum("THE QUICK BROWN FOX 0123", width=width),
        frame_svg("FOX 0123", width=width),
    ):
        for text in ElementTree.fromstring(drawing).iter(SVG + "text"):
            size, x = float(text.get("font-size", "0")), float(text.get("x", "0"))
            length = 0.6 * size * len(text.text or "")
            before = {"start": 0.0, "middle": length / 2, "end": length}[text.get("text-anchor", "")]
            assert x - before >= -1 and x - before + length <= width + 1, text.text


def test_a_png_has_twice_the_drawings_pixels() -> None:
    for picture, width in ((spectrum_png("NEXUS", width=360), 360), (frame_png(b"\x00\x01", width=480), 480)):
        assert Image.open(io.BytesIO(picture)).width == 2 * width


def test_a_long_message_is_counted_not_drawn_whole() -> None:
    drawing = frame_svg("A" * (MOST_SYMBOLS + 5))
    assert "and 5 more symbols, not drawn" in drawing


def test_the_empty_message_shows_the_visible_spectrum() -> None:
    assert "Visible spectrum" in visualize_spectrum()


def test_an_unsupported_character_is_named() -> None:
    with pytest.raises(CharacterUnsupported, match="ä"):
        visualize_spectrum("Aä")


@pytest.mark.parametrize("width", [0, 279, 4_001])
def test_an_impossible_width_is_refused(width: int) -> None:
    with pytest.raises(ValueError, match="280 to 4000"):
        visualize_spectrum(width=width)
