"""The envelope: its bytes, its id, its preimage, and every way of spelling it wrongly."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from builders.ledger import batch_transfer, devnet_rules, key_pair, transfer

from ledger.addresses import address_of
from ledger.errors import (
    CodecError,
    Malformed,
    NotCanonical,
    Oversized,
    SignatureInvalid,
    UnknownKind,
    UnknownVersion,
)
from ledger.hashing import digest, signing_preimage, tagged
from ledger.keys import KeyPair
from ledger.kinds import ledger_kinds
from ledger.rules import ChainRules
from ledger.transaction_validation import verify_transaction_signature
from ledger.transactions import (
    MAX_TRANSACTION_BYTES,
    TRANSACTION_CODEC,
    UNSIGNED_CODEC,
    UnsignedTransaction,
    decode_transaction,
    sign_transaction,
    transaction_id,
    transaction_preimage,
)
from ledger.transfer import TRANSFER, Transfer

RULES = devnet_rules()
REGISTRY = ledger_kinds()
KEY = key_pair(0, "account", 0)
TO = address_of(key_pair(0, "account", 1).public_key)
GOOD = transfer(KEY, RULES, 300, TO, 70_000, memo=b"hello")
FIELDS = msgspec.structs.astuple(GOOD.body)


def spelled(**changed: object) -> bytes:
    """The good transaction's fields with some of them replaced by anything at all."""
    values = dict(zip(GOOD.body.__struct_fields__, FIELDS, strict=True)) | changed
    return msgspec.msgpack.encode(list(values.values()))


def resident_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024


def test_signed_transaction_decodes_to_the_same_value() -> None:
    assert decode_transaction(GOOD.raw, REGISTRY) == GOOD
    assert GOOD.payload == Transfer(TO, 70_000, b"hello")
    assert GOOD.sender == address_of(KEY.public_key)


def test_id_is_over_the_raw_bytes_with_the_signature() -> None:
    assert GOOD.id == digest(tagged("nexus/transaction-id/v1"), GOOD.raw) == transaction_id(GOOD.raw)
    other_signature = GOOD.raw[:-1] + bytes([GOOD.raw[-1] ^ 1])
    assert decode_transaction(other_signature, REGISTRY).id != GOOD.id


@pytest.mark.parametrize("nonce", [0, 127, 128, 2**16, 2**32, 2**63 - 1])
@pytest.mark.parametrize("memo", [b"", b"m" * 256])
def test_preimage_cut_from_the_raw_bytes_equals_encoding_the_fields_again(nonce: int, memo: bytes) -> None:
    for transaction in (
        transfer(KEY, RULES, nonce, TO, 1, memo=memo),
        batch_transfer(KEY, RULES, nonce, [(TO, 10**8)] * 256),
    ):
        unsigned = UnsignedTransaction(*msgspec.structs.astuple(transaction.body)[:-1])
        canonical = UNSIGNED_CODEC.encode(unsigned)
        expected = signing_preimage(tagged("nexus/transaction/v1"), RULES.genesis_hash, canonical)
        assert transaction_preimage(transaction, RULES) == expected


def test_least_fee_is_exactly_the_least_for_the_size() -> None:
    for rules in (
        RULES,
        ChainRules("c", bytes(32), "dnxt", 0, 0),
        ChainRules("c", bytes(32), "dnxt", 5, 10**7),
    ):
        transaction = sign_transaction(
            KEY, rules, nonce=0, expiry_slot=1, fee=None, kind=TRANSFER, payload_record=Transfer(TO, 1, b"")
        )
        size = len(transaction.raw)
        least = rules.base_fee_units + rules.fee_per_byte_units * size
        assert transaction.body.fee == least


def test_C2_oversized_transaction_is_refused_by_its_length() -> None:
    with pytest.raises(Oversized, match=str(MAX_TRANSACTION_BYTES)):
        decode_transaction(bytes(MAX_TRANSACTION_BYTES + 1), REGISTRY)


def test_C2_payload_of_15_kib_is_the_greatest() -> None:
    at_limit = spelled(payload=bytes(15 * 1024))
    assert len(at_limit) <= MAX_TRANSACTION_BYTES
    assert len(TRANSACTION_CODEC.decode(at_limit).payload) == 15 * 1024
    with pytest.raises(Malformed):
        TRANSACTION_CODEC.decode(spelled(payload=bytes(15 * 1024 + 1)))


