"""The public classes with the seed's names: text and passphrase in, photon frames out."""

import pytest
from builders.waves import PASSPHRASE, entropy

from wnsp.ciphers import (
    AmplitudeModulationEncryption,
    FrequencyShiftEncryption,
    PhaseModulationEncryption,
    QuantumInspiredMultiLayerEncryption,
    WavelengthCryptography,
)
from wnsp.ciphers.carriers import MODES
from wnsp.ciphers.errors import CannotOpen, ModeUnknown, NotText, PassphraseTooShort

ONE_MODE = (
    FrequencyShiftEncryption,
    AmplitudeModulationEncryption,
    PhaseModulationEncryption,
    QuantumInspiredMultiLayerEncryption,
)
TEXT = "Grüße über λ = 532 nm, καὶ τὰ λοιπά"


@pytest.mark.parametrize("cipher", ONE_MODE, ids=lambda cipher: cipher.mode)
def test_two_sides_with_one_passphrase_understand_each_other(cipher) -> None:
    here = cipher(PASSPHRASE, entropy(1), memory_kib=8_192, passes=1)
    there = cipher(PASSPHRASE, entropy(2), memory_kib=8_192, passes=1)
    assert there.decrypt(here.encrypt(TEXT)) == TEXT
    assert here.decrypt(there.encrypt("")) == ""


def test_the_class_for_all_modes_reads_what_the_others_write() -> None:
    reader = WavelengthCryptography(PASSPHRASE, entropy(3), memory_kib=8_192, passes=1)
    for cipher in ONE_MODE:
        assert (
            reader.decrypt(cipher(PASSPHRASE, entropy(4), memory_kib=8_192, passes=1).encrypt(TEXT)) == TEXT
        )
    for mode in MODES:
        assert reader.decrypt(reader.encrypt(TEXT, mode)) == TEXT


def test_a_class_of_one_mode_opens_no_other() -> None:
    writer = WavelengthCryptography(PASSPHRASE, entropy(5), memory_kib=8_192, passes=1)
    reader = FrequencyShiftEncryption(PASSPHRASE, entropy(6), memory_kib=8_192, passes=1)
    with pytest.raises(CannotOpen):
        reader.decrypt(writer.encrypt(TEXT, "PME"))


def test_bytes_that_are_no_text_do_not_open_as_text() -> None:
    cipher = WavelengthCryptography(PASSPHRASE, entropy(7), memory_kib=8_192, passes=1)
    message = cipher.encrypt_bytes(b"\xff")
    assert cipher.decrypt_bytes(message) == b"\xff"
    with pytest.raises(CannotOpen):
        cipher.decrypt(message)


def test_what_cannot_be_sealed_is_named() -> None:
    cipher = WavelengthCryptography(PASSPHRASE, entropy(8), memory_kib=8_192, passes=1)
    with pytest.raises(ModeUnknown):
        cipher.encrypt(TEXT, "fse")
    with pytest.raises(NotText):
        cipher.encrypt("\ud800")
    with pytest.raises(PassphraseTooShort):
        WavelengthCryptography("1234567", entropy(9))
