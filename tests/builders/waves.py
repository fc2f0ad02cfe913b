"""Seeded parts for tests of wave cryptography: randomness, identities, cheap passphrase keys, changed frames."""

import random

from wnsp.ciphers.keys import Entropy
from wnsp.ciphers.passphrase import MEMORY_BOUNDS_KIB, PassphraseKey, PassphraseParameters, derive_key
from wnsp.ciphers.photons import PhotonFrame, PhotonFrames
from wnsp.ciphers.sealed_body import WaveMessage
from wnsp.identity import Identity

KEY = bytes(range(32))
PASSPHRASE = "correct horse battery"
CHEAPEST = PassphraseParameters(bytes(range(16)), MEMORY_BOUNDS_KIB[0], 1, 1)

ALICE = Identity.from_seed(b"alice".ljust(32, b"."))
BOB = Identity.from_seed(b"bob".ljust(32, b"."))
MALLORY = Identity.from_seed(b"mallory".ljust(32, b"."))


def entropy(seed: int) -> Entropy:
    """A seeded source of random bytes."""
    return random.Random(seed).randbytes


def cheap_key(passphrase: str = PASSPHRASE) -> PassphraseKey:
    """A key with the least parameters that are allowed."""
    return derive_key(passphrase, CHEAPEST)


def with_value(message: WaveMessage, dimension: int, frame: int, value: int) -> WaveMessage:
    """The message with one number of one frame replaced."""
    columns = message.frames.columns.copy()
    columns[dimension, frame] = value
    return WaveMessage(message.header, PhotonFrames.from_columns(columns))


def with_frames(message: WaveMessage, frames: list[PhotonFrame]) -> WaveMessage:
    """The message with other frames."""
    return WaveMessage(message.header, PhotonFrames.from_frames(frames))


def retimed(frames: list[PhotonFrame]) -> list[PhotonFrame]:
    """The frames, each with the time of its place: what an attacker would do."""
    return [frame._replace(time=place) for place, frame in enumerate(frames)]


def with_header_bit(message: WaveMessage, bit: int) -> WaveMessage:
    """The message with one bit of its header flipped."""
    header = bytearray(message.header)
    header[bit // 8] ^= 1 << bit % 8
    return WaveMessage(bytes(header), message.frames)