@pytest.mark.parametrize("filler", [b"\x90", b"\x80", b"\xc0"])
def test_C3_container_bomb_is_refused_without_allocating(filler: bytes) -> None:
    bombs = (
        b"\x99" + filler * 16_000,
        b"\xdc\x3e\x80" + filler * 16_000,
        b"\xdd\x00\x00\x3e\x80" + filler * 16_000,
    )
    before = resident_bytes()
    for bomb in bombs:
        with pytest.raises(CodecError):
            decode_transaction(bomb, REGISTRY)
    assert resident_bytes() - before < 1_000_000


@pytest.mark.parametrize("header", [b"\xdd", b"\xc6", b"\xdb", b"\xdf"])
def test_C5_header_that_claims_4_billion_elements_is_refused_without_allocating(header: bytes) -> None:
    huge = header + b"\xff\xff\xff\xff"
    batch = batch_transfer(KEY, RULES, 0, [(TO, 1)])
    legs_claim = b"\x91" + huge + batch.body.payload[2:]
    before = resident_bytes()
    for raw in (huge, b"\x99\x01" + huge, b"\x99" + huge, spelled(kind=2, payload=legs_claim)):
        with pytest.raises(CodecError):
            decode_transaction(raw, REGISTRY)
    assert resident_bytes() - before < 1_000_000


def at_depth(depth: int, call: Callable[[], Any]) -> Any:
    """`call()` under `depth` further frames."""
    return call() if depth == 0 else at_depth(depth - 1, call)


@pytest.mark.parametrize("opening", [b"\x91", b"\x81\x01"])
def test_C4_nesting_bomb_has_the_same_verdict_at_any_stack_depth(opening: bytes) -> None:
    bombs = (opening * 8_000, b"\x99\x01" + opening * 8_000, spelled(payload=opening * 7_000))
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(2_000)
    try:
        for bomb in bombs:
            verdicts = set()
            for depth in (10, 900):

                def verdict(raw: bytes = bomb) -> str:
                    try:
                        decode_transaction(raw, REGISTRY)
                    except CodecError as error:
                        return f"{error.code}: {error}"
                    return "accepted"

                verdicts.add(at_depth(depth, verdict))
            assert len(verdicts) == 1
            assert "accepted" not in verdicts
    finally:
        sys.setrecursionlimit(limit)


def test_C6_trailing_byte_is_refused() -> None:
    with pytest.raises(Malformed):
        decode_transaction(GOOD.raw + b"\x00", REGISTRY)


def test_C6_truncation_at_every_byte_is_refused() -> None:
    for length in range(len(GOOD.raw)):
        with pytest.raises(CodecError):
            decode_transaction(GOOD.raw[:length], REGISTRY)


@pytest.mark.parametrize(
    ("canonical", "wide"),
    [
        (b"\x99\x01", b"\x99\xcc\x01"),
        (b"\x99\x01", b"\x99\xcf\x00\x00\x00\x00\x00\x00\x00\x01"),
        (b"\x99\x01", b"\x99\xd3\x00\x00\x00\x00\x00\x00\x00\x01"),
        (b"\x99\x01", b"\xdc\x00\x09\x01"),
        (b"\x99\x01", b"\xdd\x00\x00\x00\x09\x01"),
        (b"\xaanexus-test", b"\xd9\x0anexus-test"),
        (b"\xc4\x20" + KEY.public_key, b"\xc5\x00\x20" + KEY.public_key),
        (b"\xcd\x01\x2c", b"\xce\x00\x00\x01\x2c"),
        (b"\xcd\x01\x2c", b"\xd1\x01\x2c"),
    ],
)
def test_C6_longer_spelling_is_not_canonical(canonical: bytes, wide: bytes) -> None:
    assert GOOD.raw.count(canonical) == 1
    with pytest.raises(NotCanonical):
        decode_transaction(GOOD.raw.replace(canonical, wide), REGISTRY)


def test_C6_longer_spelling_inside_the_payload_is_not_canonical() -> None:
    payload = GOOD.body.payload.replace(b"\xce\x00\x01\x11\x70", b"\xcf\x00\x00\x00\x00\x00\x01\x11\x70")
    assert payload != GOOD.body.payload
    with pytest.raises(NotCanonical, match="transfer payload"):
        decode_transaction(spelled(payload=payload), REGISTRY)


def test_C6_text_instead_of_bytes_is_refused() -> None:
    with pytest.raises(CodecError):
        decode_transaction(spelled(signature="s" * 64), REGISTRY)
    with pytest.raises(CodecError):
        decode_transaction(spelled(chain_id=b"nexus-test"), REGISTRY)


@pytest.mark.parametrize("name", ["version", "nonce", "expiry_slot", "fee", "kind"])
@pytest.mark.parametrize("value", [-1, 2**63, 2**64 - 1, -(2**63)])
def test_C7_integer_out_of_range_is_refused(name: str, value: int) -> None:
    with pytest.raises(Malformed):
        decode_transaction(spelled(**{name: value}), REGISTRY)


