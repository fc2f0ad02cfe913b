"""Mutated headers and blocks against their decoders and the rules in isolation (reliability.md C1, C6, L1).

NEXUS_FUZZ_INPUTS sets the number of inputs per test (default 2,000), NEXUS_FUZZ_SEED the seed.
"""

import os
from collections.abc import Callable
from hashlib import sha256
from time import process_time
from typing import Any

import pytest
from builders.blocks import found_chain
from builders.spellings import respellings
from fuzz.mutators import mutants

from consensus.blocks import (
    decode_block,
    decode_header,
    encode_block,
    encode_header,
    header_id,
)
from consensus.errors import BlockNotJudged, BodyMismatch, InvalidBlock, SlotInFuture
from consensus.header_validation import validate_header_in_isolation
from consensus.prepare import prepare_block
from ledger.errors import CodecError

INPUTS = int(os.environ.get("NEXUS_FUZZ_INPUTS", "2000"))
SEED = int(os.environ.get("NEXUS_FUZZ_SEED", "1"))
NOW_SLOT = 2**40

CHAIN = found_chain()
PARENTS = tuple(sorted(sha256(bytes([number])).digest() for number in range(12)))
BLOCKS = [
    CHAIN.block(),
    CHAIN.block(slot=200, band=1, parents=PARENTS[:2], blue_score=300, blue_work=70_000),
    CHAIN.block(slot=2**33, band=5, parents=PARENTS, blue_score=2**40, blue_work=2**63 - 1),
    CHAIN.block(slot=9, band=2, transactions=(CHAIN.transfer(0, 1).raw,)),
    CHAIN.block(
        slot=40,
        band=4,
        transactions=[CHAIN.transfer(number, 0, 10**number, memo=b"m" * 200).raw for number in range(1, 8)],
    ),
]
HEADERS = [encode_header(block.header) for block in BLOCKS]
WHOLE_BLOCKS = [encode_block(block) for block in BLOCKS]

CASES = [
    pytest.param(HEADERS, decode_header, encode_header, id="header"),
    pytest.param(WHOLE_BLOCKS, decode_block, encode_block, id="block"),
]


@pytest.mark.parametrize(("corpus", "decode", "encode"), CASES)
def test_C1_mutated_bytes_raise_codec_errors_only(
    corpus: list[bytes], decode: Callable[[bytes], Any], encode: Callable[[Any], bytes]
) -> None:
    slowest = 0.0
    decoded = 0
    for raw in mutants(SEED, corpus, INPUTS):
        began = process_time()
        try:
            value = decode(raw)
        except CodecError:
            pass
        else:
            decoded += 1
            assert encode(value) == raw
        slowest = max(slowest, process_time() - began)
    assert decoded, "no mutant passed the form: the mutators only make noise"
    assert decoded < INPUTS, "nothing was refused: the mutators do nothing"
    assert slowest < 0.05, "one input took more than 50 ms of CPU"


@pytest.mark.parametrize(("corpus", "decode", "encode"), CASES)
def test_C6_all_longer_spellings_of_the_corpus_are_refused(
    corpus: list[bytes], decode: Callable[[bytes], Any], encode: Callable[[Any], bytes]
) -> None:
    refused = 0
    for raw in corpus:
        for what, mutant in respellings(raw):
            with pytest.raises(CodecError):
                decode(mutant)
            refused += 1
            assert what
    assert refused > 200


def test_L1_no_changed_header_passes_under_its_key() -> None:
    for raw in mutants(SEED + 1, HEADERS, INPUTS):
        if raw in HEADERS:
            continue
        try:
            header = decode_header(raw)
        except CodecError:
            continue
        with pytest.raises((InvalidBlock, BlockNotJudged)):
            validate_header_in_isolation(header, CHAIN.params, CHAIN.schedule, NOW_SLOT)


def test_no_changed_block_passes_preparation() -> None:
    known = {block.header_id for block in BLOCKS}
    for raw in mutants(SEED + 2, WHOLE_BLOCKS, INPUTS):
        if raw in WHOLE_BLOCKS:
            continue
        with pytest.raises((CodecError, InvalidBlock, BlockNotJudged, BodyMismatch, SlotInFuture)) as caught:
            prepare_block(raw, CHAIN.params, CHAIN.rules, CHAIN.registry, CHAIN.schedule, NOW_SLOT)
        if isinstance(caught.value, BodyMismatch):
            # Only the body was changed: the id is still one of ours, and it is not condemned for it.
            assert header_id(decode_block(raw).header) in known


def test_the_corpus_itself_is_valid() -> None:
    for raw, block in zip(WHOLE_BLOCKS, BLOCKS, strict=True):
        prepared = prepare_block(raw, CHAIN.params, CHAIN.rules, CHAIN.registry, CHAIN.schedule, NOW_SLOT)
        assert prepared.block == block
