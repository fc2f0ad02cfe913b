"""Hashes and the one preimage rule.

Every digest in the ledger is BLAKE2b (RFC 7693) under a domain tag, so that bytes of one type never hash or sign as
bytes of another. The tag is length-prefixed, which makes the tags prefix-free.
"""

from hashlib import blake2b

DIGEST_BYTES = 32
"""Length of ids, roots and the genesis hash."""


def tagged(domain: str) -> bytes:
    """The tag's bytes: one length byte, then `domain` in ASCII (`nexus/<type>/v1`, at most 255 bytes)."""
    raw = domain.encode("ascii")
    return bytes([len(raw)]) + raw


def digest(tag: bytes, *parts: bytes) -> bytes:
    """BLAKE2b-256 of `tag` (from `tagged`) and the concatenated parts: 32 bytes."""
    hasher = blake2b(tag, digest_size=DIGEST_BYTES)
    for part in parts:
        hasher.update(part)
    return hasher.digest()


def signing_preimage(tag: bytes, genesis_hash: bytes, canonical: bytes) -> bytes:
    """What a key signs: domain tag ‖ genesis hash (32 bytes) ‖ canonical bytes. One rule for everything signed."""
    return tag + genesis_hash + canonical
