"""Messages to prekeys: who wrote is inside and checked (M5), sizes say little (M6), deleted keys open nothing (M7)."""

import pytest
from builders.waves import ALICE, BOB, MALLORY, entropy, with_header_bit, with_value

from wnsp.ciphers.carriers import MODES, modulate
from wnsp.ciphers.errors import CannotOpen, PlaintextTooLong, PrekeyStale, RecipientKeyUnusable
from wnsp.ciphers.header import Header, encode_header
from wnsp.ciphers.prekeys import (
    DAY_MS,
    Prekey,
    PrekeyRing,
    SignedPrekey,
    announce_prekey,
    new_ring,
    prekey_id,
    read_prekey,
    rotate,
)
from wnsp.ciphers.recipients import hpke_open, hpke_seal
from wnsp.ciphers.sealed_body import WaveMessage, decode_message, encode_message
from wnsp.ciphers.sealed_sender import (
    INFO_DOMAIN,
    INSIDE_BYTES,
    LONGEST_PAYLOAD,
    SIGNED,
    OpenedMessage,
    open_from,
    padded_size,
    seal_to,
)

RING = new_ring(0, entropy(1))
PREKEY = read_prekey(announce_prekey(RING, BOB), 0)


def to_bob(payload: bytes = b"text", mode: str = "FSE", **options: object) -> WaveMessage:
    return seal_to(PREKEY, payload, mode, 0, entropy(2), **{"sender": ALICE, **options})  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [0, 1, 155, 156, 1_000, 20_000])
def test_the_recipient_reads_what_was_written_and_who_wrote_it(mode: str, size: int) -> None:
    message = decode_message(encode_message(to_bob(bytes(size), mode, expiry=7)))
    assert open_from(RING, BOB.public_key, message) == OpenedMessage(bytes(size), ALICE.public_key)


def test_M5_a_message_that_nobody_signed_is_anonymous() -> None:
    assert open_from(RING, BOB.public_key, to_bob(sender=None)) == OpenedMessage(b"text", None)


def forged(inside: bytes, *, padding: bool = True) -> WaveMessage:
    """What anybody can make who knows the prekey: a good seal around whatever they like."""
    padded = inside.ljust(padded_size(len(inside)), b"\0") if padding else inside
    header = Header(
        "FSE", bytes(24), len(padded) + 48, None, BOB.hash, prekey_id=prekey_id(PREKEY.public_key)
    )
    raw = encode_header(header)
    body = hpke_seal(PREKEY.public_key, padded, INFO_DOMAIN + b"FSE|" + raw)
    return WaveMessage(raw, modulate(header.carrier, raw, body))


def inside_of(kind: int, payload: bytes, key: bytes, signature: bytes) -> bytes:
    return bytes((kind,)) + len(payload).to_bytes(4, "big") + key + signature + payload


def test_M5_another_name_over_ones_own_signature_does_not_open() -> None:
    good = forged(inside_of(0, b"pay", bytes(32), bytes(64)))
    assert open_from(RING, BOB.public_key, good) == OpenedMessage(b"pay", None)
    for key, signature in (
        (ALICE.public_key, bytes(64)),
        (ALICE.public_key, MALLORY.sign(b"pay")),
        (ALICE.public_key, ALICE.sign(b"pay")),
        (bytes(32), bytes(64)),
    ):
        with pytest.raises(CannotOpen):
            open_from(RING, BOB.public_key, forged(inside_of(SIGNED, b"pay", key, signature)))


def test_M5_a_letter_to_mallory_cannot_be_handed_on_to_bob_as_if_meant_for_him() -> None:
    """Mallory opens what Alice wrote to her, and seals Alice's key and signature again, to Bob."""
    ring = new_ring(0, entropy(3))
    prekey = read_prekey(announce_prekey(ring, MALLORY), 0)
    message = seal_to(prekey, b"I owe you 5", "FSE", 0, entropy(4), sender=ALICE)
    opened = open_from(ring, MALLORY.public_key, message)
    assert opened.sender_key == ALICE.public_key
    inside = hpke_open(
        ring.prekeys[0].private_key,
        encode_message(message)[len(message.header) :],
        INFO_DOMAIN + b"FSE|" + message.header,
    )
    stolen = inside[: INSIDE_BYTES + len(b"I owe you 5")]
    with pytest.raises(CannotOpen):
        open_from(RING, BOB.public_key, forged(stolen))


def test_M5_the_signature_binds_header_and_context() -> None:
    message = to_bob(context=b"envelope header")
    assert open_from(RING, BOB.public_key, message, context=b"envelope header").payload == b"text"
    for context in (b"", b"envelope headex"):
        with pytest.raises(CannotOpen):
            open_from(RING, BOB.public_key, message, context=context)


@pytest.mark.parametrize("mode", MODES)
def test_no_header_bit_of_a_message_to_a_prekey_can_change(mode: str) -> None:
    message = to_bob(mode=mode, expiry=3)
    for bit in range(8 * len(message.header)):
        with pytest.raises(CannotOpen):
            open_from(RING, BOB.public_key, with_header_bit(message, bit))


