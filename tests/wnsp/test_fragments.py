"""Messages in pieces and back: any order, bounded, nothing mixed."""

from dataclasses import replace
from random import Random

import pytest

from wnsp.errors import MessageTooLong, MtuOutOfRange
from wnsp.fragments import FRAGMENT_COST_BYTES, Loss, Reassembler, ReassemblyLimits, fragment
from wnsp.frame import MAX_FRAME_BYTES, WNSPFrame, encode_frame

MESSAGE = Random(1).randbytes(1_000)


def _add_all(
    reassembler: Reassembler, frames: list[WNSPFrame], source: str = "a", now_ms: int = 0
) -> list[bytes]:
    given = [reassembler.add(frame, source, now_ms) for frame in frames]
    return [message for message in given if message is not None]


@pytest.mark.parametrize("mtu", [17, 18, 116, 1_016, 1_015, MAX_FRAME_BYTES])
def test_no_frame_is_longer_than_the_mtu_and_the_message_comes_back(mtu: int) -> None:
    frames = fragment(MESSAGE, mtu, 9, region=4, modulation=2, scheme=3)
    assert len(frames) == -(-len(MESSAGE) // (mtu - 16))
    assert max(len(encode_frame(frame)) for frame in frames) <= mtu
    assert [frame.last for frame in frames] == [False] * (len(frames) - 1) + [True]
    assert _add_all(Reassembler(), list(frames)) == [MESSAGE]


def test_an_empty_message_is_one_frame() -> None:
    (frame,) = fragment(b"", 100, 0)
    assert Reassembler().add(frame, "a", 0) == b""


def test_fragments_may_come_in_any_order_and_more_than_once() -> None:
    frames = list(fragment(MESSAGE, 116, 1))
    rng = Random(2)
    for _ in range(20):
        reassembler = Reassembler()
        shuffled = frames[:-1] + frames[1:-1]
        rng.shuffle(shuffled)
        assert _add_all(reassembler, [*shuffled, frames[-1]]) == [MESSAGE]
        assert (len(reassembler), reassembler.held_bytes) == (0, 0)


def test_the_last_fragment_may_come_first() -> None:
    assert _add_all(Reassembler(), list(fragment(MESSAGE, 116, 1))[::-1]) == [MESSAGE]


@pytest.mark.parametrize("mtu", [16, 0, MAX_FRAME_BYTES + 1])
def test_an_mtu_without_room_is_refused(mtu: int) -> None:
    with pytest.raises(MtuOutOfRange):
        fragment(MESSAGE, mtu, 0)


def test_more_fragments_than_numbers_are_refused() -> None:
    assert len(fragment(bytes(65_536), 17, 0)) == 65_536
    with pytest.raises(MessageTooLong):
        fragment(bytes(65_537), 17, 0)


def test_messages_of_two_sources_and_two_sequences_never_mix() -> None:
    messages = {("a", 1): b"A" * 300, ("b", 1): b"B" * 300, ("a", 2): b"C" * 300}
    frames = [
        (frame, source)
        for (source, sequence), message in messages.items()
        for frame in fragment(message, 66, sequence)
    ]
    Random(3).shuffle(frames)
    reassembler = Reassembler()
    given = [reassembler.add(frame, source, 0) for frame, source in frames]
    assert sorted(message for message in given if message) == sorted(messages.values())


def test_a_message_that_waits_too_long_is_given_up() -> None:
    reassembler = Reassembler(ReassemblyLimits(expiry_ms=1_000))
    frames = list(fragment(MESSAGE, 516, 1))
    assert _add_all(reassembler, frames[:1], now_ms=5_000) == []
    assert _add_all(reassembler, frames[1:], now_ms=6_000) == []
    assert reassembler.lost == {Loss.EXPIRED: 1}


def test_trickling_does_not_prolong_a_message() -> None:
    reassembler = Reassembler(ReassemblyLimits(expiry_ms=1_000))
    frames = list(fragment(MESSAGE, 116, 1))
    for number, frame in enumerate(frames):
        reassembler.add(frame, "a", 300 * number)
    assert reassembler.lost[Loss.EXPIRED] >= 2


def test_a_sender_that_counts_from_the_start_again_gets_through() -> None:
    reassembler = Reassembler()
    _add_all(reassembler, list(fragment(b"x" * 300, 116, 1))[:2])
    assert _add_all(reassembler, list(fragment(b"y" * 300, 116, 1))) == [b"y" * 300]
    assert reassembler.lost == {Loss.CONFLICT: 1}


@pytest.mark.parametrize(
    "change",
    [{"region": 3}, {"modulation": 1}, {"encrypted": True, "scheme": 1}, {"payload": b"z"}, {"last": True}],
)
def test_fragments_that_contradict_each_other_are_never_joined(change: dict[str, object]) -> None:
    frames = list(fragment(MESSAGE, 416, 1))
    reassembler = Reassembler()
    reassembler.add(frames[0], "a", 0)
    reassembler.add(frames[1], "a", 0)
    reassembler.add(replace(frames[1], **change), "a", 0)  # type: ignore[arg-type]
    assert reassembler.lost == {Loss.CONFLICT: 1}
    assert reassembler.add(frames[2], "a", 0) is None


def test_fragments_behind_the_last_one_are_a_conflict() -> None:
    frames = list(fragment(MESSAGE, 216, 1))
    reassembler = Reassembler()
    reassembler.add(replace(frames[2], last=True), "a", 0)
    reassembler.add(frames[3], "a", 0)
    assert reassembler.lost == {Loss.CONFLICT: 1}


def test_M4_a_message_has_a_greatest_size() -> None:
    reassembler = Reassembler(ReassemblyLimits(message_bytes=10_000))
    assert _add_all(reassembler, list(fragment(bytes(20_000), 1_016, 1))) == []
    assert reassembler.lost[Loss.TOO_LONG] >= 1
    assert reassembler.held_bytes <= 10_000


def test_M4_a_source_displaces_its_own_oldest_message_only() -> None:
    reassembler = Reassembler(ReassemblyLimits(messages_per_source=4))
    victim = list(fragment(MESSAGE, 516, 1))
    reassembler.add(victim[0], "victim", 0)
    for sequence in range(50):
        reassembler.add(fragment(MESSAGE, 516, sequence)[0], "flooder", 1)
    assert len(reassembler) == 5 and reassembler.lost == {Loss.NO_ROOM: 46}
    assert reassembler.add(victim[1], "victim", 2) == MESSAGE


def test_M4_the_whole_is_bounded_and_the_greediest_source_pays() -> None:
    limits = ReassemblyLimits(total_bytes=50_000, messages=20)
    reassembler = Reassembler(limits)
    victim = list(fragment(MESSAGE, 516, 1))
    reassembler.add(victim[0], "victim", 0)
    rng = Random(4)
    for number in range(400):
        frame = fragment(bytes(20_000), 4_016, number % 16)[rng.randrange(4)]
        reassembler.add(frame, f"flooder {number % 3}", 1)
        assert reassembler.held_bytes <= limits.total_bytes and len(reassembler) <= limits.messages
    assert reassembler.add(victim[1], "victim", 2) == MESSAGE


def test_M4_empty_fragments_are_not_free() -> None:
    reassembler = Reassembler(ReassemblyLimits(message_bytes=100 * FRAGMENT_COST_BYTES))
    empty = replace(fragment(MESSAGE, 516, 1)[0], payload=b"")
    for place in range(200):
        reassembler.add(replace(empty, fragment=place), "a", 0)
    assert reassembler.lost[Loss.TOO_LONG] == 1


def test_the_account_is_zero_when_all_has_expired() -> None:
    rng = Random(5)
    reassembler = Reassembler(ReassemblyLimits(total_bytes=20_000, messages=7, messages_per_source=3))
    for _ in range(2_000):
        frames = fragment(rng.randbytes(700), 116, rng.randrange(4))
        reassembler.add(rng.choice(frames), rng.randrange(5), rng.randrange(40_000))
    reassembler.expire(10**9)
    assert (len(reassembler), reassembler.held_bytes) == (0, 0)
    assert not reassembler._of_source and not reassembler._cost_of_source


def test_M4_a_source_is_not_charged_for_what_it_has_completed() -> None:
    reassembler = Reassembler(ReassemblyLimits(total_bytes=20_000))
    waiting = list(fragment(MESSAGE, 516, 0))
    reassembler.add(waiting[0], "busy", 0)
    for sequence in range(1, 20):
        assert _add_all(reassembler, list(fragment(bytes(5_000), 2_516, sequence)), "busy")
    for sequence in range(12):
        reassembler.add(fragment(bytes(5_000), 2_516, sequence)[0], "flooder", 0)
    assert reassembler.lost[Loss.NO_ROOM] > 0
    assert reassembler.add(waiting[1], "busy", 0) == MESSAGE
