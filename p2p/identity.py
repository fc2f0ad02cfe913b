"""Who we are on the network: an Ed25519 key and the libp2p peer id made of it."""

from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.keys import KeyPair
from libp2p.peer.id import ID

SEED_BYTES = 32

_SHA256_MULTIHASH = bytes((0x12, 32))
_IDENTITY_MULTIHASH_CODE = 0x00
_MAX_INLINE_KEY_BYTES = 42


def key_pair_from_seed(seed: bytes) -> KeyPair:
    """The key pair of a 32-byte Ed25519 seed. Errors: `ValueError` for another length."""
    if len(seed) != SEED_BYTES:
        raise ValueError(f"identity seed of {len(seed)} bytes, expected {SEED_BYTES}")
    return create_new_key_pair(seed)


def peer_id_of(key_pair: KeyPair) -> ID:
    """libp2p's peer id: the multihash of the serialized public key."""
    return ID.from_pubkey(key_pair.public_key)


def parse_peer_id(text: str) -> ID:
    """A peer id from its base58 text. Errors: `ValueError` when it is not the multihash of a public key (libp2p itself
    takes any base58 text)."""
    peer_id = ID.from_base58(text)
    data = peer_id.to_bytes()
    if len(data) == 34 and data[:2] == _SHA256_MULTIHASH:
        return peer_id
    if (
        2 < len(data) <= 2 + _MAX_INLINE_KEY_BYTES
        and data[0] == _IDENTITY_MULTIHASH_CODE
        and data[1] == len(data) - 2
    ):
        return peer_id
    raise ValueError(f"{text!r} is no peer id")
