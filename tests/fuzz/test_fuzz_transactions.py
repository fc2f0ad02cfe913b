"""Mutated transactions against the decoder and the rules in isolation (reliability.md C1, C6).

NEXUS_FUZZ_INPUTS sets the number of inputs per test (default 2,000), NEXUS_FUZZ_SEED the seed.
"""

import os
from time import process_time

from builders.ledger import batch_transfer, devnet_genesis, transfer
from fuzz.mutators import mutants

from ledger.addresses import address_of
from ledger.errors import CodecError, InvalidTransaction
from ledger.genesis import chain_rules
from ledger.kinds import ledger_kinds
from ledger.transaction_validation import validate_transaction_in_isolation, verify_transaction_signature
from ledger.transactions import TRANSACTION_CODEC, decode_transaction

INPUTS = int(os.environ.get("NEXUS_FUZZ_INPUTS", "2000"))
SEED = int(os.environ.get("NEXUS_FUZZ_SEED", "1"))

GENESIS, _, KEYS = devnet_genesis()
RULES = chain_rules(GENESIS)
REGISTRY = ledger_kinds()
ADDRESSES = [address_of(key.public_key) for key in KEYS]
CORPUS = [
    transfer(KEYS[0], RULES, 0, ADDRESSES[1], 1).raw,
    transfer(KEYS[1], RULES, 2**40, ADDRESSES[2], 10**13, memo=b"m" * 256).raw,
    transfer(KEYS[2], RULES, 127, ADDRESSES[2], 255, fee=65_536, expiry_slot=0).raw,
    batch_transfer(KEYS[3], RULES, 128, [(ADDRESSES[4], 1)]).raw,
    batch_transfer(KEYS[4], RULES, 1, [(address, 10**8) for address in ADDRESSES * 32]).raw,
]


def test_C1_mutated_transactions_raise_only_the_named_families() -> None:
    slowest = 0.0
    accepted = 0
    for raw in mutants(SEED, CORPUS, INPUTS):
        began = process_time()
        try:
            transaction = decode_transaction(raw, REGISTRY)
            validate_transaction_in_isolation(transaction, RULES, REGISTRY)
        except (CodecError, InvalidTransaction):
            pass
        else:
            accepted += 1
            assert TRANSACTION_CODEC.encode(transaction.body) == raw
            kind = REGISTRY.kind(transaction.body.kind)
            assert kind.payload_codec.encode(transaction.payload) == transaction.body.payload
        slowest = max(slowest, process_time() - began)
    assert accepted, "no mutant passed the form: the mutators only make noise"
    assert accepted < INPUTS, "nothing was refused: the mutators do nothing"
    assert slowest < 0.05, "one input took more than 50 ms of CPU"


def test_L1_no_changed_transaction_keeps_a_valid_signature() -> None:
    forged = 0
    for raw in mutants(SEED + 1, CORPUS, INPUTS):
        if raw in CORPUS:
            continue
        try:
            verify_transaction_signature(decode_transaction(raw, REGISTRY), RULES)
        except (CodecError, InvalidTransaction):
            continue
        forged += 1
    assert forged == 0


def test_the_corpus_itself_is_valid() -> None:
    for raw in CORPUS:
        transaction = decode_transaction(raw, REGISTRY)
        validate_transaction_in_isolation(transaction, RULES, REGISTRY)
        verify_transaction_signature(transaction, RULES)


def test_mutants_are_the_same_for_the_same_seed() -> None:
    assert list(mutants(7, CORPUS, 100)) == list(mutants(7, CORPUS, 100))
