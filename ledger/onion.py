"""The hash onion: a validator's commitment to one random number per epoch.

A validator commits to tip = step^n(secret) and reveals one layer more per epoch: the reveal r of epoch e fulfils
step^(e − epoch of the tip)(r) = tip, so there is exactly one, and nobody learns it before. What a block says gives no
freedom to grind. Source: consensus.md, Validators, stake, randomness; README, Onion.
"""

from hashlib import blake2b

from ledger.hashing import DIGEST_BYTES, digest, tagged

MAX_ONION_LAYERS = 65_536
"""Layers of the thickest onion: at 34 minutes an epoch four years; made in about 50 ms."""

MAX_ONION_STEPS = 4_096
"""Steps of one check, about 3 ms: a validator whose last known layer is older than so many epochs commits anew."""

NO_REVEAL = bytes(DIGEST_BYTES)
"""Stands for the reveal of a validator whose onion does not reach the epoch: it adds nothing to the randomness. Without
it a chain that stood still for long, or whose validators all forgot to renew, could never make a block again."""

_SECRET_TAG = tagged("nexus/onion-secret/v1")
_STEP_TAG = tagged("nexus/onion-step/v1")


def onion_secret(key_seed: bytes, generation: int) -> bytes:
    """The innermost layer of an onion, 32 bytes, from the 32-byte seed of the validator's key.

    Every onion of a key has a generation of its own (0, 1, …): none is ever used twice.
    """
    return digest(_SECRET_TAG, key_seed, generation.to_bytes(8, "big"))


def onion_step(value: bytes) -> bytes:
    """The next layer outwards, 32 bytes."""
    return blake2b(_STEP_TAG + value, digest_size=DIGEST_BYTES).digest()


def onion_layer(secret: bytes, layers: int) -> bytes:
    """`secret` under `layers` steps, 32 bytes: the tip of an onion of so many layers, or what a later epoch reveals."""
    value = secret
    for _ in range(layers):
        value = blake2b(_STEP_TAG + value, digest_size=DIGEST_BYTES).digest()
    return value


def peel_matches(reveal: bytes, steps: int, tip: bytes) -> bool:
    """Whether `reveal` lies `steps` layers under `tip`. Never for fewer than 0 or more than MAX_ONION_STEPS steps."""
    return 0 <= steps <= MAX_ONION_STEPS and onion_layer(reveal, steps) == tip
