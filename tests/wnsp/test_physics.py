"""Wavelength, frequency and energy against published figures."""

import pytest

from wnsp.physics import frequency_thz, photon_energy_ev, photon_energy_joules, wavelength_nm


def test_one_micrometre_has_the_energy_that_codata_gives() -> None:
    assert photon_energy_ev(1_000_000) == pytest.approx(1.239841984, rel=1e-9)


def test_green_light_has_known_frequency_and_energy() -> None:
    assert wavelength_nm(532_500) == 532.5
    assert frequency_thz(555_000) == pytest.approx(540.1666, rel=1e-6)
    assert photon_energy_joules(555_000) == pytest.approx(3.57920e-19, rel=1e-5)


@pytest.mark.parametrize("wavelength_pm", [0, -1])
def test_a_wavelength_that_is_not_positive_is_refused(wavelength_pm: int) -> None:
    with pytest.raises(ValueError, match="positive"):
        photon_energy_ev(wavelength_pm)