def test_no_frame_of_a_message_to_a_prekey_can_change() -> None:
    message = to_bob(mode="QIML")
    for frame in range(len(message.frames)):
        for dimension, step in enumerate((1_450, 1, 4_096, 1, 1)):
            first, last = (380_000, 1, 0, 0, 0)[dimension], (749_750, 8, 61_440, 3, 10**6)[dimension]
            value = message.frames[frame][dimension]
            changed = with_value(message, dimension, frame, value + step if value < last else first)
            with pytest.raises(CannotOpen):
                open_from(RING, BOB.public_key, changed)


@pytest.mark.parametrize(
    "inside",
    [
        inside_of(2, b"x", bytes(32), bytes(64)),
        inside_of(0, b"x", ALICE.public_key, bytes(64)),
        b"\0" + (2**31).to_bytes(4, "big") + bytes(96),
        b"\0" + (200).to_bytes(4, "big") + bytes(96),
        inside_of(0, b"x", bytes(32), bytes(64)) + b"more",
    ],
)
def test_an_inside_that_is_not_written_as_it_must_be_does_not_open(inside: bytes) -> None:
    with pytest.raises(CannotOpen):
        open_from(RING, BOB.public_key, forged(inside))


@pytest.mark.parametrize("size", [0, 100, 101, 255, 257])
def test_an_inside_of_another_size_does_not_open(size: int) -> None:
    with pytest.raises(CannotOpen):
        open_from(RING, BOB.public_key, forged(bytes(size), padding=False))
    assert open_from(RING, BOB.public_key, forged(bytes(256), padding=False)).payload == b""


def test_M6_relays_see_one_of_few_sizes() -> None:
    sizes = {length: len(encode_message(to_bob(bytes(length)))) for length in range(0, 1_200, 25)}
    header = len(to_bob().header)
    assert set(sizes.values()) == {header + 48 + padded for padded in (256, 1_024, 4_096)}
    assert sizes[150] == sizes[0] < sizes[175] == sizes[900] < sizes[925]


@pytest.mark.parametrize(
    ("size", "padded"),
    [(0, 256), (256, 256), (257, 1_024), (4_097, 16_384), (16_384, 16_384), (16_385, 32_768)],
)
def test_M6_padding_goes_to_256_1k_4k_16k_and_multiples(size: int, padded: int) -> None:
    assert padded_size(size) == padded


def test_M6_nothing_of_the_sender_is_in_the_clear() -> None:
    raw = encode_message(to_bob())
    for secret in (ALICE.public_key, ALICE.hash, ALICE.hash[:8], b"text"):
        assert secret not in raw
    first, second = encode_message(to_bob()), encode_message(to_bob(sender=MALLORY))
    header = len(to_bob().header)
    assert first[:header] == second[:header]
    assert len(first) == len(second)


def test_M7_what_was_sealed_to_a_deleted_prekey_opens_no_more() -> None:
    source = entropy(5)
    ring = new_ring(0, source)
    message = seal_to(
        read_prekey(announce_prekey(ring, BOB), 0), b"old secret", "PME", 0, source, sender=ALICE
    )
    for day in range(1, 14):
        ring = rotate(ring, day * DAY_MS, source)
        assert open_from(ring, BOB.public_key, message).payload == b"old secret"
    ring = rotate(ring, 14 * DAY_MS, source)
    with pytest.raises(CannotOpen):
        open_from(ring, BOB.public_key, message)


def test_M7_the_long_term_key_opens_nothing() -> None:
    """Who steals the identity's seed after the prekeys are gone has no key of any message."""
    message = to_bob()
    stolen = PrekeyRing((Prekey(BOB.seed, 0),))
    with pytest.raises(CannotOpen):
        open_from(stolen, BOB.public_key, message)
    relabelled = bytearray(message.header)
    relabelled[-8:] = prekey_id(stolen.prekeys[0].public_key)
    with pytest.raises(CannotOpen):
        open_from(stolen, BOB.public_key, WaveMessage(bytes(relabelled), message.frames))


def test_another_identity_does_not_open_even_with_the_ring() -> None:
    for message in (to_bob(), to_bob(sender=None)):
        with pytest.raises(CannotOpen):
            open_from(RING, MALLORY.public_key, message)


def test_nothing_is_sealed_to_a_stale_prekey() -> None:
    with pytest.raises(PrekeyStale):
        seal_to(PREKEY, b"", "FSE", 7 * DAY_MS, entropy(6), sender=None)


def test_nothing_is_sealed_to_a_key_of_small_order() -> None:
    with pytest.raises(RecipientKeyUnusable):
        seal_to(SignedPrekey(BOB.public_key, bytes(32), 0), b"", "FSE", 0, entropy(7), sender=None)


def test_the_longest_payload_fits_and_one_byte_more_does_not() -> None:
    message = to_bob(bytes(LONGEST_PAYLOAD), "QIML")
    assert len(open_from(RING, BOB.public_key, message).payload) == LONGEST_PAYLOAD
    with pytest.raises(PlaintextTooLong) as failure:
        to_bob(bytes(LONGEST_PAYLOAD + 1))
    assert failure.value.most == LONGEST_PAYLOAD
