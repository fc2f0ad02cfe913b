"""What is drawn: a message as a sequence of tones, one per symbol."""

from collections.abc import Sequence
from dataclasses import dataclass

from wnsp.alphabet import (
    GREATEST_INTENSITY,
    LETTERS,
    SYMBOLS,
    WNSPWavelength,
    bytes_to_symbols,
    decode_letters,
    decode_text,
    encode_text,
)
from wnsp.frame import FRAME_MS, LETTER_MS, FrameType, WNSPFrame

SYMBOL_MS = {LETTERS.version: LETTER_MS, SYMBOLS.version: FRAME_MS}
"""How long a symbol is shown, by version."""


@dataclass(frozen=True, slots=True)
class Tone:
    """One symbol as light."""

    wavelength_pm: int
    label: str
    """The symbol's character in its alphabet."""
    level: float = 1.0
    """Intensity as a share of the greatest, 0 to 1."""


Drawable = str | bytes | WNSPFrame | Sequence[WNSPWavelength]


def tones(message: Drawable, version: int = SYMBOLS.version) -> tuple[Tone, ...]:
    """The tones of a text in the alphabet of that version, of any bytes (six bits a symbol), or of a frame's payload.

    Raises what `wnsp.alphabet` raises for text and payloads that the alphabet does not have.
    """
    if isinstance(message, str):
        found = [WNSPWavelength.of_symbol(symbol, version) for symbol in encode_text(message, version)]
        return tuple(Tone(tone.wavelength_pm, tone.character) for tone in found)
    if isinstance(message, bytes):
        found = [WNSPWavelength.of_symbol(symbol) for symbol in bytes_to_symbols(message)]
        return tuple(Tone(tone.wavelength_pm, tone.character) for tone in found)
    if isinstance(message, WNSPFrame):
        if message.type == FrameType.TEXT:
            return tones(decode_text(message.payload))
        if message.type == FrameType.BYTES:
            return tones(message.payload)
        text, intensities = decode_letters(message.payload)
        return tuple(
            Tone(tone.wavelength_pm, tone.label, intensity / GREATEST_INTENSITY)
            for tone, intensity in zip(tones(text, LETTERS.version), intensities, strict=True)
        )
    return tuple(Tone(tone.wavelength_pm, tone.character) for tone in message)


def version_of(message: Drawable, version: int) -> int:
    """The alphabet's version that a message is drawn in."""
    if isinstance(message, WNSPFrame):
        return message.version
    return SYMBOLS.version if isinstance(message, bytes) else version


def readable(label: str) -> str:
    """A symbol's character as it is written in a picture; the space is spelled out."""
    return "SP" if label == " " else label
