"""Random messages, damaged frames and hostile bytes against wnsp's codec (reliability.md C1, M4).

NEXUS_FUZZ_INPUTS sets the number of messages and of mutants (default 400), NEXUS_FUZZ_SEED the seed.
"""

import os
from random import Random
from time import process_time

from fuzz.mutators import mutants

from wnsp.alphabet import (
    SYMBOLS,
    bytes_to_symbols,
    decode_letters,
    decode_text,
    encode_letters,
    encode_text,
    symbols_at,
    symbols_to_bytes,
    wavelengths_pm,
)
from wnsp.envelope import Envelope, open_envelope, sign_envelope
from wnsp.errors import WnspError
from wnsp.fragments import Reassembler, ReassemblyLimits, fragment
from wnsp.frame import (
    OVERHEAD_BYTES,
    SYNC,
    VERSION_OF_TYPE,
    FrameType,
    WNSPFrame,
    decode_frame,
    encode_frame,
)
from wnsp.identity import Identity
from wnsp.streaming import FrameDecoder, Garbage

INPUTS = int(os.environ.get("NEXUS_FUZZ_INPUTS", "400"))
SEED = int(os.environ.get("NEXUS_FUZZ_SEED", "1"))

IDENTITIES = [Identity.from_seed(bytes([number]) * 32) for number in range(4)]
GENESIS = bytes(range(32))


def _length(rng: Random) -> int:
    """0 to 64 KiB, short ones more often."""
    return rng.randrange((1 << rng.randrange(17)) + 1)


def _envelope(rng: Random, payload: bytes, identity: Identity) -> Envelope:
    created = rng.randrange(2**40)
    return Envelope(
        version=1,
        genesis=GENESIS,
        sender=identity.public_key,
        recipient=rng.choice((b"", rng.choice(IDENTITIES).hash)),
        created_slot=created,
        expiry_slot=created + rng.randrange(1, 2**20),
        region=rng.randrange(6),
        modulation=rng.randrange(7),
        scheme=rng.randrange(256),
        parents=tuple(sorted(rng.randbytes(32) for _ in range(rng.randrange(9)))),
        priority=rng.randrange(4),
        payload=payload,
    )


def _frame(rng: Random, payload: bytes) -> WNSPFrame:
    kind = rng.choice(tuple(FrameType))
    if kind == FrameType.LETTERS:
        payload = bytes([byte % 208 for byte in payload])
    elif kind == FrameType.TEXT:
        payload = bytes([byte & 63 for byte in payload])
    scheme = rng.choice((0, rng.randrange(256)))
    return WNSPFrame(
        version=VERSION_OF_TYPE[kind],
        type=kind,
        region=rng.randrange(6),
        modulation=rng.randrange(7),
        last=rng.random() < 0.5,
        encrypted=scheme != 0,
        scheme=scheme,
        sequence=rng.randrange(2**32),
        fragment=rng.randrange(2**16),
        payload=payload,
    )


def test_random_messages_come_back_through_envelope_fragments_frames_and_symbols() -> None:
    rng = Random(SEED)
    decoder, reassembler = FrameDecoder(), Reassembler()
    for number in range(INPUTS):
        identity = rng.choice(IDENTITIES)
        envelope = _envelope(rng, rng.randbytes(_length(rng)), identity)
        raw = sign_envelope(envelope, identity)
        mtu = rng.choice((272, 1_400, 65_551)) if len(raw) < 20_000 else 65_551
        frames = fragment(raw, mtu, number % 2**32, region=envelope.region, scheme=envelope.scheme)
        found = decoder.feed(b"".join(map(encode_frame, frames)))
        assert found == frames
        messages = [reassembler.add(frame, "neighbour", number) for frame in frames]
        assert messages[-1] == raw and messages.count(None) == len(messages) - 1
        assert open_envelope(raw, GENESIS).envelope == envelope
        assert symbols_to_bytes(bytes_to_symbols(envelope.payload)) == envelope.payload
    assert decoder.finish() == ()


def test_random_frames_letters_and_texts_come_back() -> None:
    rng = Random(SEED + 1)
    for _ in range(INPUTS):
        frame = _frame(rng, rng.randbytes(rng.randrange(200)))
        assert decode_frame(encode_frame(frame)) == frame
        text = "".join(rng.choices(SYMBOLS.characters, k=rng.randrange(50)))
        assert decode_text(symbols_at(wavelengths_pm(encode_text(text)))) == text
        letters = "".join(rng.choices(SYMBOLS.characters[:26], k=rng.randrange(50)))
        intensity = rng.randrange(8)
        assert decode_letters(encode_letters(letters, intensity)) == (
            letters,
            bytes([intensity]) * len(letters),
        )


