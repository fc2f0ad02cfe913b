"""Letters and symbols, their wavelengths, and bytes as symbols."""

from random import Random

import pytest

from wnsp.alphabet import (
    LETTERS,
    SYMBOLS,
    WNSPWavelength,
    bytes_to_symbols,
    decode_letters,
    decode_text,
    encode_letters,
    encode_text,
    symbols_at,
    symbols_to_bytes,
    wavelengths_pm,
)
from wnsp.errors import (
    AlphabetUnknown,
    CharacterUnsupported,
    IntensityOutOfRange,
    PaddingNotZero,
    SymbolCountImpossible,
    SymbolOutOfRange,
    WavelengthOffLattice,
)


def test_letters_reach_from_380_to_780_nanometres_in_steps_of_16() -> None:
    assert [LETTERS.wavelength_pm(letter) for letter in range(26)] == list(range(380_000, 780_001, 16_000))


def test_symbols_reach_from_380_to_758_nanometres_in_steps_of_6() -> None:
    assert len(set(SYMBOLS.characters)) == len(SYMBOLS.characters) == 64
    assert [SYMBOLS.wavelength_pm(symbol) for symbol in range(64)] == list(range(380_000, 758_001, 6_000))


@pytest.mark.parametrize("version", [1, 2])
def test_every_character_comes_back_from_its_wavelength(version: int) -> None:
    characters = {1: LETTERS, 2: SYMBOLS}[version].characters
    for symbol, character in enumerate(characters):
        light = WNSPWavelength.of_character(character, version)
        assert light.symbol == symbol
        assert WNSPWavelength.at(light.wavelength_pm, version) == light
        assert WNSPWavelength.of_symbol(symbol, version) == light


@pytest.mark.parametrize(
    ("version", "wavelength_pm"),
    [(1, 380_001), (1, 388_000), (1, 364_000), (1, 796_000), (2, 382_999), (2, 374_000), (2, 764_000)],
)
def test_a_wavelength_off_the_lattice_is_refused_not_rounded(version: int, wavelength_pm: int) -> None:
    with pytest.raises(WavelengthOffLattice):
        WNSPWavelength.at(wavelength_pm, version)
    with pytest.raises(WavelengthOffLattice):
        symbols_at((380_000, wavelength_pm), version)


def test_the_extended_alphabet_carries_its_own_text() -> None:
    text = SYMBOLS.characters[::-1]
    assert decode_text(encode_text(text)) == text
    assert symbols_at(wavelengths_pm(encode_text(text))) == encode_text(text)


@pytest.mark.parametrize(
    ("version", "text", "position"), [(1, "NEXUS OS", 5), (2, "Aa", 1), (2, "A~", 1), (2, "É", 0)]
)
def test_an_unsupported_character_is_named_with_its_position(version: int, text: str, position: int) -> None:
    with pytest.raises(CharacterUnsupported) as caught:
        encode_text(text, version)
    assert (caught.value.character, caught.value.position) == (text[position], position)
    assert repr(text[position]) in str(caught.value)


def test_no_other_version_has_an_alphabet() -> None:
    with pytest.raises(AlphabetUnknown):
        encode_text("A", 3)


def test_three_bytes_are_four_symbols_most_significant_bit_first() -> None:
    assert list(bytes_to_symbols(b"\x04\x20\xc4")) == [0b000001, 0b000010, 0b000011, 0b000100]


def test_any_bytes_come_back_from_their_symbols() -> None:
    rng = Random(1)
    for length in range(70):
        data = rng.randbytes(length)
        symbols = bytes_to_symbols(data)
        assert len(symbols) == -(-8 * length // 6)
        assert symbols_to_bytes(symbols) == data


def test_five_symbols_hold_no_whole_number_of_bytes() -> None:
    with pytest.raises(SymbolCountImpossible):
        symbols_to_bytes(bytes(5))


@pytest.mark.parametrize("symbols", [[0, 1], [0, 8], [0, 0, 1], [0, 0, 2]])
def test_padding_bits_that_are_not_zero_are_refused(symbols: list[int]) -> None:
    with pytest.raises(PaddingNotZero):
        symbols_to_bytes(bytes(symbols))


def test_a_symbol_above_63_is_refused_with_its_position() -> None:
    with pytest.raises(SymbolOutOfRange) as caught:
        symbols_to_bytes(bytes([0, 0, 0, 64]))
    assert caught.value.position == 3


def test_every_spelling_of_symbols_that_is_accepted_is_the_canonical_one() -> None:
    rng = Random(2)
    accepted = 0
    for _ in range(2_000):
        symbols = bytes(rng.randrange(64) for _ in range(rng.randrange(8)))
        try:
            data = symbols_to_bytes(symbols)
        except (PaddingNotZero, SymbolCountImpossible):
            continue
        accepted += 1
        assert bytes_to_symbols(data) == symbols
    assert accepted > 200


def test_letters_keep_their_intensity() -> None:
    assert decode_letters(encode_letters("AZ", 5)) == ("AZ", bytes([5, 5]))
    assert encode_letters("B", 3) == bytes([0b00001_011])


def test_an_intensity_has_three_bits() -> None:
    with pytest.raises(IntensityOutOfRange):
        encode_letters("A", 8)


def test_letter_26_is_refused() -> None:
    with pytest.raises(SymbolOutOfRange):
        decode_letters(bytes([25 << 3 | 7, 26 << 3]))
