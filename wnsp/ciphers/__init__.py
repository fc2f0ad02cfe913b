"""Wave cryptography: four modes as carriers over one sealed body. Specification: wnsp/CRYPTOGRAPHY.md."""

from wnsp.ciphers.wavelength_cryptography import (
    AmplitudeModulationEncryption,
    FrequencyShiftEncryption,
    PhaseModulationEncryption,
    QuantumInspiredMultiLayerEncryption,
    WavelengthCryptography,
)

__all__ = [
    "AmplitudeModulationEncryption",
    "FrequencyShiftEncryption",
    "PhaseModulationEncryption",
    "QuantumInspiredMultiLayerEncryption",
    "WavelengthCryptography",
]
