"""The hash onion: layers, reveals, and the bound of a check."""

import pytest

from ledger.onion import MAX_ONION_STEPS, onion_layer, onion_secret, onion_step, peel_matches

SECRET = onion_secret(bytes(32), 0)


def test_layer_is_the_step_so_many_times() -> None:
    value = SECRET
    for layers in range(5):
        assert onion_layer(SECRET, layers) == value
        value = onion_step(value)


def test_reveal_of_an_epoch_lies_that_many_layers_under_the_tip() -> None:
    tip = onion_layer(SECRET, 100)
    for epoch in (0, 1, 60, 100):
        assert peel_matches(onion_layer(SECRET, 100 - epoch), epoch, tip)
        assert not peel_matches(onion_layer(SECRET, 100 - epoch), epoch + 1, tip)
    assert not peel_matches(bytes(32), 1, tip)


def test_check_is_bounded_whatever_it_is_asked() -> None:
    tip = onion_layer(SECRET, MAX_ONION_STEPS + 1)
    assert peel_matches(onion_step(SECRET), MAX_ONION_STEPS, tip)
    assert not peel_matches(SECRET, MAX_ONION_STEPS + 1, tip)
    assert not peel_matches(tip, -1, tip)
    assert not peel_matches(tip, 2**62, tip)


@pytest.mark.parametrize("other", [onion_secret(bytes(32), 1), onion_secret(b"k" * 32, 0)])
def test_every_generation_of_every_key_has_an_onion_of_its_own(other: bytes) -> None:
    assert other != SECRET
