"""Which wavelength stands for which letter or symbol. Source: README, The alphabets.

Version 1: A to Z, 26 letters, 380,000 + 16,000·i pm. Version 2: 64 symbols, 380,000 + 6,000·k pm, which carry their own
characters as text, or six bits each as base-64, and so any bytes. All integers; a wavelength between two steps, a
character that is not in the table and padding that is not zero are errors with the place in them, never rounded,
folded or dropped.

A sequence of symbols is `bytes`, one symbol (0 to 63) per byte.
"""

from base64 import b64decode, b64encode
from dataclasses import dataclass
from string import ascii_uppercase, digits
from typing import Final

from wnsp.errors import (
    AlphabetUnknown,
    CharacterUnsupported,
    IntensityOutOfRange,
    PaddingNotZero,
    SymbolCountImpossible,
    SymbolOutOfRange,
    WavelengthOffLattice,
)

FIRST_PM: Final = 380_000
"""Wavelength of `A` in both versions, in picometres."""

BITS_PER_SYMBOL: Final = 6
GREATEST_INTENSITY: Final = 7


@dataclass(frozen=True, slots=True)
class Alphabet:
    """Characters in order of wavelength."""

    version: int
    characters: str
    """The character of symbol k is at place k."""
    step_pm: int
    """From one symbol's wavelength to the next."""

    def wavelength_pm(self, symbol: int) -> int:
        """Of symbol number `symbol`. Errors: `SymbolOutOfRange`."""
        if not 0 <= symbol < len(self.characters):
            raise SymbolOutOfRange(symbol, 0, len(self.characters))
        return FIRST_PM + self.step_pm * symbol

    def symbol_at(self, wavelength_pm: int) -> int:
        """The symbol with exactly this wavelength. Errors: `WavelengthOffLattice`."""
        symbol, rest = divmod(wavelength_pm - FIRST_PM, self.step_pm)
        if rest or not 0 <= symbol < len(self.characters):
            raise WavelengthOffLattice(wavelength_pm, FIRST_PM, self.step_pm, len(self.characters))
        return symbol


LETTERS: Final = Alphabet(1, ascii_uppercase, 16_000)
"""380,000 (A) to 780,000 pm (Z)."""

SYMBOLS: Final = Alphabet(2, ascii_uppercase + digits + " .,!?-_+=*/\\|@#$%&()[]{}<>:;", 6_000)
"""380,000 (A) to 758,000 pm (;)."""

_ALPHABETS: Final = {alphabet.version: alphabet for alphabet in (LETTERS, SYMBOLS)}
_SYMBOL_OF: Final = {
    version: {character: symbol for symbol, character in enumerate(alphabet.characters)}
    for version, alphabet in _ALPHABETS.items()
}

_BASE64: Final = (ascii_uppercase + ascii_uppercase.lower() + digits + "+/").encode("ascii")
"""RFC 4648's characters in order of value; they only serve to use its fast codec."""
_TO_SYMBOLS: Final = bytes.maketrans(_BASE64, bytes(range(64)))
_TO_BASE64: Final = bytes.maketrans(bytes(range(64)), _BASE64)
_ALL_SYMBOLS: Final = bytes(range(64))
_ALL_LETTERS: Final = bytes(range(len(LETTERS.characters) << 3))


def alphabet_of(version: int) -> Alphabet:
    """Version 1 or 2. Errors: `AlphabetUnknown`."""
    try:
        return _ALPHABETS[version]
    except KeyError:
        raise AlphabetUnknown(version) from None


@dataclass(frozen=True, slots=True)
class WNSPWavelength:
    """One character of an alphabet as light."""

    character: str
    symbol: int
    """Its number in the alphabet."""
    wavelength_pm: int
    version: int
    """Of the alphabet."""

    @classmethod
    def of_character(cls, character: str, version: int = 1) -> "WNSPWavelength":
        """Errors: `CharacterUnsupported`, `AlphabetUnknown`."""
        alphabet = alphabet_of(version)
        symbols = encode_text(character, version)
        if len(symbols) != 1:
            raise ValueError(f"expected one character, found {len(symbols)}")
        return cls(character, symbols[0], alphabet.wavelength_pm(symbols[0]), version)

    @classmethod
    def of_symbol(cls, symbol: int, version: int = 2) -> "WNSPWavelength":
        """Errors: `SymbolOutOfRange`, `AlphabetUnknown`."""
        alphabet = alphabet_of(version)
        return cls(alphabet.characters[symbol : symbol + 1], symbol, alphabet.wavelength_pm(symbol), version)

    @classmethod
    def at(cls, wavelength_pm: int, version: int = 2) -> "WNSPWavelength":
        """Errors: `WavelengthOffLattice`, `AlphabetUnknown`."""
        return cls.of_symbol(alphabet_of(version).symbol_at(wavelength_pm), version)


