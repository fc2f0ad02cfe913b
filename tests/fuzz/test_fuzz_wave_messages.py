"""Random and mutated wave messages (reliability.md W1, W2): exact round trips, and nothing raised but `WnspError`.

NEXUS_FUZZ_INPUTS sets the number of inputs per test (default 250), NEXUS_FUZZ_SEED the seed.
"""

import os
import random

import pytest
from builders.waves import ALICE, BOB, KEY, cheap_key
from fuzz.mutators import mutants

from wnsp.ciphers.carriers import MODES
from wnsp.ciphers.errors import CannotOpen
from wnsp.ciphers.prekeys import announce_prekey, new_ring, read_prekey
from wnsp.ciphers.sealed_body import (
    decode_message,
    encode_message,
    open_sealed,
    seal,
    seal_with_passphrase,
)
from wnsp.ciphers.sealed_sender import open_from, seal_to
from wnsp.errors import WnspError

INPUTS = int(os.environ.get("NEXUS_FUZZ_INPUTS", "250"))
SEED = int(os.environ.get("NEXUS_FUZZ_SEED", "1"))


def test_W1_random_messages_round_trip_exactly() -> None:
    """Lengths spread evenly over their logarithm, 0 to 64 KiB."""
    generator = random.Random(SEED)
    for _ in range(INPUTS):
        mode = generator.choice(MODES)
        plaintext = generator.randbytes(int(2 ** generator.uniform(0, 16.0001)) - 1)
        message = seal(KEY, plaintext, mode, generator.randbytes)
        assert open_sealed(KEY, message) == plaintext
        assert decode_message(encode_message(message)) == message


def test_W2_mutated_messages_decode_to_themselves_or_raise_wnsp_errors_and_never_open() -> None:
    generator = random.Random(SEED)
    ring = new_ring(0, generator.randbytes)
    prekey = read_prekey(announce_prekey(ring, BOB), 0)
    corpus = [encode_message(seal(KEY, b"text", mode, generator.randbytes, expiry=7)) for mode in MODES]
    corpus.append(encode_message(seal_with_passphrase(cheap_key(), b"text", "QIML", generator.randbytes)))
    corpus.append(encode_message(seal_to(prekey, b"text", "FSE", 0, generator.randbytes, sender=ALICE)))
    decoded = 0
    for raw in mutants(SEED, corpus, INPUTS):
        try:
            message = decode_message(raw)
        except WnspError:
            continue
        decoded += 1
        assert encode_message(message) == raw
        if raw not in corpus:
            with pytest.raises(CannotOpen):
                open_sealed(KEY, message)
            with pytest.raises(CannotOpen):
                open_from(ring, BOB.public_key, message)
    assert decoded
