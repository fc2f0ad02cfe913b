"""Header and block encoding, ids, band digests and signatures."""

import hashlib
import re
from pathlib import Path

import msgspec
import pytest
from builders.blocks import chain_of, found_chain
from builders.spellings import respellings

from consensus.blocks import (
    HEADER_VERSION,
    MAX_TRANSACTIONS,
    Block,
    HeaderCore,
    block_preimage,
    core_id,
    core_of,
    decode_block,
    decode_header,
    encode_block,
    encode_core,
    encode_header,
    genesis_block,
    header_id,
    sign_block,
    sign_header,
)
from consensus.body_tree import body_root
from consensus.errors import BandUnknown, InvalidBlock, UnknownHeaderVersion
from consensus.header_validation import validate_header_in_isolation
from consensus.params import MAX_BLOCK_BYTES, MAX_HEADER_BYTES, MAX_PARENTS
from consensus.votes import votes_root
from ledger.errors import CodecError, Malformed, NotCanonical, Oversized
from ledger.keys import KeyPair
from ledger.transactions import MAX_TRANSACTION_BYTES
from wnsp.spectrum import BANDS

CHAIN = found_chain()
GREATEST = 2**63 - 1
EXAMPLE = ("body root", "votes root", "block id", "band digest", "public key", "signature")


def _ids(count: int) -> tuple[bytes, ...]:
    return tuple(sorted(hashlib.sha256(bytes([number])).digest() for number in range(count)))


def _validate(block: Block) -> None:
    validate_header_in_isolation(block.header, CHAIN.params, CHAIN.schedule, 10)


# Encoding


def test_header_and_block_survive_the_round_trip() -> None:
    block = CHAIN.block(transactions=(b"one", b"two"))
    assert decode_header(encode_header(block.header)) == block.header
    assert decode_block(encode_block(block)) == block


def test_the_greatest_header_fits_into_its_limit() -> None:
    core = msgspec.structs.replace(
        CHAIN.core(),
        parents=_ids(MAX_PARENTS),
        slot=GREATEST,
        band=1,
        proposer=2**32 - 1,
        blue_score=GREATEST,
        blue_work=GREATEST,
    )
    raw = encode_header(sign_header(core, CHAIN.keys[0], CHAIN.params.genesis_hash))
    assert len(raw) == 746 <= MAX_HEADER_BYTES
    assert decode_header(raw).slot == GREATEST


def test_C2_a_header_of_more_than_its_limit_is_refused_by_length_alone() -> None:
    with pytest.raises(Oversized, match="header has 8193 bytes, at most 8192"):
        decode_header(bytes(MAX_HEADER_BYTES + 1))


def test_C2_a_block_of_more_than_its_limit_is_refused_both_ways() -> None:
    with pytest.raises(Oversized, match="block has 524289 bytes, at most 524288"):
        decode_block(bytes(MAX_BLOCK_BYTES + 1))
    with pytest.raises(Oversized):
        encode_block(CHAIN.block(transactions=[bytes(MAX_TRANSACTION_BYTES)] * 33))


def test_C3_a_body_of_very_many_transactions_is_refused() -> None:
    with pytest.raises(Malformed):
        decode_block(encode_block(CHAIN.block(transactions=[b"x"] * (MAX_TRANSACTIONS + 1))))
    assert len(decode_block(encode_block(CHAIN.block(transactions=[b"x"] * 4_096))).transactions) == 4_096


def test_C4_nested_arrays_are_refused() -> None:
    for raw in (b"\x91" * 8_000, b"\x92" * 8_000, b"\x9c" * 8_000):
        with pytest.raises(CodecError):
            decode_header(raw)
        with pytest.raises(CodecError):
            decode_block(raw * 60)


def test_C5_a_claim_of_four_billion_elements_is_refused() -> None:
    header = encode_header(CHAIN.block().header)
    claim = b"\xdd\xff\xff\xff\xff"
    for raw in (b"\x9c\x01" + claim + header[3:], claim + header):
        with pytest.raises(CodecError):
            decode_header(raw)
    with pytest.raises(CodecError):
        decode_block(b"\x92" + header + claim)


def test_C6_every_longer_spelling_of_a_header_is_refused() -> None:
    raw = encode_header(CHAIN.block(parents=_ids(3), slot=300, blue_score=70_000, blue_work=2**40).header)
    assert decode_header(raw)
    mutants = list(respellings(raw))
    assert len(mutants) > 50
    for what, mutant in mutants:
        with pytest.raises(CodecError):
            decode_header(mutant)
        assert what


