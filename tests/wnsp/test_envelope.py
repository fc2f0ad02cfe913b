"""Message envelopes: one spelling, signed, every rule with an error of its own."""

from typing import Any

import msgpack
import msgspec
import pytest
from fuzz.mutators import mutants

import ledger.encoding
import ledger.errors
from wnsp.encoding import Codec
from wnsp.envelope import (
    ANONYMOUS,
    BROADCAST,
    MAX_ENVELOPE_PAYLOAD_BYTES,
    Envelope,
    SignedEnvelope,
    anonymous_envelope,
    envelope_context,
    envelope_id,
    open_envelope,
    sign_envelope,
)
from wnsp.errors import (
    CodecError,
    EnvelopeVersionUnknown,
    ExpiryNotAfterCreation,
    KeyRefused,
    Malformed,
    NotCanonical,
    Oversized,
    ParentsNotSorted,
    RecipientMalformed,
    SenderAndSignatureDisagree,
    SignatureInvalid,
    WnspError,
    WrongNetwork,
    WrongSigner,
)
from wnsp.identity import Identity

ALICE = Identity.from_seed(b"a" * 32)
BOB = Identity.from_seed(b"b" * 32)
GENESIS = bytes(range(32))

ENVELOPE = Envelope(
    version=1,
    genesis=GENESIS,
    sender=ALICE.public_key,
    recipient=BOB.hash,
    created_slot=100,
    expiry_slot=604_900,
    region=2,
    modulation=3,
    scheme=0,
    parents=(b"\x01" * 32, b"\x02" * 32),
    priority=1,
    payload=b"light",
)


def _changed(**fields: object) -> Envelope:
    return msgspec.structs.replace(ENVELOPE, **fields)


def test_an_envelope_comes_back_with_its_id_and_sender() -> None:
    raw = sign_envelope(ENVELOPE, ALICE)
    opened = open_envelope(raw, GENESIS)
    assert opened.envelope == ENVELOPE
    assert opened.id == envelope_id(raw) and len(opened.id) == 32
    assert opened.sender_hash == ALICE.hash
    assert not opened.is_anonymous and not opened.is_broadcast


def test_the_encoding_is_what_another_messagepack_writes() -> None:
    raw = sign_envelope(ENVELOPE, ALICE)
    fields = list(msgspec.structs.astuple(ENVELOPE))
    fields[9] = list(ENVELOPE.parents)
    assert msgpack.unpackb(raw)[0] == fields
    assert msgpack.packb(msgpack.unpackb(raw)) == raw


def test_the_codec_judges_as_the_ledgers_does() -> None:
    ours = Codec(SignedEnvelope, "envelope", 2_000)
    theirs = ledger.encoding.Codec(SignedEnvelope, "envelope", 2_000)
    for mutant in mutants(1, [sign_envelope(ENVELOPE, ALICE)], 400):
        assert _verdict(ours, mutant) == _verdict(theirs, mutant)


def _verdict(codec: Any, raw: bytes) -> object:
    try:
        return codec.decode(raw)
    except (CodecError, ledger.errors.CodecError) as error:
        return type(error).__name__, str(error)


def test_a_broadcast_is_for_everybody() -> None:
    assert open_envelope(sign_envelope(_changed(recipient=BROADCAST), ALICE)).is_broadcast


def test_an_anonymous_envelope_has_neither_sender_nor_signature() -> None:
    opened = open_envelope(anonymous_envelope(_changed(sender=ANONYMOUS)))
    assert opened.is_anonymous and opened.sender_hash is None


def test_a_named_envelope_cannot_be_carried_unsigned() -> None:
    with pytest.raises(SenderAndSignatureDisagree):
        anonymous_envelope(ENVELOPE)


def test_stripping_the_signature_is_found() -> None:
    envelope, _ = msgpack.unpackb(sign_envelope(ENVELOPE, ALICE))
    with pytest.raises(SenderAndSignatureDisagree):
        open_envelope(msgpack.packb([envelope, b""]))


def test_M5_stripping_the_sender_alone_is_found() -> None:
    envelope, signature = msgpack.unpackb(sign_envelope(ENVELOPE, ALICE))
    envelope[2] = b""
    with pytest.raises(SenderAndSignatureDisagree):
        open_envelope(msgpack.packb([envelope, signature]))


