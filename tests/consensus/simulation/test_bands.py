"""Who can keep bands dark, and what makes a certificate."""

from math import sqrt
from random import Random

import pytest

from consensus.simulation.committee import Committee, captured_bands, choose_byzantine

TABLE = (
    # validators, adversaries, lit above, probability of two dark bands, its last digit; reliability.md 3.2
    (12, 4, (1, 3), 0.030, 0.001, 6_000),
    (30, 9, (1, 3), 0.0006, 0.0001, 12_000),
    (30, 10, (1, 3), 0.0024, 0.0001, 12_000),
    (60, 20, (1, 3), 0.0002, 0.0001, 5_000),
    (120, 40, (1, 3), 0.0, 0.00001, 1_500),
    (300, 99, (1, 3), 0.0, 0.00001, 400),
    (12, 4, (1, 2), 1.0, 0.0, 500),
    (30, 9, (1, 2), 0.137, 0.001, 4_000),
    (30, 10, (1, 2), 0.282, 0.001, 4_000),
    (60, 20, (1, 2), 0.294, 0.001, 2_000),
    (120, 40, (1, 2), 0.030, 0.001, 1_500),
    (12, 4, (2, 3), 1.0, 0.0, 500),
    (30, 9, (2, 3), 0.99, 0.01, 2_000),
    (60, 20, (2, 3), 0.97, 0.01, 1_500),
    (300, 99, (2, 3), 0.99, 0.01, 300),
)


@pytest.mark.parametrize(("validators", "adversaries", "lit_above", "expected", "digit", "deals"), TABLE)
def test_L20_band_capture_is_as_likely_as_the_table_says(
    validators: int,
    adversaries: int,
    lit_above: tuple[int, int],
    expected: float,
    digit: float,
    deals: int,
) -> None:
    captured = captured_bands(validators, adversaries, lit_above, Random(20), deals=deals)
    sigma = sqrt(max(expected * (1 - expected), digit) / deals)
    assert abs(captured / deals - expected) <= 3 * sigma + digit


def test_L20_a_band_threshold_of_a_half_lets_a_third_of_the_stake_stop_certificates() -> None:
    third, half = (captured_bands(30, 10, lit, Random(7), deals=1_000) for lit in ((1, 3), (1, 2)))
    assert half > 20 * max(1, third)


def test_a_certificate_needs_more_than_two_thirds_of_the_stake() -> None:
    committee = Committee((1,) * 12, 1, 32)
    everyone = (1 << 12) - 1
    dealt = committee.epoch_of(0)
    one_of_each = sum(1 << band[0] for band in dealt.bands)
    two_more = sum(1 << band[1] for band in dealt.bands[:2])
    assert committee.is_quorum(everyone, 0)
    assert not committee.is_quorum(one_of_each | two_more, 0)  # 8 of 12, all bands lit
    assert committee.is_quorum(one_of_each | two_more | 1 << dealt.bands[2][1], 0)


def test_a_certificate_needs_five_lit_bands() -> None:
    committee = Committee((1,) * 24, 1, 32)
    dealt = committee.epoch_of(0)
    everyone = (1 << 24) - 1
    assert committee.is_quorum(everyone & ~dealt.band_masks[0], 0)
    assert not committee.is_quorum(everyone & ~dealt.band_masks[0] & ~dealt.band_masks[1], 0)
    one_in_band_1 = 1 << dealt.bands[1][0]
    assert not committee.is_quorum(everyone & ~dealt.band_masks[0] & ~dealt.band_masks[1] | one_in_band_1, 0)
    two_in_band_1 = one_in_band_1 | 1 << dealt.bands[1][1]
    assert committee.is_quorum(everyone & ~dealt.band_masks[0] & ~dealt.band_masks[1] | two_in_band_1, 0)


def test_bands_are_dealt_anew_every_epoch() -> None:
    committee = Committee((1,) * 12, 1, 32)
    assert committee.epoch_of(31).bands == committee.epoch_of(0).bands != committee.epoch_of(32).bands


@pytest.mark.parametrize("validators", [12, 13, 31, 60])
def test_the_byzantine_are_just_under_a_third(validators: int) -> None:
    chosen = choose_byzantine((1,) * validators, Random(1))
    assert 3 * len(chosen) < validators <= 3 * (len(chosen) + 1)
