"""Passphrases: bounds before work (W10), least length, one spelling, commitment."""

from time import perf_counter

import pytest
from builders.waves import CHEAPEST, PASSPHRASE, cheap_key, entropy

from wnsp.ciphers import passphrase as passphrase_module
from wnsp.ciphers.errors import CannotOpen, KeyParametersOutOfBounds, NotText, PassphraseTooShort
from wnsp.ciphers.passphrase import (
    CACHED_KEYS,
    PassphraseKeys,
    PassphraseParameters,
    derive_key,
    new_parameters,
)
from wnsp.ciphers.sealed_body import (
    decode_message,
    encode_message,
    open_with_passphrase,
    seal_with_passphrase,
)

SALT = bytes(16)
OUTSIDE = [
    (8 * 1024 - 1, 1, 1),
    (256 * 1024 + 1, 1, 1),
    (2**32 - 1, 1, 1),
    (0, 1, 1),
    (8 * 1024, 0, 1),
    (8 * 1024, 11, 1),
    (8 * 1024, 255, 1),
    (8 * 1024, 1, 0),
    (8 * 1024, 1, 5),
]


@pytest.mark.parametrize(("memory_kib", "passes", "lanes"), OUTSIDE)
def test_W10_parameters_outside_the_bounds_are_refused_in_under_a_millisecond(
    memory_kib: int, passes: int, lanes: int
) -> None:
    raw = bytearray(encode_message(seal_with_passphrase(cheap_key(), b"text", "FSE", entropy(1))))
    raw[49:55] = memory_kib.to_bytes(4, "big") + bytes((passes, lanes))
    took_s = []
    for _ in range(5):
        started = perf_counter()
        with pytest.raises(KeyParametersOutOfBounds):
            decode_message(bytes(raw))
        took_s.append(perf_counter() - started)
    assert min(took_s) < 0.001
    with pytest.raises(KeyParametersOutOfBounds):
        derive_key(PASSPHRASE, PassphraseParameters(SALT, memory_kib, passes, lanes))


def test_W10_opening_derives_nothing_for_parameters_outside_the_bounds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    message = seal_with_passphrase(cheap_key(), b"text", "FSE", entropy(1))
    header = bytearray(message.header)
    header[49:53] = (2**31).to_bytes(4, "big")
    monkeypatch.setattr(passphrase_module, "argon2id", None)
    with pytest.raises(CannotOpen):
        open_with_passphrase(PassphraseKeys(PASSPHRASE), type(message)(bytes(header), message.frames))


def test_the_usual_parameters_are_64_mebibytes_three_passes_one_lane() -> None:
    parameters = new_parameters(entropy(2))
    assert (parameters.memory_kib, parameters.passes, parameters.lanes) == (65_536, 3, 1)
    assert parameters.salt == entropy(2)(16)


@pytest.mark.parametrize("passphrase", ["", "1234567", "e\u0301" * 7])
def test_fewer_than_eight_characters_are_refused(passphrase: str) -> None:
    with pytest.raises(PassphraseTooShort) as failure:
        derive_key(passphrase, CHEAPEST)
    assert failure.value.least == 8


def test_composed_and_decomposed_accents_are_one_passphrase() -> None:
    assert derive_key("caf\u00e9 cr\u00e8me", CHEAPEST) == derive_key("cafe\u0301 cre\u0300me", CHEAPEST)


def test_a_lone_surrogate_is_no_passphrase() -> None:
    with pytest.raises(NotText) as failure:
        derive_key("12345678\ud800", CHEAPEST)
    assert failure.value.position == 8


def test_salt_and_passphrase_both_change_the_key() -> None:
    keys = {
        derive_key(passphrase, PassphraseParameters(salt, *(8_192, 1, 1))).key
        for passphrase in (PASSPHRASE, PASSPHRASE + "!")
        for salt in (SALT, bytes(15) + b"\1")
    }
    assert len(keys) == 4


def test_a_message_whose_commitment_is_another_keys_does_not_open() -> None:
    """The body alone would open: it is the commitment that says no."""
    key = cheap_key()
    message = seal_with_passphrase(key, b"text", "FSE", entropy(3))
    other = derive_key(PASSPHRASE + "!", CHEAPEST)
    lying = seal_with_passphrase(
        type(key)(key.parameters, key.key, other.commitment), b"text", "FSE", entropy(3)
    )
    keys = PassphraseKeys(PASSPHRASE)
    assert open_with_passphrase(keys, message) == b"text"
    with pytest.raises(CannotOpen):
        open_with_passphrase(keys, lying)


def test_strangers_messages_do_not_push_out_the_keys_in_use() -> None:
    keys = PassphraseKeys(PASSPHRASE)
    used = keys.key_for(CHEAPEST)
    for number in range(2 * CACHED_KEYS):
        with pytest.raises(CannotOpen):
            keys.key_for(PassphraseParameters(number.to_bytes(16, "big"), 8_192, 1, 1), bytes(32))
    assert keys.key_for(CHEAPEST) is used


def test_kept_keys_are_bounded() -> None:
    keys = PassphraseKeys(PASSPHRASE)
    first = keys.key_for(CHEAPEST)
    for number in range(CACHED_KEYS):
        keys.key_for(PassphraseParameters(number.to_bytes(16, "little"), 8_192, 1, 1))
    assert keys.key_for(CHEAPEST) is not first


def test_no_key_and_no_passphrase_shows_in_a_representation() -> None:
    key = cheap_key()
    assert key.key.hex() not in repr(key)
    assert str(key.key) not in repr(key)
    assert PASSPHRASE not in repr(PassphraseKeys(PASSPHRASE))
