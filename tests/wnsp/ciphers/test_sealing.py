"""Sealing and opening: round trips in all modes, one error for every failure, figures of the modes."""

import pytest
from builders.waves import (
    CHEAPEST,
    KEY,
    PASSPHRASE,
    cheap_key,
    entropy,
    retimed,
    with_frames,
    with_header_bit,
)

from wnsp.ciphers.carriers import CARRIERS, MODES, frame_count
from wnsp.ciphers.errors import (
    CannotOpen,
    CarrierChanged,
    CipherError,
    FrameCountWrong,
    HeaderMalformed,
    ModeUnknown,
    OffLattice,
    PlaintextTooLong,
    WrongSize,
)
from wnsp.ciphers.header import MAX_BODY_BYTES
from wnsp.ciphers.passphrase import PassphraseKeys
from wnsp.ciphers.photons import PhotonFrames
from wnsp.ciphers.sealed_body import (
    WaveMessage,
    decode_message,
    encode_message,
    open_sealed,
    open_with_passphrase,
    seal,
    seal_with_passphrase,
)
from wnsp.errors import WnspError

MESSAGES = 2_000


@pytest.mark.parametrize("mode", MODES)
def test_W1_every_short_length_round_trips(mode: str) -> None:
    source = entropy(1)
    for length in range(70):
        plaintext = source(length)
        message = seal(KEY, plaintext, mode, source)
        assert open_sealed(KEY, message) == plaintext
        assert decode_message(encode_message(message)) == message