def test_C6_every_longer_spelling_of_a_block_is_refused() -> None:
    raw = encode_block(CHAIN.block(transactions=(b"a", bytes(300), b"c" * 20)))
    assert decode_block(raw)
    for _, mutant in respellings(raw):
        with pytest.raises(CodecError):
            decode_block(mutant)


def test_C6_a_longer_spelling_has_an_error_of_its_own() -> None:
    raw = encode_header(CHAIN.block(slot=5).header)
    at = raw.index(b"\x05", 36)
    with pytest.raises(NotCanonical):
        decode_header(raw[:at] + b"\xcc\x05" + raw[at + 1 :])


def test_C6_trailing_bytes_are_refused() -> None:
    block = CHAIN.block()
    for tail in (b"\x00", b"\xc0", encode_header(block.header)):
        with pytest.raises(CodecError):
            decode_header(encode_header(block.header) + tail)
        with pytest.raises(CodecError):
            decode_block(encode_block(block) + tail)


@pytest.mark.parametrize("value", [True, 1.0, "1", None, -1, 2**63, {}, b"\x01"])
@pytest.mark.parametrize("field", ["version", "slot", "band", "proposer", "blue_score", "blue_work"])
def test_C7_C9_only_integers_in_range_are_integers(field: str, value: object) -> None:
    header = CHAIN.block().header
    fields = [value if name == field else getattr(header, name) for name in header.__struct_fields__]
    with pytest.raises(CodecError):
        decode_header(msgspec.msgpack.encode(fields))


@pytest.mark.parametrize("field", ["state_root", "receipts_root", "body_root", "band_digest", "signature"])
def test_digests_and_signatures_have_one_length(field: str) -> None:
    header = CHAIN.block().header
    for value in (
        getattr(header, field)[:-1],
        getattr(header, field) + bytes(33),
        getattr(header, field).hex(),
    ):
        fields = [value if name == field else getattr(header, name) for name in header.__struct_fields__]
        with pytest.raises(CodecError):
            decode_header(msgspec.msgpack.encode(fields))


def test_C10_a_later_version_is_named_although_its_shape_is_unknown() -> None:
    header = CHAIN.block().header
    fields: list[object] = list(msgspec.structs.astuple(header))
    later = msgspec.msgpack.encode([3, *fields[1:], bytes(32)])
    with pytest.raises(UnknownHeaderVersion, match="header version 3, this node knows 2"):
        decode_header(later)
    with pytest.raises(UnknownHeaderVersion):
        decode_block(b"\x93" + later + b"\x90\x90")


def test_C10_an_unknown_version_is_both_no_value_of_ours_and_an_invalid_block() -> None:
    assert issubclass(UnknownHeaderVersion, CodecError)
    assert issubclass(UnknownHeaderVersion, InvalidBlock)
    assert UnknownHeaderVersion(2, 1).code == "UnknownHeaderVersion"


def test_C10_a_further_field_is_refused() -> None:
    header = CHAIN.block().header
    fields: list[object] = list(msgspec.structs.astuple(header))
    for shape in ([*fields, 0], fields[:-1]):
        with pytest.raises(Malformed):
            decode_header(msgspec.msgpack.encode(shape))


# Ids, digests, signatures


def test_the_id_does_not_depend_on_the_proofs() -> None:
    header = CHAIN.block().header
    other = msgspec.structs.replace(header, band_digest=bytes(32), signature=bytes(64))
    assert header_id(other) == header_id(header)


@pytest.mark.parametrize("band", BANDS, ids=lambda band: band.name)
def test_the_band_digest_is_the_bands_own_hash_of_the_core(band: object) -> None:
    index = BANDS.index(band)  # type: ignore[arg-type]
    header = CHAIN.block(band=index).header
    core = encode_core(core_of(header))
    by_name = {
        "SHA3-256": hashlib.sha3_256,
        "SHA3-512": hashlib.sha3_512,
        "BLAKE2b": hashlib.blake2b,
        "BLAKE2s": hashlib.blake2s,
        "SHA-512": hashlib.sha512,
        "SHA-256": hashlib.sha256,
    }
    assert header.band_digest == by_name[BANDS[index].hash_name](core).digest()


def test_every_changed_byte_of_a_header_changes_the_id_or_fails() -> None:
    block = CHAIN.block(parents=_ids(2), slot=3)
    _validate(block)
    raw = encode_header(block.header)
    for at in range(len(raw)):
        for flip in (0x01, 0x80, 0xFF):
            changed = raw[:at] + bytes([raw[at] ^ flip]) + raw[at + 1 :]
            try:
                header = decode_header(changed)
            except CodecError:
                continue
            # Whatever still decodes is another block, and no signature stands behind it.
            assert header_id(header) != block.header_id or header != block.header
            with pytest.raises(InvalidBlock):
                validate_header_in_isolation(header, CHAIN.params, CHAIN.schedule, GREATEST)


