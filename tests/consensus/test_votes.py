"""Votes as bytes: encoding, ids, signatures, and the specification's example."""

import re
from pathlib import Path

import msgspec
import pytest
from builders.spellings import respellings

from consensus.errors import BandUnknown
from consensus.vote_errors import VoteSignatureInvalid
from consensus.votes import (
    MAX_VOTE_BYTES,
    Checkpoint,
    VoteCore,
    decode_vote,
    encode_vote,
    encode_vote_core,
    sign_vote,
    verify_vote_signature,
    vote_core,
    vote_id,
    votes_root,
)
from ledger.errors import CodecError
from ledger.keys import KeyPair
from wnsp.spectrum import BANDS

CHAIN = b"\x11" * 32
KEY = KeyPair.from_seed(b"\x07" * 32)
CORE = VoteCore(4, 5, Checkpoint(37, b"\x01" * 32), Checkpoint(38, b"\x02" * 32))
VOTE = sign_vote(CORE, KEY, CHAIN)

EXAMPLE = ("vote band digest", "vote signature", "vote id", "root of this one")


def test_the_worked_example_of_the_readme_is_what_the_code_gives() -> None:
    text = (Path(__file__).parents[2] / "consensus" / "README.md").read_text(encoding="utf-8")
    shown = {
        name: found[1]
        for name in EXAMPLE
        if (found := re.search(rf"^{name} +([0-9a-f]{{64,}})$", text, re.M))
    }
    values = (
        BANDS[5].digest(encode_vote_core(CORE)),
        VOTE.signature,
        vote_id(VOTE),
        votes_root((VOTE,)),
    )
    assert shown == {name: value.hex() for name, value in zip(EXAMPLE, values, strict=True)}
    assert (len(encode_vote_core(CORE)), len(encode_vote(VOTE))) == (75, 141)
    assert "75 bytes" in text and "141 bytes" in text


def test_a_vote_reads_back_as_it_was() -> None:
    assert decode_vote(encode_vote(VOTE)) == VOTE
    assert vote_core(VOTE) == CORE


def test_C6_every_longer_spelling_of_a_vote_is_refused() -> None:
    for _, mutant in respellings(encode_vote(VOTE)):
        with pytest.raises(CodecError):
            decode_vote(mutant)


def test_C2_a_vote_is_short() -> None:
    with pytest.raises(CodecError):
        decode_vote(bytes(MAX_VOTE_BYTES + 1))


@pytest.mark.parametrize(
    "changes",
    [
        {"validator": 5},
        {"band": 4},
        {"source": Checkpoint(36, b"\x01" * 32)},
        {"source": Checkpoint(37, b"\x03" * 32)},
        {"target": Checkpoint(39, b"\x02" * 32)},
        {"target": Checkpoint(38, b"\x03" * 32)},
    ],
)
def test_the_signature_covers_every_field(changes: dict[str, object]) -> None:
    verify_vote_signature(VOTE, KEY.public_key, CHAIN)
    with pytest.raises(VoteSignatureInvalid):
        verify_vote_signature(msgspec.structs.replace(VOTE, **changes), KEY.public_key, CHAIN)


def test_L3_a_vote_of_another_chain_does_not_verify() -> None:
    with pytest.raises(VoteSignatureInvalid):
        verify_vote_signature(VOTE, KEY.public_key, bytes(32))


def test_a_band_outside_the_spectrum_cannot_be_signed() -> None:
    with pytest.raises((BandUnknown, CodecError)):
        sign_vote(msgspec.structs.replace(CORE, band=6), KEY, CHAIN)


def test_the_id_covers_the_signature() -> None:
    assert vote_id(msgspec.structs.replace(VOTE, signature=bytes(64))) != vote_id(VOTE)


def test_the_order_of_votes_is_part_of_their_root() -> None:
    other = sign_vote(msgspec.structs.replace(CORE, validator=5), KEY, CHAIN)
    assert votes_root((VOTE, other)) != votes_root((other, VOTE))
