"""A frame's bytes as symbols of its carrier, and back. Source: README, The frame.

A symbol is a number of as many bits as the modulation holds, most significant first. Which intensity, frequency, phase
or point of a constellation stands for which number is a matter of the link; `constellation` gives the customary points.
"""

from typing import Final

from wnsp.alphabet import bytes_to_symbols, require_symbols, symbols_to_bytes
from wnsp.errors import SymbolCountImpossible
from wnsp.frame import Modulation


def _split(byte: int, bits: int) -> bytes:
    return bytes([byte >> shift & (1 << bits) - 1 for shift in range(8 - bits, -1, -bits)])


_SYMBOLS_OF_BYTE: Final = {bits: tuple(_split(byte, bits) for byte in range(256)) for bits in (1, 2, 4)}
_BYTE_OF_SYMBOLS: Final = {
    bits: {symbols: byte for byte, symbols in enumerate(table)} for bits, table in _SYMBOLS_OF_BYTE.items()
}


def modulate(data: bytes, modulation: Modulation) -> bytes:
    """The symbols of `data`, one per byte; with 64-QAM, zeros fill the last one."""
    bits = modulation.bits_per_symbol
    if bits == 6:
        return bytes_to_symbols(data)
    return b"".join([_SYMBOLS_OF_BYTE[bits][byte] for byte in data])


def demodulate(symbols: bytes, modulation: Modulation) -> bytes:
    """The inverse of `modulate`. Errors: `SymbolOutOfRange`, `SymbolCountImpossible`, `PaddingNotZero`."""
    bits = modulation.bits_per_symbol
    if bits == 6:
        return symbols_to_bytes(symbols)
    require_symbols(symbols, 1 << bits)
    per_byte = 8 // bits
    if len(symbols) % per_byte:
        raise SymbolCountImpossible(len(symbols), bits)
    byte_of = _BYTE_OF_SYMBOLS[bits]
    return bytes([byte_of[symbols[place : place + per_byte]] for place in range(0, len(symbols), per_byte)])


def constellation(modulation: Modulation) -> tuple[tuple[int, int], ...]:
    """The point (in phase, in quadrature) of each symbol, in units of half the least distance; Gray-coded.

    Neighbouring points differ in one bit, so the likeliest error costs one. OOK and ASK are on one side of zero, FSK's
    two points are its two tones.
    """
    if modulation in (Modulation.OOK, Modulation.ASK):
        return ((0, 0), (2, 0)) if modulation == Modulation.OOK else ((2, 0), (4, 0))
    if modulation == Modulation.FSK:
        return ((2, 0), (0, 2))
    if modulation == Modulation.PSK:
        return ((-1, 0), (1, 0))
    half = modulation.bits_per_symbol // 2
    levels = [0] * (1 << half)
    for place in range(1 << half):
        levels[place ^ place >> 1] = 2 * place - (1 << half) + 1
    return tuple(
        (levels[symbol >> half], levels[symbol & (1 << half) - 1]) for symbol in range(1 << 2 * half)
    )