def test_the_signature_covers_the_id_and_the_digest_of_another_family() -> None:
    """A forger who makes one hash collide still changes the preimage by the other."""
    first, second = CHAIN.core(blue_score=1), CHAIN.core(blue_score=2)
    chain = CHAIN.params.genesis_hash
    band = BANDS[first.band]
    ids = [core_id(encode_core(core)) for core in (first, second)]
    digests = [band.digest(encode_core(core)) for core in (first, second)]
    same_id = [block_preimage(chain, ids[0], digest) for digest in digests]
    same_digest = [block_preimage(chain, block_id, digests[0]) for block_id in ids]
    assert same_id[0] != same_id[1]
    assert same_digest[0] != same_digest[1]


@pytest.mark.parametrize("band", range(6))
def test_id_and_band_digest_never_come_from_one_computation(band: int) -> None:
    core = encode_core(CHAIN.core(band=band))
    assert core_id(core) != BANDS[band].digest(core)[:32]


def test_the_preimage_holds_domain_chain_id_and_digest_in_this_order() -> None:
    core = encode_core(CHAIN.core())
    digest = BANDS[0].digest(core)
    chain = CHAIN.params.genesis_hash
    assert (
        block_preimage(chain, core_id(core), digest) == b"\x0enexus/block/v1" + chain + core_id(core) + digest
    )


def test_a_band_outside_the_spectrum_cannot_be_signed() -> None:
    with pytest.raises(BandUnknown, match="band 6, expected 0 to 5"):
        sign_header(msgspec.structs.replace(CHAIN.core(), band=6), CHAIN.keys[0], CHAIN.params.genesis_hash)


def test_too_many_parents_cannot_be_signed() -> None:
    with pytest.raises(Malformed):
        CHAIN.block(parents=_ids(MAX_PARENTS + 1))


# Genesis


def test_the_genesis_block_is_bound_to_every_field_of_its_document() -> None:
    later = msgspec.structs.replace(CHAIN.genesis, genesis_time_ms=CHAIN.genesis.genesis_time_ms + 1)
    other = chain_of(later, CHAIN.keys, CHAIN.accounts)
    assert other.genesis_block.header.receipts_root != CHAIN.genesis_block.header.receipts_root
    assert other.genesis_block.header_id != CHAIN.genesis_block.header_id


def test_the_genesis_block_is_the_same_for_everybody() -> None:
    again = genesis_block(CHAIN.genesis, CHAIN.genesis_block.header.state_root)
    assert again == CHAIN.genesis_block
    assert decode_block(encode_block(again)) == again
    assert (again.header.slot, again.header.parents, again.transactions) == (0, (), ())


def test_the_genesis_block_is_valid_nowhere_else() -> None:
    with pytest.raises(InvalidBlock):
        _validate(CHAIN.genesis_block)


def test_the_version_is_two() -> None:
    assert CHAIN.block().header.version == HEADER_VERSION == 2


# The specification's example


def test_the_worked_example_of_the_readme_is_what_the_code_gives() -> None:
    text = (Path(__file__).parents[2] / "consensus" / "README.md").read_text(encoding="utf-8")
    shown = {
        name: found[1]
        for name in EXAMPLE
        if (found := re.search(rf"^{name} +([0-9a-f]{{64,}})$", text, re.M))
    }
    key = KeyPair.from_seed(b"\x07" * 32)
    core = HeaderCore(
        version=2,
        parents=(b"\x01" * 32, b"\x02" * 32),
        slot=300,
        band=5,
        proposer=4,
        blue_score=7,
        blue_work=7,
        state_root=b"\x33" * 32,
        receipts_root=b"\x44" * 32,
        body_root=body_root((b"transaction",)),
        votes_root=votes_root(()),
        reveal=b"\x55" * 32,
    )
    block = sign_block(core, (), (b"transaction",), key, b"\x11" * 32)
    values = (
        core.body_root,
        core.votes_root,
        block.header_id,
        block.header.band_digest,
        key.public_key,
        block.header.signature,
    )
    assert shown == {name: value.hex() for name, value in zip(EXAMPLE, values, strict=True)}
    assert encode_core(core).startswith(bytes.fromhex("9c0292c420") + b"\x01" * 32)
    sizes = (len(encode_core(core)), len(encode_header(block.header)), len(encode_block(block)))
    assert sizes == (248, 348, 364)
    assert [f"{size} bytes" in text for size in sizes] == [True] * 3
