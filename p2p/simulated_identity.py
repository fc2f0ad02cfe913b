"""Identities of the simulated network: a peer is a name, and everybody can compute the key that belongs to it.

So signatures are real ones and forged or damaged records fail as they do on sockets; only the secret is none.
"""

import hashlib
from functools import lru_cache

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey

from p2p.network import PeerId

SIGNATURE_BYTES = 64


@lru_cache(maxsize=4_096)
def _key_of(name: PeerId) -> SigningKey:
    return SigningKey(hashlib.blake2b(name.encode(), digest_size=32, person=b"simulated peer").digest())


def sign_as(name: PeerId, data: bytes) -> bytes:
    """The Ed25519 signature of the peer `name` over `data`: 64 bytes."""
    signature: bytes = _key_of(name).sign(data).signature
    return signature


def has_signed(name: PeerId, data: bytes, signature: bytes) -> bool:
    """Whether `signature` over `data` is the one of `name`."""
    if len(signature) != SIGNATURE_BYTES:
        return False
    try:
        _key_of(name).verify_key.verify(data, signature)
    except BadSignatureError:
        return False
    return True
