"""The six bands: their ranges and their hash functions."""

from itertools import pairwise

import pytest

from wnsp.spectrum import BAND_COUNT, BANDS, MAX_DIGEST_BYTES, Band

ABC_DIGESTS = {
    "VIOLET": "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532",
    "BLUE": "b751850b1a57168a5693cd924b6b096e08f621827444f70d884f5d0240d2712e"
    "10e116e9192af3c91a7ec57647e3934057340b4cf408d5a56592f8274eec53f0",
    "GREEN": "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1"
    "7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923",
    "YELLOW": "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982",
    "ORANGE": "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
    "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
    "RED": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
}
"""Of the three bytes `abc`: FIPS 202 and FIPS 180-4 example values, RFC 7693 appendices A and B."""


def _id(band: Band) -> str:
    return band.name


def test_there_are_six_bands_numbered_in_order_of_wavelength() -> None:
    assert BAND_COUNT == 6
    assert [band.index for band in BANDS] == list(range(6))
    assert [band.name for band in BANDS] == ["VIOLET", "BLUE", "GREEN", "YELLOW", "ORANGE", "RED"]


def test_the_ranges_meet_without_gap_or_overlap() -> None:
    assert all(lower.longest_pm == upper.shortest_pm for lower, upper in pairwise(BANDS))


def test_the_spectrum_reaches_from_380_to_750_nanometres() -> None:
    assert (BANDS[0].shortest_pm, BANDS[-1].longest_pm) == (380_000, 750_000)


@pytest.mark.parametrize("band", BANDS, ids=_id)
def test_the_centre_lies_midway_in_whole_picometres(band: Band) -> None:
    assert 2 * band.centre_pm == band.shortest_pm + band.longest_pm
    assert band.shortest_pm < band.centre_pm < band.longest_pm


def test_centres_are_those_that_the_message_price_uses() -> None:
    assert [band.centre_pm for band in BANDS] == [415_000, 472_500, 532_500, 580_000, 605_000, 685_000]


@pytest.mark.parametrize("band", BANDS, ids=_id)
def test_a_band_hashes_as_its_standard_says(band: Band) -> None:
    assert band.digest(b"abc").hex() == ABC_DIGESTS[band.name]
    assert len(band.digest(b"")) == band.digest_bytes <= MAX_DIGEST_BYTES


def test_no_two_bands_have_one_hash_function() -> None:
    assert (
        len({band.digest(b"abc") for band in BANDS}) == len({band.hash_name for band in BANDS}) == BAND_COUNT
    )