@pytest.mark.parametrize("name", ["version", "nonce", "expiry_slot", "fee", "kind"])
@pytest.mark.parametrize("value", [True, False, 1.0, 0.0, float("nan"), "1", None, b"\x01", [1], {}])
def test_C9_bool_float_and_text_are_no_integers(name: str, value: object) -> None:
    with pytest.raises(Malformed):
        decode_transaction(spelled(**{name: value}), REGISTRY)


@pytest.mark.parametrize("amount", [-1, 2**63, True, 1.0, "1", None])
def test_C9_amount_in_the_payload_is_an_integer_in_range(amount: object) -> None:
    with pytest.raises(Malformed):
        decode_transaction(spelled(payload=msgspec.msgpack.encode([TO, amount, b""])), REGISTRY)


def test_C9_signing_refuses_what_decoding_would_refuse() -> None:
    bad_amounts: list[Any] = [True, 1.5, -1, 2**63]
    for amount in bad_amounts:
        with pytest.raises(CodecError):
            transfer(KEY, RULES, 0, TO, amount)
    bad_nonces: list[Any] = [True, 0.0, -1, 2**63, 2**64]
    for nonce in bad_nonces:
        with pytest.raises(CodecError):
            transfer(KEY, RULES, nonce, TO, 1)


def test_C10_unknown_version_has_its_own_error() -> None:
    with pytest.raises(UnknownVersion, match="version 2, this node knows 1"):
        decode_transaction(spelled(version=2), REGISTRY)


def test_C10_unknown_kind_has_its_own_error_and_names_the_known_ones() -> None:
    with pytest.raises(UnknownKind, match="kind 99 is unknown; known kinds: 1, 2"):
        decode_transaction(spelled(kind=99), REGISTRY)


def test_C10_additional_or_missing_field_is_refused() -> None:
    for fields in ((*FIELDS, 0), FIELDS[:-1], ()):
        with pytest.raises(CodecError):
            decode_transaction(msgspec.msgpack.encode(list(fields)), REGISTRY)
    for payload in ([TO, 1, b"", 0], [TO, 1]):
        with pytest.raises(CodecError):
            decode_transaction(spelled(payload=msgspec.msgpack.encode(payload)), REGISTRY)


def test_L1_signature_of_another_key_message_or_chain_is_invalid() -> None:
    other = key_pair(0, "account", 5)
    forged = spelled(sender_key=other.public_key)
    changed = spelled(nonce=301)
    for raw in (forged, changed):
        with pytest.raises(SignatureInvalid):
            verify_transaction_signature(decode_transaction(raw, REGISTRY), RULES)
    other_chain = ChainRules(RULES.chain_id, bytes(32), RULES.address_prefix)
    with pytest.raises(SignatureInvalid):
        verify_transaction_signature(GOOD, other_chain)
    verify_transaction_signature(GOOD, RULES)


def test_L3_signature_made_for_another_type_of_message_is_invalid() -> None:
    canonical = UNSIGNED_CODEC.encode(UnsignedTransaction(*FIELDS[:-1]))
    for tag in ("nexus/block/v1", "nexus/vote/v1", "nexus/transaction/v2", "nexus/transaction-id/v1"):
        signature = KEY.sign(signing_preimage(tagged(tag), RULES.genesis_hash, canonical))
        with pytest.raises(SignatureInvalid):
            verify_transaction_signature(decode_transaction(spelled(signature=signature), REGISTRY), RULES)


def test_the_worked_example_of_the_readme_is_this_transaction() -> None:
    readme = (Path(__file__).parents[2] / "ledger" / "README.md").read_text()
    block = re.search(r"```text worked-example\n(.*?)```", readme, re.DOTALL)
    assert block is not None
    lines = dict(re.findall(r"^(\w+)\s+=\s+([0-9a-z\n ]+?)$", block[1], re.MULTILINE))
    rules = ChainRules("nexus-example", bytes.fromhex(lines["genesis_hash"]), "dnxt")
    key = KeyPair.from_seed(bytes.fromhex(lines["seed"]))
    recipient = bytes.fromhex(lines["recipient"])
    transaction = transfer(key, rules, 7, recipient, 150_000_000, expiry_slot=4_096, memo=b"tea")
    raw = bytes.fromhex("".join(re.findall(r"^ {4}([0-9a-f ]+?)(?: {2,}#.*)?$", block[1], re.MULTILINE)))
    assert raw == transaction.raw
    assert lines["id"] == transaction.id.hex()
    assert lines["fee"] == str(transaction.body.fee)
    assert lines["bytes"] == str(len(raw))
