"""Who we are on the network: an Ed25519 key and the libp2p peer id made of it."""

from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.keys import KeyPair
from libp2p.peer.id import ID
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

SEED_BYTES = 32
SIGNATURE_BYTES = 64

_SHA256_MULTIHASH = bytes((0x12, 32))
_IDENTITY_MULTIHASH_CODE = 0x00
_MAX_INLINE_KEY_BYTES = 42
_ED25519_ID = bytes.fromhex("002408011220")
"""An identity multihash of 36 bytes; in it the protobuf of an Ed25519 key, whose 32 bytes follow."""


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


def sign_as(key_pair: KeyPair, data: bytes) -> bytes:
    """The Ed25519 signature over `data`, 64 bytes. What is signed begins with a domain tag: Noise and gossip sign with
    the same key, and neither starts like ours."""
    signature: bytes = key_pair.private_key.sign(data)
    return signature


def has_signed(peer: str, data: bytes, signature: bytes) -> bool:
    """Whether the Ed25519 key inside the peer id `peer` made `signature` over `data`. False for ids that hold no such
    key (those of RSA are hashes), and for whatever is no peer id or no signature."""
    try:
        named = parse_peer_id(peer).to_bytes()
    except ValueError:
        return False
    if len(signature) != SIGNATURE_BYTES or len(named) != len(_ED25519_ID) + SEED_BYTES:
        return False
    if not named.startswith(_ED25519_ID):
        return False
    try:
        VerifyKey(named[len(_ED25519_ID) :]).verify(data, signature)
    except BadSignatureError:
        return False
    return True
