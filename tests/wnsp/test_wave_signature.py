"""Wave signatures: 225 bytes; the changed dimension is named; RFC 8032 underneath; the time rule."""

import pytest
from builders.waves import ALICE, BOB, KEY, entropy, with_value

from wnsp.ciphers.carriers import MODES
from wnsp.ciphers.errors import DimensionsDiffer, NotAfterParents, OutsideLifetime, WaveSignatureInvalid
from wnsp.ciphers.photons import DIMENSIONS
from wnsp.ciphers.sealed_body import seal
from wnsp.identity import Identity, verify
from wnsp.wave_signature import check_time, dimension_digests, sign_wave, verify_wave

MESSAGE = seal(KEY, b"signed", "PME", entropy(30))
SIGNATURE = sign_wave(ALICE, MESSAGE.header, MESSAGE.frames)


@pytest.mark.parametrize("mode", MODES)
def test_a_signature_has_225_bytes_and_verifies(mode: str) -> None:
    message = seal(KEY, b"signed", mode, entropy(31))
    signature = sign_wave(ALICE, message.header, message.frames)
    assert len(signature) == 225
    verify_wave(ALICE.public_key, message.header, message.frames, signature)


@pytest.mark.parametrize("dimension", range(5))
def test_the_changed_dimension_is_named_for_every_frame(dimension: int) -> None:
    for frame in range(len(MESSAGE.frames)):
        changed = with_value(MESSAGE, dimension, frame, MESSAGE.frames[frame][dimension] + 1)
        with pytest.raises(DimensionsDiffer) as failure:
            verify_wave(ALICE.public_key, changed.header, changed.frames, SIGNATURE)
        assert failure.value.dimensions == (DIMENSIONS[dimension],)


def test_several_changed_dimensions_are_all_named() -> None:
    changed = with_value(with_value(MESSAGE, 0, 3, 380_000 + 5), 4, 0, 9)
    with pytest.raises(DimensionsDiffer) as failure:
        verify_wave(ALICE.public_key, changed.header, changed.frames, SIGNATURE)
    assert failure.value.dimensions == ("wavelength", "time")


def test_no_byte_of_the_signature_can_change() -> None:
    for place in range(225):
        changed = bytearray(SIGNATURE)
        changed[place] ^= 1
        with pytest.raises(WaveSignatureInvalid):
            verify_wave(ALICE.public_key, MESSAGE.header, MESSAGE.frames, bytes(changed))


@pytest.mark.parametrize("cut", [b"", SIGNATURE[:-1], SIGNATURE + b"\0"])
def test_a_signature_of_another_size_is_none(cut: bytes) -> None:
    with pytest.raises(WaveSignatureInvalid):
        verify_wave(ALICE.public_key, MESSAGE.header, MESSAGE.frames, cut)


def test_another_key_and_another_header_are_told_before_any_dimension() -> None:
    changed = with_value(MESSAGE, 0, 0, 380_001)
    with pytest.raises(WaveSignatureInvalid):
        verify_wave(BOB.public_key, MESSAGE.header, changed.frames, SIGNATURE)
    with pytest.raises(WaveSignatureInvalid):
        verify_wave(ALICE.public_key, MESSAGE.header + b"\0", changed.frames, SIGNATURE)
    with pytest.raises(WaveSignatureInvalid):
        verify_wave(bytes(32), MESSAGE.header, MESSAGE.frames, SIGNATURE)


def test_equal_streams_of_two_dimensions_have_different_digests() -> None:
    message = with_value(with_value(MESSAGE, 1, 0, 7), 3, 0, 7)
    message.frames.columns[1].setflags(write=False)
    columns = message.frames.columns.copy()
    columns[1] = columns[3]
    digests = dimension_digests(type(message.frames).from_columns(columns))
    assert digests[1] != digests[3]


def test_W3_signing_gives_rfc_8032_section_7_1_test_2() -> None:
    identity = Identity.from_seed(
        bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    )
    assert identity.public_key.hex() == "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    signature = identity.sign(b"\x72")
    assert signature.hex() == (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    verify(identity.public_key, b"\x72", signature)


def test_a_message_is_younger_than_all_its_parents_and_read_in_its_lifetime() -> None:
    check_time(created=5, expiry=9, parents_created=(3, 4), now=5)
    check_time(created=5, expiry=9, parents_created=(), now=9)
    for parent in (5, 6):
        with pytest.raises(NotAfterParents):
            check_time(created=5, expiry=9, parents_created=(3, parent), now=6)
    for now in (4, 10):
        with pytest.raises(OutsideLifetime):
            check_time(created=5, expiry=9, parents_created=(3,), now=now)