def test_M5_nobody_signs_in_the_name_of_another() -> None:
    with pytest.raises(WrongSigner):
        sign_envelope(ENVELOPE, BOB)
    envelope, signature = msgpack.unpackb(sign_envelope(ENVELOPE, ALICE))
    envelope[2] = BOB.public_key
    with pytest.raises(SignatureInvalid):
        open_envelope(msgpack.packb([envelope, signature]))


@pytest.mark.parametrize("field", range(12))
def test_a_change_of_any_field_breaks_the_signature(field: int) -> None:
    envelope, signature = msgpack.unpackb(sign_envelope(ENVELOPE, ALICE))
    value = envelope[field]
    if isinstance(value, int):
        envelope[field] = value + 1
    elif isinstance(value, list):
        envelope[field] = value[:1]
    else:
        envelope[field] = bytes([value[0] ^ 1]) + value[1:]
    with pytest.raises((SignatureInvalid, EnvelopeVersionUnknown, KeyRefused)):
        open_envelope(msgpack.packb([envelope, signature]))


def test_every_single_bit_of_a_signed_envelope_is_guarded() -> None:
    raw = sign_envelope(ENVELOPE, ALICE)
    for bit in range(8 * len(raw)):
        changed = bytearray(raw)
        changed[bit >> 3] ^= 1 << (bit & 7)
        with pytest.raises(WnspError):
            open_envelope(bytes(changed))


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"version": 2}, EnvelopeVersionUnknown),
        ({"recipient": b"x"}, RecipientMalformed),
        ({"expiry_slot": 100}, ExpiryNotAfterCreation),
        ({"parents": (b"\x02" * 32, b"\x01" * 32)}, ParentsNotSorted),
        ({"parents": (b"\x01" * 32, b"\x01" * 32)}, ParentsNotSorted),
        ({"sender": b"\x00" * 32}, KeyRefused),
        ({"sender": b"short"}, KeyRefused),
        ({"genesis": b"short"}, CodecError),
        ({"region": 6}, CodecError),
        ({"modulation": 7}, CodecError),
        ({"scheme": 256}, CodecError),
        ({"priority": 4}, CodecError),
        ({"created_slot": -1}, CodecError),
        ({"created_slot": 2**63}, CodecError),
        ({"parents": tuple(bytes([number]) * 32 for number in range(9))}, CodecError),
        ({"payload": bytes(MAX_ENVELOPE_PAYLOAD_BYTES + 1)}, CodecError),
    ],
    ids=str,
)
def test_an_envelope_against_the_rules_is_neither_signed_nor_opened(
    fields: dict[str, object], error: type[WnspError]
) -> None:
    envelope = _changed(**fields)
    with pytest.raises((error, WrongSigner)):
        sign_envelope(envelope, ALICE)
    with pytest.raises(error):
        open_envelope(msgspec.msgpack.encode([envelope, bytes(64)]))


def test_an_envelope_of_another_network_is_refused() -> None:
    with pytest.raises(WrongNetwork):
        open_envelope(sign_envelope(ENVELOPE, ALICE), bytes(32))


def test_a_longer_spelling_is_refused() -> None:
    raw = sign_envelope(ENVELOPE, ALICE)
    with pytest.raises(NotCanonical):
        open_envelope(b"\xdc\x00\x02" + raw[1:])


@pytest.mark.parametrize("raw", [b"", b"\xc0", b"\x92", sign_envelope(ENVELOPE, ALICE) + b"\x00"], ids=repr)
def test_other_bytes_are_malformed(raw: bytes) -> None:
    with pytest.raises(Malformed):
        open_envelope(raw)


def test_too_many_bytes_are_refused_unread() -> None:
    with pytest.raises(Oversized):
        open_envelope(bytes(200_000))


def test_the_longest_payload_fits() -> None:
    envelope = _changed(
        payload=bytes(MAX_ENVELOPE_PAYLOAD_BYTES),
        parents=tuple(bytes([number]) * 32 for number in range(8)),
        created_slot=2**62,
        expiry_slot=2**63 - 1,
    )
    assert open_envelope(sign_envelope(envelope, ALICE)).envelope == envelope


def test_the_context_stands_for_every_field_but_the_payload() -> None:
    context = envelope_context(ENVELOPE)
    assert envelope_context(_changed(payload=b"dark")) == context
    for fields in ({"recipient": BROADCAST}, {"expiry_slot": 101}, {"priority": 2}, {"parents": ()}):
        assert envelope_context(_changed(**fields)) != context
