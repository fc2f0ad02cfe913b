"""One deal for everybody: proposers' schedules and constitutional votes."""

from hashlib import blake2b

from consensus.schedule import deal_bands, validator_set
from ledger.staking.bands import BAND_COUNT, deal_into_bands
from ledger.staking.snapshot import SnapshotValidator
from wnsp import spectrum


def test_there_are_as_many_bands_as_the_spectrum_has() -> None:
    assert BAND_COUNT == spectrum.BAND_COUNT == len(spectrum.BANDS)


def test_schedules_deal_by_the_same_function() -> None:
    stakes = {index * 7: 1_000 + index for index in range(11)}
    entries = [
        SnapshotValidator(index, bytes([index]) * 32, units, bytes(32), 0, 1, 0)
        for index, units in stakes.items()
    ]
    for trial in range(8):
        seed = blake2b(bytes([trial]), digest_size=32).digest()
        assert deal_bands(seed, validator_set(entries))[0] == deal_into_bands(seed, stakes, BAND_COUNT)


def test_every_validator_is_dealt_once_and_stakes_are_even() -> None:
    stakes = dict.fromkeys(range(60), 10)
    bands = deal_into_bands(b"s" * 32, stakes, BAND_COUNT)
    assert sorted(index for band in bands for index in band) == list(range(60))
    assert {len(band) for band in bands} == {10}


def test_a_great_stake_keeps_others_out_of_its_band() -> None:
    stakes = {0: 1_000, **dict.fromkeys(range(1, 61), 10)}
    bands = deal_into_bands(b"s" * 32, stakes, BAND_COUNT)
    [great] = [band for band in bands if 0 in band]
    assert all(len(great) < len(band) for band in bands if band is not great)


def test_the_deal_does_not_depend_on_the_order_in_which_stakes_come() -> None:
    stakes = {index: 5 + index for index in range(20)}
    reverse = dict(sorted(stakes.items(), reverse=True))
    assert deal_into_bands(b"s" * 32, stakes, 6) == deal_into_bands(b"s" * 32, reverse, 6)
