"""Wavelength, frequency and photon energy, for display: E = hc / λ.

Floats, and so never on the wire, signed or on chain: those hold integers (wavelengths in picometres). Constants
are those of the SI since 2019, exact by definition (CODATA 2018, Tiesinga et al., Rev. Mod. Phys. 93, 025010).
"""

PLANCK_JOULE_SECONDS = 6.62607015e-34
LIGHT_METRES_PER_SECOND = 299_792_458
JOULES_PER_ELECTRONVOLT = 1.602176634e-19

METRES_PER_PICOMETRE = 1e-12
PICOMETRES_PER_NANOMETRE = 1_000


def wavelength_nm(wavelength_pm: int) -> float:
    """Nanometres of a wavelength in picometres."""
    return _positive(wavelength_pm) / PICOMETRES_PER_NANOMETRE


def frequency_thz(wavelength_pm: int) -> float:
    """Frequency in terahertz of light of that wavelength in vacuum: c / λ."""
    return LIGHT_METRES_PER_SECOND / (_positive(wavelength_pm) * METRES_PER_PICOMETRE) * 1e-12


def photon_energy_joules(wavelength_pm: int) -> float:
    """Energy of one photon of that wavelength in joules: hc / λ (Planck and Einstein)."""
    return PLANCK_JOULE_SECONDS * LIGHT_METRES_PER_SECOND / (_positive(wavelength_pm) * METRES_PER_PICOMETRE)


def photon_energy_ev(wavelength_pm: int) -> float:
    """The same energy in electronvolts (1,239.84 eV nm / λ)."""
    return photon_energy_joules(wavelength_pm) / JOULES_PER_ELECTRONVOLT


def _positive(wavelength_pm: int) -> int:
    if wavelength_pm <= 0:
        raise ValueError(f"a wavelength is a positive number of picometres, not {wavelength_pm}")
    return wavelength_pm