@pytest.mark.parametrize("carrier", CARRIERS, ids=lambda carrier: carrier.name)
def test_a_mode_carries_its_bits_per_frame(carrier) -> None:
    message = seal(KEY, bytes(1_000), carrier.name, entropy(1))
    assert carrier.bits_per_frame == {"FSE": 8, "AME": 3, "PME": 6, "QIML": 17}[carrier.name]
    assert len(message.frames) == frame_count(carrier, 1_016) == -(-8 * 1_016 // carrier.bits_per_frame)


def test_all_modes_add_49_bytes_on_a_link_of_bytes() -> None:
    assert {len(encode_message(seal(KEY, bytes(100), mode, entropy(1)))) for mode in MODES} == {149}


def test_W4_sealing_twice_gives_frames_that_agree_no_more_than_by_chance() -> None:
    source = entropy(4)
    first, second = (seal(KEY, bytes(20_000), "FSE", source).frames.columns[0] for _ in range(2))
    equal = int((first == second).sum())
    assert equal < 20_016 / 256 * 1.6  # 78 expected; 125 is beyond five standard deviations


def test_W5_another_key_opens_nothing() -> None:
    message = seal(KEY, b"text", "QIML", entropy(5))
    with pytest.raises(CannotOpen):
        open_sealed(bytes(32), message)


@pytest.mark.parametrize("mode", MODES)
def test_W5_a_wrong_passphrase_opens_nothing(mode: str) -> None:
    message = seal_with_passphrase(cheap_key(), b"text", mode, entropy(6))
    assert open_with_passphrase(PassphraseKeys(PASSPHRASE), message) == b"text"
    with pytest.raises(CannotOpen):
        open_with_passphrase(PassphraseKeys(PASSPHRASE + "."), message)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("other", MODES)
def test_W5_a_message_moved_to_another_mode_does_not_open(mode: str, other: str) -> None:
    raw = bytearray(encode_message(seal(KEY, b"text", mode, entropy(7))))
    raw[3] = {"FSE": 1, "AME": 2, "PME": 3, "QIML": 4}[other]
    moved = decode_message(bytes(raw))
    if mode == other:
        assert open_sealed(KEY, moved) == b"text"
    else:
        with pytest.raises(CannotOpen):
            open_sealed(KEY, moved)


def test_W5_a_message_opens_only_in_the_way_it_was_sealed() -> None:
    key = cheap_key()
    shared = seal(key.key, b"text", "FSE", entropy(8))
    by_passphrase = seal_with_passphrase(key, b"text", "FSE", entropy(8))
    with pytest.raises(CannotOpen):
        open_with_passphrase(PassphraseKeys(PASSPHRASE), shared)
    with pytest.raises(CannotOpen):
        open_sealed(key.key, by_passphrase)


def test_a_message_opens_only_in_its_context() -> None:
    message = seal(KEY, b"text", "PME", entropy(9), context=b"genesis 1")
    assert open_sealed(KEY, message, context=b"genesis 1") == b"text"
    for context in (b"", b"genesis 2", b"genesis 1 "):
        with pytest.raises(CannotOpen):
            open_sealed(KEY, message, context=context)


def test_every_failure_to_open_says_the_same() -> None:
    message = seal(KEY, b"some text", "FSE", entropy(10))
    frames = list(message.frames)
    broken = [
        (bytes(32), message),
        (KEY, WaveMessage(b"", message.frames)),
        (KEY, with_header_bit(message, 3)),
        (KEY, with_header_bit(message, 60)),
        (KEY, with_frames(message, frames[:-1])),
        (KEY, with_frames(message, retimed(frames[1:] + frames[:1]))),
        (KEY, with_frames(message, [frames[0]._replace(amplitude=9), *frames[1:]])),
        (b"short", message),
    ]
    said = set()
    for key, changed in broken:
        with pytest.raises(CannotOpen) as failure:
            open_sealed(key, changed)
        assert failure.value.__suppress_context__
        said.add((type(failure.value), failure.value.args))
    assert len(said) == 1


def test_a_header_keeps_expiry_recipient_and_hint() -> None:
    message = seal(KEY, b"x", "AME", entropy(11), expiry=0, recipient=bytes(range(20)), sender_hint=bytes(8))
    again = decode_message(encode_message(message))
    assert again == message
    assert len(message.header) == 33 + 8 + 20 + 8


def test_what_is_too_long_is_refused_with_both_figures() -> None:
    with pytest.raises(PlaintextTooLong) as failure:
        seal(KEY, bytes(MAX_BODY_BYTES - 15), "QIML", entropy(12))
    assert failure.value.found == MAX_BODY_BYTES - 15
    assert failure.value.most == MAX_BODY_BYTES - 16


def test_an_unknown_mode_is_named() -> None:
    with pytest.raises(ModeUnknown, match="'XYZ'"):
        seal(KEY, b"", "XYZ", entropy(13))


def test_short_randomness_is_refused() -> None:
    with pytest.raises(WrongSize, match="random bytes"):
        seal(KEY, b"", "FSE", lambda size: bytes(size - 1))


def test_frames_that_do_not_fit_have_no_bytes() -> None:
    message = seal(KEY, b"text", "FSE", entropy(14))
    frames = list(message.frames)
    with pytest.raises(FrameCountWrong):
        encode_message(with_frames(message, frames[:-1]))
    with pytest.raises(OffLattice):
        encode_message(with_frames(message, [frames[0]._replace(wavelength_pm=380_001), *frames[1:]]))
    other = frames[0].amplitude % 8 + 1
    with pytest.raises(CarrierChanged):
        encode_message(with_frames(message, [frames[0]._replace(amplitude=other), *frames[1:]]))


@pytest.mark.parametrize("value", [-1, 2**32, 2**80])
def test_a_value_that_no_frame_can_hold_is_refused(value: int) -> None:
    with pytest.raises(OffLattice):
        PhotonFrames.from_frames([(380_000, 1, 0, 0, value)])


@pytest.mark.parametrize(
    "raw", [b"", b"WN2", bytes(33), b"WN2\x01" + bytes(28) + b"\x30", b"WN2\x05" + bytes(29)]
)
def test_bytes_that_are_no_header_are_named(raw: bytes) -> None:
    with pytest.raises(HeaderMalformed):
        decode_message(raw)


def test_errors_are_wnsp_errors_with_a_code() -> None:
    assert issubclass(CipherError, WnspError)
    assert CannotOpen().code == "CannotOpen"


def test_a_key_is_derived_once_for_a_conversation() -> None:
    keys = PassphraseKeys(PASSPHRASE)
    assert keys.key_for(CHEAPEST) is keys.key_for(CHEAPEST)


def test_W8_a_nonce_is_drawn_for_every_message_and_used_whole() -> None:
    """24 bytes each time from the source. Of 10^7 random ones two are equal with odds of 10^-44."""
    drawn = []
    source = entropy(15)

    def counted(size: int) -> bytes:
        drawn.append(source(size))
        return drawn[-1]

    nonces = {seal(KEY, b"", "QIML", counted).header[4:28] for _ in range(MESSAGES)}
    assert nonces == set(drawn)
    assert len(nonces) == len(drawn) == MESSAGES
    assert {len(nonce) for nonce in nonces} == {24}


def test_W8_every_byte_of_the_nonce_changes_the_body() -> None:
    for place in range(24):
        nonce = bytearray(24)
        plain = seal(KEY, b"text", "FSE", lambda size: bytes(size)).frames
        nonce[place] = 1
        other = seal(KEY, b"text", "FSE", lambda size, nonce=nonce: bytes(nonce)).frames
        assert plain.columns[0].tolist() != other.columns[0].tolist()
