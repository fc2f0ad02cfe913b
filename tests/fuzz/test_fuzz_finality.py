"""Mutated votes, certificates, evidence and payloads of all kinds but transfers against their decoders (rows C1, C6).

NEXUS_FUZZ_INPUTS sets the number of inputs per test (default 2,000), NEXUS_FUZZ_SEED the seed.
"""

import os
from time import process_time
from typing import Any

import pytest
from builders.blocks import found_chain
from builders.ledger import key_pair
from builders.payloads import ECONOMY_PAYLOADS
from builders.spellings import respellings
from fuzz.mutators import mutants

from consensus.certificates import CERTIFICATE_CODEC, make_certificate
from consensus.evidence import EVIDENCE_CODEC, check_evidence, evidence_of_headers, evidence_of_votes
from consensus.vote_errors import VoteSignatureInvalid
from consensus.vote_pool import Offence, VoteConflict
from consensus.votes import (
    VOTE_CODEC,
    VOTES_CODEC,
    Checkpoint,
    Vote,
    VoteCore,
    sign_vote,
    verify_vote_signature,
)
from ledger.encoding import Codec
from ledger.errors import CodecError, InvalidTransaction
from ledger.kinds import ledger_kinds
from ledger.onion import onion_layer, onion_secret
from ledger.staking.delegation_kinds import Delegate, Undelegate, Withdraw
from ledger.staking.snapshot import SNAPSHOT_CODEC, EpochSnapshot, SnapshotValidator
from ledger.staking.validator_kinds import (
    CommissionSet,
    OnionRenew,
    RegistrationCore,
    RotationCore,
    Unjail,
    ValidatorExit,
    sign_registration,
    sign_rotation,
)

INPUTS = int(os.environ.get("NEXUS_FUZZ_INPUTS", "2000"))
SEED = int(os.environ.get("NEXUS_FUZZ_SEED", "1"))

CHAIN = found_chain(12)
GENESIS_HASH = CHAIN.params.genesis_hash
SCHEDULE = CHAIN.schedule.of_epoch(0)
KEY = key_pair("fuzz", "new validator", 0)


def vote(validator: int, source: int, target: int, block: int = 0) -> Vote:
    band = SCHEDULE.band_of(validator)
    assert band is not None
    core = VoteCore(
        validator, band, Checkpoint(source, bytes(32)), Checkpoint(target, bytes([block + 1]) * 32)
    )
    return sign_vote(core, CHAIN.keys[validator], GENESIS_HASH)


VOTES = [vote(0, 0, 1), vote(11, 2**40, 2**63 - 1), vote(5, 127, 128)]
LINK = [vote(validator, 0, 1) for validator in range(9)]
SNAPSHOT = EpochSnapshot(
    7,
    bytes(32),
    tuple(
        SnapshotValidator(index, key.public_key, 10**11, bytes(32), 3, 500, 0)
        for index, key in enumerate(CHAIN.keys)
    ),
)
TIP = onion_layer(onion_secret(KEY.seed, 0), 16)
PAYLOADS: dict[str, list[object]] = {
    "validator_register": [
        sign_registration(
            RegistrationCore(KEY.public_key, bytes(20), 10**12, 50_000, TIP, 16), KEY, CHAIN.rules
        )
    ],
    "delegate": [Delegate(0, 10**9), Delegate(2**32 - 1, 2**63 - 1)],
    "undelegate": [Undelegate(3, 0), Undelegate(0, 10**12)],
    "withdraw": [Withdraw(0), Withdraw(70_000)],
    "commission_set": [CommissionSet(1, 0), CommissionSet(300, 1_000_000)],
    "onion_renew": [OnionRenew(1, TIP, 16)],
    "key_rotate": [sign_rotation(RotationCore(4, KEY.public_key, TIP, 16), KEY, CHAIN.rules)],
    "validator_exit": [ValidatorExit(0), ValidatorExit(2**20)],
    "unjail": [Unjail(0), Unjail(200)],
    **ECONOMY_PAYLOADS,
}

