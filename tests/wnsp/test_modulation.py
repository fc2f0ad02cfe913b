"""Frames as symbols of their carriers."""

from itertools import combinations
from random import Random

import pytest

from wnsp.errors import PaddingNotZero, SymbolCountImpossible, SymbolOutOfRange
from wnsp.frame import FrameType, Modulation, WNSPFrame, carrier_symbols, encode_frame
from wnsp.modulation import constellation, demodulate, modulate


@pytest.mark.parametrize("modulation", Modulation)
def test_a_frame_comes_back_from_its_carrier_and_has_as_many_symbols_as_counted(
    modulation: Modulation,
) -> None:
    rng = Random(1)
    for size in range(20):
        frame = WNSPFrame(2, FrameType.BYTES, 0, modulation, True, False, 0, 1, 0, rng.randbytes(size))
        raw = encode_frame(frame)
        symbols = modulate(raw, modulation)
        assert len(symbols) == carrier_symbols(frame)
        assert max(symbols) < 1 << modulation.bits_per_symbol
        assert demodulate(symbols, modulation) == raw


def test_bits_go_most_significant_first() -> None:
    assert list(modulate(b"\xb1", Modulation.OOK)) == [1, 0, 1, 1, 0, 0, 0, 1]
    assert list(modulate(b"\xb1", Modulation.QPSK)) == [0b10, 0b11, 0b00, 0b01]
    assert list(modulate(b"\xb1", Modulation.QAM16)) == [0xB, 0x1]
    assert list(modulate(b"\xb1", Modulation.QAM64)) == [0b101100, 0b010000]


def test_half_a_byte_is_refused() -> None:
    with pytest.raises(SymbolCountImpossible):
        demodulate(bytes(3), Modulation.QAM16)


def test_a_symbol_with_too_many_bits_is_refused() -> None:
    with pytest.raises(SymbolOutOfRange):
        demodulate(bytes([0, 4, 0, 0]), Modulation.QPSK)


def test_padding_that_is_not_zero_is_refused() -> None:
    with pytest.raises(PaddingNotZero):
        demodulate(bytes([0, 1]), Modulation.QAM64)


@pytest.mark.parametrize("modulation", Modulation)
def test_nearest_points_differ_in_one_bit(modulation: Modulation) -> None:
    points = constellation(modulation)
    assert len(set(points)) == len(points) == 1 << modulation.bits_per_symbol
    distances = {
        (first, second): sum((a - b) ** 2 for a, b in zip(points[first], points[second], strict=True))
        for first, second in combinations(range(len(points)), 2)
    }
    least = min(distances.values())
    for (first, second), distance in distances.items():
        if distance == least:
            assert (first ^ second).bit_count() == 1