def test_every_single_bit_and_single_byte_change_of_random_frames_is_found() -> None:
    rng = Random(SEED + 2)
    for _ in range(max(2, INPUTS // 250)):
        raw = encode_frame(_frame(rng, rng.randbytes(rng.randrange(40))))
        for place in range(len(raw)):
            for value in range(256):  # the eight single bits are among them
                if value != raw[place] and _is_frame(raw[:place] + bytes([value]) + raw[place + 1 :]):
                    raise AssertionError(f"byte {place} of {raw.hex()} as {value:02x} passes")


def test_every_dropped_doubled_or_swapped_byte_of_random_frames_is_found() -> None:
    rng = Random(SEED + 3)
    for _ in range(max(10, INPUTS // 10)):
        raw = encode_frame(_frame(rng, rng.randbytes(rng.randrange(100))))
        for place in range(len(raw)):
            assert not _is_frame(raw[:place] + raw[place + 1 :])
            assert not _is_frame(raw[:place] + raw[place : place + 1] + raw[place:])
            swapped = raw[:place] + raw[place : place + 2][::-1] + raw[place + 2 :]
            assert swapped == raw or not _is_frame(swapped)


def _is_frame(raw: bytes) -> bool:
    try:
        decode_frame(raw)
    except WnspError:
        return False
    return True


def test_C1_no_bytes_make_a_decoder_raise_anything_but_wnsp_errors() -> None:
    rng = Random(SEED + 4)
    corpus = [encode_frame(_frame(rng, rng.randbytes(size))) for size in (0, 1, 5, 100, 3_000)]
    corpus += [
        sign_envelope(_envelope(rng, rng.randbytes(size), IDENTITIES[0]), IDENTITIES[0])
        for size in (0, 20, 300)
    ]
    decoder, reassembler = FrameDecoder(), Reassembler(ReassemblyLimits(total_bytes=100_000))
    slowest, accepted, refused = 0.0, 0, 0
    for number, raw in enumerate(mutants(SEED, corpus, INPUTS)):
        began = process_time()
        for decode in (decode_frame, open_envelope, symbols_to_bytes, decode_letters, decode_text):
            try:
                decode(raw)
            except WnspError:
                refused += 1
            else:
                accepted += 1
        for item in decoder.feed(raw):
            if isinstance(item, WNSPFrame):
                reassembler.add(item, number % 5, number)
        slowest = max(slowest, process_time() - began)
    assert accepted and refused
    assert slowest < 0.25, "one input took more than 250 ms of CPU"


def test_mutants_of_frames_that_are_accepted_have_one_spelling() -> None:
    rng = Random(SEED + 5)
    corpus = [encode_frame(_frame(rng, rng.randbytes(size))) for size in (0, 3, 40)]
    for raw in mutants(SEED + 6, corpus, INPUTS):
        if _is_frame(raw):
            assert encode_frame(decode_frame(raw)) == raw


def test_the_streaming_decoder_finds_what_the_plain_definition_finds() -> None:
    rng = Random(SEED + 7)
    for _ in range(max(20, INPUTS // 10)):
        raw = b"".join(_noise(rng) for _ in range(rng.randrange(1, 12)))
        decoder = FrameDecoder()
        found: list[WNSPFrame | Garbage] = []
        place = 0
        while place < len(raw):
            step = rng.choice((1, 2, 5, 13, 64, 700))
            found += decoder.feed(raw[place : place + step])
            place += step
        found += decoder.finish()
        assert [item for item in found if isinstance(item, WNSPFrame)] == _frames_by_definition(raw)
        covered = sum(
            item.length if isinstance(item, Garbage) else OVERHEAD_BYTES + len(item.payload) for item in found
        )
        assert covered == len(raw)


def _noise(rng: Random) -> bytes:
    """A frame, a damaged one, a piece of one, a header that claims much, or anything."""
    raw = encode_frame(_frame(rng, rng.randbytes(rng.randrange(60))))
    choice = rng.randrange(6)
    if choice < 2:
        return raw
    if choice == 2:
        place = rng.randrange(len(raw))
        return raw[:place] + bytes([raw[place] ^ 1 << rng.randrange(8)]) + raw[place + 1 :]
    if choice == 3:
        return raw[: rng.randrange(len(raw))]
    if choice == 4:
        return b"\xab\x23\x00\x00" + rng.randbytes(6) + rng.randrange(300).to_bytes(2, "big")
    return bytes(rng.choices((SYNC, 0x23, 0, rng.randrange(256)), k=rng.randrange(40)))


def _frames_by_definition(raw: bytes) -> list[WNSPFrame]:
    """The leftmost frame, then the leftmost one behind it, and so on; quadratic."""
    frames, place = [], 0
    while place + OVERHEAD_BYTES <= len(raw):
        end = place + OVERHEAD_BYTES + int.from_bytes(raw[place + 10 : place + 12], "big")
        if raw[place] == SYNC and end <= len(raw) and _is_frame(raw[place:end]):
            frames.append(decode_frame(raw[place:end]))
            place = end
        else:
            place += 1
    return frames
