"""The life of a prekey: announced signed, rotated after a day, deleted after fourteen."""

import pytest
from builders.waves import ALICE, BOB, entropy

from wnsp.ciphers.errors import PrekeyNotSigned, PrekeyStale, WrongSize
from wnsp.ciphers.prekeys import (
    CLOCK_SKEW_MS,
    DAY_MS,
    announce_prekey,
    find_prekey,
    new_ring,
    prekey_id,
    read_prekey,
    rotate,
)


def test_a_prekey_lasts_a_day_and_is_kept_for_fourteen() -> None:
    source = entropy(1)
    ring = new_ring(0, source)
    assert rotate(ring, DAY_MS - 1, source) == ring
    for hour in range(24 * 40):
        ring = rotate(ring, hour * DAY_MS // 24, source)
        ages = [hour // 24 * DAY_MS - prekey.created_ms for prekey in ring.prekeys]
        assert len(ring.prekeys) == min(hour // 24 + 1, 14)
        assert ages == sorted(ages, reverse=True)
        assert ages[-1] == 0 and ages[0] < 14 * DAY_MS


def test_an_announcement_is_136_bytes_and_reads_back() -> None:
    ring = new_ring(5, entropy(2))
    data = announce_prekey(ring, BOB)
    assert len(data) == 136
    prekey = read_prekey(data, 5)
    assert (prekey.identity_key, prekey.public_key) == (BOB.public_key, ring.prekeys[0].public_key)
    assert find_prekey(ring, prekey_id(prekey.public_key)) == ring.prekeys[0]
    assert find_prekey(ring, bytes(8)) is None


def test_no_byte_of_an_announcement_can_change() -> None:
    data = announce_prekey(new_ring(0, entropy(3)), BOB)
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1
        with pytest.raises(PrekeyNotSigned):
            read_prekey(bytes(changed), 0)


def test_another_cannot_announce_in_bobs_name() -> None:
    data = announce_prekey(new_ring(0, entropy(4)), ALICE)
    with pytest.raises(PrekeyNotSigned):
        read_prekey(BOB.public_key + data[32:], 0)


@pytest.mark.parametrize("size", [0, 135, 137])
def test_an_announcement_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(WrongSize):
        read_prekey(bytes(size), 0)


def test_a_prekey_is_usable_for_seven_days_and_with_a_clock_ten_minutes_off() -> None:
    data = announce_prekey(new_ring(100 * DAY_MS, entropy(5)), BOB)
    read_prekey(data, 107 * DAY_MS - 1)
    read_prekey(data, 100 * DAY_MS - CLOCK_SKEW_MS)
    for now_ms in (107 * DAY_MS, 100 * DAY_MS - CLOCK_SKEW_MS - 1):
        with pytest.raises(PrekeyStale):
            read_prekey(data, now_ms)


def test_a_prekey_made_under_a_wrong_clock_is_replaced_at_once() -> None:
    source = entropy(6)
    ring = rotate(new_ring(5 * DAY_MS, source), 0, source)
    assert [prekey.created_ms for prekey in ring.prekeys] == [5 * DAY_MS, 0]
    assert [prekey.created_ms for prekey in rotate(new_ring(400 * DAY_MS, source), 0, source).prekeys] == [0]


def test_no_private_key_shows_in_a_representation() -> None:
    ring = new_ring(0, entropy(7))
    assert ring.prekeys[0].private_key.hex() not in repr(ring)
    assert str(ring.prekeys[0].private_key) not in repr(ring)
