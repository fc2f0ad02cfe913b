"""Keys against RFC 8032, libsodium's verdicts, and the strings that are refused."""

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from builders.ledger import devnet_genesis, devnet_rules, key_pair, transfer
from nacl.bindings import crypto_sign_open
from nacl.exceptions import BadSignatureError

from ledger.addresses import address_of, checked_address_of
from ledger.errors import CodecError, GenesisInvalid, KeyRefused, SignatureInvalid
from ledger.genesis import GenesisValidator, new_genesis
from ledger.keys import (
    CURVE_D,
    FIELD_PRIME,
    NON_CANONICAL_ENCODINGS,
    SMALL_ORDER_ENCODINGS,
    KeyPair,
    require_public_key,
    verify,
)
from ledger.kinds import ledger_kinds
from ledger.transactions import decode_transaction

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "ed25519.json").read_text())

Point = tuple[int, int]


def point_of(encoding: bytes) -> Point | None:
    """The affine point of 32 bytes, reduced modulo p; written again here, from RFC 8032 section 5.1.3."""
    number = int.from_bytes(encoding, "little")
    y, sign = (number & (2**255 - 1)) % FIELD_PRIME, number >> 255
    square = (y * y - 1) * pow(CURVE_D * y * y + 1, -1, FIELD_PRIME) % FIELD_PRIME
    x = pow(square, (FIELD_PRIME + 3) // 8, FIELD_PRIME)
    if x * x % FIELD_PRIME != square:
        x = x * pow(2, (FIELD_PRIME - 1) // 4, FIELD_PRIME) % FIELD_PRIME
    if x * x % FIELD_PRIME != square:
        return None
    return (FIELD_PRIME - x) % FIELD_PRIME if x % 2 != sign else x, y


def double(point: Point) -> Point:
    x, y = point
    product = CURVE_D * x * x * y * y % FIELD_PRIME
    return (
        2 * x * y * pow(1 + product, -1, FIELD_PRIME) % FIELD_PRIME,
        (y * y + x * x) * pow(1 - product, -1, FIELD_PRIME) % FIELD_PRIME,
    )


@pytest.mark.parametrize("vector", VECTORS["rfc8032"], ids=lambda vector: vector["name"])
def test_rfc_8032_vector_signs_and_verifies(vector: dict[str, str]) -> None:
    key = KeyPair.from_seed(bytes.fromhex(vector["seed"]))
    message, signature = bytes.fromhex(vector["message"]), bytes.fromhex(vector["signature"])
    assert key.public_key.hex() == vector["public_key"]
    assert key.sign(message) == signature
    verify(key.public_key, message, signature)


@pytest.mark.parametrize("vector", VECTORS["edge_cases"], ids=lambda vector: vector["name"])
def test_edge_case_is_judged_as_libsodium_judges_it(vector: dict[str, Any]) -> None:
    key, message = bytes.fromhex(vector["public_key"]), bytes.fromhex(vector["message"])
    signature = bytes.fromhex(vector["signature"])
    try:
        crypto_sign_open(signature + message, key)
        libsodium_accepts = True
    except BadSignatureError:
        libsodium_accepts = False
    assert libsodium_accepts is vector["accepted"], (
        "this libsodium differs from the one the vectors were made with"
    )
    if vector["accepted"]:
        verify(key, message, signature)
    else:
        with pytest.raises(SignatureInvalid):
            verify(key, message, signature)


def test_the_edge_cases_hold_both_verdicts() -> None:
    assert {vector["accepted"] for vector in VECTORS["edge_cases"]} == {True, False}


def test_L2_there_are_14_encodings_of_small_order_points() -> None:
    assert len(SMALL_ORDER_ENCODINGS) == 14
    for encoding in SMALL_ORDER_ENCODINGS:
        point = point_of(encoding)
        assert point is not None
        assert double(double(double(point))) == (0, 1)


def test_L2_no_small_order_point_is_missing_from_the_list() -> None:
    orders: set[Point] = set()
    for encoding in SMALL_ORDER_ENCODINGS:
        point = point_of(encoding)
        assert point is not None
        orders.add(point)
    assert len(orders) == 8  # the torsion subgroup has exactly eight points


def test_L2_every_y_from_p_upwards_is_listed_as_non_canonical() -> None:
    listed = {int.from_bytes(encoding, "little") & (2**255 - 1) for encoding in NON_CANONICAL_ENCODINGS}
    assert listed == set(range(FIELD_PRIME, 2**255))
    assert len(NON_CANONICAL_ENCODINGS) == 2 * 19


REFUSED = sorted(SMALL_ORDER_ENCODINGS | NON_CANONICAL_ENCODINGS)


@pytest.mark.parametrize("encoding", REFUSED, ids=lambda encoding: encoding.hex()[:8] + encoding.hex()[-2:])
def test_L2_refused_key_enters_nowhere(encoding: bytes) -> None:
    rules = devnet_rules()
    with pytest.raises(KeyRefused):
        require_public_key(encoding)
    with pytest.raises(KeyRefused):
        checked_address_of(encoding)
    with pytest.raises(KeyRefused):
        transfer(KeyPair(encoding, bytes(32)), rules, 0, bytes(20), 1)
    good = transfer(key_pair(0, "account", 0), rules, 0, bytes(20), 1)
    with pytest.raises(KeyRefused):
        decode_transaction(good.raw.replace(good.body.sender_key, encoding), ledger_kinds())
    genesis, _, _ = devnet_genesis(validators=1)
    with pytest.raises(GenesisInvalid, match=r"validators\[0\]\.consensus_key"):
        new_genesis(
            chain_id=genesis.chain_id,
            network=genesis.network,
            genesis_time_ms=genesis.genesis_time_ms,
            slot_ms=genesis.slot_ms,
            epoch_slots=genesis.epoch_slots,
            allocations=(),
            validators=(GenesisValidator(encoding, bytes(20), 1, bytes(32), 1),),
        )


@pytest.mark.parametrize("encoding", sorted(SMALL_ORDER_ENCODINGS))
def test_L2_small_order_key_verifies_nothing(encoding: bytes) -> None:
    identity_signature = (1).to_bytes(32, "little") + bytes(32)
    for number in range(64):
        with pytest.raises(SignatureInvalid):
            verify(encoding, bytes([number]), identity_signature)


def test_refused_keys_are_codec_errors_so_that_one_handler_covers_decoding() -> None:
    assert issubclass(KeyRefused, CodecError)


def test_made_keys_are_never_refused() -> None:
    rng = Random(1)
    for _ in range(200):
        key = KeyPair.from_seed(rng.randbytes(32))
        assert require_public_key(key.public_key) == key.public_key
        assert address_of(key.public_key) == checked_address_of(key.public_key)


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(KeyRefused, match="expected 32"):
        require_public_key(bytes(length))
    with pytest.raises(KeyRefused, match="32"):
        KeyPair.from_seed(bytes(length))
    with pytest.raises(SignatureInvalid):
        verify(bytes(length), b"message", bytes(64))


@pytest.mark.parametrize("length", [0, 63, 65])
def test_signature_of_another_length_is_invalid(length: int) -> None:
    key = key_pair(0, "account", 0)
    with pytest.raises(SignatureInvalid):
        verify(key.public_key, b"message", bytes(length))


def test_the_seed_stays_out_of_the_text_of_a_key() -> None:
    key = KeyPair.from_seed(bytes(range(32)))
    assert key.seed.hex() not in repr(key)
    assert repr(key.seed) not in repr(key)