def encode_text(text: str, version: int = 2) -> bytes:
    """The symbols of `text`, one per character. Errors: `CharacterUnsupported` with character and position."""
    symbol_of = _SYMBOL_OF[alphabet_of(version).version]
    try:
        return bytes([symbol_of[character] for character in text])
    except KeyError:
        position = next(place for place, character in enumerate(text) if character not in symbol_of)
        raise CharacterUnsupported(text[position], position, version) from None


def decode_text(symbols: bytes, version: int = 2) -> str:
    """The characters of `symbols`. Errors: `SymbolOutOfRange`."""
    characters = alphabet_of(version).characters
    require_symbols(symbols, len(characters))
    return "".join([characters[symbol] for symbol in symbols])


def wavelengths_pm(symbols: bytes, version: int = 2) -> tuple[int, ...]:
    """The wavelength of each symbol. Errors: `SymbolOutOfRange`."""
    alphabet = alphabet_of(version)
    require_symbols(symbols, len(alphabet.characters))
    return tuple([FIRST_PM + alphabet.step_pm * symbol for symbol in symbols])


def symbols_at(wavelengths: tuple[int, ...], version: int = 2) -> bytes:
    """The symbols with exactly these wavelengths, in picometres. Errors: `WavelengthOffLattice`."""
    alphabet = alphabet_of(version)
    return bytes([alphabet.symbol_at(wavelength_pm) for wavelength_pm in wavelengths])


def require_symbols(symbols: bytes, count: int) -> None:
    """Every symbol is below `count`. Errors: `SymbolOutOfRange` with the first that is not."""
    if symbols.translate(None, _ALL_SYMBOLS[:count]):
        position = next(place for place, symbol in enumerate(symbols) if symbol >= count)
        raise SymbolOutOfRange(symbols[position], position, count)


def bytes_to_symbols(data: bytes) -> bytes:
    """Base-64: six bits a symbol, most significant first, four symbols for three bytes; zeros fill the last."""
    return b64encode(data).rstrip(b"=").translate(_TO_SYMBOLS)


def symbols_to_bytes(symbols: bytes) -> bytes:
    """The inverse of `bytes_to_symbols`. Errors: `SymbolOutOfRange`, `SymbolCountImpossible`, `PaddingNotZero`."""
    require_symbols(symbols, 64)
    over = len(symbols) % 4
    if over == 1:
        raise SymbolCountImpossible(len(symbols), BITS_PER_SYMBOL)
    padding_bits = (0, 0, 4, 2)[over]
    padding = symbols[-1] & ((1 << padding_bits) - 1) if over else 0
    if padding:
        raise PaddingNotZero(padding, padding_bits)
    return b64decode(symbols.translate(_TO_BASE64) + b"=" * (-len(symbols) % 4))


def encode_letters(text: str, intensity: int = GREATEST_INTENSITY) -> bytes:
    """A version 1 payload, one byte per letter: its number in the high five bits, intensity (0 to 7) in the low three.

    Errors: `CharacterUnsupported`, `IntensityOutOfRange`.
    """
    if not 0 <= intensity <= GREATEST_INTENSITY:
        raise IntensityOutOfRange(intensity)
    return bytes([letter << 3 | intensity for letter in encode_text(text, LETTERS.version)])


def decode_letters(payload: bytes) -> tuple[str, bytes]:
    """Text and intensities (one byte each) of a version 1 payload. Errors: `SymbolOutOfRange`."""
    require_letters(payload)
    text = decode_text(bytes([byte >> 3 for byte in payload]), LETTERS.version)
    return text, bytes([byte & GREATEST_INTENSITY for byte in payload])


def require_letters(payload: bytes) -> None:
    """Every byte's high five bits are a letter. Errors: `SymbolOutOfRange` with the first that is not."""
    if payload.translate(None, _ALL_LETTERS):
        require_symbols(bytes([byte >> 3 for byte in payload]), len(LETTERS.characters))
