"""W2: every change of every number of every frame, of every header bit, and of the order is refused and named."""

import pytest
from builders.waves import (
    ALICE,
    BOB,
    KEY,
    cheap_key,
    entropy,
    retimed,
    with_frames,
    with_header_bit,
    with_value,
)

from wnsp.ciphers.carriers import MODES, carrier_named
from wnsp.ciphers.errors import CannotOpen
from wnsp.ciphers.examination import Finding, examine
from wnsp.ciphers.photons import DIMENSIONS, LATTICE, PhotonFrame
from wnsp.ciphers.sealed_body import WaveMessage, open_sealed, seal, seal_with_passphrase
from wnsp.wave_signature import sign_wave


def opens(message: WaveMessage) -> bytes:
    return open_sealed(KEY, message)


def findings(message: WaveMessage, signature: bytes | None = None) -> tuple[Finding, ...]:
    return examine(message, opens, signer_key=ALICE.public_key, signature=signature)


def neighbours(dimension: int, value: int) -> list[int]:
    """One unit and one step away, on both sides, and the farthest value of the lattice."""
    if dimension == 4:
        return [value + 1, value - 1 if value else 7]
    first, step, count = LATTICE[dimension]
    last = first + step * (count - 1)
    near = {value - 1, value + 1, value - step, value + step, last if value != last else first, 0, 2**32 - 1}
    return sorted(other for other in near - {value} if 0 <= other < 2**32)


@pytest.mark.parametrize("mode", MODES)
def test_W2_every_change_of_every_dimension_of_every_frame_is_refused_and_named(mode: str) -> None:
    message = seal(KEY, b"W2", mode, entropy(20))
    signature = sign_wave(ALICE, message.header, message.frames)
    tried = 0
    for frame in range(len(message.frames)):
        for dimension, name in enumerate(DIMENSIONS):
            for value in neighbours(dimension, message.frames[frame][dimension]):
                changed = with_value(message, dimension, frame, value)
                with pytest.raises(CannotOpen):
                    opens(changed)
                found = findings(changed, signature)
                assert {finding.part for finding in found} == {name}, (frame, name, value)
                assert found[0].frame in (frame, None)
                tried += 1
    assert tried > 15 * len(message.frames)


@pytest.mark.parametrize("mode", MODES)
def test_W2_without_a_signature_the_frame_of_a_silent_dimension_is_named(mode: str) -> None:
    carrier = carrier_named(mode)
    message = seal(KEY, b"W2", mode, entropy(21))
    for frame in range(len(message.frames)):
        for dimension, name in enumerate(DIMENSIONS[:4]):
            first, step, count = LATTICE[dimension]
            value = first + ((message.frames[frame][dimension] - first) // step + 1) % count * step
            found = findings(with_value(message, dimension, frame, value))
            if dimension in carrier.silent:
                assert [(finding.part, finding.frame) for finding in found] == [(name, frame)]
            else:
                assert name in {finding.part for finding in found}


@pytest.mark.parametrize("mode", MODES)
def test_W2_every_header_bit_is_refused(mode: str) -> None:
    message = seal(KEY, b"W2", mode, entropy(22), expiry=9, recipient=bytes(20), sender_hint=bytes(8))
    signature = sign_wave(ALICE, message.header, message.frames)
    for bit in range(8 * len(message.header)):
        changed = with_header_bit(message, bit)
        with pytest.raises(CannotOpen):
            opens(changed)
        parts = {finding.part for finding in findings(changed, signature)}
        assert parts & {"header", "header or signer", "number of frames"}, bit


def test_W2_every_header_bit_of_a_passphrase_message_is_refused() -> None:
    """Not one of them by deriving a key: that would take a minute. The commitment or the bounds stop the rest."""
    key = cheap_key()
    message = seal_with_passphrase(key, b"W2", "QIML", entropy(23))
    for bit in range(8 * (33 + 22), 8 * len(message.header)):
        changed = with_header_bit(message, bit)
        assert changed.header[33:55] == message.header[33:55]
        with pytest.raises(CannotOpen):
            open_sealed(key.key, changed)


def _orders(frames: list[PhotonFrame], other: list[PhotonFrame]) -> dict[str, list[PhotonFrame]]:
    half = len(frames) // 2
    return {
        "dropped": frames[:half] + frames[half + 1 :],
        "first dropped": frames[1:],
        "last dropped": frames[:-1],
        "doubled": frames[: half + 1] + frames[half:],
        "swapped": [*frames[:2], frames[3], frames[2], *frames[4:]],
        "turned": frames[1:] + frames[:1],
        "reversed": frames[::-1],
        "spliced": frames[:half] + other[half:],
        "one spliced": [*frames[:half], other[half], *frames[half + 1 :]],
        "none": [],
    }


@pytest.mark.parametrize("mode", MODES)
def test_W2_dropped_doubled_swapped_and_spliced_frames_are_refused_and_found(mode: str) -> None:
    source = entropy(24)
    message, other = (seal(KEY, b"a message of W2", mode, source) for _ in range(2))
    signature = sign_wave(ALICE, message.header, message.frames)
    frames, others = list(message.frames), list(other.frames)
    for name, order in _orders(frames, others).items():
        for spelling in (order, retimed(order)):
            changed = with_frames(message, spelling)
            if changed == message:
                continue
            with pytest.raises(CannotOpen):
                opens(changed)
            assert findings(changed, signature), name
            assert findings(changed), name


def test_a_message_as_it_was_sealed_has_no_findings() -> None:
    for mode in MODES:
        message = seal(KEY, b"W2", mode, entropy(25))
        assert findings(message, sign_wave(ALICE, message.header, message.frames)) == ()


def test_another_key_is_told_from_a_change_where_there_is_a_signature() -> None:
    message = seal(KEY, b"W2", "QIML", entropy(26))
    signature = sign_wave(ALICE, message.header, message.frames)
    found = examine(
        message, lambda it: open_sealed(bytes(32), it), signer_key=ALICE.public_key, signature=signature
    )
    assert [finding.part for finding in found] == ["key or context"]


def test_another_signer_is_told_from_a_change() -> None:
    message = seal(KEY, b"W2", "QIML", entropy(27))
    found = findings(message, sign_wave(BOB, message.header, message.frames))
    assert [finding.part for finding in found] == ["header or signer"]


def test_findings_are_bounded() -> None:
    message = seal(KEY, bytes(2_000), "FSE", entropy(28))
    assert len(findings(with_frames(message, list(message.frames)[::-1]))) == 64