CASES: list[Any] = [
    pytest.param(VOTE_CODEC, VOTES, id="vote"),
    pytest.param(VOTES_CODEC, [(), tuple(VOTES), tuple(LINK)], id="votes"),
    pytest.param(
        CERTIFICATE_CODEC,
        [make_certificate(LINK[0].source, LINK[0].target, SCHEDULE, 0, LINK)],
        id="certificate",
    ),
    pytest.param(
        EVIDENCE_CODEC,
        [
            evidence_of_headers(CHAIN.block(blue_score=1).header, CHAIN.block(blue_score=2).header),
            evidence_of_votes(VoteConflict(Offence.DOUBLE_VOTE, vote(1, 0, 1), vote(1, 0, 1, 1))),
        ],
        id="evidence",
    ),
    pytest.param(SNAPSHOT_CODEC, [SNAPSHOT], id="snapshot"),
]


def kind_codec(name: str) -> Codec[Any]:
    kind = ledger_kinds().named(name)
    assert kind is not None
    return kind.payload_codec


CASES += [pytest.param(kind_codec(name), values, id=name) for name, values in PAYLOADS.items()]


def test_every_kind_but_transfers_is_fuzzed() -> None:
    """Those are in test_fuzz_transactions."""
    assert {*PAYLOADS, "transfer", "batch_transfer"} == {kind.name for kind in ledger_kinds().kinds()}


@pytest.mark.parametrize(("codec", "values"), CASES)
def test_C1_mutated_bytes_raise_codec_errors_only(codec: Codec[Any], values: list[Any]) -> None:
    corpus = [codec.encode(value) for value in values]
    slowest = 0.0
    for raw in mutants(SEED, corpus, INPUTS):
        began = process_time()
        try:
            value = codec.decode(raw)
        except CodecError:
            pass
        else:
            assert codec.encode(value) == raw
        slowest = max(slowest, process_time() - began)
    assert slowest < 0.05, "one input took more than 50 ms of CPU"


@pytest.mark.parametrize(("codec", "values"), CASES)
def test_C6_all_longer_spellings_of_the_corpus_are_refused(codec: Codec[Any], values: list[Any]) -> None:
    for value in values:
        raw = codec.encode(value)
        assert codec.decode(raw) == value
        for what, mutant in respellings(raw):
            with pytest.raises(CodecError):
                codec.decode(mutant)
            assert what


@pytest.mark.parametrize("name", sorted(PAYLOADS))
def test_mutated_payloads_are_refused_by_name_or_pass_their_check(name: str) -> None:
    kind = ledger_kinds().named(name)
    assert kind is not None
    corpus = [kind.payload_codec.encode(value) for value in PAYLOADS[name]]
    for raw in mutants(SEED + 1, corpus, INPUTS):
        try:
            payload = kind.payload_codec.decode(raw)
            kind.check_payload(payload, CHAIN.rules)
        except (CodecError, InvalidTransaction):
            continue
        assert kind.spends(payload) >= 0
        assert kind.touches(payload) >= 1


def test_mutated_evidence_is_refused_by_name() -> None:
    corpus = [EVIDENCE_CODEC.encode(value) for value in CASES[3].values[1]]
    for raw in mutants(SEED + 2, corpus, INPUTS):
        try:
            check_evidence(EVIDENCE_CODEC.decode(raw), CHAIN.rules)
        except (CodecError, InvalidTransaction):
            continue


def test_L1_no_changed_vote_passes_under_its_key() -> None:
    corpus = [VOTE_CODEC.encode(one) for one in VOTES]
    for raw in mutants(SEED + 3, corpus, INPUTS):
        if raw in corpus:
            continue
        try:
            one = VOTE_CODEC.decode(raw)
        except CodecError:
            continue
        if one.validator < len(CHAIN.keys):
            with pytest.raises(VoteSignatureInvalid):
                verify_vote_signature(one, CHAIN.keys[one.validator].public_key, GENESIS_HASH)
